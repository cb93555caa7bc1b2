"""How much memory there is to paint in."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Return what the machine, and the container around the process, have left.

    Files that a container has read count as its memory; they make room when it is wanted.
    """
    available: int = psutil.virtual_memory().available
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        lines = (CGROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        return available
    counts = dict(line.split() for line in lines)
    files = int(counts.get("active_file", 0)) + int(counts.get("inactive_file", 0))
    return min(available, limit - used + files)
