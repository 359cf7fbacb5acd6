"""Names that a module offers and another one defines, imported when a program first asks for them (PEP 562).

What an import costs is paid by every program, whatever it uses. A package or facade therefore imports at once only what
its own code needs, and offers the rest. Type checkers see ordinary imports; at run time, nobody sees a difference.

    if TYPE_CHECKING:
        from autobahn.asyncio.runner import ApplicationRunner as ApplicationRunner
    else:
        __getattr__, __dir__ = _lazy.offer(__name__, {"autobahn.asyncio.runner": ["ApplicationRunner"]})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def offer(
    module: str, names_of: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], Iterable[str]]]:
    """``__getattr__`` and ``__dir__`` of ``module``, which offers the ``names_of`` other modules.

    Those of the other modules that are submodules of a package are offered themselves, too.
    """
    this = sys.modules[module]
    defined_in = {name: source for source, names in names_of.items() for name in names}
    submodules = {source.rpartition(".")[2]: source for source in names_of if source.rpartition(".")[0] == module}

    def get(name: str) -> Any:
        """What ``name`` stands for; it is an ordinary attribute from then on."""
        from importlib import import_module  # costs something itself

        if name in defined_in:
            value = getattr(import_module(defined_in[name]), name)
        elif name in submodules:
            value = import_module(submodules[name])
        else:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name, obj=this)
        setattr(this, name, value)
        return value

    return get, lambda: {*vars(this), *defined_in, *submodules}
