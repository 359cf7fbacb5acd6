"""What a lane carries, and that everything is as it would be without it: the same octets at the same clients."""

import asyncio
import gc
import json
import re
import struct
import weakref
from functools import partial

import cbor2
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import autobahn
from autobahn.asyncio import routerlink
from autobahn.asyncio.router import Router as AsyncioRouter
from autobahn.asyncio.routerlink import RouterLink
from autobahn.exception import Disconnected
from autobahn.rawsocket.frames import Reader, Writer
from autobahn.router import RealmOptions, Router
from autobahn.router.lane import COMPILED
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer

pytestmark = pytest.mark.skipif(not COMPILED, reason="the extension autobahn.router._lane is not built or not wanted")

MAKERS = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}
ENCODERS = {"json": msgspec.json.encode, "msgpack": msgspec.msgpack.encode, "cbor": cbor2.dumps}
ROLES = {"roles": {"caller": {}, "callee": {}}}
RULE = {"uri": "com", "match": "prefix", "allow": ["call", "register"]}
ALLOWED = {"permissions": {"realm1": {"anonymous": [RULE]}}}
LIMIT = 100_000


class Client:
    """A client on a link of the router's, whose messages are octets."""

    peer = "somebody"

    def __init__(self, router, name, *, lanes=True, limit=LIMIT, send=None):
        self.sent, self.closed, self.name = [], None, name
        self.channel_send = send or self.note
        make, routerlink.new_lane = routerlink.new_lane, routerlink.new_lane if lanes else lambda *_: None
        try:
            self.link = RouterLink(self, router.new_session(), MAKERS[name](), limit)
        finally:
            routerlink.new_lane = make
        self.receive = self.link.receiver()
        self.link.open()

    def note(self, data, binary):
        self.sent.append(data)

    def channel_open(self):
        return self.closed is None

    def channel_close(self, code, reason):
        self.closed = self.closed or (code, reason)

    def channel_details(self):
        return None

    def say(self, *message):
        self.receive(ENCODERS[self.name](list(message)))

    def take(self):
        taken, self.sent = self.sent, []
        return taken

    @property
    def carried(self):
        return self.link.lane.carried


class World:
    """A router with a caller and a callee, which serves com.a and the pattern com.p."""

    def __init__(self, name, lanes=True, *, callee="", options=None, limit=LIMIT, sends=(None, None), **router):
        realms = {"realm1": options} if options else ["realm1"]
        self.router = Router(realms=realms, **router)
        self.caller = Client(self.router, name, lanes=lanes, send=sends[0])
        self.callee = Client(self.router, callee or name, lanes=lanes, limit=limit, send=sends[1])
        for client in (self.caller, self.callee):
            client.say(1, "realm1", ROLES)
        self.callee.say(64, 1, {}, "com.a")
        self.callee.say(64, 2, {"match": "prefix"}, "com.p")
        self.caller.take()
        self.callee.take()
        self.number, self.authid = self.caller.link.session.id, self.caller.link.session.authid

    def heard(self, client):
        """What ``client`` got, decoded, with names for what is drawn at random."""
        texts = [re.sub(" at 0x[0-9a-f]+", "", repr(client.link.codec.decode(data))) for data in client.sent]
        return [text.replace(str(self.number), "ID").replace(self.authid, "AUTHID") for text in texts]

    def outcome(self):
        books = [
            (sorted(session.calls), sorted(session.invocations), session.last_invocation)
            for session in (self.caller.link.session, self.callee.link.session)
        ]
        return [
            (self.heard(client), client.closed and client.closed[0]) for client in (self.caller, self.callee)
        ], books


# ---- what is carried ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("payload", [[], [[]], [[1, "zwei ✓", {"a": [None, True, 1.5]}]], [[], {"k": [-1]}]])
def test_plain_calls_and_their_results(name, payload):
    world, encode = World(name), ENCODERS[name]
    world.caller.say(48, 2**40, {}, "com.a", *payload)
    (registration,) = (
        r.id for r in world.router.realms["realm1"].dealer.registrations.exact.values() if r.procedure == "com.a"
    )
    assert world.callee.take() == [encode([68, 1, registration, {}, *payload])]
    world.callee.say(70, 1, {}, *payload)
    assert world.caller.take() == [encode([50, 2**40, {}, *payload])]
    assert (world.caller.carried, world.callee.carried) == (1, 1)
    assert world.caller.link.session.is_idle
    assert world.callee.link.session.invocations == {}


