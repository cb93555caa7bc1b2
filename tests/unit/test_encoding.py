"""Every format is written under each of its names, within its limits, or one line says why not."""

from __future__ import annotations

import io
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from data import encoding
from data.encoding import encode, save_image, write_photo, writing
from data.formats import (
    FORMAT_OF,
    FORMATS,
    SUFFIXES,
    check_size,
    check_writable,
    learn_heic,
    suffix_of,
)
from data.images import Photo
from data.metadata import metadata_of
from data.pixels import Pixels
from errors import UserError


def pixels(width: int, height: int) -> Pixels:
    return np.full((height, width, 3), 99, np.uint8)


def test_the_names_of_the_formats_are_pillows_and_the_cameras() -> None:
    learn_heic("")
    ours = {"MPO": "JPEG", "DIB": "BMP"}
    for suffix, name in Image.registered_extensions().items():
        if ours.get(name, name) in FORMATS:
            assert FORMAT_OF[suffix] == ours.get(name, name), suffix
    for suffix in (".jif", ".jfi", ".jfif", ".jpe", ".hif", ".heics", ".avifs", ".apng", ".dib"):
        assert suffix in SUFFIXES
    assert suffix_of("MPO") == ".jpg"
    assert suffix_of("HEIF") == ".heic"
    assert suffix_of("PCX") == ".png"


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".TIF", ".Jpeg"])
def test_every_name_is_written_in_its_format(tmp_path: Path, suffix: str) -> None:
    write_photo(tmp_path / f"a{suffix}", Photo(pixels(20, 12), None))
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.format == FORMAT_OF[suffix.lower()]
        assert image.size == (20, 12)


@pytest.mark.parametrize("suffix", [f.suffixes[0] for f in FORMATS.values()])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 1), (7, 5)])
def test_the_smallest_pictures_are_written(suffix: str, size: tuple[int, int]) -> None:
    learn_heic("")
    file = io.BytesIO()
    alpha = np.full(size[::-1], 128, np.uint8)
    encode(file, suffix, Photo(pixels(*size), alpha))
    image = Image.open(file)
    image.load()
    assert image.size == size


