# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The plain part of CBOR (RFC 8949), which nearly every WAMP message is made of; whatever else occurs is left to cbor2.

Plain are integers of 64 bits, floats, booleans, null, octets, texts, arrays, and maps with texts as keys, of definite
length and nested less than 48 levels. Both functions return `None` for everything else and for what is malformed: then
cbor2 is asked, and its answer counts.

`to_msgpack` makes no objects: msgspec decodes MessagePack into the struct of a message and validates it meanwhile.

Memory rules: octets are read at `at` only after `end - at` was compared with what is needed; they are written only after
`_room` was asked. No Python code runs while a pointer is held.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_Next, PyDict_Size
from cpython.exc cimport PyErr_Clear
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memcpy

ctypedef unsigned char octet
ctypedef unsigned long long u64

cdef extern from *:
    """
    #define ab_is_ascii(text) PyUnicode_IS_COMPACT_ASCII(text)
    #define ab_ascii(text) ((const char *)PyUnicode_1BYTE_DATA(text))
    #define ab_length(text) PyUnicode_GET_LENGTH(text)
    """
    bint ab_is_ascii(PyObject *text)
    const char *ab_ascii(PyObject *text)
    Py_ssize_t ab_length(PyObject *text)

cdef extern from "Python.h":
    const char *ab_utf8 "PyUnicode_AsUTF8AndSize"(PyObject *text, Py_ssize_t *size)
    const char *ab_octets "PyBytes_AS_STRING"(PyObject *octets)
    Py_ssize_t ab_size "PyBytes_GET_SIZE"(PyObject *octets)
    long long ab_integer "PyLong_AsLongLongAndOverflow"(PyObject *value, int *overflow)
    u64 ab_unsigned "PyLong_AsUnsignedLongLong"(PyObject *value)
    PyObject *ab_list_item "PyList_GET_ITEM"(PyObject *items, Py_ssize_t at)
    PyObject *ab_tuple_item "PyTuple_GET_ITEM"(PyObject *items, Py_ssize_t at)
    PyObject *Py_True
    PyObject *Py_False
    PyObject *Py_None
    PyObject *PyErr_Occurred()

cdef enum:
    LEVELS = 48  # cbor2 takes what is nested deeper, and judges it
    SMALL = 512  # octets that are gathered on the stack

cdef enum:  # major types (RFC 8949, 3.1)
    UNSIGNED = 0
    NEGATIVE = 1
    OCTETS = 2
    TEXT = 3
    ARRAY = 4
    MAP = 5
    TAG = 6
    OTHER = 7

cdef Py_ssize_t MOST = <Py_ssize_t>1 << (8 * sizeof(Py_ssize_t) - 4)  # octets; more are not made here


cdef struct Out:
    octet *data
    Py_ssize_t size
    Py_ssize_t capacity
    octet small[SMALL]


cdef inline void _open(Out *out) noexcept:
    out.data = out.small
    out.size = 0
    out.capacity = SMALL


cdef object _closed(Out *out, bint good):
    """What is in `out`, or `None`; `out` is empty."""
    try:
        return PyBytes_FromStringAndSize(<const char *>out.data, out.size) if good else None
    finally:
        if out.data != out.small:
            PyMem_Free(out.data)


cdef inline bint _room(Out *out, Py_ssize_t more) noexcept:
    """Whether there is room for `more` octets: there is, unless memory is short."""
    return more <= out.capacity - out.size or _grow(out, more)


cdef bint _grow(Out *out, Py_ssize_t more) noexcept:
    cdef Py_ssize_t capacity
    cdef octet *data
    if more > MOST - out.size:
        return False
    capacity = 2 * (out.size + more)
    if out.data == out.small:
        data = <octet *>PyMem_Malloc(<size_t>capacity)
        if data != NULL:
            memcpy(data, out.small, <size_t>out.size)
    else:
        data = <octet *>PyMem_Realloc(out.data, <size_t>capacity)
    if data == NULL:
        return False
    out.data = data
    out.capacity = capacity
    return True


cdef inline void _put(Out *out, int first, u64 value, int width) noexcept:
    """`first`, then `value` in `width` octets; there is room for nine."""
    cdef octet *target = out.data + out.size
    target[0] = <octet>first
    out.size += 1 + width
    while width:
        target[width] = <octet>value
        value >>= 8
        width -= 1


cdef inline bint _put_octets(Out *out, const void *data, Py_ssize_t size) noexcept:
    if not _room(out, size):
        return False
    memcpy(out.data + out.size, data, <size_t>size)
    out.size += size
    return True


# ---- CBOR to MessagePack --------------------------------------------------------------------------------------


def to_msgpack(data):
    """The plain CBOR value `data` in MessagePack; `None`: it is not plain, or not one value, or no octets.

    Texts are taken as they are: who decodes them finds out whether they are UTF-8.
    """
    cdef Out out
    cdef Py_buffer view
    cdef bint good
    _open(&out)
    if PyBytes_CheckExact(data):
        return _closed(&out, _transcode(<const octet *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &out))
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except (TypeError, ValueError, BufferError):
        return None
    good = _transcode(<const octet *>view.buf, view.len, &out)
    PyBuffer_Release(&view)
    return _closed(&out, good)


