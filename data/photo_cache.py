"""Photos decoded once and kept small, for those who train many styles on the same ones.

Axes: H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from data.formats import ImageError
from data.photos import Photos, PreparedPhotos, leave_stopping_to_the_parent
from data.pixels import Pixels
from errors import UserError
from progress import progress_bar

BYTES_A_PIXEL = 3
USUAL_ASPECT = 4 / 3


class PhotoCache(PreparedPhotos):
    """Prepared photos as one file of bytes and an index.

    The files' name is a hash of what they were made from: the photos' names, sizes and times, and
    `shorter_px`. Other photos make other files; half-written ones have another name and are never
    read.
    """

    def __init__(self, photos: Photos, shorter_px: int, folder: Path) -> None:
        """Look for the files in `folder`; `build` makes them where they are not."""
        super().__init__(photos, shorter_px)
        key = json.dumps([shorter_px, photos.fingerprint()]).encode()
        stem = folder / hashlib.sha256(key).hexdigest()[:16]
        self.pixels_file, self.index_file = stem.with_suffix(".u8"), stem.with_suffix(".json")
        self._index: dict[str, list[int] | str] = {}
        self._pixels: Pixels | None = None

    def build(self, num_workers: int) -> None:
        """Decode every photo, unless that was done before. Raises UserError for a full disk."""
        if self.index_file.exists():
            return
        self.pixels_file.parent.mkdir(parents=True, exist_ok=True)
        names = self.photos.names
        usual = BYTES_A_PIXEL * self.shorter_px**2 * USUAL_ASPECT * len(names)
        free = shutil.disk_usage(self.pixels_file.parent).free
        if free < usual:
            raise UserError(
                f"data.cache: {free / 1e9:.1f} GB free in {self.pixels_file.parent}; expected "
                f"about {usual / 1e9:.1f} for {len(names)} photos. Choose another folder."
            )
        print(f"data.cache: decoding {len(names)} photos once", file=sys.stderr)
        index: dict[str, list[int] | str] = {}
        beside = self.pixels_file.with_suffix(f".{os.getpid()}.tmp")
        loader = DataLoader(
            _Decoded(PreparedPhotos(self.photos, self.shorter_px)),
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            worker_init_fn=leave_stopping_to_the_parent,
        )
        try:
            with beside.open("wb") as file, progress_bar(len(names), "photo") as progress:
                for name, photo in zip(names, loader, strict=True):
                    if isinstance(photo, str):
                        index[name] = photo
                    else:
                        index[name] = [file.tell(), *photo.shape[:2]]
                        file.write(photo.tobytes())
                    progress.update()
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.pixels_file)
            beside.write_text(json.dumps(index), encoding="utf-8")
            os.replace(beside, self.index_file)  # the index last: with it the cache is whole
        finally:
            beside.unlink(missing_ok=True)

    def read(self, name: str) -> Pixels:
        """Return a photo, H × W × 3 uint8. Raises ImageError where it could not be decoded."""
        if self._pixels is None:
            self._index = json.loads(self.index_file.read_text(encoding="utf-8"))
            self._pixels = np.memmap(self.pixels_file, np.uint8, "r")
        entry = self._index[name]
        if isinstance(entry, str):
            raise ImageError(entry)
        start, height, width = entry
        stop = start + height * width * BYTES_A_PIXEL
        return self._pixels[start:stop].reshape(height, width, BYTES_A_PIXEL)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_pixels": None, "_index": {}}  # a worker maps the file itself


class _Decoded(Dataset[Pixels | str]):
    """Each photo's pixels, or why there are none."""

    def __init__(self, prepared: PreparedPhotos) -> None:
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.prepared.photos)

    def __getitem__(self, index: int) -> Pixels | str:
        try:
            return self.prepared.read(self.prepared.photos.names[index])
        except ImageError as error:
            return " ".join(str(error).split())


def _as_it_is(photo: Any) -> Any:
    return photo
