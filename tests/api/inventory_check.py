"""Compares what is documented (a table of names and signatures) with what is there.

A table is JSON: ``{module: {name: entry}}``. An entry has ``kind`` ("class", "exception", "function", "constant",
"reexport") and as they apply ``init`` and ``signature`` (texts like ``(a, b=None, *, c=1)``, without self; a default
of ``...`` means: any), ``methods`` (name -> signature), ``attributes``, ``value`` (of a constant), ``of`` (of a
reexport), ``bases``.

What is left out on purpose stands in a dict of the test: ``(module, name or None, member or None) -> reason``; None
in front of a member stands for all.
"""

import ast
import importlib
import inspect
import json

EMPTY = inspect.Parameter.empty


def load(path):
    return json.loads(path.read_text())


def names_of(table, omitted=None):
    """``(module, name)`` of everything in the table that is not left out."""
    return [(m, n) for m in table for n in table[m] if not is_omitted(omitted or {}, m, n)]


def is_omitted(omitted, module, name=None, member=None):
    keys = [(module, None, None), (module, name, None)]
    if member is not None:
        keys += [(module, name, member), (None, None, member), (None, name, member)]
    return any(key in omitted for key in keys)


def parameters(text):
    """``[(name, kind, default)]`` of a documented signature; default is EMPTY, a value, or Ellipsis for "any"."""
    arguments = ast.parse(f"def f{text}: pass").body[0].args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    found = [(p.arg, "positional", _value(d)) for p, d in zip(positional, defaults, strict=True)]
    if arguments.vararg is not None:
        found.append((arguments.vararg.arg, "star", EMPTY))
    found += [(p.arg, "keyword", _value(d)) for p, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg is not None:
        found.append((arguments.kwarg.arg, "stars", EMPTY))
    return found


def _value(node):
    return EMPTY if node is None else ast.literal_eval(node)


def check_signature(function, text, where, bound=False):
    """Every documented call works: the same names in the same places with the same defaults; ours need none more."""
    ours = list(inspect.signature(function).parameters.values())
    if bound:
        ours = ours[1:]
    by_name = {p.name: p for p in ours}
    kinds = {p.kind for p in ours}
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    places = [p.name for p in ours if p.kind in {p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY}]
    documented = parameters(text)
    for place, (name, kind, default) in enumerate(documented):
        if kind == "star":
            assert inspect.Parameter.VAR_POSITIONAL in kinds, f"{where}: expected *{name}"
        elif kind == "stars":
            assert takes_any, f"{where}: expected **{name}"
        elif name not in by_name:
            assert takes_any, f"{where}: expected a parameter {name}, got {list(by_name)}"
        else:
            if kind == "positional" and places:
                at = places.index(name) if name in places else None
                assert at == place, f"{where}: expected {name} as number {place}, got {at}"
            check_default(by_name[name], default, where)
    known = {name for name, _, _ in documented}
    for p in ours:
        if p.name not in known and p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}:
            assert p.default is not EMPTY, f"{where}: expected a default for {p.name}"


def check_default(parameter, documented, where):
    if documented is EMPTY:
        return
    assert parameter.default is not EMPTY, f"{where}: expected {parameter.name} to have a default"
    if documented is not ...:
        same = parameter.default == documented and type(parameter.default) is type(documented)
        assert same, f"{where}: expected {parameter.name}={documented!r}, got {parameter.default!r}"


def check_method(cls, name, text, where):
    """A method, static method or class method with the documented signature."""
    assert hasattr(cls, name), f"{where}: expected a method {name}"
    function = inspect.getattr_static(cls, name)
    if isinstance(function, property):
        raise AssertionError(f"{where}.{name}: expected a method, got a property")
    if isinstance(function, staticmethod | classmethod):
        check_signature(function.__func__, text, f"{where}.{name}", bound=isinstance(function, classmethod))
    elif inspect.isroutine(function):
        try:
            inspect.signature(function)
        except ValueError:
            return  # a slot of a C type
        check_signature(function, text, f"{where}.{name}", bound=True)
    else:
        assert callable(getattr(cls, name)), f"{where}: expected a method {name}, got {function!r}"


def has_attribute(cls, example, attribute):
    if hasattr(cls, attribute) or (example is not None and hasattr(example, attribute)):
        return True
    return example is None and not inspect.isabstract(cls) and attribute in inspect.signature(cls).parameters


def check(table, module, name, omitted=None, example=None):
    """The entry holds. ``example(module, name, cls)`` may give an object to look for instance attributes on."""
    entry = table[module][name]
    thing = getattr(importlib.import_module(module), name)
    where = f"{module}.{name}"
    if entry["kind"] == "reexport":
        if "of" not in entry:
            return
        origin, _, original = entry["of"].rpartition(".")
        assert thing is getattr(importlib.import_module(origin), original), f"{where}: expected {entry['of']}"
    elif entry["kind"] == "constant":
        assert entry.get("value", thing) == thing, f"{where}: expected {entry['value']!r}, got {thing!r}"
    elif entry["kind"] == "function":
        check_signature(thing, entry["signature"], where)
    else:
        assert isinstance(thing, type), f"{where}: expected a class, got {thing!r}"
        check_class(thing, entry, module, name, omitted or {}, example)


def check_class(cls, entry, module, name, omitted, example):
    where = f"{module}.{name}"
    for base in entry.get("bases", ()):
        origin, _, original = base.rpartition(".")
        assert issubclass(cls, getattr(importlib.import_module(origin), original)), f"{where}: expected base {base}"
    if "init" in entry and not inspect.isabstract(cls) and not is_omitted(omitted, module, name, "__init__"):
        check_signature(cls, entry["init"], where)
    for method, text in entry.get("methods", {}).items():
        if not is_omitted(omitted, module, name, method):
            check_method(cls, method, text, where)
    thing = None if example is None else example(module, name, cls)
    for attribute in entry.get("attributes", ()):
        if not is_omitted(omitted, module, name, attribute):
            assert has_attribute(cls, thing, attribute), f"{where}: expected an attribute {attribute}"
    for attribute, value in entry.get("values", {}).items():
        if not is_omitted(omitted, module, name, attribute):
            got = getattr(cls, attribute)
            assert got == value, f"{where}.{attribute}: expected {value!r}, got {got!r}"
