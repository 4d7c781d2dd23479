"""``python certificates.py FOLDER NUMBER``: throw-away certificates, with trustme.

Writes server.pem (with its key), ca.pem, which has signed it, private.pem, another CA, and others.pem, NUMBER of them.
"""

import datetime
import sys
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding


def root(number: int, key: ec.EllipticCurvePrivateKey, today: datetime.datetime) -> bytes:
    """All of them have one key: trustme would make 10,000."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Root CA {number}")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), number + 1)
    builder = builder.not_valid_before(today).not_valid_after(today + datetime.timedelta(days=10))
    builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


folder, count = Path(sys.argv[1]), int(sys.argv[2])
ca = trustme.CA()
ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
ca.cert_pem.write_to_path(folder / "ca.pem")
trustme.CA().cert_pem.write_to_path(folder / "private.pem")
key, today = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
(folder / "others.pem").write_bytes(b"".join(root(number, key, today) for number in range(count)))
