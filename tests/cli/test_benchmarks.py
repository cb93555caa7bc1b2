"""The commands that print figures, with small numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PHOTOS, Run


@pytest.mark.slow
def test_the_gpu_report_runs_on_a_cpu_too(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = run("-m", "benchmarks.gpu_report", "--photos", PHOTOS, "--out", out, "--quick")
    assert done.returncode == 0, done.stderr
    report = (out / "report.md").read_text()
    for title in ("A training step", "Training photos", "Painting", "Short trainings"):
        assert f"### {title}" in report
    assert "| ours | 2 |" in report
    assert "cached, 1 workers" in report
    again = run("-m", "benchmarks.gpu_report", "--photos", PHOTOS, "--out", out, "--quick")
    assert again.returncode == 2
    assert "holds a report already; expected a new folder. Change --out." in again.stderr
