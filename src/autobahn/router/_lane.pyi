from collections.abc import Callable
from typing import Any

FORMATS: frozenset[str]

class Lane:
    c_take: Any
    carried: int
    def __init__(
        self,
        session: Any,
        receive: Callable[..., None],
        failed: Callable[[Exception], None],
        send: Callable[[bytes, bool], object],
        format: str,
        binary: bool,
        limit: int,
    ) -> None: ...
    def receive(self, data: bytes, binary: bool | None = None) -> None: ...
    def stop(self) -> None: ...
