"""Exceptions of endpoints and at callers: the mapping to error URIs, both ways."""

import pytest

from autobahn.exception import PayloadExceededError
from autobahn.wamp import ApplicationError, error
from autobahn.wamp import message as m
from autobahn.wamp.errors import MAX_TRACEBACK
from autobahn.wamp.exception import NotAuthorized, SerializationError
from scripted import joined, registered


@error("com.error.declared")
class DeclaredError(Exception):
    pass


class ChildOfDeclared(DeclaredError):
    pass


class DefinedError(Exception):
    pass


class ChildOfDefined(DefinedError):
    pass


@error("com.error.grandchild")
class DeclaredGrandchild(ChildOfDefined):
    pass


class OwnApplicationError(ApplicationError):
    def __init__(self, text):
        super().__init__("com.error.own", text, k=1)


class WithKwargs(Exception):
    def __init__(self, *args, **kwargs):
        super().__init__(*args)
        self.kwargs = kwargs


class WithoutKwargs(Exception):
    pass


class WithDetail(Exception):
    def __init__(self, text, detail):
        super().__init__(text)
        self.detail = detail


class Strict(Exception):
    def __init__(self):
        super().__init__()


class Broken(Exception):
    def __init__(self, *args):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (DeclaredError("a", 1), ["com.error.declared", ["a", 1]]),
        (ChildOfDeclared("a"), ["com.error.declared", ["a"]]),
        (DefinedError(), ["com.error.defined"]),
        (ChildOfDefined("a"), ["com.error.defined", ["a"]]),
        (DeclaredGrandchild("a"), ["com.error.grandchild", ["a"]]),
        (OwnApplicationError("a"), ["com.error.own", ["a"], {"k": 1}]),
        (WithKwargs("a", b=2), ["wamp.error.runtime_error", ["a"], {"b": 2}]),
        (NotAuthorized("a"), ["wamp.error.not_authorized", ["a"]]),
        (SerializationError("a"), ["wamp.error.invalid_payload", ["a"]]),
        (PayloadExceededError("a"), ["wamp.error.payload_size_exceeded", ["a"]]),
        (ZeroDivisionError("a"), ["wamp.error.runtime_error", ["a"]]),
        (ApplicationError("not a uri"), ["wamp.error.runtime_error", ["expected an error URI, got 'not a uri'"]]),
        (ApplicationError("", 1), ["wamp.error.runtime_error", ["expected an error URI, got ''", 1]]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_an_endpoint_raises_has_the_uri_of_its_nearest_class(exc, expected):
    session, transport = await joined()
    session.define(DefinedError, "com.error.defined")

    def endpoint():
        raise exc

    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, {}))
    assert transport.take() == [[8, 68, 1, {}, *expected]]
    assert len(session.errors) == 1


async def received(defined, args=(), kwargs=None, uri="com.error.x", details=None):
    """What a caller gets for an ERROR, and what onUserError was told."""
    session, transport = await joined()
    if defined is not None:
        session.define(defined, uri)
    future = session.call("com.a")
    transport.play(m.Error(48, 1, details or {}, uri, list(args), kwargs or {}))
    return future.exception(), session.errors


@pytest.mark.parametrize(
    ("cls", "args", "kwargs", "attributes"),
    [
        (WithKwargs, ["a", 1], {"b": 2}, {"kwargs": {"b": 2}}),
        (WithoutKwargs, ["a", 1], {"b": 2}, {"kwargs": {"b": 2}}),
        (WithoutKwargs, ["a"], {}, {}),
        (WithDetail, ["a"], {"detail": 5}, {"detail": 5}),
        (Strict, [], {}, {}),
    ],
)
async def test_a_defined_class_is_made_of_what_comes(cls, args, kwargs, attributes):
    exc, errors = await received(cls, args, kwargs)
    assert type(exc) is cls
    assert list(exc.args) == args
    assert {name: getattr(exc, name) for name in attributes} == attributes
    assert errors == []