@pytest.mark.parametrize("name", MAKERS)
def test_ids_of_every_length(name):
    world, encode = World(name), ENCODERS[name]
    ids = [1, 23, 24, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53]
    for number in ids:
        world.callee.link.session.last_invocation = number - 1
        world.caller.say(48, number, {}, "com.a")
        assert world.callee.take() == [encode([68, number, 1, {}])]
        world.callee.say(70, number, {})
        assert world.caller.take() == [encode([50, number, {}])]
    assert (world.caller.carried, world.callee.carried) == (len(ids), len(ids))
    world.caller.say(48, 3, {}, "com.a")  # the id after the last one is 1: not for a lane
    assert world.callee.take() == [encode([68, 1, 1, {}])]
    assert world.caller.carried == len(ids)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "message",
    [
        [48, 1, {"receive_progress": True}, "com.a", [1]],
        [48, 1, {}, "com.p.x", [1]],
        [48, 1, {}, "com.none", [1]],
        [48, 1, {}, "com.ä", [1]],
        [48, 0, {}, "com.a", [1]],
        [48, 2**53 + 1, {}, "com.a", [1]],
        [48, 1, {}, "com.a", [1], {}, 5],
        [48, 1, {}, "com.a", 5],
        [48, 1, {}, "com.a", [1], [2]],
        [70, 1, {}, [1]],
        [70, 7, {}],
        [6, {}, "wamp.close.normal"],
    ],
)
def test_everything_else_goes_the_ordinary_way(name, message):
    worlds = [World(name, lanes) for lanes in (True, False)]
    for world in worlds:
        world.caller.say(*message)
    assert worlds[0].outcome() == worlds[1].outcome()
    assert worlds[0].caller.carried == 0


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "options",
    [
        {"options": RealmOptions(max_calls=1)},
        {"options": RealmOptions(disclose_caller="always")},
        {"options": RealmOptions(trustlevels={"anonymous": 3})},
        {"options": RealmOptions(strict_request_ids=True)},
        {"options": RealmOptions(max_calls=1), **ALLOWED},
        {"permissions": {"realm1": {"anonymous": {"authorizer": lambda *_: True}}}},
        {"permissions": {"realm1": {"anonymous": [{**RULE, "disclose": {"caller": True}}]}}},
    ],
)
def test_no_call_is_carried_past_what_the_realm_has_to_say(name, options):
    worlds = [World(name, lanes, **options) for lanes in (True, False)]
    for world in worlds:
        for number in (1, 2, 3, 5):
            world.caller.say(48, number, {}, "com.a" if number != 2 else "org.b", [number])
        world.callee.say(70, 1, {}, ["done"])
    assert worlds[0].outcome() == worlds[1].outcome()
    assert worlds[0].caller.carried == 0


@pytest.mark.parametrize("name", MAKERS)
def test_what_a_rule_allows_is_carried_from_the_second_call_on(name):
    worlds = [World(name, lanes, **ALLOWED) for lanes in (True, False)]
    for world in worlds:
        for number in range(1, 4):
            world.caller.say(48, number, {}, "com.a", [number])
            world.caller.say(48, number + 10, {}, "org.b")
        world.callee.say(70, 1, {}, ["done"])
    assert worlds[0].outcome() == worlds[1].outcome()
    assert (worlds[0].caller.carried, worlds[0].callee.carried) == (2, 1)


