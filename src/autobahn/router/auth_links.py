"""Methods that look at the client's link: its TLS certificate, or a cookie of an earlier authentication."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from autobahn.router.auth_methods import Method, Tools, denied, listed
from autobahn.router.auth_principals import Principal, Source
from autobahn.router.login import Admission, Login
from autobahn.wamp.scram import DIALECTS

_PROOFS = {dialect.verifier for dialect in DIALECTS.values()}  # of the router, good for one login
_FINGERPRINTS = {"certificate_sha256": ("sha256", 32), "certificate_sha1": ("sha1", 20)}


class Tls(Method):
    """The client's TLS certificate says who it is (the server's SSLContext must ask for certificates and check them).

    Principals have ``certificate_sha256`` or ``certificate_sha1`` (fingerprints in hex, with or without colons, one or
    a list) or ``common_name`` (of the subject; for CAs of your own). The method is passed over when the link has no
    client certificate.
    """

    name = "tls"

    def applies(self, login: Login) -> bool:
        return bool(getattr(login.transport, "peer_cert", None))

    def check(self, principal: Principal) -> None:
        names = [name for name in (*_FINGERPRINTS, "common_name") if principal.credentials.get(name)]
        if not names:
            raise ValueError(f"expected {', '.join(_FINGERPRINTS)} or common_name, got none")
        for name in names:
            for value in listed(principal.credentials[name]):
                if not isinstance(value, str):
                    raise ValueError(f"expected {name} as a text, got {type(value).__name__}")
                if name in _FINGERPRINTS and len(_hex(value)) != 2 * _FINGERPRINTS[name][1]:
                    raise ValueError(f"expected {2 * _FINGERPRINTS[name][1]} hex digits as {name}, got {value!r:.100}")

    async def admit(self, login: Login) -> Admission:
        cert: Mapping[str, Any] = login.transport.peer_cert
        if login.authid is not None or not self.source.known():
            principal = await self.source.find(login, login.authid, peer_cert=cert)
        else:
            principal = next((p for p in self.source.known().values() if _is_of(cert, p)), None)
        if principal is None:
            raise denied(is_known=False)
        if not (principal.provider == "dynamic" and not _names_certificate(principal)) and not _is_of(cert, principal):
            raise denied()
        return self.admission(login, principal)


def _names_certificate(principal: Principal) -> bool:
    return any(principal.credentials.get(name) for name in (*_FINGERPRINTS, "common_name"))


def _is_of(cert: Mapping[str, Any], principal: Principal) -> bool:
    """Whether ``cert`` is one of ``principal``; of what is given, all must fit."""
    for name, (digest, _) in _FINGERPRINTS.items():
        wanted = principal.credentials.get(name)
        if wanted and _hex(cert.get(digest) or "") not in {_hex(value) for value in listed(wanted)}:
            return False
    wanted = principal.credentials.get("common_name")
    return not wanted or (cert.get("subject") or {}).get("commonName") in listed(wanted)


def _hex(text: str) -> str:
    return re.sub("[: ]", "", text).lower()


class CookieStore(Protocol):
    """Where admissions are kept by the digest of a cookie; give an own one to keep them over restarts."""

    def get(self, key: str) -> Mapping[str, Any] | None:
        """What was put under ``key``."""

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """``value`` (texts, numbers, dicts) is kept under ``key``."""

    def delete(self, key: str) -> None:
        """Nothing is kept under ``key``."""


class MemoryStore:
    """The latest ``size`` admissions, in memory."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._kept: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def get(self, key: str) -> Mapping[str, Any] | None:
        return self._kept.get(key)

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        self._kept.pop(key, None)
        self._kept[key] = value
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def delete(self, key: str) -> None:
        self._kept.pop(key, None)


class Cookies:
    """Remembers who a client was, by a cookie set at its WebSocket handshake.

    ``name``: of the cookie (crossbar's by default). ``max_age``: seconds for which the client is known again. Cookies
    themselves are not stored, only their digests.
    """

    def __init__(
        self,
        name: str = "cbtid",
        max_age: int = 30 * 86400,
        store: CookieStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.max_age = max_age
        self._store = store if store is not None else MemoryStore()
        self._clock = clock

    def issue(self) -> str:
        """A new cookie that stands for nobody yet."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def is_one(value: str | None) -> bool:
        """Whether ``value`` looks like one of `issue`."""
        return value is not None and re.fullmatch(r"[A-Za-z0-9_-]{43}", value) is not None

    def find(self, value: str | None, realm: str) -> Admission | None:
        """As whom the client with this cookie joined ``realm``."""
        if value is None or not self.is_one(value):
            return None
        key = _key(value, realm)
        kept = self._store.get(key)
        if kept is None:
            return None
        if kept["until"] <= self._clock():
            self._store.delete(key)
            return None
        return Admission(
            kept["authid"], kept["authrole"], "cookie", kept["authprovider"], dict(kept["authextra"]), kept["realm"]
        )

    def remember(self, value: str | None, realm: str, admission: Admission) -> None:
        """Whoever shows this cookie for ``realm`` is let in as in ``admission``."""
        if value is not None and self.is_one(value):
            kept = {
                "authid": admission.authid, "authrole": admission.authrole, "authprovider": admission.authprovider,
                "authextra": {k: v for k, v in admission.authextra.items() if k not in _PROOFS},
                "realm": admission.realm, "until": self._clock() + self.max_age,
            }  # fmt: skip
            self._store.put(_key(value, realm), kept)

    def forget(self, value: str | None, realm: str) -> None:
        """The cookie stands for nobody on ``realm``."""
        if value is not None:
            self._store.delete(_key(value, realm))


def _key(value: str, realm: str) -> str:
    return hashlib.sha256(f"{realm}\0{value}".encode()).hexdigest()


class Cookie(Method):
    """The client showed, on the same realm, who it is before, and has the cookie of that connection.

    It must be offered beside another method; it is passed over when the cookie is not known. GOODBYE with the reason
    ``wamp.close.logout`` makes the router forget it.
    """

    name = "cookie"
    is_open = True

    def __init__(self, settings: Mapping[str, Any], source: Source | None, tools: Tools) -> None:
        super().__init__(settings, source, tools)
        if settings:
            raise ValueError('expected no settings for the method "cookie" (see cookies of auth_options), got some')

    def applies(self, login: Login) -> bool:
        return self._find(login) is not None

    def admit(self, login: Login) -> Admission:
        admission = self._find(login)
        if admission is None:
            raise denied()
        return admission

    def _find(self, login: Login) -> Admission | None:
        cookies: Cookies = self.tools.cookies
        found = cookies.find(getattr(login.transport, "http_cbtid", None), login.realm)
        if found is not None and login.authid in (None, found.authid) and login.authrole in (None, found.authrole):
            return found
        return None  # somebody else wants to join, from the same place
