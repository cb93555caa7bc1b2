"""What there is to paint in, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from errors import UserError
from inference import memory
from inference.memory import GIB, available_bytes, check_room, fits_whole

MIB = 1 << 20


def cgroup(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{90 * MIB}\n")
    (folder / "memory.stat").write_text(
        f"anon {30 * MIB}\nfile {60 * MIB}\ninactive_file {35 * MIB}\nactive_file {20 * MIB}\n"
    )
    return folder


def test_files_that_a_container_has_read_leave_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.memory.CGROUP", cgroup(tmp_path, str(100 * MIB)))
    assert available_bytes() == (100 - 90 + 35 + 20) * MIB


@pytest.mark.parametrize("limit", ["max", ""])
def test_without_a_limit_the_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    folder = cgroup(tmp_path, limit) if limit else tmp_path / "none"
    monkeypatch.setattr("inference.memory.CGROUP", folder)
    machine = psutil.virtual_memory().available
    assert abs(available_bytes() - machine) < 0.2 * machine


def test_what_neither_memory_nor_disk_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: whole, 400 bytes a pixel of half the memory; in tiles 20, and 48 on disk."""
    free = {"memory": 4 * GIB, "disk": 10 * GIB}
    monkeypatch.setattr(memory, "available_bytes", lambda: free["memory"])
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _: SimpleNamespace(free=free["disk"]))
    assert fits_whole(5_368_709)
    assert not fits_whole(5_368_710)
    check_room("a.jpg", 20_000, 10_000)  # 3.7 GiB and 8.9
    with pytest.raises(
        UserError, match=r"^a\.jpg: 24000 x 10000 px take 4\.5 GiB of memory and 10\.7"
    ):
        check_room("a.jpg", 24_000, 10_000)
    free["memory"] = 64 * GIB
    with pytest.raises(UserError, match=r"expected at most 64\.0 and 10\.0, which are fre"):
        check_room("a.jpg", 240_000, 10_000)
    free["disk"] = 1
    check_room("a.jpg", 8_000, 10_000)  # whole, without a file
