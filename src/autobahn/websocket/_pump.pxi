# The third part of the compiled frame unit: included by _frames.pyx.

cdef class Pump:
    """Takes what a transport puts into a buffer to an open connection, and hands on what that wrote.

    `get_buffer` and `buffer_updated` are those of an `asyncio.BufferedProtocol`. `connection`: a `Connection`. `buffer`:
    a memoryview of octets. `flush` is called when the writer of the connection holds octets after a read.
    """

    cdef object _connection, _flush, _view
    cdef Writer _writer
    cdef object _receive  # what `connection.receive` was last
    cdef Reader _reader  # whose `feed` that is, or None
    cdef public object keep_alive
    cdef readonly u64 received  # octets so far

    def __init__(self, connection, buffer not None, flush):
        self._view = buffer
        self._connection = connection
        self._writer = connection.writer
        self._flush = flush

    def stop(self):
        """Nothing is received any more; nothing but the buffer is referred to."""
        self._connection = self._flush = self._receive = self.keep_alive = None
        self._reader = None

    def get_buffer(self, sizehint):
        """Where the transport puts what it receives."""
        return self._view

    def buffer_updated(self, Py_ssize_t nbytes):
        """The transport has put `nbytes` octets there. All that is written meanwhile leaves in one write."""
        cdef object connection = self._connection, receive
        cdef Writer writer = self._writer
        if connection is None:
            return
        self.received += <u64>nbytes
        writer.corked = True
        try:
            receive = connection.receive
            if receive is not self._receive:
                self._receive = receive
                self._reader = _reader_of(receive)
            if self._reader is None:
                receive(self._view[:nbytes])
            else:
                self._feed(nbytes)
        except FrameError as error:
            connection.violated(error)
        finally:
            writer.corked = False
        if writer._filled and self._flush is not None:
            self._flush()
        if self.keep_alive is not None:
            self.keep_alive.active = True

    cdef int _feed(self, Py_ssize_t nbytes) except -1:
        cdef Reader reader = self._reader
        cdef Py_buffer view
        PyObject_GetBuffer(self._view, &view, PyBUF_SIMPLE)
        try:
            if not 0 <= nbytes <= view.len:
                raise ValueError(f"expected at most {view.len} octets, got {nbytes}")
            reader._take_in(<const octet *>view.buf, nbytes)
        finally:
            PyBuffer_Release(&view)
        return 0


cdef Reader _reader_of(receive):
    """The reader whose `feed` is `receive`, or None."""
    cdef object owner = getattr(receive, "__self__", None)
    return <Reader>owner if isinstance(owner, Reader) and receive == owner.feed else None


def trim_memory():
    """Memory that was freed goes back to the system where the C library does that only when asked (glibc)."""
    with nogil:
        ab_trim()
