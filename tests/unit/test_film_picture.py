"""A film's picture: colours, geometry, transparency, and what is damaged."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from errors import UserError
from tests.films import CORNERS, TENTH, make, matrix, painted, pictures, quarters, times


def corners(picture: Any) -> Any:
    """The colours in the middle of the four quarters."""
    height, width = picture.shape[:2]
    return picture[[height // 4, 3 * height // 4]][:, [width // 4, 3 * width // 4]].astype(int)


def in_bt2020(left: tuple[float, ...], right: tuple[float, ...]) -> Any:
    """A frame of 64 x 48 px, 10 bits, of two colours: ITU-R BT.2020, table 4 and 5."""
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    coded = []
    for red, green, blue in (left, right):
        luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
        cb, cr = (blue - luma) / 1.8814, (red - luma) / 1.4746
        coded.append((64 + 876 * luma, 512 + 896 * cb, 512 + 896 * cr))
    for plane, (one, other) in zip(frame.planes, zip(*coded, strict=True), strict=True):
        values = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        values[:, : plane.width // 2] = round(one)
        values[:, plane.width // 2 :] = round(other)
        plane.update(values.tobytes())
    frame.pts, frame.time_base = 0, TENTH
    return frame


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        # FFmpeg 5.1's zscale and tonemap of the same codes: tests/unit/test_hdr.py
        (18, [(0, 155, 55), (193, 193, 193)]),
        (16, [(0, 208, 0), (255, 255, 255)]),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_hdr_comes_out_as_sdr(
    tmp_path: Path, transfer: int, expected: list[tuple[int, ...]], suffix: str
) -> None:
    film = tmp_path / f"film{suffix}"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"qp": "4"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        context = video.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        frame = in_bt2020((0.2, 0.6, 0.3), (0.75, 0.75, 0.75))
        out.mux([*video.encode(frame), *video.encode(None)])
    seen = []
    result = painted(film, tmp_path / f"out{suffix}", lambda frame: seen.append(frame) or frame)
    for picture in (seen[0], pictures(tmp_path / f"out{suffix}")[0]):
        found = picture[24, [12, 52]].astype(int)
        np.testing.assert_allclose(found, expected, atol=5)
    with av.open(str(tmp_path / f"out{suffix}")) as out:
        frame = next(out.decode(video=0))
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 1, 1)
    name = {16: "PQ", 18: "HLG"}[transfer]
    assert result.notices == (f"the film is HDR ({name}): it is tone-mapped to BT.709 SDR",)


def test_the_light_that_a_film_tells_of_becomes_white(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"x264-params": "qp=4:cll=4000,100"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        context = video.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
        frame = in_bt2020((0.75, 0.75, 0.75), (0.75, 0.75, 0.75))
        out.mux([*video.encode(frame), *video.encode(None)])
    painted(film, tmp_path / "out.mp4")
    np.testing.assert_allclose(pictures(tmp_path / "out.mp4")[0][24, 32].astype(int), 234, atol=3)
    with av.open(str(tmp_path / "out.mp4")) as out:
        kinds = {side.type.name for side in next(out.decode(video=0)).side_data}
    assert not kinds & {"CONTENT_LIGHT_LEVEL", "MASTERING_DISPLAY_METADATA"}


@pytest.mark.parametrize(
    ("primaries", "transfer", "expected", "name"),
    [
        (9, 1, (0, 88, 239), "BT.2020"),
        (12, 1, (73, 90, 238), "P3"),
        (12, 13, (73, 90, 238), "P3"),
    ],
)
def test_a_wide_gamut_becomes_bt709(
    tmp_path: Path, primaries: int, transfer: int, expected: tuple[int, ...], name: str
) -> None:
    """The colours are FFmpeg's: tests/unit/test_hdr.py."""
    pixels = np.full((48, 64, 3), np.rint(np.array([0.3, 0.35, 0.9]) * 255), np.uint8)
    film = make(
        tmp_path / "film.mp4",
        pixels=pixels,
        options={"qp": "1"},
        color_primaries=primaries,
        color_trc=transfer,
        colorspace=1,
    )
    result = painted(film, tmp_path / "out.mp4")
    found = pictures(tmp_path / "out.mp4")[0][24, 32].astype(int)
    np.testing.assert_allclose(found, expected, atol=4)
    with av.open(str(tmp_path / "out.mp4")) as out:
        frame = next(out.decode(video=0))
        assert (frame.color_primaries, frame.color_trc) == (1, 13 if transfer == 13 else 1)
    assert result.notices == (f"the film's colours are converted from {name} to BT.709",)


