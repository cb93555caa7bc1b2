"""What counts as a photo below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from data.folders import files_below, is_photo
from data.photos import Photos
from inference.batch import plan


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    elsewhere, photos = tmp_path / "elsewhere", tmp_path / "photos"
    for folder in (elsewhere, photos / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    (photos / "deep/linked").symlink_to(elsewhere)
    (photos / "deep/again").symlink_to(photos)
    (elsewhere / "itself").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(photos / "deep")
    expected = [Path("deep/a.jpg"), Path("deep/linked/a.jpg")]
    assert sorted(files_below(photos)) == expected
    assert Photos(photos).names == [str(path) for path in expected]
    jobs, *_ = plan([str(photos)], tmp_path / "out", ["mine"])
    assert [job.source for job in jobs] == [str(photos / path) for path in expected]
    assert [job.target for job in jobs] == [str(tmp_path / "out" / path) for path in expected]


def test_what_would_be_waited_for_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    os.mkfifo(tmp_path / "deep/fifo.jpg")
    (tmp_path / "null.jpg").symlink_to(os.devnull)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")  # which reading it will tell
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    special: list[Path] = []
    assert sorted(files_below(tmp_path, special)) == [Path("gone.jpg"), Path("self.jpg")]
    assert sorted(special) == [tmp_path / "deep/fifo.jpg", tmp_path / "null.jpg"]


def test_hidden_files_are_no_photos() -> None:
    found = ["a.JPG", "b/c.heic", ".a.jpg", ".trash/a.jpg", "__MACOSX/a.jpg", "a.txt", "jpg"]
    assert [path for path in found if is_photo(Path(path))] == ["a.JPG", "b/c.heic"]
