# Sockets of many transports of one uvloop loop, read in batches: included by _pump.pxi.

from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit

cdef extern from *:
    """
    #if defined(__linux__)
    #include <string.h>
    #include <sys/epoll.h>
    #include <time.h>
    #include <unistd.h>
    #define AB_EPOLL 1

    static int ab_epoll(void)
    {
        return epoll_create1(EPOLL_CLOEXEC);
    }

    /* Whether `poller` knows from now on that it is to tell when the socket has octets. */
    static int ab_watch(int poller, int fd)
    {
        struct epoll_event event;
        memset(&event, 0, sizeof event);
        event.events = EPOLLIN;
        event.data.fd = fd;
        return !epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }

    static void ab_unwatch(int poller, int fd)
    {
        struct epoll_event event;
        memset(&event, 0, sizeof event); /* kernels before 2.6.9 want one */
        epoll_ctl(poller, EPOLL_CTL_DEL, fd, &event);
    }

    /* Whether `poller`, which knows the socket, tells from now on of nothing but its errors. The data are libuv's. */
    static int ab_mute(int poller, int fd)
    {
        struct epoll_event event;
        memset(&event, 0, sizeof event);
        event.data.fd = fd;
        return !epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
    }

    /* How many sockets have octets, or an end, without waiting; their numbers are in `sockets`. */
    static int ab_ready(int poller, int *sockets, int most)
    {
        struct epoll_event events[64];
        int count = epoll_wait(poller, events, most < 64 ? most : 64, 0), index;
        for (index = 0; index < count; index++)
            sockets[index] = events[index].data.fd;
        return count < 0 ? 0 : count;
    }

    static void ab_close(int fd)
    {
        close(fd);
    }

    /* Milliseconds, as coarse as they come for next to nothing. */
    static long ab_clock(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    #else
    #define AB_EPOLL 0
    static int ab_epoll(void) { return -1; }
    static int ab_watch(int poller, int fd) { return 0; }
    static void ab_unwatch(int poller, int fd) { }
    static int ab_mute(int poller, int fd) { return 0; }
    static int ab_ready(int poller, int *sockets, int most) { return 0; }
    static void ab_close(int fd) { }
    static long ab_clock(void) { return 0; }
    #endif

    /* The context in which we run, as the object it is, so that what callbacks set in it stays: a new reference, or
       NULL when there is none yet. */
    static PyObject *ab_context(void)
    {
        PyObject *context = PyThreadState_Get()->context;
        Py_XINCREF(context);
        return context;
    }
    """
    bint AB_EPOLL
    int ab_epoll() noexcept
    bint ab_watch(int, int) noexcept
    void ab_unwatch(int, int) noexcept
    bint ab_mute(int, int) noexcept
    int ab_ready(int, int *, int) noexcept
    void ab_close(int) noexcept
    long ab_clock() noexcept
    PyObject *ab_context() noexcept


cdef enum:
    MOST_AT_ONCE = 64  # sockets, before the loop and what else it does have their turn
    MANY = 4  # of them ready: then others may be by the time these are read
    LATE = 16384  # octets to one socket that may wait until the others are read


