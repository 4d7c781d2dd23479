"""Stores that nobody chose: random layouts and variables, and what stock Python and the package say of the same servers.

    python tests/random_stores.py --layouts 2000 [--seed N] [--without-sharing]

Each layout is laid over the machine's places in a private mount namespace, twice with the same seed: for a stock Python that
is told what docs/design.md says (default trust is the store; a library's bundle means the store; what a program names is
exact), and for one with the package, which is told nothing.  Their verdicts have to be equal, in both directions.  With
--without-sharing OpenSSL's own functions cannot be called.  Then it cannot be asked whether it finds a file under its name,
nor what a file rejects, and what shares a subject cannot be put in order, so that is left out: names as OpenSSL before 1.0
made them, gaps, capitals, files of two, trust settings, and a cross-signed root.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import ssl
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

from random_layouts import BUNDLE, OPENSSLDIR, OWN, Layout, make_kit

AT_ONCE = 200  # layouts in one process

# --- programs ---

CARRIED = Path("/etc/carried/certifi/cacert.pem")


def carry(kit: dict[str, Any]) -> None:
    """A certifi is loaded, whose bundle holds `c`."""
    CARRIED.parent.mkdir(parents=True, exist_ok=True)
    CARRIED.write_text(kit["cas"]["c"]["pem"])
    module = types.ModuleType("certifi")
    module.__path__ = [str(CARRIED.parent)]
    module.where = lambda: str(CARRIED)  # type: ignore[attr-defined]
    sys.modules["certifi"] = module


def bare() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Stock:
    """What a stock Python does that is told what the contract says."""

    def __init__(self, layout: Layout, judge: Any, first: str) -> None:
        self.layout, self.judge, self.first = layout, judge, first

    def default(self, context: ssl.SSLContext) -> None:
        context.set_default_verify_paths()
        if self.layout.are_set:
            return
        # One context for each server: a file that holds two CAs brings the second into memory, before it is asked for.
        der = {name: ssl.PEM_cert_to_DER_cert(ca["pem"]) for name, ca in self.layout.kit["cas"].items()}
        held: dict[str, set[bytes]] = {}
        by_itself = set()
        rejected = {name for name in ("a", "b") if f"the bundle has {name} (reject)" in self.layout.said}
        for name in self.layout.kit["servers"]:
            own = bare()
            own.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # so that no more than this issuer is looked for
            own.set_default_verify_paths()
            if self.judge(own, name) == "refused 28":
                by_itself.add(name)
            held[name] = {*own.get_ca_certs(True)}
            if own.cert_store_stats()["x509"] > len(held[name]):  # get_ca_certs() leaves it out
                held[name].add(der["noca"])
        all_held = set().union(*held.values())
        said = self.layout.said
        by_itself |= {
            name for name in ("a", "b") if f"the directory has {name} (reject)" in said and der[name] in all_held
        }
        rejected |= by_itself
        if all_held - {der["noca"]} and (not self.layout.distribution or self.layout.adds_nothing):
            return
        probe = bare()
        try:
            probe.load_verify_locations(BUNDLE)
        except OSError:
            return
        if not probe.cert_store_stats()["x509_ca"]:
            return
        added = [anchor["subject"] for anchor in probe.get_ca_certs()]
        found = set()
        for name in held.keys() - {"noca"}:
            anchor = bare()
            anchor.load_verify_locations(cadata=der[name])
            if anchor.get_ca_certs()[0]["subject"] in added:
                found |= held[name]
        # What is rejected comes first: OpenSSL keeps the first of two equal certificates.
        together = {*found, *probe.get_ca_certs(True)}
        for name in by_itself if self.first == "bundle" else rejected:
            if der[name] in together:
                self.load(context, self.layout.kit["cas"][name]["reject"])
        # Nothing that is added hides what OpenSSL finds by itself, which is in memory now.
        roots_first = self.first == "roots" and all_held - {der["noca"]}
        if self.first == "bundle":
            context.load_verify_locations(BUNDLE)
        for name, ca in self.layout.kit["cas"].items():
            if der[name] in found or (roots_first and der[name] in together and name != "cross"):
                self.load(context, ca["pem"])
        context.load_verify_locations(BUNDLE)

    @staticmethod
    def load(context: ssl.SSLContext, text: str) -> None:
        file = OWN / "found.pem"
        file.write_text(text)
        context.load_verify_locations(file)

    @staticmethod
    def in_memory(context: ssl.SSLContext) -> int:
        return context.cert_store_stats()["x509_ca"]

    def is_usable(self) -> bool:
        """Whether OpenSSL finds a CA in the store."""
        context = bare()
        self.default(context)
        if self.in_memory(context):
            return True
        # A CA that OpenSSL finds, but whose chains it refuses, is in memory afterwards.
        for name in self.layout.kit["servers"]:
            self.judge(context, name)
        return bool(self.in_memory(context))

    def carried(self, context: ssl.SSLContext) -> None:
        if self.is_usable():
            self.default(context)
        else:
            context.load_verify_locations(CARRIED)


class Ours:
    """What a program does that knows nothing."""

    def __init__(self, layout: Layout, judge: Any) -> None:
        pass

    def default(self, context: ssl.SSLContext) -> None:
        context.load_default_certs()

    def carried(self, context: ssl.SSLContext) -> None:
        context.load_verify_locations(str(CARRIED))


def default(on: Any) -> ssl.SSLContext:
    context = bare()
    on.default(context)
    return context


def carried(on: Any) -> ssl.SSLContext:
    context = bare()
    on.carried(context)
    return context


def own_first(on: Any) -> ssl.SSLContext:
    context = bare()
    context.load_verify_locations(OWN / "own.pem")
    on.default(context)
    return context


def own_last(on: Any) -> ssl.SSLContext:
    context = bare()
    on.default(context)
    context.load_verify_locations(OWN / "own.pem")
    return context


def carried_and_own(on: Any) -> ssl.SSLContext:
    context = bare()
    on.carried(context)
    text = (OWN / "own.pem").read_text(encoding="utf-8-sig").encode("ascii", "replace").decode()
    context.load_verify_locations(cadata=text)
    return context


def own_file(on: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(OWN / "own.pem"))


def own_directory(on: Any) -> ssl.SSLContext:
    return ssl.create_default_context(capath=str(OWN / "own"))


def own_both(on: Any) -> ssl.SSLContext:
    context = bare()
    context.load_verify_locations(os.fsencode(OWN / "own.pem"), OWN / "own")
    return context


def nothing(on: Any) -> ssl.SSLContext:
    return bare()


def for_clients(on: Any) -> ssl.SSLContext:
    context = bare()
    context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context


PROGRAMS = (
    default,
    carried,
    own_first,
    own_last,
    carried_and_own,
    own_file,
    own_directory,
    own_both,
    nothing,
    for_clients,
)


# --- the judge, in the made-up machine ---


def judge_all(work: dict[str, Any]) -> list[Any]:
    kit, verdicts = work["kit"], []
    assert work["sharing"] == (importlib.util.find_spec("_ctypes").origin != str(Path(work["folder"]) / "_ctypes.py"))
    carry(kit)
    os.chdir("/etc")
    servers = {}
    for name, file in kit["servers"].items():
        servers[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        servers[name].load_cert_chain(file)

    def judge(context: ssl.SSLContext, name: str) -> str:
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        there = servers[name].wrap_bio(to_server, to_client, server_side=True)
        here = context.wrap_bio(to_client, to_server, server_hostname="localhost")
        for _ in range(8):
            for end in (here, there):
                try:
                    end.do_handshake()
                    if end is here:
                        return "accepted"
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLCertVerificationError as error:
                    return f"refused {error.verify_code}"
        raise AssertionError("the handshake does not end")

    for number in range(work["layouts"]):
        layout = Layout(kit, f"{work['seed']}-{number}", work["sharing"])
        # Of two anchors with one subject OpenSSL takes the first.  Where one is in the directory and the other in the bundle,
        # no order is stock's: what is accepted in one of them has to be accepted, and what is rejected is rejected.
        orders = "directory", "bundle", "roots"
        ons = [Stock(layout, judge, first) for first in orders] if work["stock"] else [Ours(layout, judge)]
        programs = layout.random.sample(PROGRAMS, work["programs"])
        found = {}
        for program in programs:
            try:
                contexts = [program(on) for on in ons]
            except (OSError, ValueError) as error:
                found[program.__name__] = f"{type(error).__name__}: {error}"
                continue
            found[program.__name__] = {
                name: one_of(
                    [judge(context, name) for context in contexts], f"{name} (reject)" in " ".join(layout.said)
                )
                for name in servers
            }
        verdicts.append({"layout": layout.said, "verdicts": found})
    return verdicts


def one_of(said: list[str], is_rejected: bool) -> str:
    """The verdict that counts of those in each order."""
    counts = ("refused 28", "accepted") if is_rejected else ("accepted", "refused 28")
    return next((verdict for verdict in counts if verdict in said), said[0])


# --- the comparison ---


def compare(folder: Path, layouts: int, seed: int, programs: int = 4, sharing: bool = True) -> list[str]:
    """Each difference in words; `folder` is a new one."""
    from machines import Machine

    (folder / "kit").mkdir(parents=True)
    if not sharing:
        (folder / "_ctypes.py").write_text("raise ImportError('not here')")
    kit = make_kit(folder / "kit")
    answers = []
    for stock in (True, False):
        machine = Machine(folder / f"machine-{stock}")
        for place in ("/etc/ssl/x", "/etc/corp/x", "/etc/carried/x", f"{OPENSSLDIR}/x"):
            machine.path(place)
        work = {
            "kit": kit, "layouts": layouts, "seed": seed, "programs": programs, "stock": stock, "sharing": sharing,
            "folder": str(folder),
        }  # fmt: skip
        (folder / f"work-{stock}.json").write_text(json.dumps(work))
        variables = {"TRUSTSTORE_INJECT": "0" if stock else "1", "PYTHONPATH": str(folder)}
        result = machine.run(machine.python, __file__, "judge", folder / f"work-{stock}.json", **variables)
        assert result.returncode == 0, result.stderr
        answers.append(json.loads(result.stdout.splitlines()[-1]))
    differences = []
    for number, (stock_said, ours) in enumerate(zip(*answers, strict=True)):
        assert stock_said["layout"] == ours["layout"]
        for program, verdicts in stock_said["verdicts"].items():
            if _plain(verdicts) != _plain(ours["verdicts"][program]):
                lines = [f"seed {seed}, layout {number}, {program}:", *stock_said["layout"]]
                differences.append("\n  ".join([*lines, f"stock {verdicts}", f"ours  {ours['verdicts'][program]}"]))
    return differences


def _plain(verdicts: Any) -> Any:
    """Without the codes of a refusal: that of a missing issuer depends on what else is in memory."""
    return {name: said.split()[0] for name, said in verdicts.items()} if isinstance(verdicts, dict) else verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layouts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--without-sharing", action="store_true")
    options = parser.parse_args()
    count = 0
    for start in range(0, options.layouts, AT_ONCE):
        seed, layouts = options.seed + start // AT_ONCE, min(AT_ONCE, options.layouts - start)
        with tempfile.TemporaryDirectory() as folder:
            differences = compare(Path(folder) / "compared", layouts, seed, sharing=not options.without_sharing)
        count += len(differences)
        print(
            "\n\n".join([*differences, f"seed {seed}: {layouts} layouts, {len(differences)} differences"]), flush=True
        )
    print(f"{options.layouts} layouts, {count} differences")
    sys.exit(bool(count))


if __name__ == "__main__":
    if sys.argv[1:2] == ["judge"]:
        print(json.dumps(judge_all(json.loads(Path(sys.argv[2]).read_text()))))
    else:
        main()
