"""Build the compiled units when Cython and a C compiler are there; install without it otherwise."""

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
        shell = [f"_{name}.pxi" for name in ("gather", "copy", "socket", "pump", "poller")]
        octets = ["websocket/_octets.pxi", "websocket/_utf8.h"]
        frames = [f"websocket/_{name}.pxi" for name in ("handing", "writer", "pump")]
        formats = [f"router/_{name}" for name in ("formats.pxi", "formats.h", "cbor.h", "json.h", "msgpack.h")]
        parts = {
            "websocket._frames": [*shell, *octets, *frames],
            "rawsocket._frames": [*shell, "_lane.pxi"],
            "wamp._cbor": [],
            "router._lane": ["_lane.pxi", "websocket/_utf8.h", *formats],
        }
        extensions = cythonize(
            [
                Extension(
                    f"autobahn.{name}",
                    [f"src/autobahn/{name.replace('.', '/')}.pyx"],
                    depends=[f"src/autobahn/{part}" for part in included],
                    include_dirs=["src/autobahn/websocket"],  # of _utf8.h
                    extra_compile_args=["-O3"] if os.name == "posix" else ["/O2"],
                )
                for name, included in parts.items()
            ],
            language_level=3,
        )
        for extension in extensions:  # set afterwards: cythonize makes Extension objects of its own
            extension.optional = True  # no compiler: the Python twin serves

setup(ext_modules=extensions)
