"""`pipeline serve` with a model client that ends the whole process at documents with a mark in them."""

from __future__ import annotations

import os
from typing import Any

import pipeline.app
from pipeline.cli.main import main
from pipeline.llm.pool import HostPool, session_of
from pipeline.llm.protocol import Model, ModelReply, ModelRequest
from pipeline.worker import Worker

MARK = "ends the process"
EXIT_CODE = 77


class Deadly:
    """End the process at the mark, as a crashing library would."""

    def __init__(self, model: Model | HostPool) -> None:
        self._model = model

    async def complete(self, request: ModelRequest) -> ModelReply:
        if any(MARK in str(message.get("content")) for message in request.messages):
            os._exit(EXIT_CODE)
        async with session_of(self._model) as model:
            return await model.complete(request)


class DeadlyWorker(Worker):
    """Work with the deadly client."""

    def __init__(self, *, model: HostPool, **others: Any) -> None:
        super().__init__(model=Deadly(model), **others)


if __name__ == "__main__":
    pipeline.app.Worker = DeadlyWorker  # type: ignore[assignment, misc]
    main()
