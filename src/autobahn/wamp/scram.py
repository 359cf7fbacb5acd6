"""SCRAM as WAMP uses it: formulas, key derivation and its price, stored credentials (RFC 5802, 7677; WAMP "SCRAM").

Two dialects are spoken: ``wamp-scram`` is the specification's, ``scram`` that of autobahn and crossbar. They differ
in the names of the functions, in the form of the nonce, in preparing texts (SASLprep, escaping) and in the value
that Argon2 hands on; `Dialect` holds the differences.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autobahn.wamp.extras import optional

KEY_LENGTH = 32
PBKDF2 = "pbkdf2"
ARGON2 = "argon2id13"
NO_BINDING = "biws"  # base64 of "n,,"

MIN_ITERATIONS = 4096  # of PBKDF2 (RFC 7677 section 4)
MAX_ITERATIONS = 5_000_000
MIN_ARGON2 = 8192  # KiB x passes: less is cheaper to guess than it is to log in
MAX_ARGON2 = 2**23
MAX_MEMORY = 2**20  # KiB


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two SCRAMs of WAMP."""

    method: str
    argon2: str  # the name on the wire
    verifier: str  # key of the server's proof in WELCOME.Details.authextra
    is_spec: bool

    def kdf(self, name: Any) -> str:
        """Our name of the function a peer names; both spellings are understood."""
        if name in {ARGON2, "argon2id-13"}:
            return ARGON2
        if name == PBKDF2:
            return PBKDF2
        raise ValueError(f"expected the kdf {self.argon2} or {PBKDF2}, got {name!r:.100}")

    def wire_kdf(self, kdf: str) -> str:
        """The name of the function for the peer."""
        return self.argon2 if kdf == ARGON2 else kdf

    def authid(self, authid: str) -> str:
        """``authid`` as it stands in the message that is signed."""
        return escaped(saslprep(authid)) if self.is_spec else authid

    def password(self, password: str | bytes) -> bytes:
        """The octets of ``password``."""
        if isinstance(password, bytes):
            return password
        return (saslprep(password) if self.is_spec else password).encode("utf-8")

    def binding(self, channel_binding: str | None, cbind_data: bytes) -> str:
        """The value ``c`` (RFC 5802 section 7): the GS2 header and the channel's data."""
        if not self.is_spec:
            return ""
        if channel_binding is None:
            return NO_BINDING
        return b64(f"p={channel_binding},,".encode("ascii") + cbind_data)

    def combine(self, client_nonce: str) -> str:
        """A nonce of the router that continues ``client_nonce``."""
        if self.is_spec:
            return client_nonce + b64(secrets.token_bytes(18))
        return b64(unb64(client_nonce, "nonce") + secrets.token_bytes(16))

    def continues(self, nonce: Any, client_nonce: str) -> bool:
        """Whether ``nonce`` begins with ``client_nonce`` and is longer."""
        if not isinstance(nonce, str) or len(nonce) > 1024:
            return False
        if nonce.startswith(client_nonce):
            return len(nonce) > len(client_nonce)
        if self.is_spec:
            return False
        try:
            mine, all_of_it = unb64(client_nonce, "nonce"), unb64(nonce, "nonce")
        except ValueError:
            return False
        return all_of_it.startswith(mine) and len(all_of_it) > len(mine)

    def salted(self, kdf: str, password: str | bytes, salt: bytes, iterations: int, memory: int | None) -> bytes:
        """The salted password: the work of the key derivation function is done here."""
        octets = self.password(password)
        if kdf == PBKDF2:
            return hashlib.pbkdf2_hmac("sha256", octets, salt, iterations, KEY_LENGTH)
        raw = argon2id(octets, salt, iterations, memory or 0)
        return raw if self.is_spec else base64.b64encode(raw).rstrip(b"=")


SPEC = Dialect("wamp-scram", ARGON2, "verifier", is_spec=True)
CROSSBAR = Dialect("scram", "argon2id-13", "scram_server_signature", is_spec=False)
DIALECTS = {dialect.method: dialect for dialect in (SPEC, CROSSBAR)}


