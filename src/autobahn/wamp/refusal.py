"""Which refusals are final: what a client should not try again with the same credentials."""

from __future__ import annotations

from autobahn.wamp.exception import ApplicationError

REFUSALS = frozenset({
    "wamp.error.authentication_denied",
    "wamp.error.authentication_required",
    "wamp.error.no_matching_auth_method",
    "wamp.error.no_auth_method",  # crossbar's word for it
    "wamp.error.not_auth_method",  # bondy's
    "wamp.error.no_such_principal",
    "wamp.error.no_such_role",
    "wamp.error.not_authorized",  # crossbar: wrong ticket or secret
})  # fmt: skip
"""Not in it: ``authentication_failed`` (the router's authenticator crashed, was too slow or could not be reached; it
stands for wrong credentials with nexus, too, but that cannot be told apart), ``authorization_failed``,
``no_such_realm`` (a realm may be on its way) and ``cannot_authenticate`` (our own end could not get at a secret)."""


def is_refusal(exc: BaseException | None) -> bool:
    """Whether the router has looked at our credentials and refused them, so that trying again is of no use.

    ``exc`` is what an attempt ended with before a session was joined: ``ApplicationError`` with the reason of ABORT.
    A router that says when to come again (``retry_after``) has not refused us for good.
    """
    return isinstance(exc, ApplicationError) and exc.error in REFUSALS and exc.retry_after is None
