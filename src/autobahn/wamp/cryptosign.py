"""Cryptosign: Ed25519 keys that sign challenges (WAMP "Cryptosign-based Authentication").

Needs the extra ``cryptography``; without it ``HAS_CRYPTOSIGN`` is false and keys cannot be made.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
from collections.abc import Generator
from pathlib import Path
from typing import Any

from autobahn.wamp.extras import optional

__all__ = ("HAS_CRYPTOSIGN", "CryptosignKey", "is_signed", "is_valid_signature")

HAS_CRYPTOSIGN = importlib.util.find_spec("cryptography") is not None

LENGTH = 32  # octets of a key, a challenge and a channel id
SIGNATURE = 64


class _Signature(bytes):
    """The octets of a signature; awaiting it gives them, too, because programs for autobahn do that."""

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from ()
        return bytes(self)


class _Answer(str):
    """The answer to a challenge; awaiting it gives it, too."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, str]:
        yield from ()
        return str(self)


def _ed25519() -> Any:
    return optional("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography", "cryptosign")


def _serialization() -> Any:
    return optional("cryptography.hazmat.primitives.serialization", "cryptography", "cryptosign")


class CryptosignKey:
    """An Ed25519 key: a private one (``can_sign``) or a public one."""

    def __init__(
        self,
        key: Any,
        can_sign: bool,
        security_module: Any = None,
        key_no: int | None = None,
        comment: str | None = None,
    ) -> None:
        if security_module is not None:
            raise NotImplementedError("expected a key in memory, got one in a security module")
        if not hasattr(key, "sign" if can_sign else "verify"):
            raise TypeError(f"expected an Ed25519 {'private' if can_sign else 'public'} key, got {type(key).__name__}")
        self._key = key
        self._can_sign = can_sign
        self._key_no = key_no
        self._comment = comment
        public = key.public_key() if can_sign else key
        self._public: bytes = public.public_bytes_raw()

    @classmethod
    def from_bytes(cls, key: bytes, comment: str | None = None) -> CryptosignKey:
        """A private key from its 32 octets."""
        return cls(_ed25519().Ed25519PrivateKey.from_private_bytes(_octets(key, "private key")), True, comment=comment)

    @classmethod
    def from_pubkey(cls, pubkey: bytes, comment: str | None = None) -> CryptosignKey:
        """A public key from its 32 octets."""
        octets = _octets(pubkey, "public key")
        return cls(_ed25519().Ed25519PublicKey.from_public_bytes(octets), False, comment=comment)

    @classmethod
    def from_file(cls, filename: str, comment: str | None = None) -> CryptosignKey:
        """A private key from a file that holds its 32 octets and nothing else."""
        return cls.from_bytes(Path(filename).read_bytes(), comment)

    @classmethod
    def from_keyfile(cls, keyfile: str) -> CryptosignKey:
        """A key from a file of lines ``tag: value`` with ``private-key-ed25519`` or ``public-key-ed25519`` in hex."""
        tags: dict[str, str] = {}
        for line in Path(keyfile).read_text(encoding="utf-8").splitlines():
            tag, colon, value = line.partition(":")
            if colon and not line.startswith((" ", "#")):
                tags[tag.strip().lower()] = value.strip()
        private, public = tags.get("private-key-ed25519"), tags.get("public-key-ed25519")
        comment = tags.get("user-id") or tags.get("comment")
        if private is not None:
            key = cls.from_bytes(_hex(private, "private-key-ed25519"), comment)
            if public is not None and public.lower() != key.pubkey:
                raise ValueError(f"expected the public key of the private one in {keyfile}, got another")
            return key
        if public is None:
            raise ValueError(f"expected private-key-ed25519 or public-key-ed25519 in {keyfile}, got neither")
        return cls.from_pubkey(_hex(public, "public-key-ed25519"), comment)

    @classmethod
    def from_ssh_file(cls, filename: str) -> CryptosignKey:
        """A key from an OpenSSH file, private or public, without a passphrase."""
        return cls.from_ssh_bytes(Path(filename).read_text(encoding="utf-8"))

    @classmethod
    def from_ssh_bytes(cls, key_data: str) -> CryptosignKey:
        """A key from the text of an OpenSSH file."""
        data = key_data.encode("utf-8") if isinstance(key_data, str) else key_data
        serialization, ed25519 = _serialization(), _ed25519()
        if data.lstrip().startswith(b"-----BEGIN"):
            key, comment, is_private = serialization.load_ssh_private_key(data, None), None, True
        else:
            key, is_private = serialization.load_ssh_public_key(data), False
            parts = data.decode("utf-8").split(None, 2)
            comment = parts[2].strip() if len(parts) > 2 else None
        if not isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
            raise ValueError(f"expected an ssh-ed25519 key, got {type(key).__name__}")
        return cls(key, is_private, comment=comment)

    @classmethod
    def from_documentationphrase(cls, documentationphrase: str, index: int = 0) -> CryptosignKey:
        """Not here: keys from words are left to wallets."""
        raise NotImplementedError(
            "keys from a seed phrase are not supported; use from_bytes, from_file or from_ssh_file"
        )

    @property
    def can_sign(self) -> bool:
        """Whether this is a private key."""
        return self._can_sign

    @property
    def comment(self) -> str | None:
        """What the file said of the key."""
        return self._comment

    @property
    def key_no(self) -> int | None:
        """The number given when the key was made."""
        return self._key_no

    @property
    def key_type(self) -> str:
        """Always ``cryptosign``."""
        return "cryptosign"

    @property
    def security_module(self) -> None:
        """None: keys are in memory."""
        return None

    @property
    def pubkey(self) -> str:
        """The public key in hex."""
        return self._public.hex()

    def public_key(self, binary: bool = False) -> str | bytes:
        """The public key, in hex or as octets."""
        return self._public if binary else self._public.hex()

    def sign(self, data: bytes) -> bytes:
        """The 64 octets of the signature."""
        if not self._can_sign:
            raise RuntimeError("expected a private key to sign with, got a public one")
        if not isinstance(data, bytes):
            raise TypeError(f"expected bytes, got {type(data).__name__}")
        return _Signature(self._key.sign(data))

    def sign_challenge(
        self, challenge: Any, channel_id: bytes | None = None, channel_id_type: str | None = None
    ) -> Any:
        """The signature for AUTHENTICATE: in hex, signature and signed octets (192 digits).

        With a ``channel_id`` of type ``channel_id_type`` the answer holds on that channel only; RuntimeError when the
        challenge names another binding, or none.
        """
        if challenge.method not in {"cryptosign", "cryptosign-proxy"}:
            raise RuntimeError(f'expected a challenge for "cryptosign", got one for "{challenge.method}"')
        asked = challenge.extra.get("channel_binding") or None
        bound = channel_id_type if channel_id is not None else None
        if asked != bound:
            raise RuntimeError(f"expected the channel binding {bound}, got {asked!r:.100}")
        text = challenge.extra.get("challenge")
        message = bind(_hex(text, "challenge"), channel_id)
        return _Answer(bytes(self.sign(message)).hex() + message.hex())

    def __repr__(self) -> str:
        return f"<CryptosignKey {self.pubkey} can_sign={self._can_sign}>"


