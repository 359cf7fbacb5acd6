# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Compiled RawSocket frames: same events and errors as the Python twin `_frames_py` for the same bytes under any split.

Memory rules: a pointer into `data` lives only within the `feed` that holds a reference to it, or within the read of a
`Pump`; a pointer into the payload or output buffer is never used after a call into Python code.
"""

import os
from functools import partial

from autobahn.rawsocket.errors import FrameError

include "../_gather.pxi"
include "../_lane.pxi"


cdef enum:
    LONGEST = 16777216  # octets of a payload
    TYPE_MESSAGE = 0
    TYPE_PING = 1
    TYPE_PONG = 2

cdef tuple _NAMES = ("message", "ping", "pong")


cdef void _put_head(octet *target, int kind, Py_ssize_t length) noexcept:
    target[0] = <octet>kind
    target[1] = <octet>(length >> 16)
    target[2] = <octet>(length >> 8 & 0xFF)
    target[3] = <octet>(length & 0xFF)


cdef bytes _octets(data):
    """`data` as bytes; TypeError for text, numbers, None."""
    return data if PyBytes_CheckExact(data) else bytes(memoryview(data))


cdef class Writer(Gatherer):
    """Gathers frames in one buffer (`_frames_py.Writer`)."""

    cdef Py_ssize_t _limit
    cdef public object long_way

    def __init__(self, wake):
        self._wake = wake
        self._limit = LONGEST - 1
        self.long_way = partial(self.frame, TYPE_MESSAGE)

    @property
    def limit(self):
        """The longest payload of a message that takes the usual way."""
        return self._limit

    @limit.setter
    def limit(self, Py_ssize_t limit):
        self._limit = min(limit, LONGEST - 1)

    @property
    def c_append(self):
        """`message` for other compiled units (`_lane.pxi`)."""
        return _APPEND

    def frame(self, int kind, payload):
        """Append one frame. The caller answers for its length."""
        self._frame(kind, _octets(payload))

    def message(self, payload, binary=True):
        """Append a message, or take the long way. `binary` is for interfaces that ask: RawSocket does not know it."""
        cdef bytes octets = _octets(payload)
        if PyBytes_GET_SIZE(octets) > self._limit:
            self.long_way(payload)
        else:
            self._frame(TYPE_MESSAGE, octets)

    cdef int _frame(self, int kind, bytes payload) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef Py_ssize_t length = size
        cdef octet *target
        if size >= LONGEST:
            kind |= 8
            length = 0
        if not self._filled and not self.corked:
            self._wake()
        target = self._room(4 + size)
        _put_head(target, kind, length)
        ab_copy(target + 4, PyBytes_AS_STRING(payload), size)
        self._filled += 4 + size
        return 0


cdef int _append_spans(PyObject *writer, const ab_span *spans, int count) except -1:
    """Append a message if it takes the usual way; whether it did."""
    cdef Writer self = <Writer>writer
    cdef Py_ssize_t size = 0
    cdef octet *target
    cdef int i
    for i in range(count):
        size += spans[i].size
    if size > self._limit:
        return 0
    if not self._filled and not self.corked:
        self._wake()
    target = self._room(4 + size)
    _put_head(target, TYPE_MESSAGE, size)
    target += 4
    for i in range(count):
        ab_copy(target, spans[i].data, spans[i].size)
        target += spans[i].size
    self._filled += 4 + size
    return 1


_APPEND = PyCapsule_New(<void *>_append_spans, "autobahn.append", NULL)


cdef class Reader:
    """Calls back once per complete frame, in place (`_frames_py.Reader`)."""

    cdef object _on_message, _on_ping, _on_pong
    cdef object _lane  # whose method `_on_message` is, if that has a short way
    cdef ab_take _take_message  # the short way: octets where they are
    cdef PyObject *_buffer  # the payload being gathered: bytes only we refer to, or NULL
    cdef Py_ssize_t _filled
    cdef octet _head[4]
    cdef Py_ssize_t _head_filled
    cdef int _kind  # of the frame whose payload is being gathered, or -1
    cdef Py_ssize_t _missing  # octets of that payload
    cdef Py_ssize_t _limit
    cdef Py_ssize_t _plain  # heads up to here are messages of that length; -1: stopped
    cdef bint _stopped, _working

    def __cinit__(self):
        self._buffer = NULL
        self._kind = -1

    def __dealloc__(self):
        Py_XDECREF(self._buffer)

    def __init__(self, on_message, on_ping, on_pong, Py_ssize_t limit=LONGEST):
        self.on_message = on_message
        self._on_ping = on_ping
        self._on_pong = on_pong
        self._set_limit(limit)

    @property
    def on_message(self):
        """What messages go to; may be replaced at any time."""
        return self._on_message

    @on_message.setter
    def on_message(self, on_message):
        cdef object lane = getattr(on_message, "__self__", None)
        cdef object capsule = getattr(lane, "c_take", None)
        self._on_message = on_message
        if PyCapsule_IsValid(capsule, "autobahn.take") and on_message == lane.receive:
            self._lane = lane
            self._take_message = <ab_take>PyCapsule_GetPointer(capsule, "autobahn.take")
        else:
            self._lane = None
            self._take_message = NULL

    @property
    def limit(self):
        """The longest payload allowed."""
        return self._limit

    @limit.setter
    def limit(self, Py_ssize_t limit):
        self._set_limit(limit)

    @property
    def is_idle(self):
        """Whether no frame has begun."""
        return self._kind < 0 and not self._head_filled

    def stop(self):
        """Nothing is called any more, nor referred to, and what is fed is ignored."""
        self._stop()

    def feed(self, data):
        """Take octets of the peer."""
        cdef bytes octets = _octets(data)
        self._take_in(<const octet *>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))

    cdef void _set_limit(self, Py_ssize_t limit) noexcept:
        self._limit = limit
        if not self._stopped:
            self._plain = min(limit, LONGEST - 1)

    cdef void _stop(self) noexcept:
        self._stopped = True
        self._plain = -1
        self._on_message = self._on_ping = self._on_pong = self._lane = None
        self._take_message = NULL
        self._head_filled = 0
        self._drop()

    cdef void _drop(self) noexcept:
        cdef PyObject *buffer = self._buffer
        self._buffer = NULL
        self._filled = 0
        Py_XDECREF(buffer)

    cdef int _take_in(self, const octet *data, Py_ssize_t end) except -1:
        """Consume octets that stay where they are until this returns."""
        if self._stopped:
            return 0
        if self._working:
            raise RuntimeError("expected feed() outside of callbacks, got a call from within one")
        self._working = True
        try:
            self._parse(data, end)
        finally:
            self._working = False
        return 0

    cdef octet *_place(self, Py_ssize_t *room) except? NULL:
        """Where what is missing of the payload belongs, and for how much of it there is room; NULL: nowhere."""
        if self._working:
            return NULL
        self._make_room(PLACED_FROM)
        room[0] = min(self._missing, ab_capacity(self._buffer) - self._filled)
        return <octet *>ab_data(self._buffer) + self._filled

    cdef int _take_placed(self, Py_ssize_t placed, const octet *data, Py_ssize_t size) except -1:
        """Consume octets that have come to where `_place` said, and then those of `data`."""
        self._filled += placed
        self._missing -= placed
        self._take_in(data, size)
        return 0

    cdef int _parse(self, const octet *data, Py_ssize_t end) except -1:
        cdef Py_ssize_t at = 0, begin
        cdef long long length
        cdef int kind
        cdef object lane
        if self._kind >= 0 or self._head_filled:
            at = self._resume(data, end)
        while self._plain >= 0:  # a callback may have changed the limit, or stopped us
            begin = at + 4
            if begin > end:
                if at < end:
                    memcpy(self._head, data + at, end - at)
                    self._head_filled = end - at
                return 0
            length = _word(data + at)
            kind = TYPE_MESSAGE
            if length > self._plain:
                kind = self._judge(&length)
            if length > end - begin:
                self._kind = kind
                self._missing = <Py_ssize_t>length
                self._keep(data + begin, end - begin)
                return 0
            at = begin + <Py_ssize_t>length
            if kind == TYPE_MESSAGE and self._take_message != NULL:
                lane = self._lane  # may be replaced meanwhile
                self._take_message(<PyObject *>lane, data + begin, at - begin)
                continue
            self._call(kind, _bytes_of(data + begin, at - begin))
        return 0

    cdef Py_ssize_t _resume(self, const octet *data, Py_ssize_t end) except -1:
        """Go on with the frame that has begun; how many octets of `data` it took."""
        cdef Py_ssize_t at = 0, missing
        cdef long long length
        cdef int kind
        cdef object payload
        if self._kind < 0:
            at = min(4 - self._head_filled, end)
            memcpy(self._head + self._head_filled, data, at)
            self._head_filled += at
            if self._head_filled < 4:
                return end
            self._head_filled = 0
            length = _word(self._head)
            self._kind = self._judge(&length)
            self._missing = <Py_ssize_t>length
        missing = self._missing
        if end - at < missing:
            self._keep(data + at, end - at)
            return end
        if self._buffer == NULL:
            payload = _bytes_of(data + at, missing)
        else:
            self._keep(data + at, missing)
            payload = self._take()
        kind = self._kind
        self._kind = -1
        self._call(kind, payload)
        return at + missing

    cdef int _keep(self, const octet *data, Py_ssize_t size) except -1:
        """Gather `size` octets of the payload."""
        self._make_room(size)
        if size:
            ab_copy(<octet *>ab_data(self._buffer) + self._filled, data, size)
        self._filled += size
        self._missing -= size
        return 0

    cdef int _make_room(self, Py_ssize_t size) except -1:
        """Room for `size` more octets of the payload; there will never be much more than has arrived."""
        cdef Py_ssize_t need = self._filled + size
        cdef Py_ssize_t capacity = 0 if self._buffer == NULL else ab_capacity(self._buffer)
        cdef Py_ssize_t want
        if need > capacity:
            want = min(self._filled + self._missing, 4 * need + 256)
            try:
                if self._buffer == NULL:
                    self._buffer = ab_new_bytes(NULL, want)
                else:
                    _resize(&self._buffer, self._filled, want)
            except BaseException:  # the buffer is gone
                self._stop()
                raise
        return 0

    cdef object _take(self):
        """The payload, which is complete."""
        cdef PyObject *buffer
        cdef object payload
        if ab_capacity(self._buffer) != self._filled:
            try:
                _resize(&self._buffer, self._filled, self._filled)
            except BaseException:  # the buffer is gone
                self._stop()
                raise
        buffer = self._buffer
        self._buffer = NULL
        self._filled = 0
        payload = <object>buffer
        Py_DECREF(buffer)
        return payload

    cdef int _judge(self, long long *length) except -1:
        """The type of the frame whose head is `length`, which becomes its length."""
        cdef int first = <int>(length[0] >> 24)
        cdef int kind = first & 7
        length[0] &= 0xFFFFFF
        if first & 0xF0 or kind > TYPE_PONG:
            raise FrameError(f"expected a frame of type 0, 1 or 2 without reserved bits, got the octet 0x{first:02x}")
        if first & 8:
            if length[0]:
                raise FrameError(f"expected length 0 beside the 25th bit, got {length[0]}")
            length[0] = LONGEST
        if length[0] > self._limit:
            raise FrameError(f"expected a {_NAMES[kind]} of at most {self._limit} octets, got {length[0]}")
        return kind

    cdef int _call(self, int kind, payload) except -1:
        if kind == TYPE_MESSAGE:
            self._on_message(payload)
        elif kind == TYPE_PING:
            self._on_ping(payload)
        else:
            self._on_pong(payload)
        return 0


cdef long long _word(const octet *data) noexcept:
    """A head as a number."""
    return <long long>(<u64>data[0] << 24 | <u64>data[1] << 16 | <u64>data[2] << 8 | <u64>data[3])


include "../_pump.pxi"


cdef class Pump(BasePump):
    """Takes octets to a reader (`BasePump`); `failed(exc)` is called with what `reader.feed` would have raised."""

    cdef object _failed
    cdef Reader _reader

    def __init__(self, Reader reader not None, Writer writer not None, buffer not None, flush, failed):
        self._begin(writer, buffer, flush)
        self._reader = reader
        self._failed = failed

    cdef void _stopped(self):
        self._reader = None
        self._failed = None

    cdef octet *_place(self, Py_ssize_t *room) except? NULL:
        cdef Reader reader = self._reader
        if reader is None or reader._kind < 0 or reader._missing < PLACED_FROM:
            return NULL
        return reader._place(room)

    cdef object _payload(self):
        return None if self._reader is None or self._reader._buffer == NULL else <object>self._reader._buffer

    cdef int _feed(self, Py_ssize_t placed, const octet *data, Py_ssize_t size) except -1:
        cdef Reader reader = self._reader
        cdef object failed = self._failed
        try:
            if placed:
                reader._take_placed(placed, data, size)
            else:
                reader._take_in(data, size)
        except Exception as error:
            failed(error)
        return 0
