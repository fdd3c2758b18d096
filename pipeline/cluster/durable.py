"""The durable engine between hub and workers: the only module that knows DBOS.

A job is a workflow whose id is made of the job's name; each of its steps is a batch of events of the job's trace.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, StepOptions, WorkflowStatus, error
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext

from pipeline.errors import ConfigError, StorageFault
from pipeline.llm.protocol import JsonObject
from pipeline.postgres import ClusterSettings, connect_options, database_url, faults_of_storage
from pipeline.trace import TRACE_FORMAT

log = structlog.get_logger()

APPLICATION = "invoice-pipeline"
# Pinned: a release that reads the same traces takes over the jobs that an earlier one left waiting.
APPLICATION_VERSION = TRACE_FORMAT
JOBS, SUSPECTS = "jobs", "suspects"
_WORKFLOW = "run_job"
_COLLECTED, _RESUMES, _REASON = "collected", "resumes", "stopped_because"
_AT_ONCE = 200
_SAME_AGAIN_SECONDS = 600.0
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")

Function = Callable[[], Coroutine[Any, Any, JsonObject]]
Work = Callable[[str, JsonObject], Awaitable[JsonObject]]


class Condition(StrEnum):
    """Say how a workflow stands."""

    WAITING = "ENQUEUED"
    RUNNING = "PENDING"
    DONE = "SUCCESS"
    BROKEN = "ERROR"
    CANCELLED = "CANCELLED"
    GIVEN_UP = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"


_ENDED = [one.value for one in (Condition.DONE, Condition.BROKEN, Condition.CANCELLED, Condition.GIVEN_UP)]


@dataclass(frozen=True)
class Flow:
    """Hold what is known of one workflow; `reason` says why it was stopped, `error` why it broke.

    `claimed_at` is when its executor took it, in seconds since 1970 by the database's clock; 0 where none did.
    """

    id: str
    condition: Condition
    executor: str
    resumes: int
    output: JsonObject | None
    error: str
    reason: str
    claimed_at: float


@dataclass(frozen=True)
class Kept:
    """Hold one finished step of a workflow: its number, counted from 1, its name and what it gave."""

    number: int
    name: str
    output: JsonObject


def migrate_engine(settings: ClusterSettings) -> None:
    """Create or migrate the durable engine's own tables."""
    DBOS.migrate(_plain_url(settings))


class Cluster:
    """Submit jobs and look at them, from any process. Methods block: call them from a thread.

    A database that is away is a StorageFault.
    """

    def __init__(self, engine: Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def prepare_queues(self, settings: ClusterSettings) -> None:
        """Set what workers take at once and how often they look; of suspects there is never more than one at work."""
        poll = settings.poll_seconds
        with _asking():
            self._client.register_queue(JOBS, worker_concurrency=settings.jobs_per_worker, polling_interval_sec=poll)
            self._client.register_queue(SUSPECTS, global_concurrency=1, polling_interval_sec=max(1.0, poll))

    def submit(self, flow: str, task: JsonObject) -> None:
        """Put a job into the queue; one that is there already stays as it is."""
        with _asking():
            self._client.enqueue(
                {
                    "workflow_name": _WORKFLOW,
                    "queue_name": JOBS,
                    "workflow_id": flow,
                    "app_version": APPLICATION_VERSION,
                    "attributes": {_COLLECTED: False, _RESUMES: 0},
                },
                task,
            )

    def ended(self) -> list[str]:
        """Return the workflows that ended and were not collected yet, oldest first."""
        with _asking():
            found = self._client.list_workflows(
                status=_ENDED, attributes={_COLLECTED: False}, load_input=False, load_output=False
            )
        return [one.workflow_id for one in found]

    def find(self, flow: str) -> Flow | None:
        """Return what is known of the workflow, its output included."""
        with _asking():
            found = self._client.list_workflows(workflow_ids=[flow], load_input=False)
        return _flow(found[0]) if found else None

    def running(self) -> list[Flow]:
        """Return every workflow that an executor has taken and not ended."""
        with _asking():
            found = self._client.list_workflows(status=Condition.RUNNING, load_input=False, load_output=False)
        return [_flow(one) for one in found]

    def count(self, condition: Condition) -> int:
        """Return how many workflows stand so."""
        with _asking():
            return len(self._client.list_workflows(status=condition, load_input=False, load_output=False))

    def task(self, flow: str) -> JsonObject | None:
        """Return what a workflow was submitted with."""
        with _asking():
            found = self._client.list_workflows(workflow_ids=[flow], load_output=False)
        given = found[0].input if found else None
        return given["args"][0] if given and given["args"] else None

    def steps(self, flow: str) -> list[Kept]:
        """Return the workflow's finished steps in their order; the number of one that was cut off is missing."""
        with _asking():
            found = self._client.list_workflow_steps(flow)
        return [Kept(one["function_id"], one["function_name"], one["output"] or {}) for one in found]

    def collected(self, flow: str) -> None:
        """Note that the workflow's result lies in the outbox."""
        with _asking():
            self._client.update_workflow_attributes(flow, {_COLLECTED: True}, merge=True)

    def resume(self, flow: Flow, *, queue: str) -> None:
        """Give a workflow whose executor is lost to the others, and count it."""
        with _asking():
            self._client.update_workflow_attributes(flow.id, {_RESUMES: flow.resumes + 1}, merge=True)
            self._client.resume_workflows([flow.id], queue_name=queue)

    def release(self, flows: Iterable[str]) -> None:
        """Give back workflows of this very executor, which ends; nothing is counted."""
        with _asking():
            self._client.resume_workflows(list(flows), queue_name=JOBS)

    def cancel(self, flow: str, *, reason: str) -> None:
        """Stop a workflow for good."""
        with _asking():
            self._client.update_workflow_attributes(flow, {_REASON: reason}, merge=True)
            self._client.cancel_workflow(flow)

    def forget_collected(self, older_than_days: float) -> int:
        """Delete what was collected so long ago, a bounded number; return how many went."""
        before = (datetime.now(UTC) - timedelta(days=older_than_days)).isoformat()
        with _asking():
            old = self._client.list_workflows(
                status=_ENDED,
                attributes={_COLLECTED: True},
                completed_before=before,
                load_input=False,
                load_output=False,
                limit=_AT_ONCE,
            )
            self._client.delete_workflows([one.workflow_id for one in old])
        return len(old)


class Runtime:
    """Take jobs from the queue and run them in the event loop that launches this; one for a process."""

    def __init__(self, settings: ClusterSettings, *, executor: str, work: Work) -> None:
        self._settings = settings
        self._executor = executor
        self._work = work
        self._database = _open_patiently(settings, name=f"pipeline {executor}")

    def launch(self) -> None:
        """Begin to take jobs. Raises ConfigError where the database's schema is not that of the library."""
        _route_logs()
        DBOS(config=self._config())
        work = self._work

        @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
        async def run_job(task: JsonObject) -> JsonObject:
            assert DBOS.workflow_id is not None
            return await work(DBOS.workflow_id, task)

        DBOS.listen_queues([JOBS, SUSPECTS])
        try:
            DBOS.launch()
        except error.DBOSException as problem:
            raise ConfigError(str(problem), hint="run `pipeline migrate` with the newest release in use") from problem

    def stop(self, *, grace_seconds: float) -> None:
        """Take no more jobs, and end when the running ones have, or after the grace time. Blocks."""
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=round(grace_seconds))
        self._database.dispose()

    def _config(self) -> DBOSConfig:
        return {
            "name": APPLICATION,
            "system_database_engine": self._database,
            "application_version": APPLICATION_VERSION,
            "executor_id": self._executor,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "use_listen_notify": True,
            "log_level": "WARNING",
        }


