"""The tool that ends a session."""

from __future__ import annotations

from pipeline.agent import register_tool


@register_tool(terminal=True, tags=["system"])
async def terminate(message: str) -> str:
    """End the session. Call this once the goals are reached, or when you are sure that they cannot be.

    Args:
        message: What was achieved, or why it could not be, in one or two sentences.
    """
    return message
