"""`Managed`: something that is opened by `await` or by `async with`, which closes it as well."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Managed(Generic[T]):
    """What `connect` and `serve` return: await it, or open it for the length of an `async with` block."""

    __slots__ = ("_close", "_open", "_value")

    def __init__(
        self,
        open_: Callable[[], Coroutine[Any, Any, T]],
        close: Callable[[T, BaseException | None], Coroutine[Any, Any, None]],
    ) -> None:
        self._open = open_
        self._close = close
        self._value: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._open().__await__()

    async def __aenter__(self) -> T:
        self._value = value = await self._open()
        return value

    async def __aexit__(self, kind: Any, exc: BaseException | None, trace: Any) -> None:
        value, self._value = self._value, None
        assert value is not None
        await self._close(value, exc)
