"""The smallest pictures and documents, in place of those that a test suite would download."""

import struct
import zlib
from typing import NamedTuple


class File(NamedTuple):
    """What a download gives."""

    content: bytes


class LocalFiles:
    """Stands in for the pictures and documents that the suite downloads: loopback is the only network here."""

    def get(self, url: str, **_options: object) -> File:
        """The smallest file of the kind that the URL asks for."""
        return File(_FILES[url.rsplit(".", 1)[-1]])


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


_FILES = {
    "png": _png(),
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    "wav": b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0@\x1f\0\0\x01\0\x08\0data\0\0\0\0",
}
