"""Training photos: random crops from a folder, a .zip read in place, or a list of paths.

Which crop is number i depends on the seed and i alone: not on workers, batches, processes, or
earlier runs.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.folders import files_below, is_photo
from data.formats import SUFFIXES, ImageError
from data.images import open_rgb
from data.pixels import Pixels
from data.resizing import resize, resized
from data.tensors import unit_range
from errors import UserError

MAX_WORKERS = 16
READY = 3
"""So many batches of a worker wait for the training process or are with it."""
SHARED_MEMORY = Path("/dev/shm")
PR_SET_PDEATHSIG = 1  # prctl(2)
MAX_DRAWS = 100
"""So many unreadable photos in a row are no accident."""


class Photos:
    """The photos found under `root`, by name; their content is read when asked for."""

    def __init__(self, root: Path) -> None:
        """List a folder (flat or nested), a .zip archive, or a .txt file with a path a line.

        Paths in a list are relative to the list's folder. Raises UserError where there is no
        photo, with what was found instead.
        """
        self.root = root
        self._zip: zipfile.ZipFile | None = None
        self._zip_pid = 0
        if root.is_dir():
            files = list(files_below(root))
            self.names = sorted(str(path) for path in files if is_photo(path))
            found = f"{len(files)} other entries"
        elif root.suffix.lower() == ".zip" and root.is_file():
            names = self._archive().namelist()
            self.names = sorted(name for name in names if is_photo(PurePosixPath(name)))
            found = f"{len(names)} other entries"
        elif root.suffix.lower() == ".txt" and root.is_file():
            text = root.read_text(encoding="utf-8", errors="surrogateescape")
            lines = [line.strip() for line in text.splitlines()]
            self.names = [line for line in lines if line and not line.startswith("#")]
            found = f"{len(lines)} empty or commented lines"
        else:
            found = f"a file with suffix {root.suffix!r}" if root.exists() else "nothing"
            raise UserError(
                f"data.root: {root} is {found}; expected a folder of photos, a .zip of them, or a "
                ".txt list of paths. Set data.root=PATH."
            )
        if not self.names:
            raise UserError(
                f"data.root: {root} holds no photo ({found}); expected files that end in "
                f"{', '.join(SUFFIXES)}, at any depth. Set data.root=PATH."
            )

    def __len__(self) -> int:
        return len(self.names)

    def read(self, name: str) -> bytes:
        """Return a photo's file content. Raises ImageError where it cannot be read."""
        try:
            if self.root.suffix.lower() == ".zip" and not self.root.is_dir():
                return self._archive().read(name)
            folder = self.root if self.root.is_dir() else self.root.parent
            return (folder / name).read_bytes()
        except (
            OSError,
            zipfile.BadZipFile,
            KeyError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise ImageError(f"{name}: cannot be read ({error}).") from error

    def fingerprint(self) -> list[tuple[str, int, int]]:
        """Return each photo's name, size in bytes, and time of change (in a .zip: checksum)."""
        if self.root.suffix.lower() == ".zip" and not self.root.is_dir():
            entries = (self._archive().getinfo(name) for name in self.names)
            return [(entry.filename, entry.file_size, entry.CRC) for entry in entries]
        folder = self.root if self.root.is_dir() else self.root.parent
        found = []
        for name in self.names:
            try:
                state = (folder / name).stat()
                found.append((name, state.st_size, state.st_mtime_ns))
            except OSError:
                found.append((name, -1, 0))
        return found

    def _archive(self) -> zipfile.ZipFile:
        # A worker must not share its parent's file position.
        if self._zip is None or self._zip_pid != os.getpid():
            try:
                self._zip = zipfile.ZipFile(self.root)
            except (OSError, zipfile.BadZipFile) as error:
                raise UserError(
                    f"data.root: {self.root} cannot be opened ({error}); expected a whole .zip "
                    "archive. Download it again."
                ) from error
            self._zip_pid = os.getpid()
        return self._zip

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_zip": None}


class PreparedPhotos:
    """Photos made small once they are read: what crops are cut from."""

    def __init__(self, photos: Photos, shorter_px: int) -> None:
        """Make each photo's shorter side `shorter_px`; smaller photos are scaled up."""
        self.photos = photos
        self.shorter_px = shorter_px

    def read(self, name: str) -> Pixels:
        """Return a photo, H × W × 3 uint8. Raises ImageError where it cannot be read."""
        image = open_rgb(self.photos.read(name), name, self.shorter_px)
        return np.asarray(resize(image, self.shorter_px / min(image.size)))


@dataclass(frozen=True)
class Crop:
    """One training crop and how it came about."""

    image: Tensor | None
    """H × W × 3 uint8; None where `MAX_DRAWS` photos in a row were unreadable."""
    name: str
    skipped: dict[str, str]
    """Unreadable photos drawn before this one: name and reason."""


@dataclass(frozen=True)
class Batch:
    """The photos of one training step."""

    pixels: Tensor
    """B × H × W × 3 uint8: a quarter of the bytes to move, in the order that GPUs like best."""
    names: list[str]
    skipped: dict[str, str]

    def images(self, device: torch.device | str = "cpu") -> Tensor:
        """Return the photos as B × 3 × H × W in [0, 1] on a device, channels_last."""
        return unit_range(self.pixels.to(device, non_blocking=True)).permute(0, 3, 1, 2)

    def pin_memory(self) -> Batch:
        """Return it in memory that a GPU fetches from by itself; DataLoader calls this."""
        return replace(self, pixels=self.pixels.pin_memory())


class PhotoCrops(Dataset[Crop]):
    """Crop number i: photo i of endless shuffled epochs, at a random place, zoom and flip."""

    def __init__(
        self,
        prepared: PreparedPhotos,
        names: Sequence[str],
        size_px: int,
        seed: int,
        draw: int = 0,
        part: int = 1,
    ) -> None:
        """Crop squares of `size_px` from the photos called `names`.

        A crop's own side in the prepared photo is between `size_px` and the photo's shorter side:
        a zoom of 1 to their ratio. Another `draw` is another order and other crops. With a `part`
        both sides are so many times smaller: less of a photo, at the same scale.
        """
        self.prepared = prepared
        self.names = list(names)
        self.size_px = size_px
        self.seed = seed
        self.draw = draw
        self.part = part
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def __getitem__(self, index: int) -> Crop:
        random = np.random.default_rng([self.seed, 1, index, self.draw])
        skipped: dict[str, str] = {}
        name = self.names[self._shuffled(index)]
        for _ in range(MAX_DRAWS):
            try:
                return Crop(self._crop(name, random), name, skipped)
            except ImageError as error:
                skipped[name] = " ".join(str(error).split())
                name = self.names[random.integers(len(self.names))]
        return Crop(None, name, skipped)

    def _shuffled(self, index: int) -> int:
        epoch, position = divmod(index, len(self.names))
        if epoch != self._epoch:
            random = np.random.default_rng([self.seed, 0, epoch, self.draw])
            self._order = random.permutation(len(self.names))
            self._epoch = epoch
        return int(self._order[position])

    def _crop(self, name: str, random: np.random.Generator) -> Tensor:
        photo = self.prepared.read(name)  # H × W × 3
        zoom = random.uniform(1, self.prepared.shorter_px / self.size_px)
        side = min(round(self.prepared.shorter_px / zoom / self.part), *photo.shape[:2])
        top, left = (int(random.integers(length - side + 1)) for length in photo.shape[:2])
        window = photo[top : top + side, left : left + side]
        crop = np.array(resized(window, (self.size_px // self.part,) * 2))
        flips = random.random() < 0.5
        return torch.from_numpy(np.ascontiguousarray(crop[:, ::-1]) if flips else crop)


def batches(
    crops: PhotoCrops,
    batch_size: int,
    start_step: int,
    max_steps: int,
    num_workers: int,
    share: int = 0,
    num_shares: int = 1,
) -> Iterator[Batch]:
    """Yield the batches of steps `start_step` … `max_steps` − 1, or one of `num_shares` of each.

    Share s of a step's `batch_size` crops is the s-th run of them, so that the shares together are
    the whole batch. Raises UserError where `MAX_DRAWS` photos in a row are unreadable.
    """
    size = batch_size // num_shares
    indices = (
        step * batch_size + share * size + i
        for step in range(start_step, max_steps)
        for i in range(size)
    )
    loader: DataLoader[Crop] = DataLoader(
        crops,
        size,
        sampler=indices,
        num_workers=num_workers,
        worker_init_fn=leave_stopping_to_the_parent,
        collate_fn=batch_of,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # leaves the global random state to the training
    )
    batch: Batch
    for batch in loader:
        if len(batch.pixels) < len(batch.names):
            name, reason = next(iter(batch.skipped.items()))
            root = crops.prepared.photos.root
            raise UserError(
                f"data.root: {root}: {MAX_DRAWS} photos in a row are unreadable, {name} for one "
                f"({reason}); expected photos. Check the folder."
            )
        yield batch


def batch_of(crops: Sequence[Crop]) -> Batch:
    """Return crops as a batch; without the pixels of those that have none.

    A worker does this: each tensor that it hands over takes a file descriptor, of which a process
    has 1,024 as a rule, and a crop each would be more.
    """
    images = [crop.image for crop in crops if crop.image is not None]
    skipped = {name: reason for crop in crops for name, reason in crop.skipped.items()}
    pixels = torch.stack(images) if images else torch.empty(0, dtype=torch.uint8)
    return Batch(pixels, [crop.name for crop in crops], skipped)


def workers_beside(device: torch.device, batch_bytes: int) -> int:
    """Return how many workers keep a step on this device from waiting.

    One is enough for a CPU, whose step has the cores. A GPU gets one a core, as far as shared
    memory holds the batches that each has ready; containers may have little of it.
    """
    if device.type == "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = cores or 1
    if SHARED_MEMORY.is_dir():
        most = min(most, shutil.disk_usage(SHARED_MEMORY).free // (READY * batch_bytes))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's, on this machine
    return max(1, min(most // processes, MAX_WORKERS))


def leave_stopping_to_the_parent(worker: int) -> None:
    """Ignore SIGINT and SIGTERM, which a terminal and a scheduler send to a whole group at once.

    On Linux a worker ends when its parent does, however that came about; else it might wait for
    ever for someone to take its photos.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
