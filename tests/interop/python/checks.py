"""Collects outcomes by name and prints them as one line of JSON."""

import json

PREFIX = "com.example.client"
VALUES = {
    "none": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "false": False,
    "int 255": 255,
    "int 2**16": 2**16,
    "int 2**31": 2**31,
    "int -2**31-1": -(2**31) - 1,
    "int 2**32": 2**32,
    "int 2**53-1": 2**53 - 1,
    "int -(2**53-1)": -(2**53 - 1),
    "float tiny": 5e-324,
    "float big": 1.7976931348623157e308,
    "text with NUL": "a\0b",
    "empty list": [],
    "long list": list(range(1000)),
    "empty dict": {},
    "wide dict": {f"key{i}": i for i in range(200)},
    "long unicode": "ä€😀" * 10_000,
    "float": 3.141592653589793,
    "empty text": "",
    "unicode": 'Grüße, 世界, 🚗, \u0001"\\/',
    "list": [1, "two", None, [3.5, [False]]],
    "nested dict": {"a": {"b": {"c": [1, {"d": "e"}]}}, "ключ": None},
    "long text": "x" * 100_000,
}


class Checks:
    def __init__(self, client):
        self.client = client
        self.outcomes = {}

    def equal(self, name, got, expected):
        self.outcomes[name] = "ok" if got == expected else f"expected {expected!r:.120}, got {got!r:.120}"

    def print(self):
        for check, outcome in self.outcomes.items():
            print(json.dumps({"check": check, "outcome": outcome}))
        print(json.dumps({"client": self.client, "checks": len(self.outcomes)}))
