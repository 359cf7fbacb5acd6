"""Makes docs/features.md out of the code and the tests: what is announced, and which tests show it.

    python tests/feature_page.py        # writes the page; `make docs` does it

The ids (PCR-1, ...) are those in the names of the tests: ``test_T_PCR_1_...``, ``..._1_to_4_...``, ``..._1_and_2_...``.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

from autobahn.router import HistoryTopic, RealmOptions, Router
from autobahn.wamp.role import client_roles

TESTS = pathlib.Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "features.md"

FEATURES = [  # what the specification calls it, the name in HELLO and WELCOME, the prefix of the test ids
    ("Messages", None, "MSG"),
    ("Ids and their scopes", None, "ID"),
    ("Request ids in sequence", None, "IDSEQ"),
    ("URIs", None, "URI"),
    ("Sessions", None, "SES"),
    ("Protocol violations", None, "PV"),
    ("Feature announcement", None, "FEAT"),
    ("Ordering guarantees", None, "ORD"),
    ("Error URIs", None, "ERR"),
    ("Remote procedure calls", None, "RPC"),
    ("Progressive call results", "progressive_call_results", "PCR"),
    ("Progressive call invocations", "progressive_call_invocations", "PCI"),
    ("Call timeout", "call_timeout", "TMO"),
    ("Call canceling", "call_canceling", "CAN"),
    ("Call re-routing", "call_reroute", "RER"),
    ("Caller identification", "caller_identification", "CID"),
    ("Call trust levels", "call_trustlevels", "CTL"),
    ("Pattern-based registration", "pattern_based_registration", "PBR"),
    ("Shared registration", "shared_registration", "SHR"),
    ("Concurrency limits of callees", None, "CONC"),
    ("Sharded registration", "sharded_registration", "SHD"),
    ("Registration revocation", "registration_revocation", "RREV"),
    ("Registration meta API", "registration_meta_api", "RM"),
    ("Publish and subscribe", None, "PS"),
    ("Subscriber black- and whitelisting", "subscriber_blackwhite_listing", "BWL"),
    ("Publisher exclusion", "publisher_exclusion", "PEX"),
    ("Publisher identification", "publisher_identification", "PID"),
    ("Publication trust levels", "publication_trustlevels", "PTL"),
    ("Pattern-based subscription", "pattern_based_subscription", "PBS"),
    ("Subscription revocation", "subscription_revocation", "SREV"),
    ("Event retention", "event_retention", "RET"),
    ("Event history", "event_history", "HIS"),
    ("Acknowledged event delivery", "x_acknowledged_event_delivery", "EACK"),
    ("Subscription meta API", "subscription_meta_api", "UM"),
    ("Session meta API", "session_meta_api", "SM"),
    ("Testaments", "testament_meta_api", "TST"),
    ("Payload passthru mode", "payload_passthru_mode", "PPT"),
    ("Payload end-to-end encryption", None, "E2E"),
    ("Authentication", None, "AUTH"),
    ("Anonymous", None, "ANON"),
    ("Ticket", None, "TKT"),
    ("WAMP-CRA", None, "CRA"),
    ("SCRAM, both dialects", None, "SCR"),
    ("Cryptosign", None, "CS"),
    ("TLS client certificate", None, "TLS"),
    ("Cookie", None, "COO"),
    ("Dynamic authentication", None, "DYN"),
    ("Authorization", None, "AZ"),
    ("WebSocket transport", None, "WS"),
    ("Batched WebSocket transport", None, "WSB"),
    ("RawSocket transport", None, "RS"),
    ("Unix sockets", None, "UDS"),
    ("In-process sessions", None, "LOCAL"),
    ("Binary data in JSON", None, "JB"),
]
NOT_HERE = "Reflection, session resumption, HTTP long-poll, router-to-router links, and the FlatBuffers serializer."


def ids_in_tests() -> dict[str, set[int]]:
    """The ids in the names of the tests, by prefix."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for prefix, numbers in _ids(node.name):
                    found[prefix] |= numbers
    return found


def _ids(name: str) -> list[tuple[str, set[int]]]:
    ids = []
    for prefix, first, rest in re.findall(r"T_([A-Z][A-Z0-9]*)_(\d+)((?:_(?:to|and)_\d+)*)", name):
        numbers = {int(first)}
        for word, number in re.findall(r"_(to|and)_(\d+)", rest):
            numbers |= set(range(max(numbers), int(number) + 1)) if word == "to" else {int(number)}
        ids.append((prefix, numbers))
    return ids


def announcements() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The roles that announce each feature, at the router and at the client."""
    options = RealmOptions(history=(HistoryTopic("com.example"),), trustlevels={})
    realm = Router(realm_options=options, runtime=cast(Any, SimpleNamespace())).find_realm("realm1")
    assert realm is not None
    both = []
    for roles in (realm.welcome_roles(), client_roles()):
        names: dict[str, list[str]] = defaultdict(list)
        for role, details in roles.items():
            for feature, announced in details.get("features", {}).items():
                if announced:
                    names[feature].append(role)
        both.append(names)
    return both[0], both[1]


def page() -> str:
    """The page, made anew."""
    at_router, at_client = announcements()
    ids = ids_in_tests()
    lines = [
        "# Features",
        "",
        "Made by `make docs` out of the code and the tests; do not edit. *Router* and *client*: the roles that",
        "announce the feature in WELCOME and HELLO (history, trust levels: where the realm has them). The ids are in",
        "the names of the tests that show it: `pytest -k T_PCR` runs those of a row.",
        "",
        "| feature | announced as | router | client | tests |",
        "|---|---|---|---|---|",
    ]
    for title, name, prefix in FEATURES:
        shown = ", ".join(f"{prefix}-{number}" for number in sorted(ids.get(prefix, ())))
        router, client = (", ".join(sorted(names.get(name, ()))) if name else "" for names in (at_router, at_client))
        lines.append(f"| {title} | {f'`{name}`' if name else ''} | {router} | {client} | {shown} |")
    lines += ["", f"Not implemented: {NOT_HERE}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
