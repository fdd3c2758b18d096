"""Which of a host's models is used, by what names it answers, and how much it can do at once."""

from __future__ import annotations

from pipeline.errors import HostFault, ModelSetupFault
from pipeline.llm.admission import Capacity
from pipeline.llm.discovery import HostFacts, ModelFacts
from pipeline.llm.hosts.settings import HostSettings
from pipeline.llm.hosts.state import USUAL_SLOTS


def capacity_of(settings: HostSettings, model: ModelFacts | None) -> Capacity:
    """Return what the host can do at once, by the settings or by what it says of itself."""
    told_slots = model.slots if model else None
    told_context = model.context_tokens if model else None
    slots = (told_slots or USUAL_SLOTS) if settings.slots == "auto" else settings.slots
    return Capacity(
        slots=slots,
        context_tokens=told_context if settings.context_tokens == "auto" else settings.context_tokens,
        # None for a single slot: LM Studio's own queue has been reported broken there.
        ahead=(slots + 2) // 4 if settings.queue_ahead == "auto" else settings.queue_ahead,
    )


def model_of(facts: HostFacts, asked: str) -> ModelFacts:
    """Return the model to use; raise `ModelSetupFault` where there is none of that name, `HostFault` without any."""
    model = facts.pick(asked)
    if model is not None:
        return model
    if asked and not facts.is_lm_studio:
        return ModelFacts(name=asked)
    names = ", ".join(sorted(model.name for model in facts.models)[:10])
    if asked:
        # LM Studio would let whatever is loaded answer for it.
        raise ModelSetupFault(
            f"the model server at {facts.address} has no model {asked!r}; it has: {names or 'none'}",
            hint="set `model` to one of these, or leave it empty for the loaded one",
        )
    raise HostFault(
        f"no model is loaded at {facts.address}; it has: {names or 'none'}",
        hint="load one in LM Studio (`lms load <model> --context-length 32768`), or set `model`",
    )


def same_model(one: ModelFacts, other: ModelFacts) -> bool:
    """Say whether a connection to one serves for the other."""
    return (one.name, one.reasoning_off) == (other.name, other.reasoning_off)


def same_name(answered: str, asked: ModelFacts) -> bool:
    """Say whether a name in a reply is one of the model's; variants and versions behind it do not count."""
    plain = answered.casefold().partition("@")[0].partition(":")[0]
    return any(plain == name.casefold().partition("@")[0].partition(":")[0] for name in (asked.name, asked.key) if name)
