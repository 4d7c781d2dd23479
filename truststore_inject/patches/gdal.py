"""GDAL, of which pyogrio, fiona and rasterio carry one each: the file that its libcurl reads anchors from.

At import they put certifi's file into ``GDAL_CURL_CA_BUNDLE``, a variable, unless it is set.  An option of that name
takes precedence over the variable, and no child of this process inherits it.
https://gdal.org/en/stable/user/configoptions.html
"""

from . import default_file, is_default, part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Get = Callable[[str], str | None]
    Set = Callable[[str, str | None], None]

_OPTION = "GDAL_CURL_CA_BUNDLE"

# For each patched module: what was in force in its GDAL, and the system store that is now.
_replaced: "dict[ModuleType, tuple[str, str]]" = {}


def use_system_store(module: "ModuleType", get: "Get", set_: "Set") -> str | None:
    """Make the option name the system store, if a library's own bundle is in force.  Otherwise return the reason.

    ``get(name)`` is the value in force, of the option or of the variable; ``set_(name, None)`` unsets the option.
    """
    stock = get(_OPTION)
    old, ours = _replaced.get(module, (None, None))
    if stock == ours is not None:
        return None
    if stock is None:
        return f"{_OPTION} is not set: GDAL's libcurl has a default of its own"
    if not is_default(stock):
        return f"{_OPTION} is the user's own: {stock}"
    path = default_file(stock)
    if path is None:
        return "no usable system store"
    _replaced[module] = old or stock, path
    set_(_OPTION, path)
    return None


def put_back(module: "ModuleType", get: "Get", set_: "Set") -> None:
    """Put back what was in force, unless another was chosen meanwhile."""
    stock, ours = _replaced.pop(module, (None, None))
    if ours is None or get(_OPTION) != ours:
        return
    set_(_OPTION, None)
    if get(_OPTION) != stock:  # it was the option, not the variable
        set_(_OPTION, stock)


def use_system_store_in_environments(module: "ModuleType") -> str | None:
    """As `use_system_store`, for fiona and rasterio.

    At the end of an ``Env`` that names a CA they delete the option, and the variable would be in force again.
    """
    from . import wrapping

    get, set_ = _access(module)

    def leave(
        wrapped: "Callable[..., object]", instance: object, args: "tuple[object, ...]", kwargs: "dict[str, object]"
    ) -> object:
        try:
            return wrapped(*args, **kwargs)
        finally:
            try:
                use_system_store(module, get, set_)
            except Exception:  # the program's Env is over all the same
                pass

    wrapping.wrap(part(module, "env").Env, "__exit__", leave)
    return use_system_store(module, get, set_)


def put_back_in_environments(module: "ModuleType") -> None:
    """Undo `use_system_store_in_environments`."""
    from . import wrapping

    wrapping.unwrap(part(module, "env").Env)
    put_back(module, *_access(module))


def _access(module: "ModuleType") -> "tuple[Get, Set]":
    env = part(module, "_env")

    def get(name: str) -> str | None:
        value: str | None = env.get_gdal_config(name, normalize=False)
        return value

    def set_(name: str, value: str | None) -> None:
        if value is None:
            env.del_gdal_config(name)
        else:
            env.set_gdal_config(name, value, normalize=False)

    return get, set_
