"""Every WAMP message, declared once.

A message is data: a ``msgspec.Struct`` whose fields stand in the order of the wire (WAMP section "Messages"),
tagged by its code. ``row()`` gives the list that goes on the wire, without empty trailing payload fields.
Behaviour lives in tables keyed by ``code`` elsewhere.

Messages that carry application payload have a second form, ``RAW[code]``: the same class with ``args`` and
``kwargs`` left undecoded (``msgspec.Raw``, ``None`` when absent). The router decodes into that form, because it
only carries the payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Raw, Struct

from autobahn.wamp import _record

MAX_ID = _record.MAX_ID

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
IdOrZero = Annotated[int, Meta(ge=0, le=MAX_ID)]  # 0 only in the two revocation forms
Dict = dict[str, Any]


class Message(Struct, array_like=True, forbid_unknown_fields=True):
    """Base of all messages; ``code`` is the first element on the wire."""

    code: ClassVar[int] = 0
    MESSAGE_TYPE: ClassVar[int] = 0  # the documented name of `code`

    def row(self) -> list[Any]:
        """The message as the list that is serialized."""
        return [self.code, *msgspec.structs.astuple(self)]


# ---- session lifecycle -----------------------------------------------------------------------------------


class Hello(Message, tag=1):
    code: ClassVar[int] = 1
    realm: str
    details: Dict


def _detail(key: str) -> Any:
    return property(lambda self: self.details.get(key), doc=f"Details.{key}, or None.")


class Welcome(Message, tag=2):
    """``onWelcome`` gets one: programs read there what the documented class has, before there are SessionDetails."""

    code: ClassVar[int] = 2
    session: Id
    details: Dict

    realm = _detail("realm")
    roles = _detail("roles")
    authid = _detail("authid")
    authrole = _detail("authrole")
    authmethod = _detail("authmethod")
    authprovider = _detail("authprovider")
    authextra = _detail("authextra")
    resumed = _detail("resumed")
    resumable = _detail("resumable")
    resume_token = _detail("resume_token")

    @property
    def custom(self) -> Dict:
        """Details that are the router's own: those whose names begin with ``x_``."""
        return {key: value for key, value in self.details.items() if key.startswith("x_")}


class Abort(Message, tag=3):
    """Payload is accepted for leniency with peers; we send three elements, which every peer reads."""

    code: ClassVar[int] = 3
    details: Dict
    reason: str
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return [3, self.details, self.reason]


class Challenge(Message, tag=4):
    code: ClassVar[int] = 4
    method: str
    extra: Dict


class Authenticate(Message, tag=5):
    code: ClassVar[int] = 5
    signature: str
    extra: Dict


class Goodbye(Message, tag=6):
    code: ClassVar[int] = 6
    details: Dict
    reason: str


# ---- messages with payload -------------------------------------------------------------------------------


class Error(Message, tag=8):
    """The answer to a failed request; ``request_type`` is the code of that request."""

    code: ClassVar[int] = 8
    request_type: int
    request: Id
    details: Dict
    error: str
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        head = [8, self.request_type, self.request, self.details, self.error]
        return payload_row(head, self.args, self.kwargs)


class Publish(Message, tag=16):
    code: ClassVar[int] = 16
    request: Id
    options: Dict
    topic: str
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return payload_row([16, self.request, self.options, self.topic], self.args, self.kwargs)


class Event(Message, tag=36):
    code: ClassVar[int] = 36
    subscription: Id
    publication: Id
    details: Dict
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return payload_row([36, self.subscription, self.publication, self.details], self.args, self.kwargs)


class Call(Message, tag=48):
    code: ClassVar[int] = 48
    request: Id
    options: Dict
    procedure: str
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return payload_row([48, self.request, self.options, self.procedure], self.args, self.kwargs)


class Result(Message, tag=50):
    code: ClassVar[int] = 50
    request: Id
    details: Dict
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return payload_row([50, self.request, self.details], self.args, self.kwargs)


class Invocation(Message, tag=68):
    code: ClassVar[int] = 68
    request: Id
    registration: Id
    details: Dict
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return payload_row([68, self.request, self.registration, self.details], self.args, self.kwargs)


class Yield(Message, tag=70):
    code: ClassVar[int] = 70
    request: Id
    options: Dict
    args: list[Any] = []
    kwargs: Dict = {}

    def row(self) -> list[Any]:
        return payload_row([70, self.request, self.options], self.args, self.kwargs)


# ---- publish & subscribe ---------------------------------------------------------------------------------


class Published(Message, tag=17):
    code: ClassVar[int] = 17
    request: Id
    publication: Id

    def row(self) -> list[Any]:
        return [17, self.request, self.publication]