cdef bint _transcode(const octet *data, Py_ssize_t end, Out *out) noexcept:
    """Whether the octets of `data` are one plain value, which is in `out` then."""
    cdef u64 left[LEVELS]  # items that each open container still waits for; of a map, keys and values
    cdef bint is_map[LEVELS]
    cdef int depth = 0
    cdef Py_ssize_t at = 0
    cdef int major, info, width
    cdef u64 value
    left[0] = 1
    is_map[0] = False
    while True:
        while left[depth] == 0:
            if depth == 0:
                return at == end
            depth -= 1
        if at >= end:
            return False
        major = data[at] >> 5
        info = data[at] & 31
        at += 1
        if is_map[depth] and not left[depth] & 1 and major != TEXT:
            return False  # a key
        left[depth] -= 1
        value = <u64>info
        width = 0
        if info >= 24:
            if info > 27:
                return False  # of indefinite length, or reserved
            width = 1 << (info - 24)
            if width > end - at:
                return False
            value = _number(data + at, width)
            at += width
        if not _room(out, 9):
            return False
        if major == UNSIGNED:
            _put_unsigned(out, value)
        elif major == NEGATIVE:
            if value >> 63:
                return False
            _put_negative(out, value)
        elif major == TEXT or major == OCTETS:
            if value > <u64>(end - at) or value >> 32:
                return False
            _put_string(out, major, value)
            if not _put_octets(out, data + at, <Py_ssize_t>value):
                return False
            at += <Py_ssize_t>value
        elif major == ARRAY or major == MAP:
            if value > <u64>(end - at) >> (1 if major == MAP else 0) or value >> 32 or depth + 1 == LEVELS:
                return False  # each item has an octet or more
            _put_container(out, major, value)
            depth += 1
            left[depth] = value if major == ARRAY else 2 * value
            is_map[depth] = major == MAP
        elif major != OTHER or not _put_other(out, info, value):
            return False


cdef inline u64 _number(const octet *data, int width) noexcept:
    cdef u64 value = 0
    cdef int i
    for i in range(width):
        value = value << 8 | data[i]
    return value


cdef inline void _put_unsigned(Out *out, u64 value) noexcept:
    if value < 0x80:
        _put(out, <int>value, 0, 0)
    elif value < 0x100:
        _put(out, 0xCC, value, 1)
    elif value < 0x10000:
        _put(out, 0xCD, value, 2)
    elif value >> 32 == 0:
        _put(out, 0xCE, value, 4)
    else:
        _put(out, 0xCF, value, 8)


cdef inline void _put_negative(Out *out, u64 value) noexcept:
    """The number -1 - `value`, whose two's complement is `~value`."""
    if value < 0x20:
        _put(out, <int>(0xFF - value), 0, 0)
    elif value < 0x80:
        _put(out, 0xD0, ~value, 1)
    elif value < 0x8000:
        _put(out, 0xD1, ~value, 2)
    elif value < 0x80000000:
        _put(out, 0xD2, ~value, 4)
    else:
        _put(out, 0xD3, ~value, 8)


cdef inline void _put_string(Out *out, int major, u64 size) noexcept:
    """The head of a text or of octets, whose size fits into 32 bits."""
    cdef int first = 0xD9 if major == TEXT else 0xC4  # and those for 16 and 32 bits
    if major == TEXT and size < 32:
        _put(out, 0xA0 | <int>size, 0, 0)
    elif size < 0x100:
        _put(out, first, size, 1)
    elif size < 0x10000:
        _put(out, first + 1, size, 2)
    else:
        _put(out, first + 2, size, 4)


cdef inline void _put_container(Out *out, int major, u64 count) noexcept:
    """The head of an array or a map, whose count fits into 32 bits."""
    cdef int first = 0xDC if major == ARRAY else 0xDE
    if count < 16:
        _put(out, (0x90 if major == ARRAY else 0x80) | <int>count, 0, 0)
    elif count < 0x10000:
        _put(out, first, count, 2)
    else:
        _put(out, first + 1, count, 4)


cdef bint _put_other(Out *out, int info, u64 value) noexcept:
    """A float or one of the three simple values that everybody knows."""
    cdef u64 exponent, fraction
    if 20 <= info <= 22:  # false, true, null
        _put(out, 0xC0 if info == 22 else 0xC2 + info - 20, 0, 0)
    elif info == 26:
        _put(out, 0xCA, value, 4)
    elif info == 27:
        _put(out, 0xCB, value, 8)
    elif info == 25:  # a half, as a single
        exponent = value >> 10 & 31
        fraction = value & 0x3FF
        if exponent == 31:
            if fraction:
                return False  # there are many NaNs
            exponent = 255
        elif exponent:
            exponent += 112
        elif fraction:  # a subnormal, which a single need not be
            exponent = 113
            while not fraction & 0x400:
                fraction <<= 1
                exponent -= 1
            fraction &= 0x3FF
        _put(out, 0xCA, value >> 15 << 31 | exponent << 23 | fraction << 13, 4)
    else:
        return False
    return True


