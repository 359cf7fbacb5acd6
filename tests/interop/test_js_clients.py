"""AutobahnJS and wampy.js under Node talk to our router and to each other: every check of `js/` passes."""

import sys

import pytest

from interop import js_clients


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    reason = js_clients.missing() or js_clients.set_up()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("client", js_clients.SCRIPTS)
@pytest.mark.skipif(sys.platform == "win32", reason="npm is a script that Windows starts in another way")
async def test_client(client, packages):
    rows = await js_clients.check_node({client: js_clients.SCRIPTS[client]}, js_clients.SERIALIZERS)
    assert [row["serializer"] for row in rows] == js_clients.SERIALIZERS
    assert all(row["checks"] > 50 for row in rows), rows
    assert {row["serializer"]: row["bad"] for row in rows} == {name: {} for name in js_clients.SERIALIZERS}
