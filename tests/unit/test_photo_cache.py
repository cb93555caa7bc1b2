"""The cache of decoded photos: the same crops, never a half-written file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from data.formats import ImageError
from data.photo_cache import PhotoCache
from data.photos import PhotoCrops, Photos, PreparedPhotos, batches
from errors import UserError
from tests.conftest import PHOTOS

SHORTER_PX = 70


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("astronaut.jpg", "coffee.jpg", "camera.jpg"):
        shutil.copy2(PHOTOS / name, folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 cut")
    return Photos(folder)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_crops_are_the_same_with_the_cache_and_without(
    photos: Photos, tmp_path: Path, num_workers: int
) -> None:
    cache = PhotoCache(photos, SHORTER_PX, tmp_path / "cache")
    cache.build(num_workers)
    found = []
    for prepared in (PreparedPhotos(photos, SHORTER_PX), cache):
        crops = PhotoCrops(prepared, photos.names, 64, seed=1)
        found.append(list(batches(crops, 2, 0, 4, num_workers)))
    for plain, cached in zip(*found, strict=True):
        assert torch.equal(plain.pixels, cached.pixels)
        assert plain.names == cached.names
        assert plain.skipped == cached.skipped
    assert any("broken.jpg: cannot be read (" in str(batch.skipped) for batch in found[1])


def test_it_is_built_once_and_anew_for_other_photos(photos: Photos, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = PhotoCache(photos, SHORTER_PX, folder)
    cache.build(0)
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(made) == 2
    again = PhotoCache(Photos(photos.root), SHORTER_PX, folder)
    again.build(0)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    assert min(again.read("coffee.jpg").shape[:2]) == SHORTER_PX
    with pytest.raises(ImageError, match=r"broken.jpg: cannot be read"):
        again.read("broken.jpg")
    shutil.copy2(PHOTOS / "rocket.jpg", photos.root / "coffee.jpg")
    changed = PhotoCache(Photos(photos.root), SHORTER_PX, folder)
    changed.build(0)
    assert len(list(folder.iterdir())) == 4
    assert changed.read("coffee.jpg").tobytes() != again.read("coffee.jpg").tobytes()


def test_a_half_written_one_is_never_read(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PhotoCache(photos, SHORTER_PX, tmp_path / "cache")
    read = PreparedPhotos.read

    def fails(prepared: PreparedPhotos, name: str) -> object:
        if name == "coffee.jpg":
            raise KeyboardInterrupt
        return read(prepared, name)

    monkeypatch.setattr(PreparedPhotos, "read", fails)
    with pytest.raises(KeyboardInterrupt):
        cache.build(0)
    monkeypatch.undo()
    assert not list((tmp_path / "cache").iterdir())
    # killed between the two files: the pixels are there, the index is not
    cache.build(0)
    whole = cache.pixels_file.read_bytes()
    cache.index_file.unlink()
    os.truncate(cache.pixels_file, 1000)
    cache.build(0)
    assert cache.pixels_file.read_bytes() == whole


def test_too_small_a_disk_is_told_before(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    cache = PhotoCache(photos, SHORTER_PX, tmp_path / "cache")
    with pytest.raises(UserError, match=r"data.cache: 0.0 GB free in .*; expected about 0.0 for 4"):
        cache.build(0)
