"""Pieces of text on a page: where each stands, in which colours, and why it may not be seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipeline.document.hidden.canvas import Colour, Point


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
