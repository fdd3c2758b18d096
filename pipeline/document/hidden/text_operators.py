"""The operators of text: each piece of it is noted where it lands, with the reason why it cannot be seen there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.document.hidden.canvas import IDENTITY, Colour, Matrix, Point, apply, multiply
from pipeline.document.hidden.painter import LEAST_ALPHA, Operator, Stream, matrix_of
from pipeline.document.hidden.spans import Place, Reason, Span
from pipeline.document.hidden.widths import USUAL_WIDTH, Font

# A gap in thousandths of the size that parts two columns.
_WIDE_GAP = 2000.0
_BLANKS = frozenset({0, 32, 160})
# Where on a piece of text it is looked at: near its ends and in its middle, at half the height of small letters.
_SHARES = (0.08, 0.5, 0.92)
_MIDDLE = 0.28
_LEAST_HEIGHT = 2.0
# Letters may be made narrow, but not to a tenth.
_WIDE_ENOUGH = 10.0


def begin_text(stream: Stream, _: Any) -> None:
    stream.text = stream.line = IDENTITY


def set_font(stream: Stream, operands: Any) -> None:
    stream.state.size = float(operands[1])
    stream.state.font = None
    stream.state.font = stream.painter.font(stream.resource("/Font", operands[0]))


def set_letter_gap(stream: Stream, operands: Any) -> None:
    stream.state.letter_gap = float(operands[0])


def set_word_gap(stream: Stream, operands: Any) -> None:
    stream.state.word_gap = float(operands[0])


def set_stretch(stream: Stream, operands: Any) -> None:
    stream.state.stretch = float(operands[0]) / 100


def set_leading(stream: Stream, operands: Any) -> None:
    stream.state.leading = float(operands[0])


def set_rise(stream: Stream, operands: Any) -> None:
    stream.state.rise = float(operands[0])


def set_mode(stream: Stream, operands: Any) -> None:
    stream.state.mode = int(operands[0])


def move_text(stream: Stream, operands: Any) -> None:
    stream.line = stream.text = multiply((1, 0, 0, 1, float(operands[0]), float(operands[1])), stream.line)


def move_text_leading(stream: Stream, operands: Any) -> None:
    stream.state.leading = -float(operands[1])
    move_text(stream, operands)


def set_text_matrix(stream: Stream, operands: Any) -> None:
    stream.line = stream.text = matrix_of(operands)


def next_line(stream: Stream, _: Any) -> None:
    move_text(stream, (0.0, -stream.state.leading))


def show(stream: Stream, operands: Any) -> None:
    _show(stream, [operands[0]])


def show_on_next_line(stream: Stream, operands: Any) -> None:
    next_line(stream, None)
    _show(stream, [operands[0]])


def show_spaced_on_next_line(stream: Stream, operands: Any) -> None:
    stream.state.word_gap, stream.state.letter_gap = float(operands[0]), float(operands[1])
    next_line(stream, None)
    _show(stream, [operands[2]])


def show_adjusted(stream: Stream, operands: Any) -> None:
    _show(stream, operands[0])


TEXT_OPERATORS: dict[bytes, Operator] = {
    b"BT": begin_text,
    b"Tf": set_font,
    b"Tc": set_letter_gap,
    b"Tw": set_word_gap,
    b"Tz": set_stretch,
    b"TL": set_leading,
    b"Ts": set_rise,
    b"Tr": set_mode,
    b"Td": move_text,
    b"TD": move_text_leading,
    b"Tm": set_text_matrix,
    b"T*": next_line,
    b"Tj": show,
    b"'": show_on_next_line,
    b'"': show_spaced_on_next_line,
    b"TJ": show_adjusted,
}


def _show(stream: Stream, elements: Sequence[Any]) -> None:
    """Take the strings of one operation apart where a gap parts them, and note each part where it stands."""
    first, characters, length = 0, 0, 0.0
    for at, element in enumerate(elements):
        if isinstance(element, int | float):
            if abs(element) < _WIDE_GAP:
                length -= element / 1000 * stream.state.size
                continue
            _note(stream, first, at - 1, characters, length)
            _advance(stream, length - element / 1000 * stream.state.size)
            first, characters, length = at + 1, 0, 0.0
            continue
        codes = _codes(element, stream.state.font)
        length += _length(stream, codes)
        characters += sum(1 for code in codes if code not in _BLANKS)
    _note(stream, first, len(elements) - 1, characters, length)
    _advance(stream, length)


def _length(stream: Stream, codes: Sequence[int]) -> float:
    """Return how far some letters lead, in units of the text before it is stretched."""
    state = stream.state
    width = state.font.width(codes) if state.font else USUAL_WIDTH * len(codes)
    gaps = state.letter_gap * len(codes)
    if state.word_gap and (state.font is None or state.font.bytes_per_code == 1):
        gaps += state.word_gap * sum(1 for code in codes if code == 32)
    return width * state.size + gaps


def _advance(stream: Stream, length: float) -> None:
    stream.text = multiply((1, 0, 0, 1, length * stream.state.stretch, 0), stream.text)


def _note(stream: Stream, first: int, last: int, characters: int, length: float) -> None:
    if not characters:
        return
    state = stream.state
    matrix = multiply(stream.text, state.matrix)
    width, up = length * state.stretch, state.rise + _MIDDLE * state.size
    points = tuple(apply(matrix, width * share, up) for share in _SHARES)
    place = Place(stream.key, stream.number, first, last)
    advance = -length * 1000 / state.size if state.size else 0.0
    reason = _reason(stream, matrix, points)
    order = stream.painter.next_order()
    stream.painter.spans.append(Span(place, order, points, _colours(stream), characters, advance, reason))


def _reason(stream: Stream, matrix: Matrix, points: tuple[Point, ...]) -> Reason | None:
    state = stream.state
    height = _height(stream, matrix)
    margin = 0.5 * height
    if any(stream.marks):
        return Reason.SWITCHED_OFF
    if state.mode in (3, 7):
        return Reason.INVISIBLE
    if max(_alphas(stream)) < LEAST_ALPHA:
        return Reason.TRANSPARENT
    if height * stream.painter.unit < _LEAST_HEIGHT:
        return Reason.TINY
    if not any(stream.painter.canvas.page.holds(point, margin=margin) for point in points):
        return Reason.OUTSIDE
    if not any(state.clip.holds(point, margin=margin) for point in points):
        return Reason.CLIPPED
    return None


def _height(stream: Stream, matrix: Matrix) -> float:
    """Return the height of the letters across their line, or of their width where that is all but nothing."""
    state = stream.state
    along = math.hypot(matrix[0], matrix[1])
    if not along:
        return 0.0
    size = abs(state.size) * (state.font.height if state.font else 1.0)
    across = abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) / along
    return min(size * across, _WIDE_ENOUGH * size * along * abs(state.stretch))


def _alphas(stream: Stream) -> tuple[float, ...]:
    state = stream.state
    match state.mode % 4:
        case 0:
            return (state.fill_alpha,)
        case 1:
            return (state.stroke_alpha,)
        case _:
            return (state.fill_alpha, state.stroke_alpha)


def _colours(stream: Stream) -> tuple[Colour | None, ...]:
    state = stream.state
    if state.is_blended:
        return (None,)
    match state.mode % 4:
        case 0:
            return (state.fill,)
        case 1:
            return (state.stroke,)
        case _:
            return (state.fill, state.stroke)


def _codes(element: Any, font: Font | None) -> Sequence[int]:
    data: bytes = element.original_bytes if hasattr(element, "original_bytes") else bytes(element)
    if font is None or font.bytes_per_code == 1:
        return data
    return [high << 8 | low for high, low in zip(data[::2], data[1::2], strict=False)]
