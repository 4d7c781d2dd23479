"""``python layouts.py FOLDER SIZE ...``: throw-away certificates, and made-up machines whose stores hold them.

Writes server.pem (with its key), ca.pem, which has signed it, private.pem, a CA that is in no store, and own.pem, a bundle of
the anchors of the store.
Prints JSON: ``machines``, for each layout the command that runs another one there, in a private mount namespace, and
``bases``, two base interpreters.  The stores of `directory` and `bundle` are this machine's with one anchor replaced by the
server's CA, those of `directory-SIZE` and `bundle-SIZE` have SIZE throw-away ones.
"""

import datetime
import json
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import machines
from harness import make_base, write_bundle


def roots(count: int) -> Iterable[bytes]:
    """All of them have one key: trustme would make 10,000."""
    key, today = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    for number in range(count):
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Root CA {number}")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), number + 1)
        builder = builder.not_valid_before(today).not_valid_after(today + datetime.timedelta(days=10))
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        yield builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def authorities(certificates: Iterable[bytes]) -> list:  # type: ignore[type-arg]
    """Of these certificates, as far as machines.py asks for more than that."""
    return [SimpleNamespace(cert_pem=trustme.Blob(certificate)) for certificate in certificates]


def main(folder: Path, sizes: list[int]) -> None:
    if reason := machines.unavailable():
        sys.exit(f"Nothing can be measured here: {reason}")
    ca = trustme.CA()
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "private.pem")
    real = sorted(Path(ssl.get_default_verify_paths().openssl_capath).glob("*.[0-9]"))
    stores = {"": [*authorities(file.read_bytes() for file in real[1:]), ca]}
    others = authorities(roots(max(sizes, default=0)))
    stores.update({f"-{size}": [*others[: size - 1], ca] for size in sizes})
    write_bundle(folder / "own.pem", stores[""])
    layouts = {"directory": machines.debian, "bundle": machines.red_hat}
    commands = {
        f"{kind}{suffix}": layout(folder / f"{kind}{suffix}", anchors).command()
        for suffix, anchors in stores.items()
        for kind, layout in layouts.items()
    }
    bases = [str(make_base(folder / name)) for name in ("base", "covered")]
    print(json.dumps({"machines": commands, "anchors": len(stores[""]), "bases": bases}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]])
