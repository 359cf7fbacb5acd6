"""`Managed`: something that is opened by `await` or by `async with`, which closes it as well."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Managed(Generic[T]):
    """What `connect` and `serve` return: await it, or open it for the length of an `async with` block."""

    __slots__ = ("_close", "_is_in_use", "_open", "_value")

    def __init__(
        self,
        open_: Callable[[], Coroutine[Any, Any, T]],
        close: Callable[[T, BaseException | None], Coroutine[Any, Any, None]],
    ) -> None:
        self._open = open_
        self._close = close
        self._value: T | None = None
        self._is_in_use = False

    def __await__(self) -> Generator[Any, None, T]:
        return self._open().__await__()

    async def __aenter__(self) -> T:
        if self._is_in_use:
            raise RuntimeError("expected one block at a time for each call of connect() or serve(), got another")
        self._is_in_use = True
        try:
            self._value = value = await self._open()
        except BaseException:
            self._is_in_use = False
            raise
        return value

    async def __aexit__(self, kind: Any, exc: BaseException | None, trace: Any) -> None:
        value, self._value = self._value, None
        self._is_in_use = False
        assert value is not None
        await self._close(value, exc)
