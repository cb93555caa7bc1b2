"""How much memory and disk there is to paint in."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import psutil

from errors import UserError

CGROUP = Path("/sys/fs/cgroup")
WHOLE_BYTES = 400
"""What a pixel of a photo that is painted whole takes at the peak (docs/painting.md)."""
WHOLE_SHARE = 0.5
"""So much of the memory a photo that is painted whole may take."""
TILED_BYTES = 20
"""What a pixel takes in tiles: of photo, painting and what is done with them."""
FILE_BYTES = 48
"""And of temporary files, for what lies between the layers."""
GIB = 2**30


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


def fits_whole(num_pixels: int) -> bool:
    """Return whether memory holds the painting of so many pixels without tiles."""
    return num_pixels * WHOLE_BYTES <= WHOLE_SHARE * available_bytes()


def check_room(name: str, width: int, height: int) -> None:
    """Raise UserError for a photo that takes more than there is of memory and disk, even in tiles.

    `name` is the photo's, for the message.
    """
    if fits_whole(width * height):
        return
    memory, disk = (width * height * taken / GIB for taken in (TILED_BYTES, FILE_BYTES))
    folder = tempfile.gettempdir()
    free_memory, free_disk = available_bytes() / GIB, shutil.disk_usage(folder).free / GIB
    if memory > free_memory or disk > free_disk:
        raise UserError(
            f"{name}: {width} x {height} px take {memory:.1f} GiB of memory and {disk:.1f} GiB in "
            f"{folder}; expected at most {free_memory:.1f} and {free_disk:.1f}, which are free. "
            "Paint it smaller with --size-px, or set TMPDIR to a folder with room."
        )
