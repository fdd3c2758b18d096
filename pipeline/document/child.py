"""The reader process from inside: one JSON request a line on stdin, one JSON reply a line on stdout."""

from __future__ import annotations

import json
import os
import pkgutil
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pipeline.document.limits import IDLE_EXIT, OUT_OF_MEMORY_EXIT, ReadingSettings, limit_cpu, limit_memory
from pipeline.document.model import Document
from pipeline.document.refusal import Reason, refusal
from pipeline.errors import DocumentError

Json = dict[str, Any]


class Parse(Protocol):
    """Read the file at a path, or raise `DocumentError`."""

    def __call__(self, path: Path, *, name: str, settings: ReadingSettings) -> Document: ...


def main(settings_json: str, parser: str) -> None:
    """Read documents with a function, `module:name`, until the parent process is gone."""
    settings = ReadingSettings.model_validate_json(settings_json)
    parse: Parse = pkgutil.resolve_name(parser)

    def answer(request: Json) -> Json:
        return {"document": parse(Path(request["path"]), name=request["name"], settings=settings).to_json()}

    serve(answer, cpu_seconds=settings.cpu_seconds, memory_bytes=settings.memory_bytes)


def serve(
    answer: Callable[[Json], Json], *, cpu_seconds: int, memory_bytes: int, idle_seconds: float | None = None
) -> None:
    """Serve requests until stdin ends, which it does when the parent process is gone, however it went.

    Ends by itself with `IDLE_EXIT` after `idle_seconds` without a request.
    """
    # A terminal's Ctrl-C and a service manager's stop go to every process; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    replies = _take_stdout()
    requests = _listen()
    limit_memory(memory_bytes)
    _send(replies, {"ready": os.getpid()})
    while True:
        try:
            request = requests.get(timeout=idle_seconds)
        except queue.Empty:
            os._exit(IDLE_EXIT)
        limit_cpu(cpu_seconds)
        try:
            _send(replies, _answered(request, answer))
        except MemoryError:
            os._exit(OUT_OF_MEMORY_EXIT)


def _take_stdout() -> BinaryIO:
    """Keep the reply channel to ourselves: what a library prints must not mix with it."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _listen() -> queue.SimpleQueue[dict[str, Any]]:
    """Read requests in a thread of its own, so that the end of stdin ends a busy process as well."""
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            requests.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return requests


def _answered(request: Json, answer: Callable[[Json], Json]) -> Json:
    try:
        return answer(request)
    except DocumentError as error:
        return {"error": _error_json(error)}
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes of the libraries, it is that file's failure
        return {"error": _error_json(refusal(Reason.DAMAGED, request["name"])), "cause": _place(error)}


def _error_json(error: DocumentError) -> dict[str, Any]:
    return {"message": error.message, "reason": error.reason, "hint": error.hint, "transient": error.transient}


def _place(error: Exception) -> str:
    """Name the kind of error and where it arose; its message may quote the document, so it stays here."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply, ensure_ascii=False).encode(errors="replace") + b"\n")
    replies.flush()
