# How compiled frame units and the compiled lanes of a router meet: by C functions in capsules, so that none of them
# imports another. Included after `octet` is declared.

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New

cdef extern from *:
    """
    /* A run of octets that stays where it is until the function it is given to returns. */
    typedef struct { const unsigned char *data; Py_ssize_t size; } ab_span;
    """
    ctypedef struct ab_span:
        const octet *data
        Py_ssize_t size

# Sends one message made of spans; 0: not this way, send it as bytes. `c_append` of the object whose method `message`
# sends messages as bytes.
ctypedef int (*ab_append)(PyObject *writer, const ab_span *spans, int count) except -1
# Takes one message. An attribute `c_take` of the object whose method `receive` takes messages as bytes.
ctypedef int (*ab_take)(PyObject *lane, const octet *data, Py_ssize_t size) except -1
