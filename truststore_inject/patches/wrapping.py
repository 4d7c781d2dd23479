"""Functions of third-party libraries are wrapped here.

A Python function is replaced by a Python function, which binds, pickles and is introspected as before.  wrapt is for
everything else: importing it costs 45 ms, and it imports asyncio and so ssl, which gevent has to patch before anybody
else imports it (https://github.com/gevent/gevent/issues/1016).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Wrapper = Callable[[Callable[..., Any], Any, "tuple[Any, ...]", "dict[str, Any]"], Any]

# What holds the function, its name, what the holder itself had under that name, and the wrapper.
_wrapped: "list[tuple[object, str, object, object]]" = []

_ABSENT = object()
_GENERATOR_OR_COROUTINE = 0x20 | 0x80 | 0x200  # the flags of a code object, see `inspect`


def wrap(holder: object, name: str, wrapper: "Wrapper") -> None:
    """Replace ``holder.name`` by ``wrapper(wrapped, instance, args, kwargs)``.  A second call changes nothing."""
    if any(entry[0] is holder and entry[1] == name for entry in _wrapped):
        return
    own = vars(holder).get(name, _ABSENT)
    try:
        setattr(holder, name, _replacement(holder, name, wrapper))
        _wrapped.append((holder, name, own, vars(holder)[name]))
    except BaseException:  # an interrupt too
        _put_back(holder, name, own)
        raise


def unwrap(holder: object) -> None:
    """Put all of `holder` back, except what somebody wrapped again: theirs is not ours to remove."""
    for entry in [entry for entry in _wrapped if entry[0] is holder]:
        _, name, own, ours = entry
        if vars(holder).get(name) is ours:
            _put_back(holder, name, own)
        _wrapped.remove(entry)


def _replacement(holder: object, name: str, wrapper: "Wrapper") -> object:
    """What takes the place of ``holder.name``."""
    holders = holder.__mro__ if isinstance(holder, type) else (holder,)
    stock: Any = next((vars(one)[name] for one in holders if name in vars(one)), _ABSENT)
    if stock is _ABSENT:
        stock = getattr(holder, name)  # a module's __getattr__
    if type(stock) is not type(wrap) or stock.__code__.co_flags & _GENERATOR_OR_COROUTINE:
        import wrapt

        return wrapt.FunctionWrapper(stock, wrapper)
    from functools import wraps

    if not isinstance(holder, type):
        return wraps(stock)(lambda *args, **kwargs: wrapper(stock, None, args, kwargs))

    @wraps(stock)
    def method(self: "Any", /, *args: "Any", **kwargs: "Any") -> "Any":
        return wrapper(stock.__get__(self), self, args, kwargs)

    return method


def _put_back(holder: object, name: str, own: object) -> None:
    if own is not _ABSENT:
        setattr(holder, name, own)
    elif name in vars(holder):
        delattr(holder, name)
