# The second half of the compiled frame unit: included by _frames.pyx.

cdef class Writer:
    """Gathers frames in one buffer; `wake()` is called when it stops being empty while not `corked`."""

    cdef object _wake, _random
    cdef object _keys  # bytes: a batch of mask keys
    cdef Py_ssize_t _key_at
    cdef object _single  # the whole content when it is one object given to raw(), or None
    cdef PyObject *_buffer  # the content otherwise: bytes only we refer to, or NULL
    cdef Py_ssize_t _filled  # octets waiting, in either
    cdef bint _masked, _zero_key
    cdef public bint corked
    cdef public Py_ssize_t plain
    cdef public Py_ssize_t limit
    cdef public object long_way

    def __cinit__(self):
        self._buffer = NULL
        self.plain = -1
        self.limit = PY_SSIZE_T_MAX

    def __dealloc__(self):
        Py_XDECREF(self._buffer)

    def __init__(self, wake, *, bint masked, bint apply_mask=True, random=os.urandom):
        self._wake = wake
        self._masked = masked
        self._zero_key = not apply_mask
        self._random = random
        self._keys = b""

    @property
    def size(self):
        """Octets waiting."""
        return self._filled

    def frame(self, int opcode, payload, bint fin=True, bint rsv1=False):
        """Append one frame. The caller answers for its legality."""
        cdef Py_buffer view
        cdef bint was_empty
        cdef octet b0 = <octet>((opcode & 0xFF) | (0x80 if fin else 0) | (0x40 if rsv1 else 0))
        if PyBytes_CheckExact(payload):
            was_empty = self._frame(b0, <const octet *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
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
            was_empty = self._frame(
                0x82 if isBinary is True else 0x81,
                <const octet *>PyBytes_AS_STRING(payload),
                PyBytes_GET_SIZE(payload),
            )
            if was_empty and not self.corked:
                self._wake()
            return
        self.long_way(payload, isBinary, fragmentSize, sync, doNotCompress)

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

    cdef int _frame(self, octet b0, const octet *payload, Py_ssize_t size) except -1:
        """Append one frame; whether the buffer was empty."""
        cdef octet head[14]
        cdef octet key[4]
        cdef octet *target
        cdef int length = 2, at
        cdef bint was_empty = not self._filled
        if self._masked:
            self._next_key(key)
        head[0] = b0
        if size < 126:
            head[1] = <octet>size
        elif size < 65536:
            head[1] = 126
            head[2] = <octet>(size >> 8)
            head[3] = <octet>(size & 0xFF)
            length = 4
        else:
            head[1] = 127
            for at in range(8):
                head[2 + at] = <octet>(<u64>size >> (56 - 8 * at) & 0xFF)
            length = 10
        if self._masked:
            head[1] |= 0x80
            memcpy(head + length, key, 4)
            length += 4
        if size > PY_SSIZE_T_MAX - length:
            raise MemoryError
        target = self._room(length + size)
        memcpy(target, head, length)
        if self._masked and not self._zero_key:
            ab_xor(target + length, payload, size, key)
        else:
            memcpy(target + length, payload, size)
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
