"""A server that says what it is told to."""

import asyncio
import contextlib


class Raw:
    """A server that answers every connection with the same octets, and then with nothing."""

    def __init__(self, *answers, close=False, ssl=None):
        self.answers = list(answers)
        self.close = close
        self.ssl = ssl
        self.requests = []
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=self.ssl)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws{'s' if self.ssl else ''}://{'localhost' if self.ssl else '127.0.0.1'}:{self.port}/"
        return self

    async def accept(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            writer.write(answer if isinstance(answer, bytes) else answer(self).encode())
            if not self.close:
                await reader.read()
        writer.close()

    async def __aexit__(self, *exc):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
