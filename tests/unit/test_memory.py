"""What a container has left."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from inference.memory import available_bytes

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
