"""SIGINT and SIGTERM, noted instead of obeyed: the step in hand is finished, and saved."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While it is entered, the first SIGINT or SIGTERM only sets `number`; a second one stops."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that came, or 0."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in SIGNALS:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:  # nohup and shell scripts shield what runs behind them
                self._before[number] = before
                signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
