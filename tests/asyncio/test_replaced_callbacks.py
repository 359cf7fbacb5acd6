"""A program puts another `onMessage` on its protocol while the connection is open."""

import asyncio

from autobahn.asyncio.websocket import WebSocketServerProtocol
from direct_world import DirectWorld
from websocket_world import until


class Server(WebSocketServerProtocol):
    """Notes what it gets, and who got it."""

    def onOpen(self):
        self.factory.made.append(self)
        self.seen = []

    def onMessage(self, payload, isBinary):
        self.seen.append(("class", payload))


def note(server, name):
    return lambda payload, isBinary: server.seen.append((name, payload))


def send(world, *payloads):
    """All in one write, so that they are read at once."""
    for payload in payloads:
        world.client.sendMessage(payload, True)


async def test_the_next_message_of_the_same_read_goes_to_the_new_one(loop_name):
    async with DirectWorld(server=Server) as world:
        server = world.peer

        def first(payload, isBinary):
            server.seen.append(("first", payload))
            server.onMessage = note(server, "second")

        send(world, b"0")
        await until(lambda: server.seen)
        server.onMessage = first
        send(world, b"1", b"2", b"3" * 70_000, b"4")
        await until(lambda: len(server.seen) == 5)
        names = [name for name, _ in server.seen]
        assert names == ["class", "first", "second", "second", "second"]
        del server.onMessage
        send(world, b"5")
        await until(lambda: len(server.seen) == 6)
        assert server.seen[-1] == ("class", b"5")


async def test_what_was_put_there_before_the_connection_is_open_counts(loop_name):
    class Early(Server):
        def onOpen(self):
            super().onOpen()
            self.onMessage = note(self, "open")

    async with DirectWorld(server=Early) as world:
        send(world, b"1", b"2")
        await until(lambda: len(world.peer.seen) == 2)
        assert world.peer.seen == [("open", b"1"), ("open", b"2")]


async def test_nothing_overtakes_messages_that_wait_for_their_turn(loop_name):
    async with DirectWorld(server=Server) as world:
        server, go = world.peer, asyncio.Event()

        async def slow(payload, isBinary):
            if payload == b"2":
                server.onMessage = note(server, "plain")
            await go.wait()
            server.seen.append(("slow", payload))

        send(world, b"0")
        await until(lambda: server.seen)
        server.onMessage = slow
        send(world, b"1", b"2", b"3", b"4")
        await until(lambda: server._ws_intake is not None and server._ws_intake.waiting == 3)
        assert server.seen == [("class", b"0")]
        go.set()
        await until(lambda: len(server.seen) == 5)
        assert [payload for _, payload in server.seen] == [b"0", b"1", b"2", b"3", b"4"]
        assert [name for name, _ in server.seen] == ["class", "slow", "slow", "plain", "plain"]


async def test_one_that_raises_is_reported_as_any_other(loop_name):
    async with DirectWorld(server=Server) as world:
        server, reported = world.peer, []

        def wrong(payload, isBinary):
            raise ValueError("of the program")

        server.onUserError = lambda fail, message: reported.append(str(fail))
        server.onMessage = wrong
        send(world, b"1")
        await until(lambda: reported)
        del server.onMessage
        send(world, b"2")
        await until(lambda: server.seen)
        assert reported == ["of the program"]
        assert server.seen == [("class", b"2")]
