"""A router's numbers in OpenMetrics, gathered when they are asked for.

Nothing is counted for them while messages pass, except where the router has an integer at hand anyway: the numbers of
INVOCATIONs are the calls, buffers know how much went through them. Latency is told by what delays everybody, the lag
of the event loop, and by the calls in flight (divided by the rate of calls, their mean duration).
Names follow Prometheus: base units, ``_total`` for what only grows, the realm or listener as label. Realms made on
demand share the label ``*``, so that clients cannot invent labels.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

from autobahn import __version__
from autobahn.asyncio.admission import Gate
from autobahn.router import Router as RouterCore
from autobahn.router.realm import Realm
from autobahn.wamp.extras import optional

__all__ = ("LoopLag", "Metrics")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
INTERVAL = 0.5  # seconds between looks at the clock
REALM_COUNTERS = {
    "joins": "Sessions that joined.",
    "calls": "Calls that went to a callee.",
    "publications": "Publications that had a subscriber or are retained.",
    "events": "Events handed to subscribers.",
    "dropped_events": "Events that gave way because their subscriber reads too slowly.",
    "undeliverable_events": "Encodings of events that failed, as the serializer cannot carry the payload.",
}
REALM_GAUGES = {
    "sessions": "Sessions there are.",
    "calls_in_flight": "Calls without an answer.",
    "subscriptions": "Topics and patterns with a subscriber.",
    "registrations": "Procedures and patterns with a callee, those of the router included.",
    "retained_topics": "Topics with a retained event.",
}


class LoopLag:
    """By how much the event loop is late: a histogram of timers that came after their time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        self._loop = loop
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_later(INTERVAL, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        lag = max(0.0, now - self._due)
        self.sum += lag
        self.counts[sum(lag > bound for bound in BUCKETS)] += 1
        self._due = now + INTERVAL
        self._timer = self._loop.call_later(INTERVAL, self._look)

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, count up to it) as Prometheus wants them."""
        total, made = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            made.append((bound, float(total)))
        return made

    def stop(self) -> None:
        """It looks no more."""
        self._timer.cancel()


class Measured(Protocol):
    """What is measured: an `autobahn.asyncio.router.Router`."""

    @property
    def core(self) -> RouterCore: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def listeners(self) -> Any: ...
    @property
    def lag(self) -> LoopLag: ...


class Metrics:
    """The numbers of one router, as a collector of prometheus_client. ImportError names the package to install."""

    def __init__(self, router: Measured) -> None:
        self._router = router
        self._client = optional("prometheus_client", "prometheus-client", "/metrics", "metrics")
        self._registry = self._client.CollectorRegistry()
        self._registry.register(self)
        self._client.ProcessCollector(registry=self._registry)

    def describe(self) -> list[Any]:
        """Names are not looked at when the collector is registered."""
        return []

    def text(self) -> tuple[bytes, str]:
        """The page and its content type."""
        form: Any = optional("prometheus_client.openmetrics.exposition", "prometheus-client", "/metrics", "metrics")
        return form.generate_latest(self._registry), form.CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """The numbers now."""
        from prometheus_client.metrics_core import HistogramMetricFamily, InfoMetricFamily

        router = self._router
        yield InfoMetricFamily("autobahn_build", "The software.", {"version": __version__})
        yield from self._realms(router.core)
        yield from self._connections(router)
        refusals = self._counter("login_refusals", "HELLOs answered with ABORT.", "reason")
        for reason, count in router.core.refusals.items():
            refusals.add_metric([reason], count)
        yield refusals
        lag = HistogramMetricFamily("autobahn_loop_lag_seconds", "By how much the event loop was late.")
        lag.add_metric([], buckets=router.lag.buckets(), sum_value=router.lag.sum)
        yield lag

    def _counter(self, name: str, text: str, *labels: str) -> Any:
        from prometheus_client.metrics_core import CounterMetricFamily

        return CounterMetricFamily(f"autobahn_{name}", text, labels=labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Any:
        from prometheus_client.metrics_core import GaugeMetricFamily

        return GaugeMetricFamily(f"autobahn_{name}", text, labels=labels)

    def _realms(self, core: RouterCore) -> Iterator[Any]:
        families = {name: self._counter(name, text, "realm") for name, text in REALM_COUNTERS.items()}
        families |= {name: self._gauge(name, text, "realm") for name, text in REALM_GAUGES.items()}
        sums: dict[str, Counter[str]] = {}
        if core.auto_realms:
            sums["*"] = Counter(core.past)
        for name, realm in core.realms.items():
            sums.setdefault("*" if core.is_on_demand(name) else name, Counter()).update(numbers_of(realm))
        for label, numbers in sums.items():
            for name, family in families.items():
                family.add_metric([label], numbers[name])
        yield from families.values()

    def _connections(self, router: Measured) -> Iterator[Any]:
        gate = router.gate
        received = self._counter("received_bytes", "Octets received, TLS taken off.", "listener")
        sent = self._counter("sent_bytes", "Octets sent, before TLS.", "listener")
        taken: Counter[int] = Counter()
        given: Counter[int] = Counter()
        queued, longest = 0, 0
        for visit in gate.visits:
            factory = getattr(visit.protocol, "factory", None)
            if factory is not None and hasattr(factory, "traffic"):
                taken[id(factory.traffic)] += visit.protocol.received
                given[id(factory.traffic)] += visit.protocol.sent
            waiting = visit.protocol.waiting
            queued += waiting
            longest = max(longest, waiting)
        for listener in router.listeners:
            traffic = listener.traffic
            received.add_metric([listener.url], traffic.received + taken[id(traffic)])
            sent.add_metric([listener.url], traffic.sent + given[id(traffic)])
        yield received
        yield sent
        refused = self._counter("refused_connections", "Connections that were too many.", "reason")
        for reason in ("pending", "address", "closing"):
            refused.add_metric([reason], gate.refusals[reason])
        yield refused
        for name, text, value in (
            ("connections", "Connections there are.", len(gate.visits)),
            ("pending_connections", "Connections that have had no session yet.", gate.pending),
            ("queued_bytes", "Octets that clients have not taken yet.", queued),
            ("longest_queue_bytes", "The same for the client with most.", longest),
        ):
            gauge = self._gauge(name, text)
            gauge.add_metric([], value)
            yield gauge
        total = self._counter("accepted_connections", "Connections that were let in.")
        total.add_metric([], gate.total)
        yield total


def numbers_of(realm: Realm) -> dict[str, int]:
    """What is told of a realm."""
    return {
        **realm.totals(),
        "sessions": len(realm.sessions),
        "calls_in_flight": sum(len(peer.invocations) for peer in realm.sessions.values()),
        "subscriptions": sum(bool(each.subscribers) for each in realm.broker.by_id.values()),
        "registrations": sum(1 for _ in realm.dealer.registrations.values()),
        "retained_topics": len(realm.broker.retention),
    }
