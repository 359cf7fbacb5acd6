"""T-URI-1 at the router: the table of URIs, for every request that names one, loose and strict."""

from __future__ import annotations

import pytest

from autobahn.router import RealmOptions, Router
from autobahn.wamp import message as m
from router.fakes import error_of, joined
from wamp.test_uri import TABLE

SHAPES = ("exact", "prefix", "wildcard")
INVALID = "wamp.error.invalid_uri"


@pytest.fixture(scope="module", params=[False, True], ids=["loose", "strict"])
def strict(request):
    return request.param


@pytest.mark.parametrize("uri", TABLE, ids=ascii)
def test_T_URI_1_registering_and_subscribing(uri, strict):
    router = Router(realm_options=RealmOptions(strict_uris=strict))
    (link,) = joined(router, 1)
    for shape in SHAPES:
        for request, kind, answer in ((m.Register, 64, m.Registered), (m.Subscribe, 32, m.Subscribed)):
            number = link.next()
            link.say(request(number, {"match": shape}, uri))
            if shape[0] in TABLE[uri][strict]:
                assert link.one(answer).request == number
            else:
                error_of(link, kind, number, INVALID)
    valid = len(TABLE[uri][strict])
    assert (len(link.session.registrations), len(link.session.subscriptions)) == (valid, valid)


@pytest.mark.parametrize("uri", TABLE, ids=ascii)
def test_T_URI_1_T_URI_2_calling_and_publishing(uri, strict):
    router = Router(realm_options=RealmOptions(strict_uris=strict))
    link, other = joined(router, 2)
    other.subscribe("", match="prefix")
    other.register("", match="prefix")
    is_valid = "e" in TABLE[uri][strict]
    number = link.call(uri)
    if is_valid:
        assert other.one(m.Invocation).details["procedure"] == uri
    else:
        error_of(link, 48, number, INVALID)
    number = link.publish(uri, options={"acknowledge": True})
    if is_valid:
        assert link.one(m.Published).request == number
        assert other.one(m.Event).details["topic"] == uri
    else:
        error_of(link, 16, number, INVALID)
    link.publish(uri)
    assert link.take() == []  # nobody asked
    assert len(other.take()) == is_valid
