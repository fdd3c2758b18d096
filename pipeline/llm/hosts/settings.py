"""How one model server is set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr


class HostSettings(BaseModel, frozen=True, extra="forbid"):
    """Set one model server and how patiently it is used."""

    base_url: str = Field("http://localhost:1234/v1", description="address of LM Studio's OpenAI-compatible API")
    api_key: SecretStr = Field(SecretStr(""), description="API token, empty where the server asks for none")
    model: str = Field("", description="name of the model; empty takes the one that is loaded")
    slots: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="calls at once; auto takes what the server says"
    )
    queue_ahead: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="calls beyond the slots that wait inside the server, so that no slot waits; auto: 1 for 4",
    )
    context_tokens: Annotated[int, Field(ge=256)] | Literal["auto"] = Field(
        "auto", description="context the model is loaded with, tokens; auto takes what the server says"
    )
    timeout_seconds: float = Field(600.0, gt=0, description="longest wait for one reply, loading included, seconds")
    probe_timeout_seconds: float = Field(5.0, gt=0, description="longest wait for the server's list of models, seconds")
    probe_interval_seconds: float = Field(5.0, gt=0, description="pause between looks at a host that is away, seconds")
    probe_interval_max_seconds: float = Field(
        60.0, gt=0, description="longest such pause, seconds; it doubles up to it"
    )
    fault_retries: int = Field(3, ge=0, description="times a request is sent again that fails at a healthy host")
    loss_retries: int = Field(
        default=5, ge=0, description="times a request is sent again that was under way when the host was lost"
    )
    cool_off_seconds: float = Field(
        10.0, ge=0, description="time a slot stays taken after its call was abandoned, seconds: the server goes on"
    )
    max_wait_seconds: float | None = Field(
        None, ge=0, description="longest wait for a host that is away, seconds; none waits for ever"
    )
    allow_public_host: bool = Field(False, description="permit a host outside this machine and network")
