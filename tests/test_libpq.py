"""A connection string and where else libpq finds its parameters: read and changed as libpq reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_stacks import need


@pytest.fixture
def psycopg2() -> object:
    need("psycopg2")
    import psycopg2

    return psycopg2


CONNINFOS = [
    "host=localhost sslrootcert=system",
    "host = 'a b' password='it\\'s \\\\ sslmode=disable' sslrootcert = system  sslmode='verify-full' ",
    "password= sslrootcert=system",
    "password=a\\ b'c sslrootcert='' user=''",
    "sslrootcert=/a.pem sslrootcert=system",
    "postgresql://u:p%40@[::1]:5/d?sslrootcert=system&sslmode=verify%2Dfull",
    "postgres://u:a?b@localhost?sslrootcert=system",
    "postgresql://localhost?ssl=true&sslrootcert=system",
    "postgresql://localhost/d",
    "postgresql://",
    "",
]


@pytest.mark.parametrize("conninfo", CONNINFOS)
def test_a_conninfo_is_read_and_changed_as_libpq_reads_it(conninfo: str, psycopg2: object) -> None:
    from truststore_inject.patches import libpq

    parse = psycopg2.extensions.parse_dsn  # type: ignore[attr-defined]
    expected, found = parse(conninfo), libpq.parse(conninfo)
    assert found is not None
    assert [found.get(name) for name in ("sslrootcert", "sslmode")] == [
        expected.get(name) for name in ("sslrootcert", "sslmode")
    ]
    ours = {"sslrootcert": "/a 'b' \\c&d.pem", "sslmode": "verify-full"}
    assert parse(libpq.change(conninfo, ours)) == {**expected, **ours}


@pytest.mark.parametrize("conninfo", ["host='a", "sslrootcert", "=system"])
def test_what_libpq_does_not_take_is_left_to_it(conninfo: str, psycopg2: object) -> None:
    from truststore_inject.patches import libpq

    with pytest.raises(psycopg2.Error):  # type: ignore[attr-defined]
        psycopg2.extensions.parse_dsn(conninfo)  # type: ignore[attr-defined]
    assert libpq.parse(conninfo) is None


SERVICES = """# a comment
[other]
sslrootcert=/other.pem

[there]
sslrootcert={root}
sslrootcert=/second.pem
sslmode=verify-full
"""


@pytest.mark.parametrize(
    ("given", "variables", "root", "changed"),
    [
        ({"sslrootcert": "system"}, {}, "", True),
        ({"sslrootcert": "system", "sslmode": "require"}, {}, "", False),
        ({"sslrootcert": ""}, {"PGSSLROOTCERT": "system"}, "", False),
        ({}, {"PGSSLROOTCERT": "system"}, "", True),
        ({}, {"PGSSLROOTCERT": "system", "PGSSLMODE": "verify-ca"}, "", False),
        ({"service": "there"}, {}, "system", True),
        ({}, {"PGSERVICE": "there"}, "system", True),
        # The service goes before the variable, and what the program says before both.
        ({"service": "there"}, {"PGSSLROOTCERT": "system"}, "/own.pem", False),
        ({"service": "there", "sslrootcert": "/own.pem"}, {}, "system", False),
        ({"service": "missing"}, {"PGSSLROOTCERT": "system"}, "system", False),
        ({"service": "there"}, {"PGSSLROOTCERT": "system"}, "x\nldap://localhost/", False),
        ({}, {}, "", False),
    ],
)
def test_where_libpq_finds_the_parameter(
    given: dict[str, str],
    variables: dict[str, str],
    root: str,
    changed: bool,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from truststore_inject.patches import libpq

    for name in ("PGSSLROOTCERT", "PGSSLMODE", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**variables, "SSL_CERT_DIR": str(store), "SSL_CERT_FILE": "/nonexistent"}.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "services" / "pg_service.conf"
    file.parent.mkdir()
    file.write_text(SERVICES.format(root=root))
    for place in ({"PGSERVICEFILE": str(file)}, {"PGSYSCONFDIR": str(file.parent)}):
        with monkeypatch.context() as context:
            for name, value in place.items():
                context.setenv(name, value)
            assert bool(libpq.trust(given)) is changed
            assert os.environ.get("PGSSLROOTCERT") == variables.get("PGSSLROOTCERT")
