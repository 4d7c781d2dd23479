"""TRUSTSTORE_INJECT_EXTRA_CA_CERTS and TRUSTSTORE_INJECT_X509_STRICT, with real certificates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import environment, openssl_store, run_code, verdicts
from servers import Server, server_context

CLIENTS = ["urllib_request", "asyncio_streams", "requests_get", "aiohttp"]
REFUSED = dict.fromkeys(("bundled", "private", "unknown", "wrong_host", "expired"), "refused")


@pytest.mark.parametrize("client", CLIENTS)
def test_the_extra_ca_is_trusted_in_addition(
    client: str, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=ca_file("private"))
    expected = {**REFUSED, "system": "accepted", "intermediate": "accepted", "private": "accepted"}
    assert verdicts(client, urls, env=env) == expected


@pytest.mark.parametrize("content", [None, "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_extra_file_that_cannot_be_used_leaves_the_store_and_a_reason(
    content: str | None, urls: dict[str, str], store: Path, tmp_path: Path
) -> None:
    extra = tmp_path / "extra.pem"
    if content is not None:
        extra.write_text(content)
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=extra)
    assert verdicts("urllib_request", urls, env=env) == {"system": "accepted", "intermediate": "accepted", **REFUSED}
    left_out = run_code("import json, truststore_inject as t; print(json.dumps(t.status().store['left_out']))", env=env)
    reasons = [entry["reason"] for entry in left_out if entry["path"] == str(extra)]
    assert [reason.partition(": ")[0] for reason in reasons] == ["TRUSTSTORE_INJECT_EXTRA_CA_CERTS"], left_out


def test_the_extra_ca_does_not_widen_a_pinned_context(
    urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=ca_file("system"))
    expected = {**dict.fromkeys(urls, "refused"), "private": "accepted"}
    assert verdicts("requests_get", urls, env=env, trust=str(ca_file("private"))) == expected


@pytest.fixture(scope="module", params=["basicConstraints not critical", "no authority key identifier"])
def lax_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    pytest.importorskip("cryptography", reason="trustme makes no faulty certificates")
    from lax import lax

    ca, leaf = lax(request.param)
    file = tmp_path_factory.mktemp("lax") / "ca.pem"
    file.write_bytes(ca)
    server = Server(server_context(leaf))
    yield server.url, file
    server.close()


@openssl_store
@pytest.mark.parametrize("client", CLIENTS)
def test_x509_strict_0_does_without_what_python_3_13_demands(client: str, lax_server: tuple[str, Path]) -> None:
    url, ca = lax_server
    env = environment(SSL_CERT_FILE=ca)
    demanded = "refused" if sys.version_info >= (3, 13) else "accepted"
    assert verdicts(client, {"lax": url}, env=env) == {"lax": demanded}
    assert verdicts(client, {"lax": url}, env={**env, "TRUSTSTORE_INJECT_X509_STRICT": "0"}) == {"lax": "accepted"}


def test_x509_strict_0_is_for_default_trust_only(lax_server: tuple[str, Path], store: Path) -> None:
    url, ca = lax_server
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_X509_STRICT="0")
    demanded = "refused" if sys.version_info >= (3, 13) else "accepted"
    assert verdicts("urllib_request", {"lax": url}, env=env, trust=str(ca)) == {"lax": demanded}


@pytest.mark.parametrize("strict", ["0", "1"])
def test_no_other_flag_of_a_context_is_touched(strict: str, store: Path) -> None:
    code = """
import json, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_ALLOW_PROXY_CERTS
before = context.verify_flags
context.load_default_certs()
print(json.dumps([int(before ^ context.verify_flags), int(ssl.VERIFY_X509_STRICT)]))
"""
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_X509_STRICT=strict)
    changed, flag = run_code(code, env=env)
    assert changed == (flag if strict == "0" else 0)
