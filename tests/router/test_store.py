"""History and retained events in a file: what was acknowledged is there when a router comes back."""

import decimal
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.router.store import Store
from autobahn.wamp import message as m
from autobahn.wamp.codec import CODECS
from router.fakes import EVERYTHING, Link, error_of

TOPIC = "com.example.topic"
GET = "wamp.subscription.get_events"
ACK = {"acknowledge": True}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "events.sqlite")


def router_at(path, limit=5, **options):
    topics = (HistoryTopic(TOPIC, "exact", limit), HistoryTopic("com.example", "prefix", 100))
    return Router(realm_options=RealmOptions(history=topics, store=path, **options), realms=["realm1", "realm2"])


def events(router, topic=TOPIC, realm="realm1", **how):
    link = Link(router).join(realm, roles=EVERYTHING, **how)
    subscription = link.subscribe(topic)
    link.call(GET, subscription)
    return link.one(m.Result).args


def published(link, topic, *args, options=None, **kwargs):
    link.publish(topic, *args, options={**ACK, **(options or {})}, **kwargs)
    return link.one(m.Published).publication


@pytest.mark.parametrize("codec", [None, *(CODECS[name] for name in ("json", "msgpack", "cbor"))])
def test_history_outlives_the_router(path, codec):
    router = router_at(path)
    link = Link(router, codec).join(roles=EVERYTHING)
    numbers = [published(link, TOPIC, i, b"\0\xff", None, {"a": ["ä"]}, key=1.5) for i in range(7)]
    before = events(router)
    router.close_files()
    router = router_at(path)
    after = events(router)
    assert after == before
    assert [event["publication"] for event in after] == numbers[2:]
    assert after[0]["args"] == [2, b"\0\xff", None, {"a": ["ä"]}]
    assert after[0]["kwargs"] == {"key": 1.5}
    number = published(Link(router, codec).join(roles=EVERYTHING), TOPIC, 8)
    assert [event["publication"] for event in events(router)] == [*numbers[3:], number]
    router.close_files()


def test_values_that_only_some_serializers_have(path):
    router = router_at(path)
    published(Link(router, CODECS["cbor"]).join(roles=EVERYTHING), TOPIC, decimal.Decimal("1.50"))
    router.close_files()
    router = router_at(path)
    assert events(router)[0]["args"] == [decimal.Decimal("1.50")]
    router.close_files()


def test_a_smaller_limit_takes_the_newest(path):
    router = router_at(path)
    link = Link(router).join(roles=EVERYTHING)
    numbers = [published(link, TOPIC, i) for i in range(5)]
    router.close_files()
    router = router_at(path, limit=2)
    assert [event["publication"] for event in events(router)] == numbers[3:]
    router.close_files()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM history WHERE match = 'exact'").fetchone() == (2,)
    db.close()


def test_realms_do_not_mix_and_lists_still_count(path):
    router = router_at(path)
    link = Link(router).join(roles=EVERYTHING)
    published(link, TOPIC, "for all")
    published(link, TOPIC, "for nobody", options={"eligible_authrole": ["admin"]})
    published(link, TOPIC, "for a session", options={"eligible": [link.session.id]})
    router.close_files()
    router = router_at(path)
    assert [event["args"] for event in events(router)] == [["for all"]]
    assert events(router, realm="realm2") == []
    router.close_files()


def test_retained_events_outlive_the_router(path):
    router = router_at(path)
    link = Link(router).join(roles=EVERYTHING)
    for i in range(3):
        published(link, "com.kept", i, options={"retain": True})
    published(link, "com.kept", "for admins", options={"retain": True, "eligible_authrole": ["admin"]})
    published(link, "com.kept", "for a session", options={"retain": True, "eligible": [link.session.id]})
    router.close_files()
    router = router_at(path)
    link = Link(router).join(roles=EVERYTHING)
    link.say(m.Subscribe(link.next(), {"get_retained": True}, "com.kept"))
    _, event = link.take()
    assert (event.args, event.details["retained"]) == ([2], True)
    router.close_files()


def test_too_many_retained_topics_push_out_the_oldest_in_the_file(path):
    router = router_at(path, max_retained=3)
    link = Link(router).join(roles=EVERYTHING)
    for i in range(5):
        published(link, f"com.kept{i}", i, options={"retain": True})
    router.close_files()
    router = router_at(path, max_retained=3)
    assert len(router.find_realm("realm1").broker.retention) == 3
    router.close_files()


def test_what_cannot_be_written_is_refused_and_nobody_gets_it(path):
    router = router_at(path)
    publisher, subscriber = (Link(router).join(roles=EVERYTHING) for _ in range(2))
    subscriber.subscribe(TOPIC)
    with sqlite3.connect(path, isolation_level=None) as db:  # somebody else has the file
        router.find_realm("realm1")._store._db.execute("PRAGMA busy_timeout = 0")
        db.execute("BEGIN IMMEDIATE")
        request = publisher.publish(TOPIC, 1, options=ACK)
        error_of(publisher, 16, request, "wamp.error.unavailable")
        db.execute("ROLLBACK")
    db.close()
    assert subscriber.take() == []
    published(publisher, TOPIC, 2)
    assert [event["args"] for event in events(router)] == [[2]]
    router.close_files()


def test_another_kind_of_file(tmp_path):
    (tmp_path / "text").write_text("this is no database, but long enough to look at" * 10)
    with pytest.raises(ValueError, match=r"expected '.*text' as a file"):
        router_at(str(tmp_path / "text"))
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE x (y)")
    db.close()
    with pytest.raises(ValueError, match=r"expected '.*other' with tables of version 1, got version 0"):
        Store(str(tmp_path / "other"), "realm1", None)
    with pytest.raises(ValueError, match="unable to open"):
        Store(str(tmp_path / "missing" / "folder"), "realm1", None)


PROGRAM = """
import sys
sys.path[:0] = {paths!r}
from router.test_store import *
link = Link(router_at({path!r}, limit=100_000), CODECS["msgpack"]).join(roles=EVERYTHING)
while True:
    print(published(link, TOPIC, "x" * 1000), flush=True)
"""


def test_killed_under_load_nothing_acknowledged_is_lost(path):
    program = PROGRAM.format(paths=[entry for entry in sys.path if entry], path=path)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(process.stdout.readline()) for _ in range(500)]
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split("\n")
    acknowledged += [int(line) for line in rest[:-1]]
    process.wait()
    process.stdout.close()
    router = router_at(path, limit=100_000)
    kept = [event["publication"] for event in events(router)]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) in (0, 1)  # one may have been written and not been told
    router.close_files()
