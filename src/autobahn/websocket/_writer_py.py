"""The writing half of the Python twin: frames into one buffer, and that to a transport, or past it to its socket."""

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from autobahn.websocket._masking import Octets, mask

_SMALL = 1024  # payloads below go into one buffer at once; others wait as they are
_REUSE = 16384  # octets from which on they leave in a buffer that is used again
_ROOM = 262144
_KEY_BATCH = 1024
_MOST_PARTS = 1000  # in one system call; POSIX systems take 1024

_write_parts: Callable[[int, list[bytes]], int] | None = getattr(os, "writev", None)
"""Not on Windows, where a socket is no file either."""

# Heads of unfragmented small frames: first octet -> length -> the two octets.
_HEADS = {b0: tuple(bytes((b0, size)) for size in range(126)) for b0 in (0x81, 0x82)}

# A buffer for what leaves, when nobody is using it. A fresh one costs a page fault for every 4 KiB.
_spare: list[bytearray] = []


class Transport(Protocol):
    """What `Writer.attach` takes: writes to its socket what it gets, unchanged and in order."""

    def is_closing(self) -> bool: ...
    def get_protocol(self) -> object: ...
    def get_write_buffer_size(self) -> int: ...
    def write(self, data: Octets, /) -> object: ...


class Writer:
    """Gathers frames in one buffer; `wake()` is called when it stops being empty while not `corked`.

    With a transport (`attach`) they can also go straight to the socket, without being joined before.
    """

    __slots__ = (
        "_is_kept", "_key_at", "_keys", "_masked", "_out", "_parts", "_random", "_socket", "_transport", "_wake",
        "_zero_key", "corked", "limit", "long_way", "plain", "sent", "size",
    )  # fmt: skip

    def __init__(
        self,
        wake: Callable[[], object],
        *,
        masked: bool,
        apply_mask: bool = True,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._wake = wake
        self._masked = masked
        self._zero_key = not apply_mask
        self._random = random
        self._keys = b""
        self._key_at = 0
        self._parts: list[bytes] = []
        self._out = bytearray()
        self._is_kept = False  # the transport kept a view (uvloop always does): then it gets octets of its own
        self._transport: Transport | None = None
        self._socket = -1
        self.corked = False
        self.size = 0
        self.sent = 0
        """Octets `send` has handed on so far."""
        self.plain = -1
        """Octets a message may have to leave as one plain frame; -1: none may."""
        self.limit = 1 << 62
        """Octets in the buffer beyond which a message goes the long way."""
        self.long_way: Callable[..., object] | None = None
        """What sends a message that is not that simple; takes the arguments of `send_message`."""

    def send_message(
        self,
        payload: bytes,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        """Append a whole message as one plain frame if that is all there is to it, else go the long way."""
        if (
            type(payload) is bytes
            and len(payload) <= self.plain
            and self.size <= self.limit
            and fragmentSize is None
            and (isBinary is True or isBinary is False)
        ):
            self.frame(2 if isBinary else 1, payload)
        else:
            assert self.long_way is not None
            self.long_way(payload, isBinary, fragmentSize, sync, doNotCompress)

    def frame(self, opcode: int, payload: Octets, fin: bool = True, rsv1: bool = False) -> None:
        """Append one frame. The caller answers for its legality."""
        if type(payload) is not bytes:
            payload = bytes(memoryview(payload))  # a number or text is refused
        size = len(payload)
        b0 = opcode | 0x80 if fin else opcode
        if rsv1:
            b0 |= 0x40
        heads = _HEADS.get(b0)
        head = heads[size] if heads and size < 126 else _head(b0, size)
        if self._masked:
            key = self._next_key()
            head = head[:1] + bytes((head[1] | 0x80,)) + head[2:] + key
            if size and not self._zero_key:
                payload = mask(payload, key)
        was_empty = not self.size
        self.size += len(head) + size
        self._out += head
        if size < _SMALL:
            self._out += payload
        else:
            self._append_large(payload)
        if was_empty and not self.corked:
            self._wake()

    def raw(self, data: Octets) -> None:
        """Append octets as they are."""
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        size = len(data)
        if not size:
            return
        was_empty = not self.size
        self.size += size
        if size < _SMALL and not was_empty:
            self._out += data
        else:
            self._append_large(data)
        if was_empty and not self.corked:
            self._wake()

    def take(self) -> bytes:
        """All octets waiting; the buffer is empty afterwards."""
        self.size = 0
        out = self._out
        if not self._parts:
            data = bytes(out)
            out.clear()
            return data
        return b"".join(self._take_parts())

    def flush(self, write: Callable[[Octets], object]) -> None:
        """Hand all octets waiting to `write` (bytes, or a view that is valid as long as it is referenced)."""
        if self.size < _REUSE:
            if self.size:
                write(self.take())
            return
        self.size = 0
        parts = self._take_parts()
        if self._is_kept:
            for group in _groups(parts):
                write(b"".join(group))
            return
        try:
            buffer = _spare.pop()
        except IndexError:  # asked for in this order, because another thread may take it first
            buffer = bytearray(_ROOM)
        for group in _groups(parts):
            if len(group) == 1 or self._is_kept:
                write(b"".join(group))
                continue
            view, at = memoryview(buffer), 0
            for part in group:
                view[at : (at := at + len(part))] = part
            write(view[:at])
            view.release()
            self._is_kept = not _is_free(buffer)
        if not _spare and not self._is_kept:
            _spare.append(buffer)

    def attach(self, transport: Transport, socket: int, is_asyncios: bool = False) -> None:
        """From now on `send` works: the transport writes to `socket` what it gets, unchanged and in order.

        `is_asyncios`: what the compiled unit knows to use.
        """
        if _write_parts is not None:
            self._transport = transport
            self._socket = socket

    def detach(self) -> None:
        """The socket is not touched any more."""
        self._transport = None

    def send(self, is_last: bool = False) -> bool:
        """Whether all octets waiting went to the socket, and to the transport what that does not take at once.

        False: nothing has changed, because nothing is attached, or the transport is closed or has octets waiting.
        While it is closing its socket is still open: what that takes at once leaves, and the rest is lost.
        """
        transport = self._transport
        if transport is None or (transport.is_closing() and transport.get_protocol() is None):
            return False  # nothing attached, or the number of its socket may be somebody else's by now
        if transport.get_write_buffer_size():
            return False
        size = self.size
        if not size:
            return True
        parts = self._take_parts()
        self.size = 0
        self.sent += size
        if len(parts) > _MOST_PARTS:
            parts = [b"".join(parts)]
        assert _write_parts is not None
        try:
            done = _write_parts(self._socket, parts)
        except OSError:
            done = 0  # full, or broken: the transport will see
        if done != size:
            _write_rest(transport, parts, done)
        return True

    def _take_parts(self) -> list[bytes]:
        parts = self._parts
        out = self._out
        if out:
            parts.append(bytes(out))
            out.clear()
        self._parts = []
        return parts

    def _append_large(self, data: bytes) -> None:
        out = self._out
        if out:
            self._parts.append(bytes(out))
            out.clear()
        self._parts.append(data)

    def _next_key(self) -> bytes:
        if self._zero_key:
            return b"\0\0\0\0"
        at = self._key_at
        if len(self._keys) - at < 4:
            self._keys = self._random(_KEY_BATCH)
            at = 0
            if len(self._keys) < 4:
                raise ValueError("expected at least 4 random octets, got less")
        self._key_at = at + 4
        return self._keys[at : at + 4]


def _head(b0: int, size: int) -> bytes:
    """The frame head before the mask key (RFC 6455 5.2)."""
    if size < 126:
        return bytes((b0, size))
    if size < 65536:
        return bytes((b0, 126)) + size.to_bytes(2, "big")
    return bytes((b0, 127)) + size.to_bytes(8, "big")


def _write_rest(transport: Transport, parts: list[bytes], done: int) -> None:
    """The transport gets what is behind the first `done` octets."""
    for part in parts:
        if done >= len(part):
            done -= len(part)
            continue
        if transport.is_closing():
            return  # an error of the socket, which the transport has noticed by now
        transport.write(memoryview(part)[done:] if done else part)
        done = 0


def _groups(parts: list[bytes]) -> Iterator[list[bytes]]:
    """Neighbours that fit into one buffer: a system call costs more than a copy, unless that is of many octets."""
    group: list[bytes] = []
    room = _ROOM
    for part in parts:
        if len(part) > room and group:
            yield group
            group, room = [], _ROOM
        group.append(part)
        room -= len(part)
    yield group


def _is_free(buffer: bytearray) -> bool:
    """Whether nobody holds a view of `buffer`: it can be resized then."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    del buffer[_ROOM:]
    return True