def test_a_call_that_is_not_allowed_any_more_is_refused():
    world = World("json", **ALLOWED)
    world.caller.say(48, 1, {}, "com.a")
    world.caller.say(48, 2, {}, "com.a")
    assert world.caller.carried == 1
    world.router.permissions.invalidate()
    world.caller.say(48, 3, {}, "com.a")
    assert world.caller.carried == 1
    world.router.permissions.replace({"realm1": {"anonymous": []}})
    world.caller.link.session.permissions_changed(world.router.permissions)
    world.caller.say(48, 4, {}, "com.a")
    assert [msgspec.json.decode(data)[4] for data in world.caller.take()] == ["wamp.error.not_authorized"]
    assert len(world.callee.take()) == 3


@pytest.mark.parametrize("router", [{}, ALLOWED])
@pytest.mark.parametrize(
    ("limits", "refused"), [({"max_calls": 1}, 1), ({"disclose_caller": "always"}, 0), ({"trustlevels": {}}, 0)]
)
def test_lanes_keep_to_options_that_change_while_calls_are_under_way(router, limits, refused):
    worlds = [World("json", lanes, **router) for lanes in (True, False)]
    carried = []
    for world in worlds:
        for number, options in enumerate((RealmOptions(), RealmOptions(**limits), RealmOptions(max_subscriptions=7))):
            world.router.change_realm("realm1", options)
            first = 3 * number
            for request in range(first + 1, first + 4):
                world.caller.say(48, request, {}, "com.a", [request])
            carried.append(world.caller.carried if world.caller.link.lane else 0)
            for request in sorted(world.callee.link.session.invocations):
                world.callee.say(70, request, {}, ["done"])
        assert sum("limit_exceeded" in text for text in world.heard(world.caller)) == (2 if refused else 0)
    assert worlds[0].outcome() == worlds[1].outcome()
    first = 2 if router else 3  # a rule is looked up once for each table
    assert carried == [first, first, 2 * first, 0, 0, 0]


def test_nothing_is_carried_past_a_message_that_waits():
    world, waiting = World("json"), []
    world.caller.say(48, 1, {}, "com.a")
    for client in (world.caller, world.callee):
        table = client.link.session._table
        assert client.link.session.swap_table(table, dict.fromkeys((*table, 6), lambda _, msg: waiting.append(msg)))
    world.caller.say(48, 2, {}, "com.a")
    world.callee.say(70, 1, {})
    assert [msg.code for msg in waiting] == [48, 70]
    assert (world.caller.carried, world.callee.carried) == (1, 0)


@pytest.mark.parametrize("registering", [{"invoke": "roundrobin"}, {"concurrency": 1}, {"disclose_caller": True}])
def test_no_call_is_carried_past_what_the_callee_has_asked_for(registering):
    world = World("json")
    world.callee.say(64, 3, registering, "com.special")
    world.callee.take()
    world.caller.say(48, 1, {}, "com.special", [1])
    assert len(world.callee.take()) == 1
    world.callee.say(70, 1, {}, [1])
    assert len(world.caller.take()) == 1
    assert (world.caller.carried, world.callee.carried) == (0, 0)


@pytest.mark.parametrize(("name", "other"), [("json", "msgpack"), ("msgpack", "cbor"), ("cbor", "json")])
def test_between_serializers_nothing_is_carried(name, other):
    world = World(name, callee=other)
    world.caller.say(48, 1, {}, "com.a", [1, "x"])
    assert world.callee.take() == [ENCODERS[other]([68, 1, 1, {}, [1, "x"]])]
    world.callee.say(70, 1, {}, [2])
    assert world.caller.take() == [ENCODERS[name]([50, 1, {}, [2]])]
    assert (world.caller.carried, world.callee.carried) == (0, 0)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_too_long_for_the_callee_is_answered_as_ever(name):
    worlds = [World(name, lanes, limit=500) for lanes in (True, False)]
    for world in worlds:
        for size in range(400, 520, 4):
            world.caller.say(48, size, {}, "com.a", ["x" * size])
    assert worlds[0].outcome() == worlds[1].outcome()
    assert 0 < worlds[0].caller.carried < 30


