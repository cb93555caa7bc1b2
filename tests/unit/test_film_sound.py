"""A film's sound and times in other containers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.films import TENTH, make, painted, times

SECONDS = 1.0
SOURCES = {  # codec: where it comes from
    "aac": ".mp4",
    "libmp3lame": ".mkv",
    "libopus": ".mkv",
    "flac": ".mkv",
    "pcm_s16le": ".mov",
    "ac3": ".mp4",
    "alac": ".mov",
}
SHOWN = {
    "aac": "AAC",
    "mp3": "MP3",
    "opus": "Opus",
    "flac": "FLAC",
    "pcm_s16le": "PCM",
    "ac3": "AC-3",
    "alac": "ALAC",
}
BECOMES = {  # what a container does not hold, and what that is written as
    ".mp4": {"pcm_s16le": "aac"},
    ".m4v": {"mp3": "aac", "opus": "aac", "flac": "alac", "pcm_s16le": "alac"},
    ".mov": {"opus": "aac", "flac": "alac"},
    ".mkv": {},
    ".avi": {"aac": "mp3", "opus": "mp3", "flac": "pcm_s16le", "alac": "pcm_s16le"},
    ".webm": dict.fromkeys(("aac", "mp3", "flac", "pcm_s16le", "ac3", "alac"), "opus"),
}


def sound_of(path: Path) -> tuple[str, float, float]:
    """The sound's codec, its length in s, and its pitch in Hz, by its zero crossings."""
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        name = stream.codec_context.codec.canonical_name
        resampler = av.AudioResampler("flt", "mono", 48000)
        parts = [
            part.to_ndarray()[0]
            for frame in film.decode(stream)
            for part in resampler.resample(frame)
        ]
    wave = np.concatenate(parts)
    middle = wave[12000:36000]
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    return name, len(wave) / 48000, crossings / (2 * len(middle) / 48000)


