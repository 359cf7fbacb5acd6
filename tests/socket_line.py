"""A pair of sockets for units that go past a transport: what the fuzzers and the sanitizers share."""

import socket


def read_until(total, pump, read):
    """`read` as often as it takes until `pump` has received `total` octets, each time some."""
    while pump.received < total:
        before = pump.received
        read()
        assert pump.received > before


class Line:
    """A pair of sockets, and the transport that a unit asks about one of them."""

    def __init__(self):
        self.sock, self.other = socket.socketpair()
        self.sock.setblocking(False)
        self.other.setblocking(False)
        self.given = bytearray()  # what was left to the transport, which never gets rid of it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()
        self.other.close()

    def is_closing(self):
        return False

    def get_protocol(self):
        return self

    def is_reading(self):
        return True

    def get_write_buffer_size(self):
        return len(self.given)

    def write(self, data):
        self.given += data

    def _read_ready__get_buffer(self):
        raise AssertionError("expected no end, got one")

    def _fatal_error(self, error, message):
        raise AssertionError(message) from error

    def read(self, pump, pieces, past=True):
        """`pieces` come in this order; `pump` reads each, as often as it has to, `past` the buffers or through them."""
        read = pump.read
        if not past:

            def read():
                pump.buffer_updated(self.sock.recv_into(pump.get_buffer(-1)))

        else:
            assert pump.attach(self, self.sock.fileno())
        came = 0
        for piece in pieces:
            rest = memoryview(piece)
            came += len(rest)
            while rest:
                try:
                    rest = rest[self.other.send(rest) :]
                except BlockingIOError:
                    read()
            read_until(came, pump, read)

    def sent(self):
        """What has gone to the other end, and then what was left to the transport."""
        data = bytearray()
        try:
            while True:
                data += self.other.recv(1 << 20)
        except BlockingIOError:
            return bytes(data + self.given)
