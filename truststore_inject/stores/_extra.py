"""What ``TRUSTSTORE_INJECT_EXTRA_CA_CERTS`` adds to the system store: files in PEM or DER, and directories of such
files.

OpenSSL reads them, each once per process.  A file that it refuses is left out as a whole, with the reason.
"""

import os

from .. import _settings
from . import _bundle, _pem
from ._bundle import Bundle
from ._files import identity, is_directory, is_settled, names, read, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._files import Identity


class Extra:
    """The extra CAs: what was read, by path, and what was left out, with the reasons."""

    def __init__(self, value: str) -> None:
        self._value = value
        self.bundles: dict[str, Bundle] = {}
        self.left_out: dict[str, str] = {}
        self._looked_at: dict[str, Identity] = {}
        for place in filter(None, value.split(os.pathsep)):
            self._look_at(place)
            if is_directory(place):
                self._read_directory(place)
            else:
                self._read_file(place)
        self._settled = all(map(is_settled, self._looked_at.values()))

    def is_current(self, value: str) -> bool:
        """Whether reading it again would give the same."""
        return (
            self._settled
            and value == self._value
            and all(state == identity(place) for place, state in self._looked_at.items())
        )

    def _look_at(self, place: str) -> None:
        self._looked_at.setdefault(place, identity(place))

    def _read_directory(self, directory: str) -> None:
        # A name that begins with a dot is not the user's: Kubernetes swaps ..data to change all files at once.
        files = [f"{directory}/{name}" for name in names(directory) if not name.startswith(".")]
        seen = set()
        for file in files:
            self._look_at(file)
            if self._looked_at[file] not in seen and not is_directory(file):  # links by hash lead to the same file
                seen.add(self._looked_at[file])
                self._read_file(file)
        if not files:
            self.left_out[directory] = "there is no file in it"

    def _read_file(self, path: str) -> None:
        try:
            if not size(path):
                raise ValueError("it is empty" if self._looked_at[path] else "there is no such file")
            self.bundles[path] = _bundle.read(path)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            try:
                self.bundles[path] = _in_der(path)
            except (OSError, ValueError):
                self.left_out[path] = _pem.fault(path) or str(error)


def _in_der(path: str) -> Bundle:
    data, context = read(path), _bundle.new_context()
    if not data.startswith(b"\x30"):
        raise ValueError("it is neither PEM nor DER")
    _bundle.load_verify_locations(context, cadata=data)
    return Bundle(context, lambda: [{"cadata": data}])


_read: Extra | None = None


def current() -> Extra | None:
    """The extra CAs as they are now; None where none are named, or this process has more privileges than its caller."""
    global _read
    value = _settings.extra_ca_certs()
    if value is None:
        return None
    found = _read  # one look: another thread may replace it
    if found is None or not found.is_current(value):
        _read = found = Extra(value)
    return found
