"""Fields that a user adds in the agent's file: from the file to result, correction and export."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from einvoice_files import Facts, ubl
from test_invoice_further import PAGE, RAW
from test_invoice_verify import document, errors
from test_pipeline import SCHEMA

from pipeline.agents import AgentSettings, load_agents
from pipeline.app import open_app
from pipeline.config import Settings, shipped_config
from pipeline.errors import ConfigError
from pipeline.export.rows import invoice_row
from pipeline.invoice.asking import Asked
from pipeline.invoice.by_person import PersonsValue
from pipeline.invoice.model import Evidence, loads
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.verify import UnknownField, Verified, apply_corrections, verify
from pipeline.llm.standin.own_fields import read_own_fields
from pipeline.replay import replay_recorded
from pipeline.worker import Worker

TEXT = f"""{PAGE}
Kostenstelle: 4711-A    Projekt: Neubau Halle 3
Palettenpfand 36,00 EUR   Pakete 12   Abruf am 01.02.2026
"""
OWN = tuple(
    OwnField.model_validate(one)
    for one in (
        {"name": "cost_centre", "type": "identifier", "description": "Kostenstelle", "pattern": r"\d{4}(-[A-Z])?"},
        {"name": "project", "description": "project, printed as Projekt", "required": True},
        {"name": "deposit", "type": "amount", "description": "Palettenpfand"},
        {"name": "parcels", "type": "integer", "description": "number of parcels, Pakete"},
        {"name": "weight", "type": "number", "description": "weight"},
        {"name": "called_on", "type": "date", "description": "Abruf"},
    )
)
GIVEN = {
    "cost_centre": "4711-A",
    "project": "Neubau Halle 3",
    "deposit": "36,00 EUR",
    "parcels": "12",
    "weight": None,
    "called_on": "01.02.2026",
}


def told(**changes: Any) -> Verified:
    return verify({**RAW, "own_fields": {**GIVEN, **changes}}, document(TEXT), own_fields=OWN)


def values_of(verified: Verified) -> dict[str, Any]:
    assert verified.invoice
    return dict(verified.invoice.to_json()["own_fields"])


def test_values_of_every_type_are_grounded() -> None:
    """Each is looked up as what it is, with its words as evidence; one that is not there is null and no trouble."""
    verified = told()
    assert values_of(verified) == {
        "cost_centre": "4711-A",
        "project": "Neubau Halle 3",
        "deposit": Decimal("36.00"),
        "parcels": Decimal(12),
        "weight": None,
        "called_on": "2026-02-01",
    }
    assert verified.findings == ()
    assert verified.evidence["own_fields.project"] == Evidence(
        page=1, quote="Kostenstelle: 4711-A Projekt: Neubau Halle 3"
    )


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("cost_centre", "4711-B", "not_in_document"),
        ("cost_centre", "RE-2026/0815", "own_field_pattern"),
        ("cost_centre", "4" * 101, "own_field_too_long"),
        ("deposit", "63,00", "not_in_document"),
        ("deposit", "much", "amount_unreadable"),
        ("parcels", "2,50", "number_not_whole"),
        ("parcels", "13", "not_in_document"),
        ("called_on", "02.02.2026", "not_in_document"),
        ("called_on", "soon", "date_unreadable"),
    ],
)
def test_what_the_document_does_not_bear_out_is_null_and_told(name: str, value: str, code: str) -> None:
    """A wrong value of a field that is not required is left out with a warning."""
    verified = told(**{name: value})
    assert values_of(verified)[name] is None
    assert {(one.code, one.field) for one in verified.findings} == {(code, f"own_fields.{name}")}
    assert not verified.needs_review


@pytest.mark.parametrize(("value", "code"), [(None, "own_field_missing"), ("Neubau Halle 4", "not_in_document")])
def test_a_required_field_without_a_true_value_goes_to_review(value: str | None, code: str) -> None:
    """Nothing is silent about what has to be there."""
    assert errors(told(project=value)) == {(code, "own_fields.project")}


def test_corrections_reach_own_fields_and_no_others() -> None:
    """A correction names a field as findings do; a name that nobody configured is unknown."""
    raw = apply_corrections(RAW, {"own_fields.project": "Neubau Halle 3"}, own_fields=OWN)
    assert values_of(verify(raw, document(TEXT), own_fields=OWN))["project"] == "Neubau Halle 3"
    with pytest.raises(UnknownField):
        apply_corrections(RAW, {"own_fields.colour": "red"}, own_fields=OWN)
    with pytest.raises(UnknownField):
        apply_corrections(RAW, {"own_fields.project": "x"})


def test_a_persons_value_that_breaks_its_pattern_is_told_as_that() -> None:
    """The document shows it: to say that it does not would send a person looking for what is there."""
    given = PersonsValue("own_fields.cost_centre", "RE-2026/0815", None, "root")
    verified = verify({**RAW, "own_fields": GIVEN}, document(TEXT), own_fields=OWN, by_person=(given,))
    (told_of,) = (one for one in verified.findings if one.code != "corrected_by_person")
    assert (told_of.code, "not of the form" in told_of.message) == ("own_field_pattern", True)
    assert r"\d{4}(-[A-Z])?" in told_of.message


def test_the_model_is_told_of_them_in_words() -> None:
    """Prompt and schema name every field; a prompt without own fields stays as it is."""
    asked = Asked(own=OWN)
    assert set(asked.schema()["properties"]["own_fields"]["properties"]) == set(GIVEN)
    assert "- cost_centre (code or number as printed): Kostenstelle" in asked.prompt("Read.")
    assert Asked().prompt("Read.") == "Read."


def test_the_stand_in_finds_them_by_their_labels() -> None:
    """A line with the words of the name or of the description gives the value."""
    found = read_own_fields(Asked(own=OWN).schema(), TEXT)
    assert (found["cost_centre"], found["project"]) == ("4711-A", "Neubau Halle 3")
    assert "weight" not in found


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"name": "Cost Centre", "description": "x"}, "fields.0.name"),
        ({"name": "due_date", "description": "x"}, "due_date is a field of every invoice already"),
        ({"name": "a", "type": "colour", "description": "x"}, "fields.0.type"),
        ({"name": "a", "description": "x", "pattern": "(a+)+"}, "the pattern of a is not taken: a repeated group"),
        ({"name": "a"}, "fields.0.description"),
        ({"name": "a", "description": "x", "label": "y"}, "fields.0.label (of “a”): unknown key"),
        ({"name": "a", "type": "date"}, "fields.0.description (of “a”)"),
        ({"name": "cost_centre", "description": "x"}, "two fields are named cost_centre"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, field: dict[str, str], said: str) -> None:
    """File, key and what is wrong with it stand in the message."""
    config = with_fields(tmp_path, field, {"name": "cost_centre", "description": "x"})
    with pytest.raises(ConfigError) as raised:
        load_agents(config)
    assert said in raised.value.message
    assert "invoice.toml" in raised.value.message


@pytest.mark.parametrize(
    ("old", "new", "known"),
    [
        ("[[goals]]\n", "[[goals]]\nimportance = 1\n", "description, name, priority"),
        ("[limits]\n", "[limits]\nhours = 1\n", "reminders, repeated_calls, seconds, steps, tokens"),
        ("description =", "colour = 1\ndescription =", "description, extraction, fields, files, goals"),
    ],
)
def test_a_misspelt_key_is_told_with_those_that_there_are(tmp_path: Path, old: str, new: str, known: str) -> None:
    """The keys are those of the table in which the mistake stands."""
    config = with_fields(tmp_path)
    file = config / "agents" / "invoice.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key") as raised:
        load_agents(config)
    assert raised.value.hint.startswith(f"known here: {known}")


def test_the_example_in_the_shipped_file_works(tmp_path: Path) -> None:
    """What stands there behind comment signs is a field once they are taken away."""
    config = tmp_path / "config"
    shutil.copytree(shipped_config(), config)
    file = config / "agents" / "invoice.toml"
    text = file.read_text(encoding="utf-8")
    example = text[text.index("# [[fields]]") :].split("\n\n")[0]
    # A list of tables goes on until the next table, so it may stand where the comment stood.
    file.write_text(text.replace(example, example.replace("# ", "")), encoding="utf-8")
    assert [field.name for field in load_agents(config)["invoice"].fields] == ["cost_centre"]


def test_other_agents_have_no_fields() -> None:
    """An agent that writes an answer extracts nothing."""
    with pytest.raises(ValueError, match="only an agent with result"):
        AgentSettings.model_validate(
            {
                "name": "x",
                "description": "x",
                "result": "answer",
                "task": "x",
                "goals": [{"name": "x", "description": "x"}],
                "fields": [{"name": "a", "description": "x"}],
            }
        )


def test_results_tell_fields_apart_by_their_prompts_version(tmp_path: Path) -> None:
    """Another field is another question to the model."""
    versions = {
        worker_of(with_fields(tmp_path / name, {"name": name, "description": "x"})).prompts_version("invoice")
        for name in ("one", "two")
    }
    assert len(versions) == 2


async def test_from_the_inbox_to_the_export(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field takes no code: it is asked for, grounded, stored, exported, and replayed."""
    fields = (
        {"name": "cost_centre", "type": "identifier", "description": "Kostenstelle", "required": "true"},
        {"name": "project", "description": "Projekt"},
    )
    monkeypatch.setenv("PIPELINE_CONFIG", str(with_fields(tmp_path, *fields)))
    bill = tmp_path / "bill.txt"
    bill.write_text(TEXT, encoding="utf-8")
    einvoice = tmp_path / "einvoice.xml"
    einvoice.write_text(ubl(Facts()), encoding="utf-8")
    async with open_app(settings, doing="test", one_shot=True) as app:
        names = await app.service.run([(bill, "invoice"), (einvoice, "invoice")])
        jobs = [app.folders.outbox.find(name) for name in names]
        asked, unasked = (loads((job.path / "result.json").read_text(encoding="utf-8")) for job in jobs)
        rows = [invoice_row(record) for record in app.folders.store.rows()]
        replayed = await replay_recorded(jobs[0], app.worker)
    jsonschema.validate(asked, SCHEMA)
    assert asked["invoice"]["own_fields"] == {"cost_centre": "4711-A", "project": "Neubau Halle 3"}
    assert asked["invoice"]["order_reference"] == "B-7788"
    assert asked["status"] == "done", asked["findings"]
    assert replayed.same, replayed.divergence
    assert unasked["status"] == "review"
    assert {(one["code"], one["severity"]) for one in unasked["findings"]} == {
        ("own_field_missing", "error"),
        ("own_field_not_read", "info"),
    }
    assert {row["own_cost_centre"] for row in rows} == {"4711-A", None}


def with_fields(folder: Path, *fields: dict[str, str]) -> Path:
    """Return a copy of the shipped configuration with these fields added."""
    config = folder / "config"
    shutil.copytree(shipped_config(), config)
    lines = ["\n[[fields]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in one.items()) for one in fields]
    with (config / "agents" / "invoice.toml").open("a", encoding="utf-8") as file:
        file.write("".join(lines))
    return config


def _toml(value: str) -> str:
    return value if value in ("true", "false") else json.dumps(value)


def worker_of(config: Path) -> Worker:
    return Worker(agents=load_agents(config), reader=None, model=None, store=None)  # type: ignore[arg-type]
