"""permessage-deflate: extension headers and negotiation (the engine has its own tests)."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobahn.websocket.compress import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.errors import HandshakeError
from autobahn.websocket.extensions import parse_extensions
from autobahn.websocket.negotiation import negotiate_client, negotiate_server

NAME = "permessage-deflate"


@pytest.mark.parametrize(
    ("text", "extensions"),
    [
        ("", []),
        ("a", [("a", {})]),
        ("a, b", [("a", {}), ("b", {})]),
        (' a ; x ; y = 1 ,\tb;z="q"', [("a", {"x": [True], "y": ["1"]}), ("b", {"z": ["q"]})]),
        ('a; x="b\\c, \\"d"', [("a", {"x": ['bc, "d']})]),
        ("a; x=1; x=2; x", [("a", {"x": ["1", "2", True]})]),
        ("constructor; __proto__=1", [("constructor", {"__proto__": ["1"]})]),
    ],
)
def test_parse_extensions(text, extensions):
    assert parse_extensions(text) == extensions


@pytest.mark.parametrize(
    "text",
    [",", "a,", ",a", "a;", "a b", "a;;b", "a;x=", "a;x==1", "a;=1", '"a"', 'a; "x"', 'a; x="b', "a=1", "a;x=1 2", "ä"],
)
def test_malformed_extensions_are_refused(text):
    with pytest.raises(HandshakeError) as caught:
        parse_extensions(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "text",
    [
        'a; b="' + r"\c" * 16000,
        " " * 65000,
        "," * 65000,
        '"' * 65000,
        "a" + " " * 32000 + "b",
        "a;x=" * 16000,
        "a; x=" + '"' + " " * 60000,
    ],
)
def test_s9_s10_linear_time(text):
    start = time.process_time()
    with contextlib.suppress(HandshakeError):
        parse_extensions(text)
    assert time.process_time() - start < 1  # quadratic would be minutes


@given(st.text(alphabet='ab ;,="\\\t1', max_size=60))
def test_only_documented_errors(text):
    try:
        for name, params in parse_extensions(text):
            assert name
            assert isinstance(params, dict)
    except HandshakeError:
        pass


def offers_of(text):
    seen = []
    negotiate_server(parse_extensions(text), lambda offers: seen.extend(offers))
    return seen


def test_offer_strings_round_trip():
    for offer in (
        PerMessageDeflateOffer(),
        PerMessageDeflateOffer(accept_max_window_bits=False),
        PerMessageDeflateOffer(request_no_context_takeover=True, request_max_window_bits=9),
    ):
        assert offers_of(offer.get_extension_string()) == [offer]
    assert PerMessageDeflateOffer().get_extension_string() == (
        "permessage-deflate; client_no_context_takeover; client_max_window_bits"
    )


@pytest.mark.parametrize(
    "params",
    [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=1000000000",
        "server_max_window_bits=09",
        'server_max_window_bits=""',
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=0",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=+9",
        "client_max_window_bits; client_max_window_bits",
        "server_no_context_takeover=1",
        "client_no_context_takeover; client_no_context_takeover",
        "unknown",
    ],
)
def test_bad_offers_are_declined_and_good_ones_behind_them_kept(params):
    assert offers_of(f"{NAME}; {params}") == []
    assert len(offers_of(f"x-other, {NAME}; {params}, {NAME}")) == 1


def test_server_negotiation():
    def choose(text, accept):
        return negotiate_server(parse_extensions(text), accept)

    assert choose(NAME, None) is None
    assert choose("", lambda offers: 1 / 0) is None
    assert choose("x-webkit-deflate-frame", lambda offers: 1 / 0) is None
    assert choose(NAME, lambda offers: None) is None
    with pytest.raises(TypeError, match="PerMessageDeflateOfferAccept"):
        choose(NAME, lambda offers: "yes")
    pmce, text = choose(
        f"{NAME}; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits",
        lambda offers: PerMessageDeflateOfferAccept(offers[0], True, 11, mem_level=4, max_message_size=100),
    )
    assert text == (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; "
        "client_no_context_takeover; client_max_window_bits=11"
    )
    assert (pmce.server_no_context_takeover, pmce.server_max_window_bits) == (True, 10)
    assert (pmce.client_no_context_takeover, pmce.client_max_window_bits) == (True, 11)
    assert (pmce.mem_level, pmce.max_message_size, pmce.is_server) == (4, 100, True)
    assert NAME in str(pmce.__json__())


def test_accept_arguments_are_checked():
    offer = PerMessageDeflateOffer(request_no_context_takeover=True, request_max_window_bits=10)
    poor = PerMessageDeflateOffer(accept_no_context_takeover=False, accept_max_window_bits=False)
    for make in (
        lambda: PerMessageDeflateOfferAccept("x"),
        lambda: PerMessageDeflateOfferAccept(offer, window_bits=11),
        lambda: PerMessageDeflateOfferAccept(offer, window_bits=8),
        lambda: PerMessageDeflateOfferAccept(offer, no_context_takeover=False),
        lambda: PerMessageDeflateOfferAccept(offer, mem_level=10),
        lambda: PerMessageDeflateOfferAccept(offer, max_message_size=-1),
        lambda: PerMessageDeflateOfferAccept(poor, True),
        lambda: PerMessageDeflateOfferAccept(poor, False, 9),
        lambda: PerMessageDeflateOffer(request_max_window_bits=8),
        lambda: PerMessageDeflateOffer(accept_max_window_bits=1),
        lambda: PerMessageDeflateResponseAccept("x"),
        lambda: PerMessageDeflateResponseAccept(PerMessageDeflateResponse(10, True, 0, False), False),
        lambda: PerMessageDeflateResponseAccept(PerMessageDeflateResponse(10, True, 0, False), window_bits=11),
    ):
        with pytest.raises((TypeError, ValueError), match="expected"):
            make()


def respond(text, offers=(PerMessageDeflateOffer(),), accept=None):
    return negotiate_client(parse_extensions(text), list(offers), accept)


def test_client_negotiation():
    assert respond("") is None
    pmce = respond(
        f"{NAME}; client_max_window_bits=10; client_no_context_takeover; server_max_window_bits=9; "
        "server_no_context_takeover"
    )
    assert (pmce.client_max_window_bits, pmce.server_max_window_bits) == (10, 9)
    assert (pmce.client_no_context_takeover, pmce.server_no_context_takeover) == (True, True)
    pmce = respond(NAME, accept=lambda r: PerMessageDeflateResponseAccept(r, True, 9, 1))
    assert (pmce.client_no_context_takeover, pmce.client_max_window_bits, pmce.mem_level) == (True, 9, 1)
    asked = [PerMessageDeflateOffer(request_no_context_takeover=True), PerMessageDeflateOffer()]
    assert respond(NAME, asked) is not None
    with pytest.raises(TypeError, match="PerMessageDeflateResponseAccept"):
        respond(NAME, accept=lambda r: "yes")
    with pytest.raises(HandshakeError):
        respond(NAME, accept=lambda r: None)


@pytest.mark.parametrize(
    "text",
    [
        "x-unoffered",
        f"{NAME}, {NAME}",
        f"{NAME}; unknown",
        f"{NAME}; client_max_window_bits",
        f"{NAME}; server_max_window_bits",
        *(
            f"{NAME}; {side}_max_window_bits={bits}"
            for side in ("server", "client")
            for bits in ("0", "7", "16", "1000000000", '""', "9; server_max_window_bits=9; client_max_window_bits=9")
        ),
        f"{NAME}; server_no_context_takeover=1",
    ],
)
def test_s14_bad_responses_fail_the_handshake(text):
    with pytest.raises(HandshakeError):
        respond(text)


def test_response_has_to_answer_an_offer():
    for text, offer in (
        (f"{NAME}; client_max_window_bits=10", PerMessageDeflateOffer(accept_max_window_bits=False)),
        (NAME, PerMessageDeflateOffer(request_no_context_takeover=True)),
        (NAME, PerMessageDeflateOffer(request_max_window_bits=10)),
        (f"{NAME}; server_max_window_bits=11", PerMessageDeflateOffer(request_max_window_bits=10)),
    ):
        with pytest.raises(HandshakeError):
            respond(text, [offer])
    with pytest.raises(HandshakeError):
        respond(NAME, [])


def test_binding_makes_engines_that_fit():
    server = PerMessageDeflate(True, False, True, 9, 12, None)
    client = PerMessageDeflate(False, False, True, 9, 12, None)
    for sender, receiver in ((server, client), (client, server)):
        deflater, inflater = sender.new_deflater(), receiver.new_inflater()
        for _ in range(3):
            data = deflater.compress(b"hello " * 1000) + deflater.end_message()
            assert len(data) < 200
            assert inflater.decompress(data, 10_000) + inflater.end_message(10_000) == b"hello " * 1000
