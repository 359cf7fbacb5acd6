"""What a router answers to plain HTTP: is it alive, is it ready, and its numbers."""

from __future__ import annotations

from collections.abc import Callable

from autobahn.websocket.plain import HttpRequest, HttpResponse

__all__ = ("Pages",)

NO_CACHE = {"Cache-Control": "no-store"}


class Pages:
    """``/healthz``: 200 while the loop runs. ``/readyz``: 200 while clients may join, 503 before and after.

    ``/metrics``: OpenMetrics. ``metrics`` gives its text, or raises `ImportError` saying what is to be installed.
    """

    def __init__(self, readiness: Callable[[], str], metrics: Callable[[], tuple[bytes, str]]) -> None:
        self._readiness = readiness
        self._metrics = metrics

    def __call__(self, request: HttpRequest) -> HttpResponse | None:
        """The page; None when there is none of that name."""
        if request.path not in {"/healthz", "/readyz", "/metrics"}:
            return None
        if request.method not in {"GET", "HEAD"}:
            return HttpResponse(405, "expected GET\n", {"Allow": "GET, HEAD"})
        if request.path == "/healthz":
            return HttpResponse(200, "ok\n", NO_CACHE)
        if request.path == "/readyz":
            reason = self._readiness()
            return HttpResponse(503 if reason else 200, f"{reason or 'ready'}\n", NO_CACHE)
        try:
            text, content_type = self._metrics()
        except ImportError as exc:
            return HttpResponse(501, f"{exc}\n")
        return HttpResponse(200, text, {"Content-Type": content_type, **NO_CACHE})
