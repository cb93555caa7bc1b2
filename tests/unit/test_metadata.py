"""What a file says of its picture survives every pair of formats, or a line tells."""

from __future__ import annotations

import io
import itertools
import random
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, IptcImagePlugin, PngImagePlugin, TiffImagePlugin

from data import encoding
from data.encoding import save_image
from data.formats import FORMATS, learn_heic
from data.metadata import Metadata, metadata_of

TAG, IFD, GPS = ExifTags.Base, ExifTags.IFD, ExifTags.GPS
HOLD_ALL = ("JPEG", "TIFF", "PNG", "WEBP", "AVIF", "HEIF")
SIZE = 64, 48
UPRIGHT = 48, 64
XMP = """<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
 xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0"
 xmpRights:Marked="True" tiff:Orientation="6" exif:PixelXDimension="64">
<dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>
<tiff:ImageWidth>64</tiff:ImageWidth>%s</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end='w'?>"""
IPTC = b"".join(
    struct.pack(">BBBH", 0x1C, record, dataset, len(value)) + value
    for record, dataset, value in (
        (1, 90, b"\x1b%G"),
        (2, 25, b"cat"),
        (2, 25, b"dog"),
        (2, 80, "Zoë".encode()),
        (2, 116, "© Zoë".encode()),
        (2, 118, b"by post"),
        (2, 202, b"a preview"),
        (3, 20, b"\0\x40"),
    )
)


@pytest.fixture(autouse=True)
def _heic() -> None:
    learn_heic("")


def camera_exif() -> Image.Exif:
    """What a camera writes, by Pillow."""
    exif = Image.Exif()
    exif[TAG.Make], exif[TAG.Model] = "Maker", "Model 1"
    exif[TAG.Orientation] = 6
    exif[TAG.Copyright] = "(c) Zoe"
    exif[TAG.XResolution] = exif[TAG.YResolution] = 240.0
    exif[TAG.ResolutionUnit] = 2
    exif[IFD.Exif] = {
        TAG.ExposureTime: TiffImagePlugin.IFDRational(1, 125),
        TAG.ExposureBiasValue: TiffImagePlugin.IFDRational(-1, 3),
        TAG.ExifVersion: b"0231",
        TAG.ISOSpeedRatings: 400,
        TAG.DateTimeOriginal: "2020:01:02 03:04:05",
        TAG.UserComment: b"ASCII\0\0\0seen",
        TAG.CompressedBitsPerPixel: TiffImagePlugin.IFDRational(4, 1),
        TAG.ColorSpace: 65535,
        TAG.ExifImageWidth: 64,
        TAG.ExifImageHeight: 48,
        0x9214: (10, 20, 6, 4),
        IFD.Interop: {1: "R03", 2: b"0100"},
    }
    exif[IFD.GPSInfo] = {
        GPS.GPSVersionID: b"\2\3\0\0",
        GPS.GPSLatitudeRef: "N",
        GPS.GPSLatitude: (48.0, 6.0, 0.5),
        GPS.GPSAltitudeRef: b"\0",
        GPS.GPSProcessingMethod: b"ASCII\0\0\0GPS",
    }
    return exif


def jpeg(size: tuple[int, int] = SIZE, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 60, 40)).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def photoshop(iptc: bytes) -> bytes:
    resource = b"8BIM\4\4\0\0" + struct.pack(">L", len(iptc)) + iptc + bytes(len(iptc) % 2)
    return segment(0xED, b"Photoshop 3.0\0" + resource)


def read(content: bytes) -> tuple[Image.Image, Metadata]:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image, metadata_of(image)


def write(
    format_: str, metadata: Metadata, size: tuple[int, int] = UPRIGHT, **options: object
) -> tuple[bytes, list[str]]:
    file = io.BytesIO()
    notices = save_image(Image.new("RGB", size), file, format_, metadata, **options)
    return file.getvalue(), notices


def again(content: bytes, format_: str) -> tuple[bytes, list[str]]:
    """Write a file of that metadata in a format."""
    return write(format_, read(content)[1])


