"""Tools that download."""

from __future__ import annotations

import os
import sys

from .registry import address, client, verify


@client("dulwich")
def dulwich(url: str, trust: str) -> None:
    from dulwich.client import HttpGitClient
    from dulwich.config import ConfigDict

    settings = ConfigDict()
    if trust == "off":
        settings.set((b"http",), b"sslVerify", False)
    elif trust != "default":
        settings.set((b"http",), b"sslCAInfo", trust.encode())
    HttpGitClient(url, config=settings).get_refs(b"repository")


@client("pygit2", adds_to_default=True)
def pygit2(url: str, trust: str) -> None:
    import tempfile

    import pygit2

    class Unverified(pygit2.RemoteCallbacks):
        def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
            return True

    if trust not in ("default", "off"):
        pygit2.settings.set_ssl_cert_locations(trust, None)
    callbacks = Unverified() if trust == "off" else None
    with tempfile.TemporaryDirectory() as folder:
        remote = pygit2.init_repository(folder).remotes.create_anonymous(url)
        (remote.list_heads if hasattr(remote, "list_heads") else remote.ls_remotes)(callbacks=callbacks)


@client("gsutil", alone=True)
def gsutil(url: str, trust: str) -> None:
    import subprocess
    import tempfile

    host, port = address(url)
    settings = {"Credentials:gs_json_host": host, "Credentials:gs_json_port": str(port), "Boto:num_retries": "0"}
    if trust == "off":
        settings["Boto:https_validate_certificates"] = "False"
    elif trust != "default":
        settings["Boto:ca_certificates_file"] = trust
    options = [text for name, value in settings.items() for text in ("-o", f"{name}={value}")]
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"HOME": home, "BOTO_CONFIG": os.devnull}
        command = [sys.executable, "-m", "gslib", *options, "ls", "gs://bucket"]
        result = subprocess.run(command, env=env, capture_output=True, text=True)
    raise ConnectionError(result.stdout + result.stderr)  # there is no such service


@client("twine")
def twine(url: str, trust: str) -> None:
    from twine.repository import Repository

    repository = Repository(url, "u", "p")
    if trust != "default":
        repository.session.verify = verify(trust)
    repository.session.get(url)


@client("pip", adds_to_default=True)
def pip(url: str, trust: str) -> None:
    import subprocess
    import tempfile

    options = {"default": [], "off": ["--trusted-host=localhost"]}.get(trust, [f"--cert={trust}"])
    with tempfile.TemporaryDirectory() as folder:
        download = ["download", "example", "--no-deps", "--no-cache-dir", "--retries=0", f"--dest={folder}"]
        command = [
            sys.executable,
            "-m",
            "pip",
            *download,
            "--disable-pip-version-check",
            f"--index-url={url}",
            *options,
        ]
        result = subprocess.run(
            command, env=os.environ | {"PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True
        )
    raise ConnectionError(result.stdout + result.stderr)  # there is no such package


@client("poetry")
def poetry(url: str, trust: str) -> None:
    import time

    from poetry.utils.authenticator import Authenticator

    time.sleep = lambda seconds: None  # between its five attempts
    options = {} if trust == "default" else {"verify": verify(trust)}
    Authenticator().request("get", url, **options)
