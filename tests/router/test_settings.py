"""The configuration file: what is taken, and how each mistake is told."""

# ruff: noqa: E501 - one case a line
from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobahn.asyncio.router import load_settings
from autobahn.router import RealmOptions
from autobahn.router.auth import METHODS
from autobahn.router.config import HistoryTopic
from autobahn.router.settings import development
from autobahn.router.settings_auth import AuthSettings
from autobahn.router.settings_reader import SettingsError, key_text, keys_of, read
from autobahn.router.toml_lines import key_lines

GOOD = """
[router]
hello_timeout = 3

[realms.realm1]
max_calls = 100
trustlevels = { backend = 1 }
meta_kill_roles = ["backend"]
history = [{ uri = "com.example.", match = "prefix", limit = 5 }]

[realms.realm1.roles]
backend = true

[realms.realm1.roles.anonymous]
permissions = [{ uri = "com.example.*", allow = ["call"], disclose = { caller = true } }]

[realms.realm1.auth.anonymous]
[realms.realm1.auth.ticket.principals.joe]
ticket = ["old", "new"]
role = "backend"
[realms.realm1.auth.wampcra]
file = "cra.json"

[realms."*"]
roles.anonymous = true

[[listeners]]
url = "ws://127.0.0.1:0/ws"
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "cra.json").write_text(json.dumps({"ann": {"secret": "s", "role": "backend"}}))

    def write(text):
        path = tmp_path / "router.toml"
        path.write_text(text)
        return path

    return write


def problems(path):
    """(line, key, text) of all that is wrong."""
    found = []
    try:
        read(path).check()
    except SettingsError as exc:
        found = exc.problems
    assert all(str(problem).startswith(str(path)) for problem in found)
    return [(problem.line, problem.key, problem.text) for problem in found]


def test_a_good_file(file, tmp_path):
    settings = read(file(GOOD)).check()
    assert settings.router.hello_timeout == 3.0
    assert settings.options() == {
        "realm1": RealmOptions(
            max_calls=100, trustlevels={"backend": 1}, meta_kill_roles=frozenset({"backend"}),
            history=(HistoryTopic("com.example.", "prefix", 5),),
        )
    }  # fmt: skip
    assert settings.has_realms_on_demand and settings.options_on_demand() == RealmOptions()
    assert settings.permissions() == {
        "realm1": {
            "backend": True,
            "anonymous": {"permissions": [{"uri": "com.example.*", "allow": ["call"], "disclose": {"caller": True}}]},
        },
        "*": {"anonymous": True},
    }
    assert settings.auth() == {
        "realm1": {
            "anonymous": {},
            "ticket": {"principals": {"joe": {"ticket": ["old", "new"], "role": "backend"}}},
            "wampcra": {"file": str(tmp_path / "cra.json")},
        },
        "*": {"anonymous": {}},
    }
    assert [listener.url for listener in settings.listeners] == ["ws://127.0.0.1:0/ws"]
    assert not settings.listeners[0].is_secure


def changed(old, new):
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        (changed("hello_timeout = 3", "hallo_timeout = 3"), 3, "router.hallo_timeout", "did you mean 'hello_timeout'?"),
        (changed("[router]", "[routr]"), 2, "routr", "did you mean 'router'?"),
        (changed("hello_timeout = 3", "hello_timeout = 0"), 3, "router.hello_timeout",
         "expected a number from 0.001, got 0"),
        (changed("hello_timeout = 3", "hello_timeout = '3'"), 3, "router.hello_timeout", "expected a number from 0.001, got '3'"),
        (changed("hello_timeout = 3", "hello_timeout = inf"), 3, "router.hello_timeout", "expected a number from 0.001, got inf"),
        (changed("max_calls = 100", "max_calls = -1"), 6, "realms.realm1.max_calls", "expected a number from 0, got -1"),
        (changed("max_calls = 100", "max_calls = 1.5"), 6, "realms.realm1.max_calls", "expected an integer, got 1.5"),
        (changed("max_calls = 100", "max_calls = true"), 6, "realms.realm1.max_calls", "expected an integer, got true"),
        (changed("max_calls = 100", "disclose_caller = 'sometimes'"), 6, "realms.realm1.disclose_caller",
         'expected one of "ask", "always", "never", got \'sometimes\''),
        (changed("backend = 1 }", "backend = 'x' }"), 7, "realms.realm1.trustlevels.backend", "expected an integer, got 'x'"),
        (changed('uri = "com.example.", match', "uir = 'com.example', match"), 9, "realms.realm1.history[0].uir", "did you mean 'uri'?"),
        (changed("roles.anonymous = true", "roles = {}"), 25, 'realms."*".roles', "expected at least one role, got none"),
        (changed('allow = ["call"]', 'allow = ["cal"]'), 15, "realms.realm1.roles.anonymous.permissions[0].allow[0]",
         "did you mean 'call'?"),
        (changed("backend = true\n", "backend = false\n"), 12, "realms.realm1.roles.backend", "expected true, got false"),
        (changed('role = "backend"', 'role = "nobody"'), 20, "realms.realm1.auth.ticket.principals.joe.role",
         "expected a role of the realm 'realm1' (backend, anonymous), got 'nobody'"),
        (changed('ticket = ["old", "new"]', ""), 18, "realms.realm1.auth.ticket", "expected either ticket or ticket_hash"),
        (changed('"cra.json"', '"none.json"'), 22, "realms.realm1.auth.wampcra.file", "No such file or directory"),
        (changed("[realms.realm1.auth.anonymous]", "[realms.realm1.auth.anonym]"), 17, "realms.realm1.auth.anonym",
         "did you mean 'anonymous'?"),
        (changed('[realms."*"]', "[realms.'no uri']"), 24, 'realms."no uri"', "expected a URI, got 'no uri'"),
        (changed("[[listeners]]", "[[listener]]"), 27, "listener", "did you mean 'listeners'?"),
        (changed('url = "ws://127.0.0.1:0/ws"', ""), 27, "listeners[0]", "expected the key 'url', got none"),
        (changed('url = "ws', 'mode = "999"\nurl = "ws'), 28, "listeners[0].mode", "expected permissions in octal digits"),
        (GOOD + "tls = {}", 29, "listeners[0].tls", "expected the key 'certificate', got none"),
        (changed('[realms.realm1.roles.anonymous]\npermissions = [', "[realms.realm1.roles.anonymous]\nttl = 1\npermissions = ["), None, None, None),
        ("[realms]\na = 1\n[[listeners]]\nurl = 'ws://x'", 2, "realms.a", "expected a table, got 1"),
        ("realms = {}\nlisteners = []", 1, "realms", "expected at least one realm, got none"),
        ("a = \n", 1, "", "expected TOML, got an error: Invalid value"),
        ("[a\n", 1, "", "expected TOML"),
        ('x = """', 1, "", "expected TOML"),
        ("a = 1\na = 2", 2, "", "expected TOML"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_line(file, text, line, key, message):
    found = problems(file(text))
    if line is None:
        assert found == []
        return
    assert (line, key) in [entry[:2] for entry in found], found
    (text,) = [entry[2] for entry in found if entry[:2] == (line, key)][:1]
    assert message in text
    assert "expected" in text


def test_all_mistakes_are_told_at_once(file):
    text = changed("max_calls = 100", "max_cals = 100").replace('role = "backend"', 'role = "x"').replace("ws://", "")
    text = text.replace('["call"]', '["x"]').replace("hello_timeout = 3", "hello_timeout = true")
    assert [entry[0] for entry in problems(file(text))] == [3, 6, 15, 20]


def test_a_file_that_is_none(tmp_path):
    assert "expected a file that can be read: No such file" in problems(tmp_path / "nothing.toml")[0][2]
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = '\xe9'")
    assert problems(path) == [(None, "", "expected UTF-8, got invalid continuation byte")]


def test_secrets_are_not_told(file):
    text = changed('ticket = ["old", "new"]', "ticket = 4711\nprovider = 1")
    assert [entry[2] for entry in problems(file(text))] == [
        "expected a text or a list, got a number", "expected a text, got 1",
    ]  # fmt: skip


def test_control_characters_of_keys_do_not_reach_a_terminal(file):
    with pytest.raises(SettingsError) as caught:
        read(file('"\\u001b[31m" = 1\n' + GOOD)).check()
    assert "\x1b" not in str(caught.value)


def test_windows_line_ends(file):
    assert problems(file(changed("max_calls = 100", "max_calls = 'x'").replace("\n", "\r\n")))[0][0] == 6


def test_every_method_of_authentication_can_be_configured():
    assert set(keys_of(AuthSettings)) == set(METHODS)


def test_the_development_mode_allows_everything():
    settings = development("ws://127.0.0.1:0/ws")
    assert settings.has_realms_on_demand and settings.permissions() == {"*": {"anonymous": True}}
    assert settings.router.drain == 0
    assert list(development("ws://127.0.0.1:0/ws", ("com.a", "com.b")).options()) == ["com.a", "com.b"]


# ---- where keys stand -------------------------------------------------------------------------------------------

KEYS = st.one_of(st.sampled_from(["a", "b-c", "1", "_"]), st.text(st.characters(exclude_categories=["C"]), max_size=5))
SCALARS = st.one_of(
    st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.dates(), st.datetimes(),
    st.text(st.characters(exclude_categories=["C"]), max_size=9), st.sampled_from(["#", "]", '"""', "\\", "a = 1", "'''"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(KEYS, v, max_size=3)), max_leaves=8
)
TABLES = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, min_size=1, max_size=3)), max_size=4)


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def written(value, multiline):
    """TOML of a value; lists over several lines."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if "'" not in value and multiline:
            return f"'''\n{value}'''"
        return quoted(value)
    if isinstance(value, list):
        gap = "\n # ]\n" if multiline else " "
        return f"[{gap}" + "".join(f"{written(item, multiline)}{gap},{gap}" for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)} = {written(v, False)}" for k, v in value.items()) + "}"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def paths_of(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths_of(item, (*path, key))


@settings(deadline=None)
@given(TABLES, st.lists(st.dictionaries(KEYS, SCALARS, max_size=2), max_size=3), st.booleans())
def test_the_lines_are_those_of_every_key_that_tomllib_finds(tables, array, multiline):
    lines, expected = [], {}
    plain = {name: value for name, value in tables.items() if not isinstance(value, dict)}
    for name, value in plain.items():
        expected[name,] = sum(text.count("\n") + 1 for text in lines) + 1
        lines.append(f" {quoted(name)} = {written(value, multiline)} # = [x]")
    for name, table in tables.items():
        if name not in plain:
            expected[name,] = sum(text.count("\n") + 1 for text in lines) + 1
            lines.append(f"[ {quoted(name)} ] # {{")
            for key, value in table.items():
                expected[name, key] = sum(text.count("\n") + 1 for text in lines) + 1
                lines.append(f"{quoted(key)}={written(value, multiline)}")
    for number, table in enumerate(array):
        expected["the array", number] = sum(text.count("\n") + 1 for text in lines) + 1
        lines += ['[["the array"]]', *(f"{quoted(key)} = {written(value, False)}" for key, value in table.items())]
    text = "\n".join(lines)
    data = tomllib.loads(text)
    found = key_lines(text)
    assert set(found) == set(paths_of(data))
    assert {path: found[path] for path in expected} == expected
    assert list(found.values()) and max(found.values()) <= text.count("\n") + 1 if found else not data


def test_tables_within_arrays_and_dotted_keys():
    text = "[[a]]\nb.c = 1\n[a.d]\ne = 2\n[[a.f]]\n[[a.f]]\n[[a]]\n[a.d]\n"
    assert key_lines(text) == {
        ("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2, ("a", 0, "b", "c"): 2, ("a", 0, "d"): 3, ("a", 0, "d", "e"): 4,
        ("a", 0, "f"): 5, ("a", 0, "f", 0): 5, ("a", 0, "f", 1): 6, ("a", 1): 7, ("a", 1, "d"): 8,
    }  # fmt: skip


def test_keys_are_written_as_in_a_file():
    assert key_text(("realms", "com.example", "a-b", 0, 'x"y')) == 'realms."com.example".a-b[0]."x\\"y"'


STORE = """\
[realms.one]
store = "{}"

[realms.one.roles]
user = true

[realms.one.auth.anonymous]
role = "user"

[[listeners]]
url = "ws://127.0.0.1:0/ws"
"""


def test_the_store_of_a_realm_is_beside_the_file(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(STORE.format("events.sqlite"))
    assert load_settings(path).options()["one"].store == str(tmp_path / "events.sqlite")
    path.write_text(STORE.format("missing/events.sqlite"))
    with pytest.raises(
        SettingsError, match=r"router.toml:2: realms.one.store: expected a file in a folder that exists"
    ):
        load_settings(path)
