"""The comparison's report, from results made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.report import write_report
from baselines.results import BaselineRun, PhotoResult


def terms(total: float) -> dict[str, float]:
    return {"total_loss": total, "content_loss": total, "style_loss": 0.5, "tv_loss": 0.0}


def result(photo: str, network: float, totals: list[float], init: str = "noise") -> PhotoResult:
    seconds = [float(i) for i in range(len(totals))]
    run = BaselineRun([terms(total) for total in totals], seconds, "an abacus")
    return PhotoResult("mine", "c0ffee", photo, 256, init, terms(network), 0.5, run)


@pytest.fixture
def results() -> list[PhotoResult]:
    return [
        result("a.jpg", 5.0, [9, 6, 5, 4]),  # passes at iteration 2
        result("b.jpg", 1.0, [9, 8, 7, 6]),  # never
        result("c.jpg", 8.5, [9, 8]),  # passes at 1; ended early
    ]


def test_crossing_is_the_first_iteration_at_or_below_the_network(
    results: list[PhotoResult],
) -> None:
    assert [r.crossing for r in results] == [2, None, 1]
    assert results[2].baseline.at(3) == 8
    assert results[2].baseline.seconds_until(3) is None


def test_report(results: list[PhotoResult], tmp_path: Path) -> None:
    both = [*results, result("a.jpg", 5.0, [7, 4, 4, 4], "content")]
    write_report(both, 3, "cpu", "python compare.py", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    noise, content = report["summary"]
    assert (noise["init"], content["init"]) == ("noise", "content")
    assert noise["weights"] == "c0ffee"
    # of 1, 2 and never: the upper quartile lies between 2 and never
    assert noise["crossing_quartiles"] == [1.5, 2, None]
    assert content["crossing_quartiles"] == [1, 1, 1]
    assert noise["photos_crossed"] == 2
    assert {i: t["total_loss"] for i, t in noise["baseline"].items()} == {"0": 9, "3": 6}
    assert noise["network"]["total_loss"] == pytest.approx((5 + 1 + 8.5) / 3)
    assert noise["speed_up"] == {"3": 6}  # 3 s, of the two that got there, over 0.5 s
    text = (tmp_path / "report.md").read_text()
    assert "; baselines kept from an abacus. Command: `python compare.py`" in text
    assert "it passes the network at iteration 2 (median; quartiles 1.5 and –); 2 of 3" in text
    assert "| objective | 4.83 | 9 | 6 |" in text
    assert "| style loss, unweighted | 0.5 | 0.5 | 0.5 |" in text
    assert "| mine | 256 | noise | b.jpg | 1 | 6 | – | – |" in text
    assert (
        "| the paper, Titan X | 256 | 15 ms | 3.17 s | 9.52 s | 15.86 s | 211 / 635 / 1057 |"
        in text
    )
    assert (tmp_path / "objective.png").stat().st_size > 5000
    lines = (tmp_path / "iterations.csv").read_text().splitlines()
    assert lines[1] == "mine,256,a.jpg,network,,5.0,5.0,0.5,0.0,0.5"
    assert len(lines) == 1 + 4 + 4 + 4 + 2 + 4


def test_a_baseline_that_passes_for_few_has_no_median(
    results: list[PhotoResult], tmp_path: Path
) -> None:
    never = [result(name, 1.0, [9, 8, 7, 6]) for name in ("d.jpg", "e.jpg")]
    write_report(results[:2] + never, 3, "cpu", "", tmp_path)
    assert "at iteration – (median" in (tmp_path / "report.md").read_text()
