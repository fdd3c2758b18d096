"""The operators that choose colours."""

from __future__ import annotations

from typing import Any

from pipeline.document.hidden.colours import cmyk, colour_in, first_colour, gray, rgb
from pipeline.document.hidden.painter import Operator, Stream


def fill_gray(stream: Stream, operands: Any) -> None:
    stream.state.fill, stream.state.fill_space = gray(float(operands[0])), "/DeviceGray"


def stroke_gray(stream: Stream, operands: Any) -> None:
    stream.state.stroke, stream.state.stroke_space = gray(float(operands[0])), "/DeviceGray"


def fill_rgb(stream: Stream, operands: Any) -> None:
    stream.state.fill, stream.state.fill_space = rgb(*map(float, operands)), "/DeviceRGB"


def stroke_rgb(stream: Stream, operands: Any) -> None:
    stream.state.stroke, stream.state.stroke_space = rgb(*map(float, operands)), "/DeviceRGB"


def fill_cmyk(stream: Stream, operands: Any) -> None:
    stream.state.fill, stream.state.fill_space = cmyk(*map(float, operands)), "/DeviceCMYK"


def stroke_cmyk(stream: Stream, operands: Any) -> None:
    stream.state.stroke, stream.state.stroke_space = cmyk(*map(float, operands)), "/DeviceCMYK"


def set_fill_space(stream: Stream, operands: Any) -> None:
    stream.state.fill_space = stream.space(operands[0])
    stream.state.fill = first_colour(stream.state.fill_space)


def set_stroke_space(stream: Stream, operands: Any) -> None:
    stream.state.stroke_space = stream.space(operands[0])
    stream.state.stroke = first_colour(stream.state.stroke_space)


def fill_colour(stream: Stream, operands: Any) -> None:
    stream.state.fill = colour_in(stream.state.fill_space, operands)


def stroke_colour(stream: Stream, operands: Any) -> None:
    stream.state.stroke = colour_in(stream.state.stroke_space, operands)


COLOUR_OPERATORS: dict[bytes, Operator] = {
    b"g": fill_gray,
    b"G": stroke_gray,
    b"rg": fill_rgb,
    b"RG": stroke_rgb,
    b"k": fill_cmyk,
    b"K": stroke_cmyk,
    b"cs": set_fill_space,
    b"CS": set_stroke_space,
    b"sc": fill_colour,
    b"scn": fill_colour,
    b"SC": stroke_colour,
    b"SCN": stroke_colour,
}
