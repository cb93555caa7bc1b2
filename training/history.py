"""The runs that a style is the end of: it takes them along, from file to file."""

from __future__ import annotations

import dataclasses
from typing import Any

from configs.schema import Config
from models.style_file import TrainingRun, find_style, read_info
from provenance import command, commit


class History:
    """The runs before this one, and this one as it stands."""

    def __init__(self, config: Config, device: str, num_photos: int) -> None:
        """Begin with the runs of the style that `config` starts from, if it has the same name.

        `device` says what this run is on. Raises UserError where there is no such style.
        """
        train = config.train
        self.before: tuple[TrainingRun, ...] = ()
        start = ""
        if train.start:
            started = read_info(find_style(train.start, "train.start"))
            start = started.name
            if start == config.name:
                self.before = started.runs
        self._run = TrainingRun(
            start=start,
            steps=0,
            batch_size=train.batch_size,
            small_steps=round(train.small_share * train.max_steps),
            teacher=train.teacher,
            optimizer=train.optimizer,
            learning_rate=train.learning_rate,
            style_weight=config.loss.style_weight,
            num_photos=num_photos,
            device=device,
            minutes=0.0,
            commit=commit(),
            command=command(),
        )

    def runs(
        self, step: int, elapsed_s: float, heldout_objective: float | None
    ) -> tuple[TrainingRun, ...]:
        """Return all runs, this one as it is after `step`."""
        now = dataclasses.replace(
            self._run,
            steps=step,
            small_steps=min(step, self._run.small_steps),
            minutes=elapsed_s / 60,
            heldout_objective=heldout_objective,
        )
        return (*self.before, now)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the runs before, as a checkpoint can hold them."""
        return [dataclasses.asdict(run) for run in self.before]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Put back what `state_dict` returned: the style that it began from may be another now."""
        self.before = tuple(TrainingRun(**run) for run in state)
