"""Tell which fields of a PDF form a person sees: its value is read only then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from pipeline.document.hidden.canvas import LEAST_CONTRAST, WHITE, Box, Colour, contrast
from pipeline.document.hidden.colours import cmyk, gray, rgb
from pipeline.document.hidden.references import resolved


class SeenFields:
    """Know the places of a form's fields on the pages of its document."""

    def __init__(self, pages: Sequence[Any]) -> None:
        self._sights: dict[int, Box] = {}
        # Held as well, since their identities are the keys.
        self._widgets: list[Any] = []
        for page in pages:
            with suppress(TypeError, ValueError, LookupError, AttributeError):
                sight = _box(page.cropbox)
                for entry in islice(resolved(page.get("/Annots")) or (), _MOST_WIDGETS):
                    widget = resolved(entry)
                    self._widgets.append(widget)
                    self._sights[id(widget)] = sight

    def shows(self, field: Any) -> bool:
        """Say whether the field's value stands on a page, in a size and a colour that can be read."""
        return any(self._is_seen(widget, field) for widget in _places(field))

    def _is_seen(self, widget: Any, field: Any) -> bool:
        sight = self._sights.get(id(widget))
        if sight is None or int(widget.get("/F", 0)) & _NOT_SHOWN:
            return False
        place = _box(widget["/Rect"]).meet(sight)
        if min(place.right - place.left, place.top - place.bottom) < _LEAST_SIZE:
            return False
        look = str(resolved(widget.get("/DA") or field.get("/DA") or ""))
        size = _SIZE.search(look)
        if size is not None and 0 < abs(float(size[1])) < _LEAST_SIZE:
            return False
        return contrast(_colour(look), _ground(widget)) >= LEAST_CONTRAST


_MOST_WIDGETS = 5000
_MOST_PLACES = 50
_NOT_SHOWN = 2 | 32
_LEAST_SIZE = 2.0
_SIZE = re.compile(r"([-\d.]+)\s+Tf\b")
_FILL = re.compile(r"((?:[\d.]+\s+){1,4})(?:g|rg|k)\b")


def _places(field: Any) -> Iterator[Any]:
    if "/Rect" in field:
        yield field
    for kid in islice(resolved(field.get("/Kids")) or (), _MOST_PLACES):
        widget = resolved(kid)
        if "/Rect" in widget:
            yield widget


def _colour(look: str) -> Colour:
    found = _FILL.findall(look)
    return _of_parts([float(part) for part in found[-1].split()]) if found else gray(0)


def _ground(widget: Any) -> Colour:
    style = resolved(widget.get("/MK")) or {}
    parts = [float(resolved(part)) for part in resolved(style.get("/BG")) or ()]
    return _of_parts(parts) if parts else WHITE


def _of_parts(parts: Sequence[float]) -> Colour:
    match len(parts):
        case 1:
            return gray(parts[0])
        case 3:
            return rgb(*parts)
        case 4:
            return cmyk(*parts)
    return gray(0)


def _box(values: Any) -> Box:
    left, bottom, right, top = (float(resolved(each)) for each in resolved(values))
    return Box(min(left, right), min(bottom, top), max(left, right), max(bottom, top))
