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
    try:
        wrapt.wrap_function_wrapper(holder, name, wrapper)
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


def _put_back(holder: object, name: str, own: object) -> None:
    if own is not _ABSENT:
        setattr(holder, name, own)
    elif name in vars(holder):
        delattr(holder, name)