@pytest.mark.parametrize(
    ("format_", "most"),
    [
        ("JPEG", (65_500, 1)),
        ("WEBP", (16_383, 1)),
        ("GIF", (65_535, 1)),
        ("AVIF", (32_768, 1)),
        ("HEIF", (4_216, 31)),
        ("HEIF", (65_528, 32)),
        ("TIFF", (70_000, 1)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_largest_pictures_are_written(
    format_: str, most: tuple[int, int], turned: bool
) -> None:
    learn_heic("")
    size = most[::-1] if turned else most
    file = io.BytesIO()
    assert encode(file, FORMATS[format_].suffixes[0], Photo(pixels(*size), None)) == []
    assert Image.open(file).size == size


@pytest.mark.parametrize(
    ("format_", "more"), [("JPEG", (65_501, 1)), ("WEBP", (16_384, 1)), ("GIF", (65_536, 1))]
)
def test_nothing_is_refused_that_could_be_written(format_: str, more: tuple[int, int]) -> None:
    """Where the format itself sets the limit; those of AVIF and HEIC are their libraries'."""
    with pytest.raises((OSError, ValueError, OverflowError)):
        save_image(Image.fromarray(pixels(*more)), io.BytesIO(), format_)
    with pytest.raises(UserError):
        check_size(f"a{FORMATS[format_].suffixes[0]}", *more)


@pytest.mark.parametrize(
    ("target", "size", "line"),
    [
        (
            "a.webp",
            (17_000, 100),
            "a.webp: 17000 x 100 px; expected at most 16383 px a side in WebP. Choose another "
            "format with -o: .jpg, .png, .avif, .heic, .tif, .gif, .bmp.",
        ),
        (
            "a.GIF",
            (70_000, 9),
            "a.GIF: 70000 x 9 px; expected at most 65535 px a side in GIF. Choose another "
            "format with -o: .png, .tif, .bmp.",
        ),
        (
            "a.heic",
            (5_000, 20),
            "a.heic: 5000 x 20 px; expected at least 32 px beside a side of more than 4216 px in "
            "HEIC. Choose another format with -o: .jpg, .png, .webp, .avif, .tif, .gif, .bmp.",
        ),
        (
            "a.tif",
            (60_000, 60_000),
            "a.tif: 60000 x 60000 px; expected at most 1,073,741,824 pixels in TIFF. Choose "
            "another format with -o: .jpg, .png, .heic, .gif.",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_one_line_with_those_that_can(
    target: str, size: tuple[int, int], line: str
) -> None:
    with pytest.raises(UserError) as refused:
        check_size(target, *size)
    assert str(refused.value) == line


def test_a_size_that_is_no_formats_and_a_target_without_a_format() -> None:
    with pytest.raises(UserError, match="Make it smaller"):
        check_size("a.png", 2**31, 2**31)
    check_size("-", 70_000, 10)
    for suffix in SUFFIXES:
        check_size(Path(f"a{suffix}"), 4000, 3000)


@pytest.mark.parametrize(
    "error",
    [
        OSError("encoder error -2"),
        ValueError("too long"),
        RuntimeError("no codec"),
        OverflowError("int too big"),
        struct.error("'H' format requires 0 <= number <= 65535"),
        SystemError("tile cannot extend outside image"),
        MemoryError(),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__ + str(error)[:6],
)
def test_an_encoders_error_is_one_line_that_names_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(encoding, "save_image", failing)
    target = tmp_path / "a.png"
    target.write_bytes(b"what was there")
    with pytest.raises(UserError, match=r"a\.png: cannot be written \(.*; expected .*\.") as told:
        write_photo(target, Photo(pixels(4, 4), None))
    assert "\n" not in str(told.value)
    full = isinstance(error, OSError) and error.errno
    assert ("a folder with room" in str(told.value)) == bool(full)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert target.read_bytes() == b"what was there"


def test_a_users_error_and_a_bug_pass_as_they_are() -> None:
    for error in (UserError("as it is"), TypeError("a bug")):
        with pytest.raises(type(error), match=str(error)), writing("a.png"):
            raise error


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "link", "read-only", "folder"])
def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "a.png"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(target))
    elif kind == "device":
        target.symlink_to("/dev/null")
    elif kind == "link":
        target.symlink_to(tmp_path / "nowhere.png")
    elif kind == "folder":
        target.mkdir()
    else:
        target.write_bytes(b"mine")
        target.chmod(0o444)
    said = {
        "link": r"is a link to .*nowhere\.png, which does not exist",
        "read-only": "is read-only",
        "folder": "is a folder",
    }.get(kind, "is a device, a pipe or a socket")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=rf"a\.png: {said}; expected .*Choose another with -o\.$"):
        check_writable(target)
    assert sorted(tmp_path.iterdir()) == before


def test_long_names_and_folders_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for target, said in {
        tmp_path / ("ä" * 126 + ".png"): "a name of 256 bytes",
        tmp_path / ("b" * 300) / "a.png": "a name of 300 bytes",
        tmp_path / "file" / "a.png": "file cannot be written to",
        tmp_path / "file" / "deeper" / "a.png": "file cannot be written to",
        tmp_path / "gone" / "a.png": "gone is a link to nowhere",
    }.items():
        with pytest.raises(UserError, match=said):
            check_writable(target)
    check_writable(tmp_path / "new" / "folders" / ("b" * 251 + ".png"))
    assert not (tmp_path / "new").exists()


def test_metadata_of_several_segments_is_written_without_what_does_not_fit(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Zoe"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"ASCII\0\0\0" + b"x" * 80_000}
    content = exif.tobytes()
    whole = io.BytesIO()
    Image.new("RGB", (8, 8)).save(whole, "JPEG")
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", 8 + len(part)) + b"Exif\0\0" + part
        for part in (content[6:60_006], content[60_006:])
    )
    source = Image.open(io.BytesIO(whole.getvalue()[:2] + segments + whole.getvalue()[2:]))
    photo = Photo(pixels(8, 8), None, metadata_of(source))
    notices = write_photo(tmp_path / "a.jpg", photo)
    assert notices == ["EXIF tags that are not kept: UserComment (a JPEG holds 64 KB of EXIF)"]
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[ExifTags.Base.Artist] == "Zoe"
