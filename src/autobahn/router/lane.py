"""The short way of a routed call, where it is compiled: `new_lane`.

A `Lane` stands at the router's end of a link. It takes the messages that arrive, carries the plain CALLs and YIELDs
among them to the lane of the other client, octets to octets, and gives all others to the link, whose ordinary way
leads to the same messages at the same peers. With `AUTOBAHN_PURE=1`, or uncompiled, there are no lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from autobahn._compiled import expect_compiled
from autobahn.wamp.codec import CODECS

if TYPE_CHECKING:
    from autobahn.router._lane import Lane

__all__ = ("COMPILED", "ShortWay", "new_lane")

COMPILED: bool
"""Whether there are lanes."""


class ShortWay(NamedTuple):
    """Stands in a session's table at 0, where no message is: what a lane may do in place of the functions at 48 and 70.

    It counts as long as the table has these functions there.
    """

    call: Callable[[Any, Any], None]
    registrations: dict[str, Any]  # by exact URI
    yielded: Callable[[Any, Any], None]
    verdicts: dict[Any, Any] | None = None  # on calls, by URI: there must be one that simply allows it; None: all may


try:
    expect_compiled()
    from autobahn.router import _lane

    COMPILED = True
except ImportError:
    COMPILED = False


def new_lane(
    session: Any,
    receive: Callable[..., None],
    failed: Callable[[Exception], None],
    send: Callable[[bytes, bool], object],
    codec: Any,
    limit: int,
) -> Lane | None:
    """The lane of a link whose messages have at most ``limit`` octets; None: there is none for this codec.

    ``receive(data)`` takes what is not carried, ``failed(exc)`` an error, ``send(data, binary)`` sends.
    """
    name = codec.name
    if not COMPILED or name not in _lane.FORMATS or codec is not CODECS[name]:
        return None
    return _lane.Lane(session, receive, failed, send, name, codec.binary, limit)
