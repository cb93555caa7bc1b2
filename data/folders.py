"""Photos in folders of any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from data.images import SUFFIXES


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, as its path from there, in no particular order.

    Links to folders are followed, but for those that lead back up: there would be no end.
    """
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _leads_up(os.path.join(parent, name))]
        below = Path(parent).relative_to(folder)
        yield from (below / name for name in names)


def is_photo(path: PurePath) -> bool:
    """Return whether a path from a folder is that of a photo: by its suffix, and not hidden."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _leads_up(folder: str) -> bool:
    if not os.path.islink(folder):
        return False
    return Path(folder).parent.resolve().is_relative_to(Path(folder).resolve())
