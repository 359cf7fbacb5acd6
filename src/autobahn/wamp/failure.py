"""What `onUserError` receives."""

from __future__ import annotations

import traceback


class Failure:
    """An exception of user code: ``value`` is the exception, ``str()`` its traceback."""

    __slots__ = ("type", "value")

    def __init__(self, value: BaseException) -> None:
        self.value = value
        self.type = type(value)

    def getErrorMessage(self) -> str:
        """The text of the exception."""
        return str(self.value)

    def getTraceback(self) -> str:
        """The traceback as text."""
        return "".join(traceback.format_exception(self.value))

    def __str__(self) -> str:
        return f"[Failure instance: {self.type.__name__}: {self.value}]"