@pytest.mark.parametrize(
    ("pix_fmt", "colour_range", "said"),
    [("yuv420p10le", 1, 1), ("yuvj420p", 2, 1), ("yuv420p", 1, 6), ("yuv422p", 1, 5)],
)
def test_other_ways_to_code_the_same_colours(
    tmp_path: Path, pix_fmt: str, colour_range: int, said: int
) -> None:
    """10 bits, full range, and what BT.601's two kinds say of themselves."""
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"qp": "4"})
        video.width, video.height, video.pix_fmt = 64, 48, pix_fmt
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = said
        context.color_range = colour_range
        frame = av.VideoFrame.from_ndarray(quarters(), format="rgb24").reformat(
            format=pix_fmt,
            dst_colorspace="ITU709" if said == 1 else "ITU601",
            dst_color_range=colour_range,
        )
        frame.pts, frame.time_base = 0, TENTH
        out.mux([*video.encode(frame), *video.encode(None)])
    result = painted(film, tmp_path / "out.mp4")
    assert result.notices == ()
    with av.open(str(tmp_path / "out.mp4")) as out:
        frame = next(out.decode(video=0))
        assert (frame.color_primaries, frame.color_trc) == (said, said)
        assert frame.colorspace == (1 if said == 1 else 5)
        np.testing.assert_allclose(corners(frame.to_ndarray(format="rgb24")), CORNERS, atol=6)


