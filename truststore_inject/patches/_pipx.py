"""pipx clears ``PYTHONPATH`` for pip and for the applications that it starts: the folder of ``run`` stays in it.

It does so because of what Homebrew puts there (https://github.com/pypa/pipx/issues/233), which still goes.
"""

import os

from . import Submodule, submodules, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_NAME = "_fix_subprocess_env"
_START_FOLDER = os.path.join("truststore_inject", "cli", "_run")  # cli/run.py


def patch(module: "ModuleType") -> None:
    """Wrap the function that all environments of children go through, when its module is imported."""
    submodules["pipx.util"] = Submodule(_wrap, wrapping.unwrap)


def unpatch(module: "ModuleType") -> None:
    submodules.pop("pipx.util", None)


def _wrap(module: "ModuleType") -> None:
    if hasattr(module, _NAME):  # since 0.15
        wrapping.wrap(module, _NAME, _keep_start_folder)


def _keep_start_folder(
    wrapped: "Callable[..., Any]", instance: object, args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> "Any":
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env = wrapped(*args, **kwargs)
    ours = [entry for entry in entries if entry.endswith(_START_FOLDER)]
    if ours and isinstance(env, dict):
        env["PYTHONPATH"] = os.pathsep.join(ours)
    return env
