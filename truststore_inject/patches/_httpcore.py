"""Under httpx: the note on a refused handshake, which httpcore's connection pool drops.

It raises ``ConnectError(refusal)`` ``from None``, so a traceback shows neither the refusal nor its note.
https://github.com/encode/httpcore/blob/master/httpcore/_sync/connection_pool.py (``raise exc from None``)
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def patch(module: "ModuleType") -> str | None:
    """Let ``httpcore.ConnectError`` take over the notes of the exception that it is made from."""
    if sys.version_info < (3, 11):
        return "exceptions have no notes before Python 3.11"
    cls = module.ConnectError
    if "__init__" in vars(cls):
        return None if vars(cls)["__init__"] is _init else "its ConnectError has an __init__ of its own"
    cls.__init__ = _init
    return None


def unpatch(module: "ModuleType") -> None:
    """Delete it: the class has none of its own."""
    if vars(module.ConnectError).get("__init__") is _init:
        del module.ConnectError.__init__


def _init(self: BaseException, *args: object) -> None:
    Exception.__init__(self, *args)
    for note in getattr(args[0], "__notes__", ()) if args else ():
        self.add_note(note)  # type: ignore[attr-defined, unused-ignore]
