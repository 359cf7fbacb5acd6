"""Authorization: what the sessions of a role may do.

``Router(permissions={realm: {role: rules}})``; the realm ``*`` stands for all that are not named. A role that is not
named may not join. ``rules`` is one of

- ``True``: everything is allowed;
- a list of rules, each a dict with ``uri``, ``match`` (exact, prefix, wildcard; a trailing ``*`` in ``uri`` means
  prefix), ``allow`` (a list of actions, a dict of action to bool, or True) and ``disclose`` (``caller`` and
  ``publisher``: True makes the router disclose, False forbids it). The longest rule that matches decides, an exact
  one first; what no rule matches is denied;
- a dict with ``permissions`` (such a list) and ``authorizer``, which decides what no rule matches: a function
  ``(session, uri, action, options)``, plain or ``async``, or the URI of a procedure, on ``realm`` if given. It returns
  a bool or a dict ``{"allow": bool, "disclose": bool, "cache": bool}``. With ``cache`` the answer counts for the whole
  role for ``ttl`` seconds (60), or until `Permissions.invalidate`. ``timeout`` (5): seconds it may take.

Permission is asked before anything is looked up, so that a refusal does not tell what exists.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Raw

from autobahn.router.login import Admission, discard
from autobahn.router.peer import Peer
from autobahn.router.rules import ACTIONS, Rule, Rules
from autobahn.router.service import Service
from autobahn.router.session import RouterSession
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.message import Goodbye
from autobahn.wamp.runtime import Runtime
from autobahn.wamp.uri import is_valid

log = logging.getLogger("autobahn.router")

DISALLOWED = "wamp.error.option_disallowed.disclose_me"
CACHE_SIZE = 10_000  # decisions per role; then the cache starts afresh
MAX_WAITING = 16 * 2**20  # octets of a session's messages that wait for an authorizer
OVERHEAD = 200  # octets a waiting message counts for, beside its payload
FOREVER = float("inf")
URI_FIELD = {16: "topic", 32: "topic", 48: "procedure", 64: "procedure"}


class PermissionRouter(Protocol):
    """What permissions ask of the router."""

    runtime: Runtime | None
    service: Service


class Permissions:
    """The permissions of all realms and roles."""

    def __init__(
        self,
        config: Mapping[str, Mapping[str, Any]],
        router: PermissionRouter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._router = router
        self._clock = clock
        self._roles = policies(config)
        self._guards: dict[tuple[str, str], Guard] = {}
        self._holds: dict[RouterSession, Hold] = {}

    def replace(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        """``config`` counts from now on; nothing changes when it raises ValueError."""
        self._roles = policies(config)
        self._guards.clear()

    def held_back(self, session: RouterSession, table: dict[int, Any]) -> bool:
        """Whether messages of ``session`` wait for an authorizer; if so, ``table`` serves them afterwards."""
        hold = self._holds.get(session)
        if hold is not None:
            hold.after = table
        return hold is not None

    def forbids(self, realm: str, peer: Peer, code: int, match: str, uri: str) -> bool:
        """Whether the rules alone say no, without an authorizer."""
        policy = self._policy(realm, peer.authrole)
        is_asked = policy is not None and policy.authorizer is not None
        return not is_asked and not self.allows(realm, peer, code, match, uri)

    def _policy(self, realm: str, role: str) -> RolePolicy | None:
        return self._roles.get(realm, self._roles.get("*", {})).get(role)

    def table_for(self, realm: Any, admission: Admission | RouterSession, is_local: bool = False) -> dict[int, Any]:
        """What serves the messages of a session; ``no_such_role`` when nothing is said of its role.

        A session in the router's own process may do everything, unless something is said of its role.
        """
        role = admission.authrole
        policy = self._policy(realm.name, role)
        if policy is None:
            if is_local:
                return realm.table  # type: ignore[no-any-return]
            raise ApplicationError(ApplicationError.NO_SUCH_ROLE, f"the realm {realm.name!r} has no role {role!r:.100}")
        if policy.allows_all:
            return realm.table  # type: ignore[no-any-return]
        guard = self._guards.get((realm.name, role))
        if guard is None or guard.realm_table is not realm.table:
            guard = self._guards[realm.name, role] = Guard(
                realm.name, policy, realm.table, self._router, self._clock, self._holds
            )
        return guard.table

    def allows(self, realm: str, peer: Peer, code: int, match: str, uri: str) -> bool:
        """Whether ``peer``, a session of ``realm``, may do that by its rules; who would have to be asked says no."""
        policy = self._policy(realm, peer.authrole)
        if policy is None or policy.allows_all:  # of no role that is named: a session of this process
            return True
        rule = policy.rules.decide(code, match, uri)
        return rule is not None and ACTIONS[code] in rule.allow

    def invalidate(self, realm: str | None = None, role: str | None = None, uri: str | None = None) -> None:
        """Authorizers are asked again; None: of every realm, role or URI."""
        for (realm_name, role_name), guard in self._guards.items():
            if realm in {None, realm_name} and role in {None, role_name}:
                guard.forget(uri)


def policies(config: Mapping[str, Any]) -> dict[str, dict[str, RolePolicy]]:
    """What the configuration says, by realm and role; ValueError names the role."""
    made: dict[str, dict[str, RolePolicy]] = {}
    for realm, roles in config.items():
        if not isinstance(roles, Mapping):
            raise ValueError(f"expected roles for the realm {realm!r}, got {type(roles).__name__}")
        made[realm] = {}
        for role, rules in roles.items():
            try:
                made[realm][role] = RolePolicy(rules)
            except ValueError as exc:
                raise ValueError(f"role {role!r} of the realm {realm!r}: {exc}") from exc
    return made


class RolePolicy:
    """What the configuration says of one role."""

    def __init__(self, config: Any) -> None:
        self.allows_all = config is True
        self.authorizer: Any = None
        self.home: str | None = None
        self.ttl, self.timeout = 60.0, 5.0
        rules = config
        if isinstance(config, Mapping):
            unknown = config.keys() - {"permissions", "authorizer", "realm", "ttl", "timeout"}
            if unknown:
                raise ValueError(f"expected permissions, authorizer, realm, ttl, timeout, got {min(unknown)!r}")
            rules = config.get("permissions", [])
            self.authorizer, self.home = config.get("authorizer"), config.get("realm")
            self.ttl, self.timeout = float(config.get("ttl", 60)), float(config.get("timeout", 5))
            is_uri = isinstance(self.authorizer, str) and is_valid(self.authorizer)
            if self.authorizer is not None and not callable(self.authorizer) and not is_uri:
                raise ValueError(f"expected a function or the URI of a procedure, got {self.authorizer!r:.100}")
        if self.allows_all:
            rules = []
        if not isinstance(rules, list | tuple):
            raise ValueError(f"expected True, a list of rules or a dict, got {type(config).__name__}")
        self.rules = Rules(rules)


class Verdict:
    """A decision; ``until``: how long it counts."""

    __slots__ = ("disclose", "error", "until")

    def __init__(self, error: tuple[str, str] | None, disclose: bool | None = None, until: float = FOREVER) -> None:
        self.error = error  # URI and text, or None: allowed
        self.disclose = disclose
        self.until = until


class Guard:
    """Asks for permission before the realm serves a message; one for each realm and role."""

    def __init__(
        self,
        realm: str,
        policy: RolePolicy,
        realm_table: dict[int, Any],
        router: PermissionRouter,
        clock: Callable[[], float],
        holds: dict[RouterSession, Hold],
    ) -> None:
        self.realm_table = realm_table
        self._holds = holds
        self._realm = realm
        self._policy = policy
        self._router = router
        self._clock = clock
        self._caches: dict[int, dict[Any, Verdict]] = {code: {} for code in ACTIONS}
        self.table: dict[int, Any] = {**realm_table, **{code: self._guarded(code) for code in ACTIONS}}
        short = realm_table.get(0)
        if short is not None and short.call == realm_table[48]:
            self.table[0] = short._replace(call=self.table[48], verdicts=self._caches[48])

    def forget(self, uri: str | None) -> None:
        """Decisions about ``uri`` are made again."""
        for cache in self._caches.values():
            for key in [k for k in cache if uri is None or uri == k or (isinstance(k, tuple) and k[1] == uri)]:
                del cache[key]

    def _guarded(self, code: int) -> Callable[[RouterSession, Any], None]:
        """What serves messages with ``code``."""
        serve, cache, field = self.realm_table[code], self._caches[code], URI_FIELD[code]
        has_match = code in {32, 64}

        def guarded(session: RouterSession, msg: Any) -> None:
            uri = getattr(msg, field)
            key = (msg.options.get("match") or "exact", uri) if has_match else uri
            verdict = cache.get(key)
            if verdict is None or (verdict.until is not FOREVER and verdict.until <= self._clock()):
                verdict = self._decide(session, msg, key, uri)
                if verdict is None:
                    return  # an authorizer thinks, and the message waits
            if verdict.error is not None or verdict.disclose is not None:
                apply(verdict, msg)
            serve(session, msg)

        return guarded

    def _decide(self, session: RouterSession, msg: Any, key: Any, uri: str) -> Verdict | None:
        """The decision; None when it takes a while."""
        match = key[0] if isinstance(key, tuple) else "exact"
        rule = self._policy.rules.decide(msg.code, match, uri)
        if rule is None and self._policy.authorizer is not None:
            return self._ask(session, msg, key, uri)
        verdict = verdict_of(rule, msg.code, uri)
        self._store(msg.code, key, verdict)
        return verdict

    def _store(self, code: int, key: Any, verdict: Verdict) -> None:
        cache = self._caches[code]
        if len(cache) >= CACHE_SIZE:
            cache.clear()
        cache[key] = verdict

    # ---- dynamic authorizers -----------------------------------------------------------------------------

    def _ask(self, session: RouterSession, msg: Any, key: Any, uri: str) -> Verdict | None:
        action = ACTIONS[msg.code]
        who = {
            "session": session.id,
            "realm": self._realm,
            "authid": session.authid,
            "authrole": session.authrole,
            "authmethod": session.authmethod,
            "authprovider": session.authprovider,
            "authextra": session.authextra,
        }
        target = self._policy.authorizer
        try:
            if callable(target):
                outcome = target(who, uri, action, dict(msg.options))
            else:
                outcome = self._router.service.call(
                    self._policy.home or self._realm, target, who, uri, action, dict(msg.options)
                )
        except Exception as exc:
            return self._failed(exc, uri, action)
        if not inspect.isawaitable(outcome):
            return self._judged(outcome, msg.code, key, uri)
        if self._router.runtime is None:
            discard(outcome)
            raise RuntimeError("expected a router with a runtime for an authorizer that awaits, got one without")
        hold = Hold(session, self.table, self._router.runtime, self._holds)
        serve = self.realm_table[msg.code]

        def serve_late(verdict: Verdict) -> None:
            def late(msg: Any) -> None:
                apply(verdict, msg)
                serve(session, msg)

            hold.release(msg, late)

        def overdue() -> None:
            text = f"expected an answer within {self._policy.timeout:g} seconds, got none"
            serve_late(self._failed(TimeoutError(text), uri, action))

        hold.wait(self._awaited(outcome, serve_late, msg, key, uri), self._policy.timeout, overdue)
        return None

    async def _awaited(self, outcome: Any, serve_late: Callable[[Verdict], None], msg: Any, key: Any, uri: str) -> None:
        try:
            verdict = self._judged(await outcome, msg.code, key, uri)
        except Exception as exc:
            verdict = self._failed(exc, uri, ACTIONS[msg.code])
        serve_late(verdict)

    def _judged(self, outcome: Any, code: int, key: Any, uri: str) -> Verdict:
        """The verdict for what an authorizer returned."""
        action = ACTIONS[code]
        disclose, is_kept = None, False
        if isinstance(outcome, Mapping):
            disclose, is_kept = outcome.get("disclose"), bool(outcome.get("cache"))
            outcome = outcome.get("allow", False)
        if not isinstance(outcome, bool) or not isinstance(disclose, bool | None):
            text = f"expected a bool or a dict with allow from an authorizer, got {type(outcome).__name__}"
            return self._failed(TypeError(text), uri, action)
        verdict = Verdict(None if outcome else refusal(action, uri), disclose)
        if is_kept:
            verdict.until = self._clock() + self._policy.ttl
            self._store(code, key, verdict)
        return verdict

    def _failed(self, exc: BaseException, uri: str, action: str) -> Verdict:
        """The authorizer has not answered the question."""
        if isinstance(exc, ApplicationError) and exc.error == ApplicationError.NOT_AUTHORIZED:
            return Verdict(refusal(action, uri))
        if self._router.runtime is not None:
            self._router.runtime.report("While asking an authorizer", exc, realm=self._realm, uri=uri, action=action)
        else:
            log.error("While asking an authorizer", exc_info=exc)
        return Verdict((ApplicationError.AUTHORIZATION_FAILED, f"the authorizer for {action} {uri!r:.300} has failed"))


class Hold:
    """Keeps the messages of one session in order while an authorizer thinks about one of them."""

    def __init__(
        self, session: RouterSession, table: dict[int, Any], runtime: Runtime, holds: dict[RouterSession, Hold]
    ) -> None:
        self.session = session
        self.after = table  # serves the session when the wait is over
        self._holds = holds
        self._runtime = runtime
        self._queue: deque[Any] = deque()
        self._size = 0
        self._task: Any = None
        self._timer: Any = None
        self._is_over = False
        self._table = dict.fromkeys((*table, Goodbye.code), self._put)

    def wait(self, judgement: Any, timeout: float, overdue: Callable[[], None]) -> None:
        """The session's messages wait until ``judgement``, a coroutine, or ``overdue`` calls `release`."""
        self.session.swap_table(None, self._table)
        self._holds[self.session] = self
        self._task = self._runtime.spawn(judgement, "autobahn router authorization")
        if not self._is_over:
            self._timer = self._runtime.call_later(timeout, lambda: self._give_up(overdue))

    def _give_up(self, overdue: Callable[[], None]) -> None:
        self._task.cancel()
        overdue()

    def _put(self, session: RouterSession, msg: Any) -> None:
        self._queue.append(msg)
        self._size += OVERHEAD + _length(msg)
        if self._size > MAX_WAITING:
            self._queue.clear()
            session.close(ApplicationError.AUTHORIZATION_FAILED, "too many messages wait for an authorizer")

    def release(self, msg: Any, serve: Callable[[Any], None]) -> None:
        """``serve(msg)``, then all that has waited, in order, until the next one has to wait."""
        if self._is_over:
            return
        self._is_over = True
        self._holds.pop(self.session, None)
        if self._timer is not None:
            self._timer.cancel()
        session = self.session
        if not session.swap_table(self._table, self.after):
            return  # the session has ended
        session.serve_late(serve, msg)
        while self._queue:
            session.serve_late(session.onMessage, self._queue.popleft())


def _length(msg: Any) -> int:
    """The octets of an undecoded payload; what is decoded already does not count."""
    payload = (getattr(msg, "args", None), getattr(msg, "kwargs", None))
    return sum(len(memoryview(part)) for part in payload if isinstance(part, Raw))


def refusal(action: str, uri: str) -> tuple[str, str]:
    """URI and text for what is not allowed."""
    return ApplicationError.NOT_AUTHORIZED, f"this session may not {action} {uri!r:.300}"


def verdict_of(rule: Rule | None, code: int, uri: str) -> Verdict:
    """The verdict of a static rule; what no rule matches is denied."""
    action = ACTIONS[code]
    if rule is None or action not in rule.allow:
        return Verdict(refusal(action, uri))
    return Verdict(None, rule.disclose.get(action))


def apply(verdict: Verdict, msg: Any) -> None:
    """``msg`` is as the verdict wants it; ``ApplicationError`` when it is refused."""
    if verdict.error is not None:
        raise ApplicationError(*verdict.error)
    if verdict.disclose is True:
        msg.options["disclose_me"] = True
    elif verdict.disclose is False and msg.options.get("disclose_me"):
        raise ApplicationError(DISALLOWED, "the permissions of this session forbid to disclose it")
