# The compiled unit has the interface of its Python twin.
from collections.abc import Callable
from typing import Any

from autobahn.rawsocket._frames_py import Reader as Reader
from autobahn.rawsocket._frames_py import Writer as Writer

class Pump:
    received: int
    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        buffer: memoryview,
        flush: Callable[[], object],
        failed: Callable[[Exception], object],
    ) -> None: ...
    def stop(self) -> None: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def attach(self, transport: Any, socket: int) -> bool: ...
    def read(self) -> None: ...
