"""XMP packets: read, cleared of what no longer holds, added to (ISO 16684-1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
XMP = "http://ns.adobe.com/xap/1.0/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
TIFF = "http://ns.adobe.com/tiff/1.0/"
NOTE = "http://ns.adobe.com/xmp/note/"
CAMERA = "http://ns.google.com/photos/1.0/camera/"
RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
IPTC = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
PREFIXES = {DC: "dc", XMP: "xmp", PHOTOSHOP: "photoshop", IPTC: "Iptc4xmpCore"} | {
    RIGHTS: "xmpRights"
}
ELEMENT, ATTRIBUTE, TEXTS = 1, 2, (3, 4)  # kinds of nodes: DOM Level 2, 1.2
_XMLNS = "http://www.w3.org/2000/xmlns/"

# How the file was stored: the new file says it in its own way.
_STORED = {
    TIFF: {
        *("ImageWidth", "ImageLength", "BitsPerSample", "SamplesPerPixel", "Compression"),
        *("PhotometricInterpretation", "PlanarConfiguration", "Orientation", "NativeDigest"),
        *("XResolution", "YResolution", "ResolutionUnit", "TransferFunction", "WhitePoint"),
        *("PrimaryChromaticities", "YCbCrCoefficients", "YCbCrSubSampling", "YCbCrPositioning"),
        "ReferenceBlackWhite",
    },
    EXIF: {
        *("PixelXDimension", "PixelYDimension", "ColorSpace", "ComponentsConfiguration"),
        *("CompressedBitsPerPixel", "Gamma", "NativeDigest"),
    },
    PHOTOSHOP: {"ICCProfile", "ColorMode"},
    XMP: {"Thumbnails"},  # they show the photo as it was
    NOTE: {"HasExtendedXMP"},
}
GAIN_MAP = "the gain map (HDR) is not kept: the painting is SDR"
_MOTION = "the motion photo's film is not kept: only the photo is painted"
DEPTH_MAP = "the depth map is not kept"
_GONE = {  # whole namespaces that describe what is no longer in the file
    "http://ns.adobe.com/hdr-gain-map/1.0/": GAIN_MAP,
    "http://ns.apple.com/HDRGainMap/1.0/": GAIN_MAP,
    "http://ns.google.com/photos/1.0/container/": "",
    "http://ns.google.com/photos/1.0/image/": "",
    "http://ns.google.com/photos/1.0/depthmap/": DEPTH_MAP,
    "http://ns.google.com/photos/dd/1.0/device/": DEPTH_MAP,
}
_OF_SIZE = {  # namespaces that count in pixels of the photo, by what they hold
    "http://ns.google.com/photos/1.0/panorama/": "a panorama",
    "http://www.metadataworkinggroup.com/schemas/regions/": "face regions",
    "http://ns.microsoft.com/photo/1.2/": "face regions",
}


class XmpError(ValueError):
    """A packet that cannot be read."""


class Packet:
    """An XMP packet, to be changed and written."""

    def __init__(self, packet: str = "") -> None:
        """Read a packet; make an empty one of an empty text. Raises XmpError."""
        body = re.sub(r"<\?.*?\?>", "", packet, flags=re.DOTALL).strip("\ufeff\0 \r\n\t")
        if not body:
            body = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'
        if "<!DOCTYPE" in body:  # a few lines of its entities can fill the memory
            raise XmpError("it has a document type")
        from xml.dom import minidom  # 3 ms, which most photos do without

        try:
            document: Any = minidom.parseString(body.encode())
        except Exception as error:  # expat has a kind of its own
            raise XmpError(str(error)) from error
        self.root: Any = document.documentElement
        found = self.root.getElementsByTagNameNS(RDF, "RDF")
        if not found and self.root.namespaceURI != RDF:
            raise XmpError("it has no RDF")
        self.rdf: Any = found[0] if found else self.root

    def descriptions(self) -> list[Any]:
        return [
            node
            for node in self.rdf.childNodes
            if node.nodeType == ELEMENT and node.namespaceURI == RDF
        ]

    def properties(self) -> list[tuple[Any, Any]]:
        """Return each description with each of its properties, an element or an attribute."""
        found: list[tuple[Any, Any]] = []
        for description in self.descriptions():
            attributes = description.attributes
            nodes = [attributes.item(i) for i in range(attributes.length)]
            nodes += [n for n in description.childNodes if n.nodeType == ELEMENT]
            found += [
                (description, node)
                for node in nodes
                if node.namespaceURI not in (RDF, _XMLNS, None)
            ]
        return found

    def join(self, other: Packet) -> None:
        """Add the descriptions of another packet, an extension of this one."""
        for description in other.descriptions():
            self.rdf.appendChild(description)

    def clear(self, same_pixels: bool) -> list[str]:
        """Take out what no longer holds; return what of it is a loss.

        `same_pixels` says that the picture has its size and was not turned.
        """
        lost: list[str] = []
        for description, node in self.properties():
            space, name = node.namespaceURI, node.localName
            if space in _GONE:
                lost.append(_GONE[space])
            elif space == CAMERA and name.startswith(("MotionPhoto", "MicroVideo")):
                lost.append(_MOTION)
            elif space in _OF_SIZE and not same_pixels:
                lost.append(
                    f"what the XMP metadata says of {_OF_SIZE[space]} is not kept: "
                    "the painting has another size, or was turned"
                )
            elif name not in _STORED.get(space, ()):
                continue
            _remove(description, node)
        return [text for text in dict.fromkeys(lost) if text]

    def text_of(self, space: str, name: str) -> str | None:
        """Return all text of a property; None where it is not there."""
        for _, node in self.properties():
            if (node.namespaceURI, node.localName) == (space, name):
                return _text(node)
        return None

    def add(self, space: str, name: str, values: Sequence[str], kind: str = "") -> None:
        """Add a property: a text, or a list of a kind (Seq, Bag, Alt)."""
        document, prefix = self.root.ownerDocument, PREFIXES[space]
        description = document.createElementNS(RDF, "rdf:Description")
        description.setAttributeNS(RDF, "rdf:about", "")
        for key, uri in (("rdf", RDF), (prefix, space)):
            description.setAttributeNS(_XMLNS, f"xmlns:{key}", uri)
        node = description.appendChild(document.createElementNS(space, f"{prefix}:{name}"))
        parents = [node]
        if kind:
            list_ = node.appendChild(document.createElementNS(RDF, f"rdf:{kind}"))
            parents = [list_.appendChild(document.createElementNS(RDF, "rdf:li")) for _ in values]
        for parent, value in zip(parents, values, strict=False):
            if kind == "Alt":
                parent.setAttribute("xml:lang", "x-default")
            parent.appendChild(document.createTextNode(_valid(value)))
        self.rdf.appendChild(description)

    def to_bytes(self, most: int = 0) -> tuple[bytes, list[str]]:
        """Return the packet, empty for one that says nothing, and what had to go for its size.

        With `most` the largest properties go, one after another, until no more bytes are left.
        """
        left = sorted(self.properties(), key=lambda pair: len(_xml(pair[1])))
        lost: list[str] = []
        while left:
            content = self._written()
            excess = len(content) - most
            if not most or excess <= 0:
                return content, lost
            while left and excess > 0:
                description, node = left.pop()
                excess -= len(_xml(node).encode())
                lost.append(node.nodeName)
                _remove(description, node)
        return b"", lost

    def _written(self) -> bytes:
        used = {id(description) for description, _ in self.properties()}
        for description in self.descriptions():
            if id(description) not in used:
                self.rdf.removeChild(description)
        begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        return f'{begin}\n{self.root.toxml()}\n<?xpacket end="w"?>'.encode()


def _remove(description: Any, node: Any) -> None:
    if node.nodeType == ATTRIBUTE:
        description.removeAttributeNode(node)
    else:
        description.removeChild(node)


def _xml(node: Any) -> str:
    return str(node.value if node.nodeType == ATTRIBUTE else node.toxml())


def _text(node: Any) -> str:
    if node.nodeType in TEXTS:
        return str(node.data)
    return "".join(map(_text, node.childNodes))


def _valid(value: str) -> str:
    """Return a text without the characters that XML has no way to write."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)


def check(packets: Iterable[str]) -> None:
    """Raise XmpError for packets that could not be read, or not be written again."""
    try:
        joined(packets).root.toxml()
    except RecursionError as error:
        raise XmpError("it is too deep") from error


def joined(packets: Iterable[str]) -> Packet:
    """Return one packet of several. Raises XmpError."""
    first, *others = (Packet(text) for text in packets)
    for other in others:
        first.join(other)
    return first
