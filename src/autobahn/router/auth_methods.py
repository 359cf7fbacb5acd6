"""The methods of authentication, router's end (WAMP "Authentication Methods").

A principal that does not exist is challenged like any other, with a salt that stays the same, and fails at the
same point.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from autobahn.router.auth_chains import Trustroots
from autobahn.router.auth_limits import KdfGate
from autobahn.router.auth_principals import AUTHENTICATION_DENIED, Principal, Source
from autobahn.router.ids import random_authid
from autobahn.router.login import Admission, Login
from autobahn.wamp import scram
from autobahn.wamp.auth import compute_wcs
from autobahn.wamp.auth.keyed import private_key
from autobahn.wamp.cryptosign import CryptosignKey, bind, is_signed, parse_hex
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.extras import optional

NOBODY = Principal(None, ("",))
TEXT = "expected the credentials of a principal, got others"
HASH_ITERATIONS = 600_000


@dataclass(frozen=True, slots=True)
class Tools:
    """What all methods share."""

    gate: KdfGate
    mock_secret: bytes
    cookies: Any = None  # `auth_links.Cookies`, when a realm has the method "cookie"

    def mock(self, authid: str, length: int) -> bytes:
        """Octets that look random and are always the same for ``authid``."""
        return hmac.digest(self.mock_secret, authid.encode("utf-8", "replace"), "sha256")[:length]


class Method(ABC):
    """One method on one realm."""

    name = ""
    is_open = False  # whether it admits at once, without asking anybody

    def __init__(self, settings: Mapping[str, Any], source: Source | None, tools: Tools) -> None:
        self.settings = settings
        self.tools = tools
        self._source = source
        if source is not None:
            for authid, principal in source.known().items():
                try:
                    self.check(principal)
                except ValueError as exc:
                    raise ValueError(f'principal {authid!r} of the method "{self.name}": {exc}') from exc

    @property
    def source(self) -> Source:
        """Where principals come from."""
        assert self._source is not None
        return self._source

    def check(self, principal: Principal) -> None:  # noqa: B027 - some methods need no credentials
        """ValueError when the credentials are none for this method."""

    def applies(self, login: Login) -> bool:
        """Whether the method can judge this client at all; otherwise the next one that it offers is taken."""
        return True

    @abstractmethod
    def admit(self, login: Login) -> Any:
        """The `Admission` of the client, or an awaitable of it unless ``is_open``; ``ApplicationError`` otherwise."""

    def admission(
        self, login: Login, principal: Principal, authid: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> Admission:
        """The principal is let in."""
        return Admission(
            principal.authid or authid or random_authid(),
            principal.role_for(login.authrole),
            self.name,
            principal.provider,
            {**principal.extra, **(extra or {})},
            principal.realm,
        )

    def template(self) -> Principal | None:
        """A principal after which those that do not exist are modelled."""
        return next(iter(self.source.known().values()), None)


def denied(is_known: bool = True, **kwargs: Any) -> ApplicationError:
    """What a client gets that has not proved who it is."""
    return ApplicationError(AUTHENTICATION_DENIED if is_known else ApplicationError.NO_SUCH_PRINCIPAL, TEXT, **kwargs)


class Anonymous(Method):
    """Everybody is let in, in the role ``role``; with an ``authenticator``, everybody whom that lets in."""

    name = "anonymous"

    def __init__(self, settings: Mapping[str, Any], source: Source | None, tools: Tools) -> None:
        super().__init__(settings, source, tools)
        self.is_open = source is None
        self._principal = Principal.parse({"role": settings.get("role", "anonymous")}, None, "static")

    def admit(self, login: Login) -> Any:
        return self.admission(login, self._principal) if self.is_open else self._ask(login)

    async def _ask(self, login: Login) -> Admission:
        principal = await self.source.find(login, login.authid)
        if principal is None:
            raise denied()
        return self.admission(login, principal)


class Ticket(Method):
    """The client shows a ticket (WAMP "Ticket-based Authentication")."""

    name = "ticket"

    def check(self, principal: Principal) -> None:
        tickets, stored = principal.credentials.get("ticket"), principal.credentials.get("ticket_hash")
        if (tickets is None) == (stored is None):
            raise ValueError("expected either ticket or ticket_hash, got none or both")
        if stored is not None:
            parse_hash(stored)
        elif not all(isinstance(ticket, str) and ticket for ticket in listed(tickets)):
            raise ValueError("expected a text as ticket")

    async def admit(self, login: Login) -> Admission:
        shown = (await login.challenge(self.name, {})).signature
        principal = await self.source.find(login, login.authid, ticket=shown)
        if principal is not None and principal.provider == "dynamic" and not _has_ticket(principal):
            return self.admission(login, principal)  # the function has judged the ticket
        model = principal or self.template() or NOBODY
        stored = model.credentials.get("ticket_hash")
        if stored is not None:
            is_right = await self.tools.gate.run(lambda: is_hash_of(stored, shown))
        else:
            digest = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()
            tickets = listed(model.credentials.get("ticket") or "")
            # every one is looked at, so that the time does not tell which
            checks = [hmac.compare_digest(digest, hashlib.sha256(t.encode()).digest()) for t in tickets]
            is_right = any(checks)
        if principal is None or not is_right:
            raise denied(principal is not None)
        return self.admission(login, principal)


def _has_ticket(principal: Principal) -> bool:
    return "ticket" in principal.credentials or "ticket_hash" in principal.credentials


def listed(value: Any) -> list[Any]:
    """``value`` as a list, if it is not one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def hash_ticket(ticket: str, iterations: int = HASH_ITERATIONS) -> str:
    """What to store instead of ``ticket``, as ``ticket_hash``."""
    salt = secrets.token_bytes(16)
    digest = hashlib.pbkdf2_hmac("sha256", ticket.encode(), salt, iterations)
    return f"pbkdf2-sha256${iterations}${scram.b64(salt)}${scram.b64(digest)}"


