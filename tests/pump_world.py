"""A WebSocket's pump on one end of a pair of sockets, and the ways in which octets come to it."""

import contextlib

import pytest

from autobahn.websocket import _frames_py, _pump_py
from direct_world import Connection, as_uvloop_reads, pair, play
from frames_world import MISSING, Recorder, _frames

compiled = pytest.mark.skipif(_frames is None, reason=MISSING)
WAYS = {
    "directly": (_frames, _frames),
    "through buffers": (_frames, _frames),
    "through buffers, in Python": (_frames_py, _pump_py),
}
every_way = pytest.mark.parametrize("way", [way for way, units in WAYS.items() if None not in units])
every_world = pytest.mark.parametrize("world", [way for way, units in WAYS.items() if None not in units], indirect=True)


class World:
    """A pump on one end of a pair of sockets."""

    def __init__(self, transport, other, way="directly", memory=524_288, **options):
        self.transport, self.other = transport, other
        frames, pumps = WAYS[way]
        self.recorder = Recorder(frames, **options)
        self.connection = Connection(
            self.recorder.reader, frames.Writer(lambda: self.recorder.events.append("wake"), masked=False)
        )
        self.flushed = []
        self.pump = pumps.Pump(
            self.connection, memoryview(bytearray(memory)), lambda: self.flushed.append(self.connection.writer.take())
        )
        self.read = as_uvloop_reads(self.pump, transport)
        if way == "directly":
            assert self.pump.attach(transport, transport.sock.fileno())
            self.read = self.pump.read

    @property
    def events(self):
        return self.recorder.events

    def play(self, pieces, before=0):
        play(self.pump, self.transport, self.other, pieces, self.read, before)

    def put(self, data):
        """The other end sends octets of which there are not too many."""
        assert self.other.send(data) == len(data)


@contextlib.contextmanager
def world_of(way="directly", **options):
    with pair() as (transport, other):
        yield World(transport, other, way, **options)
