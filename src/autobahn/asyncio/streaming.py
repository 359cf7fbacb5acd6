"""`MessageStream`: brings messages to a protocol piece by piece, when the program asked for pieces."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

HOOKS = (
    "onMessageBegin",
    "onMessageFrameBegin",
    "onMessageFrameData",
    "onMessageFrameEnd",
    "onMessageFrame",
    "onMessageEnd",
)
_hooks = attrgetter(*HOOKS)
_NAMES = frozenset(HOOKS)


def overrides_stream_hooks(protocol: object, base: type) -> bool:
    """Whether the program put something of its own in place of one of the streaming hooks of `base`."""
    return _hooks(type(protocol)) != _hooks(base) or not _NAMES.isdisjoint(vars(protocol))


class MessageStream:
    """The `stream` of a frame `Reader`, and what the hooks do when they are not overridden.

    A hook that is overridden without calling the base stops the default ones after it.
    """

    __slots__ = ("_call", "_chunks", "_frames", "_is_binary", "_observe", "_protocol", "_size")

    def __init__(self, protocol: Any, call: Callable[..., None], observe: Callable[[bytes, bool], None]) -> None:
        self._protocol = protocol
        self._call = call
        self._observe = observe
        self._is_binary = False
        self._size = 0  # octets of the message so far
        # Gathered in one buffer each: an object per fragment or segment would cost many times its octets.
        self._frames: bytearray | None = None  # of the message
        self._chunks: bytearray | None = None  # of the frame

    # what the reader calls

    def message_begin(self, is_binary: bool) -> None:
        """A message begins."""
        self._frames = None
        self._is_binary = is_binary
        self._size = 0
        self._call(self._protocol.onMessageBegin, "onMessageBegin", 0, is_binary)

    def frame_begin(self, length: int) -> None:
        """A frame begins."""
        self._chunks = None
        self._call(self._protocol.onMessageFrameBegin, "onMessageFrameBegin", 0, length)

    def frame_data(self, data: bytes) -> None:
        """Octets have arrived."""
        self._size += len(data)
        self._call(self._protocol.onMessageFrameData, "onMessageFrameData", len(data), data)

    def frame_end(self) -> None:
        """The frame is complete."""
        self._call(self._protocol.onMessageFrameEnd, "onMessageFrameEnd", 0)

    def message_end(self) -> None:
        """The message is complete."""
        self._call(self._protocol.onMessageEnd, "onMessageEnd", self._size)

    # what the hooks do by default

    def message_begin_default(self, is_binary: bool) -> None:
        """Begins to gather the message."""
        self._is_binary = is_binary
        self._frames = bytearray()

    def frame_begin_default(self, length: int) -> None:
        """Begins to gather the frame."""
        self._chunks = bytearray()

    def frame_data_default(self, data: bytes) -> None:
        """Adds a chunk."""
        if self._chunks is not None:
            self._chunks += data

    def frame_end_default(self) -> Any:
        """Hands the frame to `onMessageFrame`."""
        chunks, self._chunks = self._chunks, None
        if chunks is None:
            return None
        return self._protocol.onMessageFrame([bytes(chunks)] if chunks else [])

    def frame_default(self, chunks: list[bytes]) -> None:
        """Adds a frame."""
        if self._frames is not None:
            for chunk in chunks:
                self._frames += chunk

    def message_end_default(self) -> Any:
        """Hands the message to `onMessage`."""
        frames, self._frames = self._frames, None
        if frames is None:
            return None
        payload = bytes(frames)
        try:
            return self._protocol.onMessage(payload, self._is_binary)
        finally:
            self._observe(payload, self._is_binary)
