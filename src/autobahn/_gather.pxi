# What the compiled frame units of WebSocket and RawSocket share, included by both: octets gathered for a transport.

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

ctypedef unsigned char octet
ctypedef unsigned long long u64

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    char *ab_data "PyBytes_AS_STRING"(PyObject *)
    Py_ssize_t ab_capacity "PyBytes_GET_SIZE"(PyObject *)
    void Py_INCREF(PyObject *)
    void Py_XDECREF(PyObject *)
    void Py_DECREF(PyObject *)
    PyObject *ab_new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) except NULL
    Py_ssize_t ab_references "Py_REFCNT"(PyObject *)
    Py_ssize_t PY_SSIZE_T_MAX

include "_copy.pxi"
include "_socket.pxi"


ctypedef struct Outside:
    Py_ssize_t at  # octets of the buffer before it
    PyObject *payload  # bytes; a reference of ours


cdef enum:
    MEBIBYTE = 1048576
    LARGE = 65536  # from this size on, output buffers are handed on instead of freed
    LARGEST_SPARE = 4194304
    OUTSIDE_FROM = 16384  # from this size on, a payload that goes straight to the system is not copied before
    MOST_OUTSIDE = 16

# A large output buffer that nobody uses at present. Allocating one anew for every batch costs a page fault for each
# 4 KiB of it, which is more than building the frames. One will do: a batch is flushed before the next is read.
cdef PyObject *_spare = NULL


cdef class Methods:
    """What a type of transports is asked all the time: the functions, which need not be looked up again."""

    cdef object is_closing, get_write_buffer_size, is_reading, get_protocol


cdef dict _methods = {}


cdef Methods _methods_of(type kind):
    cdef Methods found = _methods.get(kind)
    if found is None:
        found = _methods[kind] = Methods()
        found.is_closing, found.get_write_buffer_size = kind.is_closing, kind.get_write_buffer_size
        found.is_reading, found.get_protocol = kind.is_reading, kind.get_protocol
    return found


