"""Names of options that nobody knows are refused with those that are known, and the one that may be meant."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def expect_names(given: Iterable[str], known: Collection[str], what: str = "options") -> None:
    """Raises `TypeError` when one of `given` is none of the `known` names of `what`."""
    if unknown := sorted(set(given).difference(known)):
        known = sorted(known) if isinstance(known, frozenset) else list(known)
        import difflib  # only programs with a mistake pay for it

        near = difflib.get_close_matches(unknown[0].lower(), {name.lower() for name in known}, 1)
        meant = [name for name in known if near and name.lower() == near[0]]
        hint = f" (did you mean {meant[0]!r}?)" if meant else ""
        raise TypeError(f"expected {what} out of {', '.join(known)}, got {unknown[0]!r}{hint}")


def named_options(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, whose keyword arguments are options that a user may misspell."""
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]  # without `self`
    names = frozenset(known)
    what = f"options of {function.__qualname__.removesuffix('.__init__')}"

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if not names.issuperset(kwargs):
            expect_names(kwargs, known, what)
        return function(*args, **kwargs)

    return checked
