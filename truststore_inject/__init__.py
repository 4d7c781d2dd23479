"""Python programs in this environment verify TLS with the operating system's trust store.

Nothing has to be called: ``truststore-inject.pth`` arms the injection when the interpreter starts.
:func:`inject` is for interpreters that run no ``.pth`` files (frozen applications, embedded ones).
"""

__version__ = "0.2.0"
__all__ = ["__version__", "extract", "inject", "status"]

# site imports this package at every interpreter start, so it loads nothing by itself (PEP 562).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._startup import extract, inject
    from ._status import status


def __getattr__(name: str) -> object:
    if name not in ("extract", "inject", "status"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _startup

    return getattr(_startup.finder.own("_status") if name == "status" else _startup, name)


def _import_all() -> None:
    """Never called: Nuitka reads here that an application needs this too, see `_hook.import_all`."""
    from . import _status  # noqa: F401


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
