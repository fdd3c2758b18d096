"""What lies above and below a piece of text on a page: painted areas, their colours, and whether one hides the other.

Points and boxes are in the page's own units. Colours are red, green and blue from 0 to 1; None is a colour that is
not known, such as that of a photograph, which counts as showing every text on it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Colour = tuple[float, float, float]
Matrix = tuple[float, float, float, float, float, float]

BLACK: Colour = (0.0, 0.0, 0.0)
WHITE: Colour = (1.0, 1.0, 1.0)
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
# Two colours nearer to each other than this ratio of brightness cannot be told apart by eye; it is 21 for black on
# white and 1.6 for the palest grey that invoices print.
LEAST_CONTRAST = 1.2
# Thinner areas are lines: they cover no text and are no ground to read it on.
THINNEST_AREA = 1.5


class Point(NamedTuple):
    """Hold a place on the page."""

    x: float
    y: float


class Box(NamedTuple):
    """Hold an upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def holds(self, point: Point, *, margin: float = 0.0) -> bool:
        """Say whether a point lies inside, or no further outside than the margin."""
        across = self.left - margin <= point.x <= self.right + margin
        return across and self.bottom - margin <= point.y <= self.top + margin

    def meet(self, other: Box) -> Box:
        """Return what both have in common; it may be empty."""
        left, bottom = max(self.left, other.left), max(self.bottom, other.bottom)
        return Box(left, bottom, max(left, min(self.right, other.right)), max(bottom, min(self.top, other.top)))

    @property
    def size(self) -> float:
        """Return the area of the box."""
        return (self.right - self.left) * (self.top - self.bottom)


@dataclass(frozen=True, slots=True)
class Shape:
    """Hold closed outlines that are painted or cut out together; `even_odd` is the rule for what is inside."""

    outlines: tuple[tuple[Point, ...], ...]
    box: Box
    even_odd: bool = False

    def holds(self, point: Point) -> bool:
        """Say whether a point lies inside."""
        if not self.box.holds(point):
            return False
        turns = [turn for outline in self.outlines for turn in _turns(outline, point)]
        return len(turns) % 2 == 1 if self.even_odd else sum(turns) != 0


@dataclass(frozen=True, slots=True)
class Clip:
    """Hold what painting is limited to; of very many nested shapes only the first ones are kept besides the box."""

    box: Box
    shapes: tuple[Shape, ...] = ()

    def within(self, shape: Shape) -> Clip:
        """Return the clip narrowed by one more shape."""
        box = self.box.meet(shape.box)
        if len(self.shapes) >= _MOST_CLIP_SHAPES or _is_box(shape):
            return Clip(box, self.shapes)
        return Clip(box, (*self.shapes, shape))

    def holds(self, point: Point, *, margin: float = 0.0) -> bool:
        """Say whether what is painted at a point is seen."""
        return self.box.holds(point, margin=margin) and all(shape.holds(point) for shape in self.shapes)


@dataclass(frozen=True, slots=True)
class Area:
    """Hold one painted area; `order` counts what is painted on the page.

    A picture tells its colour and whether it lets through what lies below only when asked, since that costs time.
    """

    order: int
    shape: Shape
    clip: Clip
    colour: Callable[[], Colour | None]
    alpha: Callable[[], float | None]
    picture: bool = False

    def holds(self, point: Point) -> bool:
        """Say whether the area lies at a point of the page."""
        return self.shape.holds(point) and self.clip.holds(point)


