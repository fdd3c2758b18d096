"""The operators that draw, fill and cut out areas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from pipeline.document.hidden.canvas import IDENTITY, Point, apply, rectangle, shape_of
from pipeline.document.hidden.painter import Operator, Stream

_THICK_LINE = 3.0


def move(stream: Stream, operands: Any) -> None:
    stream.outlines.append([_point(stream, operands)])


def line_to(stream: Stream, operands: Any) -> None:
    stream.outlines[-1].append(_point(stream, operands))


def curve(stream: Stream, operands: Any) -> None:
    numbers = [float(each) for each in operands]
    controls = [apply(stream.state.matrix, *numbers[at : at + 2]) for at in range(0, len(numbers) - 1, 2)]
    _bend(stream, controls)


def curve_from_here(stream: Stream, operands: Any) -> None:
    numbers = [float(each) for each in operands]
    controls = [apply(stream.state.matrix, *numbers[at : at + 2]) for at in (0, 2)]
    _bend(stream, [stream.outlines[-1][-1], *controls])


def curve_to_end(stream: Stream, operands: Any) -> None:
    numbers = [float(each) for each in operands]
    controls = [apply(stream.state.matrix, *numbers[at : at + 2]) for at in (0, 2)]
    _bend(stream, [*controls, controls[-1]])


def close(stream: Stream, _: Any) -> None:
    if stream.outlines and len(stream.outlines[-1]) > 1:
        stream.outlines.append([stream.outlines[-1][0]])


def add_rectangle(stream: Stream, operands: Any) -> None:
    left, bottom, width, height = map(float, operands)
    shape = rectangle(stream.state.matrix, left, bottom, left + width, bottom + height)
    stream.outlines.append(list(shape.outlines[0]))
    stream.outlines.append([shape.outlines[0][0]])


def fill(stream: Stream, _: Any) -> None:
    _fill(stream, even_odd=False)
    end_path(stream, None)


def fill_even_odd(stream: Stream, _: Any) -> None:
    _fill(stream, even_odd=True)
    end_path(stream, None)


def stroke(stream: Stream, _: Any) -> None:
    _stroke(stream)
    end_path(stream, None)


def fill_stroke(stream: Stream, _: Any) -> None:
    _fill(stream, even_odd=False)
    _stroke(stream)
    end_path(stream, None)


def fill_stroke_even_odd(stream: Stream, _: Any) -> None:
    _fill(stream, even_odd=True)
    _stroke(stream)
    end_path(stream, None)


def clip(stream: Stream, _: Any) -> None:
    stream.clipping = False


def clip_even_odd(stream: Stream, _: Any) -> None:
    stream.clipping = True


def end_path(stream: Stream, _: Any) -> None:
    if stream.clipping is not None:
        stream.state.clip = stream.state.clip.within(shape_of(_closed(stream), even_odd=stream.clipping))
    stream.outlines, stream.clipping = [], None


def shade(stream: Stream, _: Any) -> None:
    box = stream.state.clip.box
    stream.paint(rectangle(IDENTITY, *box), lambda: None, stream.state.fill_alpha)


PATH_OPERATORS: dict[bytes, Operator] = {
    b"m": move,
    b"l": line_to,
    b"c": curve,
    b"v": curve_from_here,
    b"y": curve_to_end,
    b"h": close,
    b"re": add_rectangle,
    b"f": fill,
    b"F": fill,
    b"f*": fill_even_odd,
    b"S": stroke,
    b"s": stroke,
    b"B": fill_stroke,
    b"b": fill_stroke,
    b"B*": fill_stroke_even_odd,
    b"b*": fill_stroke_even_odd,
    b"W": clip,
    b"W*": clip_even_odd,
    b"n": end_path,
    b"sh": shade,
}


def _point(stream: Stream, operands: Any) -> Point:
    return apply(stream.state.matrix, float(operands[0]), float(operands[1]))


def _bend(stream: Stream, controls: Sequence[Point]) -> None:
    start = stream.outlines[-1][-1]
    first, second, end = controls
    stream.outlines[-1].extend(_on_curve(start, first, second, end, share) for share in (0.25, 0.5, 0.75, 1.0))


def _closed(stream: Stream) -> list[list[Point]]:
    return [outline for outline in stream.outlines if len(outline) > 1]


def _fill(stream: Stream, *, even_odd: bool) -> None:
    colour = stream.state.fill
    stream.paint(shape_of(_closed(stream), even_odd=even_odd), lambda: colour, stream.state.fill_alpha)


def _stroke(stream: Stream) -> None:
    """Take a thick line for the area it is: headings stand on such bars."""
    matrix, state = stream.state.matrix, stream.state
    width = state.line_width * math.sqrt(abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]))
    if width < _THICK_LINE:
        return
    colour = state.stroke
    for outline in _closed(stream):
        for start, end in itertools.pairwise(outline):
            length = math.hypot(end.x - start.x, end.y - start.y)
            if length:
                along = ((end.x - start.x) / length, (end.y - start.y) / length)
                bar = rectangle((*along, -along[1], along[0], *start), 0, -width / 2, length, width / 2)
                stream.paint(bar, lambda: colour, state.stroke_alpha)


def _on_curve(start: Point, first: Point, second: Point, end: Point, share: float) -> Point:
    rest = 1 - share
    weights = (rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3)
    points = (start, first, second, end)
    return Point(
        sum(weight * point.x for weight, point in zip(weights, points, strict=True)),
        sum(weight * point.y for weight, point in zip(weights, points, strict=True)),
    )
