"""Files of several frames or pages, painted whole."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import GifImagePlugin, Image
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from data import frame_writers
from data.animation import PaintedAnimation, paint_animation, write_frames
from data.cicp import rgb_profile
from data.frame_writers import Times
from data.frames import number_of_frames, read_animation
from data.images import read_photo
from data.metadata import NO_METADATA
from data.pixels import Pixels
from errors import UserError
from tests.conftest import ROOT

TIMED = (".gif", ".webp", ".png", ".avif")
NAMES = {".tif": "TIFF", ".heic": "HEIF", ".jpg": "JPEG"}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = ((200, 30, 30), (30, 160, 60), (40, 60, 200), (220, 220, 40))


def pictures(count: int = 4, size: tuple[int, int] = (48, 32)) -> list[Image.Image]:
    """Plain pictures, each with a white corner that moves."""
    made = []
    for number in range(count):
        picture = Image.new("RGB", size, COLOURS[number % 4])
        picture.paste((255, 255, 255), (4 * number, 0, 4 * number + 8, 8))
        made.append(picture)
    return made


def saved(suffix: str, frames: list[Image.Image], **options: Any) -> bytes:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file, format_ = io.BytesIO(), NAMES.get(suffix, suffix[1:].upper())
    if suffix in (".webp", ".avif", ".heic"):
        options.setdefault("quality", 100)
    frames[0].save(file, format_, save_all=True, append_images=frames[1:], **options)
    return file.getvalue()


def painted(
    content: bytes, suffix: str, source: str = "", paint: Any = lambda pixels: pixels
) -> tuple[bytes, PaintedAnimation]:
    """What a file of the suffix holds when each frame is painted."""
    file = io.BytesIO()
    done = paint_animation(content, f"a{source}", file, paint, suffix=suffix, shown=False)
    return file.getvalue(), done


def pixels_of(content: bytes) -> list[Pixels]:
    return [photo.pixels for photo in read_animation(content, "").photos()]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def apng(size: tuple[int, int], still: bool, *frames: tuple[Any, ...]) -> bytes:
    """An animated PNG of plain colours: RGBA, place, size, disposal, blending for each frame."""

    def rows(colour: tuple[int, ...], extent: tuple[int, int]) -> bytes:
        return zlib.compress((b"\0" + bytes(colour) * extent[0]) * extent[1])

    content = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 6, 0, 0, 0))
    content += chunk(b"acTL", struct.pack(">II", len(frames), 0))
    if still:
        content += chunk(b"IDAT", rows((9, 9, 9, 255), size))
    number = 0
    for i, (colour, place, extent, disposal, blend) in enumerate(frames):
        control = struct.pack(">5I2H2B", number, *extent, *place, 1, 10, disposal, blend)
        content += chunk(b"fcTL", control)
        number += 1
        if i or still:
            content += chunk(b"fdAT", struct.pack(">I", number) + rows(colour, extent))
            number += 1
        else:
            content += chunk(b"IDAT", rows(colour, extent))
    return content + chunk(b"IEND", b"")


def gif(size: tuple[int, int], *frames: tuple[Any, ...]) -> bytes:
    """A GIF of plain colours: index or rows of them, place, disposal; index 3 is transparent."""
    content = b"GIF89a" + struct.pack("<HHBBB", *size, 0, 0, 0)
    for rows, place, disposal in frames:
        picture = Image.fromarray(np.array(rows, np.uint8), "L").convert("P")
        picture.putdata(np.array(rows).ravel().tolist())
        picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 7, 7, 7])
        options = {"disposal": disposal, "duration": 100, "transparency": 3}
        data = GifImagePlugin.getdata(picture, place, include_color_table=True, **options)
        content += b"".join(data)
    return content + b";"


@pytest.mark.parametrize("suffix", [*TIMED, ".tif", ".heic"])
def test_frames_are_counted(tmp_path: Path, suffix: str) -> None:
    several, one = saved(suffix, pictures()), saved(suffix, pictures(1))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(several)
    assert (number_of_frames(several), number_of_frames(path), number_of_frames(one)) == (4, 4, 1)


def test_what_cannot_be_read_counts_as_one_and_a_pipe_is_not_opened(tmp_path: Path) -> None:
    for content in (b"", b"hello", b"GIF89a", SIGNATURE, b"II*\0\xff\xff\xff\xff", b"RIFF"):
        assert number_of_frames(content) == 1
    os.mkfifo(tmp_path / "pipe.gif")
    assert number_of_frames(tmp_path / "pipe.gif") == 1
    assert number_of_frames(tmp_path / "none.gif") == 1


@pytest.mark.parametrize("source", TIMED)
@pytest.mark.parametrize("target", TIMED)
@pytest.mark.parametrize("plays", [0, 1, 3])
def test_animations_keep_frames_times_and_plays(source: str, target: str, plays: int) -> None:
    durations = [50.0, 100.0, 150.0, 200.0]
    file = io.BytesIO()
    writers = {".gif": frame_writers.write_gif, ".png": frame_writers.write_png}
    writers |= {".webp": frame_writers.write_webp, ".avif": frame_writers.write_avif}
    frames = ((picture, NO_METADATA) for picture in pictures())
    assert writers[source](file, frames, Times(durations, plays)) == []
    content, done = painted(file.getvalue(), target)
    found = read_animation(content, "")
    assert (done.frames, done.width, done.height, done.notices) == (4, 48, 32, ())
    assert found.format == target[1:].upper()
    assert (list(found.durations_ms), found.plays) == (durations, plays)
    for picture, pixels in zip(pictures(), pixels_of(content), strict=True):
        assert np.abs(pixels.astype(int) - np.asarray(picture)).mean() < 5


def test_how_often_it_is_played_is_written_as_each_format_has_it() -> None:
    once = saved(".gif", pictures(), duration=100)
    thrice = saved(".gif", pictures(), duration=100, loop=2)  # and two more
    assert b"NETSCAPE" not in painted(once, ".gif")[0]
    assert b"NETSCAPE2.0\3\1\2\0" in painted(thrice, ".gif")[0]
    assert b"NETSCAPE2.0\3\1\0\0" in painted(saved(".gif", pictures(), loop=0), ".gif")[0]
    for content, plays in ((once, 1), (thrice, 3)):
        png = painted(content, ".png")[0]
        assert struct.unpack_from(">II", png, png.index(b"acTL") + 4) == (4, plays)
        webp = painted(content, ".webp")[0]
        assert struct.unpack_from("<H", webp, webp.index(b"ANIM") + 12) == (plays,)
        avif = painted(content, ".avif")[0]  # four frames of 100 ms, counted in milliseconds
        edit, track = avif.index(b"elst") + 4, avif.index(b"tkhd") + 4
        assert avif[edit + 3] == (plays > 1)
        assert struct.unpack_from(">Q", avif, edit + 8) == (400,)
        assert struct.unpack_from(">Q", avif, track + 28) == (400 * plays,)


def test_fractions_of_times_are_kept_or_add_up() -> None:
    frames = pictures(3)
    third = saved(".png", frames, duration=[1000 / 30, 0, 70_000])
    png = painted(third, ".png")[0]
    assert read_animation(png, "").durations_ms == (1000 / 30, 0, 70_000)
    even = saved(".png", frames, duration=1000 / 30)
    avif = painted(even, ".avif")[0]
    thirtieths = avif.replace(struct.pack(">I", 1000), struct.pack(">I", 990))  # the time scale
    assert sum(read_animation(thirtieths, "").durations_ms) == 101  # 100 / 0.99
    assert read_animation(painted(even, ".webp")[0], "").durations_ms == (33, 34, 33)
    assert read_animation(painted(even, ".gif")[0], "").durations_ms == (30, 40, 30)
    quick = saved(".png", pictures(60), duration=1000 / 60)  # 10 ms would be shown as 100
    content, done = painted(quick, ".gif")
    assert set(read_animation(content, "").durations_ms) == {20}
    assert done.notices == ("a run takes 1.20 s, not 1.00 s: GIF cannot hold its times",)
    zero = saved(".gif", frames, duration=0)
    assert read_animation(painted(zero, ".gif")[0], "").durations_ms == (0, 0, 0)
    assert read_animation(painted(zero, ".avif")[0], "").durations_ms == (100, 100, 100)


CLEAR, RED, GREEN, BLUE = (0, 0, 0, 0), (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)


def seen(content: bytes) -> list[list[tuple[int, ...]]]:
    """The colours of the four pixels of each frame, 4 × 1."""
    found = []
    for photo in read_animation(content, "").photos():
        alpha = np.full(photo.pixels.shape[:2], 255) if photo.alpha is None else photo.alpha
        rgba = np.dstack([photo.pixels * (alpha > 0)[..., None], alpha])
        found.append([tuple(map(int, pixel)) for pixel in rgba[0]])
    return found


def test_frames_of_an_animated_png_are_put_together_as_its_standard_says() -> None:
    content = apng(
        (4, 1),
        True,
        (GREEN, (0, 0), (2, 1), 0, 1),  # over nothing: the still is no part of it
        (RED, (1, 0), (2, 1), 2, 1),  # taken back
        (BLUE, (3, 0), (1, 1), 1, 1),  # cleared
        (CLEAR, (0, 0), (1, 1), 0, 0),  # replaces what was there
        (RED, (2, 0), (1, 1), 0, 1),
    )
    grey = (9, 9, 9, 255)
    assert seen(content) == [
        [grey, grey, grey, grey],
        [GREEN, GREEN, CLEAR, CLEAR],
        [GREEN, RED, RED, CLEAR],
        [GREEN, GREEN, CLEAR, BLUE],
        [CLEAR, GREEN, CLEAR, CLEAR],
        [CLEAR, GREEN, RED, CLEAR],
    ]


def test_frames_of_a_gif_are_put_together_as_browsers_do() -> None:
    content = gif(
        (4, 1),
        ([[0, 0]], (1, 0), 1),  # what no frame covers is transparent
        ([[1, 3, 1]], (0, 0), 3),  # taken back
        ([[2]], (3, 0), 2),  # cleared, not made the background's colour
        ([[1]], (0, 0), 0),
    )
    assert seen(content) == [
        [CLEAR, RED, RED, CLEAR],
        [GREEN, RED, GREEN, CLEAR],
        [CLEAR, RED, RED, BLUE],
        [GREEN, RED, RED, CLEAR],
    ]
    assert seen(painted(content, ".gif")[0]) == seen(content)
    assert seen(painted(content, ".png")[0]) == seen(content)


@pytest.mark.parametrize("target", [*TIMED, ".tif", ".heic"])
def test_transparency_is_kept(target: str) -> None:
    frames = [np.full((32, 48, 4), 255, np.uint8) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame[8:24, 12 * (number + 1) :, 3] = 0
    content = saved(".png", [Image.fromarray(frame) for frame in frames], duration=100)

    def enlarge(pixels: Pixels) -> Pixels:
        return pixels.repeat(2, 0).repeat(2, 1)

    written, done = painted(content, target, paint=enlarge)
    assert (done.width, done.height) == (96, 64)
    photos = list(read_animation(written, "").photos())
    for frame, photo in zip(frames, photos, strict=True):
        assert photo.alpha is not None
        assert np.mean((photo.alpha > 127) == (enlarge(frame[..., 3:])[..., 0] > 127)) > 0.99


def test_a_still_for_programs_without_animation_stays_in_a_png_alone() -> None:
    content = saved(".png", pictures(), duration=[50, 60, 70], loop=1, default_image=True)
    written, done = painted(content, ".png")
    found = read_animation(written, "")
    assert (done.frames, done.notices, found.has_still) == (4, (), True)
    assert (found.durations_ms[1:], found.plays) == ((50, 60, 70), 1)
    with Image.open(io.BytesIO(written)) as image:
        assert (image.n_frames, image.info["default_image"]) == (4, True)
    written, done = painted(content, ".gif")
    assert (done.frames, read_animation(written, "").durations_ms) == (3, (50, 60, 70))
    notice = "the picture for programs without animation is not kept: GIF has no place for it"
    assert done.notices == (notice,)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_orientation_and_profile_count_for_every_frame(suffix: str) -> None:
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = 6, "Maker"
    wide = rgb_profile((0.3127, 0.329), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), 2.2)
    options = {"exif": exif.tobytes(), "icc_profile": wide}
    lossless = {"lossless": True} if suffix == ".webp" else {}
    content = saved(suffix, pictures(), duration=100, **options, **lossless)
    written, done = painted(content, ".png")
    assert (done.width, done.height) == (32, 48)
    for picture, pixels in zip(pictures(), pixels_of(written), strict=True):
        alone = io.BytesIO()
        picture.save(alone, "PNG", **options)
        np.testing.assert_array_equal(pixels, read_photo(alone.getvalue(), "").pixels)
    with Image.open(io.BytesIO(written)) as image:
        kept = image.getexif()
        assert (kept.get(0x10F), kept.get(0x112, 1)) == ("Maker", 1)


def test_exif_lies_in_an_animated_webp_as_it_is_to() -> None:
    exif = Image.Exif()
    exif[0x10F] = "Maker"
    content = painted(saved(".png", pictures(), duration=100, exif=exif.tobytes()), ".webp")[0]
    at = content.index(b"EXIF") + 8
    assert content[at : at + 4] in (b"II*\0", b"MM\0*")  # no "Exif\0\0" before it, as in a JPEG


def tiff_pages() -> bytes:
    """Three pages, of other sizes, modes and resolutions, a thumbnail and a mask between them."""
    first, second, third = pictures(3)
    small, mask = ImageFileDirectory_v2(), ImageFileDirectory_v2()
    small[254], mask[254] = 1, 4
    pages = (
        (first, {"dpi": (300, 300), "description": "one"}),
        (first.resize((8, 6)), {"tiffinfo": small}),
        (second.convert("L").resize((20, 60)).convert("1"), {"dpi": (200, 200)}),
        (first.convert("1"), {"tiffinfo": mask}),
        (third.convert("CMYK"), {}),
    )
    file = io.BytesIO()
    with AppendingTiffWriter(file) as writer:
        for picture, options in pages:
            picture.save(writer, "TIFF", **options)
            writer.newFrame()
    return file.getvalue()


def test_pages_are_painted_one_by_one_each_as_it_is() -> None:
    content = tiff_pages()
    assert number_of_frames(content) == 3
    written, done = painted(content, ".tif", paint=lambda pixels: 255 - pixels)
    assert (done.frames, done.notices) == (3, ())
    with Image.open(io.BytesIO(written)) as image:
        assert image.n_frames == 3
        for number, (size, dpi) in enumerate(
            (((48, 32), 300), ((20, 60), 200), ((48, 32), None)),
        ):
            image.seek(number)
            assert (image.size, image.mode) == (size, "RGB")
            assert (image.tag_v2[282], image.tag_v2[296]) == ((dpi, 2) if dpi else (1, 1))
            expected = 255 - np.asarray(pictures(3)[number].resize(size)).astype(int)
            if number == 1:
                continue  # black and white
            assert np.abs(np.asarray(image) - expected).max() < 2
        image.seek(0)
        assert image.tag_v2[270] == "one"


def test_a_profile_counts_for_its_own_page_alone() -> None:
    wide = rgb_profile((0.3127, 0.329), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), 2.2)
    file, colour = io.BytesIO(), Image.new("RGB", (20, 20), (200, 30, 30))
    with AppendingTiffWriter(file) as writer:
        for options in ({"icc_profile": wide, "dpi": (300, 300)}, {}):
            colour.save(writer, "TIFF", **options)
            writer.newFrame()
    first, second = read_animation(file.getvalue(), "").photos()
    assert first.pixels[0, 0].tolist() == [220, 0, 0]  # as libvips has it
    assert second.pixels[0, 0].tolist() == [200, 30, 30]
    assert (first.metadata.dpi, second.metadata.dpi) == ((300, 300), None)


def test_pages_of_one_size_become_frames_and_others_are_refused() -> None:
    same = saved(".tif", pictures())
    written, done = painted(same, ".gif")
    assert read_animation(written, "").durations_ms == (1000,) * 4
    assert done.notices == ("each page is shown for 1 s",)
    with pytest.raises(UserError, match=r"a\.tif: its pages have different sizes; expected one"):
        painted(tiff_pages(), ".gif", source=".tif")


def test_pages_with_and_without_transparency_become_frames_that_all_have_some() -> None:
    clear = pictures(1)[0].convert("RGBA")
    clear.putpixel((0, 20), (0, 0, 0, 0))
    content = saved(".tif", [pictures(2)[1], clear])
    for suffix in TIMED:
        photos = list(read_animation(painted(content, suffix)[0], "").photos())
        alphas = [photo.alpha for photo in photos if photo.alpha is not None]
        assert [int(alpha.min() < 128) for alpha in alphas] == [0, 1]


def test_hundreds_of_strips_and_pages_lie_where_the_file_says() -> None:
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (90, 700, 3), np.uint8)) for _ in range(5)]
    file = io.BytesIO()
    frame_writers.write_tiff(file, ((picture, NO_METADATA) for picture in noise))
    with Image.open(io.BytesIO(file.getvalue())) as image:
        for number, picture in enumerate(noise):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image), np.asarray(picture))


def test_a_burst_keeps_its_pictures_and_what_each_says() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    burst = pictures(3)
    for number, picture in enumerate(burst):
        exif = Image.Exif()
        exif[0x10F] = f"Maker {number}"
        picture.info["exif"] = exif.tobytes()
    file = io.BytesIO()
    burst[0].save(file, "HEIF", save_all=True, append_images=burst[1:], quality=95)
    for suffix in (".heic", ".tif"):
        written, done = painted(file.getvalue(), suffix)
        assert (done.frames, done.notices) == (3, ())
        with Image.open(io.BytesIO(written)) as image:
            for number in range(3):
                image.seek(number)
                assert image.getexif()[0x10F] == f"Maker {number}"
    lost = painted(file.getvalue(), ".png")[1].notices
    assert "of the pages' metadata only the first page's is kept" in lost


@pytest.mark.parametrize("target", [".jpg", ".bmp"])
@pytest.mark.parametrize("source", [*TIMED, ".tif"])
def test_where_one_picture_has_room_the_others_are_told_of(source: str, target: str) -> None:
    written, done = painted(saved(source, pictures()), target)
    what = "pages" if source == ".tif" else "frames"
    assert (done.frames, done.notices) == (1, (f"3 of its 4 {what} are not kept",))
    found = read_photo(written, "").pixels.astype(int)
    assert np.abs(found - np.asarray(pictures()[0])).mean() < 6


def test_the_further_picture_of_a_jpeg_is_told_of() -> None:
    content = saved(".mpo", pictures(2))
    assert number_of_frames(content) == 1
    assert "the file's further picture is not kept" in read_photo(content, "").notices[0]


def test_pages_lose_times_with_a_line() -> None:
    done = painted(saved(".gif", pictures(), duration=100), ".tif")[1]
    assert done.notices == ("the frames' times are not kept: the pages of TIFF have none",)


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_what_stands_before_damage_is_painted(suffix: str) -> None:
    frames = [picture.effect_spread(20) for picture in pictures(size=(60, 60))]
    content = saved(suffix, frames, duration=100)
    written, done = painted(content[: len(content) * 6 // 10], suffix)
    whole = pixels_of(content)
    assert 1 <= done.frames < 4
    assert "cannot be read and are left out: the last" in done.notices[0]
    for before, after in zip(whole, pixels_of(written), strict=False):
        np.testing.assert_allclose(after, before, atol=40)


def test_a_frame_whose_checksum_is_wrong_is_not_painted() -> None:
    content = bytearray(saved(".png", pictures(), duration=100))
    content[-13] ^= 1  # the last of the last frame, before IEND
    done = painted(bytes(content), ".png")[1]
    assert done.notices == ("1 of its 4 frames cannot be read and are left out: the last",)


def test_a_webp_or_tiff_that_ends_early_is_painted_so_far() -> None:
    for suffix in (".webp", ".tif"):
        content = saved(suffix, pictures(size=(60, 60)))
        done = painted(content[: len(content) * 3 // 4], suffix)[1]
        assert 1 <= done.frames < 4
        assert "the file is damaged: it ends before its last" in done.notices[-1]


def test_a_damaged_page_costs_only_itself() -> None:
    content = bytearray(saved(".tif", pictures(), compression="tiff_lzw"))
    with Image.open(io.BytesIO(bytes(content))) as image:
        image.seek(1)
        start = image.tag_v2[273][0]
    content[start : start + 40] = b"\xff" * 40
    written, done = painted(bytes(content), ".tif")
    assert done.notices == ("1 of its 4 pages cannot be read and are left out: 2",)
    expected = [np.asarray(pictures()[number]) for number in (0, 2, 3)]
    for before, after in zip(expected, pixels_of(written), strict=True):
        np.testing.assert_array_equal(before, after)


def test_announced_frames_that_are_not_there_cost_no_time() -> None:
    content = saved(".png", pictures(), duration=100)
    at = content.index(b"acTL") - 4
    lie = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    done = painted(content[:at] + lie + content[at + len(lie) :], ".png")[1]
    assert done.frames == 4
    assert "2147483643 of its 2147483647 frames cannot be read" in done.notices[0]


def test_every_frame_counts_for_the_most_pixels() -> None:
    for suffix in (".gif", ".tif"):
        content = saved(suffix, pictures())
        with pytest.raises(UserError, match="48 x 32 px; expected at most 1,000 pixels"):
            paint_animation(content, "a", io.BytesIO(), lambda pixels: pixels, max_pixels=1000)
    huge = gif((65_535, 65_535), ([[0]], (0, 0), 0), ([[1]], (0, 0), 0))
    with pytest.raises(UserError, match="65535 x 65535 px"):
        painted(huge, ".gif")


@pytest.mark.parametrize("target", [*TIMED, ".tif", ".heic"])
def test_frames_are_written_one_by_one(target: str) -> None:
    saved(target, pictures(2))  # skips where the format is not installed
    made: list[weakref.ref[Image.Image]] = []
    most = 0

    def frames() -> Iterator[tuple[Image.Image, Any]]:
        nonlocal most
        for number in range(12):
            picture = Image.new("RGB", (64, 64), (20 * number, 90, 90))
            made.append(weakref.ref(picture))
            most = max(most, sum(one() is not None for one in made))
            yield picture, NO_METADATA

    times = Times([100] * 12)
    if target == ".tif":
        frame_writers.write_tiff(io.BytesIO(), frames())
    elif target == ".heic":
        frame_writers.write_heic(io.BytesIO(), frames(), 12)
    else:
        writers = {".gif": frame_writers.write_gif, ".png": frame_writers.write_png}
        writers |= {".webp": frame_writers.write_webp, ".avif": frame_writers.write_avif}
        writers[target](io.BytesIO(), frames(), times)
    assert most <= 3


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif", ".tif"])
def test_an_error_of_painting_passes_and_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    def paint(pixels: Pixels) -> Pixels:
        nonlocal left
        left -= 1
        if not left:
            raise RuntimeError("no room on the GPU")
        return pixels

    left = 3
    with pytest.raises(RuntimeError, match="no room on the GPU"):
        paint_animation(
            saved(".gif", pictures()), "a.gif", tmp_path / f"b{suffix}", paint, shown=False
        )
    assert not list(tmp_path.iterdir())


def test_every_frame_is_written_even_where_nothing_moves(tmp_path: Path) -> None:
    same = [Image.new("RGB", (20, 20), "teal")] * 5
    write_frames(tmp_path / "a.gif", iter(same), 40)
    found = read_animation((tmp_path / "a.gif").read_bytes(), "")
    assert (found.durations_ms, found.plays) == ((40,) * 5, 0)
    for pixels in pixels_of((tmp_path / "a.gif").read_bytes()):
        assert (pixels == (0, 128, 128)).all()


def test_an_animation_on_stdin_becomes_one_on_stdout(style: Path) -> None:
    command = [sys.executable, "stylize.py", "-", "-o", "-", "--style", str(style)]
    content = saved(".gif", pictures(), duration=[50, 100, 150, 200])
    done = subprocess.run(command, input=content, cwd=ROOT, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = read_animation(done.stdout, "")
    assert (found.format, found.durations_ms, found.plays) == ("GIF", (50, 100, 150, 200), 1)
