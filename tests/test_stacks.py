"""Libraries with a TLS stack of their own, where the matrix does not look: variables, orders, what a child inherits."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from harness import HERE, Authorities, environment, run_code
from machines import LAYOUTS, Machine, needs_machines
from servers import MySqlServer, Server, decide, server_context

from truststore_inject import patches

# The client: the distribution, the module, and whether it is tried in the layout of Red Hat.  In the other
# one its own default is that of the machine.
STACKS = {
    "psycopg2": ("psycopg2-binary", "psycopg2", "Debian"),
    "adbc_postgresql": ("adbc-driver-postgresql", "adbc_driver_postgresql", "Red Hat"),
    "ydb": ("ydb", "ydb", "Debian"),
    "pyogrio": ("pyogrio", "pyogrio", "Debian"),
    "fiona": ("fiona", "fiona", "Debian"),
    "rasterio": ("rasterio", "rasterio", "Debian"),
    "pyproj": ("pyproj", "pyproj", "Debian"),
    "netcdf4": ("netCDF4", "netCDF4", "Debian"),
    "pyav": ("av", "av", "Debian"),
    "httpr": ("httpr", "httpr", "Debian"),
    "pulsar": ("pulsar-client", "pulsar", "Debian"),
    "couchbase": ("couchbase", "couchbase", "Red Hat"),
    "mysql_connector": ("mysql-connector-python", "mysql", "Debian"),
}


def need(*clients: str) -> None:
    for client in clients:
        try:
            version(STACKS[client][0])
        except PackageNotFoundError:
            pytest.skip(f"{STACKS[client][0]} is not installed")


@pytest.fixture(scope="module")
def machines(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    """No variable is set there: some libraries read SSL_CERT_FILE by themselves."""
    names = ("Debian", "Red Hat")
    return {name: LAYOUTS[name](tmp_path_factory.mktemp("machine"), [authorities.system]) for name in names}


def ask(
    machine: Machine, client: str, servers: dict[str, Server], trust: str = "default", **variables: str | Path
) -> dict[str, str]:
    """What `client` says there of two servers, in a child process."""
    urls = {case: servers[case].url for case in ("system", "private")}
    before = {case: servers[case].believed for case in urls}
    result = machine.run(machine.python, HERE / "clients", client, trust, json.dumps(urls), **variables)
    assert result.returncode == 0, result.stderr
    said: dict[str, str] = json.loads(result.stdout.splitlines()[-1])
    return {case: decide(servers[case], before[case], verdict) for case, verdict in said.items()}


@needs_machines
@pytest.mark.parametrize(
    ("client", "variable"),
    [
        ("psycopg2", "PGSSLROOTCERT"),
        ("adbc_postgresql", "PGSSLROOTCERT"),
        ("pyogrio", "GDAL_CURL_CA_BUNDLE"),
        ("fiona", "GDAL_CURL_CA_BUNDLE"),
        ("rasterio", "GDAL_CURL_CA_BUNDLE"),
        ("pyproj", "PROJ_CURL_CA_BUNDLE"),
        ("pyproj", "SSL_CERT_FILE"),
        ("httpr", "HTTPR_CA_BUNDLE"),
    ],
)
def test_a_variable_is_exact_and_certifis_path_in_it_is_none(
    client: str,
    variable: str,
    servers: dict[str, Server],
    machines: dict[str, Machine],
    ca_file: Callable[[str], Path],
) -> None:
    need(client)
    import certifi

    machine = machines[STACKS[client][2]]
    own = {variable: ca_file("private")}
    accepted = "refused" if client == "pyproj" else "accepted"  # no variable works there, in stock neither
    assert ask(machine, client, servers, **own) == {"system": "refused", "private": accepted}
    assert ask(machine, client, servers, **{variable: certifi.where()}) == {"system": "accepted", "private": "refused"}


@needs_machines
@pytest.mark.parametrize("client", [client for client in STACKS if client not in ("pyproj", "mysql_connector")])
def test_late_and_taken_back(client: str, servers: dict[str, Server], machines: dict[str, Machine]) -> None:
    """Another server after each step: GDAL remembers what it was told by the first."""
    need(client)
    machine, module = machines[STACKS[client][2]], STACKS[client][1]
    code = f"""
