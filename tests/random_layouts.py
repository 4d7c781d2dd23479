"""A random layout of a machine's stores, for random_stores.py: certificates, files, directories and variables."""

from __future__ import annotations

import datetime
import os
import random
import re
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

CERTS, BUNDLE = Path("/etc/ssl/certs"), Path("/etc/ssl/certs/ca-certificates.crt")
OPENSSLDIR = Path(ssl.get_default_verify_paths().openssl_cafile).parent
OWN = Path("/etc/corp")  # what a user has laid somewhere

# --- the certificates, made once ---


def make_kit(folder: Path) -> dict[str, Any]:
    """CAs with the names of their files in a hashed directory, and a server's certificate of each."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("a", "b", "c", "old", "new", "noca", "server")}
    subjects = {"old": "Corp Root", "new": "Corp Root", "renewed": "CA c", "cross": "CA a", "noca": "localhost"}

    def issue(subject: str, key: Any, issuer: str, issuer_key: Any, *, ca: bool = True, until: int = 99) -> bytes:
        builder = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]),
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]),
            key.public_key(),
            x509.random_serial_number(),
            now - 30 * day,
            now + until * day,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(identifier, False)
        if ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    kit: dict[str, Any] = {"cas": {}, "servers": {}}
    for name in ("a", "b", "c", "old", "new", "renewed", "cross", "noca"):
        subject = subjects.get(name, f"CA {name}")
        key = keys[{"renewed": "c", "cross": "a"}.get(name, name)]
        issuer = ("CA b", keys["b"]) if name == "cross" else (subject, key)
        text = issue(subject, key, *issuer, ca=name != "noca", until=-1 if name == "renewed" else 99)
        (folder / "ca.pem").write_bytes(text)
        command = ["openssl", "x509", "-noout", "-subject_hash", "-subject_hash_old", "-in", folder / "ca.pem"]
        new, old = subprocess.check_output(command, text=True).split()
        kit["cas"][name] = {"pem": text.decode(), "hash": new, "md5": old}
    trusted = ["openssl", "x509", "-trustout", "-addreject", "serverAuth"]
    for name in ("a", "b"):  # rejected for servers, wherever OpenSSL reads it as it is meant
        text = subprocess.check_output(trusted, input=kit["cas"][name]["pem"].encode()).decode()
        kit["cas"][name]["reject"] = text
    for name in ("a", "b", "c", "old", "new", "noca"):
        subject = subjects.get(name, f"CA {name}")
        leaf = kit["cas"]["noca"]["pem"].encode()
        if name != "noca":
            leaf = issue("localhost", keys["server"], subject, keys[name], ca=False)
        key = keys["noca" if name == "noca" else "server"]
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = folder / f"server-{name}.pem"
        file.write_bytes(private + leaf)
        kit["servers"][name] = str(file)
    crl = x509.CertificateRevocationListBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA a")]), now - day, now + 9 * day
    )
    kit["crl"] = crl.sign(keys["a"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return kit


# --- one layout, from a seed ---


class Layout:
    """Lays files and variables, and remembers in words what they are."""

    def __init__(self, kit: dict[str, Any], seed: str, sharing: bool = True) -> None:
        self.kit, self.random, self.said, self.sharing = kit, random.Random(seed), [], sharing
        for folder in (Path("/etc/ssl"), OPENSSLDIR, OWN):
            for entry in folder.iterdir() if folder.is_dir() else ():
                if entry.name != "openssl.cnf":
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            folder.mkdir(parents=True, exist_ok=True)
        self.distribution = self.random.random() < 0.75
        (OPENSSLDIR / "certs").symlink_to(CERTS) if self.distribution else (OPENSSLDIR / "certs").mkdir()
        self.said.append("OPENSSLDIR leads to /etc/ssl" if self.distribution else "an OPENSSLDIR of its own")
        CERTS.mkdir()
        if self.random.random() < 0.85:
            self.directory(CERTS if self.distribution else OPENSSLDIR / "certs", "the directory")
        kind = self.random.choice(["none", "same", "same", "file", "file", "file", "directory"])
        if kind == "same":
            good = [name for name in self.kit["cas"] if f"the directory has {name} (hash)" in self.said]
            BUNDLE.write_text("".join(self.kit["cas"][name]["pem"] for name in good))
            self.said += [f"the bundle has {name} (plain)" for name in good]
        elif kind == "file":
            BUNDLE.write_bytes(self.bundle("the bundle"))
        elif kind == "directory":
            BUNDLE.mkdir()
            self.said.append("the bundle is a directory")
        kind = self.random.choice(["none", "none", "none", "link", "file"])
        if kind == "link":
            (OPENSSLDIR / "cert.pem").symlink_to(BUNDLE)
            self.said.append("cert.pem leads to the bundle")
        elif kind == "file":
            (OPENSSLDIR / "cert.pem").write_bytes(self.bundle("cert.pem"))
        # The one case that is compared by its text: then OpenSSL's own place stands for the bundle as it is.
        listed, held = (
            re.findall(rf"{what} has (.*)", "\n".join(self.said)) for what in ("the bundle", "the directory")
        )
        plain = {
            f"{name} (plain)"
            for name in self.kit["cas"]
            if {f"{name} (hash)", f"{name} (md5)", f"{name} (gap)"} & {*held}
        }
        unusual = any(one.startswith("the bundle: ") and one != "the bundle: crlf" for one in self.said)
        self.adds_nothing = self.distribution and bool(listed) and not unusual and {*listed} <= plain
        self.adds_nothing |= kind == "link"  # OpenSSL reads it by itself
        self.variables()
        (OWN / "own.pem").write_bytes(self.bundle("the program's own file", sound=True))
        self.directory(OWN / "own", "the program's own directory")

    def some(self) -> list[str]:
        known = [name for name in self.kit["cas"] if self.sharing or name != "cross"]
        names = [name for name in known if self.random.random() < 0.4]
        self.random.shuffle(names)
        return names

    def directory(self, folder: Path, what: str) -> None:
        folder.mkdir(exist_ok=True)
        links: dict[str, int] = {}
        asked = ["md5", "gap", "capitals", "second", "reject"] if self.sharing else []
        named: set[str] = set()  # OpenSSL finds both ways to write a hash
        broken: set[str] = set()
        for name in self.some():
            ca = self.kit["cas"][name]
            how = self.random.choice(["hash"] * 5 + ["unhashed", "dangling", "unreadable", "empty"] + asked)
            # What OpenSSL makes of a file beside a broken one of the same name depends on the order of the directory.
            if how in ("dangling", "empty", "unreadable") and ca["hash"] in named:
                how = "unhashed"
            if ca["hash"] in broken:
                continue
            if how in ("dangling", "empty", "unreadable"):
                broken.add(ca["hash"])
            text = ca["reject"] if how == "reject" and "reject" in ca else ca["pem"]
            if how == "second":  # another certificate comes first in the file, under whose name it lies
                text = self.kit["cas"]["b"]["pem"] + text
                ca = self.kit["cas"]["b"]
            if how == "empty":
                text = "nothing here\n"
            file = folder / f"{name}.pem"
            file.write_text(text)
            digest = {"md5": ca["md5"], "capitals": ca["hash"].upper()}.get(how, ca["hash"])
            named.add(digest.lower())
            number = links.get(digest, 0) + (how == "gap")
            link = folder / f"{digest}.{number}"
            if how != "unhashed" and not link.is_symlink():
                links[digest] = number + 1
                link.symlink_to(file.name if how != "dangling" else "gone.pem")
            if how == "unreadable":
                file.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            self.said.append(f"{what} has {name} ({how})")

    def bundle(self, what: str, *, sound: bool = False) -> bytes:
        pieces = []
        for name in self.some():
            ca = self.kit["cas"][name]
            kinds = ["plain"] * 6 + ["commented", "quoted", "text"]
            how = self.random.choice(kinds + ["reject"] * self.sharing + ["corrupt"] * (not sound))
            text = ca["reject"] if how == "reject" and "reject" in ca else ca["pem"]
            if how == "commented":
                text = "".join("# " + line for line in text.splitlines(True))
            elif how == "quoted":
                text = text.replace("-----BEGIN", " -----BEGIN")
            elif how == "text":
                text = f"# a comment: é\nSubject: {name}\n\n" + text
            elif how == "corrupt" and self.random.random() < 0.3:
                text = text.replace("MII", "AAA", 1)
            pieces.append(text)
            self.said.append(f"{what} has {name} ({how})")
        if self.random.random() < 0.15:
            pieces.append(self.kit["crl"])
            self.said.append(f"{what}: a revocation list")
        joined = "".join(pieces)
        end = self.random.choice(["", "", "", "crlf", "bom", "glued" if not sound else ""])
        if end:
            self.said.append(f"{what}: {end}")
        if end == "crlf":
            joined = joined.replace("\n", "\r\n")
        elif end == "bom":
            joined = "\ufeff" + joined
        elif end == "glued":
            joined = joined.replace("-----END CERTIFICATE-----\n", "-----END CERTIFICATE-----", 1)
        padding = "" if self.random.random() < 0.5 else "# padding, so that it pays to share what is read\n" * 400
        return (joined + padding).encode()

    def variables(self) -> None:
        file: str | None = None
        directory: str | None = None
        kind = self.random.choice(
            ["unset"] * 6 + ["empty", "missing", "file", "file", "link", "relative", "directory", "null"]
        )
        if kind in ("file", "link", "relative"):
            (OWN / "variable.pem").write_bytes(self.bundle("SSL_CERT_FILE"))
            (OWN / "link.pem").symlink_to("variable.pem")
        if kind != "unset":
            file = {
                "empty": "", "missing": "/nonexistent", "directory": str(OWN), "null": os.devnull,
                "link": str(OWN / "link.pem"), "relative": os.path.relpath(OWN / "variable.pem"),
            }.get(kind, str(OWN / "variable.pem"))  # fmt: skip
        kind = self.random.choice(["unset"] * 6 + ["empty", "missing", "one", "one", "two", "file"])
        if kind in ("one", "two"):
            self.directory(OWN / "one", "SSL_CERT_DIR")
        if kind == "two":
            self.directory(OWN / "two", "the second of SSL_CERT_DIR")
        if kind != "unset":
            directory = {
                "empty": "", "missing": "/nonexistent", "file": "/etc/hosts",
                "two": f"{OWN / 'one'}:/nonexistent:{OWN / 'two'}",
            }.get(kind, str(OWN / "one"))  # fmt: skip
        for name, value in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", directory)):
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
                self.said.append(f"{name}={value}")
        self.are_set = file is not None or directory is not None
