# What the compiled frame units of WebSocket and RawSocket share, included by both: octets gathered for a transport.

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

ctypedef unsigned char octet
ctypedef unsigned long long u64

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    char *ab_data "PyBytes_AS_STRING"(PyObject *)
    Py_ssize_t ab_capacity "PyBytes_GET_SIZE"(PyObject *)
    void Py_XDECREF(PyObject *)
    void Py_DECREF(PyObject *)
    PyObject *ab_new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) except NULL
    Py_ssize_t ab_references "Py_REFCNT"(PyObject *)
    Py_ssize_t PY_SSIZE_T_MAX


cdef enum:
    MEBIBYTE = 1048576
    LARGE = 65536  # from this size on, output buffers are handed on instead of freed
    LARGEST_SPARE = 4194304

# A large output buffer that nobody uses at present. Allocating one anew for every batch costs a page fault for each
# 4 KiB of it, which is more than building the frames. One will do: a batch is flushed before the next is read.
cdef PyObject *_spare = NULL


cdef class Gatherer:
    """Gathers octets in one buffer; `wake()` is called when it stops being empty while not `corked`."""

    cdef object _wake
    cdef object _single  # the whole content when it is one object given to raw(), or None
    cdef PyObject *_buffer  # the content otherwise: bytes only we refer to, or NULL
    cdef Py_ssize_t _filled  # octets waiting, in either
    cdef public bint corked

    def __cinit__(self):
        self._buffer = NULL

    def __dealloc__(self):
        Py_XDECREF(self._buffer)

    @property
    def size(self):
        """Octets waiting."""
        return self._filled

    def raw(self, data):
        """Append octets as they are."""
        cdef Py_ssize_t size
        cdef bint was_empty
        if not PyBytes_CheckExact(data):
            data = bytes(memoryview(data))
        size = PyBytes_GET_SIZE(data)
        if not size:
            return
        was_empty = not self._filled
        if was_empty:
            self._single = data
        else:
            memcpy(self._room(size), PyBytes_AS_STRING(data), size)
        self._filled += size
        if was_empty and not self.corked:
            self._wake()

    def take(self):
        """All octets waiting; the buffer is empty afterwards."""
        cdef object data
        cdef PyObject *buffer
        if not self._filled:
            return b""
        if self._single is not None:
            data = self._single
            self._single = None
        else:
            if ab_capacity(self._buffer) != self._filled:
                try:
                    _PyBytes_Resize(&self._buffer, self._filled)
                except BaseException:  # the buffer is gone
                    self._filled = 0
                    raise
            buffer = self._buffer
            self._buffer = NULL
            data = <object>buffer
            Py_DECREF(buffer)
        self._filled = 0
        return data

    def flush(self, write):
        """Hand all octets waiting to `write` (bytes, or a view that is valid as long as it is referenced)."""
        cdef object data, view
        cdef PyObject *buffer
        if self._filled < LARGE or self._single is not None:
            if self._filled:
                write(self.take())
            return
        buffer = self._buffer  # now ours
        data = <object>buffer
        view = memoryview(data)[: self._filled]
        self._buffer = NULL
        self._filled = 0
        try:
            write(view)
        finally:
            view = None
            if ab_references(buffer) == 2:  # `data` and ours: `write` kept nothing
                _give_spare(buffer)
            else:
                Py_DECREF(buffer)

    @cython.final
    cdef octet *_room(self, Py_ssize_t size) except NULL:
        """Where `size` more octets (at least 1) go; `_filled` is not moved."""
        cdef object single = self._single
        cdef Py_ssize_t need, capacity, want
        if size > PY_SSIZE_T_MAX // 4 - self._filled:
            raise MemoryError
        need = self._filled + size
        capacity = 0 if self._buffer == NULL else ab_capacity(self._buffer)
        if need > capacity:
            if not self._filled:
                want = need  # often the only frame of its batch
            elif need < MEBIBYTE:
                want = max(2 * need, 256)
            else:
                want = need + need // 2
            if want >= LARGE and self._use_spare(need):
                pass
            elif self._buffer == NULL:
                self._buffer = ab_new_bytes(NULL, want)
            else:
                try:
                    _PyBytes_Resize(&self._buffer, want)
                except BaseException:  # the buffer is gone
                    self._filled = 0
                    raise
            if single is not None:
                memcpy(ab_data(self._buffer), PyBytes_AS_STRING(single), PyBytes_GET_SIZE(single))
                self._single = None
        return <octet *>ab_data(self._buffer) + self._filled

    @cython.final
    cdef bint _use_spare(self, Py_ssize_t need) noexcept:
        """Go over to the spare buffer if it has room for `need` octets."""
        global _spare
        cdef PyObject *buffer = _spare
        if buffer == NULL or ab_capacity(buffer) < need:
            return False
        _spare = NULL
        if self._buffer != NULL:
            if self._filled and self._single is None:
                memcpy(ab_data(buffer), ab_data(self._buffer), self._filled)
            Py_DECREF(self._buffer)
        self._buffer = buffer
        return True


cdef void _give_spare(PyObject *buffer) noexcept:
    """Keep `buffer` (a reference of ours) for whoever needs a large one next, or drop it."""
    global _spare
    cdef PyObject *other = buffer
    if ab_capacity(buffer) <= LARGEST_SPARE and (_spare == NULL or ab_capacity(_spare) < ab_capacity(buffer)):
        other = _spare
        _spare = buffer
    Py_XDECREF(other)
