"""The programs under test: one function for each client, in a file for each kind of library.

A client makes one request to a URL, and raises what the library raises.  Its second argument, ``trust``, is ``default``,
``off`` (no verification) or the path of a CA file, given to the library in the way that its documentation has for it.
"""

from __future__ import annotations

import importlib
import ssl

from .registry import CLIENTS

# In the order of docs/libraries.md.  Not by statements, which -X lazy_imports=all would put off: each file adds its clients.
for _kind in ("standard", "web", "stacks", "databases", "messaging", "services", "files", "tools"):
    importlib.import_module(f"{__name__}.{_kind}")

__all__ = ["CLIENTS", "judge", "refusal"]

# In the text of exceptions that say it in words only; the second is urllib3's own check of the host name.
REFUSALS = (
    "CERTIFICATE_VERIFY_FAILED",
    "certificate verify failed",
    "doesn't match",
    "does not match host name",  # libpq
    "SSL certificate",  # libcurl
    "no alternative certificate subject name",  # libcurl
    "DNSMismatch",  # service_identity
)


def refusal(error: BaseException | None) -> bool:
    """Whether the certificate was refused: libraries wrap the reason in exceptions of their own."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError) or any(reason in str(error) for reason in REFUSALS):
            return True
        inner = [argument for argument in error.args if isinstance(argument, BaseException)]
        if any(refusal(argument) for argument in inner):
            return True
        error = error.__cause__ or error.__context__
    return False


def judge(client: str, url: str, trust: str) -> str:
    try:
        CLIENTS[client].request(url, trust)
    except Exception as error:
        return "refused" if refusal(error) else f"{type(error).__name__}: {error}"
    return "accepted"
