"""Build the compiled frame units when Cython and a C compiler are there; install without it otherwise."""

import os

from setuptools import Extension, setup

if os.environ.get("AUTOBAHN_PURE"):
    extensions = []
else:
    try:
        from Cython.Build import cythonize
    except ImportError:
        extensions = []
    else:
        parts = {
            "websocket._frames": ["_gather", "websocket/_octets", "websocket/_writer", "websocket/_pump"],
            "rawsocket._frames": ["_gather", "_lane"],
            "router._lane": ["_lane", "websocket/_octets", "router/_formats"],
        }
        extensions = cythonize(
            [
                Extension(
                    f"autobahn.{name}",
                    [f"src/autobahn/{name.replace('.', '/')}.pyx"],
                    depends=[f"src/autobahn/{part}.pxi" for part in included],
                    extra_compile_args=["-O3"] if os.name == "posix" else ["/O2"],
                )
                for name, included in parts.items()
            ],
            language_level=3,
        )
        for extension in extensions:  # set afterwards: cythonize makes Extension objects of its own
            extension.optional = True  # no compiler: the Python twin serves

setup(ext_modules=extensions)
