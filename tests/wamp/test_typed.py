"""Functions with annotations: arguments converted and validated, results made fit for the wire."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import inspect
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn import wamp
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.typed import converting
from autobahn.wamp.types import CallResult, EventDetails, RegisterOptions, SubscribeOptions
from scripted import joined, settle

UTC = datetime.UTC
ID = uuid.UUID(int=7)


@dataclasses.dataclass
class Item:
    name: str
    price: Decimal = Decimal("1.50")


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


Positive = Annotated[int, msgspec.Meta(gt=0)]


CONVERSIONS = [
    (int, 5, 5),
    (float, 5, 5.0),
    (str, "x", "x"),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1]}, {"a": [1]}),
    (bytes, b"\x00\xff", b"\x00\xff"),
    (datetime.datetime, "2024-05-06T07:08:09Z", datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
    (datetime.datetime, datetime.datetime(2024, 5, 6, tzinfo=UTC), datetime.datetime(2024, 5, 6, tzinfo=UTC)),
    (datetime.date, "2024-05-06", datetime.date(2024, 5, 6)),
    (datetime.timedelta, "PT1.5S", datetime.timedelta(seconds=1.5)),
    (Decimal, "1.50", Decimal("1.50")),
    (uuid.UUID, str(ID), ID),
    (Colour, "red", Colour.RED),
    (Level, 1, Level.LOW),
    (Item, {"name": "a", "price": "2"}, Item("a", Decimal(2))),
    (Item, {"name": "a"}, Item("a")),
    (Point, {"x": 1}, Point(1)),
    (list[Point], [{"x": 1}, {"x": 2}], [Point(1), Point(2)]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (set[int], [1, 2], {1, 2}),
    (dict[int, Item], {"5": {"name": "a"}}, {5: Item("a")}),
    (int | str, "a", "a"),
    (Point | None, None, None),
    (Point | None, {"x": 1}, Point(1)),
    (Literal["a", "b"], "b", "b"),
    (Positive, 1, 1),
]


@pytest.mark.parametrize(("hint", "came", "expected"), CONVERSIONS)
def test_what_comes_over_the_wire_becomes_what_is_annotated(hint, came, expected):
    def function(value):
        return value == expected and type(value) is type(expected)

    function.__annotations__ = {"value": hint}
    assert converting(function)(came) is True
    assert converting(function)(value=came) is True


REFUSALS = [
    (int, "5", 'expected int for argument "value", got str'),
    (int, True, 'expected int for argument "value", got bool'),
    (int, 1.0, 'expected int for argument "value", got float'),
    (bool, 1, 'expected bool for argument "value", got int'),
    (bytes, "AP8=", 'expected bytes for argument "value", got str'),
    (datetime.datetime, "soon", "for argument \"value\", got 'soon'"),
    (Decimal, "x", "for argument \"value\", got 'x'"),
    (uuid.UUID, "5", "for argument \"value\", got '5'"),
    (Colour, "blue", "got 'blue'"),
    (Point, {"y": 1}, "got {'y': 1}"),
    (Point, {"x": 1, "y": "2"}, 'expected int for argument "value.y", got str'),
    (list[Point], [{"x": 1}, {"x": []}], 'expected int for argument "value[1].x", got array'),
    (list[Positive], [1, 0], 'expected int >= 1 for argument "value[1]", got 0'),
    (int | str, 1.5, 'expected int | str for argument "value", got float'),
    (Point | None, 5, 'expected object | null for argument "value", got int'),
    (Literal["a", "b"], "c", "got 'c'"),
    (dict[str, int], {"a": "x"}, 'expected int for argument "value[...]", got str'),
]


@pytest.mark.parametrize(("hint", "came", "text"), REFUSALS)
def test_what_does_not_fit_is_refused_in_words(hint, came, text):
    def function(value):
        raise AssertionError

    function.__annotations__ = {"value": hint}
    for args, kwargs in (((came,), {}), ((), {"value": came})):
        with pytest.raises(ApplicationError) as caught:
            converting(function)(*args, **kwargs)
        assert caught.value.error == "wamp.error.invalid_argument"
        assert text in caught.value.args[0]
        assert caught.value.kwargs["parameter"].startswith("value")
        assert caught.value.kwargs["expected"]
        assert caught.value.kwargs["got"]


def many(a: int, /, b: Point, *rest: Decimal, c: uuid.UUID | None = None, d: int = 4, **others: float) -> Any:
    return [a, b.x, [str(r) for r in rest], None if c is None else c.int, d, others]


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ([1, {"x": 2}], {}, [1, 2, [], None, 4, {}]),
        ([1, {"x": 2}, "3.5", "4"], {"c": str(ID)}, [1, 2, ["3.5", "4"], 7, 4, {}]),
        ([1], {"b": {"x": 2}, "e": 5, "f": 6.5}, [1, 2, [], None, 4, {"e": 5.0, "f": 6.5}]),
        ([1, {"x": 2}], {"d": 5, "a": 6}, [1, 2, [], None, 5, {"a": 6.0}]),
    ],
)
def test_every_kind_of_parameter(args, kwargs, expected):
    assert converting(many)(*args, **kwargs) == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ([], {}, 'expected int for argument "a", got nothing'),
        ([1], {}, 'expected Point for argument "b", got nothing'),
        ([1, {"x": 2}], {"b": {"x": 3}}, 'expected one value for argument "b", got two'),
        ([1, {"x": 2}, "3", "x"], {}, "for argument \"rest[1]\", got 'x'"),
        ([1, {"x": 2}], {"e": 5, "f": "x"}, 'expected float for argument "f", got str'),
        ([1, {"x": 2}], {"c": "x"}, "for argument \"c\", got 'x'"),
    ],
)
def test_arguments_that_do_not_match_the_signature(args, kwargs, text):
    with pytest.raises(ApplicationError) as caught:
        converting(many)(*args, **kwargs)
    assert caught.value.error == "wamp.error.invalid_argument"
    assert text in caught.value.args[0]


def few(a: int, b: int = 2, *, c: int) -> int:
    return a + b + c


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ([1, 2, 3], {"c": 1}, "expected at most 2 positional arguments, got 3"),
        ([1], {"c": 1, "z": 1}, 'expected a keyword argument out of a, b, c for argument "z", got z'),
        ([1, 2], {}, 'expected int for argument "c", got nothing'),
        ([1, 2], {"a": 1, "c": 1}, 'expected one value for argument "a", got two'),
    ],
)
def test_too_many_and_too_few(args, kwargs, text):
    with pytest.raises(ApplicationError, match="invalid_argument") as caught:
        converting(few)(*args, **kwargs)
    assert caught.value.args[0] == text


def test_defaults_are_the_functions_own():
    marker = object()

    def function(a: int = marker, b: list[int] = marker):
        return a is marker and b is marker

    assert converting(function)() is True


def test_details_are_handed_through():
    details = object()

    def function(a: int, details: object = None, b: int = 2) -> Any:
        return [a, details is seen, b]

    seen = details
    call = converting(function, ["details"])
    assert call(1, details=details) == [1, True, 2]
    assert call(1, details=details, b=3) == [1, True, 3]
    with pytest.raises(ApplicationError, match="at most 1 positional"):
        call(1, 2, details=details)  # what stands behind details can only be named
    with pytest.raises(ApplicationError, match='for argument "b", got str'):
        call(1, details=details, b="3")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Item("a"), {"name": "a", "price": "1.50"}),
        ([Point(1), Point(2, 3)], [{"x": 1, "y": 0}, {"x": 2, "y": 3}]),
        (
            {"when": datetime.datetime(2024, 5, 6, tzinfo=UTC), "id": ID, 5: Colour.RED},
            {"when": "2024-05-06T00:00:00Z", "id": str(ID), "5": "red"},
        ),
        ({1}, [1]),
        ([b"\x00", bytearray(b"x")], [b"\x00", bytearray(b"x")]),
        (None, None),
    ],
)
def test_results_are_made_of_what_every_serializer_carries(value, expected):
    def bare():
        return value

    assert converting(bare)() == expected


def test_a_call_result_keeps_its_form():
    def function() -> CallResult:
        return CallResult(Point(1), [ID], when=datetime.date(2024, 5, 6))

    result = converting(function)()
    assert list(result.results) == [{"x": 1, "y": 0}, [str(ID)]]
    assert result.kwresults == {"when": "2024-05-06"}


def test_a_result_that_is_not_as_annotated_is_the_callees_error():
    def function(kind: str) -> list[Point]:
        return {"good": [{"x": 1}], "bad": [Point("x")], "alien": [object()]}[kind]

    call = converting(function)
    assert call("good") == [{"x": 1}]
    for kind, text in (
        ("bad", "expected int for result[0].x, got str"),
        ("alien", "expected object for result[0], got object"),
    ):
        with pytest.raises(ApplicationError) as caught:
            call(kind)
        assert caught.value.error == "wamp.error.type_check_error"
        assert caught.value.args[0] == text


def test_what_no_serializer_carries_is_left_to_the_serializer():
    alien = object()

    def bare():
        return alien

    assert converting(bare)() is alien


async def test_coroutines_and_async_generators_stay_what_they_are():
    async def add(a: Decimal, b: Decimal) -> Decimal:
        await asyncio.sleep(0)
        return a + b

    closed = []

    async def count(to: int) -> AsyncIterator[Point]:
        try:
            for x in range(to):
                yield Point(x) if x < 2 else "x"
        finally:
            closed.append(True)

    assert inspect.iscoroutinefunction(converting(add))
    assert await converting(add)("1.5", "2") == "3.5"
    assert inspect.isasyncgenfunction(converting(count))
    assert [point async for point in converting(count)(2)] == [{"x": 0, "y": 0}, {"x": 1, "y": 0}]
    with pytest.raises(ApplicationError, match="type_check_error"):
        _ = [point async for point in converting(count)(3)]
    assert closed == [True, True]


def test_generators_stay_what_they_are():
    closed = []

    def count(to: Positive) -> Generator[Point, None, Decimal]:
        try:
            for x in range(to):
                yield Point(x)
            return Decimal(to) if to < 3 else "many"
        finally:
            closed.append(to)

    def unannotated(to):
        yield Point(to)

    def loose(to: int) -> Iterator[int]:
        yield to
        yield f"{to}"

    call = converting(count)
    assert inspect.isgeneratorfunction(call)
    items = call(2)
    assert [next(items), next(items)] == [{"x": 0, "y": 0}, {"x": 1, "y": 0}]
    with pytest.raises(StopIteration) as end:
        next(items)
    assert end.value.value == "2"
    with pytest.raises(ApplicationError, match="type_check_error"):
        list(call(3))
    next(left := call(9))
    left.close()
    assert closed == [2, 3, 9]
    with pytest.raises(ApplicationError, match="invalid_argument"):
        list(call(0))
    assert list(converting(unannotated)(5)) == [{"x": 5, "y": 0}]
    with pytest.raises(ApplicationError, match="expected int for result, got str"):
        list(converting(loose)(5))


async def test_a_plain_function_may_give_an_awaitable():
    async def later(x):
        return Point(x)

    def function(x: int):
        return later(x)

    assert await converting(function)(5) == {"x": 5, "y": 0}


def test_methods_partials_and_callable_objects():
    class Service:
        def add(self, a: Decimal) -> str:
            return f"{a * 2}"

        def __call__(self, a: Decimal) -> str:
            return f"{a * 3}"

        @staticmethod
        def static(a: Decimal) -> str:
            return f"{a * 4}"

        @classmethod
        def of_class(cls, a: Decimal) -> str:
            return f"{a * 5}"

    service = Service()
    functions = [service.add, service, service.static, Service.of_class, functools.partial(service.add)]
    assert [converting(function)("1.5") for function in functions] == ["3.0", "4.5", "6.0", "7.5", "3.0"]
    assert converting(service.add).__name__ == "add"


# ---- in a session ------------------------------------------------------------------------------------------------


class Shop:
    """Endpoints and handlers that declare what they take."""

    def __init__(self):
        self.seen = []

    @wamp.register("com.shop.price", check_types="convert")
    def price(self, item: Item, count: Positive = 1) -> Decimal:
        return item.price * count

    @wamp.register("com.shop.later", check_types="convert", options=RegisterOptions(details=True))
    async def later(self, when: datetime.datetime, details: Any) -> list[datetime.datetime]:
        await asyncio.sleep(0)
        return [when, when + datetime.timedelta(days=len(details.procedure))]

    @wamp.register("com.shop.count", check_types="convert")
    async def count(self, to: int) -> AsyncIterator[Point]:
        for x in range(to):
            yield Point(x)

    @wamp.subscribe("com.shop.sold", check_types="convert", options=SubscribeOptions(details_arg="d"))
    def sold(self, item: Item, colour: Colour, octets: bytes = b"", d: EventDetails | None = None) -> None:
        self.seen.append((item, colour, octets, d.publication))


def carried(codec, msg):
    """The message as it arrives at the other end."""
    return codec.decode(codec.encode(msg))


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
async def test_typed_endpoints_and_handlers_with_every_serializer(codec):
    session, transport = await joined()
    shop = Shop()
    registered = session.register(shop)
    subscribed = session.subscribe(shop)
    requests = {row[3]: row[1] for row in transport.take()}
    ids = {name: number for number, name in enumerate(requests, 50)}
    for name, request in requests.items():
        transport.play(
            m.Subscribed(request, ids[name]) if name == "com.shop.sold" else m.Registered(request, ids[name])
        )
    await asyncio.gather(registered, subscribed)

    def invoke(request, name, *args, **kwargs):
        details = kwargs.pop("details", {})
        transport.play(carried(codec, m.Invocation(request, ids[name], details, list(args), kwargs)))

    def answers():
        return [carried(codec, msg).row() for msg in [transport.sent.pop(0) for _ in list(transport.sent)]]

    invoke(1, "com.shop.price", {"name": "a", "price": "2.25"}, count=2)
    invoke(2, "com.shop.price", Item("a", Decimal("2.5")))  # a dataclass travels as a dict
    assert answers() == [[70, 1, {}, ["4.50"]], [70, 2, {}, ["2.5"]]]
    invoke(3, "com.shop.price", {"name": 5})
    (answer,) = answers()
    assert answer == [8, 68, 3, {}, "wamp.error.invalid_argument",
                      ['expected str for argument "item.name", got int'],
                      {"parameter": "item.name", "expected": "str", "got": "int"}]  # fmt: skip
    invoke(4, "com.shop.later", datetime.datetime(2024, 5, 6, tzinfo=UTC), details={"procedure": "ab"})
    await settle()
    assert answers() == [[70, 4, {}, [["2024-05-06T00:00:00Z", "2024-05-08T00:00:00Z"]]]]
    invoke(5, "com.shop.count", 2, details={"receive_progress": True})
    await settle()
    assert answers() == [
        [70, 5, {"progress": True}, [{"x": 0, "y": 0}]],
        [70, 5, {"progress": True}, [{"x": 1, "y": 0}]],
        [70, 5, {}],
    ]
    transport.play(carried(codec, m.Event(ids["com.shop.sold"], 9, {}, [{"name": "a"}, "red", b"\x00\xff"], {})))
    transport.play(carried(codec, m.Event(ids["com.shop.sold"], 10, {}, [{"name": "a"}, "blue"], {})))
    assert shop.seen == [(Item("a"), Colour.RED, b"\x00\xff", 9)]
    assert [kind for kind, _ in session.errors] == [ApplicationError, ApplicationError]
    session.publish("com.shop.sold", Point(1), Colour.RED, point=Point(2))
    session.call("com.shop.price", [Point(3)])
    assert [row[4:] for row in answers()] == [
        [[{"x": 1, "y": 0}, "red"], {"point": {"x": 2, "y": 0}}],
        [[[{"x": 3, "y": 0}]]],
    ]


async def test_check_types_is_one_of_a_few():
    session, _ = await joined()
    with pytest.raises(ValueError, match="expected check_types True, False, None or \"convert\", got 'strict'"):
        session.register(lambda: None, "com.a", check_types="strict")
    with pytest.raises(ValueError, match="expected check_types"):
        session.subscribe(lambda: None, "com.a", check_types=[])


def test_annotations_are_judged_when_they_are_declared():
    def unknown(a: Nonsense):  # noqa: F821
        pass

    def ambiguous(a: Point | Item):
        pass

    def odd(a: 5):
        pass

    with pytest.raises(TypeError, match=r"expected annotations of .*unknown that can be looked up: .*Nonsense"):
        converting(unknown)
    with pytest.raises(TypeError, match='expected an annotation of parameter "a" that values can be converted to'):
        converting(ambiguous)
    with pytest.raises(TypeError):
        converting(odd)


HINTS = {
    int: int,
    float: float,
    str: str,
    bool: bool,
    bytes: bytes,
    Decimal: Decimal,
    uuid.UUID: uuid.UUID,
    datetime.datetime: datetime.datetime,
    Colour: Colour,
    Point: Point,
    Item: Item,
    list[int]: list,
    dict[str, Point]: dict,
    tuple[int, str]: tuple,
    int | None: (int, type(None)),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.uuids(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.sampled_from("xy"), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    hints=st.lists(st.sampled_from(list(HINTS)), min_size=1, max_size=4),
    args=st.lists(VALUES, max_size=6),
    kwargs=st.dictionaries(st.sampled_from(["a", "b", "c", "d", "zz", "a.b", "[0]", ""]), VALUES, max_size=3),
    shape=st.sampled_from(["plain", "star", "stars"]),
)
def test_whatever_comes_user_code_sees_what_it_is_annotated_with(hints, args, kwargs, shape):
    """Never anything but the refusal, and never a value of another type."""
    names = "abcd"[: len(hints)]
    extra = {"plain": "", "star": ", *rest", "stars": ", **others"}[shape]
    namespace = {}
    exec(f"def function({', '.join(names)}{extra}): return locals()", namespace)
    function = namespace["function"]
    function.__annotations__ = {**dict(zip(names, hints, strict=True)), "rest": int, "others": int}
    seen = []
    call = converting(noted(function, seen))
    refusal = None
    try:
        call(*args, **kwargs)
    except ApplicationError as exc:
        refusal = exc
    if refusal is not None:
        assert refusal.error == "wamp.error.invalid_argument"
        assert refusal.args[0].startswith("expected ")
        assert seen == []
        return
    (arguments,) = seen
    for name, hint in zip(names, hints, strict=True):
        assert isinstance(arguments[name], HINTS[hint])
    assert all(type(value) is int for value in arguments.get("rest", ()))
    assert all(type(value) is int for value in arguments.get("others", {}).values())


def noted(function, seen):
    @functools.wraps(function)
    def noting(*args, **kwargs):
        seen.append(function(*args, **kwargs))

    return noting


async def test_the_items_of_a_stream_of_arguments_are_converted_as_they_come():
    taken = []

    async def total(points: AsyncIterator[Point], factor: int = 1) -> int:
        async for point in points:
            taken.append(point)
        return factor * sum(point.x for point in taken)

    async def stream(*items):
        for item in items:
            yield item

    call = converting(total)
    assert await call(stream({"x": 1}, {"x": 2}), factor=2) == 6
    assert await call(points=stream()) == 3
    del taken[:]
    with pytest.raises(ApplicationError) as caught:
        await call(stream({"x": 1}, {"x": "2"}))
    assert caught.value.error == "wamp.error.invalid_argument"
    assert caught.value.args[0] == 'expected int for argument "points[1].x", got str'
    assert taken == [Point(1)]
    assert caught.value.kwargs["parameter"] == "points[1].x"
    with pytest.raises(ApplicationError, match=r'expected a stream \(.*\) for argument "points", got list'):
        await call([{"x": 1}])