class Canvas:
    """Hold all areas of a page in stripes of its height, so that a text asks only those near it."""

    def __init__(self, page: Box, *, most_questions: int) -> None:
        self.page = page
        self.exhausted = False
        self._questions = most_questions
        self._stripes: defaultdict[int, list[Area]] = defaultdict(list)
        self.pictures: list[Area] = []

    def add(self, area: Area) -> None:
        """Add an area above all others, unless it is a mere line or out of sight."""
        box = area.shape.box.meet(area.clip.box).meet(self.page)
        if min(box.right - box.left, box.top - box.bottom) < THINNEST_AREA:
            return
        for stripe in range(_stripe(box.bottom), _stripe(box.top) + 1):
            self._stripes[stripe].append(area)
        if area.picture:
            self.pictures.append(area)

    def cover(self, points: Sequence[Point], order: int) -> Area | None:
        """Return an area painted later that hides all the points."""
        for area in reversed(self._near(points[0])):
            if area.order <= order:
                return None
            if all(area.holds(point) for point in points) and _is_opaque(area):
                return area
        return None

    def ground(self, point: Point, order: int) -> Colour | None:
        """Return the colour a text painted at that time stands on."""
        above: list[tuple[Colour, float]] = []
        ground: Colour = WHITE
        for area in reversed(self._near(point)):
            if area.order >= order or not area.holds(point):
                continue
            colour, alpha = area.colour(), area.alpha()
            if colour is None or alpha is None:
                return None
            if alpha >= _OPAQUE:
                ground = colour
                break
            above.append((colour, alpha))
        for colour, alpha in reversed(above):
            ground = blend(colour, ground, alpha)
        return ground

    def _near(self, point: Point) -> Sequence[Area]:
        near = self._stripes.get(_stripe(point.y), ())
        self._questions -= len(near)
        if self._questions < 0:
            self.exhausted = True
            return ()
        return near


def apply(matrix: Matrix, x: float, y: float) -> Point:
    """Return where a matrix puts a point."""
    a, b, c, d, e, f = matrix
    return Point(a * x + c * y + e, b * x + d * y + f)


def multiply(first: Matrix, second: Matrix) -> Matrix:
    """Return the matrix that applies one and then the other."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)


def shape_of(outlines: Sequence[Sequence[Point]], *, even_odd: bool = False) -> Shape:
    """Return a shape with the box around it."""
    points = [point for outline in outlines for point in outline]
    if not points:
        return Shape((), Box(0, 0, 0, 0))
    xs, ys = [point.x for point in points], [point.y for point in points]
    return Shape(tuple(map(tuple, outlines)), Box(min(xs), min(ys), max(xs), max(ys)), even_odd)


def rectangle(matrix: Matrix, left: float, bottom: float, right: float, top: float) -> Shape:
    """Return a rectangle as a matrix puts it on the page."""
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    return shape_of([[apply(matrix, x, y) for x, y in corners]])


def blend(colour: Colour, ground: Colour, alpha: float) -> Colour:
    """Return the colour seen where one is painted over another."""
    red, green, blue = (alpha * above + (1 - alpha) * below for above, below in zip(colour, ground, strict=True))
    return red, green, blue


def contrast(first: Colour, second: Colour) -> float:
    """Return the ratio of brightness of two colours, from 1 to 21; of equally bright ones that of their hues."""
    light, dark = sorted((_brightness(first), _brightness(second)), reverse=True)
    ratio = (light + 0.05) / (dark + 0.05)
    hue = max(abs(a - b) for a, b in zip(first, second, strict=True))
    return max(ratio, 1 + hue) if hue > _OTHER_HUE else ratio


_MOST_CLIP_SHAPES = 6
_STRIPE_HEIGHT = 16.0
_OPAQUE = 0.9
_OTHER_HUE = 0.2


def _stripe(y: float) -> int:
    return math.floor(y / _STRIPE_HEIGHT)


def _is_opaque(area: Area) -> bool:
    alpha = area.alpha()
    return alpha is not None and alpha >= _OPAQUE


def _is_box(shape: Shape) -> bool:
    """Say whether a shape is nothing but its own box."""
    if len(shape.outlines) != 1 or len(shape.outlines[0]) not in (4, 5):
        return False
    xs, ys = {point.x for point in shape.outlines[0]}, {point.y for point in shape.outlines[0]}
    return len(xs) == 2 and len(ys) == 2


def _turns(outline: tuple[Point, ...], point: Point) -> list[int]:
    """Return how an outline passes the line to the right of a point: 1 upwards, -1 downwards."""
    found = []
    x, y = point
    before = outline[-1]
    for here in outline:
        if (before.y <= y) != (here.y <= y):
            crossing = before.x + (y - before.y) * (here.x - before.x) / (here.y - before.y)
            if crossing > x:
                found.append(1 if here.y > before.y else -1)
        before = here
    return found


def _brightness(colour: Colour) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
