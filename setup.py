"""Build the compiled frame unit when Cython and a C compiler are there; install without it otherwise."""

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
        extensions = cythonize(
            [
                Extension(
                    "autobahn.websocket._frames",
                    ["src/autobahn/websocket/_frames.pyx"],
                    depends=[f"src/autobahn/websocket/_{part}.pxi" for part in ("octets", "writer", "pump")],
                    extra_compile_args=["-O3"] if os.name == "posix" else ["/O2"],
                )
            ],
            language_level=3,
        )
        for extension in extensions:  # set afterwards: cythonize makes Extension objects of its own
            extension.optional = True  # no compiler: the Python twin serves

setup(ext_modules=extensions)
