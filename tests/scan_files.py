"""Scans made from PDFs: pages as pictures, as clean, noisy, slanted or turned as a test wants them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pypdfium2
from PIL import Image, ImageFilter


@dataclass(frozen=True)
class Scanning:
    """Say how a page was taken: degrees to the left, noise in grey levels, JPEG quality, blur in pixels.

    `shade` is how much darker one corner is than the other, as in a photo taken by lamp light, from 0 to 1.
    """

    dpi: int = 200
    grey: bool = True
    noise: float = 0
    jpeg_quality: int = 90
    slant: float = 0
    turn: int = 0
    blur: float = 0
    shade: float = 0


def scan_pages(pdf: bytes, how: Scanning, *, most: int = 50) -> list[Image.Image]:
    """Return the pages of a PDF as pictures."""
    with pypdfium2.PdfDocument(pdf) as document:
        pages = [page.render(scale=how.dpi / 72).to_pil() for page, _ in zip(document, range(most), strict=False)]
    return [_scanned(page, how, seed) for seed, page in enumerate(pages)]


def picture_pdf(pages: Iterable[Image.Image], dpi: int) -> bytes:
    """Return a PDF that holds nothing but pictures."""
    first, *others = pages
    target = io.BytesIO()
    first.save(target, "PDF", resolution=dpi, save_all=True, append_images=others)
    return target.getvalue()


def _scanned(page: Image.Image, how: Scanning, seed: int) -> Image.Image:
    picture = page.convert("L" if how.grey else "RGB")
    if how.slant:
        picture = picture.rotate(how.slant, resample=Image.Resampling.BICUBIC, fillcolor=255 if how.grey else "white")
    if how.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(how.blur))
    if how.shade:
        picture = _shaded(picture, how.shade)
    if how.noise:
        grain = np.random.default_rng(seed).normal(0, how.noise, np.asarray(picture).shape)
        picture = Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype("uint8"))
    picture = picture.rotate(how.turn, expand=True)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=how.jpeg_quality)
    return Image.open(target)


def _shaded(picture: Image.Image, shade: float) -> Image.Image:
    pixels = np.asarray(picture).astype(float)
    rows, columns = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    light = 1 - shade * (rows / pixels.shape[0] + columns / pixels.shape[1]) / 2
    return Image.fromarray((pixels * (light if pixels.ndim == 2 else light[:, :, None])).astype("uint8"))
