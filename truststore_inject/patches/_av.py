"""Unless a ``ca_file`` is named, PyAV's TLS library looks for anchors in one place, which in the wheels is Red Hat's.

https://ffmpeg.org/ffmpeg-protocols.html#tls
"""

from . import default_file, part, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

# Those of `open`.
_PARAMETERS = ("file", "mode", "format", "options", "container_options")
_CONTAINER_OPTIONS = 4


def patch(module: "ModuleType") -> str | None:
    """Wrap ``open``, in each of the modules that have it."""
    built = part(module, "_core").library_meta.get("libavformat", {}).get("configuration", "")
    if not any(f"--enable-{library}" in built for library in ("gnutls", "libtls", "mbedtls", "openssl")):
        return "its FFmpeg lets the operating system verify, or has no TLS"
    for holder in _holders(module):
        wrapping.wrap(holder, "open", _open)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the function back."""
    for holder in _holders(module):
        wrapping.unwrap(holder)


def _holders(module: "ModuleType") -> "tuple[ModuleType, ...]":
    container = part(module, "container")
    return module, container, part(container, "core")


def _open(wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Any":
    given = {**dict(zip(_PARAMETERS, args, strict=False)), **kwargs}
    path = default_file(_named(given)) if _reads_url(given) else None
    if path is not None:
        # These take precedence over `options`, which are the streams' too.
        ours = {**(given.get("container_options") or {}), "ca_file": path}
        if len(args) > _CONTAINER_OPTIONS:
            args = (*args[:_CONTAINER_OPTIONS], ours, *args[_CONTAINER_OPTIONS + 1 :])
        else:
            kwargs = {**kwargs, "container_options": ours}
    return wrapped(*args, **kwargs)


def _reads_url(given: "dict[str, Any]") -> bool:
    """What is written to a URL gets no options (``avio_open``)."""
    file, mode = given.get("file"), given.get("mode") or "r"
    return isinstance(file, str) and "://" in file and isinstance(mode, str) and mode[:1] == "r"


def _named(given: "dict[str, Any]") -> object:
    """The CA file that the program names.  Options that are not a mapping count as one: stock reports them."""
    for name in ("container_options", "options"):
        options = given.get(name) or {}
        if not isinstance(options, dict):
            return options
        for key in ("ca_file", "cafile"):  # the second is FFmpeg's older name
            if key in options:
                return options[key]
    return None
