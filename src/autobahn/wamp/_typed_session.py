"""``SessionDetails`` and ``TransportDetails``: what a joined session and its transport are."""

# ruff: noqa: PLR0913, PLR0917 (the documented signatures)

from __future__ import annotations

from typing import Any, ClassVar

from autobahn.wamp._record import Record, expect_type


class TransportDetails(Record):
    """What carries a session, as far as it is known; ``None`` is "not known"."""

    CHANNEL_TYPE_NONE: ClassVar[int] = 0
    CHANNEL_TYPE_FUNCTION: ClassVar[int] = 1
    CHANNEL_TYPE_MEMORY: ClassVar[int] = 2
    CHANNEL_TYPE_SERIAL: ClassVar[int] = 3
    CHANNEL_TYPE_TCP: ClassVar[int] = 4
    CHANNEL_TYPE_TLS: ClassVar[int] = 5
    CHANNEL_TYPE_UDP: ClassVar[int] = 6
    CHANNEL_TYPE_DTLS: ClassVar[int] = 7
    CHANNEL_TYPE_TO_STR: ClassVar[dict[int, str]] = dict(
        enumerate(("null", "function", "memory", "serial", "tcp", "tls", "udp", "dtls"))
    )
    CHANNEL_TYPE_FROM_STR: ClassVar[dict[str, int]] = {v: k for k, v in CHANNEL_TYPE_TO_STR.items()}

    CHANNEL_FRAMING_NONE: ClassVar[int] = 0
    CHANNEL_FRAMING_NATIVE: ClassVar[int] = 1
    CHANNEL_FRAMING_WEBSOCKET: ClassVar[int] = 2
    CHANNEL_FRAMING_RAWSOCKET: ClassVar[int] = 3
    CHANNEL_FRAMING_TO_STR: ClassVar[dict[int, str]] = dict(enumerate(("null", "native", "websocket", "rawsocket")))
    CHANNEL_FRAMING_FROM_STR: ClassVar[dict[str, int]] = {v: k for k, v in CHANNEL_FRAMING_TO_STR.items()}

    CHANNEL_SERIALIZER_NONE: ClassVar[int] = 0
    CHANNEL_SERIALIZER_JSON: ClassVar[int] = 1
    CHANNEL_SERIALIZER_MSGPACK: ClassVar[int] = 2
    CHANNEL_SERIALIZER_CBOR: ClassVar[int] = 3
    CHANNEL_SERIALIZER_UBJSON: ClassVar[int] = 4
    CHANNEL_SERIALIZER_FLATBUFFERS: ClassVar[int] = 5
    CHANNEL_SERIALIZER_TO_STR: ClassVar[dict[int, str]] = dict(
        enumerate(("null", "json", "msgpack", "cbor", "ubjson", "flatbuffers"))
    )
    CHANNEL_SERIALIZER_FROM_STR: ClassVar[dict[str, int]] = {v: k for k, v in CHANNEL_SERIALIZER_TO_STR.items()}

    __slots__ = (
        "channel_framing", "channel_id", "channel_serializer", "channel_type", "http_cbtid",
        "http_headers_received", "http_headers_sent", "is_secure", "is_server", "own", "own_fd", "own_pid",
        "own_tid", "peer", "peer_cert", "websocket_extensions_in_use", "websocket_protocol",
    )  # fmt: skip

    _NAMED: ClassVar[dict[str, tuple[dict[int, str], dict[str, int]]]] = {
        "channel_type": (CHANNEL_TYPE_TO_STR, CHANNEL_TYPE_FROM_STR),
        "channel_framing": (CHANNEL_FRAMING_TO_STR, CHANNEL_FRAMING_FROM_STR),
        "channel_serializer": (CHANNEL_SERIALIZER_TO_STR, CHANNEL_SERIALIZER_FROM_STR),
    }

    def __init__(
        self,
        channel_type: int | None = None,
        channel_framing: int | None = None,
        channel_serializer: int | None = None,
        own: str | None = None,
        peer: str | None = None,
        is_server: bool | None = None,
        own_pid: int | None = None,
        own_tid: int | None = None,
        own_fd: int | None = None,
        is_secure: bool | None = None,
        channel_id: dict[str, bytes] | None = None,
        peer_cert: dict[str, Any] | None = None,
        websocket_protocol: str | None = None,
        websocket_extensions_in_use: list[str] | None = None,
        http_headers_received: dict[str, Any] | None = None,
        http_headers_sent: dict[str, Any] | None = None,
        http_cbtid: str | None = None,
    ) -> None:
        self.channel_type = channel_type
        self.channel_framing = channel_framing
        self.channel_serializer = channel_serializer
        self.own = own
        self.peer = peer
        self.is_server = is_server
        self.own_pid = own_pid
        self.own_tid = own_tid
        self.own_fd = own_fd
        self.is_secure = is_secure
        self.channel_id = {} if channel_id is None else channel_id
        self.peer_cert = peer_cert
        self.websocket_protocol = websocket_protocol
        self.websocket_extensions_in_use = websocket_extensions_in_use
        self.http_headers_received = http_headers_received
        self.http_headers_sent = http_headers_sent
        self.http_cbtid = http_cbtid

    @property
    def channel_typeid(self) -> str:
        """Type, framing and serializer in one word, like ``tcp-websocket-cbor``."""
        parts = (self._name(name) or "null" for name in self._NAMED)
        return "-".join(parts)

    def _name(self, attribute: str) -> str | None:
        value = getattr(self, attribute)
        return None if value is None else self._NAMED[attribute][0].get(value, "null")

    def marshal(self) -> dict[str, Any]:
        """As a dict; type, framing and serializer by name."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data.update((name, self._name(name)) for name in self._NAMED)
        return data

    @staticmethod
    def parse(data: dict[str, Any]) -> TransportDetails:
        """The inverse of ``marshal``; unknown keys are ignored."""
        expect_type("data", data, dict)
        values = {name: data.get(name) for name in TransportDetails.__slots__}
        for name, (_, numbers) in TransportDetails._NAMED.items():
            text = values[name]
            if text is not None:
                if text not in numbers:
                    raise ValueError(f"expected {name} out of {', '.join(numbers)}, got {text!r}")
                values[name] = numbers[text]
        return TransportDetails(**values)

    def __str__(self) -> str:
        from pprint import pformat

        return pformat(self.marshal())


class SessionDetails(Record):
    """What a session became when it joined."""

    __slots__ = (
        "authextra", "authid", "authmethod", "authprovider", "authrole", "realm", "resumable", "resume_token",
        "resumed", "serializer", "session", "transport",
    )  # fmt: skip

    def __init__(
        self,
        realm: str | None = None,
        session: int | None = None,
        authid: str | None = None,
        authrole: str | None = None,
        authmethod: str | None = None,
        authprovider: str | None = None,
        authextra: dict[str, Any] | None = None,
        serializer: str | None = None,
        transport: TransportDetails | None = None,
        resumed: bool | None = None,
        resumable: bool | None = None,
        resume_token: str | None = None,
    ) -> None:
        self.realm = realm
        self.session = session
        self.authid = authid
        self.authrole = authrole
        self.authmethod = authmethod
        self.authprovider = authprovider
        self.authextra = authextra
        self.serializer = serializer
        self.transport = transport
        self.resumed = resumed
        self.resumable = resumable
        self.resume_token = resume_token

    def marshal(self) -> dict[str, Any]:
        """As a dict, with the transport as a dict."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data["transport"] = None if self.transport is None else self.transport.marshal()
        return data

    @staticmethod
    def parse(data: dict[str, Any]) -> SessionDetails:
        """The inverse of ``marshal``; unknown keys are ignored."""
        expect_type("data", data, dict)
        values = {name: data.get(name) for name in SessionDetails.__slots__}
        if values["transport"] is not None:
            values["transport"] = TransportDetails.parse(values["transport"])
        return SessionDetails(**values)

    def __str__(self) -> str:
        from pprint import pformat

        return pformat(self.marshal())
