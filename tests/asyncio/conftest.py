"""Fixtures of the tests on asyncio."""

import logging
import ssl

import pytest
import trustme


@pytest.fixture(scope="module")
def tls():
    """(the server's context, the client's)."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def lines(caplog):
    """The list of what was logged from level info on."""
    caplog.set_level(logging.INFO, "autobahn")
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    handler.addFilter(lambda record: record.name != "autobahn.router.sessions")  # the router's journal
    logging.getLogger("autobahn").addHandler(handler)
    yield records
    logging.getLogger("autobahn").removeHandler(handler)