cdef class Gatherer:
    """Gathers octets in one buffer; `wake()` is called when it stops being empty while not `corked`.

    With a transport (`attach`) they can also go straight to the socket, without a Python call and a copy on the way.
    """

    cdef object _wake
    cdef object _single  # the whole content when it is one object given to raw(), or None
    cdef PyObject *_buffer  # the content otherwise: bytes only we refer to, or NULL
    cdef Py_ssize_t _filled  # octets waiting, in whatever
    cdef Outside *_outside  # large payloads that belong between the octets of the buffer, or NULL
    cdef int _outside_count
    cdef Py_ssize_t _outside_size  # octets in those
    cdef object _transport  # whose socket takes octets straight, or None
    cdef int _socket
    cdef Methods _methods  # of its type; None: it is asyncio's, whose attributes tell the same
    cdef public bint corked
    cdef bint _is_late  # what is written while corked is not sent at once after that
    cdef readonly u64 sent  # octets `send` has handed on so far

    def __cinit__(self):
        self._buffer = NULL
        self._outside = NULL

    def __dealloc__(self):
        Py_XDECREF(self._buffer)
        _drop_outside(self._outside, self._outside_count)

    @property
    def size(self):
        """Octets waiting."""
        return self._filled

    def attach(self, transport, int socket, bint is_asyncios=False):
        """From now on `send` works: the transport writes to `socket` what it gets, unchanged and in order.

        `is_asyncios`: it is the one of asyncio's selector loop, whose attributes are known.
        """
        if AB_SOCKETS:
            self._transport = transport
            self._socket = socket
            self._methods = None if is_asyncios else _methods_of(type(transport))

    def detach(self):
        """The socket is not touched any more."""
        self._transport = None

    def send(self, bint is_last=False):
        """Whether all octets waiting went to the socket, and to the transport what that does not take at once.

        False: nothing has changed, because nothing is attached, or the transport is closed or has octets waiting.
        While it is closing its socket is still open: what that takes at once leaves, and the rest is lost.
        `is_last`: the transport is closed next, so FIN may go with them.
        """
        return self._send(is_last)

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
            ab_copy(self._room(size), PyBytes_AS_STRING(data), size)
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
            if self._outside_count:
                self._join()
            if ab_capacity(self._buffer) != self._filled:
                try:
                    _PyBytes_Resize(&self._buffer, self._filled)
                except BaseException:  # the buffer is gone
                    self._forget()
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
        if self._outside_count:
            self._join()
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
    cdef bint _send(self, bint is_last) except -1:
        cdef object transport = self._transport, single
        cdef Methods of = self._methods
        cdef ab_part parts[2 * MOST_OUTSIDE + 1]
        cdef PyObject *buffer
        cdef Outside *outside
        cdef int count, outside_count
        cdef Py_ssize_t size = self._filled, sent
        if transport is None:
            return False
        if transport._closing if of is None else of.is_closing(transport):
            if transport.get_protocol() is None:  # the number of its socket may be somebody else's by now
                return False
        if transport._buffer if of is None else of.get_write_buffer_size(transport):
            return False
        if not size:
            return True
        count = self._list_parts(parts)
        sent = ab_send(self._socket, parts, count, size, is_last)
        # What is not sent yet is ours from here on: `transport.write` may call a program, which may write more.
        single, buffer, outside, outside_count = self._single, self._buffer, self._outside, self._outside_count
        self._single = None
        if single is None:
            self._buffer = NULL
        self._outside = NULL
        self._outside_count = 0
        self._outside_size = self._filled = 0
        self.sent += <u64>size
        try:
            if sent != size:
                _write_rest(transport, single, buffer, outside, outside_count, parts, count, sent)
        finally:
            if outside != NULL:
                _drop_outside(outside, outside_count)
            if single is None:
                if ab_references(buffer) == 1:
                    _give_spare(buffer)
                else:
                    Py_DECREF(buffer)
        return True

    @cython.final
    cdef int _list_parts(self, ab_part *parts) noexcept:
        """Where the octets waiting are, in order; how many parts that makes."""
        cdef int count = 0, index
        cdef Py_ssize_t done = 0, used
        cdef Outside *each
        if self._single is not None:
            parts[0].iov_base = PyBytes_AS_STRING(self._single)
            parts[0].iov_len = self._filled
            return 1
        for index in range(self._outside_count):
            each = &self._outside[index]
            if each.at > done:
                parts[count].iov_base = ab_data(self._buffer) + done
                parts[count].iov_len = each.at - done
                count += 1
                done = each.at
            parts[count].iov_base = ab_data(each.payload)
            parts[count].iov_len = ab_capacity(each.payload)
            count += 1
        used = self._filled - self._outside_size
        if used > done:
            parts[count].iov_base = ab_data(self._buffer) + done
            parts[count].iov_len = used - done
            count += 1
        return count

    @cython.final
    cdef bint _takes_outside(self, Py_ssize_t size) noexcept:
        """Whether a payload of that size is to be referred to rather than copied."""
        if size < OUTSIDE_FROM or self._transport is None or self._outside_count == MOST_OUTSIDE:
            return False
        if self._outside == NULL:
            self._outside = <Outside *>malloc(MOST_OUTSIDE * sizeof(Outside))
        return self._outside != NULL

    @cython.final
    cdef void _append_outside(self, object payload) noexcept:
        """Append bytes by reference (`_takes_outside`); something in the buffer (a head) comes before."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef Outside *each = &self._outside[self._outside_count]
        each.at = self._filled - self._outside_size
        each.payload = <PyObject *>payload
        Py_INCREF(each.payload)
        self._outside_count += 1
        self._outside_size += size
        self._filled += size

    @cython.final
    cdef int _join(self) except -1:
        """All octets waiting are in the buffer."""
        cdef ab_part parts[2 * MOST_OUTSIDE + 1]
        cdef PyObject *buffer = ab_new_bytes(NULL, self._filled)
        cdef char *target = ab_data(buffer)
        cdef int index
        for index in range(self._list_parts(parts)):
            ab_copy(target, parts[index].iov_base, parts[index].iov_len)
            target += parts[index].iov_len
        Py_XDECREF(self._buffer)
        self._buffer = buffer
        _drop_outside(self._outside, self._outside_count)
        self._outside = NULL
        self._outside_count = 0
        self._outside_size = 0
        return 0

    @cython.final
    cdef octet *_room(self, Py_ssize_t size) except NULL:
        """Where `size` more octets (at least 1) go; `_filled` is not moved."""
        cdef object single = self._single
        cdef Py_ssize_t used = self._filled - self._outside_size
        cdef Py_ssize_t need, capacity, want
        if size > PY_SSIZE_T_MAX // 4 - self._filled:
            raise MemoryError
        need = used + size
        capacity = 0 if self._buffer == NULL else ab_capacity(self._buffer)
        if need > capacity:
            if not used:
                want = need  # often the only frame of its batch
            elif need < MEBIBYTE:
                want = max(2 * need, 256)
            else:
                want = need + need // 2
            # What is sent at the end of this read needs a buffer only until then: the spare one does for all sizes.
            if self.corked and not self._is_late and self._transport is not None and want < LARGE:
                want = LARGE
            if want >= LARGE and self._use_spare(need, used):
                pass
            elif self._buffer == NULL:
                self._buffer = ab_new_bytes(NULL, want)
            else:
                try:
                    _PyBytes_Resize(&self._buffer, want)
                except BaseException:  # the buffer is gone
                    self._forget()
                    raise
            if single is not None:
                ab_copy(ab_data(self._buffer), PyBytes_AS_STRING(single), PyBytes_GET_SIZE(single))
                self._single = None
        return <octet *>ab_data(self._buffer) + used

    @cython.final
    cdef bint _use_spare(self, Py_ssize_t need, Py_ssize_t used) noexcept:
        """Go over to the spare buffer if it has room for `need` octets."""
        global _spare
        cdef PyObject *buffer = _spare
        if buffer == NULL or ab_capacity(buffer) < need:
            return False
        _spare = NULL
        if self._buffer != NULL:
            if used and self._single is None:
                ab_copy(ab_data(buffer), ab_data(self._buffer), used)
            Py_DECREF(self._buffer)
        self._buffer = buffer
        return True

    @cython.final
    cdef void _forget(self) noexcept:
        """Nothing is waiting."""
        _drop_outside(self._outside, self._outside_count)
        self._outside = NULL
        self._outside_count = 0
        self._outside_size = self._filled = 0


cdef void _give_spare(PyObject *buffer) noexcept:
    """Keep `buffer` (a reference of ours) for whoever needs one next if it is large, or drop it."""
    global _spare
    cdef PyObject *other = buffer
    cdef Py_ssize_t capacity = ab_capacity(buffer)
    if LARGE <= capacity <= LARGEST_SPARE and (_spare == NULL or ab_capacity(_spare) < capacity):
        other = _spare
        _spare = buffer
    Py_XDECREF(other)


cdef void _drop_outside(Outside *outside, int count) noexcept:
    cdef int index
    for index in range(count):
        Py_DECREF(outside[index].payload)
    free(outside)


cdef int _write_rest(
    transport,
    single,
    PyObject *buffer,
    Outside *outside,
    int outside_count,
    ab_part *parts,
    int count,
    Py_ssize_t sent,
) except -1:
    """The transport gets what is behind the first `sent` octets of these parts of `buffer` and `outside`, or `single`."""
    cdef int index, at = 0
    cdef Py_ssize_t start = 0, size, done
    cdef object owner, view
    for index in range(count):
        size = <Py_ssize_t>parts[index].iov_len
        if single is not None:
            owner = single
            done = 0
        elif at < outside_count and parts[index].iov_base == ab_data(outside[at].payload):
            owner = <object>outside[at].payload
            done = 0
            at += 1
        else:
            owner = <object>buffer
            done = start
            start += size
        if sent >= size:
            sent -= size
            continue
        view = memoryview(owner)[done + sent : done + size]
        sent = 0
        if transport.is_closing():
            return 0  # an error of the socket, which the transport has noticed by now
        transport.write(view)
    return 0


cdef int _resize(PyObject **buffer, Py_ssize_t used, Py_ssize_t size) except -1:
    """Give bytes of ours, of which `used` octets count, another size. After an error they are gone (NULL)."""
    cdef PyObject *old = buffer[0]
    if ab_references(old) == 1:
        return _PyBytes_Resize(buffer, size)
    buffer[0] = NULL  # lent to a transport (`Place`)
    try:
        buffer[0] = ab_new_bytes(NULL, size)
        ab_copy(ab_data(buffer[0]), ab_data(old), min(used, size))
    finally:
        Py_DECREF(old)
    return 0
