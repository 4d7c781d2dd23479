"""The three methods of ``ssl.SSLContext`` through which a context gets its trust anchors.

They are replaced in place, on the real class.  A replacement class would miss code that imported the name earlier,
recurse in the property setters (https://github.com/sethmlarson/truststore/issues/121), and change contexts that were
never meant for the system store.

And ``get_default_verify_paths``, which names the store to libraries with a TLS stack of their own; and the two
``do_handshake`` that the standard library and asyncio go through: a refusal gets a note there, on what to do about it.

Where the operating system verifies (Windows, macOS), the store has more to replace on the same class; that is done when
the first context gets default trust.
"""

import sys
from _thread import RLock
from functools import partial, wraps
from types import MethodType

from .. import _record
from . import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType
    from typing import Any

_METHODS = ("load_default_certs", "set_default_verify_paths", "load_verify_locations")

# For each class that was patched: its module, the replacements, and what the class itself had under their names.
# More than one class: importlib.reload(ssl) makes a new one, and gevent and eventlet import a second ssl module.
_replaced: "dict[type | ModuleType, tuple[ModuleType, dict[str, object], dict[str, object]]]" = {}
# Those that are patched completely: not while a patch is made or undone, nor after an interrupt (Ctrl-C) in between.
_whole: "set[type]" = set()
# Those on which the store, too, has replaced what it needs: where the operating system verifies.
_interposed: "set[type]" = set()
_lock = RLock()


def patch(module: "ModuleType") -> None:
    """Replace the three methods of the stock class, and the handshakes."""
    # Not module.SSLContext itself: gevent, eventlet and truststore put a subclass of theirs there.
    cls = next(cls for cls in module.SSLContext.__mro__ if module._SSLContext in cls.__bases__)
    if cls in _whole:
        return
    if cls in _replaced:
        unpatch(module)  # what an interrupt left behind
    for holder, replacements in {
        cls: _replacements(module, cls),
        module: _paths(module),
        **_handshakes(module),
    }.items():
        _replaced[holder] = module, {}, {}
        _replace(holder, replacements)
    _whole.add(cls)


def unpatch(module: "ModuleType") -> None:
    """Put the methods back.  Two of them are inherited from C: there the attribute is deleted."""
    for cls in [cls for cls in _replaced if _replaced[cls][0] is module]:
        try:
            _lock.acquire()
            _whole.discard(cls)
        finally:
            _release()
        stores = _stores() if cls in _interposed else None
        if stores is not None:
            stores.release(cls)  # first: while the methods are there, no thread meets a context that is in the making
        _put_back(cls)
        _interposed.discard(cls)
        _replaced.pop(cls, None)  # last: another call goes on where an interrupt came


def _replace(cls: "type | ModuleType", attributes: "dict[str, object]") -> None:
    _, replacements, own = _replaced[cls]
    for name, attribute in attributes.items():
        if name in vars(cls):
            own[name] = vars(cls)[name]
        replacements[name] = attribute
        setattr(cls, name, attribute)


def _put_back(cls: "type | ModuleType", names: "Iterable[str] | None" = None) -> None:
    """Undo `_replace` for `names`, or for all that it replaced."""
    _, replacements, own = _replaced[cls]
    for name in list(replacements) if names is None else names:
        if name not in replacements or vars(cls).get(name) is not replacements[name]:
            continue  # a patch that was cut short, or somebody wrapped ours: theirs is not ours to remove
        if name in own:
            setattr(cls, name, own[name])
        else:
            delattr(cls, name)


def _interpose(cls: type, interpositions: "Callable[[], dict[str, object]]") -> bool:
    """Replace what the store needs to, once.  False if the patch was undone meanwhile."""
    try:
        _lock.acquire()  # two threads would wrap each other's
        if cls not in _whole:
            return False
        if cls not in _interposed:
            attributes = interpositions()
            try:
                _replace(cls, attributes)
                _interposed.add(cls)
            except BaseException:  # an interrupt (Ctrl-C): half of it would refuse every server
                _put_back(cls, attributes)
                raise
        return True
    finally:
        _release()


def _release() -> None:
    """Not ``with _lock``: Ctrl-C between the acquiring and the block leaves it held (https://bugs.python.org/issue29988)."""
    try:
        _lock.release()
    except RuntimeError:  # it came before that
        pass


