"""Engines for formats of which every message is a stream, or part of one: bzip2, brotli and snappy."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from autobahn.websocket.errors import FrameError


def package(module: str, name: str, has: str = "") -> Any:
    """The module of a package that may be installed. Raises `ImportError` when it is not, or lacks `has`."""
    try:
        found = import_module(module)
    except ImportError:
        found = None
    scope, _, attribute = has.partition(".")
    if found is None or (has and not hasattr(getattr(found, scope, None), attribute)):
        raise ImportError(f"expected the package {name} to be installed, got none")
    return found


class Decoder(Protocol):
    """Takes octets and gives at most `room` at a time, the rest when asked again with none; may raise anything."""

    def feed(self, data: bytes, room: int) -> bytes: ...
    def is_complete(self) -> bool: ...


class StreamInflater:
    """Decompresses messages in bounded steps. `keeps`: the stream goes on from message to message."""

    __slots__ = ("_decoder", "_keeps", "_name", "_new", "on_context", "uses")

    def __init__(self, new: Callable[[], Decoder], name: str, *, keeps: bool = False) -> None:
        self._new = new
        self._name = name
        self._keeps = keeps
        self._decoder: Decoder | None = None
        self.on_context: Callable[[], None] | None = None
        self.uses = 0

    def decompress(self, data: bytes | bytearray, max_length: int) -> bytes:
        """The next octets, at most `max_length`; with that many, ask again with `b""`. Raises `FrameError`."""
        if self._decoder is None:
            if not data:
                return b""
            self._decoder = self._new()
            if self.on_context is not None:
                self.on_context()
        try:
            return self._decoder.feed(bytes(data), max_length)
        except Exception as exc:  # every package has errors of its own
            raise FrameError(1007, f"expected {self._name} data, got octets that it refuses") from exc

    def end_message(self, max_length: int) -> bytes:
        """The message is complete. Raises `FrameError` when its data are not."""
        if self._decoder is not None and not self._decoder.is_complete():
            raise FrameError(1007, f"expected complete {self._name} data, got the beginning")
        self.uses += 1
        if not self._keeps:
            self._decoder = None
        return b""

    def release(self) -> bool:
        """Whether there is no context; one that is still needed cannot be given back."""
        return self._decoder is None


class Encoder(Protocol):
    """Takes the octets of a message; `finish` gives what is missing at its end."""

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class StreamDeflater:
    """Compresses messages. `keeps`: the stream goes on from message to message."""

    __slots__ = ("_encoder", "_in_message", "_keeps", "_new", "on_context", "uses")

    def __init__(self, new: Callable[[], Encoder], *, keeps: bool = False) -> None:
        self._new = new
        self._keeps = keeps
        self._encoder: Encoder | None = None
        self._in_message = False
        self.on_context: Callable[[], None] | None = None
        self.uses = 0

    def compress(self, data: bytes, /) -> bytes:
        """What can be sent of the message so far; may be empty."""
        if self._encoder is None:
            self._encoder = self._new()
            if self.on_context is not None:
                self.on_context()
        self._in_message = True
        return self._encoder.feed(data)

    def end_message(self) -> bytes:
        """The last octets of the message; the next one may begin."""
        out = b"" if self._encoder is None else self._encoder.finish()
        self._in_message = False
        self.uses += 1
        if not self._keeps:
            self._encoder = None
        return out

    def release(self) -> bool:
        """Gives the context back between two messages; whether there is none."""
        if not self._in_message:
            self._encoder = None
        return self._encoder is None