# ---- values to CBOR -------------------------------------------------------------------------------------------


def dumps(value):
    """`value` in CBOR, octet for octet as `cbor2.dumps` writes it; `None`: it is not plain.

    Only exact builtin types are: a tuple is an array, and what is derived from them may mean something else.
    """
    cdef Out out
    _open(&out)
    return _closed(&out, _dump(<PyObject *>value, &out, LEVELS))


cdef bint _dump(PyObject *value, Out *out, int levels) noexcept:
    """Whether `value` is in `out` now."""
    cdef object plain = <object>value
    if PyUnicode_CheckExact(plain):
        return _dump_text(value, out)
    if PyLong_CheckExact(plain):
        return _dump_integer(value, out)
    if PyDict_CheckExact(plain):
        return levels and _dump_dict(value, out, levels - 1)
    if PyList_CheckExact(plain) or PyTuple_CheckExact(plain):
        return levels and _dump_items(value, out, levels - 1)
    if PyFloat_CheckExact(plain):
        return _dump_float(PyFloat_AS_DOUBLE(plain), out)
    if PyBytes_CheckExact(plain):
        return _dump_head(out, OCTETS, <u64>ab_size(value)) and _put_octets(out, ab_octets(value), ab_size(value))
    if value == Py_None or value == Py_True or value == Py_False:
        if not _room(out, 9):
            return False
        _put(out, 0xF6 if value == Py_None else 0xF5 if value == Py_True else 0xF4, 0, 0)
        return True
    return False


cdef inline bint _dump_head(Out *out, int major, u64 value) noexcept:
    """The head of an item (RFC 8949, 3), in the shortest form."""
    cdef int first = major << 5
    if not _room(out, 9):
        return False
    if value < 24:
        _put(out, first | <int>value, 0, 0)
    elif value < 0x100:
        _put(out, first | 24, value, 1)
    elif value < 0x10000:
        _put(out, first | 25, value, 2)
    elif value >> 32 == 0:
        _put(out, first | 26, value, 4)
    else:
        _put(out, first | 27, value, 8)
    return True


cdef bint _dump_text(PyObject *text, Out *out) noexcept:
    cdef const char *octets
    cdef Py_ssize_t size = 0
    if ab_is_ascii(text):
        return _dump_head(out, TEXT, <u64>ab_length(text)) and _put_octets(out, ab_ascii(text), ab_length(text))
    octets = ab_utf8(text, &size)  # which the text keeps: many are sent more than once
    if octets == NULL:  # a lone surrogate
        PyErr_Clear()
        return False
    return _dump_head(out, TEXT, <u64>size) and _put_octets(out, octets, size)


cdef bint _dump_integer(PyObject *value, Out *out) noexcept:
    cdef int overflow = 0
    cdef long long integer = ab_integer(value, &overflow)
    cdef u64 unsigned
    if not overflow:
        if integer >= 0:
            return _dump_head(out, UNSIGNED, <u64>integer)
        return _dump_head(out, NEGATIVE, ~<u64>integer)
    if overflow < 0:
        return False
    unsigned = ab_unsigned(value)
    if unsigned == ~<u64>0 and PyErr_Occurred() != NULL:
        PyErr_Clear()
        return False
    return _dump_head(out, UNSIGNED, unsigned)


cdef bint _dump_float(double value, Out *out) noexcept:
    """A double; but what is not finite is a half, as cbor2 has it."""
    cdef u64 bits = 0
    if not _room(out, 9):
        return False
    if value != value:
        _put(out, 0xF9, 0x7E00, 2)
    elif value - value != 0:
        _put(out, 0xF9, 0x7C00 if value > 0 else 0xFC00, 2)
    else:
        memcpy(&bits, &value, 8)
        _put(out, 0xFB, bits, 8)
    return True


cdef bint _dump_items(PyObject *items, Out *out, int levels) noexcept:
    cdef bint is_list = PyList_CheckExact(<object>items)
    cdef Py_ssize_t count = PyList_GET_SIZE(<object>items) if is_list else PyTuple_GET_SIZE(<object>items)
    cdef Py_ssize_t at
    if not _dump_head(out, ARRAY, <u64>count):
        return False
    for at in range(count):
        if not _dump(ab_list_item(items, at) if is_list else ab_tuple_item(items, at), out, levels):
            return False
    return True


cdef bint _dump_dict(PyObject *items, Out *out, int levels) noexcept:
    cdef PyObject *key = NULL
    cdef PyObject *value = NULL
    cdef Py_ssize_t at = 0
    if not _dump_head(out, MAP, <u64>PyDict_Size(<object>items)):
        return False
    while PyDict_Next(<object>items, &at, &key, &value):
        if not PyUnicode_CheckExact(<object>key) or not _dump_text(key, out) or not _dump(value, out, levels):
            return False
    return True
