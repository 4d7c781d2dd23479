"""What the wheel holds beside the package: the file that starts the injection, and a bill of materials (PEP 770).

``truststore-inject.pth`` or ``truststore-inject.start`` (PEP 829): from Python 3.18 on site ignores ``import`` lines in
``.pth`` files, and calls what ``.start`` files name.  Python 3.15 to 3.17 know both, and there the line is cheaper: for
a ``.start`` file site imports pkgutil and re.  A ``.start`` file switches off the ``.pth`` file of the same name, so
each has a wheel of its own, and the tags say for which Python.  Not ``py3``: 3.19 prefers that to ``py318``.
https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
"""

import hashlib
import json
import os
import sys
import tempfile
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
        self.folder = tempfile.TemporaryDirectory()
        bill = os.path.join(self.folder.name, "truststore-inject.cdx.json")
        with open(bill, "w", encoding="utf-8", newline="\n") as file:
            json.dump(self.bill_of_materials(name), file, indent=2)
            file.write("\n")
        build_data["sbom_files"].append(bill)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self.folder.cleanup()

    def bill_of_materials(self, start_file: str) -> dict[str, Any]:
        """CycloneDX 1.6, without a time or a serial number, so that two builds give the same bytes.

        "complete": no other project's code is in the wheel.  What it requires is in its METADATA, as always.  The
        digest of the start file is for exceptions in endpoint protection.
        """
        project = self.metadata.core
        ours = f"pkg:pypi/{project.name}@{self.metadata.version}"
        with open(os.path.join(self.root, start_file), "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        return {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "library",
                    "bom-ref": ours,
                    "name": project.name,
                    "version": self.metadata.version,
                    "description": project.description,
                    "licenses": [{"expression": project.license_expression}],
                    "purl": ours,
                    "externalReferences": [{"type": "vcs", "url": project.urls["Source"]}],
                    "components": [
                        {
                            "type": "file",
                            "bom-ref": start_file,
                            "name": start_file,
                            "hashes": [{"alg": "SHA-256", "content": digest}],
                        }
                    ],
                },
            },
            "compositions": [{"aggregate": "complete", "assemblies": [ours]}],
        }
