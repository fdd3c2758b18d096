"""The operators that place pictures and forms, and those that mark parts of a page as belonging to a layer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pipeline.document.hidden.canvas import Area, Colour, Shape, rectangle
from pipeline.document.hidden.colours import uniform_alpha, uniform_colour
from pipeline.document.hidden.layers import is_off
from pipeline.document.hidden.painter import LEAST_ALPHA, Operator, Stream
from pipeline.document.hidden.references import resolved
from pipeline.document.hidden.spans import Reason, Span


def use_object(stream: Stream, operands: Any) -> None:
    thing = stream.resource("/XObject", operands[0])
    if any(stream.marks) or is_off(thing.get("/OC"), stream.painter.catalogue):
        if thing.get("/Subtype") == "/Form":
            stream.marks.append(True)
            _enter(stream, thing)
            stream.marks.pop()
    elif thing.get("/Subtype") == "/Image":
        _picture(stream, thing)
    else:
        _enter(stream, thing)


def inline_picture(stream: Stream, operands: Any) -> None:
    if not any(stream.marks):
        settings = operands.get("settings", {}) if isinstance(operands, Mapping) else {}
        is_mask = bool(settings.get("/IM") or settings.get("/ImageMask"))
        stream.paint(_unit_square(stream), lambda: None, None if is_mask else stream.state.fill_alpha, picture=True)


def begin_mark(stream: Stream, _: Any) -> None:
    stream.marks.append(False)


def begin_marked_part(stream: Stream, operands: Any) -> None:
    layer = None
    if str(operands[0]) == "/OC":
        with suppress(LookupError, AttributeError, TypeError):
            layer = stream.resource("/Properties", operands[1])
    stream.marks.append(layer is not None and is_off(layer, stream.painter.catalogue))


def end_mark(stream: Stream, _: Any) -> None:
    if stream.marks:
        stream.marks.pop()


OBJECT_OPERATORS: dict[bytes, Operator] = {
    b"Do": use_object,
    b"INLINE IMAGE": inline_picture,
    b"BMC": begin_mark,
    b"BDC": begin_marked_part,
    b"EMC": end_mark,
}


def _enter(stream: Stream, form: Any) -> None:
    marks = any(stream.marks)
    before = len(stream.painter.spans)
    stream.painter.enter_form(form, stream)
    if marks:
        spans = stream.painter.spans
        spans[before:] = [_switched_off(span) for span in spans[before:]]


def _picture(stream: Stream, image: Any) -> None:
    if stream.state.is_blended or stream.state.fill_alpha < LEAST_ALPHA:
        return
    fill_alpha, shape = stream.state.fill_alpha, _unit_square(stream)
    space = resolved(image.get("/ColorSpace"))
    if isinstance(space, str):
        space = stream.space(space)

    def colour() -> Colour | None:
        with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, NotImplementedError):
            return None if image.get("/ImageMask") else uniform_colour(image, space)
        return None

    def alpha() -> float | None:
        return _picture_alpha(image, fill_alpha)

    area = Area(stream.painter.next_order(), shape, stream.state.clip, colour, alpha, picture=True)
    stream.painter.canvas.add(area)


def _unit_square(stream: Stream) -> Shape:
    return rectangle(stream.state.matrix, 0, 0, 1, 1)


def _picture_alpha(image: Any, fill_alpha: float) -> float | None:
    """Return how opaque a picture is; None where its parts differ or are not known."""
    if image.get("/ImageMask") or image.get("/Mask") is not None:
        return None
    mask = resolved(image.get("/SMask"))
    if mask is None:
        return fill_alpha
    with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, NotImplementedError):
        alpha = uniform_alpha(mask)
        return None if alpha is None else alpha * fill_alpha
    return None


def _switched_off(span: Span) -> Span:
    return Span(span.place, span.order, span.points, span.colours, span.characters, span.advance, Reason.SWITCHED_OFF)