# ---- texts -------------------------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    """``data`` in base64."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: Any, name: str) -> bytes:
    """The octets of base64 ``text``; ValueError when it is none."""
    if not isinstance(text, str):
        raise ValueError(f"expected a base64 text as {name}, got {type(text).__name__}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"expected a base64 text as {name}, got {text!r:.100}") from exc


def escaped(text: str) -> str:
    """``text`` without the two signs that have a meaning in the signed message (RFC 5802 section 5.1)."""
    return text.replace("=", "=3D").replace(",", "=2C")


_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def saslprep(text: str) -> str:
    """``text`` in the form that is compared (RFC 4013); ValueError when it holds what is prohibited."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    for char in prepared:
        if any(is_in(char) for is_in in _PROHIBITED):
            raise ValueError(f"expected a text without U+{ord(char):04X}, got one that holds it (RFC 4013)")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise ValueError("expected a text that runs in one direction, got a mixed one (RFC 3454 section 6)")
    return prepared


# ---- key derivation ----------------------------------------------------------------------------------------


def argon2id(password: bytes, salt: bytes, iterations: int, memory: int) -> bytes:
    """32 octets of Argon2id 1.3 with one lane (RFC 9106); needs the extra ``argon2-cffi``."""
    low_level = optional("argon2.low_level", "argon2-cffi", "SCRAM with Argon2id")
    raw: bytes = low_level.hash_secret_raw(
        password, salt, iterations, memory, parallelism=1, hash_len=KEY_LENGTH, type=low_level.Type.ID, version=0x13
    )
    return raw


def check_cost(kdf: str, iterations: Any, memory: Any, *, at_least: bool = True) -> None:
    """The work asked for is enough to protect the password and not absurd; ValueError otherwise.

    ``at_least=False``: only the upper bound counts.
    """
    if type(iterations) is not int or iterations < 1:
        raise ValueError(f"expected iterations as an int from 1, got {iterations!r:.100}")
    if kdf == PBKDF2:
        if iterations > MAX_ITERATIONS or (at_least and iterations < MIN_ITERATIONS):
            raise ValueError(f"expected from {MIN_ITERATIONS} to {MAX_ITERATIONS} iterations, got {iterations}")
        return
    if type(memory) is not int or not 8 <= memory <= MAX_MEMORY:
        raise ValueError(f"expected memory as an int from 8 to {MAX_MEMORY} KiB, got {memory!r:.100}")
    cost = iterations * memory
    if cost > MAX_ARGON2 or (at_least and cost < MIN_ARGON2):
        raise ValueError(f"expected iterations x memory from {MIN_ARGON2} to {MAX_ARGON2} KiB, got {cost}")


# ---- the formulas of RFC 5802 section 3 ----------------------------------------------------------------------


def auth_message(authid: str, client_nonce: str, nonce: str, salt: str, iterations: int, binding: str) -> bytes:
    """The text that both ends sign; ``authid`` as `Dialect.authid` gives it, ``salt`` in base64."""
    text = f"n={authid},r={client_nonce},r={nonce},s={salt},i={iterations},c={binding},r={nonce}"
    return text.encode("utf-8")


def stored_keys(salted: bytes) -> tuple[bytes, bytes]:
    """What a router keeps of a salted password: StoredKey and ServerKey."""
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def client_proof(salted: bytes, message: bytes) -> bytes:
    """The proof that we know the password."""
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    return xor(client_key, signature)


def is_proof(stored_key: bytes, message: bytes, proof: bytes) -> bool:
    """Whether ``proof`` was made by somebody who knows the password."""
    if len(proof) != KEY_LENGTH:
        return False
    client_key = xor(proof, hmac.digest(stored_key, message, "sha256"))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)


def server_signature(server_key: bytes, message: bytes) -> bytes:
    """The proof that the router knows the stored credential."""
    return hmac.digest(server_key, message, "sha256")


def xor(a: bytes, b: bytes) -> bytes:
    """Bit by bit; both have the same length."""
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


# ---- stored credentials --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credential:
    """What a router knows of a password, not the password."""

    kdf: str
    salt: bytes
    iterations: int
    memory: int | None
    stored_key: bytes
    server_key: bytes

    @classmethod
    def derive(
        cls,
        password: str | bytes,
        *,
        dialect: Dialect = SPEC,
        kdf: str = PBKDF2,
        iterations: int = 600_000,
        memory: int | None = None,
        salt: bytes | None = None,
    ) -> Credential:
        """The credential of ``password``; this takes as long as the cost says."""
        check_cost(kdf, iterations, memory, at_least=False)
        salt = secrets.token_bytes(16) if salt is None else salt
        return cls(kdf, salt, iterations, memory, *stored_keys(dialect.salted(kdf, password, salt, iterations, memory)))

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Credential:
        """Out of a dict with ``salt``, ``stored_key`` and ``server_key`` in hex or base64; ValueError otherwise.

        Keys with a hyphen, as autobahn's ``derive_scram_credential`` gives them, are understood.
        """
        kdf = SPEC.kdf(data.get("kdf", ARGON2 if data.get("memory") else PBKDF2))
        iterations, memory = data.get("iterations"), data.get("memory")
        check_cost(kdf, iterations, memory, at_least=False)
        octets = {name: _octets(data, name) for name in ("salt", "stored_key", "server_key")}
        for name in ("stored_key", "server_key"):
            if len(octets[name]) != KEY_LENGTH:
                raise ValueError(f"expected 32 octets as {name}, got {len(octets[name])}")
        assert isinstance(iterations, int)
        return cls(kdf, octets["salt"], iterations, memory, octets["stored_key"], octets["server_key"])

    def marshal(self) -> dict[str, Any]:
        """As a dict that `parse` understands, for a file."""
        data: dict[str, Any] = {"kdf": self.kdf, "salt": b64(self.salt), "iterations": self.iterations}
        if self.memory is not None:
            data["memory"] = self.memory
        return {**data, "stored_key": b64(self.stored_key), "server_key": b64(self.server_key)}


def _octets(data: Mapping[str, Any], name: str) -> bytes:
    value = data.get(name, data.get(name.replace("_", "-")))
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected {name} in hex or base64, got {type(value).__name__}")
    if len(value) % 2 == 0 and (len(value) == 2 * KEY_LENGTH or name == "salt"):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    return unb64(value, name)
