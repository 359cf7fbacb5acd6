"""The options a program gives with a call, publication, registration or subscription.

``message_attr()`` is the dict that goes on the wire; values are judged where the program is on the stack.
"""

# ruff: noqa: PLR0913, PLR0917 (the documented signatures)

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from autobahn.wamp._record import MAX_ID, Record, expect_one_of, expect_seconds, expect_type, passthru

_Many = list[Any] | tuple[Any, ...]


def _forward_for(value: Any) -> list[dict[str, Any]] | None:
    """``value`` if it is a list of dicts with ``session``, ``authid`` and ``authrole``."""
    expect_type("forward_for", value, list)
    for hop in value or ():
        expect_type("forward_for[]", hop, dict)
        if not isinstance(hop.get("session"), int) or not isinstance(hop.get("authrole"), str):
            raise ValueError(f"expected dicts with session, authid and authrole in forward_for, got {hop!r}")
    return value  # type: ignore[no-any-return]


def _many(name: str, value: Any, kind: type) -> Any:
    """``value`` if it is one ``kind`` or a list of them."""
    for item in value if isinstance(value, (list, tuple)) else (value,):
        expect_type(name, item, kind)
    return value


class SubscribeOptions(Record):
    """How to subscribe, and how the events get to their handler.

    ``match``, ``get_retained``, ``nkey`` (the key of sharding) and ``forward_for`` are for the router. Here:

    - ``details`` (or ``details_arg="name"``): the handler gets `EventDetails` in that keyword argument.
    - ``mode``: None calls an ``async`` handler with each event at once, all side by side. "ordered": one after the
      other. "concurrent": at most ``concurrency`` (which alone means this mode) side by side. "latest": one at a time,
      and of the events that come meanwhile only the newest.
    - ``buffer``: so many events may wait for the handler, or for the loop over ``session.events``; of more the oldest
      are dropped, counted in ``Subscription.dropped`` and reported to ``onUserError``; in a loop, one more ends it.
    """

    __slots__ = (
        "buffer", "concurrency", "correlation_id", "correlation_is_anchor", "correlation_is_last",
        "correlation_uri", "details", "details_arg", "forward_for", "get_retained", "match", "mode", "nkey",
    )  # fmt: skip

    def __init__(
        self,
        match: str | None = None,
        details: bool | None = None,
        details_arg: str | None = None,
        forward_for: list[dict[str, Any]] | None = None,
        get_retained: bool | None = None,
        correlation_id: Any = None,
        correlation_uri: Any = None,
        correlation_is_anchor: Any = None,
        correlation_is_last: Any = None,
        *,
        nkey: str | None = None,
        mode: Literal["ordered", "concurrent", "latest"] | None = None,
        concurrency: int | None = None,
        buffer: int = 1000,
    ) -> None:
        expect_one_of("match", match, ("exact", "prefix", "wildcard"))
        expect_type("details", details, bool)
        expect_type("details_arg", details_arg, str)
        expect_type("get_retained", get_retained, bool)
        expect_type("nkey", nkey, str)
        expect_one_of("mode", mode, ("ordered", "concurrent", "latest"))
        expect_type("concurrency", concurrency, int)
        expect_type("buffer", buffer, int)
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"expected concurrency of 1 or more, got {concurrency}")
        if mode == "concurrent" and concurrency is None:
            raise ValueError(
                'expected concurrency (how many handlers run side by side) with mode "concurrent", got none'
            )
        if concurrency is not None and mode in {"ordered", "latest"}:
            raise ValueError(f'expected concurrency with mode "concurrent" only, got it with "{mode}"')
        if buffer < 1:
            raise ValueError(f"expected buffer to be a number of events, 1 or more, got {buffer}")
        self.nkey = nkey
        self.mode = mode if concurrency is None else "concurrent"
        self.concurrency = concurrency
        self.buffer = buffer
        self.match = match
        self.details = details
        self.details_arg = details_arg or ("details" if details else None)
        self.get_retained = get_retained
        self.forward_for = _forward_for(forward_for)
        self.correlation_id = correlation_id
        self.correlation_uri = correlation_uri
        self.correlation_is_anchor = correlation_is_anchor
        self.correlation_is_last = correlation_is_last

    def message_attr(self) -> dict[str, Any]:
        """SUBSCRIBE.Options."""
        return self._given("match", "get_retained", "nkey", "forward_for")


