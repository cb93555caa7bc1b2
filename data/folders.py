"""Photos in folders of any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from data.formats import SUFFIXES


def files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield every file below a folder, as its path from there, in no particular order.

    Links to folders are followed, but for those that lead back to a folder on the way (`above`
    holds their real paths): there would be no end. What may not be read is left out.
    """
    above |= {os.path.realpath(folder)}
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if not entry.is_dir():
            yield Path(entry.name)
        elif not entry.is_symlink() or os.path.realpath(entry.path) not in above:
            for file in files_below(Path(entry.path), above):
                yield entry.name / file


def is_photo(path: PurePath) -> bool:
    """Return whether a path from a folder is that of a photo: by its suffix, and not hidden."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden
