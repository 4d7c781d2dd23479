"""urllib3 uses ``ssl``, except for its contrib.pyopenssl, which has a context class of its own.

That class lacks the ``load_default_certs`` that urllib3 calls when no CA is named: stock trusts nothing there.
"""

from . import Submodule, submodules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> None:
    """Have its submodule patched when it is imported."""
    submodules["urllib3.contrib.pyopenssl"] = Submodule(_give_load_default_certs, _take_load_default_certs)


def unpatch(module: "ModuleType") -> None:
    """Nothing of urllib3 itself was replaced."""


def _give_load_default_certs(pyopenssl: "ModuleType") -> None:
    if not hasattr(pyopenssl.PyOpenSSLContext, "load_default_certs"):
        pyopenssl.PyOpenSSLContext.load_default_certs = _load_default_certs


def _take_load_default_certs(pyopenssl: "ModuleType") -> None:
    if vars(pyopenssl.PyOpenSSLContext).get("load_default_certs") is _load_default_certs:
        del pyopenssl.PyOpenSSLContext.load_default_certs


def _load_default_certs(self: "Any") -> None:
    self.set_default_verify_paths()