CAMERA = jpeg(
    exif=camera_exif(),
    dpi=(240, 240),
    xmp=(XMP % "").encode(),
    extra=photoshop(IPTC),
    comment="zoë's",
)


@pytest.fixture(scope="module")
def pairs() -> dict[tuple[str, str], bytes]:
    """The camera's file in each format, from there in each format."""
    learn_heic("")
    once = {format_: again(CAMERA, format_)[0] for format_ in HOLD_ALL}
    return {
        (first, second): again(once[first], second)[0]
        for first, second in itertools.product(HOLD_ALL, HOLD_ALL)
    }


@pytest.mark.parametrize("second", HOLD_ALL)
@pytest.mark.parametrize("first", HOLD_ALL)
def test_exif_survives_every_pair_of_formats(
    pairs: dict[tuple[str, str], bytes], first: str, second: str
) -> None:
    image = Image.open(io.BytesIO(pairs[first, second]))
    exif = image.getexif()
    assert exif[TAG.Make] == "Maker"
    assert exif[TAG.Copyright] == "(c) Zoe"
    assert exif.get(TAG.Orientation, 1) == 1
    assert (exif[TAG.XResolution], exif[TAG.YResolution], exif[TAG.ResolutionUnit]) == (240, 240, 2)
    photo = dict(exif.get_ifd(IFD.Exif))
    interop = exif.get_ifd(IFD.Interop)
    assert photo[TAG.ExposureTime] == TiffImagePlugin.IFDRational(1, 125)
    assert photo[TAG.ExposureBiasValue] == TiffImagePlugin.IFDRational(-1, 3)
    assert photo[TAG.ExifVersion] == b"0231"
    assert photo[TAG.ISOSpeedRatings] == 400
    assert photo[TAG.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert photo[TAG.UserComment] == b"ASCII\0\0\0seen"
    assert photo[TAG.ColorSpace] == 1
    assert TAG.CompressedBitsPerPixel not in photo
    # 6 turns what is at column 10, row 20 of 64 × 48 to column 48 - 1 - 20, row 10
    assert photo[0x9214] == (27, 10, 4, 6)
    assert (photo[TAG.ExifImageWidth], photo[TAG.ExifImageHeight]) == UPRIGHT
    assert interop == {1: "R98", 2: b"0100"}
    gps = exif.get_ifd(IFD.GPSInfo)
    assert gps[GPS.GPSLatitudeRef] == "N"
    assert gps[GPS.GPSLatitude] == (48, 6, 0.5)
    assert gps[GPS.GPSProcessingMethod] == b"ASCII\0\0\0GPS"
    assert image.info["icc_profile"]
    packet = image.info["xmp"]
    assert "Zoë".encode() in packet
    assert b"Marked" in packet
    for lie in (b"tiff:Orientation", b"PixelXDimension", b"tiff:ImageWidth", b"HasExtendedXMP"):
        assert lie not in packet


def test_exiftool_has_nothing_to_say_of_any_pair(
    pairs: dict[tuple[str, str], bytes], tmp_path: Path
) -> None:
    if not (exiftool := shutil.which("exiftool")):
        pytest.skip("exiftool is not installed: it is the other program that this is held against")
    for (first, second), content in pairs.items():
        suffix = FORMATS[second].suffixes[0]
        (tmp_path / f"{first}_{second}{suffix}").write_bytes(content)
    told = subprocess.run(
        [exiftool, "-q", "-validate", "-warning", "-error", "-a", "-s3", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    # That a TIFF says what only a JPEG must, is a minor matter.
    left_out = ("is not allowed in TIFF", "OK", "(all minor)")
    assert [line for line in told if line and not line.endswith((*left_out, ".tif"))] == []
    assert len(told) >= len(pairs)


@pytest.mark.parametrize("format_", HOLD_ALL)
def test_iptc_is_kept_or_becomes_xmp(format_: str) -> None:
    content, notices = again(CAMERA, format_)
    image = Image.open(io.BytesIO(content))
    packet = image.info["xmp"].decode()
    if format_ in ("JPEG", "TIFF"):
        found = IptcImagePlugin.getiptcinfo(image) or {}
        if format_ == "TIFF":
            assert image.tag_v2[33723]  # Pillow does not take it apart
        else:
            assert found[2, 116] == "© Zoë".encode()
            assert found[2, 25] == [b"cat", b"dog"]
            assert (2, 202) not in found
        back = Image.open(io.BytesIO(again(content, "JPEG")[0]))
        assert IptcImagePlugin.getiptcinfo(back)[2, 118] == b"by post"
        assert not [notice for notice in notices if "IPTC" in notice]
    else:
        assert '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Zoë</rdf:li>' in packet
        assert "<rdf:li>cat</rdf:li><rdf:li>dog</rdf:li>" in packet
        assert packet.count("Zoë") == 2  # its creator was there
        assert [n for n in notices if "2:118 (contact)" in n]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_cameras_own_notes_keep_their_place_or_go_with_a_line(order: str) -> None:
    def content(note: bytes) -> tuple[bytes, int]:
        exif = Image.Exif()
        exif.endian = order
        exif[TAG.Make] = "Maker"
        exif[IFD.Exif] = {TAG.MakerNote: note, TAG.UserComment: b"ASCII\0\0\0" + b"u" * 100}
        data = exif.tobytes()
        return jpeg(exif=data), data.index(note) - 6

    source, at = content(b"absolute" * 30)
    for format_ in HOLD_ALL:
        written, notices = again(source, format_)
        image = Image.open(io.BytesIO(written))
        kept = image.getexif().get_ifd(IFD.Exif).get(TAG.MakerNote)
        if format_ == "TIFF":
            assert kept is None
            assert "(MakerNote) are not kept" in notices[0]
        else:
            assert kept == b"absolute" * 30
            blob = image.info["exif"].removeprefix(b"Exif\0\0")
            assert blob.index(b"absolute") == at
            assert notices == []
    movable = b"Apple iOS\0\0\1MM" + b"relative" * 30
    written, notices = again(content(movable)[0], "TIFF")
    exif = Image.open(io.BytesIO(written)).getexif()
    assert exif.get_ifd(IFD.Exif)[TAG.MakerNote] == movable
    assert notices == []


def test_a_thumbnail_of_the_photo_is_not_the_paintings() -> None:
    exif = camera_exif().tobytes()[6:]
    (count,) = struct.unpack(">H" if exif[:2] == b"MM" else "<H", exif[8:10])
    order = ">" if exif[:2] == b"MM" else "<"
    next_at = 10 + 12 * count
    thumbnail = jpeg((8, 8))
    directory = struct.pack(f"{order}H", 2)
    at = len(exif) + 2 + 24 + 4
    for tag, value in ((513, at), (514, len(thumbnail))):
        directory += struct.pack(f"{order}HHLL", tag, 4, 1, value)
    linked = exif[:next_at] + struct.pack(f"{order}L", len(exif)) + exif[next_at + 4 :]
    source = jpeg(exif=b"Exif\0\0" + linked + directory + bytes(4) + thumbnail)
    assert Image.open(io.BytesIO(source)).getexif().get_ifd(IFD.IFD1)
    written = Image.open(io.BytesIO(again(source, "JPEG")[0]))
    assert written.getexif().get_ifd(IFD.IFD1) == {}
    assert written.getexif()[TAG.Make] == "Maker"


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_and_text_that_is_not_ascii(order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[TAG.ImageDescription] = "Grüße".encode()
    exif[IFD.Exif] = {
        TAG.ExposureBiasValue: TiffImagePlugin.IFDRational(-2, 3),
        TAG.UserComment: b"UNICODE\0" + "日本".encode("utf-16-le" if order == "<" else "utf-16-be"),
    }
    written, _ = again(jpeg(exif=exif), "TIFF")
    image = Image.open(io.BytesIO(written))
    assert written[:2] == b"II"
    assert image.tag_v2[TAG.ImageDescription].encode("latin-1").decode() == "Grüße"
    photo = image.getexif().get_ifd(IFD.Exif)
    assert photo[TAG.ExposureBiasValue] == TiffImagePlugin.IFDRational(-2, 3)
    assert photo[TAG.UserComment] == b"UNICODE\0" + "日本".encode("utf-16-le")


def tiff(tags: dict[int, object], types: dict[int, int] | None = None, **options: object) -> bytes:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info.tagtype.update(types or {})
    for tag, value in tags.items():
        info[tag] = value
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "TIFF", tiffinfo=info, **options)
    return file.getvalue()


def test_private_tags_of_a_tiff_stay_in_a_tiff() -> None:
    source = tiff(
        {270: "a map", 33550: (1.0, 1.0, 0.0), 34735: (1, 1, 0, 7), 42112: "<GDALMetadata/>"},
        {33550: 12, 34735: 3, 42112: 2},
    )
    metadata = read(source)[1]
    written, notices = write("TIFF", metadata, SIZE)
    tags = Image.open(io.BytesIO(written)).tag_v2
    assert (tags[270], tags[33550], tags[34735]) == ("a map", (1, 1, 0), (1, 1, 0, 7))
    assert tags[42112] == "<GDALMetadata/>"
    assert notices == []
    written, notices = write("TIFF", metadata, (32, 24))  # a pixel has another size on the ground
    tags = Image.open(io.BytesIO(written)).tag_v2
    assert 33550 not in tags
    assert "ModelPixelScale" in notices[0]
    written, notices = write("JPEG", metadata, SIZE)
    assert Image.open(io.BytesIO(written)).getexif()[270] == "a map"
    assert len(notices) == 1
    assert "GDAL_METADATA" in notices[0]
    assert "only a TIFF has them" in notices[0]


def test_layers_of_a_tiff_go_with_a_line() -> None:
    source = tiff({37724: b"Adobe Photoshop Document Data Block\0"}, {37724: 7})
    written, notices = again(source, "TIFF")
    assert 37724 not in Image.open(io.BytesIO(written)).tag_v2
    assert notices == ["Photoshop's layers are not kept: the painting is one picture"]


def test_what_counts_in_pixels_follows_the_size() -> None:
    exif = camera_exif()
    exif[IFD.Exif] |= {
        TAG.FocalPlaneXResolution: TiffImagePlugin.IFDRational(3000),
        TAG.FocalPlaneYResolution: TiffImagePlugin.IFDRational(2000),
    }
    metadata = read(jpeg(exif=exif))[1]
    written, _ = write("JPEG", metadata, (96, 64))  # twice as wide as it lies upright
    photo = Image.open(io.BytesIO(written)).getexif().get_ifd(IFD.Exif)
    assert photo[TAG.FocalPlaneXResolution] == 4000
    assert photo[TAG.FocalPlaneYResolution] == 3000
    assert photo[0x9214] == (54, 10, 8, 6)


def test_iptc_that_xmp_contradicts_goes_with_a_line() -> None:
    by_line = struct.pack(">BBBH", 0x1C, 2, 80, 4) + b"Anna"
    source = jpeg(xmp=(XMP % "").encode(), extra=photoshop(by_line))
    written, notices = again(source, "PNG")
    assert b"Anna" not in Image.open(io.BytesIO(written)).info["xmp"]
    assert notices == [
        "IPTC datasets that are not kept: 2:80 (by-line) "
        "(XMP has no place for them, or says otherwise)"
    ]


def test_how_a_tiff_was_stored_is_not_carried() -> None:
    file = io.BytesIO()
    Image.new("L", SIZE).save(file, "TIFF", compression="tiff_adobe_deflate", strip_size=512)
    written, notices = again(file.getvalue(), "TIFF")
    image = Image.open(io.BytesIO(written))
    image.load()
    assert image.size == UPRIGHT
    assert image.mode == "RGB"
    assert image.tag_v2[259] == 5  # LZW, which is ours
    assert notices == []
    written, _ = again(file.getvalue(), "JPEG")
    assert not Image.open(io.BytesIO(written)).getexif()


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ("ImageJ=1.53\nimages=5\n", 0),
        ('{"shape": [5, 48, 64]}', 0),
        ('<?xml version="1.0"?><OME xmlns="x"/>', 1),
    ],
)
def test_a_description_of_the_pixels_is_not_carried(description: str, told: int) -> None:
    written, notices = again(tiff({270: description, 305: "sw"}), "TIFF")
    tags = Image.open(io.BytesIO(written)).tag_v2
    assert 270 not in tags
    assert tags[305] == "sw"
    assert len(notices) == told


@pytest.mark.parametrize("page", [0, 1])
def test_each_page_of_a_tiff_has_its_own_tags(page: int) -> None:
    file = io.BytesIO()
    pages = [Image.new("RGB", SIZE), Image.new("RGB", SIZE)]
    for number, picture in enumerate(pages):
        picture.encoderinfo = {"description": f"page {number}"}
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], description="page 0")
    image = Image.open(io.BytesIO(file.getvalue()))
    image.seek(page)
    exif = Image.open(io.BytesIO(write("JPEG", metadata_of(image))[0])).getexif()
    assert exif[TAG.ImageDescription] == f"page {page}"


