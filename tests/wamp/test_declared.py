"""Objects with decorated methods: what counts, with which URI and options, and what it is called with."""

import asyncio
import functools

import pytest

from autobahn import wamp
from autobahn.wamp import RegisterOptions, SubscribeOptions
from autobahn.wamp import message as m
from autobahn.wamp.exception import InvalidUriError, TypeCheckError
from scripted import joined, settle


class Base:
    def __init__(self):
        self.seen = []

    @wamp.register("com.base.kept")
    def kept(self, x):
        return ["base", x]

    @wamp.register("com.base.overridden")
    def overridden(self, x):
        return ["base", x]

    @wamp.register("com.base.dropped")
    def dropped(self, x):
        raise AssertionError

    @wamp.subscribe("com.base.event")
    def event(self, x):
        self.seen.append(("base", x))


class Service(Base):
    class_name = "service"

    @wamp.register("com.service.overridden")
    def overridden(self, x):
        return ["service", *super().overridden(x)]

    def dropped(self, x):  # overridden without decorator: no endpoint any more
        raise AssertionError

    @wamp.register("com.service.async")
    async def later(self, x):
        await asyncio.sleep(0)
        return ["async", x]

    @wamp.register("com.service.static1")
    @staticmethod
    def static1(x):
        return ["static", x]

    @staticmethod
    @wamp.register("com.service.static2")
    def static2(x):
        return ["static", x]

    @wamp.register("com.service.class1")
    @classmethod
    def class1(cls, x):
        return [cls.class_name, x]

    @classmethod
    @wamp.register("com.service.class2")
    def class2(cls, x):
        return [cls.class_name, x]

    @wamp.register("com.service.two")
    @wamp.register("com.service.names")
    def two(self, x):
        return ["two", x]

    @wamp.register(None)
    def unnamed(self, x):
        return ["unnamed", x]

    partial = wamp.register("com.service.partial")(functools.partial(lambda tag, self, x: [tag, x], "partial"))

    @property
    def trap(self):
        raise AssertionError("properties are not touched")

    @wamp.register("com.service.pattern..x", RegisterOptions(match="wildcard", details=True))
    def pattern(self, x, details):
        return [details.procedure, x]

    @wamp.subscribe("com.service.<name>.event")
    def named(self, x):
        self.seen.append(("named", x))

    @wamp.subscribe("com.service.prefix", SubscribeOptions(match="prefix", details_arg="d"))
    async def prefixed(self, x, d):
        self.seen.append((d.topic, x))


EXPECTED = {
    "com.base.kept": ["base", 1],
    "com.service.overridden": ["service", "base", 1],
    "com.service.async": ["async", 1],
    "com.service.static1": ["static", 1],
    "com.service.static2": ["static", 1],
    "com.service.class1": ["service", 1],
    "com.service.class2": ["service", 1],
    "com.service.two": ["two", 1],
    "com.service.names": ["two", 1],
    "unnamed": ["unnamed", 1],
    "com.service.partial": ["partial", 1],
    "com.service.pattern..x": ["com.service.pattern.y.x", 1],
}


@pytest.mark.parametrize("prefix", [None, "org.test."])
async def test_every_decorated_method_is_an_endpoint(prefix):
    session, transport = await joined()
    service = Service()
    future = session.register(service, prefix=prefix)
    rows = transport.take()
    assert sorted(row[3] for row in rows) == sorted((prefix or "") + uri for uri in EXPECTED)
    options = {row[3]: row[2] for row in rows}
    assert options[(prefix or "") + "com.service.pattern..x"] == {"match": "wildcard"}
    for row in rows:
        transport.play(m.Registered(row[1], 100 + row[1]))
    registrations = await future
    assert sorted(registration.procedure for registration in registrations) == sorted(row[3] for row in rows)
    for number, row in enumerate(rows, 1):
        details = {"procedure": "com.service.pattern.y.x"} if row[2] else {}
        transport.play(m.Invocation(number, 100 + row[1], details, [1]))
    await settle()
    answers = {answer[1]: answer[3] for answer in transport.take()}
    for number, row in enumerate(rows, 1):
        assert answers[number] == [EXPECTED[row[3].removeprefix(prefix or "")]]
    assert session.errors == []


async def test_every_decorated_method_is_a_handler():
    session, transport = await joined()
    service = Service()
    future = session.subscribe(service)
    rows = {row[3]: row for row in transport.take()}
    assert {uri: row[2] for uri, row in rows.items()} == {
        "com.base.event": {},
        "com.service..event": {"match": "wildcard"},
        "com.service.prefix": {"match": "prefix"},
    }
    for row in rows.values():
        transport.play(m.Subscribed(row[1], 100 + row[1]))
    assert len(await future) == 3
    for uri, row in rows.items():
        transport.play(m.Event(100 + row[1], 1, {"topic": "t"} if row[2] else {}, [uri], {}))
    await settle()
    assert sorted(service.seen) == [
        ("base", "com.base.event"),
        ("named", "com.service..event"),
        ("t", "com.service.prefix"),
    ]


async def test_options_of_the_decorator_win_over_those_of_the_call():
    class Two:
        @wamp.register("com.own", RegisterOptions(invoke="random"))
        def own(self):
            pass

        @wamp.register("com.given")
        def given(self):
            pass

    session, transport = await joined()
    session.register(Two(), options=RegisterOptions(invoke="roundrobin"))
    assert {row[3]: row[2] for row in transport.take()} == {
        "com.own": {"invoke": "random"},
        "com.given": {"invoke": "roundrobin"},
    }


async def test_check_types_of_the_decorator_wins_too():
    class Checked:
        @wamp.register("com.checked", check_types=True)
        def checked(self, x: int):
            return x

        @wamp.register("com.unchecked", check_types=False)
        def unchecked(self, x: int):
            return x

        @wamp.register("com.default")
        def default(self, x: int):
            return x

    session, transport = await joined()
    session.register(Checked(), check_types=True)
    rows = transport.take()
    for row in rows:
        transport.play(m.Registered(row[1], 100 + row[1]))
        transport.play(m.Invocation(row[1], 100 + row[1], {}, ["text"]))
    answers = transport.take()
    outcome = {row[3]: answer[0] for row, answer in zip(rows, answers, strict=True)}
    assert outcome == {"com.checked": 8, "com.unchecked": 70, "com.default": 8}
    assert [kind for kind, _ in session.errors] == [TypeCheckError, TypeCheckError]


async def test_an_object_without_decorated_methods_gives_an_empty_list():
    session, transport = await joined()
    assert await session.register(object()) == []
    assert await session.subscribe(object()) == []
    assert transport.take() == []


async def test_single_callables():
    @wamp.register("com.own.uri", RegisterOptions(invoke="first"))
    def declared():
        pass

    class Callable:
        def __call__(self):
            return 5

    session, transport = await joined()
    session.register(declared)  # the URI and options of its decorator serve
    session.register(declared, "com.other")
    session.register(Callable(), "object", prefix="com.")
    session.register(lambda: 1, "x", prefix="com.prefix.")
    assert [row[2:] for row in transport.take()] == [
        [{"invoke": "first"}, "com.own.uri"],
        [{}, "com.other"],
        [{}, "com.object"],
        [{}, "com.prefix.x"],
    ]
    with pytest.raises(InvalidUriError, match="expected a procedure URI, got None"):
        session.register(lambda: 1)
    with pytest.raises(InvalidUriError):
        session.register(lambda: 1, "x", prefix="not a uri ")
    assert transport.take() == []
