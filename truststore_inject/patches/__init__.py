"""One file for each library, named after the module that it patches: ``_requests.py`` patches ``requests``.

The finder takes the file names from this folder, so a new library is one new file.  Importing a patch file changes
nothing.  Each has the two functions of `Patch`.

A submodule that is imported later than its package (``urllib3.contrib.pyopenssl``) is left to
``_hook.when_imported(name, patch, unpatch)``, called by ``patch`` of the package's file.  Contexts that a library built
before the injection are renewed by `contexts`, a file without the underscore that makes a file a patch.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Protocol

    class Patch(Protocol):
        """What a patch file is."""

        def patch(self, module: ModuleType) -> str | None:
            """Patch the imported `module`; a second call changes nothing.

            Return the reason if there is nothing to patch here, else None.  What is raised is recorded, after `unpatch`.
            """

        def unpatch(self, module: ModuleType) -> None:
            """Put back exactly what `patch` replaced, also when it replaced only a part of it."""
