"""The comparison's report, from results made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.report import Comparison, PhotoResult, write_report


def terms(total: float) -> dict[str, float]:
    return {"total_loss": total, "content_loss": total, "style_loss": 0.0, "tv_loss": 0.0}


def result(photo: str, network: float, totals: list[float]) -> PhotoResult:
    seconds = [float(i) for i in range(len(totals))]
    return PhotoResult(photo, 64, terms(network), 0.5, [terms(t) for t in totals], seconds)


@pytest.fixture
def comparison() -> Comparison:
    results = [
        result("a.jpg", 5.0, [9, 6, 5, 4]),  # passes at iteration 2
        result("b.jpg", 1.0, [9, 8, 7, 6]),  # never
        result("c.jpg", 8.5, [9, 8]),  # passes at 1; ended early
    ]
    return Comparison("mine", "m.jpg", {}, "noise", 3, "cpu", results)


def test_crossing_is_the_first_iteration_at_or_below_the_network(comparison: Comparison) -> None:
    assert [r.crossing for r in comparison.results] == [2, None, 1]
    assert comparison.results[2].at(3) == 8


def test_report(comparison: Comparison, tmp_path: Path) -> None:
    write_report(comparison, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [r["crossing_iteration"] for r in report["results"]] == [2, None, 1]
    summary = report["summary"]["64"]
    assert summary["median_crossing_iteration"] == 2
    assert summary["photos_crossed"] == 2
    assert summary["baseline_mean_total_loss"] == {"0": 9, "3": 6}
    assert summary["network_mean_total_loss"] == pytest.approx((5 + 1 + 8.5) / 3)
    assert summary["speed_up"] == 6  # 3 s, the median of 3, 3 and 1, over 0.5 s
    text = (tmp_path / "report.md").read_text()
    assert "passes the network at iteration 2 (median); 2 of 3 photos passed" in text
    assert "| b.jpg | 1 | 6 | – | – |" in text
    assert (tmp_path / "objective.png").stat().st_size > 5000


def test_a_baseline_that_passes_for_few_has_no_median(
    comparison: Comparison, tmp_path: Path
) -> None:
    never = [result(name, 1.0, [9, 8, 7, 6]) for name in ("d.jpg", "e.jpg")]
    more = Comparison("mine", "m.jpg", {}, "noise", 3, "cpu", comparison.results[:2] + never)
    write_report(more, tmp_path)
    assert (
        "does not pass the network (median) in 3 iterations" in (tmp_path / "report.md").read_text()
    )
