# The third part of the compiled frame unit: included by _frames.pyx.

include "../_pump.pxi"


cdef class Pump(BasePump):
    """Takes octets to an open connection (`BasePump`). `connection`: a `Connection`."""

    cdef object _connection
    cdef object _receive  # what `connection.receive` was last
    cdef Reader _reader  # whose `feed` that is, or None

    def __init__(self, connection, buffer not None, flush):
        cdef Writer writer = connection.writer
        self._begin(writer, buffer, flush)
        self._connection = connection

    cdef void _stopped(self):
        self._connection = self._receive = None
        self._reader = None

    cdef octet *_place(self, Py_ssize_t *room) except? NULL:
        cdef Reader reader = self._reader
        if reader is None or reader._remaining < PLACED_FROM or self._connection.receive is not self._receive:
            return NULL
        return reader._place(room)

    cdef object _payload(self):
        return None if self._reader is None or self._reader._buffer == NULL else <object>self._reader._buffer

    cdef int _feed(self, Py_ssize_t placed, const octet *data, Py_ssize_t size) except -1:
        cdef object connection = self._connection, receive
        cdef Reader reader = self._reader  # a callback may make everybody forget it
        try:
            if placed:
                reader._take_placed(placed, data, size)
                return 0
            receive = connection.receive
            if receive is not self._receive:
                self._receive = receive
                self._reader = _reader_of(receive)
            if self._reader is None:
                receive(self._view[:size])
            else:
                self._reader._take_in(data, size)
        except FrameError as error:
            connection.violated(error)
        return 0


cdef Reader _reader_of(receive):
    """The reader whose `feed` is `receive`, or None."""
    cdef object owner = getattr(receive, "__self__", None)
    return <Reader>owner if isinstance(owner, Reader) and receive == owner.feed else None


def trim_memory():
    """Memory that was freed goes back to the system where the C library does that only when asked (glibc)."""
    with nogil:
        ab_trim()
