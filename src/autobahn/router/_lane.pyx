# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The short way of a routed call, in C: from the octets of CALL and YIELD to those of INVOCATION and RESULT.

What is carried here is what `Dealer.call` and `Dealer.yielded` would do with the same octets; whatever is not plainly
that (options, patterns, several callees, another serializer, anything odd in the octets) goes the ordinary way.
Nothing is done before it is clear that everything can be done.

Memory rules: a pointer into a message lives only within the call that got it; nothing here keeps one.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy

from autobahn.exception import Disconnected
from autobahn.router.peer import PendingCall
from autobahn.wamp.exception import TransportLost

ctypedef unsigned char octet
ctypedef unsigned long long u64

cdef extern from "Python.h":
    object PyUnicode_DecodeASCII(const char *, Py_ssize_t, const char *)

include "../_lane.pxi"
include "_formats.pxi"

cdef double FOREVER = float("inf")
cdef u64 MAX_ID = <u64>1 << 53
cdef dict _FORMATS = {"msgpack": MSGPACK, "json": JSON, "cbor": CBOR}
FORMATS = frozenset(_FORMATS)


cdef class Lane:
    """One link of a router's session: takes its messages, and sends those that calls bring.

    `receive` and `failed` are the ordinary way and what an error goes to; `send(data, binary)` sends a message of at
    most `limit` octets. `format`: the name of the serializer, out of `FORMATS`.
    """

    cdef object _session, _receive, _failed, _send
    cdef dict _calls, _invocations  # the books of the session
    cdef object _table  # of the session, when it was looked at last
    cdef object _exact  # registrations by URI if calls go the short way, else None
    cdef object _verdicts  # on calls, by URI; None: none is needed
    cdef bint _yields  # whether results go the short way
    cdef bytes _uri  # of the call before
    cdef object _procedure  # the same as a str
    cdef object _writer  # that `_append` is for, or None
    cdef ab_append _append
    cdef Py_ssize_t _limit
    cdef int _format
    cdef bint _binary
    cdef readonly object c_take
    cdef readonly u64 carried  # messages that went this way

    def __init__(self, session, receive, failed, send, str format, bint binary, Py_ssize_t limit):
        cdef object capsule
        self._session = session
        self._calls = session.calls
        self._invocations = session.invocations
        self._receive = receive
        self._failed = failed
        self._send = send
        self._format = _FORMATS[format]
        self._binary = binary
        self._limit = limit
        self._uri = b""
        self.c_take = _TAKE
        self._writer = getattr(send, "__self__", None)
        capsule = getattr(self._writer, "c_append", None)
        if PyCapsule_IsValid(capsule, "autobahn.append") and send == self._writer.message:
            self._append = <ab_append>PyCapsule_GetPointer(capsule, "autobahn.append")

    def stop(self):
        """The link is gone: nothing is carried any more, and nothing is referred to."""
        self._session = self._table = self._exact = self._verdicts = self._writer = None
        self._calls = self._invocations = {}
        self._receive = self._failed = _nowhere
        self._send = _gone
        self._append = NULL

    def receive(self, data, binary=None):
        """Take one message. `binary`: None if the transport does not tell."""
        if PyBytes_CheckExact(data) and (binary is None or <bint>binary == self._binary):
            if self._take(<const octet *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)):
                return
        if binary is None:
            self._receive(data)
        else:
            self._receive(data, binary)

    cdef int _take(self, const octet *data, Py_ssize_t size) except -1:
        """Carry one message; 0: it goes the ordinary way, and nothing has happened."""
        cdef ab_head head
        cdef int done
        if self._session is None or not ab_parse(self._format, data, size, &head):
            return 0
        try:
            self._look()
            done = self._call(&head) if head.code == CALL else self._yield(&head)
        except Exception as exc:
            self._failed(exc)
            return 1
        self.carried += <u64>done
        return done

    cdef int _look(self) except -1:
        """Which messages the session's table serves by the functions that this is the short way of."""
        cdef object table = self._session._table, short
        if table is self._table:
            return 0
        self._table = table
        self._exact = None
        self._yields = False
        short = table.get(0)
        if isinstance(short, tuple):  # a ShortWay
            self._exact = short.registrations if table.get(48) == short.call else None
            self._yields = table.get(70) == short.yielded
            self._verdicts = short.verdicts
        return 0

    cdef int _call(self, ab_head *head) except -1:
        """`Dealer.call`, where nothing is to be considered."""
        cdef object caller = self._session, callee, registration, request, pending
        cdef u64 serial
        cdef Lane lane
        cdef octet start[HEAD_SIZE]
        cdef Py_ssize_t size
        if self._exact is None:
            return 0
        name = self._name(head)
        if self._verdicts is not None and not self._is_allowed(name):
            return 0
        registration = (<dict>self._exact).get(name)
        callee = None if registration is None else registration.callee
        if callee is None:
            return 0
        request = head.request
        other = callee.lane
        if type(other) is not Lane or request in self._calls:
            return 0
        lane = <Lane>other
        serial = <u64>callee.last_invocation + 1
        if lane._format != self._format or serial > MAX_ID:
            return 0
        size = ab_write_head(self._format, start, INVOCATION, serial, registration.id, head.payloads)
        if not lane._fits(size, head) or not ab_check_payload(self._format, head):
            return 0
        number = serial
        pending = PendingCall(caller, request, callee, number, False)
        callee.last_invocation = number
        self._calls[request] = pending
        lane._invocations[number] = pending
        lane._put(start, size, head)
        return 1

    cdef int _yield(self, ab_head *head) except -1:
        """`Dealer.yielded`, of a final result."""
        cdef object request = head.request, pending, number
        cdef Lane lane
        cdef octet start[HEAD_SIZE]
        cdef Py_ssize_t size
        if not self._yields:
            return 0
        pending = self._invocations.get(request)
        if type(pending) is not PendingCall:  # never issued, answered, or special
            return 0
        other = pending.caller.lane
        if type(other) is not Lane:
            return 0
        lane = <Lane>other
        number = pending.request
        size = ab_write_head(self._format, start, RESULT, number, 0, head.payloads)
        if lane._format != self._format or not lane._fits(size, head) or not ab_check_payload(self._format, head):
            return 0
        del self._invocations[request]
        del lane._calls[number]
        lane._put(start, size, head)
        return 1

    cdef bint _is_allowed(self, object name) except -1:
        """Whether it has been decided once and for all that these clients may call this, and nothing but that."""
        cdef object verdict = (<dict>self._verdicts).get(name)
        return verdict is not None and verdict.error is None and verdict.disclose is None and verdict.until == FOREVER

    cdef object _name(self, ab_head *head):
        """The URI of a CALL as a str; mostly it is that of the CALL before."""
        if PyBytes_GET_SIZE(self._uri) != head.uri.size or memcmp(
            PyBytes_AS_STRING(self._uri), head.uri.data, <size_t>head.uri.size
        ):
            self._uri = PyBytes_FromStringAndSize(<const char *>head.uri.data, head.uri.size)
            self._procedure = PyUnicode_DecodeASCII(<const char *>head.uri.data, head.uri.size, NULL)
        return self._procedure

    cdef bint _fits(self, Py_ssize_t size, ab_head *head) noexcept:
        return size + head.payload.size + 1 <= self._limit

    cdef int _put(self, const octet *start, Py_ssize_t size, ab_head *head) except -1:
        """The message that begins with `start` and goes on with the payload of `head` is in the queue of the link."""
        cdef ab_span spans[3]
        cdef int i, count = 2
        cdef object data
        cdef octet *target
        spans[0].data = start
        spans[0].size = size
        spans[1] = head.payload
        if self._format == JSON:
            spans[2].data = <const octet *>b"]"
            spans[2].size = 1
            count = 3
        try:
            if self._append != NULL and self._append(<PyObject *>self._writer, spans, count):
                return 0
            data = PyBytes_FromStringAndSize(NULL, size + head.payload.size + count - 2)
            target = <octet *>PyBytes_AS_STRING(data)
            for i in range(count):
                memcpy(target, spans[i].data, <size_t>spans[i].size)
                target += spans[i].size
            self._send(data, self._binary)
        except (Disconnected, TransportLost):  # its onClose is on the way, and ends what it concerns
            pass
        return 0


def _nowhere(*_):
    """Stands for the session of a link that is gone."""


def _gone(data, binary):
    raise TransportLost("expected an open transport, got one that is closed")


cdef int _take_message(PyObject *lane, const octet *data, Py_ssize_t size) except -1:
    if not (<Lane>lane)._take(data, size):
        (<Lane>lane)._receive(PyBytes_FromStringAndSize(<const char *>data, size))
    return 0


_TAKE = PyCapsule_New(<void *>_take_message, "autobahn.take", NULL)
