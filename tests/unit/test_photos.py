"""Training photos: what is found, which crops come out, and what happens to bad files."""

from __future__ import annotations

import os
import resource
import time
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from data.photos import (
    MAX_DRAWS,
    PhotoCrops,
    Photos,
    PreparedPhotos,
    batches,
    workers_beside,
)
from errors import UserError


def make_photos(folder: Path, count: int, size: tuple[int, int] = (60, 40)) -> list[str]:
    """Write photos, each of one grey that tells which it is."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:03d}.png" for i in range(count)]
    for i, name in enumerate(names):
        Image.new("L", size, 10 * i).save(folder / name)
    return names


def crops_of(photos: Photos, size_px: int = 32, seed: int = 0, zoom: float = 1.5) -> PhotoCrops:
    prepared = PreparedPhotos(photos, round(size_px * zoom))
    return PhotoCrops(prepared, photos.names, size_px, seed)


def greys(crops: PhotoCrops, count: int) -> list[int]:
    """Which photo each crop was taken from."""
    found = []
    for index in range(count):
        image = crops[index].image
        assert image is not None
        found.append(round(float(image.float().mean()) / 10))
    return found


def test_flat_nested_zip_and_list_hold_the_same_photos(tmp_path: Path) -> None:
    names = make_photos(tmp_path / "flat", 5)
    nested = tmp_path / "nested/train2017"
    make_photos(nested, 5)
    (tmp_path / "nested/annotations").mkdir()
    (tmp_path / "nested/annotations/captions.json").write_text("{}")
    (nested / "._000.png").write_bytes(b"a Mac's shadow file")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "flat" / name, f"train2017/{name}")
        archive.writestr("__MACOSX/._000.png", b"")
    (tmp_path / "list.txt").write_text("# some\n" + "".join(f"flat/{n}\n" for n in names) + "\n")
    for root in ("flat", "nested", "photos.zip", "list.txt"):
        photos = Photos(tmp_path / root)
        assert [Path(name).name for name in photos.names] == names, root
        assert sorted(greys(crops_of(photos), 5)) == [0, 1, 2, 3, 4], root


def test_wrong_roots_say_what_was_found(tmp_path: Path) -> None:
    def message(root: Path) -> str:
        with pytest.raises(UserError) as caught:
            Photos(root)
        return str(caught.value)

    assert "is nothing; expected a folder of photos" in message(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.json").write_text("")
    assert "holds no photo (1 other entries)" in message(tmp_path / "empty")
    (tmp_path / "a.jpg").write_bytes(b"")
    assert "is a file with suffix '.jpg'" in message(tmp_path / "a.jpg")
    (tmp_path / "cut.zip").write_bytes(b"PK")
    assert "cannot be opened" in message(tmp_path / "cut.zip")


def test_a_crop_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    make_photos(tmp_path / "p", 7)
    photos = Photos(tmp_path / "p")
    runs = []
    for num_workers, start in ((0, 0), (1, 0), (2, 0), (2, 2)):
        steps = list(batches(crops_of(photos), 3, start, 5, num_workers))
        assert len(steps) == 5 - start
        runs.append(([b.names for b in steps], torch.cat([b.images() for b in steps])))
    for names, images in runs[1:3]:
        assert names == runs[0][0]
        assert torch.equal(images, runs[0][1])
    assert runs[3][0] == runs[0][0][2:]  # begun at step 2: the same as if it had not stopped
    assert torch.equal(runs[3][1], runs[0][1][6:])
    other = list(batches(crops_of(photos, seed=1), 3, 0, 5, 0))
    assert [b.names for b in other] != runs[0][0]


def test_large_batches_take_few_file_descriptors(tmp_path: Path) -> None:
    make_photos(tmp_path / "p", 7)
    crops = crops_of(Photos(tmp_path / "p"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, hard))
    try:
        for batch in batches(crops, 64, 0, 4, 2):
            time.sleep(0.5)  # a slow step: the workers are ahead
            assert batch.pixels.shape == (64, 32, 32, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_gpu_gets_as_many_workers_as_cores_and_shared_memory_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def workers(device: str, cores: int, free_mb: int, processes: int = 1) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
        usage = type("Usage", (), {"free": free_mb * 10**6})
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        return workers_beside(torch.device(device), 10**6)

    assert workers("cpu", 8, 1000) == 1
    assert workers("cuda", 8, 1000) == 8
    assert workers("cuda", 96, 1000) == 16
    assert workers("cuda", 16, 1000, processes=4) == 4
    assert workers("cuda", 16, 24) == 8
    assert workers("cuda", 16, 1) == 1


def test_every_epoch_has_every_photo_in_another_order(tmp_path: Path) -> None:
    make_photos(tmp_path / "p", 6)
    drawn = greys(crops_of(Photos(tmp_path / "p")), 12)
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))
    assert drawn[:6] != drawn[6:]


def test_crops_differ_in_place_and_flip_and_small_photos_are_scaled_up(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    Image.linear_gradient("L").rotate(90).resize((20, 10)).save(tmp_path / "p/ramp.png")
    crops = crops_of(Photos(tmp_path / "p"))
    images = [crops[i].image for i in range(40)]
    slopes, means = set(), set()
    for image in images:
        assert image is not None
        assert image.shape == (32, 32, 3)
        slopes.add(bool(image[16, 0, 0] < image[16, -1, 0]))
        means.add(round(float(image.float().mean())))
    assert slopes == {True, False}
    assert len(means) > 5


def test_another_draw_is_another_order_and_other_crops(tmp_path: Path) -> None:
    make_photos(tmp_path / "p", 6)
    many = Photos(tmp_path / "p")
    draws = [PhotoCrops(PreparedPhotos(many, 48), many.names, 32, 0, draw) for draw in (0, 0, 1)]
    orders = [[crops[i].name for i in range(6)] for crops in draws]
    assert orders[0] == orders[1] != orders[2]
    (tmp_path / "one").mkdir()
    Image.linear_gradient("L").resize((64, 64)).save(tmp_path / "one/ramp.png")
    one = Photos(tmp_path / "one")
    draws = [PhotoCrops(PreparedPhotos(one, 64), one.names, 32, 0, draw) for draw in (0, 0, 1)]
    images = [crops[0].image for crops in draws]
    assert images[0] is not None
    assert images[1] is not None
    assert images[2] is not None
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_a_part_shows_less_of_a_photo_at_the_same_scale(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    Image.linear_gradient("L").resize((64, 64)).save(tmp_path / "p/ramp.png")
    photos = Photos(tmp_path / "p")
    spans = []
    for part in (1, 2):
        crops = PhotoCrops(PreparedPhotos(photos, 64), photos.names, 64, seed=0, part=part)
        crop = crops[0].image
        assert crop is not None
        assert crop.shape == (64 // part, 64 // part, 3)
        spans.append(int(crop[-1].max()) - int(crop[0].min()))
    assert spans[1] == pytest.approx(spans[0] / 2, rel=0.05)


def test_orientation_is_applied(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    image = Image.new("L", (64, 64), 0)
    image.paste(255, (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "p/a.jpg", exif=exif)
    crop = crops_of(Photos(tmp_path / "p"), zoom=1.0)[0].image
    assert crop is not None
    assert crop[2].float().mean() < 20 < 235 < crop[-3].float().mean()


def test_unreadable_files_are_skipped_and_named(tmp_path: Path) -> None:
    make_photos(tmp_path / "p", 4)
    (tmp_path / "p/001.png").write_bytes((tmp_path / "p/001.png").read_bytes()[:40])
    (tmp_path / "list.txt").write_text("p/000.png\np/001.png\np/002.png\np/gone.png\n")
    for root, bad in (
        (tmp_path / "p", {"001.png"}),
        (tmp_path / "list.txt", {"p/001.png", "p/gone.png"}),
    ):
        skipped: dict[str, str] = {}
        for batch in batches(crops_of(Photos(root)), 4, 0, 3, 1):
            assert batch.images().shape == (4, 3, 32, 32)
            assert not bad & set(batch.names)
            skipped |= batch.skipped
        assert set(skipped) == bad
        assert all("cannot be read" in reason for reason in skipped.values())


def test_nothing_but_unreadable_files_is_an_error_in_a_worker_too(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.jpg").write_bytes(b"no photo")
    for num_workers in (0, 1):
        with pytest.raises(UserError, match=rf"{MAX_DRAWS} photos in a row are unreadable, a\.jpg"):
            list(batches(crops_of(Photos(tmp_path / "p")), 2, 0, 1, num_workers))