@pytest.mark.parametrize(
    ("way", "expected"),
    [  # a, b, c, d: x' = ax + cy, y' = bx + dy; colours by row: red green, blue yellow at first
        ((1, 0, 0, 1), "RG BY"),
        ((-1, 0, 0, 1), "GR YB"),
        ((1, 0, 0, -1), "BY RG"),
        ((-1, 0, 0, -1), "YB GR"),
        ((0, 1, -1, 0), "BR YG"),  # a quarter turn clockwise
        ((0, -1, 1, 0), "GY RB"),  # and the other way
        ((0, 1, 1, 0), "RB GY"),  # along the diagonal
        ((0, -1, -1, 0), "YG BR"),
    ],
)
def test_all_eight_orientations(tmp_path: Path, way: tuple[int, ...], expected: str) -> None:
    film = matrix(make(tmp_path / "film.mp4"), *way)
    result = painted(film, tmp_path / "out.mp4")
    size = (48, 64) if way[1] else (64, 48)
    assert (result.width, result.height) == size
    with av.open(str(tmp_path / "out.mp4")) as out:
        frame = next(out.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (*size, 0)
        found = corners(frame.to_ndarray(format="rgb24"))
    named = dict(zip("RGBY", CORNERS.reshape(4, 3), strict=True))
    rows = [[named[letter] for letter in row] for row in expected.split()]
    np.testing.assert_allclose(found, rows, atol=12)


@pytest.mark.parametrize(
    ("aspect", "shown"), [(Fraction(16, 11), (93, 48)), (Fraction(1, 2), (64, 96))]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_pixels_that_are_not_square(
    tmp_path: Path, suffix: str, aspect: Fraction, shown: tuple[int, int]
) -> None:
    """They are painted as they are shown, and written as they were."""
    film = make(tmp_path / "film.mp4", sample_aspect_ratio=aspect)
    sizes = set()
    out = tmp_path / f"out{suffix}"
    result = painted(film, out, lambda frame: sizes.add(frame.shape[1::-1]) or frame)
    assert sizes == {shown}
    assert (result.width, result.height, result.notices) == (64, 48, ())
    with av.open(str(out)) as film_out:
        video = film_out.streams.video[0]
        assert (video.width, video.height) == (64, 48)
        frame = next(film_out.decode(video))
        assert video.sample_aspect_ratio == aspect
        np.testing.assert_allclose(corners(frame.to_ndarray(format="rgb24")), CORNERS, atol=12)


def test_pixels_that_are_not_square_on_their_side(tmp_path: Path) -> None:
    film = matrix(make(tmp_path / "film.mp4", sample_aspect_ratio=Fraction(16, 11)), 0, 1, -1, 0)
    painted(film, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        video = out.streams.video[0]
        assert (video.width, video.height) == (48, 64)
        assert video.sample_aspect_ratio == Fraction(11, 16)


def test_pixels_become_square_where_the_film_is_resized_or_cannot_tell(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", sample_aspect_ratio=Fraction(16, 11))
    half = painted(film, tmp_path / "half.mp4", lambda frame: frame[::2, ::2])
    webm = painted(film, tmp_path / "out.webm")
    assert (half.width, half.height) == (46, 24)
    assert (webm.width, webm.height) == (92, 48)
    assert webm.notices == ("its pixels are not square (16/11): they are made square",)
    for name, size in (("half.mp4", (46, 24)), ("out.webm", (92, 48))):
        with av.open(str(tmp_path / name)) as out:
            video = out.streams.video[0]
            assert (video.width, video.height) == size
            assert video.sample_aspect_ratio in (1, None)


def transparent_film(path: Path, width: int = 64, height: int = 48) -> Path:
    pixels = np.full((height, width, 4), (200, 60, 40, 255), np.uint8)
    pixels[:, : width // 2, 3] = 0
    pixels[: height // 2, width // 2 :, 3] = 128
    kinds: dict[str, tuple[str, str, dict[str, str]]] = {
        ".webm": ("libvpx-vp9", "yuva420p", {"auto-alt-ref": "0", "crf": "10", "b": "0"}),
        ".prores": ("prores_ks", "yuva444p10le", {"profile": "4444"}),
        ".qtrle": ("qtrle", "argb", {}),
        ".vp8": ("libvpx", "yuva420p", {"auto-alt-ref": "0", "crf": "4", "b": "1M"}),
    }
    codec, pix_fmt, options = kinds[path.suffix]
    suffix = {".vp8": ".webm", ".prores": ".mov", ".qtrle": ".mov"}.get(path.suffix, path.suffix)
    path = path.with_name(f"{path.stem}{path.suffix[1:]}{suffix}")
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=10, options=options)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        if suffix == ".webm":
            video.metadata["alpha_mode"] = "1"
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=pix_fmt)
            frame.pts, frame.time_base = i, TENTH
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def alphas(path: Path) -> list[Any]:
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        decoder = video.codec_context
        if path.suffix != ".mov":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [
            frame for packet in film.demux(video) if packet.size for frame in decoder.decode(packet)
        ]
        frames += decoder.decode(None) if path.suffix == ".mov" else []
        return [frame.to_ndarray(format="rgba") for frame in frames]


@pytest.mark.parametrize("source", [".webm", ".vp8", ".prores", ".qtrle"])
@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".mov", ".mp4", ".avi"])
def test_transparency_is_kept_or_a_notice_tells(tmp_path: Path, source: str, suffix: str) -> None:
    film = transparent_film(tmp_path / f"film{source}")
    out = tmp_path / f"out{suffix}"
    result = painted(film, out, lambda frame: 255 - frame)
    assert result.frames == 3
    if suffix in (".mp4", ".avi"):
        assert result.notices == (
            f"the transparency is not kept: a {suffix} film has no place for it; "
            ".webm, .mkv and .mov have",
        )
        return
    assert result.notices == ()
    found = alphas(out)
    assert len(found) == 3
    for picture in found:
        for place, alpha in (((24, 16), 0), ((12, 48), 128), ((36, 48), 255)):
            assert abs(int(picture[place][3]) - alpha) <= 3
        np.testing.assert_allclose(picture[36, 48, :3].astype(int), (55, 195, 215), atol=8)


def test_transparency_has_the_size_of_the_painting(tmp_path: Path) -> None:
    film = transparent_film(tmp_path / "film.webm", 63, 47)  # odd sides
    painted(film, tmp_path / "same.webm")
    painted(film, tmp_path / "half.webm", lambda frame: frame[::2, ::2])
    assert alphas(tmp_path / "same.webm")[0].shape == (47, 63, 4)
    half = alphas(tmp_path / "half.webm")[0]
    assert half.shape == (24, 32, 4)
    assert half[18, 8, 3] <= 3
    assert half[18, 24, 3] >= 252


def test_h264_in_avi_whose_frames_are_stored_in_another_order(tmp_path: Path) -> None:
    """An AVI has no times for what is shown: its frames come at its rate, each once."""
    shades = [np.full((48, 64, 3), 20 + 14 * i, np.uint8) for i in range(15)]
    film = tmp_path / "film.avi"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"bf": "3", "b-adapt": "0", "qp": "4"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for i, shade in enumerate(shades):
            frame = av.VideoFrame.from_ndarray(shade, format="rgb24")
            frame.pts, frame.time_base = i, TENTH
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    for suffix in (".avi", ".mp4"):
        result = painted(film, tmp_path / f"out{suffix}")
        assert (result.frames, result.notices) == (15, ())
        found = [picture[24, 32, 0] for picture in pictures(tmp_path / f"out{suffix}")]
        np.testing.assert_allclose(found, [shade[0, 0, 0] for shade in shades], atol=4)
        shown = times(tmp_path / f"out{suffix}")
        assert np.allclose(np.diff([float(time) for time in shown]), 0.1)


def damaged(film: Path, number: int) -> Path:
    """Overwrite what is in a packet of the picture."""
    with av.open(str(film)) as source:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        at, size = packets[number].pos, packets[number].size
    content = bytearray(film.read_bytes())
    content[at + 4 : at + size] = bytes([255]) * (size - 4)
    film.write_bytes(content)
    return film


def test_a_damaged_frame_is_left_out_and_told_of(tmp_path: Path) -> None:
    film = damaged(make(tmp_path / "film.mp4", frames=9, options={"bf": "0", "g": "1"}), 4)
    result = painted(film, tmp_path / "out.mp4")
    assert result.frames == 8
    assert result.notices == ("damaged frames: 1; what could be decoded is painted",)
    assert times(tmp_path / "out.mp4") == [i * TENTH for i in range(9) if i != 4]


def test_the_last_frame_may_be_damaged(tmp_path: Path) -> None:
    film = damaged(make(tmp_path / "film.mp4", frames=9, options={"bf": "0", "g": "1"}), 8)
    assert painted(film, tmp_path / "out.mp4").frames == 8


def test_a_film_that_ends_early_is_painted_as_far_as_it_goes(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", 30, options={"g": "1"}, container={"movflags": "faststart"})
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    result = painted(film, tmp_path / "out.mp4")
    assert 10 < result.frames < 30
    assert "the film ends early: what can be read of it is painted" in result.notices


def test_frames_of_another_size_are_resized_to_the_first(tmp_path: Path) -> None:
    def coded(width: int, height: int, start: int) -> list[Any]:
        context = av.CodecContext.create("mpeg4", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = TENTH
        packets = []
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(quarters(width, height), format="rgb24")
            frame.pts, frame.time_base = start + i, TENTH
            packets += context.encode(frame.reformat(format="yuv420p"))
        return [*packets, *context.encode(None)]

    film = tmp_path / "film.avi"
    with av.open(str(film), "w") as out:
        stream = out.add_mux_stream("mpeg4", rate=10, width=64, height=48)
        stream.time_base = TENTH
        for packet in [*coded(64, 48, 0), *coded(96, 80, 3)]:
            packet.stream, packet.time_base = stream, TENTH
            out.mux(packet)
    result = painted(film, tmp_path / "out.mp4")
    assert (result.frames, result.width, result.height) == (6, 64, 48)
    assert result.notices == ("the size changes on the way: 3 frames are resized to 64 x 48 px",)
    for picture in pictures(tmp_path / "out.mp4"):
        np.testing.assert_allclose(corners(picture), CORNERS, atol=16)


def test_an_interlaced_film_is_told_of(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", options={"x264-params": "tff=1"})
    notices = painted(film, tmp_path / "out.mp4").notices
    assert notices == ("the film is interlaced: both fields are painted as one frame",)


def test_the_picture_is_not_the_cover(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 128, "yuvj420p"
        cover.disposition = 0x400
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
        frame = av.VideoFrame.from_ndarray(np.zeros((128, 128, 3), np.uint8), format="rgb24")
        frame = frame.reformat(format="yuvj420p")
        frame.pts, frame.time_base = 0, TENTH
        out.mux([*cover.encode(frame), *cover.encode(None)])
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(quarters(), format="rgb24")
            frame.pts, frame.time_base = i, TENTH
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    result = painted(film, tmp_path / "out.mp4")
    assert (result.frames, result.width, result.height) == (4, 64, 48)
    assert result.notices == ()
    with av.open(str(tmp_path / "out.mp4")) as out:
        covers = [stream for stream in out.streams.video if stream.disposition & 0x400]
        assert [(stream.width, stream.height) for stream in covers] == [(128, 128)]


def test_of_several_pictures_one_is_painted(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as out:
        streams = [out.add_stream("libx264", rate=10) for _ in range(2)]
        for stream, size in zip(streams, ((32, 32), (64, 48)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(3):
            for stream in streams:
                pixels = quarters(stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = i, TENTH
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    result = painted(film, tmp_path / "out.mkv")
    assert (result.frames, result.width, result.height) == (3, 64, 48)
    assert result.notices == ("not kept: further pictures in the film: 1",)


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as out:
        track = out.add_stream("aac", rate=48000)
        tone = av.AudioFrame("fltp", "stereo", 1024)
        for plane in tone.planes:
            plane.update(bytes(plane.buffer_size))
        tone.sample_rate, tone.pts = 48000, 0
        out.mux([*track.encode(tone), *track.encode(None)])
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    for name, message in (
        ("sound.mp4", "sound.mp4: has no moving picture; expected a film"),
        ("pipe.mp4", "pipe.mp4: is no regular file; expected a film"),
        ("folder.mp4", "folder.mp4: is no regular file; expected a film"),
        ("empty.mp4", "empty.mp4: cannot be painted (Invalid data"),
        ("none.mp4", "none.mp4: cannot be painted (No such file"),
    ):
        with pytest.raises(UserError) as error:
            painted(tmp_path / name, tmp_path / "out.mp4")
        assert message in str(error.value)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


@pytest.mark.parametrize("name", ["talk: part 1.mp4", "50%_%03d.mp4", "a?b#c.mkv", "é\udcff.mp4"])
def test_names_that_ffmpeg_takes_for_something_else(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "film.mkv").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    target = Path(f"out{name}")
    assert painted(Path(name), target).frames == 5
    assert target.exists()


def test_a_damaged_film_is_a_user_error_or_is_painted(tmp_path: Path) -> None:
    """Bytes turned at random: no other exception, no file left by what was refused."""
    random = np.random.default_rng(0)
    film, broken, out = (tmp_path / name for name in ("film.mp4", "broken.mp4", "out.webm"))
    make(film, 6, sound="aac", tags={"title": "A film"})
    whole = np.frombuffer(film.read_bytes(), np.uint8)
    refused = []
    for _ in range(40):
        content = whole.copy()
        places = random.integers(0, len(content), random.integers(1, 40))
        content[places] = random.integers(0, 256, len(places))
        broken.write_bytes(content.tobytes())
        out.unlink(missing_ok=True)
        try:
            painted(broken, out)
            assert out.exists()
        except UserError as error:
            refused.append(str(error))
            assert not out.exists()
    assert all(error.startswith(str(broken)) for error in refused)
    assert len(list(tmp_path.iterdir())) <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm", ".mkv"])
def test_odd_sides_are_kept(tmp_path: Path, suffix: str) -> None:
    film = make(tmp_path / "film.mp4", pixels=quarters(66, 50)[:49, :65], pix_fmt="yuv444p")
    result = painted(film, tmp_path / f"out{suffix}")
    assert (result.width, result.height) == (65, 49)
    assert pictures(tmp_path / f"out{suffix}")[0].shape == (49, 65, 3)


def test_a_list_of_films_is_no_film(tmp_path: Path) -> None:
    make(tmp_path / "film.mp4")
    (tmp_path / "list.mkv").write_text("ffconcat version 1.0\nfile film.mp4\n")
    with pytest.raises(UserError, match="is a list of other files; expected a film"):
        painted(tmp_path / "list.mkv", tmp_path / "out.mkv")
