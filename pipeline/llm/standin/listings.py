"""The three lists of models that LM Studio gives."""

from __future__ import annotations

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.settings import StandInSettings


def openai_models(settings: StandInSettings) -> JsonObject:
    """Return what `/v1/models` says: all that is downloaded, loaded or not, and no `created`."""
    models = [{"id": name, "object": "model", "owned_by": "organization_owner"} for name in settings.models]
    return {"data": models, "object": "list"}


def v0_models(settings: StandInSettings, *, loaded: bool) -> JsonObject:
    """Return what `/api/v0/models` says: also the state, and the context of what is loaded."""
    context = {"loaded_context_length": settings.context_tokens} if loaded and settings.tells_context else {}
    models = [
        {
            "id": name,
            "object": "model",
            "type": "vlm" if settings.vision else "llm",
            "publisher": "stand-in",
            "arch": "rules",
            "compatibility_type": "gguf",
            "state": "loaded" if loaded else "not-loaded",
            "max_context_length": settings.max_context_tokens or settings.context_tokens,
            "capabilities": ["tool_use"],
            **context,
        }
        for name in settings.models
    ]
    return {"data": models, "object": "list"}


def v1_models(settings: StandInSettings, *, loaded: bool) -> JsonObject:
    """Return what `/api/v1/models` says: also the loaded instances with context and slots."""
    context = {"context_length": settings.context_tokens} if settings.tells_context else {}
    config = {**context, "parallel": settings.slots}
    models = [
        {
            "type": "llm",
            "publisher": "stand-in",
            "key": name,
            "display_name": name,
            "loaded_instances": [{"id": name, "config": config}] if loaded else [],
            "max_context_length": settings.max_context_tokens or settings.context_tokens,
            "format": "gguf",
            "capabilities": {"vision": settings.vision, "trained_for_tool_use": True},
        }
        for name in settings.models
    ]
    return {"models": models}
