"""Authentication: what answers a router's challenge, and the functions that compute and check answers.

Every secret (``ticket``, ``secret``, ``password``, ``privkey``) may be a value or a callable without arguments, plain
or ``async``, which is asked anew at every attempt.
"""

from __future__ import annotations

from typing import Any

from autobahn.wamp.auth.base import Authenticator
from autobahn.wamp.auth.helpers import (
    check_totp,
    compute_totp,
    compute_wcs,
    derive_key,
    derive_scram_credential,
    generate_totp_secret,
    generate_wcs,
    pbkdf2,
)
from autobahn.wamp.auth.keyed import AuthCryptoSign, AuthCryptoSignProxy
from autobahn.wamp.auth.methods import (
    AuthAnonymous,
    AuthAnonymousProxy,
    AuthCookie,
    AuthTicket,
    AuthTls,
    AuthWampCra,
)
from autobahn.wamp.auth.password import AuthScram, AuthWampScram

__all__ = (
    "AuthAnonymous",
    "AuthCryptoSign",
    "AuthScram",
    "AuthTicket",
    "AuthWampCra",
    "AuthWampScram",
    "check_totp",
    "compute_totp",
    "compute_wcs",
    "create_authenticator",
    "derive_key",
    "derive_scram_credential",
    "generate_totp_secret",
    "generate_wcs",
    "pbkdf2",
)

AUTHENTICATORS: dict[str, type[Authenticator]] = {
    cls.name: cls
    for cls in (
        AuthAnonymous, AuthAnonymousProxy, AuthTicket, AuthWampCra, AuthScram, AuthWampScram, AuthCryptoSign,
        AuthCryptoSignProxy, AuthTls, AuthCookie,
    )
}  # fmt: skip


def create_authenticator(name: str, **kwargs: Any) -> Authenticator:
    """The authenticator for the method ``name``; raises ``ValueError`` on what is unknown or missing.

    Methods: anonymous, anonymous-proxy, ticket, wampcra, scram (autobahn's and crossbar's dialect), wamp-scram (the
    specification's), cryptosign, cryptosign-proxy, tls, cookie.
    """
    cls = AUTHENTICATORS.get(name)
    if cls is None:
        raise ValueError(f'expected an authentication method out of {", ".join(AUTHENTICATORS)}, got "{name}"')
    return cls(**kwargs)