class Subscribe(Message, tag=32):
    code: ClassVar[int] = 32
    request: Id
    options: Dict
    topic: str


class Subscribed(Message, tag=33):
    code: ClassVar[int] = 33
    request: Id
    subscription: Id


class Unsubscribe(Message, tag=34):
    code: ClassVar[int] = 34
    request: Id
    subscription: Id


class Unsubscribed(Message, tag=35):
    """``[35, request]``, or the revocation ``[35, 0, {"subscription": id, "reason": uri}]``."""

    code: ClassVar[int] = 35
    request: IdOrZero
    details: Dict = {}

    def row(self) -> list[Any]:
        return [35, self.request, self.details] if self.details else [35, self.request]


class EventReceived(Message, tag=337):
    """Acknowledges one EVENT (provisional code of the test vectors; 37 is planned)."""

    code: ClassVar[int] = 337
    publication: Id


# ---- remote procedure calls ------------------------------------------------------------------------------


class Cancel(Message, tag=49):
    code: ClassVar[int] = 49
    request: Id
    options: Dict


class Register(Message, tag=64):
    code: ClassVar[int] = 64
    request: Id
    options: Dict
    procedure: str


class Registered(Message, tag=65):
    code: ClassVar[int] = 65
    request: Id
    registration: Id


class Unregister(Message, tag=66):
    code: ClassVar[int] = 66
    request: Id
    registration: Id


class Unregistered(Message, tag=67):
    """``[67, request]``, or the revocation ``[67, 0, {"registration": id, "reason": uri}]``."""

    code: ClassVar[int] = 67
    request: IdOrZero
    details: Dict = {}

    def row(self) -> list[Any]:
        return [67, self.request, self.details] if self.details else [67, self.request]


class Interrupt(Message, tag=69):
    code: ClassVar[int] = 69
    request: Id
    options: Dict


def payload_row(head: list[Any], args: Any, kwargs: Any) -> list[Any]:
    """``head`` with the payload appended: nothing, args, or args and kwargs (WAMP "Messages", 6.2)."""
    if kwargs:
        head.append(args or [])
        head.append(kwargs)
    elif args:
        head.append(args)
    return head


MESSAGES: tuple[type[Message], ...] = (
    Hello, Welcome, Abort, Challenge, Authenticate, Goodbye, Error,
    Publish, Published, Subscribe, Subscribed, Unsubscribe, Unsubscribed, Event, EventReceived,
    Call, Cancel, Result, Register, Registered, Unregister, Unregistered, Invocation, Interrupt, Yield,
)  # fmt: skip
BY_CODE: dict[int, type[Message]] = {cls.code: cls for cls in MESSAGES}
for _cls in MESSAGES:
    _cls.MESSAGE_TYPE = _cls.code


def _raw_form(cls: type[Message]) -> type[Message]:
    """``cls`` with ``args`` and ``kwargs`` undecoded. A subclass, so ``isinstance`` and ``row()`` hold."""
    raw: Any = msgspec.defstruct(
        cls.__name__,
        [("args", Raw, None), ("kwargs", Raw, None)],
        bases=(cls,),
        tag=cls.code,
        array_like=True,
        forbid_unknown_fields=True,
        module=cls.__module__,
    )
    raw.code = cls.code
    return raw  # type: ignore[no-any-return]


RAW: dict[int, type[Message]] = {
    cls.code: _raw_form(cls) for cls in (Error, Publish, Event, Call, Result, Invocation, Yield)
}

_LEFT_OUT = {
    **dict.fromkeys(
        ("check_or_raise_extra", "check_or_raise_id", "identify_realm_name_category", "check_or_raise_realm_name"),
        "values are judged while a message is decoded, by the types of its declaration",
    ),
    "check_or_raise_uri": "use autobahn.wamp.uri.require_uri or is_valid",
    **dict.fromkeys(
        ("is_valid_enc_algo", "is_valid_enc_serializer", "PAYLOAD_ENC_CRYPTO_BOX", "PAYLOAD_ENC_MQTT",
         "PAYLOAD_ENC_STANDARD_IDENTIFIERS", "PAYLOAD_ENC_STANDARD_SERIALIZERS"),
        "the keys of payload passthrough are judged in autobahn.wamp.options",
    ),
}  # fmt: skip

if not TYPE_CHECKING:  # a type checker must go on refusing names that do not exist

    def __getattr__(name: str) -> Any:
        """Say of a documented name that is left out what serves instead."""
        if name in _LEFT_OUT:
            raise AttributeError(f"autobahn.wamp.message.{name} is left out: {_LEFT_OUT[name]}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
