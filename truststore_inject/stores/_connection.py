"""The object behind a client connection that the operating system verifies: no byte passes before it has agreed.

A connection of `truststore.SSLContext` is verified in ``do_handshake`` alone: if a program writes first, OpenSSL does
the handshake, and nothing is verified.
"""

import _socket
import _ssl
import socket
import ssl
from functools import partial
from weakref import ref

from .. import _record
from . import _verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    # By server certificate: the chain in DER, and that certificate as the ssl module decodes it.
    Chains = dict[bytes, tuple[list[bytes], Mapping[str, Any]]]


class Connection:
    """Wraps the `_ssl._SSLSocket` of a client connection, as the `_sslobj` of an SSLSocket or SSLObject.

    What is not defined here comes from the wrapped object.  `verifying` calls a function while OpenSSL's own
    verification is on in `context`; `chains` holds what the context's sessions do not: see `session`.
    """

    __slots__ = (
        "_chains",
        "_context",
        "_final",
        "_leaf",
        "_refusal",
        "_settings",
        "_sock",
        "_ssl",
        "_system",
        "_verifying",
    )

    def __init__(
        self,
        made: "Any",
        context: ssl.SSLContext,
        system: _verifier.Verifier,
        settings: _verifier.Settings,
        chains: "Chains",
        verifying: "Callable[[Callable[[], Any]], Any]",
        sock: "Any",
    ) -> None:
        self._ssl = made
        self._context = context
        self._system = system
        self._settings = settings
        self._chains = chains
        self._verifying = verifying
        self._sock = None if sock is None else ref(sock)  # the SSLSocket holds us
        self._leaf: bytes | None = None  # the server certificate that was verified
        self._final = False  # and no other can come
        self._refusal: tuple[str, int] | None = None

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._ssl, name)

    def do_handshake(self) -> None:
        self._raise_refusal()
        self._ssl.do_handshake()
        self._verify()

    def read(self, size: int, *buffer: "Any") -> "Any":
        self._ready()
        got = self._ssl.read(size, *buffer)
        if not self._final:
            try:
                self._verify()  # a renegotiation may have happened inside
            except BaseException:
                for into in buffer:
                    memoryview(into).cast("B")[:got] = bytes(got)
                raise
        return got

    def write(self, data: "Any") -> int:
        self._ready()
        written: int = self._ssl.write(data)
        return written

    def getpeercert(self, binary_form: bool = False, /) -> "Any":
        if self._leaf is None:  # as in stock after a refusal, where the handshake never ends
            raise ValueError("handshake not done yet")
        if not self._final:
            self._verify()
        return self._ssl.getpeercert(True) if binary_form else self._decoded()

    def get_verified_chain(self) -> "Any":
        # The operating system does not hand out the chain that it verified, and nobody verified the one that OpenSSL
        # put together, except for its first certificate.
        chain = None if self._leaf is None else self._ssl.get_unverified_chain()
        return chain and chain[:1]

    @property
    def context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = self._ssl.context
        return context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._ssl.context = context

    @property
    def owner(self) -> "Any":
        return self._ssl.owner

    @owner.setter
    def owner(self, owner: "Any") -> None:
        self._ssl.owner = owner

    @property
    def session(self) -> "Any":
        if self._leaf is None:
            return None  # a session with an unverified server is of no use
        if self._leaf not in self._chains:
            self._chains[self._leaf] = self._chain(self._leaf), self._decoded()
        return self._ssl.session

    @session.setter
    def session(self, session: "Any") -> None:
        self._ssl.session = session

    def _ready(self) -> None:
        """Called before application data passes: OpenSSL would do an outstanding handshake by itself, unverified."""
        if not self._final:
            self.do_handshake()

    def _verify(self) -> None:
        """Let the operating system verify the server, unless it has already verified this certificate.

        More than once: up to TLS 1.2 a renegotiation can bring another certificate.
        """
        self._raise_refusal()
        try:
            leaf = self._ssl.getpeercert(True)
        except ValueError:
            return  # in the middle of a renegotiation: what came so far is from a verified server
        if leaf is None or leaf != self._leaf:
            try:
                self._ask(leaf)
            except Exception as error:  # whatever goes wrong: what is not verified is refused
                self._refuse(error)
            self._leaf = leaf
        self._final = self._ssl.version() == "TLSv1.3"

    def _ask(self, leaf: bytes | None) -> None:
        if leaf is None:
            raise ssl.SSLCertVerificationError("the server sent no certificate")
        if self._ssl.context is not self._context:
            raise ssl.SSLCertVerificationError("its context was replaced before it was verified")
        self._system.verify(self._settings, self._chain(leaf), self._ssl.server_hostname, self._decoded)

    def _chain(self, leaf: bytes) -> list[bytes]:
        """`leaf` and what else the server sent, as DER.  A resumed session brings only the leaf."""
        sent = [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in self._ssl.get_unverified_chain() or ()]
        others = [certificate for certificate in sent if certificate != leaf]
        return [leaf, *others] if others else self._chains.get(leaf, ([leaf], None))[0]

    def _decoded(self) -> "Any":
        """The server's certificate as the ssl module decodes it.

        ``getpeercert()`` does that only if the context verifies; on PyPy, if the object does, and ours never does.
        """
        decoded = self._verifying(partial(self._ssl.getpeercert, False))
        if not decoded and (chain := self._ssl.get_unverified_chain()):
            decoded = chain[0].get_info()
        if not decoded and (leaf := self._ssl.getpeercert(True)) in self._chains:
            decoded = dict(self._chains[leaf][1])
        return decoded

    def _refuse(self, error: Exception) -> "NoReturn":
        message = _verifier.words(error)
        if isinstance(error, _verifier.CouldNotBeAsked):
            message = f"{_verifier.NAME} could not be asked: {message}"
        # It may quote the server's certificate: nothing that a terminal would obey may be left in it.
        self._refusal = _record.printable(message), getattr(error, "verify_code", 0)
        self._leaf = None
        sock = None if self._sock is None else self._sock()
        if sock is not None:
            try:
                # Not close(): SSLSocket.do_handshake sets the timeout afterwards, and its error would hide ours.
                _socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except (OSError, TypeError):  # the server was faster, or it is not a socket
                pass
        raise _refusal(*self._refusal) from None if isinstance(error, ssl.SSLCertVerificationError) else error

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise _refusal(*self._refusal)


def _refusal(message: str, code: int) -> ssl.SSLCertVerificationError:
    """In OpenSSL's words and with its attributes: programs look for both."""
    text = f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {message} ({_verifier.NAME})"
    error = ssl.SSLCertVerificationError(1, text)
    error.library, error.reason = "SSL", "CERTIFICATE_VERIFY_FAILED"
    error.verify_message, error.verify_code = message, code
    return error
