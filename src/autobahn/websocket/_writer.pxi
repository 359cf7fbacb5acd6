# The second half of the compiled frame unit: included by _frames.pyx.

cdef class Writer(Gatherer):
    """Gathers frames in one buffer."""

    cdef object _random
    cdef object _keys  # bytes: a batch of mask keys
    cdef Py_ssize_t _key_at
    cdef bint _masked, _zero_key
    cdef public Py_ssize_t plain
    cdef public Py_ssize_t limit
    cdef public object long_way

    def __cinit__(self):
        self.plain = -1
        self.limit = PY_SSIZE_T_MAX

    def __init__(self, wake, *, bint masked, bint apply_mask=True, random=os.urandom):
        self._wake = wake
        self._masked = masked
        self._zero_key = not apply_mask
        self._random = random
        self._keys = b""

    def frame(self, int opcode, payload, bint fin=True, bint rsv1=False):
        """Append one frame. The caller answers for its legality."""
        cdef Py_buffer view
        cdef bint was_empty
        cdef octet b0 = <octet>((opcode & 0xFF) | (0x80 if fin else 0) | (0x40 if rsv1 else 0))
        if PyBytes_CheckExact(payload):
            was_empty = self._frame_bytes(b0, payload)
        else:
            payload = _contiguous(payload)
            PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
            try:
                was_empty = self._frame(b0, <const octet *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
        if was_empty and not self.corked:
            self._wake()

    def send_message(self, payload, isBinary=False, fragmentSize=None, sync=False, doNotCompress=False):
        """Append a whole message as one plain frame if that is all there is to it, else go the long way."""
        cdef bint was_empty
        if (
            PyBytes_CheckExact(payload)
            and PyBytes_GET_SIZE(payload) <= self.plain
            and self._filled <= self.limit
            and fragmentSize is None
            and (isBinary is True or isBinary is False)
        ):
            was_empty = self._frame_bytes(0x82 if isBinary is True else 0x81, payload)
            if was_empty and not self.corked:
                self._wake()
            return
        self.long_way(payload, isBinary, fragmentSize, sync, doNotCompress)

    cdef int _frame_bytes(self, octet b0, object payload) except -1:
        """Append one frame whose payload is bytes; whether the buffer was empty."""
        cdef octet head[14]
        cdef bint was_empty
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef int length
        if self._masked or not self._takes_outside(size):
            return self._frame(b0, <const octet *>PyBytes_AS_STRING(payload), size)
        was_empty = not self._filled
        length = _write_head(head, b0, size)
        memcpy(self._room(length), head, length)
        self._filled += length
        self._append_outside(payload)
        return was_empty

    cdef int _frame(self, octet b0, const octet *payload, Py_ssize_t size) except -1:
        """Append one frame; whether the buffer was empty."""
        cdef octet key[4]
        cdef octet *target
        cdef bint was_empty = not self._filled
        cdef int length = 2 if size < 126 else 4 if size < 65536 else 10
        if size > PY_SSIZE_T_MAX - 14:
            raise MemoryError
        if not self._masked:
            target = self._room(length + size)
            _write_head(target, b0, size)
            ab_copy(target + length, payload, size)
        else:
            self._next_key(key)
            length += 4
            target = self._room(length + size)
            _write_head(target, b0, size)
            target[1] |= 0x80
            memcpy(target + length - 4, key, 4)
            if self._zero_key:
                ab_copy(target + length, payload, size)
            else:
                ab_xor(target + length, payload, size, key)
        self._filled += length + size
        return was_empty

    cdef int _next_key(self, octet *key) except -1:
        if self._zero_key:
            key[0] = key[1] = key[2] = key[3] = 0
            return 0
        if PyBytes_GET_SIZE(self._keys) - self._key_at < 4:
            keys = <bytes?>self._random(KEY_BATCH)
            if keys is None or PyBytes_GET_SIZE(keys) < 4:
                raise ValueError("expected at least 4 random octets, got less")
            self._keys = keys
            self._key_at = 0
        memcpy(key, PyBytes_AS_STRING(self._keys) + self._key_at, 4)
        self._key_at += 4
        return 0


cdef int _write_head(octet *head, octet b0, Py_ssize_t size) noexcept:
    """Write a frame head without mask (at most 10 octets, RFC 6455 5.2); its length."""
    cdef int at
    head[0] = b0
    if size < 126:
        head[1] = <octet>size
        return 2
    if size < 65536:
        head[1] = 126
        head[2] = <octet>(size >> 8)
        head[3] = <octet>(size & 0xFF)
        return 4
    head[1] = 127
    for at in range(8):
        head[2 + at] = <octet>(<u64>size >> (56 - 8 * at) & 0xFF)
    return 10
