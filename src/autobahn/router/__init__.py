"""The WAMP router, without I/O."""

from autobahn.router.config import HistoryTopic, RealmOptions
from autobahn.router.local import connect_local
from autobahn.router.observer import RealmObserver
from autobahn.router.router import Router

__all__ = ["HistoryTopic", "RealmObserver", "RealmOptions", "Router", "connect_local"]
