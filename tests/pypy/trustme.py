"""As much of trustme as the tests use, made by the command ``openssl``.

trustme needs cryptography, which has no wheel for every PyPy and needs a Rust toolchain to build.  tox puts this folder
on PYTHONPATH there.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import subprocess
import tempfile
from pathlib import Path

NOW, DAY = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)


class Blob:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def bytes(self) -> bytes:
        return self._data

    def write_to_path(self, path: str | Path) -> None:
        Path(path).write_bytes(self._data)


class LeafCert:
    def __init__(self, private_key_pem: bytes, server_cert_pem: bytes, chain_to_ca: list[bytes]) -> None:
        self.private_key_pem = Blob(private_key_pem)
        self.cert_chain_pems = [Blob(pem) for pem in (server_cert_pem, *chain_to_ca)]
        self.private_key_and_cert_chain_pem = Blob(private_key_pem + server_cert_pem + b"".join(chain_to_ca))

    def configure_cert(self, context: ssl.SSLContext) -> None:
        with tempfile.NamedTemporaryFile() as file:
            self.private_key_and_cert_chain_pem.write_to_path(file.name)
            context.load_cert_chain(file.name)


class CA:
    def __init__(
        self, parent: CA | None = None, organization_name: str = "trustme", organization_unit_name: str | None = None
    ) -> None:
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign"
        subject = f"/O={organization_name}/OU={organization_unit_name or f'Testing CA #{id(self)}'}"
        key, certificate = _certificate(subject, extensions, parent)
        self.cert_pem, self.private_key_pem = Blob(certificate), Blob(key)
        self._chain = [] if parent is None else [certificate, *parent._chain]  # what a server sends beside its own

    def create_child_ca(self) -> CA:
        return CA(parent=self)

    def issue_cert(
        self,
        *identities: str,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> LeafCert:
        names = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in identities)
        extensions = f"basicConstraints=critical,CA:FALSE\nsubjectAltName=critical,{names}"
        key, certificate = _certificate(
            "/O=trustme/OU=Testing cert", extensions, self, not_before or NOW - DAY, not_after or NOW + 100 * DAY
        )
        return LeafCert(key, certificate, self._chain)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index
rand_serial = yes
policy = any
default_md = sha256
[any]
organizationName = optional
organizationalUnitName = optional
"""


def _certificate(
    subject: str,
    extensions: str,
    issuer: CA | None,
    start: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 100 * DAY,
) -> tuple[bytes, bytes]:
    """A new key and its certificate, in PEM."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "configuration").write_text(CONFIGURATION)
        (folder / "index").touch()
        identifiers = "subjectKeyIdentifier=hash\n" + ("authorityKeyIdentifier=keyid\n" if issuer else "")
        (folder / "extensions").write_text(f"{extensions}\n{identifiers}")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key"]
        _openssl("req", "-new", *key, "-subj", subject, "-out", "request", cwd=folder)
        signing = ["-selfsign", "-keyfile", "key"]
        if issuer is not None:
            issuer.cert_pem.write_to_path(folder / "issuer")
            issuer.private_key_pem.write_to_path(folder / "issuer-key")
            signing = ["-cert", "issuer", "-keyfile", "issuer-key"]
        dates = ["-startdate", f"{start:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}"]
        result = ["-batch", "-notext", "-outdir", ".", "-out", "certificate"]
        what = ["-config", "configuration", "-in", "request", "-extfile", "extensions", "-preserveDN"]
        _openssl("ca", *what, *signing, *dates, *result, cwd=folder)
        return (folder / "key").read_bytes(), (folder / "certificate").read_bytes()


def _openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)