async def keep_step(name: str, function: Function, *, preemptible: bool = False) -> JsonObject:
    """Run the function as the workflow's next step and keep what it gives; if it was kept before, return that.

    A preemptible one is stopped soon after its workflow is cancelled. A database that is away in a way that the library
    does not wait for is a StorageFault.
    """
    options: StepOptions = {"name": name, "preemptible": preemptible}
    with faults_of_storage():
        return await DBOS.run_step_async(options, function)


def _open_patiently(settings: ClusterSettings, *, name: str) -> Engine:
    """Return the database such that the library waits for it whenever no connection can be made.

    By itself it waits where the server refuses, and breaks the session off where its name or socket is gone.
    """
    engine = create_engine(
        database_url(settings),
        pool_size=settings.connections,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args=connect_options(settings, name=name),
    )

    @event.listens_for(engine, "handle_error")
    def mark(context: ExceptionContext) -> None:
        if context.connection is None:
            context.is_disconnect = True

    return engine


@contextmanager
def _asking() -> Iterator[None]:
    """Turn what an absent or overburdened database raises into StorageFault; pass over a workflow that is gone."""
    try:
        with faults_of_storage():
            yield
    except error.DBOSQueryTimeoutError as late:
        raise StorageFault(f"the database is too slow: {late}", hint="look at its load and at keep_days") from late
    except error.DBOSNonExistentWorkflowError as gone:
        log.warning("workflow.gone", error=str(gone))


def _flow(one: WorkflowStatus) -> Flow:
    attributes = one.attributes or {}
    return Flow(
        id=one.workflow_id,
        condition=Condition(one.status),
        executor=one.executor_id or "",
        resumes=int(attributes.get(_RESUMES, 0)),
        output=one.output if isinstance(one.output, dict) else None,
        error=str(one.error or ""),
        reason=str(attributes.get(_REASON, "")),
        claimed_at=(one.dequeued_at or 0) / 1000,
    )


def _plain_url(settings: ClusterSettings) -> str:
    return database_url(settings).set(drivername="postgresql").render_as_string(hide_password=False)


class _IntoLog(logging.Handler):
    """Bring the library's warnings into the pipeline's log; its messages may name rows, never texts.

    While the database is away each of its threads says so several times a second: the same is told once in a while.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage().partition("\n")[0]
        if self._is_new(_NUMBERS.sub("", message), time.monotonic()):
            error = type(record.exc_info[1]).__name__ if record.exc_info else ""
            log.log(record.levelno, "engine.told", message=message, error_type=error)

    def _is_new(self, text: str, now: float) -> bool:
        self._told_at = {one: at for one, at in self._told_at.items() if now - at < _SAME_AGAIN_SECONDS}
        if text in self._told_at:
            return False
        self._told_at[text] = now
        return True


def _route_logs() -> None:
    logger = logging.getLogger("dbos")
    logger.handlers = [_IntoLog()]
    logger.propagate = False


__all__: Sequence[str] = [
    "APPLICATION_VERSION",
    "JOBS",
    "SUSPECTS",
    "Cluster",
    "Condition",
    "Flow",
    "Kept",
    "Runtime",
    "keep_step",
    "migrate_engine",
]
