"""`Log`: the `log` attribute of sessions, protocols and factories, over the standard logging."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

TRACE: Final = 5
"""Level number of `Log.trace`, below `logging.DEBUG`."""

LEVELS: Final[dict[str, int | None]] = {
    "none": None,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
"""Levels by the names that programs and the command line give them."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """`text` with every control character (C0, DEL, C1) written as `\\xNN`, fit for one line of a log or terminal."""
    return text.translate(_CONTROLS)


class Log:
    """Logs `str.format` templates with keyword values to the standard logger `name`.

    `log.info("{n} messages from {peer}", n=3, peer=peer)`. A template is formatted only when its level is enabled.
    Values that are strings have their control characters escaped; the template is the program's own and is left alone.
    `exc_info=` is handed to the standard logging. The values are in the attribute `fields` of the record, too.
    """

    __slots__ = ("logger",)

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)

    def critical(self, template: str | None = None, /, **values: Any) -> None:
        """Logs at level CRITICAL."""
        self._log(logging.CRITICAL, template, values)

    def error(self, template: str | None = None, /, **values: Any) -> None:
        """Logs at level ERROR."""
        self._log(logging.ERROR, template, values)

    def warn(self, template: str | None = None, /, **values: Any) -> None:
        """Logs at level WARNING."""
        self._log(logging.WARNING, template, values)

    def info(self, template: str | None = None, /, **values: Any) -> None:
        """Logs at level INFO."""
        self._log(logging.INFO, template, values)

    def debug(self, template: str | None = None, /, **values: Any) -> None:
        """Logs at level DEBUG."""
        self._log(logging.DEBUG, template, values)

    def trace(self, template: str | None = None, /, **values: Any) -> None:
        """Logs at level `TRACE` (5)."""
        self._log(TRACE, template, values)

    def _log(self, level: int, template: str | None, values: dict[str, Any]) -> None:
        if not self.logger.isEnabledFor(level):
            return
        exc_info = values.pop("exc_info", None)
        if template is None:
            template = str(values.pop("format", ""))
        try:
            text = template.format(**{k: printable(v) if isinstance(v, str) else v for k, v in values.items()})
        except (LookupError, ValueError, AttributeError):  # a template that does not fit its values still gets logged
            text = f"{template} {values!r}"
        self.logger.log(level, "%s", text, exc_info=exc_info, extra={"fields": values})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, and what is known beside them.

    The values that a `Log` was given stand under their own names, a traceback under `exception`.
    """

    _NAMES: Final = {number: name for name, number in LEVELS.items() if number is not None}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            **getattr(record, "fields", {}),
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": self._NAMES.get(record.levelno, record.levelname.lower()),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        import json  # for those who want it

        return json.dumps(line, default=str)
