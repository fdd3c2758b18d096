"""The settings of the stand-in server."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pipeline.llm.standin.faults import Fault, FaultRule


class StandInSettings(BaseModel, frozen=True, extra="forbid"):
    """Say what host the stand-in plays."""

    port: int = Field(default=0, ge=0, le=65535, description="port on the loopback address; 0 picks a free one")
    models: tuple[str, ...] = Field(
        default=("stand-in/rules",),
        min_length=1,
        description="model ids; one alone answers to any name, as LM Studio does",
    )
    context_tokens: int = Field(default=32_768, ge=256, description="context of the loaded model, in tokens")
    max_context_tokens: int | None = Field(
        default=None, ge=256, description="context the model could be loaded with, in tokens; none: no more than it is"
    )
    tells_context: bool = Field(
        default=True, description="whether the lists of models say with what context a model is loaded"
    )
    overflow: Fault = Field(
        default=Fault.OVERFLOW_TOKENS_TO_KEEP,
        description="how a prompt is refused that is too long; streamed calls are refused in their own way",
    )
    cuts_prompts: bool = Field(
        default=False,
        description="whether a prompt that is too long loses its middle instead of being refused, and is answered so",
    )
    counts_cached: bool = Field(
        default=True, description="whether the usage's prompt tokens hold those that the cache held"
    )
    slots: int = Field(default=4, ge=1, description="requests worked at a time; others wait inside")
    shared_context: bool = Field(
        default=False, description="let the requests at work share one context: when it overflows all of them fail"
    )
    delay_seconds: float = Field(default=0.0, ge=0, description="working time of every call, in seconds")
    prompt_tokens_per_second: float = Field(
        default=0.0, ge=0, description="reading speed for uncached tokens; 0: at once"
    )
    completion_tokens_per_second: float = Field(default=0.0, ge=0, description="writing speed; 0: at once")
    keep_alive_seconds: float = Field(
        default=5.0, gt=0, description="how long an idle connection is kept open, in seconds"
    )
    hang_seconds: float = Field(
        default=30.0, gt=0, description="how long a hanging connection hangs before it is closed"
    )
    cancel_on_disconnect: bool = Field(
        default=True,
        description="free the slot when the client goes away; false: work on to the end, as a busy server does",
    )
    api_key: str = Field(default="", description="token that requests must bear; empty: none is asked for")
    loaded: bool = Field(default=True, description="whether the model is loaded at the start")
    vision: bool = Field(default=False, description="whether the model takes images")
    tool_use: bool = Field(default=True, description="whether the model calls tools; false: it writes text instead")
    tool_template: bool = Field(
        default=True, description="whether the chat template knows tools; false: requests with them are refused"
    )
    several_calls: bool = Field(
        default=True,
        description="whether a reply may hold several tool calls; false: one at a time, as with some models",
    )
    grammars: Literal["all", "plain", "none"] = Field(
        default="all",
        description="schemas the engine can hold an answer to: all; plain: those without bounds of length; or none",
    )
    strict_roles: bool = Field(
        default=False, description="refuse two user messages in a row, as some chat templates do"
    )
    log_requests: int = Field(default=1_000, ge=0, description="how many requests the log keeps")
    faults: tuple[FaultRule, ...] = Field(default=(), description="faults to play from the start")
