"""The WAMP router on asyncio: listening, in-process sessions, changes under way, orderly shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from autobahn.asyncio.admission import Gate, Reception
from autobahn.asyncio.daemon import serve
from autobahn.asyncio.journal import Journal
from autobahn.asyncio.listener import Address, House, Listener, problems_of
from autobahn.asyncio.metrics import LoopLag, Metrics
from autobahn.asyncio.pages import Pages
from autobahn.asyncio.runtime import AsyncioRuntime
from autobahn.log import Log
from autobahn.router import RealmOptions
from autobahn.router import Router as RouterCore
from autobahn.router.ids import random_authid
from autobahn.router.local import connect_local
from autobahn.router.login import Admission
from autobahn.router.observer import RealmObserver
from autobahn.router.permissions import policies
from autobahn.router.realm import Change
from autobahn.router.settings import ListenerSettings, RouterSettings
from autobahn.router.settings_reader import read
from autobahn.wamp.exception import ApplicationError

__all__ = ("Router", "load_settings", "serve")

CLOSE_TIMEOUT = 1.0  # seconds for the links to close after the time for the answer to GOODBYE

log = Log("autobahn.router")


def load_settings(path: str | Path) -> RouterSettings:
    """The settings in the TOML file at ``path``. `autobahn.router.settings_reader.SettingsError` tells all problems."""
    document = read(path)
    seen: set[Any] = set()
    for number, listener in enumerate(document.settings.listeners or () if document.settings else ()):
        where = ("listeners", number)
        if listener is None or not document.is_sound(*where):
            continue
        for key, text in problems_of(listener):
            document.complain((*where, key), text)
        if document.is_sound(*where):
            address = Address(listener).key
            if address in seen:
                document.complain((*where, "url"), f"expected an address of its own, got {listener.url} again")
            if address[1] != 0:
                seen.add(address)
    return document.check()


class Router:
    """A WAMP router: ``async with Router() as router:`` listens at ``router.url`` until the block ends.

    ``url``: where to listen (port 0: any free port), several of them, or None for in-process sessions only. At a
    ``ws://`` URL RawSocket clients are served, too; an ``rs://`` URL is for them alone; ``wss://`` and ``rss://`` need
    the server's context in ``ssl``; ``ws://unix:/path`` and ``rs://unix:/path`` are Unix sockets. In place of a URL a
    `autobahn.router.settings.ListenerSettings` says more. ``realms``: their names; with ``auto_realms`` any realm a
    client asks for is made; ``realm_options`` (`autobahn.router.RealmOptions`): how realms behave.
    ``hello_timeout``: seconds a connection may stay without a session; ``goodbye_timeout``: seconds a client has
    to answer GOODBYE. Leaving the block says GOODBYE (``wamp.close.system_shutdown``) to all sessions, spread over
    ``drain`` seconds, and closes all connections. ``max_pending``, ``max_per_address``: see
    `autobahn.router.settings.AdmissionSettings`.

    ``auth``: who may join (`autobahn.router.auth`), within ``auth_timeout`` seconds; ``auth_options``: arguments of
    `Authentication`; ``permissions``: what the roles may do (`autobahn.router.permissions`). Without them everybody may
    do everything.

    `Router.from_settings` and `Router.from_file` make one of a configuration (docs/router.md).
    """

    def __init__(  # noqa: PLR0913 (keywords of the public API)
        self,
        url: str | ListenerSettings | Sequence[str | ListenerSettings] | None = "ws://127.0.0.1:0/ws",
        *,
        ssl: ssl_module.SSLContext | None = None,
        realms: Iterable[str] | Mapping[str, RealmOptions] = ("realm1",),
        auto_realms: bool = False,
        max_auto_realms: int = 1000,
        realm_options: RealmOptions | None = None,
        hello_timeout: float = 5.0,
        goodbye_timeout: float = 5.0,
        drain: float = 0.0,
        max_pending: int = 1000,
        max_per_address: int = 0,
        auth: Mapping[str, Any] | None = None,
        auth_options: Mapping[str, Any] | None = None,
        auth_timeout: float = 10.0,
        permissions: Mapping[str, Any] | None = None,
        agent: str | None = None,
    ) -> None:
        wanted = () if url is None else (url,) if isinstance(url, str | ListenerSettings) else tuple(url)
        self._wanted = [_open_to_all(each) if isinstance(each, str) else each for each in wanted]
        self._tls = ssl
        self._sockets: Mapping[str, Sequence[socket.socket]] = {}
        self._drain = drain
        self._goodbye_timeout = goodbye_timeout
        self._limits = (max_pending, max_per_address)
        self._core_options: dict[str, Any] = {
            "realms": realms if isinstance(realms, Mapping) else tuple(realms), "auto_realms": auto_realms,
            "max_auto_realms": max_auto_realms, "realm_options": realm_options, "hello_timeout": hello_timeout,
            "goodbye_timeout": goodbye_timeout, "auth": auth, "auth_options": auth_options,
            "auth_timeout": auth_timeout, "permissions": permissions, "agent": agent,
        }  # fmt: skip
        self._settings: RouterSettings | None = None
        self._core: RouterCore | None = None
        self._metrics: Metrics | None = None
        self._changed = asyncio.Event()
        self._is_listening = False
        self._hurried = False
        self.listeners: list[Listener] = []

    @classmethod
    def from_settings(
        cls, settings: RouterSettings, sockets: Mapping[str, Sequence[socket.socket]] | None = None
    ) -> Router:
        """The router that ``settings`` describe; ``sockets``: by name, those for listeners that name one."""
        general, admission = settings.router, settings.admission
        router = cls(
            settings.listeners,
            realms=settings.options(),
            auto_realms=settings.has_realms_on_demand,
            max_auto_realms=general.max_realms_on_demand,
            realm_options=settings.options_on_demand(),
            hello_timeout=general.hello_timeout,
            goodbye_timeout=general.goodbye_timeout,
            drain=general.drain,
            max_pending=admission.max_pending,
            max_per_address=admission.max_per_address,
            auth=settings.auth(),
            auth_options=settings.auth_options(),
            auth_timeout=general.auth_timeout,
            permissions=settings.permissions(),
            agent=general.agent,
        )
        router._settings = settings
        router._sockets = dict(sockets or {})
        return router

    @classmethod
    def from_file(cls, path: str | Path) -> Router:
        """The router that the TOML file at ``path`` describes. Raises `SettingsError`."""
        return cls.from_settings(load_settings(path))

    # ---- what it is ----------------------------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        """Where it listens, with the real ports."""
        return [listener.url for listener in self.listeners]

    @property
    def url(self) -> str | None:
        """The first of them; None before `start`, and when it does not listen."""
        return self.listeners[0].url if self.listeners else None

    @property
    def core(self) -> RouterCore:
        """The router without I/O; RuntimeError before `start`."""
        if self._core is None:
            raise RuntimeError("expected a started router, got one that is not running")
        return self._core

    @property
    def settings(self) -> RouterSettings | None:
        """The configuration in force, if it was made of one."""
        return self._settings

    def metrics(self) -> tuple[bytes, str]:
        """Its numbers in OpenMetrics, and the content type; ImportError names the package that is needed."""
        if self._metrics is None:
            self._metrics = Metrics(self)
        return self._metrics.text()

    def unreadiness(self) -> str:
        """Why clients may not join now; empty: they may."""
        if self._core is None or not self._is_listening:
            return "starting"
        return "shutting down" if self._core.closing is not None else ""

    # ---- sessions --------------------------------------------------------------------------------------------------

    def new_session(self) -> Any:
        """A session object for one more client link: the session factory of any WAMP transport."""
        return self.core.new_session()

    def attach(self, session: Any, *, authid: str | None = None, authrole: str | None = None) -> None:
        """Connect a client session in this process, without socket and serialization; it joins its realm.

        It is not asked for credentials: with ``authrole``, or when the router has ``auth``, it joins in that role
        (default: ``trusted``, which may do everything) as ``authid``.
        """
        loop = asyncio.get_running_loop()
        granted = None
        if authrole is not None or self.core.auth is not None:
            granted = Admission(authid or random_authid(), authrole or "trusted", "internal", "router")
        connect_local(self.core, session, loop.call_soon, granted)

    # ---- from start to end -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """The router listens; OSError when it cannot, ValueError for a URL that is none to listen at."""
        loop = asyncio.get_running_loop()
        self.gate = gate = Gate(*self._limits)
        self._core = core = RouterCore(**self._core_options, observers=self._observers, runtime=AsyncioRuntime(loop))
        core.on_link_gone = gate.on_left = self._something_left
        self._changed = asyncio.Event()  # of the loop that runs now
        self._hurried = False
        pages = Pages(self.unreadiness, self.metrics)
        self._house = House(core.new_session, gate, pages, self._cookies)
        try:
            for settings in self._wanted:
                tls = self._tls if settings.is_secure and settings.tls is None else None
                listener = Listener(settings, self._house, tls)
                self.listeners.append(listener)
                await listener.bind(self._sockets)
            for listener in self.listeners:
                await listener.listen()
        except BaseException:
            self._stop_listening()
            core.close_files()
            self._core = None
            raise
        self.lag = LoopLag(loop)
        self._is_listening = True

    def _observers(self, realm: str) -> list[RealmObserver]:
        return [Reception(self.gate), Journal(realm)]

    def _cookies(self) -> Any:
        return None if self._core is None or self._core.auth is None else self._core.auth.cookies

    def _stop_listening(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners = []

    def _something_left(self) -> None:
        self._changed.set()

    async def _until(self, is_over: Callable[[], bool]) -> None:
        """Returns when ``is_over``, which is asked whenever a link or connection is gone."""
        while not is_over():
            self._changed.clear()
            await self._changed.wait()

    def _clients(self) -> bool:
        """Whether there is a connection that is not one for pages alone."""
        return any(not visit.protocol.is_for_pages for visit in self.gate.visits)

    async def close(self) -> None:
        """Every session got GOODBYE and every connection is closed; idempotent.

        Order: no new connections, except to ask for pages; GOODBYE to all, spread over ``drain`` seconds, to those in
        this process last; wait ``goodbye_timeout`` for their answers; close what is left. `hurry` shortens it.
        """
        if self._core is None:
            return
        core, self.gate.closing = self._core, True
        for listener in [each for each in self.listeners if not each.address.scheme.startswith("http")]:
            listener.close()
        for visit in [visit for visit in self.gate.visits if visit.is_pending]:
            visit.protocol.turn_away("the router is shutting down")
        spread = 0.0 if self._hurried else self._drain
        core.shutdown(spread=spread)
        try:
            async with asyncio.timeout(spread + self._goodbye_timeout + CLOSE_TIMEOUT) as self._patience:
                await self._until(lambda: not core.links and not self._clients())
        except TimeoutError:
            log.info("{count} connections did not close in time, and are cut", count=len(core.links))
        self._stop_listening()
        for link in list(core.links):
            link.abort()
        for visit in list(self.gate.visits):
            visit.protocol.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._until(lambda: not core.links and not self.gate.visits)
        self.lag.stop()
        core.close_files()
        self._core = None
        self._is_listening = False

    def hurry(self) -> None:
        """`close`, now or later, does not spread its GOODBYEs, and waits a moment for the answers only."""
        self._hurried = True
        core = self._core
        if core is not None and core.closing is not None:
            core.shutdown()
            self._patience.reschedule(asyncio.get_running_loop().time() + CLOSE_TIMEOUT)

    async def __aenter__(self) -> Router:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- changes under way -----------------------------------------------------------------------------------------

    async def reload(self, settings: RouterSettings) -> None:
        """``settings`` count from now on, and sessions stay (except those whose realm or role is gone).

        Everything that can fail comes first: on OSError or ValueError all is as it was. Certificates and files of
        principals are read again. Connections that are there keep the limits they began with. What a realm cannot
        change while it is there is named in the log (`autobahn.router.realm.NEXT_START`).
        """
        core = self.core
        plan = await self._plan(settings)
        try:
            auth = core.new_auth(settings.auth(), settings.auth_options())
            policies(settings.permissions())
            changes = self._prepare_realms(settings)
        except Exception as exc:
            for old, listener in plan:
                if listener is not old:
                    listener.give_back(old)
            if isinstance(exc, ApplicationError):  # of a realm's file
                raise ValueError(exc.error_message()) from exc
            raise
        self._change_realms(settings, changes)
        core.auth = auth
        core.set_permissions(settings.permissions())
        general = settings.router
        core.hello_timeout, core.auth_timeout = general.hello_timeout, general.auth_timeout
        core.goodbye_timeout = self._goodbye_timeout = general.goodbye_timeout
        self._drain = general.drain
        self.gate.max_pending = settings.admission.max_pending
        self.gate.max_per_address = settings.admission.max_per_address
        before, self.listeners = self.listeners, [listener for _, listener in plan]
        for old, listener in plan:
            if old is not listener:
                await listener.listen()
                log.info("listening at {url}", url=listener.url)
        for listener in before:
            if listener not in self.listeners:
                if listener not in [old for old, _ in plan]:
                    log.info("no longer listening at {url}", url=listener.url)
                await listener.retire()
        for listener in self.listeners:
            listener.refresh_cookies()
        self._settings = settings

    async def _plan(self, settings: RouterSettings) -> list[tuple[Listener | None, Listener]]:
        """(who has the address now, who is to have it) for each listener; those that change nothing are the same.

        Nothing is open yet that was not before, but new addresses are bound. A certificate is read again, always.
        """
        now: dict[Any, list[Listener]] = {}
        for listener in self.listeners:
            now.setdefault(listener.address.key, []).append(listener)
        plan: list[tuple[Listener | None, Listener]] = []
        try:
            for wanted in settings.listeners:
                new = Listener(wanted, self._house)
                same = now.get(new.address.key)
                old = same.pop(0) if same else None
                if old is not None and old.settings == wanted and not wanted.is_secure:
                    plan.append((old, old))
                    continue
                plan.append((old, new))
                if old is not None:
                    new.take_over(old)
                else:
                    await new.bind(self._sockets)
        except (OSError, ValueError):
            for old, new in plan:
                if new is not old:
                    new.give_back(old)
            raise
        return plan

    def _prepare_realms(self, settings: RouterSettings) -> dict[str, Change]:
        """What changes the options of the realms that stay, by name. New realms are there, if all of it can be."""
        core, wanted, model = self.core, settings.options(), settings.options_on_demand()
        stay = {name: wanted.get(name, model) for name in core.realms if self._stays(name, settings)}
        changes = {
            name: core.realms[name].prepare(options)
            for name, options in stay.items()
            if options != core.realms[name].options
        }
        new = [name for name in wanted if name not in core.realms]
        try:
            for name in new:
                core.add_realm(name, wanted[name])
        except Exception:
            for name in new:
                if name in core.realms:
                    core.remove_realm(name)
            raise
        for name in new:
            log.info("realm {realm} is open", realm=name)
        return changes

    def _stays(self, name: str, settings: RouterSettings) -> bool:
        return name in settings.realms or (settings.has_realms_on_demand and self.core.is_on_demand(name))

    def _change_realms(self, settings: RouterSettings, changes: Mapping[str, Change]) -> None:
        """The realms and their options are those of ``settings``; `RouterCore.set_permissions` has to follow."""
        core = self.core
        core.auto_realms = settings.has_realms_on_demand
        core.max_auto_realms = settings.router.max_realms_on_demand
        core.realm_options = settings.options_on_demand()
        for name in [name for name in core.realms if not self._stays(name, settings)]:
            log.info("realm {realm} is closed", realm=name)
            core.remove_realm(name)
        for name in settings.options():
            core.add_realm(name)  # one that was made on demand stays from now on
        for name, change in changes.items():
            now, later = change()
            if now:
                log.info("realm {realm}: changed {keys}", realm=name, keys=", ".join(now))
            if later:
                log.warn(
                    "realm {realm}: {keys} as changed count from the next start", realm=name, keys=", ".join(later)
                )


def _open_to_all(url: str) -> ListenerSettings:
    """A listener as a program has it that names only a URL: pages of any origin, and no pages of its own."""
    return ListenerSettings(url=url, origins=("*",), null_origin=True, pages=() if url.startswith("ws") else None)