def test_pages_keep_the_first_ones_metadata_and_one_another() -> None:
    metadata = read(CAMERA)[1]
    pages = [Image.new("RGB", UPRIGHT, (9, 9, 9)) for _ in range(2)]
    written, _ = write("TIFF", metadata, save_all=True, append_images=pages)
    image = Image.open(io.BytesIO(written))
    assert image.n_frames == 3
    assert image.getexif()[TAG.Make] == "Maker"
    image.seek(2)
    assert image.convert("RGB").getpixel((1, 1)) == (9, 9, 9)


def resolution_of(content: bytes) -> tuple[float, float]:
    image = Image.open(io.BytesIO(content))
    if "dpi" in image.info:
        return image.info["dpi"]
    exif = image.getexif()
    assert exif[TAG.ResolutionUnit] == 2
    return float(exif[TAG.XResolution]), float(exif[TAG.YResolution])


@pytest.mark.parametrize("second", [*HOLD_ALL, "BMP"])
@pytest.mark.parametrize("first", ["JPEG", "TIFF", "PNG", "BMP"])
def test_resolution_survives_without_exif(first: str, second: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, first, dpi=(300, 150))
    written, notices = again(file.getvalue(), second)
    assert resolution_of(written) == pytest.approx((300, 150), abs=0.02)
    assert notices == []


