"""Photos in folders of any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from data.formats import SUFFIXES


def files_below(
    folder: Path, special: list[Path] | None = None, above: frozenset[str] = frozenset()
) -> Iterator[Path]:
    """Yield every file below a folder, as its path from there, in no particular order.

    Links to folders are followed, but for those that lead back to a folder on the way (`above`
    holds their real paths): there would be no end. What may not be read is left out, and so are
    FIFOs, sockets and devices, whose content may never come; `special` collects their full paths.
    """
    above |= {os.path.realpath(folder)}
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself
            is_folder = is_file = False
        if not is_folder:
            if is_file or not os.path.exists(entry.path):
                yield Path(entry.name)
            elif special is not None:
                special.append(Path(entry.path))
        elif not entry.is_symlink() or os.path.realpath(entry.path) not in above:
            for file in files_below(Path(entry.path), special, above):
                yield entry.name / file


def is_photo(path: PurePath) -> bool:
    """Return whether a path from a folder is that of a photo: by its suffix, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


def is_hidden(path: PurePath) -> bool:
    """Return whether a path from a folder is hidden, or what an archive keeps for itself."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