class PublishOptions(Record):
    """How to publish: acknowledgement, who gets the event and who does not.

    ``acknowledge``: ``publish`` returns a future of `Publication`. A receiver is whoever is subscribed, is in none of
    the ``exclude*`` lists and in every ``eligible*`` list that is given (session ids, authids, authroles; a single
    value will do; an empty list of the eligible means nobody). ``exclude_me=False``: the publisher gets its own event.
    ``retain``: the router keeps the event for those who subscribe later with ``get_retained``. ``disclose_me``:
    receivers may know who publishes. ``rkey``: the key of sharding. ``correlation_*`` stay here.

    ``ppt_scheme`` ("wamp", "mqtt", "x_..."), ``ppt_serializer``, ``ppt_cipher``, ``ppt_keyid``: the payload is packed
    (and encrypted, see `cryptobox.PassthruKeys`) for the other end (WAMP "Payload Passthru Mode"). Without a
    serializer, or with "native", it is sent as given.
    """

    __slots__ = (
        "acknowledge", "correlation_id", "correlation_is_anchor", "correlation_is_last", "correlation_uri",
        "disclose_me", "eligible", "eligible_authid", "eligible_authrole", "exclude", "exclude_authid",
        "exclude_authrole", "exclude_me", "forward_for", "ppt", "retain", "rkey", "transaction_hash",
    )  # fmt: skip

    _LISTS: ClassVar[tuple[tuple[str, type], ...]] = (
        ("exclude", int), ("exclude_authid", str), ("exclude_authrole", str),
        ("eligible", int), ("eligible_authid", str), ("eligible_authrole", str),
    )  # fmt: skip

    def __init__(
        self,
        acknowledge: bool | None = None,
        exclude_me: bool | None = None,
        exclude: int | _Many | None = None,
        exclude_authid: str | _Many | None = None,
        exclude_authrole: str | _Many | None = None,
        eligible: int | _Many | None = None,
        eligible_authid: str | _Many | None = None,
        eligible_authrole: str | _Many | None = None,
        retain: bool | None = None,
        forward_for: list[dict[str, Any]] | None = None,
        transaction_hash: str | None = None,
        correlation_id: Any = None,
        correlation_uri: Any = None,
        correlation_is_anchor: Any = None,
        correlation_is_last: Any = None,
        *,
        disclose_me: bool | None = None,
        rkey: str | None = None,
        ppt_scheme: str | None = None,
        ppt_serializer: str | None = None,
        ppt_cipher: str | None = None,
        ppt_keyid: str | None = None,
    ) -> None:
        expect_type("acknowledge", acknowledge, bool)
        expect_type("exclude_me", exclude_me, bool)
        expect_type("retain", retain, bool)
        expect_type("transaction_hash", transaction_hash, str)
        expect_type("disclose_me", disclose_me, bool)
        expect_type("rkey", rkey, str)
        self.acknowledge = acknowledge
        self.rkey = rkey
        self.ppt = passthru(ppt_scheme, ppt_serializer, ppt_cipher, ppt_keyid)
        self.exclude_me = exclude_me
        self.exclude = _many("exclude", exclude, int)
        self.exclude_authid = _many("exclude_authid", exclude_authid, str)
        self.exclude_authrole = _many("exclude_authrole", exclude_authrole, str)
        self.eligible = _many("eligible", eligible, int)
        self.eligible_authid = _many("eligible_authid", eligible_authid, str)
        self.eligible_authrole = _many("eligible_authrole", eligible_authrole, str)
        self.retain = retain
        self.forward_for = _forward_for(forward_for)
        self.transaction_hash = transaction_hash
        self.disclose_me = disclose_me
        self.correlation_id = correlation_id
        self.correlation_uri = correlation_uri
        self.correlation_is_anchor = correlation_is_anchor
        self.correlation_is_last = correlation_is_last

    def message_attr(self) -> dict[str, Any]:
        """PUBLISH.Options; single values of the lists become lists."""
        options = self._given("acknowledge", "exclude_me", "retain", "transaction_hash", "forward_for")
        for name, kind in self._LISTS:
            value = getattr(self, name)
            if value is not None:
                options[name] = [value] if isinstance(value, kind) else list(value)
        options.update(self._given("disclose_me", "rkey"))
        return options if self.ppt is None else {**options, **self.ppt}


