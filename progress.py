"""The progress bar of every program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # 10 ms that who shows no bar does not pay
    from tqdm import tqdm

TERMINAL_INTERVAL_S = 0.1
FILE_INTERVAL_S = 30.0  # a log file keeps every line
MAX_INTERVAL_S = 10.0  # tqdm's own; a thread redraws what has stood longer


def progress_bar(
    total: int, unit: str, initial: int = 0, shown: bool = True, at_once: bool = True
) -> tqdm[Any]:
    """Return a bar on stderr with rate and time left; rarely redrawn where stderr is a file.

    Without `at_once` it comes with the first progress, so that an error before that stands alone.
    """
    from tqdm import tqdm

    interval_s = TERMINAL_INTERVAL_S if sys.stderr.isatty() else FILE_INTERVAL_S
    return tqdm(
        total=total,
        unit=unit,
        unit_scale=unit == "B",
        initial=initial,
        mininterval=interval_s,
        maxinterval=max(interval_s, MAX_INTERVAL_S),
        dynamic_ncols=True,
        disable=not shown,
        delay=0 if at_once else 1e-3,  # anything more than 0 skips tqdm's first drawing
    )
