"""Fields that a user adds to the invoice in the agent's file: what they may be, and how the document bears them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field, model_validator

from pipeline.invoice.checks import error, info, quoted, warning
from pipeline.invoice.grounding import Grounding
from pipeline.invoice.model import Extraction, Finding, Invoice, Kind, OwnValue, Severity
from pipeline.invoice.patterns import LONGEST_MATCHED, LONGEST_PATTERN, fits, pattern_problem

MOST_OWN_FIELDS = 20
# So long a value may be; one with a pattern is shorter, see `patterns`.
_LONGEST_VALUE = 200


class OwnType(StrEnum):
    """Say what a field holds, which decides how it is read and looked up in the document."""

    TEXT = "text"
    IDENTIFIER = "identifier"
    AMOUNT = "amount"
    NUMBER = "number"
    INTEGER = "integer"
    DATE = "date"


class OwnField(BaseModel, frozen=True, extra="forbid"):
    """Set one field of your own."""

    name: str = Field(pattern="^[a-z][a-z0-9_]{0,39}$", description="small letters, digits and underscores")
    type: OwnType = Field(OwnType.TEXT, description="text, identifier, amount, number, integer or date")
    description: str = Field(
        min_length=1, max_length=300, description="what it is and how the documents label it, told to the model"
    )
    required: bool = Field(False, description="without a value the job goes to review")
    pattern: str = Field(
        "",
        max_length=LONGEST_PATTERN,
        description="a regular expression that the whole printed value has to fit; another one is not taken",
    )

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.name in Invoice.model_fields or self.name in _TAKEN:
            raise ValueError(f"{self.name} is a field of every invoice already: choose another name")
        problem = pattern_problem(self.pattern) if self.pattern else None
        if problem:
            raise ValueError(f"the pattern of {self.name} is not taken: {problem}")
        return self

    @property
    def path(self) -> str:
        """Return what findings, evidence, corrections and exports call it."""
        return f"own_fields.{self.name}"

    @property
    def longest(self) -> int:
        """Return how many characters a value may have."""
        return LONGEST_MATCHED if self.pattern else _LONGEST_VALUE


_TAKEN = frozenset({"kind", "status", "job", "own_fields"})


def ground_own_fields(grounding: Grounding, extraction: Extraction, own: Sequence[OwnField]) -> dict[str, OwnValue]:
    """Return a value or None for each field, as the document shows it; findings go to the grounding."""
    if extraction.kind is Kind.OTHER:
        return {}
    return {field.name: _ground(grounding, field, extraction.own_fields.get(field.name)) for field in own}


def check_own_fields(values: Mapping[str, OwnValue], own: Sequence[OwnField]) -> Iterator[Finding]:
    """Find required fields without a value."""
    for field in own:
        if field.required and values.get(field.name) is None:
            yield error("own_field_missing", field.path, f"The required field {field.name} was not found.")


def misfit(field: OwnField, value: str) -> Finding | None:
    """Return what is wrong with the form of a value, whoever gave it; None where it may stand in the field."""
    make = error if field.required else warning
    if len(value) > field.longest:
        return make("own_field_too_long", field.path, f"{field.name} is over {field.longest} long.")
    if field.pattern and not fits(field.pattern, value):
        message = f"{quoted(value)} is not of the form asked for {field.name}, which is {field.pattern}"
        return make("own_field_pattern", field.path, message)
    return None


def unread_own_fields(own: Sequence[OwnField]) -> tuple[dict[str, OwnValue], tuple[Finding, ...]]:
    """Return the fields of an e-invoice: nobody looks for them there, and every one of them is told."""
    message = "An e-invoice is read without the model, which alone looks for {}: give its value as a correction."
    found = [
        (error if field.required else info)(
            "own_field_missing" if field.required else "own_field_not_read", field.path, message.format(field.name)
        )
        for field in own
    ]
    return dict.fromkeys(field.name for field in own), tuple(found)


def _ground(grounding: Grounding, field: OwnField, claim: Decimal | str | None) -> OwnValue:
    if claim is None:
        return None
    severity = Severity.ERROR if field.required else Severity.WARNING
    printed = str(claim)
    wrong_form = misfit(field, printed)
    if wrong_form is not None:
        grounding.findings.append(wrong_form)
        return None
    match field.type:
        case OwnType.TEXT:
            return grounding.wording(field.path, printed, severity)
        case OwnType.IDENTIFIER:
            return grounding.identifier(field.path, printed, severity)
        case OwnType.AMOUNT:
            return grounding.any_amount(field.path, claim, severity)
        case OwnType.DATE:
            day = grounding.any_day(field.path, printed, severity)
            return day.isoformat() if day else None
        case OwnType.NUMBER | OwnType.INTEGER:
            return grounding.any_number(field.path, claim, severity, whole=field.type is OwnType.INTEGER)