import importlib, json, sys
sys.path.insert(0, {str(HERE)!r})
import truststore_inject
from truststore_inject import _record
from truststore_inject.patches import wrapping
truststore_inject.extract()
importlib.import_module({module!r})
import clients
truststore_inject.inject()
states = [_record.patches[{module!r}]]
said = [clients.judge({client!r}, {servers["system"].url!r}, "default")]
wrapped = [*wrapping._wrapped]
truststore_inject.extract()
absent = wrapping._ABSENT
back = [vars(holder).get(name, absent) is own for holder, name, own, ours in wrapped]
said.append(clients.judge({client!r}, {servers["intermediate"].url!r}, "default"))
print(json.dumps([states, back, wrapping._wrapped, said]))
"""
    before = [servers[case].believed for case in ("system", "intermediate")]
    result = machine.run(machine.python, "-c", code)
    assert result.returncode == 0, result.stderr
    states, back, left, said = json.loads(result.stdout.splitlines()[-1])
    assert states == [["applied", ""]]
    assert (set(back) <= {True}, left) == (True, [])
    found = [decide(servers[case], before[at], said[at]) for at, case in enumerate(("system", "intermediate"))]
    assert found == ["accepted", "refused"]


@needs_machines
@pytest.mark.parametrize("client", ["couchbase", "pulsar"])
def test_a_ca_that_is_named_is_exact(
    client: str, servers: dict[str, Server], machines: dict[str, Machine], ca_file: Callable[[str], Path]
) -> None:
    """The matrix leaves these out: they take their time."""
    need(client)
    said = ask(machines["Red Hat"], client, servers, str(ca_file("private")))
    assert said == {"system": "refused", "private": "accepted"}


@needs_machines
def test_the_environment_is_as_in_stock(servers: dict[str, Server], machines: dict[str, Machine]) -> None:
    """pyogrio, fiona and rasterio put certifi's path there, for children too; nothing else comes."""
    need("pyogrio", "fiona", "rasterio", "netcdf4", "pyav", "httpr", "ydb", "psycopg2")
    code = f"""
import json, os, sys
sys.path.insert(0, {str(HERE)!r})
before = dict(os.environ)
import clients
for client in ("psycopg2", "ydb", "httpr", "pyav", "netcdf4", "pyogrio", "fiona", "rasterio"):
    clients.judge(client, {servers["system"].url!r}, "default")
print(json.dumps(sorted(os.environ.items() ^ before.items())))
"""
    machine = machines["Debian"]
    results = [machine.run(machine.python, "-c", code, TRUSTSTORE_INJECT=value) for value in ("1", "0")]
    changes = [json.loads(result.stdout.splitlines()[-1]) for result in results]
    assert changes[0] == changes[1]
    assert {name for name, _ in changes[0]} >= {"GDAL_CURL_CA_BUNDLE"}


@pytest.mark.parametrize("library", ["fiona", "rasterio"])
def test_an_env_that_names_a_ca_is_exact_and_then_over(library: str, store: Path) -> None:
    """At its end fiona and rasterio delete the option, not only what the Env set."""
    need(library)
    code = f"""
import json
import {library} as library, {library}._env as options
get = lambda: options.get_gdal_config("GDAL_CURL_CA_BUNDLE", normalize=False)
seen = [get()]
with library.Env():
    with library.Env(GDAL_CURL_CA_BUNDLE="/own.pem"):
        seen.append(get())
    seen.append(get())
with library.Env(GDAL_CURL_CA_BUNDLE="/own.pem"):
    pass
seen.append(get())
options.set_gdal_config("GDAL_CURL_CA_BUNDLE", "/own.pem")
import truststore_inject
truststore_inject.extract()
seen.append(get())
print(json.dumps(seen))
"""
    first, *others = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert "certifi" not in first
    assert others == ["/own.pem", first, first, "/own.pem"]


