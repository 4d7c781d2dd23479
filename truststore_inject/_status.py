"""What this package does in this process, for people and for programs."""

import sys
from dataclasses import asdict, dataclass
from typing import Any

from . import __version__, _record, _settings, _startup, stores


@dataclass(frozen=True)
class Patch:
    """One library: `state` is ``applied``, ``skipped``, ``failed`` or ``waiting`` (the library is not imported)."""

    state: str
    reason: str = ""


@dataclass(frozen=True)
class Status:
    """What `status` found.  ``print()`` it, or take `as_dict` for JSON."""

    version: str
    active: bool
    reason: str
    store: dict[str, Any]
    patches: dict[str, Patch]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as `dict`, `list`, `str`, `int` and `bool`, ready for `json.dumps`."""
        return {**asdict(self), "notes": list(self.notes)}

    def __str__(self) -> str:
        lines = [f"truststore-inject {self.version}: {'active' if self.active else 'NOT active'}, {self.reason}"]
        lines += [f"store: {_sentence(self.store)}"]
        lines += [
            f"patch: {name}, {patch.state}" + (f" ({patch.reason})" if patch.reason else "")
            for name, patch in self.patches.items()
        ]
        lines += [f"note:  {note}" for note in self.notes]
        return "\n".join(map(_record.printable, lines))


def status() -> Status:
    """Whether the injection is active in this interpreter and why, the store, each patch, and what else was noticed."""
    store = stores.describe()  # first: it may add to the notes
    store["anchors"] = stores.count(store["source"])
    if not _settings.enabled():
        active, reason = False, "switched off by TRUSTSTORE_INJECT"
    elif _startup.finder in sys.meta_path:
        active, reason = True, "armed in this interpreter"
    else:
        active, reason = False, "nothing armed it: no .pth file was run (python -S?), or extract() was called"
    replaced = getattr(sys.modules.get("ssl"), "SSLContext", None)
    if replaced is not None and replaced.__module__ != "ssl":
        _record.note(f"ssl.SSLContext was replaced by {replaced.__module__}, not by this package")
    patches = {
        name: Patch(*_record.patches.get(name, _not_patched(name, active)))
        for name in sorted({*_startup.PATCHES, *_record.patches})
    }
    if active and patches["ssl"].state == "failed":
        active, reason = False, f"ssl is not patched: {patches['ssl'].reason}"
    return Status(__version__, active, reason, store, patches, tuple(_record.notes))


def _not_patched(name: str, active: bool) -> tuple[str, str]:
    """The state of a patch that was not tried."""
    if active and sys.modules.get(name) is not None:  # next to a finder that changes every module, such as typeguard's
        return "failed", "it was imported by a finder in front of this package's; call truststore_inject.inject()"
    return "waiting", ""


def _sentence(store: dict[str, Any]) -> str:
    places = [*store["directories"], *store["bundles"]]
    if store["source"] is None:
        return "none usable; each library keeps its own default"
    count = "the" if store["anchors"] is None else store["anchors"]
    where = f" in {' and '.join(places)}" if places else ""
    return f"{count} trust anchors{where}, from {store['source']}"
