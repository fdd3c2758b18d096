"""Picture files as pages."""

from __future__ import annotations

import io
import struct
import zlib

import pytest

pytest.importorskip("PIL")

from PIL import Image

from pipeline.document.scan.pictures import file_page
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import DocumentError

SETTINGS = ScanSettings()


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """Return a file of a few bytes that says it is a picture of that size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    """A file of a few bytes must not cost gigabytes."""
    with pytest.raises(DocumentError) as caught:
        file_page(huge_png(50_000, 50_000), 1, name="huge.png", settings=SETTINGS)
    assert caught.value.reason == "too_large"


def test_a_large_picture_is_made_smaller_and_keeps_its_size_on_paper() -> None:
    """Pixels are bounded; places stay in points."""
    data = saved(Image.new("L", (800, 400), 255), "PNG", dpi=(200, 200))
    page = file_page(data, 1, name="a.png", settings=ScanSettings(max_pixels=100_000))
    assert page.pixels.shape[0] * page.pixels.shape[1] <= 101_000
    assert (page.width, page.height) == pytest.approx((288, 144), abs=0.1)


def test_a_photo_is_turned_as_the_camera_noted() -> None:
    """A phone stores the picture as its sensor lay."""
    exif = Image.Exif()
    exif[0x0112] = 6
    page = file_page(saved(Image.new("RGB", (60, 30)), "JPEG", exif=exif), 1, name="a.jpg", settings=SETTINGS)
    assert page.pixels.shape == (60, 30, 3)


def test_what_is_transparent_is_paper() -> None:
    """Black letters on nothing can be read on white only."""
    page = file_page(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"), 1, name="a.png", settings=SETTINGS)
    assert page.pixels.min() == 255


def test_every_page_of_a_fax_is_there() -> None:
    """TIFF files have pages; one behind the last is an error."""
    pages = [Image.new("1", (8, 8), shade) for shade in (0, 1)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert [file_page(data, number, name="a.tif", settings=SETTINGS).pixels.max() for number in (1, 2)] == [0, 255]
    assert file_page(data, 1, name="a.tif", settings=SETTINGS).of == 2
    with pytest.raises(DocumentError):
        file_page(data, 3, name="a.tif", settings=SETTINGS)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0" + bytes(50), b"II*\x00"])
def test_a_broken_picture_is_refused(data: bytes) -> None:
    """What cannot be decoded is damaged, and says so."""
    with pytest.raises(DocumentError) as caught:
        file_page(data, 1, name="a.png", settings=SETTINGS)
    assert caught.value.reason == "damaged"
