"""Other WAMP clients talk to our router, to a Python callee and to each other: every check of theirs passes."""

import sys

import pytest

from interop import other_clients


@pytest.mark.parametrize("client", other_clients.SCRIPTS)
@pytest.mark.skipif(sys.platform == "win32", reason="environments have their programs elsewhere on Windows")
async def test_client(client):
    reason = other_clients.set_up(client)
    if reason:
        pytest.skip(reason)
    rows = await other_clients.check([client])
    assert {row["serializer"] for row in rows} == set(other_clients.SERIALIZERS)
    assert all(row["checks"] > 30 for row in rows), rows
    assert [row["bad"] for row in rows] == [{}] * len(rows)
