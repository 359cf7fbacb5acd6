"""`setProtocolOptions`: every name refuses what it cannot be, leaves the others alone, and does what it says."""

import asyncio
import inspect
import socket

import pytest

from attacks.world import (
    DEFLATE,
    Target,
    accept_deflate,
    close_code,
    frame,
    frames,
    meet,
    request,
    status,
    upgrade_answer,
)
from autobahn.asyncio.component import Component
from autobahn.asyncio.rawsocket import WampRawSocketServerFactory
from autobahn.asyncio.wamp import ApplicationRunner
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from websocket_world import Client, Echo, Server, World, until

FLAG = [0, 1, "yes", 1.0]
COUNT = ["5", -1, 1.5, True]
SECONDS = ["5", -1, float("nan"), float("inf"), True]
WRONG = {
    "acceptMaskedServerFrames": FLAG,
    "allowNullOrigin": FLAG,
    "allowedOrigins": ["*", [1], {"*"}, 5],
    "applyMask": FLAG,
    "autoFragmentSize": COUNT,
    "autoPingInterval": SECONDS,
    "autoPingRestartOnAnyTraffic": FLAG,
    "autoPingSize": [11, 126, "12", 12.0, True],
    "autoPingTimeout": SECONDS,
    "closeHandshakeTimeout": SECONDS,
    "compressionBackend": ["lzma", 5],
    "compressionIdleTimeout": SECONDS,
    "compressionLevel": [-2, 10, "1", 1.0],
    "countTraffic": FLAG,
    "echoCloseCodeReason": FLAG,
    "failByDrop": FLAG,
    "flashSocketPolicy": [5, b"x"],
    "maskClientFrames": FLAG,
    "maskServerFrames": FLAG,
    "maxConcurrentHandlers": [0, "1", 1.0, True],
    "maxConnections": COUNT,
    "maxFramePayloadSize": COUNT,
    "maxHandshakeHeaders": COUNT,
    "maxHandshakeSize": COUNT,
    "maxMessagePayloadSize": COUNT,
    "maxReceiveQueue": [0, "1", 1.0],
    "maxReceiveQueueSize": [0, "1", 1.0],
    "maxSendBuffer": COUNT,
    "openHandshakeTimeout": SECONDS,
    "perMessageCompressionAccept": [5, "deflate", True],
    "perMessageCompressionOffers": ["x", ["permessage-deflate"], PerMessageDeflateOffer(), 5],
    "requireMaskedClientFrames": FLAG,
    "sendHighWater": COUNT,
    "sendLowWater": COUNT,
    "sendPolicy": ["explode", 5],
    "serveFlashSocketPolicy": FLAG,
    "serverConnectionDropTimeout": SECONDS,
    "tcpNoDelay": FLAG,
    "trustXForwardedFor": COUNT,
    "utf8validateIncoming": FLAG,
    "version": [8, 9, 19, "18", True],
    "versions": [[], [7], [13, 14], 13, "13", ["13"]],
    "webStatus": FLAG,
}
FACTORIES = {"server": WebSocketServerFactory, "client": WebSocketClientFactory}


def names(factory):
    return [name for name in inspect.signature(factory.setProtocolOptions).parameters if name != "self"]


CASES = [(role, name) for role, factory in FACTORIES.items() for name in names(factory)]


def settings(factory):
    return {name: getattr(factory, name) for name in names(type(factory))}


@pytest.mark.parametrize(("role", "name"), CASES)
def test_what_an_option_cannot_be_is_refused(role, name):
    factory = FACTORIES[role]()
    before = settings(factory)
    other = {"failByDrop": False} if name != "failByDrop" else {"applyMask": False}
    for value in WRONG[name]:
        with pytest.raises((TypeError, ValueError), match=rf"expected (a backend|{name}) .*, got"):
            factory.setProtocolOptions(**{name: value}, **other)
        assert settings(factory) == before  # all or nothing


@pytest.mark.parametrize(("role", "name"), CASES)
def test_what_is_not_named_stays(role, name):
    factory = FACTORIES[role]()
    factory.setProtocolOptions(maxMessagePayloadSize=12345, autoPingSize=20)
    before = settings(factory)
    factory.setProtocolOptions(**{name: None})
    factory.setProtocolOptions()
    assert settings(factory) == before
    factory.resetProtocolOptions()
    assert settings(factory) == settings(FACTORIES[role]())


@pytest.mark.parametrize("role", FACTORIES)
def test_unknown_names_are_refused(role):
    factory = FACTORIES[role]()
    expected = r"expected options of \w+\.setProtocolOptions out of .*\bmaxMessagePayloadSize\b.*, "
    with pytest.raises(TypeError, match=expected + r"got 'maxMesagePayloadSize' \(did you mean 'maxMess"):
        factory.setProtocolOptions(maxMesagePayloadSize=1)
    with pytest.raises(TypeError, match=expected + "got 'nonsense'$"):
        factory.setProtocolOptions(nonsense=1)
    with pytest.raises(TypeError, match=r"did you mean 'autoPingTimeout'\?"):
        factory.setProtocolOptions(autoPingInterval=3, autoPingTimeOut=1)
    assert settings(factory) == settings(FACTORIES[role]())  # nothing of it has come to be