def parse_hash(stored: Any) -> tuple[int, bytes, bytes] | None:
    """The parts of what `hash_ticket` gave; None for an Argon2 hash, ValueError for anything else."""
    if isinstance(stored, str) and stored.startswith("$argon2"):
        optional("argon2", "argon2-cffi", "tickets hashed with Argon2")
        return None
    parts = stored.split("$") if isinstance(stored, str) else []
    if len(parts) != 4 or parts[0] != "pbkdf2-sha256" or not parts[1].isdigit():
        raise ValueError("expected ticket_hash as hash_ticket gives it, or an Argon2 hash")
    iterations = int(parts[1])
    if not 1 <= iterations <= scram.MAX_ITERATIONS:
        raise ValueError(f"expected from 1 to {scram.MAX_ITERATIONS} iterations, got {iterations}")
    return iterations, scram.unb64(parts[2], "salt"), scram.unb64(parts[3], "hash")


def is_hash_of(stored: str, ticket: str) -> bool:
    """Whether ``stored`` was made of ``ticket``; this takes as long as the hash wants."""
    parts = parse_hash(stored)
    if parts is None:
        argon2 = optional("argon2", "argon2-cffi", "tickets hashed with Argon2")
        try:
            return bool(argon2.PasswordHasher().verify(stored, ticket))
        except argon2.exceptions.Argon2Error:
            return False
        except argon2.exceptions.InvalidHash:
            return False
    iterations, salt, digest = parts
    made = hashlib.pbkdf2_hmac("sha256", ticket.encode("utf-8", "surrogatepass"), salt, iterations)
    return hmac.compare_digest(made, digest)


class WampCra(Method):
    """The client signs a challenge with a shared secret (WAMP "Challenge Response Authentication")."""

    name = "wampcra"

    def check(self, principal: Principal) -> None:
        if not isinstance(principal.credentials.get("secret"), str):
            raise ValueError("expected a text as secret")

    async def admit(self, login: Login) -> Admission:
        authid = login.authid
        principal = await self.source.find(login, authid)
        model = principal or self.template() or NOBODY
        secret, salt = model.credentials.get("secret"), model.credentials.get("salt")
        if principal is None:
            secret = scram.b64(secrets.token_bytes(32))
            salt = scram.b64(self.tools.mock(authid or "", 12)) if salt else None
        elif not isinstance(secret, str):
            raise ValueError(f"expected a text as secret of {authid!r} from the authenticator")
        text = json.dumps(
            {
                "authid": principal.authid if principal else authid,
                "authrole": principal.roles[0] if principal else (model.roles[0] or "user"),
                "authmethod": self.name,
                "authprovider": model.provider,
                "nonce": scram.b64(secrets.token_bytes(32)),
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "session": login.session_id,
            }
        )
        extra: dict[str, Any] = {"challenge": text}
        if salt:
            extra |= {
                "salt": salt,
                "iterations": model.credentials.get("iterations", 1000),
                "keylen": model.credentials.get("keylen", 32),
            }
        answer = (await login.challenge(self.name, extra)).signature
        is_right = hmac.compare_digest(answer.encode("utf-8", "replace"), compute_wcs(secret, text))
        if principal is None or not is_right:
            raise denied(principal is not None)
        return self.admission(login, principal)


