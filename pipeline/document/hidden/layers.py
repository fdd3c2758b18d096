"""Tell which layers of a PDF (its optional content) are switched off when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.document.hidden.references import resolved


def is_off(layer: Any, catalogue: Mapping[str, Any]) -> bool:
    """Say whether a layer, or a rule over several, hides what is on it; what is not understood is shown."""
    layer = resolved(layer)
    if not isinstance(layer, Mapping):
        return False
    groups = layer.get("/OCGs") if layer.get("/Type") == "/OCMD" else layer
    groups = resolved(groups)
    members = [resolved(group) for group in groups] if isinstance(groups, list) else [groups]
    shown = [not _group_is_off(group, catalogue) for group in members if isinstance(group, Mapping)]
    if not shown:
        return False
    match layer.get("/P"):
        case "/AllOn":
            return not all(shown)
        case "/AnyOff":
            return all(shown)
        case "/AllOff":
            return any(shown)
        case _:
            return not any(shown)


def _group_is_off(group: Mapping[str, Any], catalogue: Mapping[str, Any]) -> bool:
    properties = resolved(catalogue.get("/OCProperties")) or {}
    first = resolved(properties.get("/D")) or {}
    if first.get("/BaseState") == "/OFF":
        return not _lists(first.get("/ON"), group)
    return _lists(first.get("/OFF"), group)


def _lists(groups: Any, group: Mapping[str, Any]) -> bool:
    return any(resolved(each) is group for each in resolved(groups) or ())
