"""The commands that print figures, with small numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu_report
from tests.conftest import PHOTOS, STYLES, Run, size_of


def test_the_gpu_report_runs_on_a_cpu_too(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = run("-m", "benchmarks.gpu_report", "--photos", PHOTOS, "--out", out, "--quick")
    assert done.returncode == 0, done.stderr
    report = (out / "report.md").read_text()
    titles = ("A training step", "Short trainings", "Painting", "The baseline", "Training photos")
    for title in titles:
        assert f"### {title} (" in report
        assert f"{title}: done\n" in done.stdout
    assert "| ours | 2 |" in report
    assert "full ms   lite ms" in report
    assert "cached, 1 workers" in report
    assert "| 64 | fp32 |" in report
    again = run("-m", "benchmarks.gpu_report", "--photos", PHOTOS, "--out", out, "--quick")
    assert again.returncode == 2
    assert "holds a report already; expected a new folder. Change --out." in again.stderr


def test_what_fails_is_in_the_gpu_report_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails_in_part(*arguments: object) -> str:
        if "train.py" in arguments or "benchmarks.loader" in arguments:
            raise gpu_report.Failed("half\n`a command` failed: why")
        return f"figures of {arguments[1]}\n"

    monkeypatch.setattr(gpu_report, "run", fails_in_part)
    arguments = ["--photos", str(PHOTOS), "--out", str(tmp_path / "out"), "--quick"]
    monkeypatch.setattr("sys.argv", ["gpu_report", *arguments, "--device", "cpu"])
    assert gpu_report.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in said[:5]] == [
        "done",
        "FAILED",
        "done",
        "done",
        "FAILED",
    ]
    report = (tmp_path / "out/report.md").read_text()
    for what in ("figures of benchmarks.train_step", "figures of benchmarks.optimize_step"):
        assert what in report
    assert report.count("half\n`a command` failed: why") == 3  # two trainings and the loader


def test_the_style_grid_has_a_row_and_a_column_for_each_value_of_two_keys(
    run: Run, tmp_path: Path
) -> None:
    grid = ("-m", "benchmarks.style_grid", STYLES / "woodcut.jpg")
    out = tmp_path / "grid.png"
    done = run(
        *grid, "--out", out, "--cell-px", 48, "--rows", "style.size_px", 32, 64,
        "--columns", "loss.style_weight", 0.1, 50, "--device", "cpu",
        "optimize.iterations=2", "optimize.size_px=48",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [name.strip() for name in rows[0][1:3]] == ["style.size_px", "loss.style_weight"]
    cells = [(int(row[1]), float(row[2])) for row in rows[2:]]
    assert cells == [(32, 0.1), (32, 50), (64, 0.1), (64, 50)]
    style_losses = [float(row[4]) for row in rows[2:]]
    assert style_losses[1] < style_losses[0]
    assert style_losses[3] < style_losses[2]
    width, height = size_of(out)
    assert 3 * 48 <= width <= 3 * 56
    assert 2 * 48 <= height <= 2 * 96


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (("style.size_px",), "--rows style.size_px: expected a key of the config and its values."),
        (("256", "384"), "--rows 256 384: expected a key of the config and its values."),
        (("style.sizes_px", "256"), "style.sizes_px"),
    ],
)
def test_a_grid_of_what_the_config_has_not_is_one_line(
    run: Run, tmp_path: Path, rows: tuple[str, ...], complaint: str
) -> None:
    style, out = STYLES / "woodcut.jpg", tmp_path / "grid.png"
    done = run("-m", "benchmarks.style_grid", style, "--out", out, "--rows", *rows)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert complaint in line
    assert not out.exists()