@pytest.mark.parametrize(("of_other", "role"), [("maskClientFrames", "server"), ("webStatus", "client")])
def test_options_of_the_other_role_are_refused(of_other, role):
    with pytest.raises(TypeError, match=f"got '{of_other}'"):
        FACTORIES[role]().setProtocolOptions(**{of_other: True})


@pytest.mark.parametrize(
    ("make", "wrong", "meant"),
    [
        (WebSocketServerFactory, "external_port", "externalPort"),
        (WebSocketServerFactory().setSessionParameters, "protocol", "protocols"),
        (WebSocketClientFactory, "userAgent", "useragent"),
        (WampRawSocketServerFactory, "serializer", "serializers"),
        (WampRawSocketServerFactory(list).setProtocolOptions, "maxMessagePayLoadSize", "maxMessagePayloadSize"),
        (Component, "transport", "transports"),
        (ApplicationRunner, "serializer", "serializers"),
    ],
)
def test_unknown_arguments_are_refused(make, wrong, meant):
    with pytest.raises(TypeError, match=f"expected options of .*{meant}.*, got '{wrong}' .did you mean '{meant}'"):
        make(**{wrong: 1})


def test_every_option_is_checked_here():
    assert WRONG.keys() == {name for _, name in CASES}


# -- what they mean, as far as no other test shows it ---------------------------------------------------------------

CLOSE = frame(8, b"\x03\xe8")


@pytest.mark.parametrize("checked", [True, False])
async def test_utf8validate_incoming(checked, caplog):
    async with Target(caplog, utf8validateIncoming=checked) as target:
        answer = await target.attack_open(frame(1, b"\xff\xfe"), CLOSE)
        if checked:
            assert close_code(answer) == 1007
        else:
            assert frames(answer) == [(1, b"\xff\xfe"), (8, b"\x03\xe8")]


@pytest.mark.parametrize("required", [True, False])
async def test_require_masked_client_frames(required, caplog):
    async with Target(caplog, requireMaskedClientFrames=required) as target:
        answer = await target.attack_open(frame(1, b"hi", key=None), CLOSE)
        assert close_code(answer) == (1002 if required else 1000)
        assert (frames(answer)[0] == (1, b"hi")) is not required


@pytest.mark.parametrize("masked", [True, False])
async def test_mask_server_frames(masked):
    async with World(Echo, maskServerFrames=masked) as world:
        reader, writer = await world.raw()
        writer.write(request())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(1, b"hi"))
        assert bool((await reader.readexactly(4))[1] & 0x80) is masked
        writer.close()


@pytest.mark.parametrize("accepted", [True, False])
async def test_accept_masked_server_frames(accepted, caplog):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head), frame(1, b"hi"), frame(8, b"\x03\xe8"))
        await peer.reader.read(100)

    client, _ = await meet(serve, acceptMaskedServerFrames=accepted)
    assert client.messages == ([b"hi"] if accepted else [])


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("applied", [True, False])
async def test_mask_client_frames_and_apply_mask(masked, applied, caplog):
    sent = []

    class Talks(Client):
        def __init__(self):
            super().__init__()
            self.done = asyncio.get_running_loop().create_future()

        def onOpen(self):
            self.sendMessage(b"hello")
            self.sendClose()

        def onClose(self, wasClean, code, reason):
            self.done.set_result(None)

    async def serve(peer, head):
        await peer.send(upgrade_answer(head))
        sent.append(await peer.reader.readexactly(11 if masked else 7))
        await peer.send(frame(8, b"\x03\xe8", key=None))

    await meet(serve, protocol=Talks, maskClientFrames=masked, applyMask=applied)
    assert bool(sent[0][1] & 0x80) is masked
    if masked:
        key, payload = sent[0][2:6], sent[0][6:]
        assert (key == bytes(4)) is (payload == b"hello") is not applied


@pytest.mark.parametrize("limit", [0, 10])
async def test_max_frame_payload_size(limit, caplog):
    async with Target(caplog, maxFramePayloadSize=limit) as target:
        pieces = frame(1, b"x" * 10, fin=False) + frame(0, b"y" * 10)
        assert frames(await target.attack_open(pieces, CLOSE))[0] == (1, b"x" * 10 + b"y" * 10)
        assert close_code(await target.attack_open(frame(1, b"x" * 11), CLOSE)) == (1009 if limit else 1000)
        if limit:
            assert "10 octets" in target.factory.closes[-1][2]


