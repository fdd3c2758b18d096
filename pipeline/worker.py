"""One job from its document to its outcome: read, let the agent work, hold what it found against the document.

An e-invoice needs no agent: its values are read by code, and no model server has to be there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import anyio.to_thread

from pipeline.agent import (
    ActionContext,
    ActionRegistry,
    AdaptiveLanguage,
    Agent,
    AgentLanguage,
    FunctionCallingLanguage,
    JsonActionLanguage,
    Memory,
    MemoryItem,
    MemoryType,
    SessionOutcome,
    StopReason,
)
from pipeline.agents import AgentSettings
from pipeline.document.model import Document, Page
from pipeline.document.reader import DocumentReader
from pipeline.document.refusal import Reason, refusal
from pipeline.einvoices import read_einvoice, store_einvoice
from pipeline.errors import DocumentError, JobNotFound, OutputFault
from pipeline.invoice.keeping import kept_findings
from pipeline.invoice.model import Finding, Invoice, Kind, Severity
from pipeline.invoice.store import InvoiceStore
from pipeline.invoice.verify import Verified
from pipeline.job import Claim, State
from pipeline.journal import Journal
from pipeline.llm.pool import HostPool, model_name, session_of
from pipeline.llm.protocol import JsonObject, Model
from pipeline.outbox import JobFolder
from pipeline.result import Outcome
from pipeline.tools import experts, invoices, terminate  # noqa: F401 - importing registers the tools


class Worker:
    """Do the work of jobs; every effect goes through the job's steps, the rest can be repeated from them."""

    def __init__(
        self,
        *,
        agents: Mapping[str, AgentSettings],
        reader: DocumentReader,
        model: Model | HostPool,
        store: InvoiceStore,
    ) -> None:
        self._agents = agents
        self._reader = reader
        self._model = model
        self._store = store
        self._prompts_versions = {name: _prompts_version(one) for name, one in agents.items()}
        self._bad_at_tools: set[str] = set()

    async def __call__(self, job: JobFolder, claim: Claim, steps: Journal) -> Outcome:
        """Return the job's outcome; errors of document, model and session pass through to the engine."""
        settings = self._agent(claim.agent)
        document = await self._read(job, claim, steps)
        if settings.result == "answer":
            return answer_outcome(await self._session(settings, document, claim, steps), document)
        found = await read_einvoice(document)
        if found.verified is not None:
            clean = verified_outcome(found.verified, document).status is State.DONE
            also = await store_einvoice(found.verified, claim, clean=clean, store=self._store, steps=steps)
            return verified_outcome(found.verified, document, also=also)
        ended = await self._session(settings, document, claim, steps)
        outcome = await anyio.to_thread.run_sync(invoice_outcome, ended, steps.state, document)
        return replace(outcome, findings=(*outcome.findings, *(one.to_json() for one in found.findings)))

    def prompts_version(self, agent: str) -> str:
        """Return 12 hex digits over everything that is said to the model for this agent."""
        return self._prompts_versions.get(agent, "")

    def _agent(self, name: str) -> AgentSettings:
        if name not in self._agents:
            raise JobNotFound(f"no agent is named {name}", hint=f"add config/agents/{name}.toml")
        return self._agents[name]

    async def _read(self, job: JobFolder, claim: Claim, steps: Journal) -> Document:
        async def read(_: object) -> JsonObject:
            source = job.source_path
            if source is None:
                raise DocumentError(
                    f"{claim.name} is no longer in its job's folder", reason="missing", hint="drop the file again"
                )
            return (await self._reader.read(source, name=claim.name)).to_json()

        return Document.from_json(await steps.run("document", {"sha256": claim.sha256}, read))

    async def _session(
        self, settings: AgentSettings, document: Document, claim: Claim, steps: Journal
    ) -> SessionOutcome:
        if not document.text.strip():
            # A scan that was read for the sake of its e-invoice, of which nothing came.
            raise refusal(Reason.NO_TEXT, document.name)
        actions = ActionRegistry(tags=settings.tags or None, tool_names=settings.tools or None)
        task = document_task(settings, document)
        async with session_of(self._model) as model:
            language = await self._language(settings, model, steps)
            agent = Agent(
                settings.session_goals(),
                actions,
                model,
                language=language,
                limits=settings.limits,
                completion=settings.step_completion(),
            )
            prefix = session_prefix(language, settings, actions, task)
            context = self._context(settings, document, claim, steps, prefix)
            try:
                return await agent.run(task, context=context, steps=steps)
            finally:
                if isinstance(language, AdaptiveLanguage) and language.told_in_json:
                    self._bad_at_tools.add(model_name(model))

    async def _language(self, settings: AgentSettings, model: Model, steps: Journal) -> AgentLanguage:
        """Return how to speak with the model; what earlier sessions taught is recorded, for it shapes every prompt."""
        match settings.model.language:
            case "json":
                return JsonActionLanguage()
            case "tools":
                return FunctionCallingLanguage()
        begins = not steps.holds("model")
        if not steps.holds("language") and not (begins and model_name(model) in self._bad_at_tools):
            return AdaptiveLanguage()

        async def tell(_: object) -> JsonObject:
            return {"language": "json"}

        await steps.run("language", {}, tell)
        return JsonActionLanguage()

    def _context(
        self,
        settings: AgentSettings,
        document: Document,
        claim: Claim,
        steps: Journal,
        prefix: tuple[JsonObject, ...],
    ) -> ActionContext:
        return ActionContext(
            completion=settings.answer_completion(),
            properties={
                "document": document,
                "document_messages": prefix,
                "prompts": settings.prompts,
                "store": self._store,
                "job": claim.job,
                "received_at": datetime.fromisoformat(claim.received_at),
                "state": steps.state,
            },
        )


