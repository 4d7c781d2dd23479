"""The block in a ``sitecustomize.py``: bytes in, bytes out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bases import FOLDER

from truststore_inject import __version__, _settings
from truststore_inject.cli import _sitecustomize


def test_a_block_that_is_not_to_be_read_covers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sitecustomize.sysconfig, "get_path", lambda _: str(tmp_path))
    assert _sitecustomize.covering() is None
    file, folder = tmp_path / "sitecustomize.py", tmp_path / "truststore-inject-1-0123456789ab"
    written = _sitecustomize.insert(None, folder.name)
    file.write_bytes(b"import os\n")
    assert _sitecustomize.covering() is None
    file.write_bytes(written.replace(b"off", b"on"))
    assert _sitecustomize.covering() is None
    file.write_bytes(written)
    assert _sitecustomize.covering() is None
    folder.mkdir()
    assert _sitecustomize.covering() == (str(file), str(folder))
    monkeypatch.setattr(os, "environ", {"PYTHONPATH": f"{tmp_path}{os.pathsep}"})
    assert _sitecustomize.hidden_by() == str(file)
    monkeypatch.setattr(os, "environ", {})
    assert _sitecustomize.hidden_by() is None


ORIGINALS = [
    b"",
    b"x = 1",
    b"x = 1\n",
    b"x = 1\n\n\n",
    b"x = 1\r\ny = 2\r\n",
    b"x = 1\r\ny = 2",
    b"x = 1\ry = 2\r",
    b"if True:\n    x = 1",
    b"# only a comment",
    b"\xef\xbb\xbfx = '\xc3\xa9'\n",
    b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
    b'"""Words."""\n\nfrom __future__ import annotations\n\nimport os\n',
]


@pytest.mark.parametrize("original", ORIGINALS)
def test_what_is_inserted_can_be_taken_away_exactly(original: bytes) -> None:
    data = _sitecustomize.insert(original, FOLDER)
    block = _sitecustomize.parse(data)
    assert block is not None
    assert (block.version, block.folder, block.created, block.rest) == (__version__, FOLDER, False, original)
    assert _sitecustomize.insert(data, FOLDER) == data
    assert data.count(b"\r\n") in ((0, 1) if b"\r\n" not in original else (data.count(b"\n"),))
    code = compile(data, "sitecustomize.py", "exec", dont_inherit=True)
    assert "_truststore_inject" in code.co_names


@pytest.mark.parametrize("original", [None, *ORIGINALS])
def test_an_update_is_the_same_as_a_new_block(original: bytes | None) -> None:
    old = _sitecustomize.insert(original, FOLDER)
    assert _sitecustomize.insert(old, "truststore-inject-9-0") == _sitecustomize.insert(
        original, "truststore-inject-9-0"
    )


def test_what_somebody_writes_around_the_block_stays() -> None:
    for original in (b"x = 1", b"x = 1\n"):
        data = _sitecustomize.insert(original, FOLDER) + b"y = 2\n"
        assert _sitecustomize.insert(data, FOLDER) == data
        block = _sitecustomize.parse(b"w = 0\n" + data)
        assert block is not None
        assert block.rest == b"w = 0\nx = 1\ny = 2\n"


@pytest.mark.parametrize("original", [None, b"x = 1"])
def test_an_edited_block_is_seen(original: bytes | None) -> None:
    lines = _sitecustomize.insert(original, FOLDER).splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(b"# >>>"))
    for number in range(first, len(lines)):
        with pytest.raises(_sitecustomize.Edited):
            _sitecustomize.parse(b"".join(lines[:number] + lines[number + 1 :]))
    with pytest.raises(_sitecustomize.Edited):
        _sitecustomize.parse(b"".join(lines * 2))


def test_the_block_and_the_package_agree_what_off_is() -> None:
    data = _sitecustomize.insert(b"", FOLDER).decode()
    (line,) = (line for line in data.splitlines() if "TRUSTSTORE_INJECT" in line)
    assert set(eval(line.partition(" in ")[2])) == _settings.OFF