def test_resolution_is_turned_with_the_photo_and_its_units_are_inches() -> None:
    exif = camera_exif()
    assert resolution_of(again(jpeg(exif=exif, dpi=(300, 150)), "PNG")[0]) == pytest.approx(
        (150, 300), abs=0.02
    )
    source = tiff({282: 100.0, 283: 50.0, 296: 3})  # a centimetre
    assert resolution_of(again(source, "WEBP")[0]) == (254, 127)
    unknown = Image.open(io.BytesIO(again(jpeg(), "TIFF")[0]))
    assert unknown.tag_v2[296] == 1  # of no absolute unit
    assert "dpi" not in Image.open(io.BytesIO(again(jpeg(), "PNG")[0])).info


@pytest.mark.parametrize(
    ("space", "name", "told"),
    [
        ("http://ns.adobe.com/hdr-gain-map/1.0/", "HDRCapacityMax", "gain map"),
        ("http://ns.google.com/photos/1.0/camera/", "MotionPhoto", "film"),
        ("http://ns.google.com/photos/1.0/depthmap/", "Data", "depth map"),
        ("http://ns.google.com/photos/1.0/panorama/", "FullPanoWidthPixels", "panorama"),
    ],
)
def test_xmp_that_would_lie_goes_with_a_line(space: str, name: str, told: str) -> None:
    property_ = f'<g:{name} xmlns:g="{space}">1</g:{name}>'
    written, notices = again(jpeg(exif=camera_exif(), xmp=(XMP % property_).encode()), "JPEG")
    packet = Image.open(io.BytesIO(written)).info["xmp"]
    assert b"<g:" not in packet
    assert "Zoë".encode() in packet
    assert len(notices) == 1
    assert told in notices[0]