@pytest.mark.parametrize("no_delay", [True, False])
async def test_tcp_no_delay(no_delay, loop_name):
    async with World(Echo, tcpNoDelay=no_delay) as world:
        client = await world.open(tcpNoDelay=no_delay)
        await world.server.is_open
        for protocol in (client, world.server):
            sock = protocol.transport.get_extra_info("socket")
            assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is no_delay


@pytest.mark.parametrize("size", [12, 125])
async def test_auto_ping_size(size):
    class Pinged(Client):
        def onPing(self, payload):
            self.messages.put_nowait(payload)

    async with World(Server, autoPingInterval=0.01, autoPingSize=size) as world:
        client = await world.open(Pinged)
        assert len(await asyncio.wait_for(client.messages.get(), 5)) == size


@pytest.mark.parametrize(("versions", "asked", "accepted"), [([13], 8, False), ([8], 13, False), ([8, 13], 8, True)])
async def test_versions(versions, asked, accepted, caplog):
    async with Target(caplog) as target:
        target.factory.setProtocolOptions(versions=versions)
        data = request(b"Sec-WebSocket-Version: %d" % asked, without={b"sec-websocket-version"})
        if accepted:
            assert (await target.attack(data + CLOSE[:0], data)).startswith(b"HTTP/1.1 ")
        else:
            answer = await target.attack(data)
            assert status(answer) == 400
            wanted = ",".join(str(v) for v in sorted(versions, reverse=True)).encode()
            assert b"Sec-WebSocket-Version: " + wanted + b"\r\n" in answer


@pytest.mark.parametrize(("version", "header"), [(18, b"13"), (13, b"13"), (10, b"8")])
async def test_version_of_a_client(version, header):
    async def serve(peer, head):
        await peer.send(upgrade_answer(head), frame(8, b"\x03\xe8", key=None))
        await peer.reader.read(100)

    client, heads = await meet(serve, version=version)
    assert client.opened
    assert b"Sec-WebSocket-Version: " + header + b"\r\n" in heads[0]
    assert client.websocket_version == version


@pytest.mark.parametrize("option", ["maxHandshakeSize", "maxHandshakeHeaders"])
async def test_limits_of_the_handshake(option, caplog):
    value = {"maxHandshakeSize": 400, "maxHandshakeHeaders": 8}[option]
    more = [b"X-%d: %b" % (n, b"a" * 40) for n in range(10)]
    async with Target(caplog, **{option: value}) as target:
        assert status(await target.attack(request(*more))) == 431
        peer = await target.open()
        await peer.send(CLOSE)
        await peer.rest()

    async def serve(peer, head):
        await peer.send(upgrade_answer(head, *more))
        await peer.reader.read()

    client, _ = await meet(serve, **{option: value})
    assert not client.opened


async def test_options_of_a_class_and_of_an_instance_come_first():
    class Small(Server):
        maxMessagePayloadSize = 5

        def __init__(self):
            super().__init__()
            self.autoPingSize = 20

    async with World(Small, maxMessagePayloadSize=100, autoPingSize=30) as world:
        client = await world.open()
        await world.server.is_open
        assert (world.server.maxMessagePayloadSize, world.server.autoPingSize) == (5, 20)
        client.sendMessage(b"123456")
        await world.ended()
        assert world.server.wasMaxMessagePayloadSizeExceeded


async def test_options_changed_later_are_for_new_connections():
    async with World(Server) as world:
        await world.open()
        first = world.server
        await first.is_open
        world.factory.setProtocolOptions(maxMessagePayloadSize=7)
        await world.open()
        assert (first.maxMessagePayloadSize, world.server.maxMessagePayloadSize) == (16 * 1024 * 1024, 7)


async def test_an_offer_without_accept_does_not_fail_the_handshake():
    """A client that offers compression takes what the server accepts."""
    async with World(Echo, perMessageCompressionAccept=accept_deflate) as world:
        client = await world.open(perMessageCompressionOffers=[PerMessageDeflateOffer()])
        assert client.websocket_extensions_in_use[0].EXTENSION_NAME == "permessage-deflate"
        refuses = await world.connect(
            perMessageCompressionOffers=[PerMessageDeflateOffer()], perMessageCompressionAccept=lambda response: None
        )
        await refuses.is_closed
        assert refuses.wasClean is False
        accepts = await world.open(
            perMessageCompressionOffers=[PerMessageDeflateOffer()],
            perMessageCompressionAccept=lambda response: PerMessageDeflateResponseAccept(response),
        )
        assert accepts.websocket_extensions_in_use


async def test_deflate_is_for_those_who_ask(caplog):
    async with Target(caplog) as target:
        peer = await target.connect()
        await peer.send(request(DEFLATE[:-2]))
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"Extensions" not in head
        await peer.close()
        await until(lambda: target.factory.closes)
