"""Checkpoints, records and the held-out split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from errors import UserError
from training.checkpoints import (
    checkpoints,
    load_last_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from training.heldout import split_names
from training.run_log import RunLog


def test_the_last_two_checkpoints_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    assert load_last_checkpoint(tmp_path) is None
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"step": step, "value": torch.ones(2) * step})
    assert [path.name for path in checkpoints(tmp_path)] == ["step_00000010.pt", "step_00000015.pt"]
    assert len(list(tmp_path.iterdir())) == 2
    state = load_last_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 15
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(UserError, match="Delete it to resume from the one before"):
        load_last_checkpoint(tmp_path)


def test_random_state_comes_back() -> None:
    state = random_state()
    first = torch.rand(3)
    set_random_state(state)
    assert torch.equal(torch.rand(3), first)


def test_resuming_cuts_the_records_after_the_checkpoint(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.metrics(step, {"total_loss": step}, {"learning_rate": 0.1})
        assert log.note_skipped({"a.jpg": "empty"})
        assert not log.note_skipped({"a.jpg": "empty"})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "tot')  # killed while writing
    with RunLog(tmp_path, 2) as log:
        log.metrics(3, {"total_loss": 30}, {})
        assert not log.note_skipped({"a.jpg": "empty"})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["total_loss"]) for line in lines] == [(1, 1), (2, 2), (3, 30)]
    assert (tmp_path / "skipped.txt").read_text() == "a.jpg\tempty\n"


def test_heldout_photos_are_not_trained_on() -> None:
    names = [f"{i:03d}" for i in range(200)]
    training, heldout = split_names(names, 10)
    assert len(heldout) == 10
    assert sorted(training + heldout) == names
    assert split_names(names[:9], 10) == (names[:9], [])
    assert len(split_names(names[:40], 10)[1]) == 4
