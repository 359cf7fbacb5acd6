"""Exceptions and error URIs: the mapping of one session, both ways.

Out: the URI of an exception is its own (`ApplicationError`), or that of the nearest of its classes that is defined on
the session or carries ``@wamp.error``; else ``wamp.error.runtime_error``. In: the class defined for the URI, else
`ApplicationError`. What comes in carries ``args``, ``kwargs`` and, when the callee sent it (``traceback_app``), the
callee's traceback: as text in ``remote_traceback`` and as a note, which Python prints below the own one.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from typing import Any

from autobahn.exception import PayloadExceededError
from autobahn.log import printable
from autobahn.wamp.exception import ApplicationError, SerializationError
from autobahn.wamp.message import Error
from autobahn.wamp.uri import declared_error_uri, is_valid

MAX_TRACEBACK = 16_384
"""Characters of a callee's traceback that are kept."""

Answer = tuple[str, list[Any], dict[str, Any]]

# What a router or codec says of a payload becomes these exceptions at the caller, unless the user defined others. At
# the callee they stand for what its own transport said, and only a text travels.
_OF_TRANSPORT: dict[str, type[Exception]] = {
    ApplicationError.INVALID_PAYLOAD: SerializationError,
    ApplicationError.PAYLOAD_SIZE_EXCEEDED: PayloadExceededError,
}


class Errors:
    """The exceptions defined on one session."""

    __slots__ = ("_by_uri", "_uris", "traceback")

    def __init__(self) -> None:
        self._by_uri: dict[str, type[BaseException]] = {}
        self._uris: dict[type[BaseException], str] = {}
        self.traceback = False  # whether a caller gets the traceback of what our endpoints raise

    def define(self, exception: type[BaseException], error: str | None) -> None:
        """``exception`` stands for its declared URI, or for ``error``; raises RuntimeError for both or neither."""
        declared = declared_error_uri(exception)
        if (error is None) == (declared is None):
            raise RuntimeError(
                f"expected an error URI for {exception.__name__} either from @wamp.error or as argument, "
                f"got {'neither' if error is None else 'both'}"
            )
        uri = error if error is not None else declared
        assert uri is not None
        self._by_uri[uri] = exception
        self._uris[exception] = uri

    # ---- out -----------------------------------------------------------------------------------------------

    def answer(self, exc: BaseException) -> Answer:
        """``(uri, args, kwargs)`` that tell a caller of ``exc``."""
        args = list(exc.args)
        kwargs: dict[str, Any] = dict(getattr(exc, "kwargs", None) or {})
        uri = exc.error if isinstance(exc, ApplicationError) else self._uri_of(type(exc))
        if uri is None:
            uri = ApplicationError.RUNTIME_ERROR
            for of_transport, kind in _OF_TRANSPORT.items():
                if isinstance(exc, kind):
                    uri, args, kwargs = of_transport, [str(exc)], {}
        elif not (isinstance(uri, str) and is_valid(uri)):  # the router would abort our session for it
            args.insert(0, f"expected an error URI, got {uri!r:.100}")
            uri = ApplicationError.RUNTIME_ERROR
        if self.traceback:
            kwargs["traceback"] = "".join(traceback.format_exception(exc))
        return uri, args, kwargs

    def _uri_of(self, cls: type[BaseException]) -> str | None:
        for base in cls.__mro__:
            uri = self._uris.get(base) or declared_error_uri(base)
            if uri is not None:
                return uri
        return None

    # ---- in ------------------------------------------------------------------------------------------------

    def exception(self, msg: Error, on_error: Callable[[Exception, str], None]) -> BaseException:
        """The exception that ERROR tells of; ``on_error`` hears when a defined class cannot be made of it."""
        cls = self._by_uri.get(msg.error) or _OF_TRANSPORT.get(msg.error)
        exc: BaseException | None = None
        if cls is not None:
            try:
                exc = _made(cls, msg.args, msg.kwargs)
            except Exception as failure:
                on_error(failure, f"While re-constructing exception {cls.__name__} for {msg.error}")
        if exc is None:
            exc = ApplicationError(msg.error, *msg.args)
            exc.kwargs = msg.kwargs  # any names: what a peer sends is payload
            for name in ("callee", "callee_authid", "callee_authrole", "forward_for", "enc_algo"):
                if name in msg.details:
                    setattr(exc, name, msg.details[name])
        _note_traceback(exc, msg.kwargs.get("traceback"))
        return exc


def _made(cls: type[BaseException], args: list[Any], kwargs: dict[str, Any]) -> BaseException:
    """An instance of ``cls``; keyword arguments that its constructor does not take are in ``kwargs`` all the same."""
    try:
        return cls(*args, **kwargs)
    except TypeError:
        known = {name: value for name, value in kwargs.items() if name != "traceback"}
        if not kwargs:
            raise
        try:
            exc = cls(*args, **known)
        except TypeError:
            exc = cls(*args)
        with contextlib.suppress(AttributeError, TypeError):  # slots, or a property of that name
            exc.kwargs = known  # type: ignore[attr-defined]
        return exc


def _note_traceback(exc: BaseException, text: Any) -> None:
    if not isinstance(text, str):
        return
    text = text if len(text) <= MAX_TRACEBACK else f"{text[:MAX_TRACEBACK]}..."
    with contextlib.suppress(AttributeError, TypeError):
        exc.remote_traceback = text  # type: ignore[attr-defined]
    exc.add_note("At the callee:\n" + "\n".join(f"  {printable(line)}" for line in text.splitlines()))
