"""Follow the painting of a PDF page: where each piece of text lands and how, and which areas are painted around it.

The operators of content streams are functions of a stream and its operands (`operators.py` names them all). Of pypdf
is known only that its objects behave like dictionaries and lists.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.document.hidden.canvas import (
    BLACK,
    IDENTITY,
    Area,
    Canvas,
    Clip,
    Colour,
    Matrix,
    Point,
    Shape,
    multiply,
    rectangle,
)
from pipeline.document.hidden.references import resolved
from pipeline.document.hidden.spans import Span
from pipeline.document.hidden.widths import Font, font_of

Operations = Sequence[tuple[Any, bytes]]
Operator = Callable[["Stream", Any], None]

# What is more transparent than this is not seen.
LEAST_ALPHA = 0.1


class PainterLimits(NamedTuple):
    """Bound what following one page may cost."""

    operations: int
    forms: int
    depth: int = 12
    saved_states: int = 512


@dataclass(slots=True)
class State:
    """Hold the graphics state: how whatever comes next is painted."""

    matrix: Matrix
    clip: Clip
    fill: Colour | None = BLACK
    stroke: Colour | None = BLACK
    fill_space: Any = "/DeviceGray"
    stroke_space: Any = "/DeviceGray"
    fill_alpha: float = 1.0
    stroke_alpha: float = 1.0
    is_blended: bool = False
    line_width: float = 1.0
    font: Font | None = None
    size: float = 0.0
    letter_gap: float = 0.0
    word_gap: float = 0.0
    stretch: float = 1.0
    leading: float = 0.0
    rise: float = 0.0
    mode: int = 0


@dataclass
class Painter:
    """Hold what is on a page after its operations were followed.

    `stopped` says that a limit was reached and the rest was not looked at.
    """

    canvas: Canvas
    parse: Callable[[Any], Operations | None]
    limits: PainterLimits
    catalogue: Mapping[str, Any]
    operators: Mapping[bytes, Operator]
    unit: float = 1.0
    spans: list[Span] = field(default_factory=list)
    stopped: bool = False
    _order: int = 0
    _operations: int = 0
    _forms: int = 0
    _fonts: dict[int, Font] = field(default_factory=dict)

    def follow(
        self,
        operations: Operations,
        resources: Mapping[str, Any],
        *,
        stream: int,
        matrix: Matrix = IDENTITY,
        clip: Clip | None = None,
    ) -> None:
        """Follow one stream of operations and the forms it uses."""
        state = State(matrix, clip or Clip(self.canvas.page))
        self._follow(operations, resources, state, stream=stream, depth=0)

    def _follow(
        self, operations: Operations, resources: Mapping[str, Any], state: State, *, stream: int, depth: int
    ) -> None:
        run = Stream(self, resources, state, stream, depth)
        for number, (operands, operator) in enumerate(operations):
            handle = self.operators.get(operator)
            if handle is None:
                continue
            self._operations += 1
            if self._operations > self.limits.operations:
                self.stopped = True
                return
            run.number = number
            # An operation with wrong operands paints nothing.
            with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
                handle(run, operands)

    def next_order(self) -> int:
        """Return the next place in the order of painting."""
        self._order += 1
        return self._order

    def font(self, resource: Any) -> Font:
        """Return what is known of a font, read once."""
        known = self._fonts.get(id(resource))
        if known is None:
            known = self._fonts[id(resource)] = font_of(resource)
        return known

    def enter_form(self, form: Any, stream: Stream) -> None:
        """Follow a form object where it is used."""
        self._forms += 1
        if self._forms > self.limits.forms or stream.depth >= self.limits.depth:
            self.stopped = True
            return
        state = copy.copy(stream.state)
        state.matrix = multiply(matrix_of(form.get("/Matrix")), state.matrix)
        if form.get("/BBox") is not None:
            state.clip = state.clip.within(rectangle(state.matrix, *map(float, form["/BBox"])))
        operations = self.parse(form)
        if operations is None:
            stream.paint_unknown(state.clip)
            return
        resources = resolved(form.get("/Resources")) or stream.resources
        self._follow(operations, resources, state, stream=id(form), depth=stream.depth + 1)


class Stream:
    """Hold one stream while it is followed: what its operators have set so far, and what they share."""

    def __init__(self, painter: Painter, resources: Mapping[str, Any], state: State, key: int, depth: int) -> None:
        self.painter = painter
        self.resources = resources
        self.state = state
        self.key = key
        self.depth = depth
        self.number = 0
        self.saved: list[State] = []
        self.marks: list[bool] = []
        self.text = self.line = IDENTITY
        self.outlines: list[list[Point]] = []
        self.clipping: bool | None = None

    def paint_unknown(self, clip: Clip) -> None:
        """Paint something of which only the place is known: text may be seen on it and through it."""
        self.paint(rectangle(IDENTITY, *clip.box), lambda: None, None)

    def paint(
        self, shape: Shape, colour: Callable[[], Colour | None], alpha: float | None, *, picture: bool = False
    ) -> None:
        """Add an area of the page to what is painted; without an opacity it is not known what shines through."""
        if any(self.marks) or not shape.outlines or (alpha is not None and alpha < LEAST_ALPHA):
            return
        known = None if self.state.is_blended else alpha
        area = Area(self.painter.next_order(), shape, self.state.clip, colour, lambda: known, picture)
        self.painter.canvas.add(area)

    def resource(self, kind: str, name: Any) -> Any:
        """Return what the stream calls by that name."""
        return resolved(resolved(self.resources[kind])[name])

    def space(self, name: Any) -> Any:
        """Return the colour space of that name; the name itself is one that every stream knows."""
        with suppress(LookupError, AttributeError, TypeError):
            return self.resource("/ColorSpace", name)
        return str(name)


def matrix_of(operands: Any) -> Matrix:
    """Return six operands as a matrix; none of them change nothing."""
    values = resolved(operands)
    if values is None:
        return IDENTITY
    a, b, c, d, e, f = (float(resolved(value)) for value in values)
    return (a, b, c, d, e, f)