def bind(message: bytes, channel_id: bytes | None) -> bytes:
    """``message`` XORed with the channel's id; an id of another length counts by its SHA-256."""
    if channel_id is None:
        return message
    if len(channel_id) != LENGTH:
        channel_id = hashlib.sha256(channel_id).digest()
    return bytes(a ^ b for a, b in zip(message, channel_id, strict=True))


def is_valid_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` of ``message`` was made with the private key of ``public_key``."""
    invalid = optional("cryptography.exceptions", "cryptography", "cryptosign").InvalidSignature
    try:
        _ed25519().Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (invalid, ValueError):
        return False
    return True


def is_signed(public_key: bytes, answer: Any, message: bytes) -> bool:
    """Whether ``answer`` (192 hex digits) is a signature of exactly ``message``.

    The octets that come with the signature must be ours: otherwise an old answer could be replayed.
    """
    try:
        octets = bytes.fromhex(answer)
    except (TypeError, ValueError):
        return False
    if len(octets) != SIGNATURE + LENGTH or not hmac.compare_digest(octets[SIGNATURE:], message):
        return False
    return is_valid_signature(public_key, octets[:SIGNATURE], message)


def _octets(value: Any, name: str) -> bytes:
    if not isinstance(value, bytes) or len(value) != LENGTH:
        got = f"{len(value)} octets" if isinstance(value, bytes) else type(value).__name__
        raise ValueError(f"expected {LENGTH} octets as {name}, got {got}")
    return value


def _hex(text: Any, name: str) -> bytes:
    try:
        return _octets(bytes.fromhex(text), name)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"expected {2 * LENGTH} hex digits as {name}, got {text!r:.100}") from exc


def parse_hex(text: Any, name: str) -> bytes:
    """32 octets from 64 hex digits; ValueError names what it should have been."""
    return _hex(text.removeprefix("0x") if isinstance(text, str) else text, name)
