# What the pumps of the compiled frame units share, included by both: octets from a transport, or from its socket.

cdef enum:
    PLACED_FROM = 32768  # from this size on, what is missing of a payload is received where it belongs
    BEHIND = 16384  # octets taken beside that, and after that: another large payload may follow
    MOST_READS = 4  # of one socket before others have their turn


include "_poller.pxi"


cdef class Place:
    """Memory of a payload that is being received, lent to a transport; the payload is kept as long as it is lent."""

    cdef object _payload
    cdef octet *_data
    cdef Py_ssize_t _size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._data, self._size, 0, flags)


cdef class BasePump:
    """Takes octets of the peer to an open connection. All that is written meanwhile leaves in one write.

    `get_buffer` and `buffer_updated` are those of an `asyncio.BufferedProtocol`; `buffer` is a memoryview. `flush` is
    called when `writer` holds octets after a read.
    """

    cdef object _view, _flush
    cdef octet *_octets  # where those of `_view` are: they stay there as long as it is there
    cdef Py_ssize_t _octets_size
    cdef Gatherer _writer  # None: stopped
    cdef object _transport  # whose socket is read, or None
    cdef int _socket
    cdef Poller _poller  # which reads the socket, or would; or None
    cdef bint _is_here  # it does
    cdef int _reads  # by the transport
    cdef Methods _methods
    cdef object _protocol  # whose reading that is
    cdef object _context  # in which it reads
    cdef Place _lent  # to the transport for the read that follows, or None
    cdef bint _was_placed  # the last read had a payload that was missing much
    cdef public object reading  # `read` as the loop and the transport know it, or None
    cdef readonly u64 received  # octets so far

    cdef void _begin(self, Gatherer writer, buffer, flush):
        cdef Py_buffer view
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        self._octets = <octet *>view.buf
        self._octets_size = view.len
        PyBuffer_Release(&view)
        self._writer = writer
        self._view = buffer
        self._flush = flush

    def stop(self):
        """Nothing is received any more; nothing but the buffer is referred to."""
        cdef object transport = self._transport
        if self.reading is not None:  # an open transport may have another protocol, of which only `read` would know
            transport._add_reader(self._socket, transport._read_ready)  # does nothing when it is closing
        if self._poller is not None:
            self._give_back()
        self._poller = None
        self._writer = None
        self._protocol = self._context = None
        self._transport = self._flush = self.reading = self._lent = None
        self._stopped()

    def attach(self, transport, int socket):
        """Whether `read` works from now on: the socket is that of asyncio's own transport, and only `read` reads it."""
        if AB_SOCKETS:
            self._transport = transport
            self._socket = socket
        return AB_SOCKETS

    @staticmethod
    def new_poller(loop, int backend, Py_ssize_t enough, int calm):
        """A poller for pumps of this kind (`Poller`), or None where there is none."""
        return Poller(loop, backend, enough, calm) if AB_EPOLL else None

    def share(self, Poller poller not None, transport, int socket):
        """The poller may read the socket of this transport, which is uvloop's and has its protocol."""
        self._transport = transport
        self._socket = socket
        self._methods = _methods_of(type(transport))
        self._protocol = transport.get_protocol()
        self._poller = poller

    def get_buffer(self, sizehint):
        """Where the transport puts what it receives."""
        cdef Py_ssize_t room = 0
        cdef octet *data = self._place(&room)
        cdef bint was_placed = self._was_placed
        cdef Place place
        self._lent = None
        self._was_placed = room > 0
        if not room:
            return self._view[:BEHIND] if was_placed else self._view
        self._lent = place = Place()
        place._payload = self._payload()
        place._data = data
        place._size = room
        return memoryview(place)

    def buffer_updated(self, Py_ssize_t nbytes):
        """The transport has put `nbytes` octets there."""
        cdef Place place = self._lent
        cdef object whole = self._view
        cdef Py_ssize_t room
        if self._writer is None:
            return
        if self._poller is not None and (self._is_here or self._reads < self._poller._calm):
            self._meet_poller()
        if place is not None:
            self._lent = None
            _check_size(nbytes, place._size)
            if self._place(&room) == place._data:
                self._take(nbytes, NULL, 0)
                return
            self._view = memoryview(place)  # given up meanwhile: these are octets as any other
            try:
                self._take(0, place._data, nbytes)
            finally:
                self._view = whole
            return
        _check_size(nbytes, self._octets_size)
        self._take(0, self._octets, nbytes)

    def read(self):
        """The socket is readable: does what the transport's own function for that does, for plain `recv`."""
        cdef object transport = self._transport
        if self.reading is not None and transport._read_ready_cb is not self.reading:
            transport._add_reader(self._socket, transport._read_ready)  # it has another protocol now
            transport._read_ready()
            return
        try:
            self._read()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            transport._fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")

    cdef int _meet_poller(self) except -1:
        """The transport has read."""
        if self._is_here:
            if self._is_calm():
                ab_mute(self._poller._backend, self._socket)
            return 0
        self._reads += 1
        if self._reads == self._poller._calm:
            self._context = _own(ab_context())
            self._poller._invite(self)
        return 0

    cdef bint _is_calm(self) except -1:
        """Whether the transport does nothing but read, for its protocol of before."""
        cdef object transport = self._transport
        return (
            transport.get_protocol() is self._protocol
            and transport.is_reading()
            and not transport.get_write_buffer_size()
        )

    cdef int _give_back(self) except -1:
        """The transport reads by itself."""
        cdef object transport = self._transport
        cdef bint was_here = self._is_here
        self._reads = 0
        self._send_late()
        self._poller._dismiss(self)
        if was_here and transport.is_reading():
            transport.pause_reading()  # so that libuv tells the kernel anew what it wants to know
            transport.resume_reading()
        return 0

    cdef int _read_here(self) except -1:
        """The socket has octets, or its end."""
        cdef object transport = self._transport, context = self._context, loop = self._poller._loop
        if self._methods.get_protocol(transport) is not self._protocol or not self._methods.is_reading(transport):
            self._give_back()
            return 0
        PyContext_Enter(context)
        try:
            self._read()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            _report(loop, transport, error)
        finally:
            PyContext_Exit(context)
        return 0

    cdef int _send_late(self) except -1:
        """What was written while other sockets were read leaves."""
        if self._writer is not None and self._writer._filled:
            self._send()
        return 0

    cdef int _read(self) except -1:
        cdef ab_part parts[2]
        cdef Py_ssize_t room, want, got
        cdef int turn
        for turn in range(MOST_READS):
            if self._transport is None or (turn and not self._transport.is_reading()):
                return 0
            room = 0
            parts[0].iov_base = self._place(&room)
            if turn and not room:
                return 0
            parts[0].iov_len = room
            want = min(self._octets_size, BEHIND) if room or self._was_placed else self._octets_size
            self._was_placed = room > 0
            parts[1].iov_base = self._octets
            parts[1].iov_len = want
            got = ab_receive(self._socket, parts, 2) if room else ab_receive(self._socket, parts + 1, 1)
            if got > 0:
                self._take(min(got, room), self._octets, max(got - room, 0))
            if got < room + want:
                break
        if self._poller is not None:
            if got == 0 or got < -1:
                self._give_back()  # and libuv meets the same
        elif got == 0:
            self._transport._read_ready__get_buffer()  # meets the end, too
        elif got < -1:
            self._transport._fatal_error(OSError(-1 - got, os.strerror(-1 - got)), "Fatal read error on socket transport")
        return 0

    cdef int _take(self, Py_ssize_t placed, const octet *data, Py_ssize_t size) except -1:
        """`placed` octets have come to where `_place` said, then `size` octets to `data`."""
        cdef Gatherer writer = self._writer
        if writer is None:
            return 0
        self.received += <u64>(placed + size)
        writer.corked = True
        try:
            self._feed(placed, data, size)
        finally:
            writer.corked = False
        if writer._filled and not (self._is_here and self._poller._is_busy and writer._filled < LATE):
            self._send()
        return 0

    cdef int _send(self) except -1:
        cdef object flush = self._flush
        if flush is not None and not self._writer._send(False):
            flush()
        return 0

    # What a unit's own pump does.

    cdef void _stopped(self):
        """Nothing is to be referred to any more."""

    cdef octet *_place(self, Py_ssize_t *room) except? NULL:
        """Where the rest of a payload that is missing much belongs, and how much has room there; NULL: nowhere."""
        return NULL

    cdef object _payload(self):
        """The bytes in which `_place` is, or None."""

    cdef int _feed(self, Py_ssize_t placed, const octet *data, Py_ssize_t size) except -1:
        """Hand octets to the reader (as `_take`) and errors to whom they concern."""
        return 0


cdef int _check_size(Py_ssize_t size, Py_ssize_t most) except -1:
    if not 0 <= size <= most:
        raise ValueError(f"expected at most {most} octets, got {size}")
    return 0
