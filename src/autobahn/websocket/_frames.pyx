# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Compiled frame unit: same events and errors as its Python twin `_frames_py` for the same bytes under any split.

Memory rules: a pointer into `data` lives only within the `feed` that holds a reference to it; a pointer into the
message or output buffer is never used after a call into Python code.
"""

import os

from cpython.dict cimport PyDict_GetItemWithError

from autobahn.websocket.errors import FrameError

include "../_gather.pxi"
include "_octets.pxi"
include "_handing.pxi"


cdef enum:
    INFLATE_STEP = 16384  # octets inflated at a time: what a bomb can allocate beyond the limit
    FIRST_BUFFER = 262144  # the most a header can make us allocate before its payload arrives
    KEY_BATCH = 1024


cdef int _fail(reason) except -1:
    raise FrameError(1002, reason)


cdef object _contiguous(data):
    """`data` as an object with one plain run of octets; TypeError for text, numbers, None."""
    cdef object view = memoryview(data)
    return view if view.c_contiguous else view.tobytes()


cdef object _parse_close(bytes payload):
    """Code and reason of a close frame (RFC 6455 5.5.1, 7.4)."""
    cdef const octet *text = <const octet *>PyBytes_AS_STRING(payload)
    cdef int code
    if not PyBytes_GET_SIZE(payload):
        return None, ""
    code = text[0] << 8 | text[1]  # a payload of 1 octet was refused with the header
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        _fail(f"expected a close code that may be sent, got {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "expected UTF-8 in the close reason, got invalid octets") from None


cdef class Reader:
    """Turns bytes into messages; calls back in place, raises `FrameError` when the peer broke the rules."""

    cdef public object on_message  # may be replaced at any time
    cdef object _on_ping, _on_pong, _on_close, _on_result, _on_error
    cdef dict _own  # see `watch`
    cdef u64 _version  # of that, when it was last looked into
    cdef object _override, _renew
    cdef object _inflater, _stream
    cdef object _tail  # an incomplete header or control frame, or None
    cdef object _single  # the message when it is one inflated piece, or None
    cdef PyObject *_buffer  # the message being gathered: bytes only we refer to, or NULL
    cdef Py_ssize_t _filled
    cdef u64 _max_frame, _max_message
    cdef u64 _remaining, _total
    cdef u64 _largest  # octets of the largest message that was gathered whole so far
    cdef ab_utf8 _utf8
    cdef octet _key[4]
    cdef bint _keyed
    cdef bint _take_masked, _take_unmasked
    cdef bint _validate_utf8, _apply_mask
    cdef bint _working, _stopped
    cdef bint _fin, _in_message, _is_binary, _compressed

    def __cinit__(self):
        self._buffer = NULL

    def __dealloc__(self):
        Py_XDECREF(self._buffer)

    def __init__(
        self,
        on_message,
        on_ping,
        on_pong,
        on_close,
        on_result,
        on_error,
        *,
        masked,
        bint validate_utf8=True,
        bint apply_mask=True,
        u64 max_frame=0,
        u64 max_message=0,
        inflater=None,
        stream=None,
    ):
        self.on_message = on_message
        self._on_ping = on_ping
        self._on_pong = on_pong
        self._on_close = on_close
        self._on_result = on_result
        self._on_error = on_error
        self._take_masked = masked is None or masked
        self._take_unmasked = masked is None or not masked
        self._validate_utf8 = validate_utf8
        self._apply_mask = apply_mask
        self._max_frame = max_frame
        self._max_message = max_message
        self._inflater = inflater
        self._stream = stream

    @property
    def in_message(self):
        """Whether a message has begun and not ended."""
        return self._in_message

    def limit(self, u64 max_message):
        """Messages from now on may have `max_message` octets."""
        self._max_message = max_message

    def watch(self, dict own, renew):
        """`renew` is called before a message when ``own["onMessage"]`` is not what it was (at first: nothing)."""
        self._own = own
        self._version = 0
        self._override = None
        self._renew = renew

    def stop(self):
        """Everything later is ignored; a `feed` at work returns after the present callback."""
        self._stop()

    def feed(self, data):
        """Consume `data`, calling back for everything it completes."""
        cdef Py_buffer view
        if self._working or self._stopped:
            self._take_in(NULL, 0)
            return
        if PyBytes_CheckExact(data):
            self._take_in(<const octet *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            return
        data = _contiguous(data)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self._take_in(<const octet *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int _take_in(self, const octet *data, Py_ssize_t size) except -1:
        """Consume octets that stay where they are until this returns."""
        cdef bytes joined
        if self._working:
            raise RuntimeError("expected feed() outside of callbacks, got a call from within one")
        if self._stopped:
            return 0
        if self._tail is not None:
            joined = self._tail + _bytes_of(data, size)
            self._tail = None
            data = <const octet *>PyBytes_AS_STRING(joined)
            size = PyBytes_GET_SIZE(joined)
        return self._take_placed(0, data, size)

    cdef octet *_place(self, Py_ssize_t *room) except? NULL:
        """Where what is missing of the present frame belongs, and for how much of it there is room; NULL: nowhere."""
        cdef octet *target
        if self._compressed or self._stream is not None or self._working:
            return NULL
        target = self._room(<Py_ssize_t>min(self._remaining, <u64>PLACED_FROM))
        room[0] = <Py_ssize_t>min(self._remaining, <u64>(ab_capacity(self._buffer) - self._filled))
        return target

    cdef int _take_placed(self, Py_ssize_t placed, const octet *data, Py_ssize_t size) except -1:
        """Consume octets that have come to where `_place` said, if any, and then those of `data`."""
        cdef octet *target
        cdef PyObject *spent = NULL
        self._working = True
        try:
            if placed:
                target = <octet *>ab_data(self._buffer) + self._filled
                if self._keyed:
                    self._unmask(target, target, placed)
                self._gathered(target, placed)
                if not self._remaining:
                    self._end_frame()
            self._parse(data, size, &spent)
        except BaseException:
            self._stop()
            raise
        finally:
            self._working = False
            Py_XDECREF(spent)
        return 0

    cdef void _stop(self) noexcept:
        self._stopped = True
        self._remaining = 0
        self._in_message = False
        self._tail = self._own = self._override = self._renew = None
        self._drop_message()

    cdef void _drop_message(self) noexcept:
        cdef PyObject *buffer = self._buffer
        self._buffer = NULL
        self._filled = 0
        self._single = None
        Py_XDECREF(buffer)

    cdef int _parse(self, const octet *data, Py_ssize_t end, PyObject **spent) except -1:
        """`spent`: the payload handed on last, or NULL; a reference of the caller's."""
        cdef Py_ssize_t pos = 0, size, head, after
        cdef octet b0, b1
        cdef octet *target
        while not self._stopped:
            if self._remaining:
                if pos == end:
                    return 0
                pos = self._payload(data, pos, end)
                continue
            if end - pos < 2:
                break
            b0 = data[pos]
            b1 = data[pos + 1]
            # The short cut: a whole message of less than 64 KiB in one frame.
            if (
                (b0 == 0x81 or b0 == 0x82)
                and not self._in_message
                and self._stream is None
                and (self._take_masked if b1 & 0x80 else self._take_unmasked)
            ):
                size = b1 & 0x7F
                head = 2
                if size == 126 and end - pos >= 4:
                    size = data[pos + 2] << 8 | data[pos + 3]
                    head = 4
                    if size < 126:
                        size = -1
                elif size >= 126:
                    size = -1
                if b1 & 0x80:
                    head += 4
                if (
                    size >= 0
                    and end - pos - head >= size
                    and (not self._max_frame or <u64>size <= self._max_frame)
                    and (not self._max_message or <u64>size <= self._max_message)
                ):
                    spent[0] = ab_bytes(spent, size)
                    target = <octet *>ab_data(spent[0])
                    if b1 & 0x80 and self._apply_mask:
                        ab_xor(target, data + pos + head, size, data + pos + head - 4)
                    else:
                        ab_copy(target, data + pos + head, size)
                    pos += head + size
                    if b0 == 0x81 and self._validate_utf8:
                        if <Py_ssize_t>ab_check_utf8(&self._utf8, target, size) != size:
                            self._bad_utf8(None, 0)
                        self._check_utf8_end()
                    self._deliver(spent[0], b0 == 0x82)
                    continue
            after = self._header(data, pos, end)
            if after == 0:
                break
            pos = after
        else:
            return 0
        if pos < end:
            self._tail = _bytes_of(data + pos, end - pos)
        return 0

    # -- headers -------------------------------------------------------------------------------------------------

    cdef Py_ssize_t _header(self, const octet *data, Py_ssize_t pos, Py_ssize_t end) except -1:
        """Where parsing goes on after the frame head (or control frame) at `pos`; 0: more is needed."""
        cdef octet b0 = data[pos], b1 = data[pos + 1]
        cdef u64 size = b1 & 0x7F
        cdef int octets, at
        cdef octet key[4]
        cdef bint keyed = False
        cdef object payload
        self._judge(b0, b1)
        pos += 2
        if size >= 126:
            octets = 2 if size == 126 else 8
            if end - pos < octets:
                return 0
            size = 0
            for at in range(octets):
                size = size << 8 | data[pos + at]
            if size >> 63:
                _fail("expected a length of at most 63 bits, got the top bit set")
            if size < (126 if octets == 2 else 65536):
                _fail(f"expected the shortest length encoding, got {size} in {octets * 8} bits")
            pos += octets
        if not b0 & 0x08:
            self._judge_limits(size, b0)
        if b1 & 0x80:
            if end - pos < 4:
                return 0
            keyed = self._apply_mask
            memcpy(key, data + pos, 4)
            pos += 4
        if b0 & 0x08:  # at most 125 octets
            if end - pos < <Py_ssize_t>size:
                return 0
            payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
            if keyed:
                ab_xor(<octet *>PyBytes_AS_STRING(payload), data + pos, <size_t>size, key)
            else:
                memcpy(PyBytes_AS_STRING(payload), data + pos, <size_t>size)
            self._control(b0 & 0x0F, payload)
            return pos + <Py_ssize_t>size
        self._keyed = keyed
        if keyed:
            memcpy(self._key, key, 4)
        self._begin_frame(b0, size)
        return pos

    cdef int _judge(self, octet b0, octet b1) except -1:
        """Raise unless the first two octets are legal here (RFC 6455 5.2)."""
        cdef int opcode = b0 & 0x0F, rsv = b0 >> 4 & 7
        if 3 <= opcode <= 7 or opcode > 10:
            _fail(f"expected a defined opcode, got reserved opcode {opcode}")
        if rsv & 3:
            _fail(f"expected RSV2 and RSV3 unset, got RSV bits {rsv:03b}")
        if opcode >= 8:
            if rsv:
                _fail("expected RSV1 unset on a control frame, got it set")
            if not b0 & 0x80:
                _fail("expected a whole control frame, got a fragment")
            if b1 & 0x7F > 125:
                _fail("expected at most 125 octets in a control frame, got more")
            if opcode == 8 and b1 & 0x7F == 1:
                _fail("expected no payload or at least 2 octets in a close frame, got 1")
        elif rsv and not opcode:  # RFC 7692 6.1: only the first frame of a message carries RSV1
            _fail("expected RSV1 unset on a continuation frame, got it set")
        elif rsv and self._inflater is None:
            _fail("expected RSV1 unset without negotiated compression, got it set")
        elif not opcode and not self._in_message:
            _fail("expected a text or binary frame, got a continuation frame without a message to continue")
        elif opcode and self._in_message:
            _fail(f"expected a continuation frame, got opcode {opcode} inside a fragmented message")
        if b1 & 0x80:
            if not self._take_masked:
                _fail("expected an unmasked frame, got a masked one")
        elif not self._take_unmasked:
            _fail("expected a masked frame, got an unmasked one")
        return 0

    cdef int _judge_limits(self, u64 size, octet b0) except -1:
        """Raise if a data frame of `size` octets breaks a limit, before any of it is buffered."""
        cdef bint compressed = self._compressed if self._in_message else (b0 & 0x40) != 0
        if self._max_frame and size > self._max_frame:
            raise FrameError(1009, f"expected a frame of at most {self._max_frame} octets, got {size}")
        # Neither term reaches 2**63, so the sum does not overflow.
        if self._max_message and not compressed and self._total + size > self._max_message:
            raise FrameError(
                1009,
                f"expected a message of at most {self._max_message} octets, got at least {self._total + size}",
            )
        return 0

    cdef int _begin_frame(self, octet b0, u64 size) except -1:
        cdef object stream = self._stream
        self._fin = b0 >= 0x80
        if not self._in_message:
            self._in_message = True
            self._is_binary = (b0 & 0x0F) == 2
            self._compressed = (b0 & 0x40) != 0
            self._total = 0
            if stream is not None:
                try:
                    stream.message_begin(self._is_binary)
                except Exception as exc:
                    self._on_error(exc)
        if stream is not None and not self._stopped:
            try:
                stream.frame_begin(size)
            except Exception as exc:
                self._on_error(exc)
        if self._stopped:
            return 0
        self._remaining = size
        if not size:
            self._end_frame()
        return 0

    # -- payload -------------------------------------------------------------------------------------------------

    cdef Py_ssize_t _payload(self, const octet *data, Py_ssize_t pos, Py_ssize_t end) except -1:
        """Take what has arrived of the present frame; where parsing goes on."""
        cdef Py_ssize_t size = end - pos
        cdef bint last = <u64>size >= self._remaining
        cdef object chunk
        cdef octet *target
        if last:
            size = <Py_ssize_t>self._remaining
        if self._compressed or self._stream is not None:
            chunk = PyBytes_FromStringAndSize(NULL, size)
            self._unmask(<octet *>PyBytes_AS_STRING(chunk), data + pos, size)
            self._remaining -= <u64>size
            if self._compressed:
                self._inflate(chunk)
            else:
                self._take(chunk)
        else:
            target = self._room(size)
            self._unmask(target, data + pos, size)
            self._gathered(target, size)
        if last and not self._stopped:
            self._end_frame()
        return pos + size

    cdef int _gathered(self, const octet *target, Py_ssize_t size) except -1:
        """`size` octets of the payload are where they belong, behind those before."""
        self._remaining -= <u64>size
        if self._validate_utf8 and not self._is_binary:
            if <Py_ssize_t>ab_check_utf8(&self._utf8, target, size) != size:
                self._bad_utf8(None, 0)
        self._filled += size
        self._total += <u64>size
        return 0

    cdef void _unmask(self, octet *target, const octet *source, Py_ssize_t size) noexcept:
        cdef octet key[4]
        cdef int at
        if not self._keyed:
            ab_copy(target, source, size)
            return
        ab_xor(target, source, size, self._key)
        if size & 3:
            memcpy(key, self._key, 4)
            for at in range(4):
                self._key[at] = key[(at + size) & 3]

    cdef octet *_room(self, Py_ssize_t size) except NULL:
        """Where `size` more octets (at least 1) of the message go; `_filled` is not moved."""
        cdef u64 need = <u64>self._filled + <u64>size
        cdef u64 capacity = 0 if self._buffer == NULL else <u64>ab_capacity(self._buffer)
        cdef u64 want, known
        if need > capacity:
            want = capacity * 2
            if not self._compressed:
                known = <u64>self._filled + self._remaining
                if not capacity:  # who has sent that much before need not prove it again
                    want = min(known, max(<u64>FIRST_BUFFER, self._largest))
                elif self._fin:  # nothing comes after it
                    want = min(known, 4 * capacity)
            if self._max_message and want > self._max_message:
                want = self._max_message
            if want < need:
                want = need
            if want > <u64>PY_SSIZE_T_MAX:
                raise MemoryError
            if self._buffer == NULL:
                self._buffer = ab_new_bytes(NULL, <Py_ssize_t>want)
            else:
                _resize(&self._buffer, self._filled, <Py_ssize_t>want)  # on failure it sets NULL, and we die
        return <octet *>ab_data(self._buffer) + self._filled

    cdef int _append(self, object chunk) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(chunk)
        cdef octet *target = self._room(size)
        ab_copy(target, PyBytes_AS_STRING(chunk), size)
        self._filled += size
        return 0

    cdef int _inflate(self, object chunk) except -1:
        """Inflate `chunk` in steps, so that nobody makes us allocate far beyond the limit."""
        cdef Py_ssize_t step
        cdef bytes out
        while not self._stopped:
            step = self._step()
            out = <bytes?>self._inflater.decompress(chunk, step)
            if PyBytes_GET_SIZE(out):
                self._take_inflated(out)
            if PyBytes_GET_SIZE(out) < step:
                return 0
            chunk = b""
        return 0

    cdef Py_ssize_t _step(self) noexcept:
        cdef u64 room
        if self._max_message:
            room = self._max_message - self._total
            if room < INFLATE_STEP:
                return <Py_ssize_t>room + 1
        return INFLATE_STEP

    cdef int _take_inflated(self, bytes out) except -1:
        cdef u64 size = <u64>PyBytes_GET_SIZE(out)
        if self._max_message and self._total + size > self._max_message:
            out = out[: <Py_ssize_t>(self._max_message - self._total)]
            if PyBytes_GET_SIZE(out):
                self._take(out)
            if not self._stopped:
                raise FrameError(
                    1009, f"expected a message of at most {self._max_message} octets, got more once inflated"
                )
            return 0
        return self._take(out)

    cdef int _take(self, bytes chunk) except -1:
        """Add `chunk` (not empty) to the message, or hand it to the stream."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(chunk), valid
        cdef bytes single
        if self._validate_utf8 and not self._is_binary:
            valid = <Py_ssize_t>ab_check_utf8(&self._utf8, <const octet *>PyBytes_AS_STRING(chunk), size)
            if valid != size:
                self._bad_utf8(chunk, valid)
                return 0
        self._total += <u64>size
        if self._stream is not None:
            self._stream_data(chunk)
        elif self._single is None and self._buffer == NULL:
            self._single = chunk
        else:
            if self._single is not None:
                single = <bytes>self._single
                self._single = None
                self._append(single)
            self._append(chunk)
        return 0

    cdef int _stream_data(self, bytes chunk) except -1:
        try:
            self._stream.frame_data(chunk)
        except Exception as exc:
            self._on_error(exc)
        return 0

    cdef int _end_frame(self) except -1:
        cdef object stream = self._stream
        cdef bytes out
        if self._fin and self._compressed:
            out = <bytes?>self._inflater.end_message(self._step())
            if PyBytes_GET_SIZE(out):
                self._take_inflated(out)
        if stream is not None and not self._stopped:
            try:
                stream.frame_end()
            except Exception as exc:
                self._on_error(exc)
        if self._fin and not self._stopped:
            self._end_message()
        return 0

    cdef int _end_message(self) except -1:
        cdef object payload
        self._check_utf8_end()
        self._in_message = False
        self._total = 0
        if self._stream is not None:
            try:
                self._stream.message_end()
            except Exception as exc:
                self._on_error(exc)
            return 0
        if self._single is not None:
            payload = self._single
        elif self._buffer == NULL:
            payload = b""
        else:
            if ab_capacity(self._buffer) != self._filled:
                _resize(&self._buffer, self._filled, self._filled)
            payload = <object>self._buffer
            self._largest = max(self._largest, <u64>self._filled)
        self._drop_message()
        return self._deliver(<PyObject *>payload, self._is_binary)

    # -- UTF-8 ---------------------------------------------------------------------------------------------------

    cdef int _bad_utf8(self, object chunk, Py_ssize_t valid) except -1:
        """Raise 1007 (RFC 6455 8.1); a stream gets the octets before the bad one."""
        if valid and self._stream is not None:
            self._stream_data(chunk[:valid])
            if self._stopped:
                return 0
        raise FrameError(1007, "expected UTF-8 in a text message, got an invalid octet")

    cdef int _check_utf8_end(self) except -1:
        if self._utf8.need:
            raise FrameError(1007, "expected UTF-8 in a text message, got an unfinished sequence at its end")
        return 0

    # -- callbacks -----------------------------------------------------------------------------------------------

    cdef int _deliver(self, PyObject *payload, bint is_binary) except -1:
        """Hand on a message; the caller refers to it until this returns."""
        cdef PyObject *result
        cdef u64 version
        if self._own is not None:
            version = ab_version(<PyObject *>self._own)
            if (not version or version != self._version) and not self._look(version):
                return 0
        result = ab_call(<PyObject *>self.on_message, payload, is_binary)
        if result == <PyObject *>None:
            Py_DECREF(result)
            return 0
        return self._came_back(result)

    cdef int _came_back(self, PyObject *result) except -1:
        """A program has returned this (a reference of ours) or, NULL, raised an exception."""
        cdef object outcome
        try:
            if result == NULL:
                ab_raise()
            outcome = <object>result
            Py_DECREF(result)
            self._on_result(outcome)
        except Exception as exc:
            self._on_error(exc)
        return 0

    cdef bint _look(self, u64 version) except -1:
        """Whether it is known who gets messages; nobody does when `renew` raises."""
        cdef PyObject *override
        try:
            override = PyDict_GetItemWithError(self._own, "onMessage")
            self._version = version
            if override != <PyObject *>self._override and (override != NULL or self._override is not None):
                self._override = None if override == NULL else <object>override
                self._renew()
        except Exception as exc:
            self._on_error(exc)
            return False
        return True

    cdef int _control(self, int opcode, object payload) except -1:
        cdef object code = None, reason = None
        if opcode == 8:
            code, reason = _parse_close(payload)
            self._stop()
        try:
            if opcode == 9:
                self._on_ping(payload)
            elif opcode == 10:
                self._on_pong(payload)
            else:
                self._on_close(code, reason)
        except Exception as exc:
            self._on_error(exc)
        return 0


include "_writer.pxi"
include "_pump.pxi"
