"""Pictures in messages: named by what they show until the moment they are sent.

A picture is megabytes of text. What a session holds, records and compares is its name, from which it can be drawn
again; only what goes to the model server carries the picture itself.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipeline.llm.protocol import JsonObject, MayBeAway, Model, ModelReply, ModelRequest

Draw = Callable[[str], Awaitable[bytes]]


def picture_part(name: str) -> JsonObject:
    """Return the part of a message that stands for a picture."""
    return {"type": "image_url", "image_url": {"url": f"{_SCHEME}{name}"}}


class SeeingModel:
    """Put the pictures that requests name into them; `draw` returns the PNG file of a name."""

    def __init__(self, model: Model, draw: Draw) -> None:
        self._model = model
        self._draw = draw

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the reply to the request with its pictures."""
        messages = [await self._with_pictures(message) for message in request.messages]
        return await self._model.complete(replace(request, messages=tuple(messages)))

    @property
    def waited_seconds(self) -> float:
        """Return for how long the model's calls have waited so far."""
        return self._model.waited_seconds if isinstance(self._model, MayBeAway) else 0.0

    async def absence(self) -> str:
        """Return why the model takes no calls now; an empty text where it may take them."""
        return await self._model.absence() if isinstance(self._model, MayBeAway) else ""

    async def ready(self) -> None:
        """Return as soon as the model takes calls."""
        if isinstance(self._model, MayBeAway):
            await self._model.ready()

    async def _with_pictures(self, message: JsonObject) -> JsonObject:
        content = message.get("content")
        if not isinstance(content, list):
            return message
        return {**message, "content": [await self._drawn(part) for part in content]}

    async def _drawn(self, part: JsonObject) -> JsonObject:
        url = (part.get("image_url") or {}).get("url", "")
        if not url.startswith(_SCHEME):
            return part
        png = base64.b64encode(await self._draw(url.removeprefix(_SCHEME))).decode()
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}


_SCHEME = "picture:"