def test_a_panorama_that_keeps_its_size_stays_one() -> None:
    property_ = (
        '<g:ProjectionType xmlns:g="http://ns.google.com/photos/1.0/panorama/">e</g:ProjectionType>'
    )
    metadata = read(jpeg(xmp=(XMP % property_).encode()))[1]
    written, notices = write("JPEG", metadata, SIZE)
    assert b"ProjectionType" in Image.open(io.BytesIO(written)).info["xmp"]
    assert notices == []


ENTITIES = "".join(f'<!ENTITY {b} "{f"&{a};" * 30}">' for a, b in itertools.pairwise("abcdefgh"))
LAUGHS = f'<!DOCTYPE x [<!ENTITY a "haha">{ENTITIES}]>'


@pytest.mark.parametrize(
    "packet",
    [
        LAUGHS + XMP % "&h;",
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + XMP % "&a;",
        XMP % ("<rdf:x>" * 3000 + "</rdf:x>" * 3000),
        XMP % "<unclosed>",
        "no XML at all",
        "<html/>",
        "\x00\x00",
    ],
    ids=["entities", "external", "deep", "unclosed", "text", "other", "zeros"],
)
def test_hostile_xmp_costs_only_itself(packet: str) -> None:
    started_s = time.perf_counter()
    written, notices = again(jpeg(exif=camera_exif(), xmp=packet.encode()), "PNG")
    assert time.perf_counter() - started_s < 2
    image = Image.open(io.BytesIO(written))
    assert "xmp" not in image.info
    assert image.getexif()[TAG.Make] == "Maker"
    assert notices in ([], ["the XMP metadata is not kept: it is damaged"])
    assert notices or not packet.strip("\0")