@pytest.mark.parametrize("name", MAKERS)
def test_a_request_id_in_use_is_a_violation(name):
    worlds = [World(name, lanes) for lanes in (True, False)]
    for world in worlds:
        world.caller.say(48, 1, {}, "com.a")
        world.caller.say(48, 1, {}, "com.a")
    assert worlds[0].outcome() == worlds[1].outcome()
    assert worlds[0].caller.closed[0] == 1002


@pytest.mark.parametrize("name", MAKERS)
def test_a_canceled_call_and_a_late_result(name):
    worlds = [World(name, lanes) for lanes in (True, False)]
    for world in worlds:
        world.caller.say(48, 1, {}, "com.a")
        world.caller.say(49, 1, {"mode": "skip"})
        world.callee.say(70, 1, {}, [1])
        world.callee.say(70, 2, {}, [1])
    assert worlds[0].outcome() == worlds[1].outcome()
    assert worlds[0].callee.closed[0] == 1002


# ---- any octets -----------------------------------------------------------------------------------------------

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # two routers each time
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)


def values_of(name):
    def containers(inner):
        return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)

    leaves = SCALARS if name == "json" else SCALARS | st.binary(max_size=40)
    return st.recursive(leaves, containers, max_leaves=8)


def as_json(message, **options):
    return json.dumps(message, **options).encode()


@st.composite
def octets_of(draw, name, code):
    """CALL or YIELD, perhaps with one octet changed, put in or left out."""
    values = values_of(name)
    message = [code, draw(st.sampled_from([1, 1, 1, 2, 300, 2**53])), {}]
    if code == 48:
        message.append(draw(st.sampled_from(["com.a", "com.a", "com.p.x", "com.b"])))
    message += draw(st.sampled_from([[], [draw(st.lists(values, max_size=4))]]))
    if len(message) > code // 16 and draw(st.booleans()):
        message.append(draw(st.dictionaries(st.text(max_size=5), values, max_size=3)))
    encoders = {
        "json": [msgspec.json.encode, as_json, partial(as_json, ensure_ascii=False)],
        "msgpack": [msgspec.msgpack.encode],
        "cbor": [cbor2.dumps, partial(cbor2.dumps, canonical=True)],
    }
    data = draw(st.sampled_from(encoders[name]))(message)
    change, at = draw(st.sampled_from(["none", "other", "more", "less", "short"])), draw(st.integers(0, len(data) - 1))
    octet = bytes([draw(st.integers(0, 255))])
    return {
        "none": data,
        "other": data[:at] + octet + data[at + 1 :],
        "more": data[:at] + octet + data[at:],
        "less": data[:at] + data[at + 1 :],
        "short": data[:at],
    }[change]


def check_octets(name, called, yielded):
    """Both messages have the same effect with and without lanes."""
    worlds = [World(name, lanes) for lanes in (True, False)]
    for world in worlds:
        world.caller.receive(called)
        if not world.callee.link.session.invocations:
            world.caller.say(48, 9, {}, "com.a")
        world.callee.receive(yielded)
    assert worlds[0].outcome() == worlds[1].outcome()
    if name != "cbor":  # which is encoded anew without a lane
        assert [c.sent for c in (worlds[0].caller, worlds[0].callee) if not c.closed] == [
            c.sent for c in (worlds[1].caller, worlds[1].callee) if not c.closed
        ]


@pytest.mark.parametrize("name", MAKERS)
@unhurried
@given(data=st.data())
def test_any_octets_have_the_effect_that_they_have_without_lanes(name, data):
    check_octets(name, data.draw(octets_of(name, 48)), data.draw(octets_of(name, 70)))


@unhurried
@given(st.binary(max_size=30))
@example(b'["a\\u0000YQ=="]')
@example(b'["\\ud800"]')
@example(b'["\xed\xa0\x80"]')
@example(b'["\x7f\x1f"]')
@example(b'["\\x"]')
@example(b"[1.]")
@example(b"[01]")
@example(b"[-]")
@example(b"[-0, 1e5, 1E+05, 0.10e-9, 1e99]")
@example(b"[1e400]")
@example(b"[" + b"9" * 400 + b"]")
@example(b"[1,]")
@example(b"[tru]")
@example(b'[{"a":1,"a":2}]')
@example(b'[{"a" : 1 , "b":[ ]} , []]')
@example(b"[" * 40 + b"]" * 40)
@example(b"[" * 300 + b"]" * 300)
@example(b'[1],{"a":1}')
@example(b'[1], {"a":1}')
@example(b'[1],{"a":1},2')
def test_any_json_as_payload(payload):
    check_octets("json", b'[48,1,{},"com.a",' + payload + b"]", b"[70,1,{}," + payload + b"]")


