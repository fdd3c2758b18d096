"""The operators of the graphics state: what is kept and restored, where things land, and how they are blended."""

from __future__ import annotations

import copy
from typing import Any

from pipeline.document.hidden.canvas import multiply
from pipeline.document.hidden.painter import Operator, Stream, matrix_of
from pipeline.document.hidden.references import resolved


def save(stream: Stream, _: Any) -> None:
    if len(stream.saved) < stream.painter.limits.saved_states:
        stream.saved.append(copy.copy(stream.state))


def restore(stream: Stream, _: Any) -> None:
    if stream.saved:
        stream.state = stream.saved.pop()


def transform(stream: Stream, operands: Any) -> None:
    stream.state.matrix = multiply(matrix_of(operands), stream.state.matrix)


def set_line_width(stream: Stream, operands: Any) -> None:
    stream.state.line_width = float(operands[0])


def set_graphics(stream: Stream, operands: Any) -> None:
    settings = stream.resource("/ExtGState", operands[0])
    state = stream.state
    state.fill_alpha = float(resolved(settings.get("/ca", state.fill_alpha)))
    state.stroke_alpha = float(resolved(settings.get("/CA", state.stroke_alpha)))
    state.line_width = float(resolved(settings.get("/LW", state.line_width)))
    blending = resolved(settings.get("/BM"))
    if blending is not None:
        names = blending if isinstance(blending, list) else [blending]
        state.is_blended = not any(name in ("/Normal", "/Compatible") for name in names)
    if settings.get("/Font") is not None:
        font, size = resolved(settings["/Font"])
        state.font, state.size = stream.painter.font(resolved(font)), float(size)


STATE_OPERATORS: dict[bytes, Operator] = {
    b"q": save,
    b"Q": restore,
    b"cm": transform,
    b"w": set_line_width,
    b"gs": set_graphics,
}
