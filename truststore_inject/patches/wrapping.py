"""Functions of third-party libraries are wrapped with wrapt, which costs 45 ms and is imported here only."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What holds the function, its name, what it had of its own under that name, and the wrapper.
_wrapped: "list[tuple[object, str, object, object]]" = []

_ABSENT = object()


def wrap(holder: object, name: str, wrapper: "Callable[..., object]") -> None:
    """Let ``holder.name`` be ``wrapper(wrapped, instance, args, kwargs)``.  A second call changes nothing."""
    if any(entry[0] is holder and entry[1] == name for entry in _wrapped):
        return
    import wrapt

    own = vars(holder).get(name, _ABSENT)
    wrapt.wrap_function_wrapper(holder, name, wrapper)
    _wrapped.append((holder, name, own, vars(holder)[name]))


def unwrap(holder: object) -> None:
    """Put all of `holder` back, except what somebody wrapped again: theirs is not ours to remove."""
    for entry in [entry for entry in _wrapped if entry[0] is holder]:
        _wrapped.remove(entry)
        _, name, own, ours = entry
        if vars(holder).get(name) is not ours:
            continue
        if own is _ABSENT:
            delattr(holder, name)
        else:
            setattr(holder, name, own)
