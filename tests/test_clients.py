"""Each client library, stock and injected, against servers of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import CERTIFI, OPENSSL, Authorities, environment, shadow_certifi, verdicts

REFUSED = dict.fromkeys(("bundled", "private", "unknown", "wrong_host", "expired"), "refused")


@pytest.fixture(scope="session")
def certifi(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For PYTHONPATH: a certifi with another CA than the store's."""
    with shadow_certifi(tmp_path_factory.mktemp("certifi"), authorities.bundled) as folder:
        return folder


def default_environment(client: str, store: Path, certifi: Path, **variables: str) -> dict[str, str]:
    env = environment(SSL_CERT_DIR=store, PYTHONPATH=certifi, **variables)
    if client.startswith("httpx"):
        # httpx prefers SSL_CERT_FILE to certifi's bundle, and fails if it does not exist.
        env["SSL_CERT_FILE"] = str(certifi / "certifi" / "cacert.pem")
    return env


@pytest.mark.parametrize("client", [*CERTIFI, *OPENSSL])
def test_default_trust_is_the_store(client: str, urls: dict[str, str], store: Path, certifi: Path) -> None:
    env = default_environment(client, store, certifi)
    assert verdicts(client, urls, env=env) == {"system": "accepted", "intermediate": "accepted", **REFUSED}


@pytest.mark.parametrize("client", CERTIFI)
def test_opted_out_is_stock(client: str, urls: dict[str, str], store: Path, certifi: Path) -> None:
    env = default_environment(client, store, certifi, TRUSTSTORE_INJECT="0")
    expected = {**dict.fromkeys(urls, "refused"), "bundled": "accepted"}
    assert verdicts(client, urls, env=env) == expected


@pytest.mark.parametrize("client", [*CERTIFI, *OPENSSL])
def test_a_pinned_client_stays_pinned(
    client: str, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    env = environment(SSL_CERT_DIR=store)
    expected = {**dict.fromkeys(urls, "refused"), "private": "accepted"}
    assert verdicts(client, urls, env=env, trust=str(ca_file("private"))) == expected


@pytest.mark.parametrize("client", [*CERTIFI, *OPENSSL])
def test_no_verification_stays_none(client: str, urls: dict[str, str], store: Path) -> None:
    assert verdicts(client, urls, env=environment(SSL_CERT_DIR=store), trust="off") == dict.fromkeys(urls, "accepted")