def test_netcdf_keeps_what_the_program_names(store: Path) -> None:
    need("netcdf4")
    code = """
import json, netCDF4, truststore_inject
first = netCDF4.rc_get("HTTP.SSL.CAINFO")
truststore_inject.extract()
second = netCDF4.rc_get("HTTP.SSL.CAINFO")
truststore_inject.inject()
netCDF4.rc_set("HTTP.SSL.CAINFO", "/own.pem")
truststore_inject.extract()
truststore_inject.inject()
print(json.dumps([first, second, netCDF4.rc_get("HTTP.SSL.CAINFO")]))
"""
    import certifi

    first, second, third = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert first != certifi.where()
    assert (second, third) == (certifi.where(), "/own.pem")


def test_couchbase_leaves_capella_and_its_options_alone(store: Path) -> None:
    """A CA of Capella's is compiled in, and forgotten where a file is named."""
    need("couchbase")
    code = """
import json
from couchbase.auth import PasswordAuthenticator
from couchbase.logic.cluster_settings import ClusterSettings
from couchbase.options import ClusterOptions
options = ClusterOptions(PasswordAuthenticator("u", "p"))
seen = []
for address in ("couchbases://a,localhost:1/x", "couchbase://localhost", "couchbases://cb.x.cloud.couchbase.com",
                "couchbases://localhost?truststorepath=/own.pem", "couchbases://localhost?ssl=no_verify"):
    settings = ClusterSettings.build_cluster_settings(address, options)
    seen.append(settings.cluster_options.get("trust_store_path"))
print(json.dumps([seen, "trust_store_path" in options]))
"""
    (first, *others), written = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert first is not None
    assert others == [None, None, "/own.pem", None]
    assert not written


@pytest.fixture(scope="module")
def mysql_servers(authorities: Authorities) -> Iterator[dict[str, MySqlServer]]:
    certificates = authorities.server_certificates()
    cases = ("system", "private", "unknown", "wrong_host", "expired")
    servers = {case: MySqlServer(server_context(certificates[case])) for case in cases}
    yield servers
    for server in servers.values():
        server.close()


@pytest.mark.parametrize("named", ["", "private", "certifi"])
def test_mysql_connector(
    named: str, mysql_servers: dict[str, MySqlServer], store: Path, ca_file: Callable[[str], Path]
) -> None:
    need("mysql_connector")
    import certifi

    path = {"": None, "certifi": certifi.where()}.get(named) or ca_file("private") if named else None
    # The extension needs a newer OpenSSL than the machine may have: its own one has to be the first.
    code = f"""
import json
import _mysql_connector
import mysql.connector
said = []
own = {{"ssl_ca": {str(path)!r}}} if {path is not None} else {{}}
for port in {[server.port for server in mysql_servers.values()]}:
    try:
        mysql.connector.connect(
            host="localhost", port=port, user="u", password="p", use_pure=False, connection_timeout=5,
            ssl_verify_cert=True, ssl_verify_identity=True, **own,
        )
    except mysql.connector.Error as error:
        said.append("refused" if "SSL connection error" in str(error) else "accepted")
print(json.dumps(said))
"""
    # Not measured: coverage would load the machine's OpenSSL first.
    said = run_code(code, env=environment(SSL_CERT_DIR=store, COVERAGE_PROCESS_CONFIG=""))
    accepted = "private" if named == "private" else "system"
    assert dict(zip(mysql_servers, said, strict=True)) == {
        case: "accepted" if case == accepted else "refused" for case in mysql_servers
    }


MISTAKES = """
import inspect, json
from pathlib import Path
def try_(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None
import adbc_driver_postgresql, av, httpr, psycopg2, pulsar, ydb
print(json.dumps([try_(call) for call in (
    lambda: av.open(5), lambda: av.open(), lambda: av.open("http://localhost:1/", options=5),
    lambda: av.open("http://localhost:1/", "x"), lambda: av.open("http://localhost:1/", container_options=[1]),
    lambda: av.open("http://localhost:1/", "r", None, None, {"a": "b"}, None),
    lambda: httpr.Client(no=1), lambda: httpr.Client(ca_cert_file=5), lambda: httpr.Client(ca_cert_file=""),
    lambda: httpr.Client(*[None] * 30), lambda: httpr.AsyncClient(no=1), lambda: psycopg2.connect("host='a"), lambda: psycopg2.connect(5),
    lambda: psycopg2._connect(), lambda: adbc_driver_postgresql.connect(5), lambda: adbc_driver_postgresql.connect(),
    lambda: int(str(inspect.signature(httpr.Client))),
    lambda: pulsar.Client("pulsar+ssl://localhost", tls_trust_certs_file_path=5), lambda: ydb.default_pem.load_default_pem(1),
)]))
"""


