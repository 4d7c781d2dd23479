"""For PYTHONPATH, on Linux: this interpreter takes itself for one on macOS.

The real truststore asks a stand-in for the Security framework, compiled from security.c: ``STANDIN_LIBRARY``.
"""

import os
import sys

if os.environ.get("TRUSTSTORE_INJECT") != "0":
    # What is imported before the system changes is that of this one.
    import ctypes
    import ctypes.util
    import platform

    Real = ctypes.CDLL

    class CDLL(Real):
        def __init__(self, name, *arguments, **options):
            framework = name is not None and ".framework/" in name
            super().__init__(os.environ["STANDIN_LIBRARY"] if framework else name, *arguments, **options)

    class Sys:
        platform = "darwin"

        def __getattr__(self, name):
            return getattr(sys, name)

    ctypes.CDLL = CDLL
    platform.system = lambda: "Darwin"
    platform.mac_ver = lambda *arguments: ("15.5", ("", "", ""), "arm64")

    # The .pth file has patched ssl already, or will: what the package takes the system from is imported anew.
    real, sys.platform = sys.platform, "darwin"
    try:
        for name in [name for name in sys.modules if name.startswith("truststore_inject.stores")]:
            del sys.modules[name]
        from truststore_inject import stores
        from truststore_inject.stores import _connection, _native, _os_anchors, _verifier
    finally:
        sys.platform = real
    for module in (stores, _connection, _native, _os_anchors, _verifier):
        if hasattr(module, "sys"):
            module.sys = Sys()
