"""How wide the letters of a PDF font are, as far as the place of a text on its page needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.document.hidden.references import resolved

# Of a font that does not say how wide its letters are, in parts of the size.
USUAL_WIDTH = 0.5


@dataclass(frozen=True)
class Font:
    """Hold widths by code, in parts of the size; `height` is that of its letters in the same measure."""

    bytes_per_code: int
    widths: Mapping[int, float]
    usual_width: float
    height: float = 1.0

    def width(self, codes: Sequence[int]) -> float:
        """Return the width of some letters."""
        widths, usual = self.widths, self.usual_width
        return sum([widths.get(code, usual) for code in codes])


def font_of(resource: Any) -> Font:
    """Return the widths of a font; a broken one has usual widths."""
    with suppress(TypeError, ValueError, LookupError, AttributeError):
        match resource.get("/Subtype"):
            case "/Type0":
                return _composite(resolved(resolved(resource["/DescendantFonts"])[0]))
            case "/Type3":
                return _drawn(resource)
            case _:
                return Font(1, _listed(resource, 0.001), USUAL_WIDTH)
    return Font(1, {}, USUAL_WIDTH)


_MOST_WIDTHS = 20_000


def _listed(resource: Any, unit: float) -> dict[int, float]:
    first = int(resolved(resource.get("/FirstChar", 0)))
    widths = resolved(resource.get("/Widths")) or ()
    return {first + at: float(resolved(width)) * unit for at, width in enumerate(islice(widths, 65536))}


def _composite(descendant: Any) -> Font:
    usual = float(resolved(descendant.get("/DW", 1000))) / 1000
    widths: dict[int, float] = {}
    entries = list(islice(resolved(descendant.get("/W")) or (), _MOST_WIDTHS))
    at = 0
    while at + 1 < len(entries) and len(widths) < _MOST_WIDTHS:
        first, second = int(resolved(entries[at])), resolved(entries[at + 1])
        if isinstance(second, list):
            widths.update({first + step: float(resolved(width)) / 1000 for step, width in enumerate(second)})
            at += 2
        else:
            width = float(resolved(entries[at + 2])) / 1000
            widths.update(dict.fromkeys(range(first, min(int(second), first + _MOST_WIDTHS) + 1), width))
            at += 3
    return Font(2, widths, usual)


def _drawn(resource: Any) -> Font:
    """Return the widths of a font whose letters are drawings in units of their own."""
    matrix = [float(resolved(each)) for each in resource["/FontMatrix"]]
    box = [float(resolved(each)) for each in resource.get("/FontBBox", (0, 0, 0, 0))]
    # Many such fonts leave their box empty; nothing is said about their height then.
    height = abs(matrix[3] * (box[3] - box[1])) or 1000.0
    return Font(1, _listed(resource, abs(matrix[0])), USUAL_WIDTH, height)
