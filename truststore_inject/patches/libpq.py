"""libpq, of which psycopg, psycopg2 and ADBC's driver carry one each: what ``sslrootcert=system`` means to it.

It means OpenSSL's default locations, and those of an OpenSSL in a wheel may exist nowhere.  Such a connection gets the
system store as a file.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLROOTCERT
"""

import os
import re

from . import default_file, system_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VARIABLES = {"sslrootcert": "PGSSLROOTCERT", "sslmode": "PGSSLMODE"}

# In a keyword string, a value may be quoted; a backslash escapes the next character.
_PAIR = re.compile(r"\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?!')(?:[^\s\\]|\\.)*))(?=\s|$)", re.DOTALL)
_URI = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?[^?]*\??(.*)", re.DOTALL)


def trust(given: "Mapping[str, object]") -> dict[str, str]:
    """What has to change in these parameters of a connection, so that it verifies with the system store.

    Nothing, if they name a CA of the user's own, or there is no store.
    """
    try:
        root, mode = _value("sslrootcert", given), _value("sslmode", given)
    except Exception:  # the file that says it was not found
        return {}
    if root == "system":
        # libpq verifies the host name then, and refuses to do less: that refusal stays its own.
        path = system_file() if mode in (None, "verify-full") else None
        return {} if path is None else {"sslrootcert": path, "sslmode": "verify-full"}
    path = default_file(root) if root else None
    return {} if path is None else {"sslrootcert": path}


def parse(conninfo: str) -> "dict[str, str] | None":
    """The parameters in a string that libpq takes; None if it is not one.  The hosts of a URI are not among them.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
    """
    uri = _URI.fullmatch(conninfo)
    if uri is not None:
        from urllib.parse import unquote

        pairs = [pair.partition("=") for pair in uri[1].split("&") if pair]
        given = {unquote(name): unquote(value) for name, _, value in pairs}
        return {**given, "sslmode": "require"} if given.get("ssl") == "true" else given
    given, end = {}, 0
    while (pair := _PAIR.match(conninfo, end)) is not None:
        given[pair[1]] = re.sub(r"\\(.)", r"\1", pair[3] if pair[2] is None else pair[2], flags=re.DOTALL)
        end = pair.end()
    return None if conninfo[end:].strip() else given


def change(conninfo: str, ours: "Mapping[str, str]") -> str:
    """`conninfo`, which `parse` understands, with `ours` in the place of what it says."""
    uri = _URI.fullmatch(conninfo)
    if uri is not None:  # of two values libpq takes the last
        from urllib.parse import quote

        separator = "&" if uri[1] else "" if conninfo.endswith("?") else "?"
        return conninfo + separator + "&".join(f"{name}={quote(value)}" for name, value in ours.items())
    given = {**(parse(conninfo) or {}), **ours}
    return " ".join(f"{name}='{_escape(value)}'" for name, value in given.items())


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _value(name: str, given: "Mapping[str, object]") -> object:
    """What libpq takes for that parameter: the program's, the service's, the variable's.  Raises `LookupError`."""
    if given.get(name) is not None:
        return given[name]
    service = given.get("service") or os.environ.get("PGSERVICE")
    settings = _service(str(service), given.get("servicefile")) if service else {}
    return settings.get(name, os.environ.get(_VARIABLES[name]))


def _service(name: str, file: object) -> dict[str, str]:
    """What the service file says about this service.  Raises `LookupError` if that cannot be told.

    https://www.postgresql.org/docs/current/libpq-pgservice.html
    """
    first = file or os.environ.get("PGSERVICEFILE") or os.path.expanduser("~/.pg_service.conf")
    # Where that is not set, libpq looks in a folder that was fixed when it was built.
    second = os.path.join(os.environ.get("PGSYSCONFDIR") or "/nonexistent", "pg_service.conf")
    for path in (str(first), second):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as lines:
                found = _section(name, map(str.strip, lines))
        except OSError:
            continue
        if found is not None:
            return found
    raise LookupError(name)


def _section(name: str, lines: "Iterable[str]") -> "dict[str, str] | None":
    settings: dict[str, str] | None = None
    for line in lines:
        if line.startswith("["):
            if settings is not None:
                break
            if line.startswith(f"[{name}]"):
                settings = {}
        elif settings is not None and line and not line.startswith("#"):
            if line.startswith("ldap"):
                raise LookupError(line)  # an LDAP server has the answer
            key, _, value = line.partition("=")
            settings.setdefault(key, value)
    return settings
