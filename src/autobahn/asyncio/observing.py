"""Observers of messages, and counting of traffic: only what is asked for costs anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.util import ObservableMixin
from autobahn.websocket.stats import TrafficStats


class Observers(ObservableMixin):
    """The observers of one connection; the one event is "message"."""

    def __init__(self) -> None:
        self.set_valid_events(["message"])


def observed(
    on_message: Callable[[bytes, bool], Any], fire: Callable[[bytes, bool], None]
) -> Callable[[bytes, bool], Any]:
    """`on_message` with `fire` behind it; what either returns or raises is passed on."""

    def receive(payload: bytes, is_binary: bool) -> Any:
        try:
            result = on_message(payload, is_binary)
        finally:
            fire(payload, is_binary)
        return result

    return receive


class Meter:
    """Counts what goes through `protocol` by standing in front of some of its methods, on the instance."""

    def __init__(self, protocol: Any, stats: TrafficStats) -> None:
        self._stats = stats
        self._data_received = protocol.data_received
        self._send_message = protocol.sendMessage
        self._is_open = False
        protocol.data_received = self.data_received
        protocol.sendMessage = self.send_message

    def opened(self) -> None:
        """The opening handshake is done."""
        self._is_open = True

    def data_received(self, data: bytes | memoryview) -> None:
        """Octets of the peer."""
        if self._is_open:
            self._stats.incomingOctetsWireLevel += len(data)
        else:
            self._stats.preopenIncomingOctetsWireLevel += len(data)
        self._data_received(data)

    def send_message(self, payload: bytes, *args: Any, **kwargs: Any) -> None:
        """A message of ours."""
        self._send_message(payload, *args, **kwargs)
        self._stats.outgoingWebSocketMessages += 1
        self._stats.outgoingOctetsAppLevel += len(payload)

    def received(self, on_message: Callable[[bytes, bool], Any]) -> Callable[[bytes, bool], Any]:
        """`on_message`, counted."""

        def receive(payload: bytes, is_binary: bool) -> Any:
            self._stats.incomingWebSocketMessages += 1
            self._stats.incomingOctetsAppLevel += len(payload)
            return on_message(payload, is_binary)

        return receive
