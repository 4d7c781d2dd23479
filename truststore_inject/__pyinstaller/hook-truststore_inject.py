"""What PyInstaller does not see: patches and stores are imported by name, truststore and wrapt when needed."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = [
    *collect_submodules("truststore_inject.patches"),
    *collect_submodules("truststore_inject.stores"),
    "truststore",
    "wrapt",
]
