"""How torch's threads wait: what its OpenMP says it has read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
@pytest.mark.parametrize(
    ("program", "given", "spins"),
    [
        ("train", {}, "3000"),
        ("optimize", {}, "3000"),
        ("stylize", {}, "3000"),
        ("benchmarks.style_grid", {}, "3000"),
        ("compare", {"GOMP_SPINCOUNT": "77"}, "77"),
        ("train", {"OMP_WAIT_POLICY": "PASSIVE"}, "0"),
    ],
)
def test_threads_spin_a_little(program: str, given: dict[str, str], spins: str) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    env |= given | {"OMP_DISPLAY_ENV": "VERBOSE"}
    ran = subprocess.run(
        [sys.executable, "-c", f"import {program}, torch"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in ran.stderr
