"""Collects outcomes by name and prints them as one line of JSON."""

import json

PREFIX = "com.example.client"
VALUES = {
    "none": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "int 2**53-1": 2**53 - 1,
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
