"""Follow the painting of a PDF page: where each piece of text lands and how, and which areas are painted around it.

Knows the operators of content streams, and of pypdf only that its objects behave like dictionaries and lists.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from pipeline.document.colours import cmyk, colour_in, first_colour, gray, rgb, uniform_alpha, uniform_colour
from pipeline.document.layers import is_off
from pipeline.document.painting import (
    BLACK,
    IDENTITY,
    Area,
    Canvas,
    Clip,
    Colour,
    Matrix,
    Point,
    Shape,
    apply,
    multiply,
    rectangle,
    shape_of,
)
from pipeline.document.widths import Font, font_of

Operations = Sequence[tuple[Any, bytes]]


class Reason(StrEnum):
    """Name the ways in which a text can be there without being seen."""

    INVISIBLE = "in an invisible mode"
    TRANSPARENT = "transparent"
    TINY = "tiny"
    OUTSIDE = "beside the page"
    CLIPPED = "cut away"
    SWITCHED_OFF = "on a layer that is switched off"
    COVERED = "covered"
    PALE = "in the colour of its ground"


class Place(NamedTuple):
    """Name a piece of text: its stream, the operation in it, and which strings of that operation."""

    stream: int
    operation: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Span:
    """Hold a piece of text that stands together; `advance` is its length in the units of the TJ operator."""

    place: Place
    order: int
    points: tuple[Point, ...]
    colours: tuple[Colour | None, ...]
    characters: int
    advance: float
    reason: Reason | None


class PainterLimits(NamedTuple):
    """Bound what following one page may cost."""

    operations: int
    forms: int
    depth: int = 12
    saved_states: int = 512


@dataclass(slots=True)
class _State:
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
        state = _State(matrix, clip or Clip(self.canvas.page))
        self._follow(operations, resources, state, stream=stream, depth=0)

    def _follow(
        self, operations: Operations, resources: Mapping[str, Any], state: _State, *, stream: int, depth: int
    ) -> None:
        run = _Run(self, resources, state, stream, depth)
        handlers = _HANDLERS
        for number, (operands, operator) in enumerate(operations):
            handle = handlers.get(operator)
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

    def enter_form(self, form: Any, run: _Run) -> None:
        """Follow a form object where it is used."""
        self._forms += 1
        if self._forms > self.limits.forms or run.depth >= self.limits.depth:
            self.stopped = True
            return
        state = copy.copy(run.state)
        state.matrix = multiply(_matrix(form.get("/Matrix")), state.matrix)
        if form.get("/BBox") is not None:
            state.clip = state.clip.within(rectangle(state.matrix, *map(float, form["/BBox"])))
        operations = self.parse(form)
        if operations is None:
            run.paint_unknown(state.clip)
            return
        resources = _resolved(form.get("/Resources")) or run.resources
        self._follow(operations, resources, state, stream=id(form), depth=run.depth + 1)


class _Run:
    """Hold one stream while it is followed; the methods are its operators."""

    def __init__(self, painter: Painter, resources: Mapping[str, Any], state: _State, stream: int, depth: int) -> None:
        self.painter = painter
        self.resources = resources
        self.state = state
        self.stream = stream
        self.depth = depth
        self.number = 0
        self.saved: list[_State] = []
        self.marks: list[bool] = []
        self.text = self.line = IDENTITY
        self.outlines: list[list[Point]] = []
        self.clipping: bool | None = None

    # Graphics state

    def save(self, _: Any) -> None:
        if len(self.saved) < self.painter.limits.saved_states:
            self.saved.append(copy.copy(self.state))

    def restore(self, _: Any) -> None:
        if self.saved:
            self.state = self.saved.pop()

    def transform(self, operands: Any) -> None:
        self.state.matrix = multiply(_matrix(operands), self.state.matrix)

    def set_line_width(self, operands: Any) -> None:
        self.state.line_width = float(operands[0])

    def set_graphics(self, operands: Any) -> None:
        settings = self._resource("/ExtGState", operands[0])
        state = self.state
        state.fill_alpha = float(_resolved(settings.get("/ca", state.fill_alpha)))
        state.stroke_alpha = float(_resolved(settings.get("/CA", state.stroke_alpha)))
        state.line_width = float(_resolved(settings.get("/LW", state.line_width)))
        blending = _resolved(settings.get("/BM"))
        if blending is not None:
            names = blending if isinstance(blending, list) else [blending]
            state.is_blended = not any(name in ("/Normal", "/Compatible") for name in names)
        if settings.get("/Font") is not None:
            font, size = _resolved(settings["/Font"])
            state.font, state.size = self.painter.font(_resolved(font)), float(size)

    # Colours

    def fill_gray(self, operands: Any) -> None:
        self.state.fill, self.state.fill_space = gray(float(operands[0])), "/DeviceGray"

    def stroke_gray(self, operands: Any) -> None:
        self.state.stroke, self.state.stroke_space = gray(float(operands[0])), "/DeviceGray"

    def fill_rgb(self, operands: Any) -> None:
        self.state.fill, self.state.fill_space = rgb(*map(float, operands)), "/DeviceRGB"

    def stroke_rgb(self, operands: Any) -> None:
        self.state.stroke, self.state.stroke_space = rgb(*map(float, operands)), "/DeviceRGB"

    def fill_cmyk(self, operands: Any) -> None:
        self.state.fill, self.state.fill_space = cmyk(*map(float, operands)), "/DeviceCMYK"

    def stroke_cmyk(self, operands: Any) -> None:
        self.state.stroke, self.state.stroke_space = cmyk(*map(float, operands)), "/DeviceCMYK"

    def set_fill_space(self, operands: Any) -> None:
        self.state.fill_space = self._space(operands[0])
        self.state.fill = first_colour(self.state.fill_space)

    def set_stroke_space(self, operands: Any) -> None:
        self.state.stroke_space = self._space(operands[0])
        self.state.stroke = first_colour(self.state.stroke_space)

    def fill_colour(self, operands: Any) -> None:
        self.state.fill = colour_in(self.state.fill_space, operands)

    def stroke_colour(self, operands: Any) -> None:
        self.state.stroke = colour_in(self.state.stroke_space, operands)

    # Paths

    def move(self, operands: Any) -> None:
        self.outlines.append([self._point(operands)])

    def line_to(self, operands: Any) -> None:
        self.outlines[-1].append(self._point(operands))

    def curve(self, operands: Any) -> None:
        numbers = [float(each) for each in operands]
        controls = [apply(self.state.matrix, *numbers[at : at + 2]) for at in range(0, len(numbers) - 1, 2)]
        self._bend(controls)

    def curve_from_here(self, operands: Any) -> None:
        numbers = [float(each) for each in operands]
        controls = [apply(self.state.matrix, *numbers[at : at + 2]) for at in (0, 2)]
        self._bend([self.outlines[-1][-1], *controls])

    def curve_to_end(self, operands: Any) -> None:
        numbers = [float(each) for each in operands]
        controls = [apply(self.state.matrix, *numbers[at : at + 2]) for at in (0, 2)]
        self._bend([*controls, controls[-1]])

    def close(self, _: Any) -> None:
        if self.outlines and len(self.outlines[-1]) > 1:
            self.outlines.append([self.outlines[-1][0]])

    def add_rectangle(self, operands: Any) -> None:
        left, bottom, width, height = map(float, operands)
        shape = rectangle(self.state.matrix, left, bottom, left + width, bottom + height)
        self.outlines.append(list(shape.outlines[0]))
        self.outlines.append([shape.outlines[0][0]])

    def fill(self, _: Any) -> None:
        self._fill(even_odd=False)
        self.end_path(None)

    def fill_even_odd(self, _: Any) -> None:
        self._fill(even_odd=True)
        self.end_path(None)

    def stroke(self, _: Any) -> None:
        self._stroke()
        self.end_path(None)

    def fill_stroke(self, _: Any) -> None:
        self._fill(even_odd=False)
        self._stroke()
        self.end_path(None)

    def fill_stroke_even_odd(self, _: Any) -> None:
        self._fill(even_odd=True)
        self._stroke()
        self.end_path(None)

    def clip(self, _: Any) -> None:
        self.clipping = False

    def clip_even_odd(self, _: Any) -> None:
        self.clipping = True

    def end_path(self, _: Any) -> None:
        if self.clipping is not None:
            self.state.clip = self.state.clip.within(shape_of(self._closed(), even_odd=self.clipping))
        self.outlines, self.clipping = [], None

    def shade(self, _: Any) -> None:
        box = self.state.clip.box
        self._paint(rectangle(IDENTITY, *box), lambda: None, self.state.fill_alpha)

    def paint_unknown(self, clip: Clip) -> None:
        """Paint something of which only the place is known: text may be seen on it and through it."""
        self._paint(rectangle(IDENTITY, *clip.box), lambda: None, None)

    # Objects

    def use_object(self, operands: Any) -> None:
        thing = self._resource("/XObject", operands[0])
        if any(self.marks) or is_off(thing.get("/OC"), self.painter.catalogue):
            if thing.get("/Subtype") == "/Form":
                self.marks.append(True)
                self._enter(thing)
                self.marks.pop()
        elif thing.get("/Subtype") == "/Image":
            self._picture(thing)
        else:
            self._enter(thing)

    def inline_picture(self, operands: Any) -> None:
        if not any(self.marks):
            settings = operands.get("settings", {}) if isinstance(operands, Mapping) else {}
            is_mask = bool(settings.get("/IM") or settings.get("/ImageMask"))
            self._paint(self._unit_square(), lambda: None, None if is_mask else self.state.fill_alpha, picture=True)

    def begin_mark(self, _: Any) -> None:
        self.marks.append(False)

    def begin_marked_part(self, operands: Any) -> None:
        layer = None
        if str(operands[0]) == "/OC":
            with suppress(LookupError, AttributeError, TypeError):
                layer = self._resource("/Properties", operands[1])
        self.marks.append(layer is not None and is_off(layer, self.painter.catalogue))

    def end_mark(self, _: Any) -> None:
        if self.marks:
            self.marks.pop()

    # Text

    def begin_text(self, _: Any) -> None:
        self.text = self.line = IDENTITY

    def set_font(self, operands: Any) -> None:
        self.state.size = float(operands[1])
        self.state.font = None
        self.state.font = self.painter.font(self._resource("/Font", operands[0]))

    def set_letter_gap(self, operands: Any) -> None:
        self.state.letter_gap = float(operands[0])

    def set_word_gap(self, operands: Any) -> None:
        self.state.word_gap = float(operands[0])

    def set_stretch(self, operands: Any) -> None:
        self.state.stretch = float(operands[0]) / 100

    def set_leading(self, operands: Any) -> None:
        self.state.leading = float(operands[0])

    def set_rise(self, operands: Any) -> None:
        self.state.rise = float(operands[0])

    def set_mode(self, operands: Any) -> None:
        self.state.mode = int(operands[0])

    def move_text(self, operands: Any) -> None:
        self.line = self.text = multiply((1, 0, 0, 1, float(operands[0]), float(operands[1])), self.line)

    def move_text_leading(self, operands: Any) -> None:
        self.state.leading = -float(operands[1])
        self.move_text(operands)

    def set_text_matrix(self, operands: Any) -> None:
        self.line = self.text = _matrix(operands)

    def next_line(self, _: Any) -> None:
        self.move_text((0.0, -self.state.leading))

    def show(self, operands: Any) -> None:
        self._show([operands[0]])

    def show_on_next_line(self, operands: Any) -> None:
        self.next_line(None)
        self._show([operands[0]])

    def show_spaced_on_next_line(self, operands: Any) -> None:
        self.state.word_gap, self.state.letter_gap = float(operands[0]), float(operands[1])
        self.next_line(None)
        self._show([operands[2]])

    def show_adjusted(self, operands: Any) -> None:
        self._show(operands[0])

    # What the operators share

    def _show(self, elements: Sequence[Any]) -> None:
        """Take the strings of one operation apart where a gap parts them, and note each part where it stands."""
        first, characters, length = 0, 0, 0.0
        for at, element in enumerate(elements):
            if isinstance(element, int | float):
                if abs(element) < _WIDE_GAP:
                    length -= element / 1000 * self.state.size
                    continue
                self._note(first, at - 1, characters, length)
                self._advance(length - element / 1000 * self.state.size)
                first, characters, length = at + 1, 0, 0.0
                continue
            codes = _codes(element, self.state.font)
            length += self._length(codes)
            characters += sum(1 for code in codes if code not in _BLANKS)
        self._note(first, len(elements) - 1, characters, length)
        self._advance(length)

    def _length(self, codes: Sequence[int]) -> float:
        """Return how far some letters lead, in units of the text before it is stretched."""
        state = self.state
        width = state.font.width(codes) if state.font else _USUAL_WIDTH * len(codes)
        gaps = state.letter_gap * len(codes)
        if state.word_gap and (state.font is None or state.font.bytes_per_code == 1):
            gaps += state.word_gap * sum(1 for code in codes if code == 32)
        return width * state.size + gaps

    def _advance(self, length: float) -> None:
        self.text = multiply((1, 0, 0, 1, length * self.state.stretch, 0), self.text)

    def _note(self, first: int, last: int, characters: int, length: float) -> None:
        if not characters:
            return
        state = self.state
        matrix = multiply(self.text, state.matrix)
        width, up = length * state.stretch, state.rise + _MIDDLE * state.size
        points = tuple(apply(matrix, width * share, up) for share in _SHARES)
        place = Place(self.stream, self.number, first, last)
        advance = -length * 1000 / state.size if state.size else 0.0
        reason = self._reason(matrix, points)
        order = self.painter.next_order()
        self.painter.spans.append(Span(place, order, points, self._colours(), characters, advance, reason))

    def _reason(self, matrix: Matrix, points: tuple[Point, ...]) -> Reason | None:
        state = self.state
        height = self._height(matrix)
        margin = 0.5 * height
        if any(self.marks):
            return Reason.SWITCHED_OFF
        if state.mode in (3, 7):
            return Reason.INVISIBLE
        if max(self._alphas()) < _LEAST_ALPHA:
            return Reason.TRANSPARENT
        if height * self.painter.unit < _LEAST_HEIGHT:
            return Reason.TINY
        if not any(self.painter.canvas.page.holds(point, margin=margin) for point in points):
            return Reason.OUTSIDE
        if not any(state.clip.holds(point, margin=margin) for point in points):
            return Reason.CLIPPED
        return None

    def _height(self, matrix: Matrix) -> float:
        """Return the height of the letters across their line, or of their width where that is all but nothing."""
        state = self.state
        along = math.hypot(matrix[0], matrix[1])
        if not along:
            return 0.0
        size = abs(state.size) * (state.font.height if state.font else 1.0)
        across = abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) / along
        return min(size * across, _WIDE_ENOUGH * size * along * abs(state.stretch))

    def _alphas(self) -> tuple[float, ...]:
        state = self.state
        match state.mode % 4:
            case 0:
                return (state.fill_alpha,)
            case 1:
                return (state.stroke_alpha,)
            case _:
                return (state.fill_alpha, state.stroke_alpha)

    def _colours(self) -> tuple[Colour | None, ...]:
        state = self.state
        if state.is_blended:
            return (None,)
        match state.mode % 4:
            case 0:
                return (state.fill,)
            case 1:
                return (state.stroke,)
            case _:
                return (state.fill, state.stroke)

    def _closed(self) -> list[list[Point]]:
        return [outline for outline in self.outlines if len(outline) > 1]

    def _fill(self, *, even_odd: bool) -> None:
        colour = self.state.fill
        self._paint(shape_of(self._closed(), even_odd=even_odd), lambda: colour, self.state.fill_alpha)

    def _stroke(self) -> None:
        """Take a thick line for the area it is: headings stand on such bars."""
        matrix, state = self.state.matrix, self.state
        width = state.line_width * math.sqrt(abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]))
        if width < _THICK_LINE:
            return
        colour = state.stroke
        for outline in self._closed():
            for start, end in itertools.pairwise(outline):
                length = math.hypot(end.x - start.x, end.y - start.y)
                if length:
                    along = ((end.x - start.x) / length, (end.y - start.y) / length)
                    bar = rectangle((*along, -along[1], along[0], *start), 0, -width / 2, length, width / 2)
                    self._paint(bar, lambda: colour, state.stroke_alpha)

    def _paint(
        self, shape: Shape, colour: Callable[[], Colour | None], alpha: float | None, *, picture: bool = False
    ) -> None:
        if any(self.marks) or not shape.outlines or (alpha is not None and alpha < _LEAST_ALPHA):
            return
        known = None if self.state.is_blended else alpha
        area = Area(self.painter.next_order(), shape, self.state.clip, colour, lambda: known, picture)
        self.painter.canvas.add(area)

    def _picture(self, image: Any) -> None:
        if self.state.is_blended or self.state.fill_alpha < _LEAST_ALPHA:
            return
        fill_alpha, shape = self.state.fill_alpha, self._unit_square()
        space = _resolved(image.get("/ColorSpace"))
        if isinstance(space, str):
            space = self._space(space)

        def colour() -> Colour | None:
            with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, NotImplementedError):
                return None if image.get("/ImageMask") else uniform_colour(image, space)
            return None

        def alpha() -> float | None:
            return _picture_alpha(image, fill_alpha)

        area = Area(self.painter.next_order(), shape, self.state.clip, colour, alpha, picture=True)
        self.painter.canvas.add(area)

    def _enter(self, form: Any) -> None:
        marks = any(self.marks)
        before = len(self.painter.spans)
        self.painter.enter_form(form, self)
        if marks:
            spans = self.painter.spans
            spans[before:] = [_switched_off(span) for span in spans[before:]]

    def _unit_square(self) -> Shape:
        return rectangle(self.state.matrix, 0, 0, 1, 1)

    def _bend(self, controls: Sequence[Point]) -> None:
        start = self.outlines[-1][-1]
        first, second, end = controls
        self.outlines[-1].extend(_on_curve(start, first, second, end, share) for share in (0.25, 0.5, 0.75, 1.0))

    def _point(self, operands: Any) -> Point:
        return apply(self.state.matrix, float(operands[0]), float(operands[1]))

    def _resource(self, kind: str, name: Any) -> Any:
        return _resolved(_resolved(self.resources[kind])[name])

    def _space(self, name: Any) -> Any:
        with suppress(LookupError, AttributeError, TypeError):
            return self._resource("/ColorSpace", name)
        return str(name)


# A gap in thousandths of the size that parts two columns.
_WIDE_GAP = 2000.0
_USUAL_WIDTH = 0.5
_BLANKS = frozenset({0, 32, 160})
# Where on a piece of text it is looked at: near its ends and in its middle, at half the height of small letters.
_SHARES = (0.08, 0.5, 0.92)
_MIDDLE = 0.28
_LEAST_ALPHA = 0.1
_LEAST_HEIGHT = 2.0
# Letters may be made narrow, but not to a tenth.
_WIDE_ENOUGH = 10.0
_THICK_LINE = 3.0

_HANDLERS: dict[bytes, Callable[[_Run, Any], None]] = {
    b"q": _Run.save,
    b"Q": _Run.restore,
    b"cm": _Run.transform,
    b"w": _Run.set_line_width,
    b"gs": _Run.set_graphics,
    b"g": _Run.fill_gray,
    b"G": _Run.stroke_gray,
    b"rg": _Run.fill_rgb,
    b"RG": _Run.stroke_rgb,
    b"k": _Run.fill_cmyk,
    b"K": _Run.stroke_cmyk,
    b"cs": _Run.set_fill_space,
    b"CS": _Run.set_stroke_space,
    b"sc": _Run.fill_colour,
    b"scn": _Run.fill_colour,
    b"SC": _Run.stroke_colour,
    b"SCN": _Run.stroke_colour,
    b"m": _Run.move,
    b"l": _Run.line_to,
    b"c": _Run.curve,
    b"v": _Run.curve_from_here,
    b"y": _Run.curve_to_end,
    b"h": _Run.close,
    b"re": _Run.add_rectangle,
    b"f": _Run.fill,
    b"F": _Run.fill,
    b"f*": _Run.fill_even_odd,
    b"S": _Run.stroke,
    b"s": _Run.stroke,
    b"B": _Run.fill_stroke,
    b"b": _Run.fill_stroke,
    b"B*": _Run.fill_stroke_even_odd,
    b"b*": _Run.fill_stroke_even_odd,
    b"W": _Run.clip,
    b"W*": _Run.clip_even_odd,
    b"n": _Run.end_path,
    b"sh": _Run.shade,
    b"Do": _Run.use_object,
    b"INLINE IMAGE": _Run.inline_picture,
    b"BMC": _Run.begin_mark,
    b"BDC": _Run.begin_marked_part,
    b"EMC": _Run.end_mark,
    b"BT": _Run.begin_text,
    b"Tf": _Run.set_font,
    b"Tc": _Run.set_letter_gap,
    b"Tw": _Run.set_word_gap,
    b"Tz": _Run.set_stretch,
    b"TL": _Run.set_leading,
    b"Ts": _Run.set_rise,
    b"Tr": _Run.set_mode,
    b"Td": _Run.move_text,
    b"TD": _Run.move_text_leading,
    b"Tm": _Run.set_text_matrix,
    b"T*": _Run.next_line,
    b"Tj": _Run.show,
    b"'": _Run.show_on_next_line,
    b'"': _Run.show_spaced_on_next_line,
    b"TJ": _Run.show_adjusted,
}


def _resolved(value: Any) -> Any:
    return value.get_object() if hasattr(value, "get_object") else value


def _matrix(operands: Any) -> Matrix:
    values = _resolved(operands)
    if values is None:
        return IDENTITY
    a, b, c, d, e, f = (float(_resolved(value)) for value in values)
    return (a, b, c, d, e, f)


def _codes(element: Any, font: Font | None) -> Sequence[int]:
    data: bytes = element.original_bytes if hasattr(element, "original_bytes") else bytes(element)
    if font is None or font.bytes_per_code == 1:
        return data
    return [high << 8 | low for high, low in zip(data[::2], data[1::2], strict=False)]


def _picture_alpha(image: Any, fill_alpha: float) -> float | None:
    """Return how opaque a picture is; None where its parts differ or are not known."""
    if image.get("/ImageMask") or image.get("/Mask") is not None:
        return None
    mask = _resolved(image.get("/SMask"))
    if mask is None:
        return fill_alpha
    with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, NotImplementedError):
        alpha = uniform_alpha(mask)
        return None if alpha is None else alpha * fill_alpha
    return None


def _switched_off(span: Span) -> Span:
    return Span(span.place, span.order, span.points, span.colours, span.characters, span.advance, Reason.SWITCHED_OFF)


def _on_curve(start: Point, first: Point, second: Point, end: Point, share: float) -> Point:
    rest = 1 - share
    weights = (rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3)
    points = (start, first, second, end)
    return Point(
        sum(weight * point.x for weight, point in zip(weights, points, strict=True)),
        sum(weight * point.y for weight, point in zip(weights, points, strict=True)),
    )
