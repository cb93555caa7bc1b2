"""The processes that train one style together: those of torchrun, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from errors import UserError
from models.device import resolve_device


class Processes:
    """Which of `count` processes this is, and what they have to agree on.

    torchrun tells by its environment variables; without them the count is 1 and every method
    returns what it was given.
    """

    def __init__(self, device: str) -> None:
        """Take part. `device` is as on the command line: cuda and auto mean a GPU a process.

        Raises UserError for a device that is not there.
        """
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        if self.count > 1 and (
            device == "cuda" or (device == "auto" and torch.cuda.is_available())
        ):
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        self.device = resolve_device(device)
        self.is_first = self.rank == 0
        """The one that writes files and shows progress."""

    def __enter__(self) -> Processes:
        if self.count > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.count == 1:
            return
        if error is None:
            dist.destroy_process_group()
        elif isinstance(error, RuntimeError) and _is_of_a_peer(error):
            raise UserError(
                f"process {self.rank} of {self.count}: lost another one "
                f"({str(error).splitlines()[0]}); expected all to go on. Look for that one's "
                "error, then run the same torchrun command with --resume."
            ) from error

    def check_batch_size(self, batch_size: int) -> None:
        """Raise UserError for photos of a step that the processes cannot share out evenly."""
        if batch_size % self.count:
            raise UserError(
                f"train.batch_size: {batch_size} photos a step for {self.count} processes; "
                f"expected a multiple of {self.count}. Change one of the two."
            )

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return `network`, made to average its gradients over the processes."""
        if self.count == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices)

    def wait(self) -> None:
        """Go on when all have come here."""
        self.agree([0])

    def agree(self, values: Sequence[int]) -> list[int]:
        """Return the largest of each value over the processes."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(values, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        largest: list[int] = shared.tolist()
        return largest

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of each value over the processes."""
        if self.count == 1:
            return values
        shared = torch.tensor(list(values.values()), device=self.device) / self.count
        dist.all_reduce(shared)
        return dict(zip(values, shared.tolist(), strict=True))

    def gather(self, value: Any) -> list[Any]:
        """Return what each process gave, by rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values


def _is_of_a_peer(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "Connection" in text
