"""swampyer against a WAMP router: python check_swampyer.py URL SERIALIZER. Runs in an environment of its own."""

import importlib.metadata
import queue
import sys

import swampyer
from checks import PREFIX, VALUES, Checks

LIMIT = 10
url, serializer = sys.argv[1:]
checks = Checks(f"swampyer {importlib.metadata.version('swampyer')}")


def join(realm="realm1", client=swampyer.WAMPClient, **options):
    session = client(url=url, realm=realm, serializers=[serializer], timeout=LIMIT, loop_timeout=0.05, **options)
    return session.start()


def outcome(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except swampyer.SwampyException as exc:
        return exc


def calls(caller, callee):
    def echo(event, value=None, **kwargs):
        return [value, kwargs]

    def fails(event):
        raise ValueError("on purpose")

    callee.register(f"{PREFIX}.echo", echo)
    callee.register(f"{PREFIX}.fails", fails)
    values = VALUES if serializer == "json" else VALUES | {"bytes": bytes(range(256))}
    for name, value in values.items():
        checks.equal(f"call: {name}", caller.call(f"{PREFIX}.echo", value, k=value), [value, {"k": value}])
        checks.equal(f"Python callee: {name}", caller.call("com.example.python.echo", value), value)
    for name in ("fails", "nobody"):
        got = outcome(caller.call, f"{PREFIX}.{name}")
        checks.equal(f"call: {name}", isinstance(got, swampyer.SwampyException), True)
    callee.register(f"{PREFIX}.prefix", lambda event, *args: "prefix", details={"match": "prefix"})
    checks.equal("call: prefix", caller.call(f"{PREFIX}.prefix.a.b"), "prefix")


def events(publisher, subscriber):
    heard = queue.Queue()
    subscriber.subscribe(f"{PREFIX}.topic", lambda event, *args, **kwargs: heard.put(([*args], kwargs)))
    for name, value in VALUES.items():
        publisher.publish(f"{PREFIX}.topic", options={"acknowledge": True}, args=[value], kwargs={"k": value})
        checks.equal(f"event: {name}", heard.get(timeout=LIMIT), ([value], {"k": value}))
    subscriber.subscribe(f"{PREFIX}.pat", lambda event, *args: heard.put([*args]), options={"match": "prefix"})
    publisher.publish(f"{PREFIX}.pattern", options={"acknowledge": True}, args=[1])
    checks.equal("event: prefix", heard.get(timeout=LIMIT), [1])


def main():
    first, second = join(), join()
    calls(first, second)
    events(first, second)
    ticket = join("secure", swampyer.WAMPClientTicket, username="ticket-user", password="secret")
    checks.equal("authentication: ticket", ticket.is_connected(), True)
    for session in (first, second, ticket):
        session.shutdown()
    checks.print()


main()
