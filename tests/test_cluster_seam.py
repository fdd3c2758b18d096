"""What the cluster needs of the rest, without a database: nothing loaded by default, clear errors, what travels."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError as AlchemyOperationalError
from sqlalchemy.exc import ProgrammingError

from pipeline.agents import load_agents
from pipeline.cluster.task import Task, flow_of, job_of, outcome_from_text, outcome_to_text
from pipeline.cluster.worker_parts import host_named
from pipeline.config import Settings, shipped_config
from pipeline.errors import ConfigError, StorageFault
from pipeline.invoice.own_fields import OwnField
from pipeline.job import State
from pipeline.postgres import ClusterSettings, database_url, faults_of_storage, open_postgres
from pipeline.result import Outcome
from pipeline.retry import RetrySettings
from pipeline.trace import event


def test_nothing_of_the_cluster_is_loaded_by_default() -> None:
    """Neither its engine nor the database's driver, by the command line, the daemon's parts, or the settings."""
    program = (
        "import sys, pipeline.cli.main, pipeline.app, pipeline.cli.work, pipeline.cli.look, pipeline.cli.again;"
        "print([name for name in ('dbos', 'psycopg', 'pipeline.cluster') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "told"),
    [("", "is empty"), ("what is this", "no address"), ("mysql://me@here/x", "not PostgreSQL")],
)
def test_a_wrong_address_is_refused_with_its_remedy(url: str, told: str) -> None:
    """The hint names the environment variable, where the password belongs."""
    with pytest.raises(ConfigError, match=told) as refused:
        database_url(ClusterSettings(database_url=SecretStr(url)))
    assert "PIPELINE_CLUSTER__DATABASE_URL" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("gpu-1", "http://gpu-1:1234/v1"),
        ("gpu-1:8080", "http://gpu-1:8080/v1"),
        ("10.0.0.7:8080", "http://10.0.0.7:8080/v1"),
        ("::1", "http://[::1]:1234/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
        ("http://gpu-1:8080", "http://gpu-1:8080/v1"),
        ("http://gpu-1:8080/v1/", "http://gpu-1:8080/v1"),
        ("near", "http://near:4321/v1"),
        ("http://near:4321", "http://near:4321/v1"),
    ],
)
def test_a_host_has_one_address_however_it_is_written(name: str, address: str) -> None:
    """Places are counted by it; a host of the settings brings its own model with it."""
    hosts = [{"base_url": "http://far:1234/v1", "model": "a"}, {"base_url": "http://near:4321/v1/", "model": "b"}]
    found = host_named(name, Settings.model_validate({"llm": {"hosts": hosts}}))
    assert found.base_url == address
    assert found.model == ("b" if "near" in name else "a")


def test_errors_of_both_libraries_mean_an_absent_database(tmp_path: Path) -> None:
    """The driver's own, and the same wrapped; but not a mistake in a statement."""
    engine = open_postgres(ClusterSettings(database_url=SecretStr(f"postgresql://me@/x?host={tmp_path}")), name="test")
    with pytest.raises(StorageFault, match="cannot be used"), faults_of_storage():
        engine.raw_connection()
    from psycopg import OperationalError  # noqa: PLC0415 - what loads the driver is looked at above

    for error in (OperationalError("gone"), AlchemyOperationalError("SELECT 1", {}, OperationalError("gone"))):
        with pytest.raises(StorageFault), faults_of_storage():
            raise error
    with pytest.raises(ProgrammingError), faults_of_storage():
        raise ProgrammingError("SELEC", {}, Exception("syntax"))
    engine.dispose()


def test_an_outcome_travels_with_its_exact_amounts() -> None:
    """No digit passes through a float."""
    outcome = Outcome(State.REVIEW, kind="invoice", invoice={"total_amount": Decimal("1190.10")}, findings=({"a": 1},))
    outcome = replace(outcome, parts=((1, 2), (3,)))
    assert outcome_from_text(outcome_to_text(outcome)) == outcome
    assert "1190.10" in outcome_to_text(outcome)


def test_a_task_travels_whole() -> None:
    """Agent, fields of one's own, limits, prompts and pictures of the hub are those of every worker."""
    own = (OwnField(name="order", description="the order number", pattern="[0-9]{4}"),)
    agent = load_agents(shipped_config())["invoice"].model_copy(update={"fields": own})
    task = Task((event("job.claimed", name="a"),), agent, RetrySettings(attempts=5), include_text=False)
    task = replace(task, pictures={1: b"\x89PNG"})
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    earlier = {name: value for name, value in task.to_json().items() if name != "pictures"}
    assert Task.from_json(earlier).pictures == {}


def test_each_round_of_a_job_is_a_workflow_of_its_own() -> None:
    """A finished workflow cannot run again, and one that is submitted twice is the same."""
    opened = event("job.reopened", reason="", fresh=True)
    assert flow_of("bill-123", []) == "bill-123"
    assert flow_of("bill-123", [opened, opened]) == "bill-123.2"
    assert job_of("bill-123.2") == job_of("bill-123") == "bill-123"


def test_what_is_kept_out_of_traces_is_kept_out_of_those_that_come_back() -> None:
    """Steps without what was asked and answered, notes without what was said; cost and order stay."""
    from pipeline.cluster.hub import without_text  # noqa: PLC0415 - loads what only clusters need

    step = event("model.replied", step="model-1", seconds=1, usage={}, request={"a": "x"}, output={"text": "x"})
    assert without_text(step) == {
        "at": step["at"],
        "event": "model.replied",
        "step": "model-1",
        "seconds": 1,
        "usage": {},
        "withheld": True,
    }
    note = without_text(event("memory.added", attempt=1, type="user", content="x"))
    assert (note["type"], note["withheld"], "content" in note) == ("user", True, False)
    ended = event("job.finished", status="done")
    assert without_text(ended) == ended
