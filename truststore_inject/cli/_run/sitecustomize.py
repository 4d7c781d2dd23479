# mypy: ignore-errors
# ruff: noqa: E401, E402, I001, SIM102, UP036
"""Arms the injection in each Python that a command under ``truststore-inject run`` starts, then gets out of the way.

``run`` puts this folder in front of PYTHONPATH, and ``base`` writes the same code into a base's own sitecustomize.py.
Any Python may run it, so it is valid in 2.7, too: one that is too old starts as if this file were not there.
Only one sitecustomize runs, the first on ``sys.path``, so this one then runs the one that it hides.
"""


def _truststore_inject():
    import os, sys  # nothing but what a bare interpreter has loaded, and the package

    off = os.environ.get("TRUSTSTORE_INJECT", "").strip().lower() in ("0", "false", "no", "off")
    if off or sys.version_info < (3, 10) or "truststore_inject._startup" in sys.modules:
        return
    from _frozen_importlib_external import PathFinder

    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    names = ("truststore", "truststore_inject", "wrapt")

    class TruststoreInjectFinder:
        """Asked last, and for these names only: what an environment has of its own wins."""

        def find_spec(self, name, path=None, target=None):
            return PathFinder.find_spec(name, [folder]) if name in names else None

    finder = TruststoreInjectFinder()
    sys.meta_path.append(finder)
    try:
        from truststore_inject._startup import run
    except Exception:
        sys.meta_path.remove(finder)
    else:
        run()


try:
    _truststore_inject()
except Exception:
    pass
del _truststore_inject


def _next_sitecustomize():
    """Find the sitecustomize that this file hides."""
    import os, sys

    path = sys.path[sys.path.index(os.path.dirname(__file__)) + 1 :]
    if sys.version_info < (3, 5):
        import imp

        return imp.find_module("sitecustomize", path)
    from _frozen_importlib_external import PathFinder

    later = sys.meta_path[sys.meta_path.index(PathFinder) + 1 :]
    for finder, where in [(PathFinder, [entry]) for entry in path] + [(finder, None) for finder in later]:
        spec = finder.find_spec("sitecustomize", where)
        if spec is not None and spec.loader is not None:
            if not os.path.exists(spec.origin or "") or not os.path.samefile(spec.origin, __file__):
                return spec
    return None


try:
    _next_sitecustomize = _next_sitecustomize()
except Exception:
    _next_sitecustomize = None
if _next_sitecustomize is None:
    # What site gets, and expects, without this file.
    _not_found = ImportError("No module named 'sitecustomize'")
    _not_found.name = "sitecustomize"
    raise _not_found
import sys

# An error of the next one is site's to report.
_this = sys.modules.pop("sitecustomize")  # Python 2 empties a module that nobody refers to
if sys.version_info < (3, 5):
    import imp

    imp.load_module("sitecustomize", *_next_sitecustomize)
else:
    from _frozen_importlib import module_from_spec  # importlib.util is not loaded in a bare interpreter

    sys.modules["sitecustomize"] = module_from_spec(_next_sitecustomize)
    _next_sitecustomize.loader.exec_module(sys.modules["sitecustomize"])