class Scram(Method):
    """The client proves that it knows a password, the router that it knows its stored form."""

    name = "scram"

    def __init__(self, settings: Mapping[str, Any], source: Source | None, tools: Tools) -> None:
        self._dialect = scram.DIALECTS[self.name]
        self._derived: dict[tuple[str, str], scram.Credential] = {}
        super().__init__(settings, source, tools)

    def _cost(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """How a plain password is derived."""
        both = {**self.settings, **data}
        kdf = self._dialect.kdf(both.get("kdf", scram.PBKDF2))
        iterations = both.get("iterations", HASH_ITERATIONS if kdf == scram.PBKDF2 else 3)
        memory = both.get("memory", 65536) if kdf == scram.ARGON2 else None
        scram.check_cost(kdf, iterations, memory)
        return {"kdf": kdf, "iterations": iterations, "memory": memory}

    def check(self, principal: Principal) -> None:
        data = principal.credentials
        if isinstance(data.get("password"), str):
            self._cost(data)
        else:
            scram.Credential.parse(data)

    async def _credential(self, authid: str, principal: Principal) -> scram.Credential:
        data = principal.credentials
        password = data.get("password")
        if not isinstance(password, str):
            return scram.Credential.parse(data)
        known = self._derived.get((authid, password))
        if known is None:
            salt = self.tools.mock(authid, 16)
            cost = self._cost(data)
            known = await self.tools.gate.run(
                lambda: scram.Credential.derive(password, dialect=self._dialect, salt=salt, **cost)
            )
            if principal.provider != "dynamic":
                self._derived[authid, password] = known
        return known

    def _mock(self, authid: str) -> scram.Credential:
        model = self.template()
        if model is None or "password" in model.credentials:
            cost, length = self._cost(model.credentials if model else {}), 16
        else:
            stored = scram.Credential.parse(model.credentials)
            cost = {"kdf": stored.kdf, "iterations": stored.iterations, "memory": stored.memory}
            length = len(stored.salt)
        keys = (secrets.token_bytes(32), secrets.token_bytes(32))
        return scram.Credential(cost["kdf"], self.tools.mock(authid, length), cost["iterations"], cost["memory"], *keys)

    async def admit(self, login: Login) -> Admission:
        authid, client_nonce = login.authid, login.authextra.get("nonce")
        if authid is None or not isinstance(client_nonce, str) or not 8 <= len(client_nonce) <= 256:
            raise ApplicationError(AUTHENTICATION_DENIED, "expected authid and authextra.nonce in HELLO, got none")
        dialect = self._dialect
        bound = (login.authextra.get("channel_binding") or None) if dialect.is_spec else None
        data = login.channel_ids.get(bound) if isinstance(bound, str) else b""
        if data is None or (bound is not None and not isinstance(bound, str)):
            raise denied(scram="unsupported-channel-binding-type")
        principal = await self.source.find(login, authid)
        credential = self._mock(authid) if principal is None else await self._credential(authid, principal)
        try:
            nonce, name = dialect.combine(client_nonce), dialect.authid(authid)
        except ValueError as exc:
            raise denied(scram="other-error") from exc
        salt = scram.b64(credential.salt)
        extra = {
            "nonce": nonce, "salt": salt, "kdf": dialect.wire_kdf(credential.kdf), "iterations": credential.iterations,
            "memory": credential.memory, "channel_binding": bound,
        }  # fmt: skip
        answer = await login.challenge(self.name, extra)
        binding = dialect.binding(bound, data)
        message = scram.auth_message(name, client_nonce, nonce, salt, credential.iterations, binding)
        if dialect.is_spec:
            self._check_extra(answer.extra, nonce, bound, data)
        try:
            proof = scram.unb64(answer.signature, "proof")
        except ValueError:
            proof = b""
        if not scram.is_proof(credential.stored_key, message, proof) or principal is None:
            raise denied(principal is not None, scram="invalid-proof")
        verifier = scram.b64(scram.server_signature(credential.server_key, message))
        return self.admission(login, principal, extra={dialect.verifier: verifier})

    @staticmethod
    def _check_extra(extra: Mapping[str, Any], nonce: str, bound: str | None, data: bytes) -> None:
        if extra.get("nonce") != nonce:
            raise denied(scram="other-error")
        shown = extra.get("cbind_data") or ""
        if (extra.get("channel_binding") or None) != bound or shown != (scram.b64(data) if bound else ""):
            raise denied(scram="channel-bindings-dont-match")


class WampScram(Scram):
    """SCRAM as the specification has it."""

    name = "wamp-scram"


class Cryptosign(Method):
    """The client signs a challenge with its private key (WAMP "Cryptosign-based Authentication").

    ``key``: the router's own private key, for clients that want the router to prove itself. ``trustroots``: whose
    certificates count (see `auth_chains.Trustroots`), for clients that show some.
    """

    name = "cryptosign"

    def __init__(self, settings: Mapping[str, Any], source: Source | None, tools: Tools) -> None:
        optional("cryptography", "cryptography", "cryptosign")
        self._key: CryptosignKey | None = private_key(settings["key"]) if settings.get("key") is not None else None
        self._by_key: dict[bytes, Principal] = {}
        self._trustroots = Trustroots(settings["trustroots"]) if settings.get("trustroots") is not None else None
        super().__init__(settings, source, tools)

    def check(self, principal: Principal) -> None:
        for key in authorized(principal):
            self._by_key.setdefault(key, principal)

    async def _find(self, login: Login, shown: bytes | None) -> tuple[Principal | None, bytes | None]:
        """The principal and its key; the key alone when nobody has it."""
        if self._trustroots is not None and login.authextra.get("trustroot") is not None:
            return await self._trustroots.find(login, shown, self.tools.gate), shown
        by_key = self._by_key.get(shown) if shown is not None else None
        if login.authid is None and by_key is not None:
            return by_key, shown
        principal = await self.source.find(login, login.authid)
        if principal is None:
            return None, shown
        if principal.provider == "dynamic" and not principal.credentials.keys() & {"authorized_keys", "pubkey"}:
            return principal, shown  # the function has accepted the key
        keys = authorized(principal)
        if shown is None and len(keys) == 1:
            return principal, keys[0]
        return (principal, shown) if shown in keys else (None, shown)

    async def admit(self, login: Login) -> Admission:
        asked = login.authextra
        shown = None
        if asked.get("pubkey") is not None:
            try:
                shown = parse_hex(asked["pubkey"], "authextra.pubkey")
            except ValueError as exc:
                raise ApplicationError(AUTHENTICATION_DENIED, str(exc)) from exc
        principal, key = await self._find(login, shown)
        bound = asked.get("channel_binding") or None
        channel = login.channel_ids.get(bound) if isinstance(bound, str) else None
        if channel is None:
            bound = None  # the client decides whether it goes on without
        challenge = secrets.token_bytes(32)
        extra: dict[str, Any] = {"challenge": challenge.hex(), "channel_binding": bound}
        if self._key is not None and asked.get("challenge") is not None:
            extra |= self._prove(asked["challenge"], channel)
        answer = (await login.challenge(self.name, extra)).signature
        # of somebody who does not exist, a signature is looked at just the same
        is_right = is_signed(key or bytes(32), answer, bind(challenge, channel))
        if principal is None or key is None or not is_right:
            raise denied(principal is not None)
        return self.admission(login, principal, authid=key.hex())

    def _prove(self, challenge: Any, channel: bytes | None) -> dict[str, str]:
        """The router's own signature of the client's challenge."""
        assert self._key is not None
        try:
            message = bind(parse_hex(challenge, "authextra.challenge"), channel)
        except ValueError as exc:
            raise ApplicationError(AUTHENTICATION_DENIED, str(exc)) from exc
        return {"pubkey": self._key.pubkey, "signature": bytes(self._key.sign(message)).hex() + message.hex()}


def authorized(principal: Principal) -> list[bytes]:
    """The public keys of ``principal``; ValueError when there are none."""
    keys = principal.credentials.get("authorized_keys", principal.credentials.get("pubkey"))
    if not keys:
        raise ValueError("expected authorized_keys in hex, got none")
    return [parse_hex(key, "authorized_keys") for key in listed(keys)]


METHODS: dict[str, type[Method]] = {cls.name: cls for cls in (Anonymous, Ticket, WampCra, Scram, WampScram, Cryptosign)}
