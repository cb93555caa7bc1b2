"""How often the bar is drawn."""

from __future__ import annotations

import sys

import pytest

from progress import FILE_INTERVAL_S, TERMINAL_INTERVAL_S, progress_bar


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_log_file_gets_few_lines(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with progress_bar(10, "step") as bar:
        assert bar.mininterval == (TERMINAL_INTERVAL_S if is_terminal else FILE_INTERVAL_S)
        assert bar.maxinterval >= bar.mininterval, "tqdm's thread would draw it before"
