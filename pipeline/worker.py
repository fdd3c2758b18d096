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
from pipeline.agent.answer_form import AnswerForms
from pipeline.agent.messages import merge_same_role, user_message
from pipeline.agent.steps import until_there
from pipeline.agents import AgentSettings
from pipeline.document.model import Document
from pipeline.document.quoting import quoted_document, quoted_outline, quoted_text
from pipeline.document.reader import DocumentReader
from pipeline.document.refusal import Reason, refusal
from pipeline.document.scan.presence import INSTALL_HINT
from pipeline.einvoices import read_einvoice, store_einvoice
from pipeline.errors import DocumentError, JobNotFound, OutputFault
from pipeline.invoice.keeping import kept_findings
from pipeline.invoice.model import Finding, Invoice, Kind, Severity
from pipeline.invoice.own_fields import OwnField
from pipeline.invoice.splitting import Split, split_document
from pipeline.invoice.store import InvoiceStore
from pipeline.invoice.unverified import only_seen
from pipeline.invoice.verify import Verified
from pipeline.job import Claim, Job, State
from pipeline.journal import Journal
from pipeline.languages import Known, KnownLanguages, Language
from pipeline.llm.pool import HostPool, HostSession, place_of, sees_pictures, session_of
from pipeline.llm.protocol import JsonObject, Model
from pipeline.llm.seeing import Draw, SeeingModel, picture_part
from pipeline.result import Outcome
from pipeline.tools import experts, invoices, terminate  # noqa: F401 - importing registers the tools
from pipeline.tools.reading_in_parts import OUTLINE_PROMPT, PartsPlan