def _prompts_version(settings: AgentSettings) -> str:
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]


def session_prefix(
    language: AgentLanguage, settings: AgentSettings, actions: ActionRegistry, task: str
) -> tuple[JsonObject, ...]:
    """Return the messages every call of the session begins with, so that the server reads the document once."""
    memory = Memory([MemoryItem(MemoryType.USER, task)])
    return language.construct_prompt(goals=settings.session_goals(), memory=memory, actions=actions).messages


def document_task(agent: AgentSettings, document: Document) -> str:
    """Return the session's first message: the task, and the document between marks that its text cannot close.

    The mark is made of the content's digest, which no text can contain of itself.
    """
    mark = document.sha256[:16]
    pages = "\n".join(_page(page, of=len(document.pages)) for page in document.pages)
    return f'{agent.task.strip()}\n\n<document mark="{mark}">\n{pages}\n</document mark="{mark}">'


def _page(page: Page, *, of: int) -> str:
    return f"[page {page.number} of {of}]\n{page.text}" if of > 1 else page.text


def answer_outcome(ended: SessionOutcome, document: Document) -> Outcome:
    """Return the outcome of an agent that writes an answer."""
    if ended.stop is not StopReason.TERMINATED or not str(ended.result or "").strip():
        raise OutputFault("the session ended without an answer", hint="try a larger model")
    status = State.REVIEW if any(notice.gap for notice in document.notices) else State.DONE
    return Outcome(status, kind=Kind.OTHER.value, answer=str(ended.result), findings=_notices(document))


def invoice_outcome(ended: SessionOutcome, state: JsonObject, document: Document) -> Outcome:
    """Return the outcome of the invoice agent: what was extracted, as far as the document bears it out."""
    if invoices.EXTRACTION not in state:
        raise OutputFault("the session ended without reading the data", hint="the model may be too small for tools")
    verified = invoices.checked(state, document)
    if verified.kind is Kind.OTHER:
        return Outcome(
            State.REVIEW if verified.needs_review else State.DONE,
            kind=Kind.OTHER.value,
            answer=ended.result if isinstance(ended.result, str) else None,
            findings=(*(one.to_json() for one in verified.findings), *_notices(document)),
        )
    return verified_outcome(verified, document, also=_of_storing(state))


def verified_outcome(verified: Verified, document: Document, *, also: Sequence[Finding] = ()) -> Outcome:
    """Return the outcome of an invoice; every error among its findings, and among those `also` told of, is reviewed."""
    findings = (*verified.findings, *also)
    whole = not any(notice.gap for notice in document.notices)
    clean = whole and not any(finding.severity is Severity.ERROR for finding in findings)
    return Outcome(
        State.DONE if clean else State.REVIEW,
        kind=verified.kind.value,
        invoice=(verified.invoice or Invoice()).to_json(),
        evidence={path: one.to_json() for path, one in verified.evidence.items()},
        findings=(*(one.to_json() for one in findings), *_notices(document)),
    )


def _of_storing(state: JsonObject) -> list[Finding]:
    if invoices.STORED in state:
        return kept_findings(state[invoices.STORED])
    message = "The session ended before the invoice was stored; replay the job, or look at its trace."
    return [Finding(code="not_stored", severity=Severity.ERROR, field="", message=message)]


def _notices(document: Document) -> tuple[JsonObject, ...]:
    findings = (
        Finding(
            code="document_incomplete" if notice.gap else "document_notice",
            severity=Severity.ERROR if notice.gap else Severity.INFO,
            field="",
            message=notice.text,
        )
        for notice in document.notices
    )
    return tuple(one.to_json() for one in findings)
