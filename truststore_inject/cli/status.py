"""``truststore-inject status``: is it active in this interpreter, and what does it do?"""

import argparse
import datetime
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from typing import Any

from .. import _settings
from .._status import Status, status
from . import _influences, _judges, _sitecustomize, _warnings
from ._failure import NO, YES
from ._terminal import Progress, colour, paragraph, print_json, printable, say

_INDENT = 10
_PEP_829_ALONE = sys.version_info >= (3, 18)  # import lines in .pth files are ignored
_SHADES = {"applied": "green", "failed": "red", "skipped": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """0 if the injection is active, 1 if it is not."""
    with Progress("reading the store"):
        found = status()
        report = found.as_dict()
        report["python"] = {"version": sys.version.split()[0], "executable": sys.executable}
        report["reason"] = _reason(found)
        report["store"]["changed"] = _changed(found.store)
        report["patches"] = {name: _patch(name, patch, found.active) for name, patch in report["patches"].items()}
        report["clients"] = _judges.known()
        report["settings"] = _settings_in_force()
        report["warnings"] = _warnings.found()
        report["influences"] = _influences.found(found.store)
    if arguments.json:
        print_json(report)
    else:
        _show(printable(report))
    return YES if found.active else NO


def _reason(found: Status) -> str:
    """Why it is active or not, and which environments that concerns."""
    base = _sitecustomize.covering()
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if found.active:
        # site runs the start file of each of its directories; the console script and a venv share them.
        armed = _start_files()
        if base is not None and here == base[1]:
            return f"armed by {base[0]}, in every environment made from the base Python in {sys.base_prefix}"
        by_run = f"{_sitecustomize.START_FILE}, of the command truststore-inject run"
        other = by_run if _sitecustomize.is_under_run() else "a call to truststore_inject.inject()"
        reason = f"armed by {armed[0] if armed else other}"
        if base is not None:
            reason += f"; {base[0]} covers the base Python in {sys.base_prefix}"
        elif sys.prefix != sys.base_prefix and not any(path.startswith(sys.base_prefix + os.sep) for path in armed):
            reason += f"; the base Python in {sys.base_prefix} is not covered"
        return reason
    if not _settings.enabled():
        return f"switched off by TRUSTSTORE_INJECT={os.environ['TRUSTSTORE_INJECT']}"
    if sys.flags.no_site:
        return "python -S: no .pth file is run"
    hidden = _sitecustomize.hidden_by()
    if base is not None and hidden is not None:
        return f"{base[0]} would arm it, but {hidden} runs in its place (PYTHONPATH)"
    if not _start_files():
        where = ", ".join(_site_directories())
        if _start_files([here]) and here not in _site_directories():
            return f"it is installed in {here}, another site; this interpreter runs the .pth files in {where}"
        name = "truststore-inject.start" if _PEP_829_ALONE else "truststore-inject.pth"
        return f"there is no {name} in {where}: pip install truststore-inject with this interpreter"
    return "its .pth file did not run to the end, or truststore_inject.extract() was called (TRUSTSTORE_INJECT_DEBUG=1)"


def _site_directories() -> list[str]:
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    known = [*site.getsitepackages(), *user, sysconfig.get_path("purelib")]
    return [directory for directory in dict.fromkeys(known) if directory in sys.path] or known[:1]


def _start_files(directories: Sequence[str] | None = None) -> list[str]:
    """Our files that site runs; a ``.start`` file switches off the ``.pth`` file beside it (PEP 829)."""
    kinds = (["start"] if sys.version_info >= (3, 15) else []) + ([] if _PEP_829_ALONE else ["pth"])
    found = []
    for directory in _site_directories() if directories is None else directories:
        files = [os.path.join(directory, f"truststore-inject.{kind}") for kind in kinds]
        found += [file for file in files if os.path.exists(file)][:1]
    return found


def _changed(store: dict[str, Any]) -> str | None:
    """When a file or directory of the store was changed, in UTC."""
    times = []
    for place in [*store["directories"], *store["bundles"]]:
        try:
            times.append(os.stat(place).st_mtime)
        except OSError:
            continue
    if not times:
        return None
    return datetime.datetime.fromtimestamp(max(times), datetime.timezone.utc).isoformat(timespec="minutes")


def _patch(name: str, patch: dict[str, str], active: bool) -> dict[str, str]:
    """What ``waiting`` means: the library may not be installed, or may never be patched."""
    if patch["state"] != "waiting":
        return patch
    if PathFinder.find_spec(name) is None:
        return {**patch, "reason": "not installed"}
    return {
        **patch,
        "reason": "patched when it is imported" if active else "not patched: the injection is not active",
    }


def _settings_in_force() -> dict[str, str | None]:
    names = (
        "TRUSTSTORE_INJECT",
        "TRUSTSTORE_INJECT_DEBUG",
        "TRUSTSTORE_INJECT_EXTRA_CA_CERTS",
        "TRUSTSTORE_INJECT_X509_STRICT",
    )
    return {name: os.environ.get(name) for name in names}


def _show(report: dict[str, Any]) -> None:
    state = colour("active", "green") if report["active"] else colour("NOT active", "red")
    say(f"truststore-inject {report['version']}: {state}")
    _line("why", report["reason"])
    _line("python", f"{report['python']['version']}, {report['python']['executable']}")
    store = report["store"]
    places = [*store["directories"], *store["bundles"]]
    if store["source"] is not None:
        count = "the" if store["anchors"] is None else store["anchors"]  # not every operating system tells how many
        _line("store", f"{count} trust anchors in {' and '.join(places) or store['source']}")
        if places:
            _line("", f"from {store['source']}")
        if store["changed"]:
            _line("", f"changed {store['changed'].replace('T', ' ').replace('+00:00', ' UTC')}")
    else:
        _line("store", "none usable; each library keeps its own default")
    for left_out in store["left_out"]:
        _line("", f"left out {left_out['path']}: {left_out['reason']}")
    set_ = {name: value for name, value in report["settings"].items() if value}
    _lines("settings", [f"{name}={value}" for name, value in set_.items()] or ["all at their defaults"])
    _lines("notes", report["notes"])
    _show_entries("Warnings:", "{name}, {value}", report["warnings"])
    _show_entries("What else decides about trust here:", "{name}={value}", report["influences"])
    say()
    _show_patches(report["patches"])
    clients = ", ".join(f"{name} {version}".strip() for name, version in report["clients"].items())
    _lines("clients", [clients, "truststore-inject check proves what they do"])


def _show_entries(title: str, heading: str, entries: list[dict[str, str]]) -> None:
    if entries:
        say(f"\n{title}")
    for entry in entries:
        say(paragraph(heading.format_map(entry), 4, "  ").replace("    ", "  ", 1))
        say(paragraph(f"{entry['effect']} {entry['fix']}", 4, "    "))


def _show_patches(patches: dict[str, dict[str, str]]) -> None:
    """Last, as there are many and they seldom answer a question."""
    waiting: dict[str, list[str]] = {}
    lines = []
    for name, patch in patches.items():
        if patch["state"] == "waiting":
            waiting.setdefault(patch["reason"], []).append(name)
        else:
            reason = f", {patch['reason']}" if patch["reason"] else ""
            lines.append(f"{name}: {colour(patch['state'], _SHADES[patch['state']])}{reason}")
    _lines("patches", [*lines, *(f"{reason}: {', '.join(names)}" for reason, names in waiting.items())])


def _lines(label: str, texts: Iterable[str]) -> None:
    for number, text in enumerate(texts):
        _line(label if number == 0 else "", text)


def _line(label: str, text: str) -> None:
    say(paragraph(text, _INDENT, label.ljust(_INDENT)) if text else label)