class RegisterOptions(Record):
    """How to register, and how the endpoint is called.

    ``match``, ``invoke``, ``concurrency``, ``force_reregister``, ``disclose_caller``, ``forward_timeout`` and
    ``forward_for`` are for the router. What happens here:

    - ``details`` (or ``details_arg="name"``): the endpoint gets `CallDetails` in that keyword argument.
    - ``concurrency``: not more than so many invocations run here at a time either; the others wait, in order.
    - ``forward_timeout``: the caller's timeout is kept here instead of at the router: the endpoint is cancelled and
      the caller gets ``wamp.error.timeout``.
    - ``blocking``: the endpoint is a plain function (or generator) that may block; it runs in a thread of the session's
      own pool, which has ``session.blocking_threads`` of them and ends with the session. Nothing stops a thread: a call
      that is cancelled is answered at once, and ``details.progress`` raises in its thread from then on.
    - ``stream``: the endpoint takes progressive call invocations: its only positional argument is an async iterator of
      the chunks the caller sends (no payload: None, one value: that value, else a `CallResult`).
    """

    __slots__ = (
        "blocking", "concurrency", "correlation_id", "correlation_is_anchor", "correlation_is_last",
        "correlation_uri", "details", "details_arg", "disclose_caller", "force_reregister", "forward_for",
        "forward_timeout", "invoke", "match", "stream",
    )  # fmt: skip

    def __init__(
        self,
        match: str | None = None,
        invoke: str | None = None,
        concurrency: int | None = None,
        force_reregister: bool | None = None,
        forward_for: list[dict[str, Any]] | None = None,
        details: bool | None = None,
        details_arg: str | None = None,
        correlation_id: Any = None,
        correlation_uri: Any = None,
        correlation_is_anchor: Any = None,
        correlation_is_last: Any = None,
        *,
        disclose_caller: bool | None = None,
        forward_timeout: bool | None = None,
        blocking: bool | None = None,
        stream: bool | None = None,
    ) -> None:
        expect_one_of("match", match, ("exact", "prefix", "wildcard"))
        expect_one_of("invoke", invoke, ("single", "first", "last", "roundrobin", "random"))
        expect_type("concurrency", concurrency, int)
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"expected concurrency of 1 or more, got {concurrency}")
        expect_type("force_reregister", force_reregister, bool)
        expect_type("details", details, bool)
        expect_type("details_arg", details_arg, str)
        if details_arg is not None and not details_arg.isidentifier():
            raise ValueError(f"expected the name of a keyword argument as details_arg, got {details_arg!r}")
        expect_type("disclose_caller", disclose_caller, bool)
        expect_type("forward_timeout", forward_timeout, bool)
        expect_type("blocking", blocking, bool)
        expect_type("stream", stream, bool)
        if blocking and stream:
            raise ValueError("expected blocking or stream, got both: a thread cannot take what the loop receives")
        self.match = match
        self.invoke = invoke
        self.concurrency = concurrency
        self.force_reregister = force_reregister
        self.forward_for = _forward_for(forward_for)
        self.details = details
        self.details_arg = details_arg or ("details" if details else None)
        self.disclose_caller = disclose_caller
        self.forward_timeout = forward_timeout
        self.blocking = blocking
        self.stream = stream
        self.correlation_id = correlation_id
        self.correlation_uri = correlation_uri
        self.correlation_is_anchor = correlation_is_anchor
        self.correlation_is_last = correlation_is_last

    def message_attr(self) -> dict[str, Any]:
        """REGISTER.Options."""
        return self._given(
            "match", "invoke", "concurrency", "force_reregister", "forward_for", "disclose_caller", "forward_timeout"
        )


