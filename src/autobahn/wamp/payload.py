"""Payloads that only their two ends can read: payload passthru mode, and its older form (WAMP "Payload Passthru Mode").

Passthru mode (``ppt_scheme``, ...): Arguments hold one octet string, the serialized map ``{"args": ..., "kwargs":
...}``, encrypted if ``ppt_cipher`` says so. The older form of autobahn and crossbar (``enc_algo``, ...): an octet
string stands in place of Arguments; what is in it is the business of a payload codec (`IPayloadCodec`, such as
`cryptobox.KeyRing`).

A result is sent as its call came: sealed for a sealed call, and so are its errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from autobahn.wamp import message
from autobahn.wamp.codec import CODECS
from autobahn.wamp.exception import ApplicationError, ProtocolError, SerializationError
from autobahn.wamp.interfaces import IPayloadCodec, ITransport
from autobahn.wamp.message import Message
from autobahn.wamp.types import EncodedPayload

__all__ = ("PPT_KEYS", "IPassthruCipher", "PayloadLayer", "is_carried_by", "passthru_of")

PPT_KEYS = ("ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid")
FEATURE_NOT_SUPPORTED = "wamp.error.feature_not_supported"
_ROUTER_ROLE = {16: "broker", 48: "dealer", 70: "dealer", 8: "dealer"}


class IPassthruCipher(Protocol):
    """Encrypts payload of passthru mode. Both methods raise on what they cannot do; the receiver is told that much."""

    def encrypt(self, ppt: dict[str, str], data: bytes) -> bytes:
        """``data`` for whoever has the key that ``ppt`` (``ppt_cipher``, ``ppt_keyid``, ...) names."""

    def decrypt(self, ppt: dict[str, str], data: bytes) -> bytes:
        """What `encrypt` was given."""


def passthru_of(details: dict[str, Any]) -> dict[str, str]:
    """The attributes of passthru mode in Options or Details."""
    return {key: details[key] for key in PPT_KEYS if details.get(key) is not None}


class PayloadLayer:
    """What a session seals before it is sent and opens before it is handed on."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._codec: IPayloadCodec | None = None
        self.cipher: IPassthruCipher | None = None
        self._invocations: dict[int, tuple[str, dict[str, str]]] = {}  # sealed ones: URI, attributes of passthru mode
        self._encrypted: set[int] = set()  # publications under way to be acknowledged
        self._seal: dict[int, Callable[[Any], Message]] = {
            8: self._seal_answer, 16: self._seal_publish, 48: self._seal_call, 70: self._seal_answer,
        }  # fmt: skip

    @property
    def codec(self) -> IPayloadCodec | None:
        """What encodes payload in the older form."""
        return self._codec

    @codec.setter
    def codec(self, codec: IPayloadCodec | None) -> None:
        self._codec = codec
        if codec is not None:
            self.use()

    def use(self) -> None:
        """From now on messages of the session are sealed, if their options ask for that, or the codec does."""
        transport = self._session._transport
        if transport is not None and not isinstance(transport, SealingTransport):
            self._session._transport = SealingTransport(transport, self)

    def wrapped(self, transport: Any) -> Any:
        """``transport``, or what seals the messages sent with it."""
        return transport if self._codec is None else SealingTransport(transport, self)

    def reset(self) -> None:
        """The session has ended."""
        self._invocations.clear()
        self._encrypted.clear()

    # ---- sending -----------------------------------------------------------------------------------------

    def seal(self, msg: Message) -> Message:
        """``msg`` as it goes on the wire; ``ApplicationError`` or ``SerializationError`` when that cannot be done."""
        seal = self._seal.get(msg.code)
        return msg if seal is None else seal(msg)

    def sent(self, msg: Any) -> None:
        """``msg`` is on its way."""
        if msg.code == 8 or (msg.code == 70 and not msg.options.get("progress")):
            self._invocations.pop(msg.request, None)

    def _seal_publish(self, msg: message.Publish) -> Message:
        options, args = self._sealed(16, True, msg.topic, msg.options, msg)
        if args is None:
            return msg
        if options.get("acknowledge") and not options.keys().isdisjoint({"enc_algo", "ppt_cipher"}):
            self._encrypted.add(msg.request)
        return message.Publish(msg.request, options, msg.topic, args)

    def _seal_call(self, msg: message.Call) -> Message:
        options, args = self._sealed(48, True, msg.procedure, msg.options, msg)
        return msg if args is None else message.Call(msg.request, options, msg.procedure, args)

    def _seal_answer(self, msg: Any) -> Message:
        known = self._invocations.get(msg.request)
        if known is None:
            return msg  # type: ignore[no-any-return]
        uri, ppt = known
        of = msg.options if msg.code == 70 else msg.details
        options, args = self._sealed(msg.code, False, uri if msg.code == 70 else msg.error, {**of, **ppt}, msg)
        kwargs = msg.kwargs if args is None else {}
        args = msg.args if args is None else args
        if msg.code == 70:
            return message.Yield(msg.request, options, args, kwargs)
        return message.Error(msg.request_type, msg.request, options, msg.error, args, kwargs)

    def _sealed(
        self, code: int, is_originating: bool, uri: str, options: dict[str, Any], msg: Any
    ) -> tuple[dict[str, Any], Any]:
        """Options and Arguments of the sealed message; None as Arguments when it is an ordinary one."""
        if options.get("ppt_scheme") is not None:
            self._require(code, "payload_passthru_mode")
            packed = self._pack(passthru_of(options), list(msg.args), msg.kwargs)
            return (options, None) if packed is None else (options, [packed])
        if self._codec is None:
            return options, None
        try:
            encoded = self._codec.encode(is_originating, uri, list(msg.args), msg.kwargs or None)
        except Exception as exc:
            raise SerializationError(f"the payload codec cannot encode the payload of {uri}: {exc}") from exc
        if encoded is None:  # not for this URI
            return options, None
        if not isinstance(encoded, EncodedPayload):
            raise TypeError(f"expected an EncodedPayload from the payload codec, got {type(encoded).__name__}")
        self._require(code, "payload_transparency")
        names = ("enc_algo", "enc_serializer", "enc_key")
        added = {name: value for name in names if (value := getattr(encoded, name)) is not None}
        return {**options, **added}, encoded.payload

    def _require(self, code: int, feature: str) -> None:
        role = _ROUTER_ROLE[code]
        roles = self._session._router_roles
        if not ((roles.get(role) or {}).get("features") or {}).get(feature):
            raise ApplicationError(FEATURE_NOT_SUPPORTED, f"expected a router ({role}) with {feature}, got one without")

    def _pack(self, ppt: dict[str, str], args: list[Any], kwargs: dict[str, Any]) -> bytes | None:
        """The payload as octets; None when the program has serialized it itself ("native")."""
        serializer, cipher = ppt.get("ppt_serializer", "native"), ppt.get("ppt_cipher")
        if serializer == "native":
            if cipher is not None:
                raise ApplicationError(
                    ApplicationError.INVALID_ARGUMENT, f"expected ppt_serializer with ppt_cipher {cipher}, got none"
                )
            return None
        data = CODECS[serializer].dumps({"args": args, "kwargs": kwargs})
        if cipher is None:
            return data
        if self.cipher is None:
            raise ApplicationError(ApplicationError.INVALID_ARGUMENT, f"expected a key for {cipher}, got none")
        try:
            return self.cipher.encrypt(ppt, data)
        except Exception as exc:
            raise ApplicationError(ApplicationError.INVALID_ARGUMENT, f"the payload is not encrypted: {exc}") from exc

    # ---- receiving ---------------------------------------------------------------------------------------

    def open_invocation(self, msg: Any, uri: str) -> ApplicationError | None:
        """Like `open`; the answer will be sealed as the invocation is."""
        ppt = passthru_of(msg.details)
        refusal = self.open(msg, uri, is_originating=False)
        if refusal is None:
            self._invocations[msg.request] = uri, ppt
            self.use()
        return refusal

    def open(self, msg: Any, uri: str, *, is_originating: bool) -> ApplicationError | None:
        """The payload of ``msg``, which is sealed, can be read; or why it cannot.

        ``uri``: the topic, procedure or error it belongs to. ``is_originating``: it is the answer to what we sent.
        """
        if type(msg.args) is not list:
            return self._open_encoded(msg, uri, is_originating)
        return self._open_passthru(msg)

    def _open_encoded(self, msg: Any, uri: str, is_originating: bool) -> ApplicationError | None:
        d = msg.details
        if self._codec is None:
            text = f"got a payload with enc_algo {d.get('enc_algo')}, but no payload codec is set"
            return ApplicationError(ApplicationError.ENC_NO_PAYLOAD_CODEC, text)
        octets = msg.args.encode() if isinstance(msg.args, str) else msg.args
        encoded = EncodedPayload(octets, d.get("enc_algo"), d.get("enc_serializer"), d.get("enc_key"))
        try:
            found, args, kwargs = self._codec.decode(is_originating, uri, encoded)
        except Exception as exc:
            text = f"the payload of {uri} cannot be decoded: {exc}"
            return ApplicationError(ApplicationError.ENC_DECRYPT_ERROR, text)
        if found != uri:
            text = f"the payload is for {found!r}, but came for {uri!r}"
            return ApplicationError(ApplicationError.ENC_TRUSTED_URI_MISMATCH, text)
        return _take(msg, args, kwargs)

    def _open_passthru(self, msg: Any) -> ApplicationError | None:
        ppt = passthru_of(msg.details)
        serializer, cipher = ppt.get("ppt_serializer", "native"), ppt.get("ppt_cipher")
        if serializer == "native" and cipher is None:
            return None  # the program knows what to do with it
        if serializer not in CODECS:
            return _invalid(f"expected ppt_serializer out of native, {', '.join(CODECS)}, got {serializer:.100}")
        if len(msg.args) != 1 or not isinstance(msg.args[0], bytes) or msg.kwargs:
            return _invalid("expected one octet string as payload in passthru mode, got something else")
        data = msg.args[0]
        if cipher is not None:
            if self.cipher is None:
                return _invalid(f"expected a payload without ppt_cipher, as there are no keys here, got {cipher:.100}")
            try:
                data = self.cipher.decrypt(ppt, data)
            except Exception as exc:
                return ApplicationError(ApplicationError.ENC_DECRYPT_ERROR, f"the payload is not decrypted: {exc}")
        try:
            payload = CODECS[serializer].loads(data)
        except ProtocolError as exc:
            return _invalid(f"expected a payload in {serializer}, got something else ({exc})")
        if not isinstance(payload, dict):
            return _invalid(f"expected a map with args and kwargs as payload, got {type(payload).__name__}")
        return _take(msg, payload.get("args"), payload.get("kwargs"))

    def acknowledged(self, request: int) -> bool:
        """Whether the publication that is acknowledged now was sealed."""
        if request in self._encrypted:
            self._encrypted.discard(request)
            return True
        return False


def _take(msg: Any, args: Any, kwargs: Any) -> ApplicationError | None:
    """``msg`` has this payload, if it is one."""
    args, kwargs = [] if args is None else args, {} if kwargs is None else kwargs
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not all(type(k) is str for k in kwargs):
        return _invalid("expected a list of arguments and a dict of keyword arguments in a payload, got something else")
    msg.args, msg.kwargs = list(args), kwargs
    return None


def _invalid(text: str) -> ApplicationError:
    return ApplicationError(ApplicationError.INVALID_ARGUMENT, text)


def is_carried_by(transport: Any, current: Any) -> bool:
    """Whether ``current``, the transport of a session, is ``transport`` or what seals messages for it."""
    return transport is current or (isinstance(current, SealingTransport) and current._inner is transport)


@ITransport.register
class SealingTransport:
    """A transport that seals what is sent; all else is that of the transport behind it."""

    def __init__(self, inner: Any, layer: PayloadLayer) -> None:
        self._inner = inner
        self._layer = layer

    def send(self, msg: Message) -> None:
        """Sends ``msg``, sealed if it has to be."""
        self._inner.send(self._layer.seal(msg))
        self._layer.sent(msg)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