def test_a_mistake_is_answered_as_in_stock(store: Path) -> None:
    need("pyav", "httpr", "psycopg2", "adbc_postgresql", "pulsar", "ydb")
    env = environment(SSL_CERT_DIR=store)
    found, stock = run_code(MISTAKES, env=env), run_code(MISTAKES, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert found == stock


@needs_machines
def test_the_machines_bundle_named_by_its_path_gets_what_the_settings_add(
    servers: dict[str, Server], authorities: Authorities, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """``ssl_ca="/etc/ssl/certs/ca-certificates.crt"`` is what many guides say."""
    need("psycopg2")
    trust, extra = "/etc/ssl/certs/ca-certificates.crt", {"TRUSTSTORE_INJECT_EXTRA_CA_CERTS": ca_file("private")}
    machine = LAYOUTS["Debian"](tmp_path, [authorities.system])
    assert ask(machine, "psycopg2", servers, trust) == {"system": "accepted", "private": "refused"}
    assert ask(machine, "psycopg2", servers, trust, **extra) == {"system": "accepted", "private": "accepted"}
    other = {**extra, "SSL_CERT_FILE": ca_file("unknown")}  # then it is the program's own choice
    assert ask(machine, "psycopg2", servers, trust, **other) == {"system": "accepted", "private": "refused"}
    machine.directory("/etc/ssl/certs", [authorities.system, authorities.private])  # beside it, and not in it
    assert ask(machine, "psycopg2", servers, trust) == {"system": "accepted", "private": "refused"}


def stand_in(name: str, **attributes: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(attributes)
    return module


class Client:
    def __init__(self, verify: bool = True) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "module", "reason"),
    [
        ("psycopg2", {"__libpq_version__": 150012}, "older than sslrootcert=system"),
        ("netCDF4", {}, "no table"),
        ("netCDF4", {"__has_nc_rc_set__": True, "rc_get": lambda key: "/own.pem"}, "the user's own"),
        ("pulsar", {}, "not pulsar-client's"),
        ("httpr", {"Client": Client}, "documents no ca_cert_file"),
        ("pyproj", {"network": SimpleNamespace()}, "no network.set_ca_bundle_path"),
        ("av", {"_core": SimpleNamespace(library_meta={})}, "lets the operating system verify"),
        ("pyogrio", {"get_gdal_config_option": lambda name: None}, "is not set"),
        ("pyogrio", {"get_gdal_config_option": lambda name: "/own.pem"}, "the user's own"),
        ("mysql.connector.connection_cext", {}, "the C extension is not there"),
        ("couchbase.logic.cluster_settings", {}, "no ClusterSettings"),
    ],
)
def test_other_versions_are_left_alone(name: str, module: dict[str, object], reason: str) -> None:
    library = importlib.import_module(f"truststore_inject.patches._{name.partition('.')[0]}")
    if "." in name:
        library.patch(ModuleType(name.partition(".")[0]))
        library = patches.submodules[name]
    other = stand_in(name, set_gdal_config_options=None, container=SimpleNamespace(core=None), **module)
    before = dict(vars(other))
    assert reason in library.patch(other)
    library.unpatch(other)
    assert vars(other) == before


@pytest.mark.parametrize("name", ["netCDF4", "pyogrio"])
def test_without_a_store_certifis_file_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    certifi = pytest.importorskip("certifi")
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(variable, "/nonexistent")
    library = importlib.import_module(f"truststore_inject.patches._{name}")
    module = stand_in(
        name,
        __has_nc_rc_set__=True,
        rc_get=lambda key: certifi.where(),
        get_gdal_config_option=lambda key: certifi.where(),
        set_gdal_config_options=None,
    )
    assert library.patch(module) == "no usable system store"
    library.unpatch(module)