class CallOptions(Record):
    """How to call.

    - ``timeout``: seconds (a float will do), more than 0. It is kept here, where the call then fails with
      ``wamp.error.timeout``, and goes on the wire in milliseconds, so that the router ends the work as well. Each
      progressive result starts it anew, as at the router (WAMP "Call Timeouts"). None: the session's
      ``call_timeout``; ``math.inf``: any time, also when the session has one.
    - ``cancel_mode``: what happens at the callee when the call is cancelled here (its future, its timeout, its loop):
      ``"skip"`` nothing, ``"kill"`` and ``"killnowait"`` the endpoint is interrupted. None leaves it to the router
      (commonly ``killnowait``). Without a router that announced ``call_canceling`` nothing is sent.
    - ``on_progress``: called with each progressive result, in order; an ``async`` one is awaited before the next, and
      all of them before the call has its result. ``stream_buffer``: how many progressive results may wait for it, or
      for the loop over ``call_stream``; one more ends the call with `StreamOverflow`.
    - ``details``: the result is a `CallResult` in any case. ``disclose_me``: the callee may know who calls.
    - ``rkey`` with ``runmode="partition"``: calls with one key go to one callee (WAMP "Sharded Registration").
    - ``ppt_scheme`` and others: as in `PublishOptions`; the result comes packed in the same way, and is unpacked.
    """

    __slots__ = (
        "caller", "caller_authid", "caller_authrole", "cancel_mode", "correlation_id", "correlation_is_anchor",
        "correlation_is_last", "correlation_uri", "details", "disclose_me", "forward_for", "on_progress",
        "ppt", "rkey", "runmode", "stream_buffer", "timeout", "transaction_hash",
    )  # fmt: skip

    def __init__(
        self,
        on_progress: Callable[..., Any] | None = None,
        timeout: float | None = None,
        transaction_hash: str | None = None,
        caller: int | None = None,
        caller_authid: str | None = None,
        caller_authrole: str | None = None,
        forward_for: list[dict[str, Any]] | None = None,
        correlation_id: Any = None,
        correlation_uri: Any = None,
        correlation_is_anchor: Any = None,
        correlation_is_last: Any = None,
        details: bool | None = None,
        *,
        disclose_me: bool | None = None,
        cancel_mode: str | None = None,
        rkey: str | None = None,
        runmode: str | None = None,
        stream_buffer: int = 4096,
        ppt_scheme: str | None = None,
        ppt_serializer: str | None = None,
        ppt_cipher: str | None = None,
        ppt_keyid: str | None = None,
    ) -> None:
        if on_progress is not None and not callable(on_progress):
            raise TypeError(f"expected a callable as on_progress, got {type(on_progress).__name__}")
        expect_seconds("timeout", timeout)
        expect_type("transaction_hash", transaction_hash, str)
        expect_type("caller", caller, int)
        expect_type("caller_authid", caller_authid, str)
        expect_type("caller_authrole", caller_authrole, str)
        expect_type("details", details, bool)
        expect_type("disclose_me", disclose_me, bool)
        expect_one_of("cancel_mode", cancel_mode, ("skip", "kill", "killnowait"))
        expect_type("rkey", rkey, str)
        expect_one_of("runmode", runmode, ("partition",))
        if type(stream_buffer) is not int or stream_buffer < 1:
            raise ValueError(f"expected stream_buffer to be a number of results, 1 or more, got {stream_buffer!r}")
        self.on_progress = on_progress
        self.ppt = passthru(ppt_scheme, ppt_serializer, ppt_cipher, ppt_keyid)
        self.timeout = timeout
        self.transaction_hash = transaction_hash
        self.caller = caller
        self.caller_authid = caller_authid
        self.caller_authrole = caller_authrole
        self.forward_for = _forward_for(forward_for)
        self.details = details
        self.disclose_me = disclose_me
        self.cancel_mode = cancel_mode
        self.rkey = rkey
        self.runmode = runmode
        self.stream_buffer = stream_buffer
        self.correlation_id = correlation_id
        self.correlation_uri = correlation_uri
        self.correlation_is_anchor = correlation_is_anchor
        self.correlation_is_last = correlation_is_last

    def message_attr(self) -> dict[str, Any]:
        """CALL.Options."""
        options = self._given(
            "transaction_hash", "caller", "caller_authid", "caller_authrole", "forward_for", "disclose_me",
            "rkey", "runmode",
        )  # fmt: skip
        if self.timeout is not None and self.timeout < MAX_ID:
            options["timeout"] = min(max(1, round(self.timeout * 1000)), MAX_ID)
        if self.on_progress is not None:
            options["receive_progress"] = True
        return options if self.ppt is None else {**options, **self.ppt}