def _replacements(module: "ModuleType", cls: type) -> "dict[str, object]":
    server_auth = module.Purpose.SERVER_AUTH
    stock_default_certs, stock_verify_paths, stock_verify_locations = (getattr(cls, name) for name in _METHODS)
    # The contexts that are inside the stock load_default_certs, which calls set_default_verify_paths.
    stock_only: set[int] = set()

    def load_system_store(context: "ssl.SSLContext", stock: "partial[None]", instead_of: "Sequence[Any]" = ()) -> bool:
        stores = _stores()
        if stores is None or not is_client(context):
            return False
        try:
            if stores.interpositions is not None and not _interpose(cls, lambda: stores.interpositions(cls)):
                return False
        except Exception as error:
            _record.note(f"the system store is not used: {type(error).__name__}: {error}")
            return False
        return bool(stores.load(context, stock, instead_of))

    def is_client(context: "ssl.SSLContext") -> bool:
        # A server verifies its clients: the anchors for that are chosen on purpose, a bundle too.  Something that is no
        # context at all is stock's to report.
        try:
            return bool(context.protocol != module.PROTOCOL_TLS_SERVER)
        except Exception:
            return False

    def load_stock(context: "ssl.SSLContext", purpose: "ssl.Purpose" = server_auth) -> None:
        try:
            stock_only.add(id(context))
            stock_default_certs(context, purpose)
        finally:
            stock_only.discard(id(context))

    def load_default_certs(self: "ssl.SSLContext", purpose: "ssl.Purpose" = server_auth) -> None:
        if purpose is not server_auth:
            load_stock(self, purpose)
            return
        stores = _stores()
        if stores is None or stores.interpositions is None:
            stock_default_certs(self, purpose)  # calls set_default_verify_paths, which is ours
        elif not load_system_store(self, partial(load_stock)):
            load_stock(self, purpose)

    def set_default_verify_paths(self: "ssl.SSLContext") -> None:
        if id(self) in stock_only or not load_system_store(self, partial(stock_verify_paths)):
            stock_verify_paths(self)

    def load_verify_locations(self: "ssl.SSLContext", *args: "Any", **kwargs: "Any") -> None:
        stores = _stores()
        asked = None if stores is None else stores.request(*args, **kwargs)
        if stores is None or asked is None:
            stock_verify_locations(self, *args, **kwargs)
            return
        if (asked.own or not asked.carried) and not stores.share(self, asked.own):
            stock_verify_locations(self, **asked.own)
        if asked.carried:
            stock = partial(stock_verify_locations, **asked.carried)
            if not load_system_store(self, stock, asked.bundles):
                stock(self)
        elif asked.default is not None and is_client(self):
            stores.complete(self, asked.default == "capath")

    replacements = {
        "load_default_certs": wraps(stock_default_certs)(load_default_certs),
        "set_default_verify_paths": _Method(module, stock_verify_paths, set_default_verify_paths),
        "load_verify_locations": _Method(module, stock_verify_locations, load_verify_locations),
    }
    load_default_certs.__annotations__.clear()  # stock's has none, and typing.get_type_hints cannot look ours up
    return replacements


class _Method:
    """Stands in for a method in C: pickle, inspect, typing and unittest.mock treat it as they treat the original.

    Not so a function: ``mock.patch.object(..., autospec=True)`` passes `self` on to what replaces it.
    """

    def __init__(self, module: "ModuleType", stock: "Any", function: "Callable[..., None]") -> None:
        self.__wrapped__ = stock
        self.__name__, self.__qualname__, self.__doc__ = stock.__name__, stock.__qualname__, stock.__doc__
        self.__module__, self.__annotations__ = module.__name__, {}
        self._module, self._function = module, wraps(stock)(function)

    def __get__(self, instance: object, owner: "type | None" = None) -> "Any":
        return self if instance is None else MethodType(self._function, instance)

    def __call__(self, *args: "Any", **kwargs: "Any") -> None:
        self._function(*args, **kwargs)

    def __reduce__(self) -> "tuple[Any, ...]":
        return getattr, (self._module.SSLContext, self.__name__)


_Method.__name__ = "function"  # by which people tell a patched method from one in C


def _paths(module: "ModuleType") -> "dict[str, object]":
    """``get_default_verify_paths``, which pyarrow and pygit2 ask for a file to give to a TLS stack of their own.

    Where OpenSSL itself does not read all of the store, it names a file that holds it all.
    https://github.com/apache/arrow/issues/37001
    """
    stock = module.get_default_verify_paths

    @wraps(stock)
    def get_default_verify_paths() -> "Any":
        paths = stock()
        try:
            stores = _stores()
            if stores is None or stores.is_all_by_itself():
                return paths
            from . import system_file

            file = system_file()
            return paths if file is None else paths._replace(cafile=file, capath=None)
        except Exception:  # the package was half removed: what the program gets is stock's answer
            return paths

    get_default_verify_paths.__annotations__.clear()
    return {"get_default_verify_paths": get_default_verify_paths}


def _handshakes(module: "ModuleType") -> "dict[type, dict[str, object]]":
    """``do_handshake`` of the two classes, with a note on a refusal; nothing before Python 3.11, which has no notes.

    A class without one (a second ssl module may lack it) is left alone: the note is a convenience.
    """
    if sys.version_info < (3, 11):
        return {}
    classes = [getattr(module, name, None) for name in ("SSLSocket", "SSLObject")]
    return {
        cls: {"do_handshake": _noting(cls.do_handshake, module.SSLCertVerificationError)}
        for cls in classes
        if cls is not None and "do_handshake" in vars(cls)
    }


def _noting(stock: "Callable[..., None]", refusal: "type[ssl.SSLCertVerificationError]") -> "Callable[..., None]":
    @wraps(stock)
    def do_handshake(self: "Any", *args: "Any", **kwargs: "Any") -> None:
        try:
            stock(self, *args, **kwargs)
        except refusal as error:
            try:
                own("_advice").add_note(error, self)
            except Exception:  # the package was half removed: what the program gets is the refusal
                pass
            raise

    return do_handshake


def _stores() -> "ModuleType | None":
    """Imported for the first context: many programs import ssl and never make one."""
    try:
        stores = own("stores")
        if not hasattr(stores, "load"):  # a folder without its __init__.py can be imported too
            raise ImportError("a part of this package is missing")
    except Exception as error:  # the package was half removed after this process started: stock verification
        _record.note(f"the system store is not used: {type(error).__name__}: {error}")
        return None
    return stores
