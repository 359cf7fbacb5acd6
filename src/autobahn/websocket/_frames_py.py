"""Python twin of the compiled frame unit: same events and errors for the same bytes under any split."""

from collections.abc import Callable
from typing import Any, cast

from autobahn.websocket._masking import LANES, Octets, mask_lanes, mask_number, speedups
from autobahn.websocket._place_py import MOST, Place
from autobahn.websocket._rules_py import Stream, continue_utf8, fail, judge_first, judge_length, parse_close
from autobahn.websocket._writer_py import Writer
from autobahn.websocket.compress_base import Inflating
from autobahn.websocket.errors import FrameError

__all__ = ["Reader", "Writer"]

_INFLATE_STEP = 16384  # octets inflated at a time: what a bomb can allocate beyond the limit
_SMALL = 4096  # pieces below are gathered, so that tiny fragments pin no object each
_SLICE = 65536  # octets parsed at a time
_PEEK = 256  # the same, where a long frame may begin: enough for a head, or a whole control frame
_LONG = 16384  # a frame behind which another long one is expected


class Reader:
    """Turns bytes into messages; calls back in place, raises `FrameError` when the peer broke the rules."""

    __slots__ = (
        "_apply_mask", "_compressed", "_fin", "_gathered", "_in_message", "_inflater", "_is_binary",
        "_is_long", "_key", "_mask_bits", "_max_frame", "_max_message", "_on_close", "_on_error", "_on_ping",
        "_on_pong", "_on_result", "_override", "_own", "_parts", "_place", "_proven", "_quick_max", "_remaining",
        "_renew", "_stopped", "_stream", "_tail", "_total", "_utf8_tail", "_validate_utf8", "_working", "_xor",
        "on_message",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the seam of design.md 3.1
        self,
        on_message: Callable[[bytes, bool], object],
        on_ping: Callable[[bytes], object],
        on_pong: Callable[[bytes], object],
        on_close: Callable[[int | None, str], object],
        on_result: Callable[[Any], object],
        on_error: Callable[[Exception], object],
        *,
        masked: bool | None,
        validate_utf8: bool = True,
        apply_mask: bool = True,
        max_frame: int = 0,
        max_message: int = 0,
        inflater: Inflating | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.on_message = on_message
        """Who takes messages; may be replaced at any time."""
        self._on_ping = on_ping
        self._on_pong = on_pong
        self._on_close = on_close
        self._on_result = on_result
        self._on_error = on_error
        self._mask_bits = (0, 0x80) if masked is None else (0x80,) if masked else (0,)
        self._validate_utf8 = validate_utf8
        self._apply_mask = apply_mask
        self._max_frame = max_frame
        self._max_message = max_message
        self._inflater = inflater
        self._stream = stream
        self._own: dict[str, Any] | None = None
        self._override = self._renew = cast(Any, None)
        self._quick_max = self._quick_limit()
        self._xor = speedups() if apply_mask and masked is not False else None
        self._working = False
        self._stopped = False
        self._tail = b""  # an incomplete header or control frame
        # The data frame whose payload is arriving.
        self._fin = False
        self._remaining = 0
        self._key = b""
        self._is_long = False  # its pieces are gathered in a place
        self._place: Place | None = None
        self._proven = 0  # octets of the largest place so far
        # The message it belongs to.
        self._in_message = False
        self._is_binary = False
        self._compressed = False
        self._total = 0
        self._utf8_tail = b""
        self._parts: list[bytes] = []
        self._gathered = bytearray()

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._in_message

    def limit(self, max_message: int) -> None:
        """Messages from now on may have `max_message` octets."""
        self._max_message = max_message
        self._quick_max = self._quick_limit()

    def _quick_limit(self) -> int:
        """The longest payload that `_quick` takes; -1: it takes none."""
        return -1 if self._stream is not None else min(65535, self._max_frame or 65535, self._max_message or 65535)

    def watch(self, own: dict[str, Any], renew: Callable[[], object]) -> None:
        """`renew` is called before a message when ``own["onMessage"]`` is not what it was (at first: nothing)."""
        self._own, self._override, self._renew = own, None, renew

    def stop(self) -> None:
        """Everything later is ignored; a `feed` at work returns after the present callback."""
        self._stopped = True
        self._remaining = 0
        self._in_message = False
        self._tail = self._utf8_tail = b""
        self._parts = []
        self._gathered = bytearray()
        self._own = self._override = self._renew = None
        if self._place is not None:
            self._place.leave()
            self._place = None

    def room(self) -> memoryview | None:
        """Where more of the present frame may be received, of which `arrived` is told then; None: nowhere."""
        return None if self._place is None or self._working else self._place.room(self._remaining)

    def arrived(self, size: int) -> None:
        """The next `size` octets are where `room` said last."""
        place = self._place
        if place is None:
            return  # stopped meanwhile
        self._working = True
        try:
            place.come(size)
            self._placed(place, size)
        except BaseException:
            self.stop()
            raise
        finally:
            self._working = False

    def feed(self, data: Octets) -> None:
        """Consume `data`, calling back for everything it completes."""
        if self._working:
            raise RuntimeError("expected feed() outside of callbacks, got a call from within one")
        if self._stopped:
            return
        self._working = True
        try:
            if type(data) is not bytes and len(view := memoryview(data)) > _SLICE and view.c_contiguous:
                self._feed_view(view.cast("B"))
            else:
                self._feed_bytes(data if type(data) is bytes else bytes(view))
        except BaseException:
            self.stop()
            raise
        finally:
            self._working = False

    def _feed_bytes(self, data: bytes) -> None:
        if self._tail:
            data = self._tail + data
            self._tail = b""
        used = self._parse(data, True)
        if used < len(data) and not self._stopped:
            self._tail = data[used:]

    def _feed_view(self, data: memoryview) -> None:
        """Parse many octets: short frames as `bytes`, which are cut and compared faster; long ones where they are."""
        pos, end = 0, len(data)
        step = _PEEK
        while pos < end and not self._stopped:
            if self._remaining:
                after = self._payload(data, pos, end)
                step = _PEEK if after - pos >= _LONG else _SLICE
                pos = after
                continue
            tail = self._tail
            piece = tail + bytes(data[pos : pos + step])
            self._tail = b""
            is_last = pos + step >= end
            used = self._parse(piece, is_last)
            pos += used - len(tail)
            if is_last and not self._remaining:
                self._tail = b"" if self._stopped else piece[used:]
                return
            step = _SLICE

    def _parse(self, data: bytes, is_last: bool) -> int:
        """Parse up to an incomplete head or control frame, or a frame with more payload than is here unless `is_last`;
        where that is."""
        pos, end = 0, len(data)
        while not self._stopped:
            if self._remaining:
                if pos == end or (self._remaining > end - pos and not is_last):
                    break
                pos = self._payload(data, pos, end)
                continue
            if not self._in_message:
                pos = self._quick(data, pos, end)
            if end - pos < 2 or self._stopped:
                break
            after = self._header(data, pos, end)
            if after < 0:
                break
            pos = after
        return pos

    def _quick(self, data: bytes, pos: int, end: int) -> int:
        """Deliver messages as long as each is whole, in one plain frame, and short; where that ends."""
        bits = self._mask_bits
        while end - pos >= 2:
            b0 = data[pos]
            b1 = data[pos + 1]
            if (b0 != 0x81 and b0 != 0x82) or b1 & 0x80 not in bits:  # noqa: PLR1714 - twice as fast as a set
                break
            size = b1 & 0x7F
            start = pos + 2
            if size >= 126:
                if size == 127 or end - pos < 4:
                    break
                size = data[start] << 8 | data[start + 1]
                if size < 126:
                    break
                start += 2
            if b1 & 0x80:
                start += 4
            stop = start + size
            if size > self._quick_max or stop > end:
                break
            payload = data[start:stop]
            if b1 & 0x80 and self._apply_mask:
                payload = self._unmask(payload, data[start - 4 : start])
            pos = stop
            if b0 == 0x81 and self._validate_utf8 and not payload.isascii():
                self._check_utf8(payload)
                self._check_utf8_end()
            self._deliver(payload, b0 == 0x82)
            if self._stopped:
                break
        return pos

    def _unmask(self, data: Octets, key: bytes) -> bytes:
        xor = self._xor
        if xor is not None:
            return xor(data, key)
        return mask_number(data, key) if len(data) < LANES else mask_lanes(data, key)

    # -- headers ---------------------------------------------------------------------------------------------

    def _header(self, data: bytes, pos: int, end: int) -> int:
        """Where parsing goes on after the frame head (or control frame) at `pos`; -1: more is needed."""
        b0, b1 = data[pos], data[pos + 1]
        self._judge(b0, b1)
        size = b1 & 0x7F
        pos += 2
        if size >= 126:
            octets = 2 if size == 126 else 8
            if end - pos < octets:
                return -1
            size = int.from_bytes(data[pos : pos + octets], "big")
            judge_length(size, octets)
            pos += octets
        if not b0 & 0x08:
            self._judge_limits(size, b0)
        if b1 & 0x80:
            if end - pos < 4:
                return -1
            key = data[pos : pos + 4]
            pos += 4
        else:
            key = b""
        if not self._apply_mask:
            key = b""
        if b0 & 0x08:
            if end - pos < size:
                return -1
            payload = data[pos : pos + size]
            self._control(b0 & 0x0F, self._unmask(payload, key) if key else payload)
            return pos + size
        self._begin_frame(b0, size, key)
        return pos

    def _judge(self, b0: int, b1: int) -> None:
        """Raise unless the first two octets are legal here (RFC 6455 5.2)."""
        judge_first(b0, b1, in_message=self._in_message, may_compress=self._inflater is not None)
        if b1 & 0x80 not in self._mask_bits:
            if b1 & 0x80:
                fail("expected an unmasked frame, got a masked one")
            fail("expected a masked frame, got an unmasked one")

    def _judge_limits(self, size: int, b0: int) -> None:
        """Raise if a data frame of `size` octets breaks a limit, before any of it is buffered."""
        limit = self._max_frame
        if limit and size > limit:
            raise FrameError(1009, f"expected a frame of at most {limit} octets, got {size}")
        compressed = self._compressed if self._in_message else b0 & 0x40
        limit = self._max_message
        if limit and not compressed and self._total + size > limit:
            raise FrameError(1009, f"expected a message of at most {limit} octets, got at least {self._total + size}")

    def _begin_frame(self, b0: int, size: int, key: bytes) -> None:
        self._fin = b0 >= 0x80
        self._key = key
        stream = self._stream
        if not self._in_message:
            self._in_message = True
            self._is_binary = b0 & 0x0F == 2
            self._compressed = b0 & 0x40 != 0
            self._total = 0
            if stream is not None:
                self._call(stream.message_begin, self._is_binary)
        if stream is not None and not self._stopped:
            self._call(stream.frame_begin, size)
        if self._stopped:
            return
        self._remaining = size
        self._is_long = size >= _LONG and stream is None and not self._compressed
        if not size:
            self._end_frame()

    # -- payload ---------------------------------------------------------------------------------------------

    def _payload(self, data: bytes | memoryview, pos: int, end: int) -> int:
        """Take what has arrived of the present frame; where parsing goes on."""
        size = min(self._remaining, end - pos)
        key = self._key
        part = memoryview(data)[pos : pos + size]  # a view: what follows copies anyway
        if self._is_long and (size < self._remaining or self._place is not None or (key and self._xor is None)):
            return pos + self._gather(part)
        if key:
            chunk = self._unmask(part, key)
            turn = size & 3
            if turn:
                self._key = key[turn:] + key[:turn]
        else:
            chunk = bytes(part)
        self._remaining -= size
        last = not self._remaining
        if self._compressed:
            self._inflate(chunk)
        else:
            self._take(chunk)
        if last and not self._stopped:
            self._end_frame()
        return pos + size

    def _gather(self, part: memoryview) -> int:
        """Keep octets of a long frame until all of it is here; how many were taken."""
        place = self._place
        if place is None:
            place = self._place = Place(self._key, self._xor, self._proven)
        part = part[: MOST - place.size]
        place.add(part, self._remaining)
        self._placed(place, len(part))
        return len(part)

    def _placed(self, place: Place, size: int) -> None:
        """`size` more octets of the present frame are in its place."""
        self._remaining -= size
        start = place.size - size
        is_checked = self._validate_utf8 and not self._is_binary
        if self._remaining and place.size < MOST:
            if is_checked:
                self._check_utf8(place.since(start))
            return
        chunk = place.since(0)
        self._proven = max(self._proven, place.size)
        self._place = None
        place.leave()
        if is_checked:
            self._check_utf8(chunk[start:])
        self._add(chunk)
        if not self._remaining:
            self._end_frame()

    def _inflate(self, chunk: bytes) -> None:
        """Inflate `chunk` in steps, so that nobody makes us allocate far beyond the limit."""
        assert self._inflater is not None
        while not self._stopped:
            step = self._step()
            out = self._inflater.decompress(chunk, step)
            if out:
                self._take_inflated(out)
            if len(out) < step:
                return
            chunk = b""

    def _step(self) -> int:
        limit = self._max_message
        return min(_INFLATE_STEP, limit - self._total + 1) if limit else _INFLATE_STEP

    def _take_inflated(self, out: bytes) -> None:
        limit = self._max_message
        if limit and self._total + len(out) > limit:
            out = out[: limit - self._total]
            if out:
                self._take(out)
            if not self._stopped:
                raise FrameError(1009, f"expected a message of at most {limit} octets, got more once inflated")
            return
        self._take(out)

    def _take(self, chunk: bytes) -> None:
        """Add `chunk` (not empty) to the message, or hand it to the stream."""
        if self._validate_utf8 and not self._is_binary:
            self._check_utf8(chunk)
        self._add(chunk)

    def _add(self, chunk: bytes) -> None:
        self._total += len(chunk)
        if self._stream is not None:
            self._call(self._stream.frame_data, chunk)
        elif not self._parts or (len(chunk) >= _SMALL and not self._gathered):
            self._parts.append(chunk)
        elif len(chunk) < _SMALL:
            self._gathered += chunk
            if len(self._gathered) >= 16 * _SMALL:
                self._flush_gathered()
        else:
            self._flush_gathered()
            self._parts.append(chunk)

    def _flush_gathered(self) -> None:
        self._parts.append(bytes(self._gathered))
        self._gathered.clear()

    def _end_frame(self) -> None:
        stream = self._stream
        if self._fin and self._compressed:
            assert self._inflater is not None
            out = self._inflater.end_message(self._step())
            if out:
                self._take_inflated(out)
        if stream is not None and not self._stopped:
            self._call(stream.frame_end)
        if self._fin and not self._stopped:
            self._end_message()

    def _end_message(self) -> None:
        if self._utf8_tail:
            self._check_utf8_end()
        self._in_message = False
        self._total = 0
        if self._stream is not None:
            self._call(self._stream.message_end)
            return
        if self._gathered:
            self._flush_gathered()
        parts = self._parts
        self._parts = []
        self._deliver(b"".join(parts), self._is_binary)

    # -- UTF-8 -----------------------------------------------------------------------------------------------

    def _check_utf8(self, chunk: bytes) -> None:
        """Raise 1007 at the first octet that cannot continue valid UTF-8 (RFC 6455 8.1)."""
        tail = self._utf8_tail
        if not tail and chunk.isascii():
            return
        self._utf8_tail, valid = continue_utf8(tail, chunk)
        if valid < 0:
            return
        if valid and self._stream is not None:
            self._call(self._stream.frame_data, chunk[:valid])
            if self._stopped:
                return
        raise FrameError(1007, "expected UTF-8 in a text message, got an invalid octet")

    def _check_utf8_end(self) -> None:
        if self._utf8_tail:
            raise FrameError(1007, "expected UTF-8 in a text message, got an unfinished sequence at its end")

    # -- callbacks -------------------------------------------------------------------------------------------

    def _deliver(self, payload: bytes, is_binary: bool) -> None:
        try:
            if self._own is not None and self._own.get("onMessage") is not self._override:
                self._override = self._own.get("onMessage")
                self._renew()
            result = self.on_message(payload, is_binary)
            if result is not None:
                self._on_result(result)
        except Exception as exc:
            self._on_error(exc)

    def _call(self, hook: Callable[..., object], *args: object) -> None:
        try:
            hook(*args)
        except Exception as exc:
            self._on_error(exc)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self._call(self._on_ping, payload)
        elif opcode == 10:
            self._call(self._on_pong, payload)
        else:
            code, reason = parse_close(payload)
            self.stop()
            self._call(self._on_close, code, reason)