@pytest.mark.parametrize("suffix", list(BECOMES))
@pytest.mark.parametrize("codec", list(SOURCES))
def test_sound_is_copied_or_converted_to_what_the_container_holds(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    film = make(tmp_path / f"film{SOURCES[codec]}", 10, sound=codec)
    out = tmp_path / f"out{suffix}"
    name = {"libmp3lame": "mp3", "libopus": "opus"}.get(codec, codec)
    result = painted(film, out)
    expected = BECOMES[suffix].get(name, name)
    found, length_s, pitch_hz = sound_of(out)
    assert found == expected
    assert abs(length_s - SECONDS) < 0.09  # what encoders put before and after
    assert abs(pitch_hz - 440) < 3
    assert result.frames == 10
    assert np.allclose([float(time) for time in times(out)], np.arange(10) / 10, atol=0.03)
    told = f"sound track 1 is converted from {SHOWN[name]} to {SHOWN[expected]}: "
    assert [notice.startswith(told) for notice in result.notices] == [True] * (expected != name)


def test_sound_of_an_avi_in_an_avi_has_its_length(tmp_path: Path) -> None:
    """Each header takes a block's size from the one before: the sound was 0.26 s of 1.5 long."""
    film = make(tmp_path / "film.avi", 15, codec="mpeg4", sound="libmp3lame")
    once, twice = tmp_path / "once.avi", tmp_path / "twice.avi"
    painted(film, once)
    painted(once, twice)
    for path in (once, twice):
        with av.open(str(path)) as out:
            stream = out.streams.audio[0]
            assert abs(float(stream.duration * stream.time_base) - 1.5) < 0.1


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".webm"])
@pytest.mark.parametrize("ticks", [90_000, 1_000_000, 11_988])
def test_any_time_base(tmp_path: Path, suffix: str, ticks: int) -> None:
    film = make(
        tmp_path / "film.mp4",
        8,
        times=[i * ticks // 10 for i in range(8)],
        time_base=Fraction(1, ticks),
    )
    result = painted(film, tmp_path / f"out{suffix}")
    assert result.notices == ()
    found = [float(time) for time in times(tmp_path / f"out{suffix}")]
    assert np.allclose(found, np.arange(8) / 10, atol=0.001)


def test_an_avi_has_a_fixed_rate(tmp_path: Path) -> None:
    """A gap stays one, and times between two frames' places are rounded, which a notice tells."""
    gap = make(tmp_path / "gap.mp4", times=[0, 1, 2, 5, 6])
    uneven = make(
        tmp_path / "uneven.mkv", times=[0, 100, 140, 340, 400], time_base=Fraction(1, 1000)
    )
    assert painted(gap, tmp_path / "gap.avi").notices == ()
    result = painted(uneven, tmp_path / "uneven.avi")
    assert [notice.split(" to ")[0] for notice in result.notices] == ["frame times are rounded"]
    with av.open(str(tmp_path / "gap.avi")) as out:
        packets = [packet for packet in out.demux(video=0) if packet.size]
        assert [packet.dts * packet.time_base for packet in packets] == [
            i * TENTH for i in (0, 1, 2, 5, 6)
        ]
    with av.open(str(tmp_path / "uneven.avi")) as out:
        assert len(list(out.decode(video=0))) == 5
    # and a gap in an AVI is one of what is made of it
    painted(tmp_path / "gap.avi", tmp_path / "again.mp4")
    assert times(tmp_path / "again.mp4") == [i * TENTH for i in (0, 1, 2, 5, 6)]


def test_silence_stands_for_a_gap_in_sound_that_is_converted(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = out.add_stream("pcm_s16le", rate=48000)
        track.layout = "mono"
        for i in range(10):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = i, TENTH
            out.mux(video.encode(frame))
            if i in (4, 5, 6):
                continue
            tone = av.AudioFrame.from_ndarray(
                np.full((1, 4800), 8000, np.int16), format="s16", layout="mono"
            )
            tone.sample_rate, tone.pts, tone.time_base = 48000, 4800 * i, Fraction(1, 48000)
            out.mux(track.encode(tone))
        out.mux([*video.encode(None), *track.encode(None)])
    painted(film, tmp_path / "out.mov")
    painted(film, tmp_path / "out.m4v")
    with av.open(str(tmp_path / "out.m4v")) as converted:
        parts = [frame.to_ndarray() for frame in converted.decode(audio=0)]
    wave = np.concatenate(parts, 1)[0]
    assert len(wave) == 48000
    assert np.all(wave[4800 * 4 : 4800 * 7] == 0)
    assert np.all(wave[: 4800 * 4] != 0)
    assert np.all(wave[4800 * 7 :] != 0)


@pytest.mark.parametrize(
    ("layout", "channels"),
    [  # in .webm, .avi, .mov and .m4v
        ("5.1(side)", (6, 6, 6, 6)),
        ("quad", (4, 4, 4, 4)),
        ("7.1", (8, 8, 6, 6)),
    ],
)
def test_sound_of_many_channels(tmp_path: Path, layout: str, channels: tuple[int, ...]) -> None:
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = out.add_stream("flac", rate=44100)
        track.layout = layout
        out.start_encoding()
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts, frame.time_base = 0, TENTH
        out.mux([*video.encode(frame), *video.encode(None)])
        tone = av.AudioFrame(track.format.name, layout, 4410)
        for plane in tone.planes:
            plane.update(bytes(plane.buffer_size))
        tone.sample_rate, tone.pts = 44100, 0
        out.mux([*track.encode(tone), *track.encode(None)])
    for suffix, number in zip((".webm", ".avi", ".mov", ".m4v"), channels, strict=True):
        result = painted(film, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as out:
            found = out.streams.audio[0].layout.nb_channels
            assert found == number
            assert list(out.decode(audio=0))
        assert ("mixed down" in result.notices[0]) == (number < 8 and layout == "7.1")


@pytest.mark.parametrize("codec", ["libmp3lame", "aac"])  # copied, and converted
def test_an_avi_begins_at_once_and_its_sound_when_it_did(tmp_path: Path, codec: str) -> None:
    """The film begins at 100 s of its own time, its sound half a second later."""
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = out.add_stream(codec, rate=48000)
        track.layout = "mono"
        for i in range(10):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = 1000 + i, TENTH
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        tone = av.AudioFrame(track.format.name, "mono", 24000)
        for plane in tone.planes:
            plane.update(np.full(24000, 0.5, np.float32).tobytes())
        tone.sample_rate, tone.pts, tone.time_base = 48000, 48000 * 100 + 24000, Fraction(1, 48000)
        out.mux([*track.encode(tone), *track.encode(None)])
    painted(film, tmp_path / "out.avi")
    assert times(tmp_path / "out.avi") == [i * TENTH for i in range(10)]
    with av.open(str(tmp_path / "out.avi")) as out:
        frames = list(out.decode(audio=0))
        loud = [frame for frame in frames if np.abs(frame.to_ndarray()).max() > 0.1]
    assert abs(float(loud[0].pts * loud[0].time_base) - 0.5) < 0.06


def test_sound_that_an_avi_cannot_copy_rightly_is_converted(tmp_path: Path) -> None:
    film = make(tmp_path / "film.avi", 10, codec="mpeg4", sound="adpcm_ms")
    result = painted(film, tmp_path / "out.avi")
    assert sound_of(tmp_path / "out.avi")[0] == "mp3"
    assert result.notices == (
        "sound track 1 is converted from ADPCM_MS to MP3: a .avi film has no place for ADPCM_MS",
    )


def test_surround_sound_in_an_avi_is_not_mixed_down(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", 10, sound="aac", layout="5.1")
    result = painted(film, tmp_path / "out.avi")
    with av.open(str(tmp_path / "out.avi")) as out:
        stream = out.streams.audio[0]
        name = stream.codec_context.codec.canonical_name
        assert (name, stream.layout.nb_channels) == ("ac3", 6)
    assert result.notices == (
        "sound track 1 is converted from AAC to AC-3: a .avi film has no place for AAC",
    )