def test_xmp_beyond_64_kb_is_joined_and_the_largest_of_it_goes_with_a_line() -> None:
    def description(body: str) -> str:
        return XMP[XMP.index("<x:") :].replace("%s", body)

    extension = description(
        '<d:Small xmlns:d="urn:d">kept</d:Small><d:Large xmlns:d="urn:d">%s</d:Large>'
        % ("x" * 99_000)
    ).encode()
    digest = b"0" * 32
    parts = [
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + digest
            + struct.pack(">LL", len(extension), at)
            + extension[at : at + 60_000],
        )
        for at in (60_000, 0)  # in whatever order
    ]
    source = jpeg(xmp=(XMP % "").encode(), extra=b"".join(parts))
    written, notices = again(source, "JPEG")
    packet = Image.open(io.BytesIO(written)).info["xmp"]
    assert b">kept<" in packet
    assert b"Large" not in packet
    assert notices == ["XMP properties that are not kept: d:Large (a JPEG holds 64 KB of XMP)"]
    written, notices = again(source, "WEBP")
    assert b"x" * 99_000 in Image.open(io.BytesIO(written)).info["xmp"]
    assert notices == []


def test_exif_beyond_64_kb_loses_its_largest_tags_with_a_line() -> None:
    exif = camera_exif()
    exif[IFD.Exif] |= {
        TAG.UserComment: b"ASCII\0\0\0" + b"x" * 50_000,
        TAG.MakerNote: b"n" * 30_000,
    }
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", exif=exif)
    written, notices = again(file.getvalue(), "JPEG")
    found = Image.open(io.BytesIO(written)).getexif()
    assert found[TAG.Make] == "Maker"
    assert len(found.get_ifd(IFD.Exif)[TAG.UserComment]) == 50_008
    assert notices == ["EXIF tags that are not kept: MakerNote (a JPEG holds 64 KB of EXIF)"]
    exif[IFD.Exif] |= {TAG.UserComment: b"ASCII\0\0\0" + b"x" * 70_000}
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", exif=exif)
    written, notices = again(file.getvalue(), "JPEG")
    found = Image.open(io.BytesIO(written)).getexif()
    assert found.get_ifd(IFD.Exif)[TAG.ISOSpeedRatings] == 400
    assert "MakerNote, UserComment" in notices[0]
    assert again(file.getvalue(), "WEBP")[1] == []


