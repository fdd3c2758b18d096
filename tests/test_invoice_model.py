"""Exact values in and out, and liberal reading of what models write."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.invoice.asking import Asked, FurtherField
from pipeline.invoice.model import (
    Adjustment,
    Extraction,
    Invoice,
    Kind,
    LineItem,
    Party,
    Tax,
    dumps,
    extraction_schema,
    loads,
)
from pipeline.invoice.own_fields import OwnField

INVOICE = Invoice(
    invoice_number="R-1",
    date=datetime.date(2026, 3, 5),
    currency="EUR",
    total_amount=Decimal("1190.00"),
    taxes=(Tax(rate=Decimal(19), amount=Decimal("190.00")),),
    vendor=Party(name="Müller & Söhne"),
    line_items=(LineItem(description="Nägel", quantity=Decimal("0.10"), total=Decimal("1000.00")),),
)


def test_amounts_are_written_digit_by_digit() -> None:
    """JSON holds amounts as numbers with exactly their digits, and dates as ISO text."""
    text = dumps(INVOICE.to_json())
    assert '"total_amount": 1190.00' in text
    assert '"quantity": 0.10' in text
    assert '"date": "2026-03-05"' in text
    assert json.loads(text)["vendor"]["name"] == "Müller & Söhne"


@pytest.mark.parametrize("indent", [None, 2])
def test_round_trip(indent: int | None) -> None:
    """What is written is read back as the same values with the same digits."""
    again = Invoice.from_json(loads(dumps(INVOICE.to_json(), indent=indent)))
    assert again == INVOICE
    assert str(again.total_amount) == "1190.00"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
        lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
        max_leaves=8,
    )
)
def test_dumps_writes_valid_json(value: object) -> None:
    """Anything JSON can hold is written as valid JSON, and decimals come back with the same value."""
    assert json.loads(dumps(value), parse_float=Decimal, parse_int=Decimal) == json.loads(
        dumps(value, indent=2), parse_float=Decimal, parse_int=Decimal
    )
    if isinstance(value, Decimal):
        assert json.loads(dumps(value), parse_float=Decimal, parse_int=Decimal) == value


def test_no_number_is_refused() -> None:
    """A value that is no number cannot become a JSON number."""
    with pytest.raises(ValueError, match="NaN"):
        dumps(Decimal("NaN"))


def test_written_invoice_fits_its_schema() -> None:
    """The schema of an invoice accepts what is written."""
    assert jsonschema.Draft202012Validator(Invoice.model_json_schema(mode="serialization")).is_valid(
        json.loads(dumps(INVOICE.to_json()))
    )


def test_fields_name_their_business_term() -> None:
    """Every field of an invoice says which term of EN 16931 it is."""
    for model in (Invoice, Party, Tax, LineItem, Adjustment):
        for name, field in model.model_fields.items():
            assert "(B" in (field.description or "") or name == "own_fields", name


ALL = Asked(tuple(FurtherField), (OwnField(name="cost_centre", description="Kostenstelle"),))


@pytest.mark.parametrize("asked", [Asked(), ALL])
def test_extraction_schema_is_fit_for_a_grammar(asked: Asked) -> None:
    """The schema has a bound on every string and list, and uses no keyword that servers refuse or drop."""

    def walk(node: dict[str, object]) -> None:
        assert not {"pattern", "format", "$ref", "title", "anyOf"} & set(node)
        kind = node["type"]
        if kind == "object":
            properties = node["properties"]
            assert isinstance(properties, dict)
            assert node["additionalProperties"] is False
            assert set(node["required"]) <= set(properties)
            for child in properties.values():
                walk(child)
        elif kind == "array":
            assert isinstance(node["maxItems"], int)
            assert isinstance(node["items"], dict)
            walk(node["items"])
        else:
            assert "enum" in node or isinstance(node["maxLength"], int)

    walk(asked.schema())


def test_the_schema_has_the_fields_of_an_invoice() -> None:
    """All but the rounding can be asked for; what comes on top of the first fields may be left out of an answer."""
    schema, short = ALL.schema(), extraction_schema()
    assert set(schema["properties"]) == {"kind", *Invoice.model_fields} - {"rounding_amount"}
    assert set(schema["properties"]["line_items"]["items"]["properties"]) == set(LineItem.model_fields)
    assert set(schema["properties"]["vendor"]["properties"]) == set(Party.model_fields)
    assert set(schema["properties"]["charges"]["items"]["properties"]) == set(Adjustment.model_fields)
    assert set(schema["required"]) == set(short["required"]) | {"own_fields"}
    assert Asked().schema() == short


def test_extraction_reads_what_models_write() -> None:
    """Numbers, missing and extra keys, empty words and wrong shapes are read as well as they can be."""
    read = Extraction.model_validate(
        {
            "kind": "Credit Note",
            "invoice_number": 4711,
            "date": "N/A",
            "total_amount": 1190.5,
            "net_amount": "1.000,00",
            "tax_amount": True,
            "taxes": None,
            "vendor": "Shop Ltd",
            "line_items": [{"description": " a  b ", "total": Decimal("1.10")}, "junk", None],
            "mood": "good",
        }
    )
    assert read.kind is Kind.CREDIT_NOTE
    assert read.invoice_number == "4711"
    assert read.date is None
    assert read.total_amount == Decimal("1190.5")
    assert read.net_amount == "1.000,00"
    assert read.tax_amount is None
    assert read.vendor.name == "Shop Ltd"
    assert [line.description for line in read.line_items] == ["a b"]


@given(
    st.dictionaries(
        st.sampled_from(["kind", "total_amount", "vendor", "line_items", "taxes", "date", "buyer"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda c: st.lists(c, max_size=2) | st.dictionaries(st.text(max_size=5), c, max_size=2),
            max_leaves=4,
        ),
    )
)
def test_extraction_never_fails(raw: dict[str, object]) -> None:
    """Whatever a model answers, there is an extraction."""
    assert Extraction.model_validate(raw)