@unhurried
@given(st.binary(max_size=30), st.integers(4, 6))
@example(b"\x91\xd4\x00\x00", 5)  # undefined
@example(b"\x91\xd6\xff\xff\xff\xff\xff", 5)  # a time
@example(b"\x91\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", 5)
@example(b"\x91\x81\x01\x01", 5)
@example(b"\x91\x81\x90\x01", 5)
@example(b"\x91\x81\xa1\xff\x01", 5)
@example(b"\x91\xc1", 5)
@example(b"\x91\xa2\xed\xa0", 5)
@example(b"\x91\xdb\xff\xff\xff\xff", 5)
@example(b"\xdd\xff\xff\xff\xff", 5)
@example(b"\xdc\x00\x01\xdf\x00\x00\x00\x01\xd9\x01a\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 5)
@example(b"\x91" * 40 + b"\x90", 5)
@example(b"\x91" * 300 + b"\x90", 5)
@example(b"\x90\x80", 6)
@example(b"\x90\x90", 6)
def test_any_messagepack_as_payload(payload, count):
    called = bytes([0x90 | count]) + b"\x30\x01\x80\xa5com.a" + payload
    check_octets("msgpack", called, bytes([0x90 | count - 1]) + b"\x46\x01\x80" + payload)


@unhurried
@given(st.binary(max_size=30), st.integers(4, 6))
@example(b"\x81\xf7", 5)  # undefined
@example(b"\x81\xf8\x20", 5)
@example(b"\x81\xf9\x7e\x00", 5)
@example(b"\x81\xc2\x41\x01", 5)
@example(b"\x81\xd8\x1c\x80", 5)
@example(b"\x9f\xff", 5)
@example(b"\x81\x7f\x61a\xff", 5)
@example(b"\x81\x62\xed\xa0", 5)
@example(b"\x81\xa1\x01\x01", 5)
@example(b"\x81\x1b\xff\xff\xff\xff\xff\xff\xff\xff", 5)
@example(b"\x81\x3b\xff\xff\xff\xff\xff\xff\xff\xff", 5)
@example(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 5)
@example(b"\x81\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 5)
@example(b"\x81" * 40 + b"\x80", 5)
@example(b"\x81" * 300 + b"\x80", 5)
@example(b"\x80\xa0", 6)
@example(b"\x80\x80", 6)
@example(b"\x81\x78\x01a", 5)
def test_any_cbor_as_payload(payload, count):
    called = bytes([0x80 | count]) + b"\x18\x30\x01\xa0\x65com.a" + payload
    check_octets("cbor", called, bytes([0x80 | count - 1]) + b"\x18\x46\x01\xa0" + payload)


# ---- between two RawSocket links ------------------------------------------------------------------------------


def framed(*messages):
    return b"".join(struct.pack(">I", len(data)) + data for data in messages)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [3, 20_000])
def test_from_the_frames_of_one_link_to_those_of_the_other(name, size):
    writer = Writer(lambda: None)
    world, encode = World(name, sends=(None, writer.message)), ENCODERS[name]
    writer.take()
    reader = Reader(world.caller.receive, None, None)
    calls = [encode([48, number, {}, "com.a", ["x" * size, number]]) for number in (1, 2, 3)]
    expected = framed(*(encode([68, number, 1, {}, ["x" * size, number]]) for number in (1, 2, 3)))
    reader.feed(framed(*calls))
    assert writer.take() == expected
    assert world.caller.carried == 3
    world.callee.link.session.last_invocation = 0
    world.caller.link.session.calls.clear()
    step = 1 if size < 100 else 999
    data = framed(*calls)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
    assert writer.take() == expected
    assert world.caller.carried == 6


def test_what_a_full_writer_does_not_take_goes_the_long_way():
    writer, late = Writer(lambda: None), []
    world = World("msgpack", sends=(None, writer.message))
    writer.take()
    writer.limit, writer.long_way = -1, late.append
    world.caller.say(48, 1, {}, "com.a", [1])
    assert late == [msgspec.msgpack.encode([68, 1, 1, {}, [1]])]
    assert writer.size == 0


def test_a_writer_wakes_once():
    woken = []
    writer = Writer(lambda: woken.append(writer.size))
    world = World("msgpack", sends=(None, writer.message))
    writer.take()
    woken.clear()
    world.caller.say(48, 1, {}, "com.a", [1])
    world.caller.say(48, 2, {}, "com.a", [1])
    assert woken == [0]


def test_another_callback_takes_the_place_of_the_lane():
    world, seen = World("msgpack"), []
    reader = Reader(world.caller.receive, None, None)
    data = framed(msgspec.msgpack.encode([48, 1, {}, "com.a", [1]]))
    reader.on_message = seen.append
    reader.feed(data)
    assert seen == [data[4:]]
    assert world.callee.take() == []
    reader.on_message = world.caller.receive
    reader.feed(data)
    assert len(world.callee.take()) == 1


@pytest.mark.parametrize("caller", ["ws", "rs"])
@pytest.mark.parametrize("callee", ["ws", "rs"])
@pytest.mark.parametrize("name", MAKERS)
async def test_between_real_clients(caller, callee, name):
    async with AsyncioRouter() as router:
        urls = {"ws": router.url, "rs": router.url.replace("ws://", "rs://").removesuffix("/ws")}
        async with (
            autobahn.connect(urls[callee], realm="realm1", serializers=[name]) as serving,
            autobahn.connect(urls[caller], realm="realm1", serializers=[name]) as calling,
        ):
            lanes = [session.lane for session in router.core.links]
            await serving.register(lambda *args, **kwargs: [args, kwargs], "com.echo")
            sizes = (1, 10_000, 600_000)  # the last one is longer than what is read at a time
            answers = await asyncio.gather(*(calling.call("com.echo", "ä" * size, k=[1.5, None]) for size in sizes))
            assert answers == [[["ä" * size], {"k": [1.5, None]}] for size in sizes]
            assert sorted(lane.carried for lane in lanes) == [3, 3]


# ---- ends -----------------------------------------------------------------------------------------------------


def test_the_callee_is_gone_and_nobody_has_heard_of_it():
    is_gone = []

    def send(data, binary):
        if is_gone:
            raise Disconnected("gone")

    world = World("json", sends=(None, send))
    is_gone.append(True)
    world.caller.say(48, 1, {}, "com.a")
    assert world.caller.carried == 1
    assert list(world.caller.link.session.calls) == [1]
    world.callee.link.closed(False)
    assert [msgspec.json.decode(data)[:5] for data in world.caller.take()] == [[8, 48, 1, {}, "wamp.error.canceled"]]
    assert world.caller.closed is None


def test_an_error_in_sending_closes_the_link_of_the_sender(caplog):
    def send(data, binary):
        if b"com.boom" in data:
            raise ZeroDivisionError

    world = World("json", sends=(None, send))
    world.caller.say(48, 1, {}, "com.a", ["com.boom"])
    assert world.caller.closed[0] == 1011
    assert "ZeroDivisionError" in caplog.text


def test_a_lane_that_has_ended_refers_to_nothing():
    world = World("json")
    world.caller.say(48, 1, {}, "com.a")
    lane, session = world.caller.link.lane, weakref.ref(world.caller.link.session)
    gc.collect()
    gc.disable()
    try:
        world.caller.link.closed(True)
        assert session() is None
    finally:
        gc.enable()
    lane.receive(b'[48,1,{},"com.a"]')
    assert world.callee.closed is None