def test_texts_of_a_png_stay_or_go_where_others_have_them() -> None:
    texts = PngImagePlugin.PngInfo()
    for key, value in {
        "Author": "Zoë",
        "Copyright": "(c)",
        "Description": "a cat",
        "Title": "The cat",
        "Comment": "hm",
        "Disclaimer": "none",
        "Long": "x" * 5000,
    }.items():
        texts.add_text(key, value)
    texts.add_itxt("Warning", "日本")
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", pnginfo=texts)
    written, notices = again(file.getvalue(), "PNG")
    found = Image.open(io.BytesIO(written)).text
    assert found == Image.open(io.BytesIO(file.getvalue())).text
    assert notices == []
    written, notices = again(file.getvalue(), "JPEG")
    image = Image.open(io.BytesIO(written))
    assert image.getexif()[TAG.Artist].encode("latin-1").decode() == "Zoë"
    assert image.getexif()[TAG.Copyright] == "(c)"
    assert image.getexif()[TAG.ImageDescription] == "a cat"
    assert image.info["comment"] == b"hm"
    assert b"The cat" in image.info["xmp"]
    assert notices == [
        "texts that are not kept: Disclaimer, Long, Warning (a JPEG has no place for them)"
    ]


def test_metadata_that_imagemagick_puts_into_texts_is_found() -> None:
    texts = PngImagePlugin.PngInfo()
    for kind, content in (("exif", camera_exif().tobytes()), ("iptc", photoshop(IPTC)[18:])):
        texts.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(content):8}\n{content.hex()}\n")
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", pnginfo=texts)
    image = Image.open(io.BytesIO(again(file.getvalue(), "JPEG")[0]))
    assert image.getexif()[TAG.Make] == "Maker"
    assert IptcImagePlugin.getiptcinfo(image)[2, 116] == "© Zoë".encode()


def test_what_imagemagick_says_twice_is_not_carried() -> None:
    texts = PngImagePlugin.PngInfo()
    for key, value in {
        "comment": "hm",
        "exif:Orientation": "6",
        "date:create": "2020",
        "Source": "a scan",
    }.items():
        texts.add_text(key, value)
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", pnginfo=texts, exif=camera_exif())
    image = Image.open(io.BytesIO(again(file.getvalue(), "PNG")[0]))
    assert image.text == {"comment": "hm", "Source": "a scan"}
    assert Image.open(io.BytesIO(again(file.getvalue(), "JPEG")[0])).info["comment"] == b"hm"


def test_a_heic_that_was_turned_has_its_tags_turned() -> None:
    source = Image.open(io.BytesIO(CAMERA))
    file = io.BytesIO()
    source.save(file, "HEIF", exif=source.info["exif"])
    image, metadata = read(file.getvalue())
    assert image.size == UPRIGHT
    assert (metadata.size, metadata.orientation) == (SIZE, 6)
    exif = Image.open(io.BytesIO(write("JPEG", metadata)[0])).getexif()
    assert exif.get_ifd(IFD.Exif)[0x9214] == (27, 10, 4, 6)
    assert exif.get(TAG.Orientation, 1) == 1


def test_a_comment_goes_where_a_format_has_one() -> None:
    source = jpeg(comment="zoë's")
    for format_, where in (("JPEG", "comment"), ("GIF", "comment"), ("PNG", "Comment")):
        written, notices = again(source, format_)
        found = Image.open(io.BytesIO(written)).info[where]
        assert (found if isinstance(found, str) else found.decode()) == "zoë's"
        assert notices == []
    photo = Image.open(io.BytesIO(again(source, "WEBP")[0])).getexif().get_ifd(IFD.Exif)
    assert photo[TAG.UserComment] == b"UNICODE\0" + "zoë's".encode("utf-16-le")
    assert again(CAMERA, "WEBP")[1][-1] == (
        "the comment is not kept: EXIF has another in its place"
    )
    assert again(source, "BMP")[1] == ["the comment is not kept: a BMP has no place for it"]


@pytest.mark.parametrize("format_", ["GIF", "BMP"])
def test_what_has_no_place_for_metadata_says_so(format_: str) -> None:
    notices = again(CAMERA, format_)[1]
    assert notices[0] == (
        f"the EXIF and XMP and IPTC metadata is not kept: a {format_} has no place for it"
    )
    assert len(notices) == 2  # the comment or the resolution


