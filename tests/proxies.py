"""Real little proxies on 127.0.0.1, for tests: HTTP CONNECT (also under TLS) and SOCKS 4, 4a and 5."""

import asyncio
import base64
import contextlib


class Proxy:
    """`async with HttpProxy(...) as proxy:`; `asked` lists the (host, port) it was asked for."""

    def __init__(self, user=None, ssl=None, names=None, answer=None):
        self.user = user  # "name:password" that it wants
        self.ssl = ssl
        self.names = names or {}  # host names that only this proxy knows
        self.answer = answer  # said to everybody in place of a tunnel
        self.asked = []
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=self.ssl)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    async def accept(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                if self.answer is not None:
                    await reader.read(1)
                    writer.write(self.answer)
                    await writer.drain()
                    await reader.read()
                elif (target := await self.negotiate(reader, writer)) is not None:
                    await self.relay(reader, writer, *target)
        finally:
            self.tasks.discard(task)
            writer.transport.abort()

    async def relay(self, reader, writer, upstream_reader, upstream_writer):
        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        ways = [
            asyncio.create_task(pump(reader, upstream_writer)),
            asyncio.create_task(pump(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for way in ways:
                way.cancelled() or way.exception()
            upstream_writer.transport.abort()

    async def open(self, host, port):
        self.asked.append((host, port))
        return await asyncio.open_connection(self.names.get(host, host), port)


class HttpProxy(Proxy):
    async def negotiate(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, authority, _ = head[0].split(" ")
        host, _, port = authority.rpartition(":")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        assert method == "CONNECT" and headers["Host"] == authority
        if self.user is not None:
            token = "Basic " + base64.b64encode(self.user.encode()).decode()
            if headers.get("Proxy-Authorization") != token:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return None
        try:
            upstream = await self.open(host.strip("[]"), int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return None
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        return upstream


class SocksProxy(Proxy):
    async def negotiate(self, reader, writer):
        version = (await reader.readexactly(1))[0]
        return await (self.socks4 if version == 4 else self.socks5)(reader, writer)

    async def socks4(self, reader, writer):
        _, *rest = await reader.readexactly(7)
        port, address = rest[0] * 256 + rest[1], rest[2:]
        user = (await reader.readuntil(b"\0"))[:-1].decode()
        host = ".".join(map(str, address))
        if address[:3] == [0, 0, 0]:
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        if self.user is not None and user != self.user.partition(":")[0]:
            writer.write(bytes([0, 93]) + bytes(6))
            return None
        try:
            upstream = await self.open(host, port)
        except OSError:
            writer.write(bytes([0, 91]) + bytes(6))
            return None
        writer.write(bytes([0, 90]) + bytes(6))
        return upstream

    async def socks5(self, reader, writer):
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        wanted = 0 if self.user is None else 2
        if wanted not in methods:
            writer.write(b"\5\xff")
            return None
        writer.write(bytes([5, wanted]))
        if wanted == 2:
            await reader.readexactly(1)
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            good = (user + b":" + password).decode() == self.user
            writer.write(bytes([1, 0 if good else 1]))
            if not good:
                return None
        kind = (await reader.readexactly(4))[3]
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        address = await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2), "big")
        if kind == 3:
            host = address.decode()
        elif kind == 4:
            host = ":".join(address[i : i + 2].hex() for i in range(0, 16, 2))
        else:
            host = ".".join(map(str, address))
        try:
            upstream = await self.open(host, port)
        except OSError:
            writer.write(b"\5\5\0\1" + bytes(6))
            return None
        writer.write(b"\5\0\0\3\4test\0\0")  # a bound address that is a name: all three forms are legal
        return upstream