class Worker:
    """Do the work of jobs; every effect goes through the job's steps, the rest can be repeated from them."""

    def __init__(
        self,
        *,
        agents: Mapping[str, AgentSettings],
        reader: DocumentReader,
        model: Model | HostPool,
        store: InvoiceStore,
        languages: KnownLanguages | None = None,
    ) -> None:
        self._agents = agents
        self._reader = reader
        self._model = model
        self._store = store
        self._languages = languages
        self._prompts_versions = {name: _prompts_version(one) for name, one in agents.items()}

    async def __call__(self, job: Job, claim: Claim, steps: Journal) -> Outcome:
        """Return the job's outcome; errors of document, model and session pass through to the engine."""
        settings = self._agent(claim.agent)
        document = await self.read(job, claim, steps)
        if settings.result == "answer":
            return answer_outcome(await self._session(settings, document, job, claim, steps), document)
        found = await read_einvoice(document, settings.fields)
        if found.verified is not None:
            clean = verified_outcome(found.verified, document).status is State.DONE
            also = await store_einvoice(found.verified, claim, clean=clean, store=self._store, steps=steps)
            return verified_outcome(found.verified, document, also=also)
        split = await anyio.to_thread.run_sync(split_document, document)
        if len(split.parts) > 1:
            return split_outcome(split, document)
        ended = await self._session(settings, document, job, claim, steps)
        outcome = await invoice_outcome(ended, steps.state, document, settings.fields)
        return replace(outcome, findings=(*outcome.findings, *(one.to_json() for one in found.findings)))

    def prompts_version(self, agent: str) -> str:
        """Return 12 hex digits over everything that is said to the model for this agent."""
        return self._prompts_versions.get(agent, "")

    def _agent(self, name: str) -> AgentSettings:
        if name not in self._agents:
            raise JobNotFound(f"no agent is named {name}", hint=f"add config/agents/{name}.toml")
        return self._agents[name]

    async def read(self, job: Job, claim: Claim, steps: Journal) -> Document:
        """Return the job's document, from the record where it was read before."""

        async def read(_: object) -> JsonObject:
            source = job.source_path
            if source is None:
                raise DocumentError(
                    f"{claim.name} is no longer in its job's folder", reason="missing", hint="drop the file again"
                )
            document = await self._reader.read(source, name=claim.name)
            return (document.only(claim.pages) if claim.pages else document).to_json()

        request: JsonObject = {"sha256": claim.sha256}
        if claim.pages:
            request["pages"] = list(claim.pages)
        return Document.from_json(await steps.run("document", request, read))

    async def _session(
        self, settings: AgentSettings, document: Document, job: Job, claim: Claim, steps: Journal
    ) -> SessionOutcome:
        if not document.text.strip() and not only_seen(document):
            # A scan that was read for the sake of its e-invoice, of which nothing came.
            raise refusal(Reason.NO_TEXT, document.name)
        actions = actions_of(settings)
        task = document_task(settings, document)
        async with session_of(self._model) as model:
            seeing = await self._sees(document, job, model, steps)
            language = await self._language(settings, model, steps)
            forms = await self._answer_forms(model, steps)
            agent = Agent(
                settings.session_goals(),
                actions,
                SeeingModel(model, self._drawer(job, document)) if seeing else model,
                language=language,
                limits=settings.limits,
                completion=settings.step_completion(),
            )
            prefix = session_prefix(language, settings, actions, task)
            if seeing:
                prefix = with_pictures(prefix, document)
            context = self._context(settings, document, claim, steps, prefix).with_(forms=forms)
            outline = document_outline(settings, document)
            try:
                return await agent.run(task, context=context, steps=steps, shorter_task=outline)
            finally:
                await self._learn(model, language, forms)

    async def _sees(self, document: Document, job: Job, model: Model, steps: Journal) -> bool:
        """Say whether the model is shown pages; recorded, for it shapes the prompt. Fails what nobody can read."""
        if not any(page.picture for page in document.pages):
            return False

        async def tell(_: object) -> JsonObject:
            if isinstance(self._model, HostPool):
                await self._model.ready()
            return {"sees": sees_pictures(model) and job.pictures != {}}

        if not steps.holds("sight"):
            await until_there(model, steps)
        sees = bool((await steps.run("sight", {}, tell))["sees"])
        if not sees and not document.text.strip():
            raise refusal(Reason.NO_TEXT, document.name, hint=INSTALL_HINT)
        return sees

    def _drawer(self, job: Job, document: Document) -> Draw:
        async def draw(name: str) -> bytes:
            number = int(name.rpartition("/")[2])
            if job.pictures and number in job.pictures:
                return job.pictures[number]
            source = job.source_path
            if source is None:
                raise DocumentError(
                    f"{document.name} is no longer in its job's folder", reason="missing", hint="drop the file again"
                )
            return await self._reader.draw(source, number, name=document.name)

        return draw

    async def _language(self, settings: AgentSettings, model: Model, steps: Journal) -> AgentLanguage:
        """Return how to speak with the model; what earlier sessions taught is recorded, for it shapes every prompt."""
        match settings.model.language:
            case "json":
                return JsonActionLanguage()
            case "tools":
                return FunctionCallingLanguage()
        begins = not steps.holds("model") and not steps.holds("language")
        if not steps.holds("language") and not (begins and (await self._known(model, steps)).language is Language.JSON):
            return AdaptiveLanguage()

        async def tell(_: object) -> JsonObject:
            return {"language": Language.JSON.value}

        await steps.run("language", {}, tell)
        return AdaptiveLanguage(begins_in_json=True)

    async def _answer_forms(self, model: Model, steps: Journal) -> AnswerForms:
        """Return in which forms the model is asked for JSON; what earlier sessions taught is recorded here, too."""
        forms = AnswerForms(steps.state)
        begins = not steps.holds("model") and not steps.holds("answer_forms")
        known = dict((await self._known(model, steps)).forms) if begins else {}
        if not known and not steps.holds("answer_forms"):
            return forms

        async def tell(_: object) -> JsonObject:
            return {"forms": known}

        forms.begin_with((await steps.run("answer_forms", {}, tell))["forms"])
        return forms

    async def _known(self, model: Model, steps: Journal) -> Known:
        if self._languages is None or not isinstance(model, HostSession):
            return Known()
        await until_there(model, steps)
        await model.ready()
        place = place_of(model)
        if place is None:
            return Known()
        known = self._languages.lately(*place)
        return await anyio.to_thread.run_sync(self._languages.read, *place) if known is None else known

    async def _learn(self, model: Model, language: AgentLanguage, forms: AnswerForms) -> None:
        """Remember for later sessions what this one has found out about its model."""
        place, languages = place_of(model), self._languages
        proved = language.proved if isinstance(language, AdaptiveLanguage) else ""
        if languages is None or place is None or not (proved or forms.learned):
            return

        def learn() -> None:
            if proved:
                languages.learn(*place, Language(proved), learned_from="a session")
            languages.learn_forms(*place, forms.learned)

        with anyio.CancelScope(shield=True):  # a moment at most, also where the session was cancelled
            await anyio.to_thread.run_sync(learn)

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
                "parts": _parts_plan(settings, document, prefix),
                "prompts": settings.prompts,
                "asked": settings.asked(),
                "store": self._store,
                "job": claim.job,
                "received_at": datetime.fromisoformat(claim.received_at),
                "state": steps.state,
            },
        )


def actions_of(agent: AgentSettings) -> ActionRegistry:
    """Return the tools that an agent's file names; raise ConfigError where there is no such tool or tag."""
    return ActionRegistry(tags=agent.tags or None, tool_names=agent.tools or None)


def known_tools() -> tuple[str, ...]:
    """Return the names of all tools that an agent's file may name."""
    return tuple(sorted(action.name for action in ActionRegistry().get_actions()))


def _prompts_version(settings: AgentSettings) -> str:
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]


