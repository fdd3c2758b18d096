"""Fields that a user invented: what stands beside a label that the field's name or description speaks of."""

from __future__ import annotations

import re

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.labels import Labels, beside
from pipeline.llm.standin.layout import Layout, fold

_MOST_LABEL_WORDS = 4
_SHORTEST_LABEL = 3
# What a description is cut at, to find the labels it names.
_BETWEEN = re.compile(
    r"[,;:()\"“”„'/]|\b(?:or|oder|ou|and|und|et|as|als|of|the|printed|labelled|called|named|such|like)\b"
)


def read_own_fields(schema: JsonObject, text: str) -> dict[str, str]:
    """Return what the text shows for each of the schema's own fields that a label is found for."""
    asked = schema.get("properties", {}).get("own_fields", {}).get("properties", {})
    if not asked:
        return {}
    layout = Layout(text)
    found = {name: _beside_label(layout, name, each.get("description", "")) for name, each in asked.items()}
    return {name: value for name, value in found.items() if value}


def _beside_label(layout: Layout, name: str, description: str) -> str | None:
    for hit in _labels(name, description).hits(layout):
        if not hit.at_start:
            continue
        for text, _, _ in beside(layout, hit):
            value = text.strip(" .:#")
            if value:
                return value
    return None


def _labels(name: str, description: str) -> Labels:
    """Return the field's name and the short phrases of its description."""
    phrases = (" ".join(part.split()) for part in _BETWEEN.split(fold(description)))
    short = {one for one in phrases if len(one) >= _SHORTEST_LABEL and len(one.split()) <= _MOST_LABEL_WORDS}
    return Labels({2: (fold(name).replace("_", " "),), 1: tuple(sorted(short))})
