"""Which file starts the injection: ``truststore-inject.pth``, or ``truststore-inject.start`` (PEP 829).

From Python 3.18 on site ignores ``import`` lines in ``.pth`` files, and calls what ``.start`` files name.  Python 3.15
to 3.17 know both, and there the line is cheaper: for a ``.start`` file site imports pkgutil and re.  A ``.start`` file
switches the ``.pth`` file of the same name off, so each is in a wheel of its own, and the tags say for which Python.
Not ``py3``: on 3.19 installers prefer that to ``py318``.
https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
"""

import os
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FIRST_PYTHON = {"pth": (3, 10), "start": (3, 18)}


class StartFile(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put one of the files into the wheel: that of ``TRUSTSTORE_INJECT_WHEEL``, or of the Python that builds."""
        running = "start" if sys.version_info >= FIRST_PYTHON["start"] else "pth"
        kind = os.environ.get("TRUSTSTORE_INJECT_WHEEL") or running
        if kind not in FIRST_PYTHON:
            raise ValueError(f"TRUSTSTORE_INJECT_WHEEL={kind!r}: it can be pth or start")
        name = f"truststore-inject.{kind}"
        # The second is what an editable install looks at.
        for include in ("force_include", "force_include_editable"):
            build_data[include][os.path.join(self.root, name)] = name
        build_data["tag"] = "py{}{}-none-any".format(*FIRST_PYTHON[kind])
