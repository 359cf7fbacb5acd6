"""Functions that compute and check answers, and make secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from typing import Any

from autobahn.wamp import scram
from autobahn.wamp.auth.base import octets

_WCS_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


# ---- WAMP-CRA ----------------------------------------------------------------------------------------------


def compute_wcs(key: str | bytes, challenge: str | bytes) -> bytes:
    """The signature of a WAMP-CRA challenge: base64 of HMAC-SHA256."""
    return base64.b64encode(hmac.digest(octets(key), octets(challenge), "sha256"))


def derive_key(secret: str | bytes, salt: str | bytes, iterations: int = 1000, keylen: int = 32) -> bytes:
    """The key of a salted WAMP-CRA secret: base64 of PBKDF2, which is itself the HMAC key."""
    return base64.b64encode(pbkdf2(octets(secret), octets(salt), iterations, keylen))


def pbkdf2(
    data: bytes,
    salt: bytes,
    iterations: int = 1000,
    keylen: int = 32,
    hashfunc: Callable[..., Any] | None = None,
) -> bytes:
    """``keylen`` octets of PBKDF2-HMAC; ``hashfunc`` is one of ``hashlib`` (default: SHA-256)."""
    algorithm = "sha256" if hashfunc is None else hashfunc().name
    return hashlib.pbkdf2_hmac(algorithm, data, salt, iterations, keylen)


def generate_wcs(length: int = 14) -> bytes:
    """A random secret of ``length`` letters and digits."""
    return "".join(secrets.choice(_WCS_CHARS) for _ in range(length)).encode("ascii")


# ---- SCRAM -------------------------------------------------------------------------------------------------


def derive_scram_credential(email: str, password: str, salt: bytes | None = None) -> dict[str, Any]:
    """What a router that speaks the dialect ``scram`` keeps of ``password``: Argon2id, 4096 passes over 512 KiB.

    Without ``salt`` a random one is taken. ``salt`` and the keys are in hex.
    """
    credential = scram.Credential.derive(
        password, dialect=scram.CROSSBAR, kdf=scram.ARGON2, iterations=4096, memory=512, salt=salt
    )
    return {
        "email": email,
        "kdf": scram.CROSSBAR.argon2,
        "iterations": credential.iterations,
        "memory": credential.memory,
        "salt": credential.salt.hex(),
        "stored-key": credential.stored_key.hex(),
        "server-key": credential.server_key.hex(),
    }


# ---- one-time passwords (RFC 6238) -------------------------------------------------------------------------


def generate_totp_secret(length: int = 10) -> str:
    """A random secret of ``length`` octets, in base32."""
    if length < 1:
        raise ValueError(f"expected a length of 1 or more, got {length}")
    return base64.b32encode(secrets.token_bytes(length)).decode("ascii")


def compute_totp(secret: str, offset: int = 0) -> str:
    """The six digits that hold now, or ``offset`` steps of 30 seconds later."""
    key = base64.b32decode(secret)
    step = struct.pack(">Q", offset + int(time.time()) // 30)
    digest = hmac.digest(key, step, "sha1")
    at = digest[19] & 15
    number: int = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def check_totp(secret: str, ticket: str) -> bool:
    """Whether ``ticket`` holds now, or one step earlier or later."""
    return any(hmac.compare_digest(ticket.encode(), compute_totp(secret, i).encode()) for i in (0, 1, -1))
