# The third part of the compiled frame unit: included by _frames.pyx.

include "../_pump.pxi"


cdef extern from *:
    """
    #include <structmember.h>

    /* Where in an object its attribute is that `__slots__` declared; 0: it is none of those. */
    static Py_ssize_t ab_slot(PyObject *object, PyObject *name)
    {
        Py_ssize_t offset = 0;
        PyObject *found = PyObject_GetAttr((PyObject *)Py_TYPE(object), name);
        if (found == NULL)
            PyErr_Clear();
        else if (Py_IS_TYPE(found, &PyMemberDescr_Type) && ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX)
            offset = ((PyMemberDescrObject *)found)->d_member->offset;
        Py_XDECREF(found);
        return offset;
    }

    /* What is there: borrowed, or NULL. */
    static PyObject *ab_at(PyObject *object, Py_ssize_t offset)
    {
        return *(PyObject **)((char *)object + offset);
    }
    """
    Py_ssize_t ab_slot(object, object) noexcept
    PyObject *ab_at(PyObject *, Py_ssize_t) noexcept


cdef class Pump(BasePump):
    """Takes octets to an open connection (`BasePump`). `connection`: a `Connection`."""

    cdef object _connection
    cdef Py_ssize_t _slot  # where that has its `receive`
    cdef object _receive  # what `connection.receive` was last
    cdef Reader _reader  # whose `feed` that is, or None

    def __init__(self, connection, buffer not None, flush):
        cdef Writer writer = connection.writer
        self._begin(writer, buffer, flush)
        self._connection = connection
        self._slot = ab_slot(connection, "receive")

    cdef void _stopped(self):
        self._connection = self._receive = None
        self._reader = None

    cdef bint _is_as_before(self) except -1:
        """Whether `connection.receive` is what it was."""
        if self._slot:
            return ab_at(<PyObject *>self._connection, self._slot) == <PyObject *>self._receive
        return self._connection.receive is self._receive

    cdef octet *_place(self, Py_ssize_t *room) except? NULL:
        cdef Reader reader = self._reader
        if reader is None or reader._remaining < PLACED_FROM or not self._is_as_before():
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
            if not self._is_as_before():
                self._receive = connection.receive
                self._reader = reader = _reader_of(self._receive)
            if reader is None:
                receive = self._receive
                receive(self._view[:size])
            else:
                reader._take_in(data, size)
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
