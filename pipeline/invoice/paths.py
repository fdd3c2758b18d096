"""The fields of an invoice by dotted path, such as `vendor.name` or `line_items.0.total`.

What there is comes from the model itself, so that a field added there is known here.
"""

from __future__ import annotations

import copy
import datetime
import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from pipeline.invoice.model import Invoice
from pipeline.invoice.words import squeeze

KIND_PATH = "kind"
_CLOSE_NAMES = 5


class Leaf(StrEnum):
    """Say what a field holds."""

    AMOUNT = "amount"
    DAY = "date"
    TEXT = "text"
    KIND = "kind"


def leaf_of(path: str) -> Leaf | None:
    """Return what the field of that path holds; None where invoices have no such single value."""
    if path == KIND_PATH:
        return Leaf.KIND
    inner: Any = Invoice
    for part in path.split("."):
        inner = _inside(inner, part)
        if inner is None:
            return None
    return None if _is_group(inner) else _leaf(inner)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every single value of plain JSON with its path, in order; nulls too."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from leaves(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from leaves(entry, f"{path}.{number}")
    else:
        yield path, value


def value_at(data: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path of plain JSON; None where there is none."""
    value: Any = data
    for part in path.split("."):
        if isinstance(value, list | tuple):
            value = value[int(part)] if part.isdecimal() and int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def with_value(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return plain JSON with the value at that path; a position one behind the end of a list adds an entry.

    Raises ValueError for a position beyond that.
    """
    changed = copy.deepcopy(dict(data))
    *parents, name = path.split(".")
    place: Any = changed
    for part in parents:
        if isinstance(place, list):
            if int(part) > len(place):
                raise ValueError(f"There is no entry {part} for {path!r}; there are {len(place)}.")
            if int(part) == len(place):
                place.append({})
            place = place[int(part)]
        else:
            if not isinstance(place.get(part), dict | list):
                place[part] = [] if part in _LISTS else {}
            place = place[part]
    place[name] = value
    return changed


def same(path: str, first: object, second: object) -> bool:
    """Say whether two values of a field are the same after normalisation."""
    if first is None or second is None:
        return first is second
    if path.endswith("vat_id"):
        # With and without its country's letters it is the same number.
        one, other = squeeze(str(first)), squeeze(str(second))
        return one == other or re.sub(r"^[a-z]{2}", "", one) == re.sub(r"^[a-z]{2}", "", other)
    match leaf_of(path):
        case Leaf.AMOUNT:
            return Decimal(str(first)) == Decimal(str(second))
        case Leaf.DAY:
            return str(first) == str(second)
    return squeeze(str(first)) == squeeze(str(second))


def close_names(path: str, known: Mapping[str, Any]) -> list[str]:
    """Return the fields whose names are most like the path; `known` is an invoice as plain JSON."""
    shaped = [name for name, value in leaves(known) if not isinstance(value, list | tuple)]
    empty = [f"{name}.0.{inner}" for name in _LISTS for inner in _names(_inside(_inside(Invoice, name), "0"))]
    names = list(dict.fromkeys([KIND_PATH, *shaped, *empty]))
    last = path.split(".")[-1].casefold()
    alike = difflib.get_close_matches(path.casefold(), names, n=_CLOSE_NAMES, cutoff=0.5)
    within = [name for name in names if last and last in name.split(".")[-1]]
    return list(dict.fromkeys([*within, *alike]))[:_CLOSE_NAMES] or names[:_CLOSE_NAMES]


def _inside(annotation: Any, part: str) -> Any:
    """Return the annotation of a part of a group; None where it has no such part."""
    group = _bare(annotation)
    if isinstance(group, type) and issubclass(group, BaseModel):
        field = group.model_fields.get(part)
        return field.annotation if field else None
    if typing.get_origin(group) is tuple:
        return typing.get_args(group)[0] if part.isdecimal() else None
    if typing.get_origin(group) in (dict, Mapping):
        return typing.get_args(group)[1]
    return None


def _bare(annotation: Any) -> Any:
    """Return an annotation without its metadata and without None."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(annotation) if one is not type(None)]
        return _bare(inner[0]) if len(inner) == 1 else annotation
    return annotation


def _is_group(annotation: Any) -> bool:
    bare = _bare(annotation)
    return typing.get_origin(bare) in (tuple, dict, Mapping) or (isinstance(bare, type) and issubclass(bare, BaseModel))


def _leaf(annotation: Any) -> Leaf:
    bare = _bare(annotation)
    return {Decimal: Leaf.AMOUNT, datetime.date: Leaf.DAY}.get(bare, Leaf.TEXT)


def _names(annotation: Any) -> list[str]:
    bare = _bare(annotation)
    return list(bare.model_fields) if isinstance(bare, type) and issubclass(bare, BaseModel) else []


_LISTS = tuple(
    name for name, field in Invoice.model_fields.items() if typing.get_origin(_bare(field.annotation)) is tuple
)