cdef class Poller:
    """The sockets of one uvloop loop that are read past libuv: those of connections that receive all the time.

    libuv reads a socket at a time, with two calls of Python each. Here one call reads all that are ready, and what is
    written to them meanwhile leaves after the last, as it does with uvloop.

    Transports stay as they are: libuv goes on believing that it reads, only the kernel tells it of nothing but errors
    any more (`ab_mute`). Whatever changes what libuv wants to know of a socket (a program that pauses and resumes
    reading, a write that the system does not take at once) makes it tell the kernel anew; then both are told, until
    the next read of libuv's mutes it again.

    `backend`: the epoll descriptor of libuv. `enough`: how many sockets it takes to begin; for less it does not pay.
    `calm`: after how many reads of libuv's a socket is one of them.
    """

    cdef object _loop
    cdef int _backend
    cdef int _epoll  # ours, or -1
    cdef list _pumps  # by the numbers of their sockets; None where there is none
    cdef dict _waiting  # pumps that are here as soon as there are enough of them
    cdef readonly Py_ssize_t count  # of sockets that are read here
    cdef Py_ssize_t _enough
    cdef int _calm
    cdef bint _is_busy  # with a batch, at whose end answers leave

    def __cinit__(self):
        self._epoll = -1

    def __init__(self, loop, int backend, Py_ssize_t enough, int calm):
        self._loop = loop
        self._backend = backend
        self._enough = enough
        self._calm = calm
        self._pumps = []
        self._waiting = {}

    def __dealloc__(self):
        if self._epoll >= 0:
            ab_close(self._epoll)

    def run(self):
        """Some of the sockets have octets, or an end."""
        cdef int sockets[MOST_AT_ONCE]
        cdef int done = 0, ready = MANY
        while self._epoll >= 0 and ready >= MANY and done < MOST_AT_ONCE:
            ready = ab_ready(self._epoll, sockets, MOST_AT_ONCE - done)
            self._read(sockets, ready)
            done += ready

    cdef int _read(self, const int *sockets, int count) except -1:
        cdef int index, sent = 0
        cdef long before = ab_clock(), now
        cdef object pump
        self._is_busy = True
        try:
            for index in range(count):
                pump = self._pumps[sockets[index]]
                if pump is not None:  # it has left since
                    (<BasePump>pump)._read_here()
                    now = ab_clock()
                    if now != before:  # answers do not wait for what takes long
                        before = now
                        self._send(sockets + sent, index + 1 - sent)
                        sent = index + 1
        finally:
            self._is_busy = False
            self._send(sockets + sent, count - sent)
        return 0

    cdef int _send(self, const int *sockets, int count) except -1:
        cdef int index
        cdef object pump
        for index in range(count):
            pump = self._pumps[sockets[index]]
            if pump is not None:
                try:
                    (<BasePump>pump)._send_late()
                except BaseException:
                    self._send(sockets + index + 1, count - index - 1)
                    raise
        return 0

    cdef int _invite(self, BasePump pump) except -1:
        """The socket is read here from now on, or as soon as there are enough."""
        self._waiting[pump] = None
        if self.count or len(self._waiting) >= self._enough:
            while self._waiting:
                self._admit(self._waiting.popitem()[0])
        return 0

    cdef int _admit(self, BasePump pump) except -1:
        cdef int socket = pump._socket
        pump._reads = 0
        if not pump._is_calm():
            return 0
        if self._epoll < 0:
            self._epoll = ab_epoll()
            if self._epoll < 0:
                return 0
            self._loop.add_reader(self._epoll, self.run)
        if ab_watch(self._epoll, socket):
            if ab_mute(self._backend, socket):
                if len(self._pumps) <= socket:
                    self._pumps.extend([None] * (socket + 1 - len(self._pumps)))
                if self._pumps[socket] is None:  # else a program kept the end of that one from us
                    self.count += 1
                self._pumps[socket] = pump
                pump._is_here = pump._writer._is_late = True
                return 0
            ab_unwatch(self._epoll, socket)
        self._close_if_empty()
        return 0

    cdef int _dismiss(self, BasePump pump) except -1:
        """The socket is not read here any more."""
        self._waiting.pop(pump, None)
        if pump._is_here:
            pump._is_here = pump._writer._is_late = False
            if self._pumps[pump._socket] is not pump:
                return 0
            self._pumps[pump._socket] = None
            self.count -= 1
            ab_unwatch(self._epoll, pump._socket)
            self._close_if_empty()
            if self.count < self._enough // 2:
                for other in self._pumps:
                    if other is not None:
                        (<BasePump>other)._give_back()
        return 0

    cdef int _close_if_empty(self) except -1:
        cdef int epoll = self._epoll
        if not self.count and epoll >= 0:
            self._epoll = -1
            try:
                if not self._loop.is_closed():
                    self._loop.remove_reader(epoll)
            finally:
                ab_close(epoll)
        return 0


cdef object _own(PyObject *context):
    """The context that `ab_context` gave, or one like it."""
    cdef object owned
    if context == NULL:
        return PyContext_CopyCurrent()
    owned = <object>context
    Py_DECREF(context)
    return owned


cdef int _report(loop, transport, error) except -1:
    """Something that is no fault of the peer was raised while reading: as `_fatal_error` of uvloop does it."""
    loop.call_exception_handler(
        {
            "message": "Fatal error: protocol.buffer_updated() call failed.",
            "exception": error,
            "transport": transport,
            "protocol": transport.get_protocol(),
        }
    )
    transport._force_close(error)
    return 0
