# The declarations of _formats.h: included by _lane.pyx.

cdef enum:
    CALL = 48
    RESULT = 50
    INVOCATION = 68

cdef extern from *:
    """
    #include "_utf8.h"
    #include "_formats.h"
    """
    enum:
        MSGPACK "AB_MSGPACK"
        JSON "AB_JSON"
        CBOR "AB_CBOR"
        HEAD_SIZE "AB_HEAD_SIZE"

    ctypedef struct ab_head:
        int code
        int payloads
        u64 request
        ab_span uri
        ab_span payload

    bint ab_parse(int, const octet *, Py_ssize_t, ab_head *) noexcept
    bint ab_check_payload(int, const ab_head *) noexcept
    Py_ssize_t ab_write_head(int, octet *, int, u64, u64, int) noexcept
