"""Colours as PDF content names them, as red, green and blue; what is not understood is None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.document.hidden.canvas import BLACK, Colour
from pipeline.document.hidden.references import resolved
from pipeline.document.hidden.tints import tint

# A picture with more samples than this is not looked through for its colour.
MOST_SAMPLES = 2_000_000


def gray(level: float) -> Colour:
    """Return a grey."""
    return (_part(level),) * 3


def rgb(red: float, green: float, blue: float) -> Colour:
    """Return the colour within bounds."""
    return _part(red), _part(green), _part(blue)


def cmyk(cyan: float, magenta: float, yellow: float, black: float) -> Colour:
    """Return the colour of four inks, without regard to any profile."""
    paper = 1 - _part(black)
    return (1 - _part(cyan)) * paper, (1 - _part(magenta)) * paper, (1 - _part(yellow)) * paper


def first_colour(space: Any) -> Colour | None:
    """Return what a colour space starts with: black, or nothing known."""
    return BLACK if _family(space) in _PLAIN else None


def colour_in(space: Any, parts: Sequence[Any], *, depth: int = 3) -> Colour | None:
    """Return the colour of some components in a colour space, given as a name or as the array that defines it."""
    try:
        numbers = [float(part) for part in parts]
        match _family(space):
            case "/ICCBased":
                return _device(int(_entry(space, 1)["/N"]), numbers)
            case "/Separation" | "/DeviceN" if depth:
                return colour_in(_entry(space, 2), tint(_entry(space, 3), numbers), depth=depth - 1)
            case "/Lab":
                return gray(1.0) if numbers[0] >= _LAB_WHITE and max(map(abs, numbers[1:])) < _LAB_PALE else None
            case "/Indexed" if depth:
                return _indexed(space, int(numbers[0]), depth - 1)
            case family if family in _PLAIN:
                return _device(_PLAIN[family], numbers)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return None
    return None


def uniform_colour(image: Any, space: Any) -> Colour | None:
    """Return the colour of a picture that has only one; None for all others."""
    samples = _samples(image)
    if not samples:
        return None
    lows, highs = min(samples), max(samples)
    if highs - lows > _NOISE:
        return None
    # A table of colours and a special ink have one component.
    return colour_in(space, [sample / 255 for sample in samples[: _components(space) or 1]])


def uniform_alpha(mask: Any) -> float | None:
    """Return how opaque a picture's mask makes it where that is the same everywhere."""
    samples = _samples(mask)
    if not samples or max(samples) - min(samples) > _NOISE:
        return None
    return min(samples) / 255


_PLAIN = {
    "/DeviceGray": 1,
    "/G": 1,
    "/CalGray": 1,
    "/DeviceRGB": 3,
    "/RGB": 3,
    "/CalRGB": 3,
    "/DeviceCMYK": 4,
    "/CMYK": 4,
}
_LAB_WHITE, _LAB_PALE = 94.0, 6.0
_NOISE = 16
_SIMPLE_FILTERS = frozenset({"/FlateDecode", "/LZWDecode", "/RunLengthDecode", "/ASCII85Decode", "/ASCIIHexDecode"})


def _part(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def _family(space: Any) -> str:
    space = resolved(space)
    return str(resolved(space[0])) if isinstance(space, list) and space else str(space)


def _entry(space: Any, position: int) -> Any:
    return resolved(resolved(space)[position])


def _components(space: Any) -> int:
    """Return how many numbers make a colour in an ordinary colour space, 0 for any other."""
    family = _family(space)
    return int(_entry(space, 1)["/N"]) if family == "/ICCBased" else _PLAIN.get(family, 0)


def _device(count: int, numbers: Sequence[float]) -> Colour | None:
    match count:
        case 1:
            return gray(numbers[0])
        case 3:
            return rgb(*numbers[:3])
        case 4:
            return cmyk(*numbers[:4])
    return None


def _indexed(space: Any, number: int, depth: int) -> Colour | None:
    base, table = _entry(space, 1), _entry(space, 3)
    data = table.get_data() if hasattr(table, "get_data") else getattr(table, "original_bytes", table)
    black = first_colour(base)
    count = _components(base)
    if not count and black is None:
        return None
    return colour_in(base, [byte / 255 for byte in data[number * count : (number + 1) * count]], depth=depth)


def _samples(image: Any) -> bytes:
    """Return the samples of a picture that are simple to get at; those in formats of their own are not."""
    filters = resolved(image.get("/Filter", []))
    names = [str(resolved(each)) for each in filters] if isinstance(filters, list) else [str(filters)]
    width, height = image.get("/Width", image.get("/W")), image.get("/Height", image.get("/H"))
    is_plain = all(name in _SIMPLE_FILTERS for name in names)
    bits = image.get("/BitsPerComponent", image.get("/BPC", 8))
    if not is_plain or bits != 8 or not width or not height or int(width) * int(height) > MOST_SAMPLES:
        return b""
    return bytes(image.get_data())
