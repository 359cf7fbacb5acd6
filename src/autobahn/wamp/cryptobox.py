"""Ready-made encryption of payload: autobahn's cryptobox, and keys for payload passthru mode.

`KeyRing` is the payload codec of autobahn ("cryptobox", ``session.set_payload_codec(keyring)``): NaCl boxes (X25519,
XSalsa20, Poly1305) around JSON. It needs the package PyNaCl; without it ``HAS_CRYPTOBOX`` is false.

`PassthruKeys` holds symmetric keys for passthru mode (``session.set_passthru_cipher(keys)``), by ``ppt_keyid``:
``xsalsa20poly1305`` (PyNaCl) and ``aes256gcm`` (cryptography). WAMP names the ciphers but neither how keys are
exchanged nor where the nonce goes: here it stands before the ciphertext, as NaCl has it, and keys are the program's
business.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import secrets
from collections.abc import Mapping
from typing import Any

from autobahn.wamp.codec import CODECS
from autobahn.wamp.extras import optional
from autobahn.wamp.interfaces import IPayloadCodec
from autobahn.wamp.types import EncodedPayload

__all__ = ("HAS_CRYPTOBOX", "EncodedPayload", "Key", "KeyRing", "PassthruKeys")

HAS_CRYPTOBOX = importlib.util.find_spec("nacl") is not None

KEY_LENGTH = 32
NONCE_LENGTHS = {"xsalsa20poly1305": 24, "aes256gcm": 12}


def _public() -> Any:
    return optional("nacl.public", "PyNaCl", "cryptobox", "encryption")


class Key:
    """What is needed to talk under one URI: private and public keys of both sides, as far as they are known (base64).

    Who starts a call or publishes an event is the originator, the other side the responder. The originator needs its
    private key and the responder's public one, the responder the other two. A public key follows from its private one.
    """

    def __init__(
        self,
        originator_priv: str | None = None,
        originator_pub: str | None = None,
        responder_priv: str | None = None,
        responder_pub: str | None = None,
    ) -> None:
        self.originator_priv, self.originator_pub = _pair(originator_priv, originator_pub, "originator")
        self.responder_priv, self.responder_pub = _pair(responder_priv, responder_pub, "responder")
        self.originator_box = _box(self.originator_priv, self.responder_pub)
        self.responder_box = _box(self.responder_priv, self.originator_pub)


def _pair(private: str | None, public: str | None, who: str) -> tuple[Any, Any]:
    nacl = _public()
    key = None if private is None else nacl.PrivateKey(_octets(private, f"{who}_priv"))
    given = None if public is None else nacl.PublicKey(_octets(public, f"{who}_pub"))
    if key is None:
        return None, given
    if given is not None and bytes(given) != bytes(key.public_key):
        raise ValueError(f"expected {who}_pub to be the public key of {who}_priv, got another one")
    return key, key.public_key


def _box(private: Any, public: Any) -> Any:
    return None if private is None or public is None else _public().Box(private, public)


def _octets(value: Any, name: str) -> bytes:
    try:
        octets = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        octets = b""
    if len(octets) != KEY_LENGTH:
        raise ValueError(f"expected {KEY_LENGTH} octets in base64 as {name}, got something else")
    return octets


class KeyRing(IPayloadCodec):
    """Keys by URI prefix; the longest prefix of a URI decides. A URI without key travels in the clear.

    ``default_key``: the key for all URIs. A key is a `Key`, or a private key in base64 that both sides share.
    """

    def __init__(self, default_key: Key | str | None = None) -> None:
        optional("nacl", "PyNaCl", "cryptobox", "encryption")
        self._keys: dict[str, Key] = {}
        if default_key is not None:
            self.set_key("", default_key)

    def generate_key(self) -> tuple[str, str]:
        """A new private key and its public key, in base64."""
        key = _public().PrivateKey.generate()
        return base64.b64encode(bytes(key)).decode(), base64.b64encode(bytes(key.public_key)).decode()

    def generate_key_hex(self) -> tuple[str, str]:
        """A new private key and its public key, in hex."""
        key = _public().PrivateKey.generate()
        return bytes(key).hex(), bytes(key.public_key).hex()

    def set_key(self, uri: str, key: Key | str | None) -> None:
        """``key`` is for all URIs that begin with ``uri``; None: they have no key of their own any more."""
        if key is None:
            self._keys.pop(uri, None)
        else:
            self._keys[uri] = key if isinstance(key, Key) else Key(originator_priv=key, responder_priv=key)

    def rotate_key(self, uri: str) -> str:
        """A new shared key is set for ``uri``, and returned (the private key in base64), for the other side to set."""
        private, _ = self.generate_key()
        self.set_key(uri, private)
        return private

    def _key(self, uri: str) -> Key | None:
        found = [prefix for prefix in self._keys if uri.startswith(prefix)]
        return self._keys[max(found, key=len)] if found else None

    def encode(
        self,
        is_originating: bool,
        uri: str,
        args: list[Any] | tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> EncodedPayload | None:
        """The encrypted payload; None when there is no key for ``uri``."""
        key = self._key(uri)
        box = None if key is None else key.originator_box if is_originating else key.responder_box
        if box is None:
            return None
        text = CODECS["json"].dumps({"uri": uri, "args": args, "kwargs": kwargs})
        return EncodedPayload(bytes(box.encrypt(text)), "cryptobox", "json")

    def decode(self, is_originating: bool, uri: str, encoded_payload: Any) -> tuple[str, Any, Any]:
        """``(uri, args, kwargs)``: the URI is the one that was encrypted. ValueError when it cannot be decrypted."""
        if encoded_payload.enc_algo != "cryptobox":
            raise ValueError(f"expected enc_algo cryptobox, got {encoded_payload.enc_algo!r:.100}")
        if encoded_payload.enc_serializer not in {None, "json"}:
            raise ValueError(f"expected enc_serializer json, got {encoded_payload.enc_serializer!r:.100}")
        key = self._key(uri)
        box = None if key is None else key.originator_box if is_originating else key.responder_box
        if box is None:
            raise ValueError(f"expected a key for {uri}, got none")
        try:
            text = box.decrypt(encoded_payload.payload)
        except Exception as exc:
            raise ValueError("expected a payload encrypted with our key, got another one") from exc
        payload = CODECS["json"].loads(text)
        if not isinstance(payload, dict) or not isinstance(payload.get("uri"), str):
            raise ValueError("expected a map with uri, args and kwargs in the encrypted payload, got something else")
        return payload["uri"], payload.get("args"), payload.get("kwargs")


class PassthruKeys:
    """Symmetric keys of 32 octets by ``ppt_keyid``, for the ciphers of passthru mode; ``default`` without key id."""

    def __init__(self, keys: Mapping[str, bytes] | None = None, default: bytes | None = None) -> None:
        self._keys: dict[str | None, bytes] = {}
        for keyid, key in {**(keys or {})}.items():
            self.set_key(keyid, key)
        if default is not None:
            self.set_key(None, default)

    def set_key(self, keyid: str | None, key: bytes) -> None:
        """``key`` is used where ``ppt_keyid`` is ``keyid``. Raises ``ValueError``."""
        if not isinstance(key, bytes) or len(key) != KEY_LENGTH:
            raise ValueError(f"expected a key of {KEY_LENGTH} octets, got something else")
        self._keys[keyid] = key

    @staticmethod
    def generate_key() -> bytes:
        """A new key."""
        return secrets.token_bytes(KEY_LENGTH)

    def _cipher(self, ppt: Mapping[str, str]) -> tuple[Any, int]:
        name, keyid = ppt.get("ppt_cipher"), ppt.get("ppt_keyid")
        if name not in NONCE_LENGTHS:
            raise ValueError(f"expected a cipher out of {', '.join(NONCE_LENGTHS)}, got {name!r:.100}")
        key = self._keys.get(keyid)
        if key is None:
            raise ValueError(f"expected a known ppt_keyid, got {keyid!r:.100}")
        if name == "aes256gcm":
            aead = optional("cryptography.hazmat.primitives.ciphers.aead", "cryptography", "aes256gcm")
            return aead.AESGCM(key), NONCE_LENGTHS[name]
        return optional("nacl.secret", "PyNaCl", "xsalsa20poly1305", "encryption").SecretBox(key), NONCE_LENGTHS[name]

    def encrypt(self, ppt: Mapping[str, str], data: bytes) -> bytes:
        """Nonce and ciphertext."""
        cipher, length = self._cipher(ppt)
        nonce = secrets.token_bytes(length)
        if ppt["ppt_cipher"] == "aes256gcm":
            return nonce + bytes(cipher.encrypt(nonce, data, None))
        return bytes(cipher.encrypt(data, nonce))

    def decrypt(self, ppt: Mapping[str, str], data: bytes) -> bytes:
        """The octets that were encrypted; ``ValueError`` for what was not encrypted with our key."""
        cipher, length = self._cipher(ppt)
        nonce, text = data[:length], data[length:]
        try:
            is_gcm = ppt["ppt_cipher"] == "aes256gcm"
            return bytes(cipher.decrypt(nonce, text, None) if is_gcm else cipher.decrypt(text, nonce))
        except Exception as exc:
            raise ValueError("expected a payload encrypted with our key, got another one") from exc