def session_prefix(
    language: AgentLanguage, settings: AgentSettings, actions: ActionRegistry, task: str
) -> tuple[JsonObject, ...]:
    """Return the messages every call of the session begins with, so that the server reads the document once."""
    memory = Memory([MemoryItem(MemoryType.USER, task)])
    return language.construct_prompt(goals=settings.session_goals(), memory=memory, actions=actions).messages


def document_task(agent: AgentSettings, document: Document) -> str:
    """Return the session's first message: the task, and the document as data."""
    return _task_with(agent, quoted_document(document))


def document_outline(agent: AgentSettings, document: Document) -> str:
    """Return the first message where the document does not fit: its beginning and end, and how it is read all the same.

    It is empty for agents that have no words for it: these have to see the document as a whole.
    """
    words = agent.prompts.get(OUTLINE_PROMPT, "")
    if not words:
        return ""
    of = len(document.pages)
    size = f"The document has {of} page{'s' if of > 1 else ''} and {len(document.text)} characters."
    return f"{_task_with(agent, quoted_outline(document))}\n\n{size} {words}"


def _task_with(agent: AgentSettings, quoted: str) -> str:
    return f"{agent.task.strip()}\n\n{quoted}"


def with_pictures(prefix: tuple[JsonObject, ...], document: Document) -> tuple[JsonObject, ...]:
    """Return the messages with the pictures of pages behind the document's text, one to a page."""
    shown = [page.number for page in document.pages if page.picture]
    parts = tuple(picture_part(f"{document.sha256}/{number}") for number in shown)
    return merge_same_role((*prefix, user_message(parts)))


def answer_outcome(ended: SessionOutcome, document: Document) -> Outcome:
    """Return the outcome of an agent that writes an answer."""
    if ended.stop is not StopReason.TERMINATED or not str(ended.result or "").strip():
        raise OutputFault("the session ended without an answer", hint="try a larger model")
    status = State.DONE if is_whole(document) else State.REVIEW
    return Outcome(status, kind=Kind.OTHER.value, answer=str(ended.result), findings=_notices(document))


def _parts_plan(settings: AgentSettings, document: Document, prefix: tuple[JsonObject, ...]) -> PartsPlan | None:
    """Say how the document is shown in parts; pictures of pages are not."""
    if any(page.picture for page in document.pages):
        return None

    def messages(text: str) -> tuple[JsonObject, ...]:
        return (*prefix[:-1], user_message(_task_with(settings, quoted_text(document, text))))

    return PartsPlan(messages, settings.parts)


def split_outcome(split: Split, document: Document) -> Outcome:
    """Return the outcome of a file with several invoices: each becomes a job of its own, and this one is at its end."""
    spans = ", ".join(part.span for part in split.parts)
    message = f"The file holds {len(split.parts)} invoices, each of which is a job of its own: {spans}."
    told = Finding(code="split", severity=Severity.INFO, field="", message=message)
    return Outcome(
        State.DONE if is_whole(document) else State.REVIEW,
        kind=Kind.OTHER.value,
        findings=(told.to_json(), *_notices(document)),
        parts=tuple(part.page_numbers for part in split.parts),
    )


async def invoice_outcome(
    ended: SessionOutcome, state: JsonObject, document: Document, own_fields: Sequence[OwnField] = ()
) -> Outcome:
    """Return the outcome of the invoice agent: what was extracted, as far as the document bears it out."""
    if invoices.EXTRACTION not in state:
        raise OutputFault("the session ended without reading the data", hint="the model may be too small for tools")
    verified = await invoices.checked(state, document, own_fields)
    if verified.kind is Kind.OTHER:
        return Outcome(
            # What could not be read may be the invoice.
            State.REVIEW if verified.needs_review or not is_whole(document) else State.DONE,
            kind=Kind.OTHER.value,
            answer=ended.result if isinstance(ended.result, str) else None,
            findings=(*(one.to_json() for one in verified.findings), *_notices(document)),
        )
    return verified_outcome(verified, document, also=_of_storing(state))


def verified_outcome(verified: Verified, document: Document, *, also: Sequence[Finding] = ()) -> Outcome:
    """Return the outcome of an invoice; every error among its findings, and among those `also` told of, is reviewed."""
    findings = (*verified.findings, *also)
    clean = is_whole(document) and not any(finding.severity is Severity.ERROR for finding in findings)
    return Outcome(
        State.DONE if clean else State.REVIEW,
        kind=verified.kind.value,
        invoice=(verified.invoice or Invoice()).to_json(),
        evidence={path: one.to_json() for path, one in verified.evidence.items()},
        findings=(*(one.to_json() for one in findings), *_notices(document)),
    )


def is_whole(document: Document) -> bool:
    """Say whether every part of the file could be read."""
    return not any(notice.gap for notice in document.notices)


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
