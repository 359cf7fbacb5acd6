"""The Sec-WebSocket-Extensions header (RFC 6455 9.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autobahn.websocket.errors import HandshakeError

Params = dict[str, list[str | bool]]
"""Values of extension parameters by name; `True` for a parameter without value."""
Extensions = list[tuple[str, Params]]

# Possessive quantifiers: no input makes the work more than linear (CVE-2020-7662).
_LEXEME = re.compile(
    r"""[ \t]*+(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]++)|"((?:[\t !#-\[\]-~]|\\[\t -~])*+)"|([,;=]))[ \t]*+"""
)
_ESCAPE = re.compile(r"\\(.)")


def _lexemes(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of kind ("token", "quoted", or the separator itself) and text; ("end", "") closes the sequence."""
    position = 0
    while position < len(text):
        match = _LEXEME.match(text, position)
        if match is None:
            raise HandshakeError(400, f"expected a list of extensions, got something else at {position}")
        token, quoted, separator = match.groups()
        if token is not None:
            yield "token", token
        elif quoted is not None:
            yield "quoted", _ESCAPE.sub(r"\1", quoted)
        else:
            yield separator, separator
        position = match.end()
    yield "end", ""


def parse_extensions(text: str) -> Extensions:
    """The extensions of a Sec-WebSocket-Extensions value (RFC 6455 9.1), in order. Raises `HandshakeError` 400."""
    extensions: Extensions = []
    if not text.strip(" \t"):
        return extensions
    lexemes = _lexemes(text)

    def expect(*kinds: str) -> str:
        kind, value = next(lexemes, ("end", ""))
        if kind not in kinds:
            raise HandshakeError(400, f"expected {' or '.join(kinds)} in the list of extensions, got {kind}")
        return value if kind in {"token", "quoted"} else kind

    separator = ","
    while separator == ",":
        params: Params = {}
        extensions.append((expect("token"), params))
        separator = expect(",", ";", "end")
        while separator == ";":
            name = expect("token")
            separator = expect(",", ";", "=", "end")
            value: str | bool = True
            if separator == "=":
                value = expect("token", "quoted")
                separator = expect(",", ";", "end")
            params.setdefault(name, []).append(value)
    return extensions
