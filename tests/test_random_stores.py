"""Stores that nobody chose, judged by stock Python and by the package: equal verdicts, in both directions."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from harness import openssl_store
from machines import needs_machines
from random_stores import AT_ONCE, compare

pytestmark = [openssl_store, needs_machines]


@pytest.mark.long
@pytest.mark.parametrize("sharing", [True, False], ids=["", "without sharing"])
def test_random_stores(sharing: bool, tmp_path: Path) -> None:
    """``python tests/random_stores.py --seed N`` lays the same ones again."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    differences = compare(tmp_path / "compared", AT_ONCE if sharing else AT_ONCE // 2, seed, sharing=sharing)
    assert not differences, "\n\n".join(differences)