def test_rights_that_photoshop_keeps_beside_iptc_become_xmp() -> None:
    address = b"https://zoe.example"
    resources = b"8BIM\4\x0a\0\0\0\0\0\1\1\0"
    resources += b"8BIM\4\x0b\0\0" + struct.pack(">L", len(address)) + address + b"\0"
    source = jpeg(extra=segment(0xED, b"Photoshop 3.0\0" + resources))
    packet = Image.open(io.BytesIO(again(source, "WEBP")[0])).info["xmp"]
    assert b"<xmpRights:Marked>True<" in packet
    assert b"<xmpRights:WebStatement>https://zoe.example<" in packet
    assert again(source, "GIF")[1] == ["the XMP metadata is not kept: a GIF has no place for it"]


def test_what_a_heic_holds_beside_its_photo_goes_with_a_line() -> None:
    image = Image.new("RGB", SIZE)
    image.info |= {"aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [1]}, "depth_images": [0]}
    told = " ".join(metadata_of(image).notices)
    assert "gain map" in told
    assert "depth map" in told


def test_content_credentials_go_with_a_line() -> None:
    notices = again(jpeg(extra=segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb")), "JPEG")[1]
    assert notices == ["the content credentials (C2PA) are not kept: they hold for the photo only"]


def test_damaged_exif_costs_only_what_is_damaged() -> None:
    whole, draws = camera_exif().tobytes(), random.Random(0)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(draws.randint(1, 6)):
            damaged[draws.randrange(6, len(damaged))] = draws.choice(
                (0, 1, 255, draws.randrange(256))
            )
        cut = damaged[: draws.choice((len(damaged), draws.randrange(8, len(damaged))))]
        metadata = read(jpeg(exif=bytes(cut)))[1]
        for format_ in ("JPEG", "TIFF"):
            content, notices = write(format_, metadata)
            Image.open(io.BytesIO(content)).load()
            assert not [notice for notice in notices if notice.startswith("none of")]


def test_metadata_that_cannot_be_written_does_not_cost_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(_: object) -> bytes:
        raise struct.error("a number too large")

    monkeypatch.setattr(encoding, "exif_bytes", failing)
    written, notices = again(CAMERA, "PNG")
    image = Image.open(io.BytesIO(written))
    assert image.size == UPRIGHT
    assert image.info["icc_profile"]
    assert notices == ["none of the metadata is kept: it cannot be written (a number too large)"]


def test_tags_that_share_their_bytes_do_not_fill_the_memory() -> None:
    count, size = 4000, 50_000
    rows = b"".join(struct.pack("<HHLL", 0xC000 + i, 7, size, 8) for i in range(count))
    exif = b"II*\0" + struct.pack("<L", 8 + size) + bytes(size) + struct.pack("<H", count) + rows
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", exif=exif)
    metadata = read(file.getvalue())[1]
    assert len(metadata.exif.tags) <= 2
    assert metadata.notices == ("some of the EXIF metadata is not kept: it is damaged",)


def test_a_photo_decoded_at_a_reduced_size_knows_its_own() -> None:
    exif = camera_exif()
    exif[IFD.Exif] |= {TAG.ExifImageWidth: 640, TAG.ExifImageHeight: 480, 0x9214: (100, 200)}
    image = Image.open(io.BytesIO(jpeg((640, 480), exif=exif)))
    image.draft(None, (80, 60))
    image.load()
    assert image.size == (80, 60)
    metadata = metadata_of(image)
    assert metadata.size == (640, 480)
    written, _ = write("JPEG", metadata, (48, 64))
    photo = Image.open(io.BytesIO(written)).getexif().get_ifd(IFD.Exif)
    # at column 480 - 1 - 200, row 100 of 480 × 640, which is made a tenth
    assert photo[0x9214] == (28, 10)


def test_the_same_metadata_is_the_same_file() -> None:
    assert all(again(CAMERA, format_) == again(CAMERA, format_) for format_ in HOLD_ALL)
    assert np.asarray(Image.open(io.BytesIO(again(CAMERA, "TIFF")[0]))).shape == (64, 48, 3)