@pytest.mark.parametrize(("cls", "kind"), [(Strict, TypeError), (Broken, ValueError), (WithDetail, TypeError)])
async def test_a_class_that_cannot_be_made_gives_an_application_error_and_is_reported(cls, kind):
    exc, errors = await received(cls, ["a", "b", "c"], {"detail": 1, "k": 2})
    assert type(exc) is ApplicationError
    assert (exc.error, exc.args, exc.kwargs) == ("com.error.x", ("a", "b", "c"), {"detail": 1, "k": 2})
    assert errors == [(kind, f"While re-constructing exception {cls.__name__} for com.error.x")]


async def test_a_result_that_is_too_big_is_the_callees_answer():
    session, transport = await joined()
    send = transport.send

    def limited(msg):
        if len(str(msg.row())) > 200:
            raise PayloadExceededError("expected at most 200 octets, got more")
        send(msg)

    transport.send = limited
    await registered(session, transport, lambda size: "x" * size)
    transport.play(m.Invocation(1, 11, {}, [10]), m.Invocation(2, 11, {}, [500]))
    assert transport.take() == [
        [70, 1, {}, ["x" * 10]],
        [8, 68, 2, {}, "wamp.error.payload_size_exceeded", ["expected at most 200 octets, got more"]],
    ]


@pytest.mark.parametrize(
    ("uri", "cls"),
    [
        ("wamp.error.payload_size_exceeded", PayloadExceededError),
        ("wamp.error.invalid_payload", SerializationError),
    ],
)
async def test_two_errors_have_classes_of_their_own(uri, cls):
    exc, errors = await received(None, ["text"], uri=uri)
    assert (type(exc), exc.args, errors) == (cls, ("text",), [])

    class Mine(Exception):
        pass

    exc, _ = await received(Mine, ["text"], uri=uri)
    assert type(exc) is Mine


async def test_an_unknown_uri_gives_an_application_error_with_everything():
    details = {"callee": 5, "callee_authid": "joe", "callee_authrole": "user", "zzz": 1}
    exc, _ = await received(None, ["a"], {"error": 1, "callee": 2}, details=details)
    assert (exc.error, exc.args, exc.kwargs) == ("com.error.x", ("a",), {"error": 1, "callee": 2})
    assert (exc.callee, exc.callee_authid, exc.callee_authrole, exc.enc_algo) == (5, "joe", "user", None)


async def test_the_callees_traceback_travels_when_asked_for():
    session, transport = await joined()
    session.traceback_app = True

    def endpoint():
        raise DeclaredError("a")

    await registered(session, transport, endpoint)
    transport.play(m.Invocation(1, 11, {}))
    ((_, _, _, _, _, args, kwargs),) = transport.take()
    text = kwargs["traceback"]
    assert "in endpoint" in text and "DeclaredError: a" in text

    for cls in (WithKwargs, WithoutKwargs, Strict, None):
        exc, errors = await received(cls, args if cls is not Strict else [], kwargs)
        assert exc.remote_traceback == text
        (note,) = exc.__notes__
        assert note.startswith("At the callee:\n  Traceback (most recent call last):\n") and "in endpoint" in note
        assert errors == []
    exc, _ = await received(None, args, kwargs)
    assert exc.kwargs == {"traceback": text}  # as documented
    exc, _ = await received(WithoutKwargs, args, kwargs)
    assert exc.kwargs == {}


async def test_a_peers_traceback_is_text_of_bounded_length():
    exc, _ = await received(None, [], {"traceback": "\x1b[31mred\nline\n" + "x" * MAX_TRACEBACK * 2})
    assert len(exc.remote_traceback) == MAX_TRACEBACK + 3
    assert "\x1b" not in exc.__notes__[0] and "\\x1b[31mred" in exc.__notes__[0]
    exc, _ = await received(None, [], {"traceback": ["no text"]})
    assert exc.remote_traceback is None and not hasattr(exc, "__notes__")


async def test_define_takes_one_uri():
    session, _ = await joined()
    session.define(DeclaredError)
    with pytest.raises(RuntimeError, match=r"DeclaredError either from @wamp.error or as argument, got both"):
        session.define(DeclaredError, "com.other")
    with pytest.raises(RuntimeError, match="got neither"):
        session.define(ChildOfDeclared)
