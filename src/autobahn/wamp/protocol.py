"""Documented names of the WAMP session classes at their old place; the classes are those of `autobahn.asyncio.wamp`.

There is one framework here, so the "framework neutral" classes and those for asyncio are the same. This module belongs
to the asyncio layer (docs/design.md, section 2): nothing inside the package imports it.
"""

from __future__ import annotations

from autobahn.asyncio.wamp import ApplicationSession, ApplicationSessionFactory
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.interfaces import ISession, ITransport
from autobahn.wamp.request import Publication, Registration, Subscription
from autobahn.wamp.session import ClientSession as BaseSession

__all__ = (
    "ApplicationError",
    "ApplicationSession",
    "ApplicationSessionFactory",
    "BaseSession",
    "ISession",
    "ITransport",
    "Publication",
    "Registration",
    "Subscription",
)
