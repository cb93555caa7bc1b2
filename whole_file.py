"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import UserError

LONG_NAME_BYTES = 200


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, of its suffix, to write to; in the end it replaces `path`.

    An error or an interruption leaves what was there. The folder is made. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if len(os.fsencode(name)) > LONG_NAME_BYTES:  # no room for more in a name
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    beside = path.with_name(f".{name}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def told_of(path: Path | str) -> Iterator[None]:
    """Make a UserError of what keeps a path from being written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); expected a folder with room "
            "and permission. Choose another with -o."
        ) from error
