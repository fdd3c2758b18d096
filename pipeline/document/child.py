"""The reader process from inside: one JSON request a line on stdin, one JSON reply a line on stdout."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.document.limits import OUT_OF_MEMORY_EXIT, ReadingSettings, limit_cpu, limit_memory
from pipeline.document.parse import parse_file
from pipeline.document.refusal import Reason, refusal
from pipeline.errors import DocumentError


def main() -> None:
    """Take the settings from the first line of stdin, then serve requests until it ends.

    It ends when the parent process is gone, however it went.
    """
    # A terminal's Ctrl-C and a service manager's stop go to every process; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Not from the command line, which every user of the machine can see: there are passwords among them.
    settings = ReadingSettings.model_validate_json(sys.stdin.buffer.readline())
    replies = _take_stdout()
    requests = _listen()
    limit_memory(settings.memory_bytes)
    _send(replies, {"ready": os.getpid()})
    while True:
        request = requests.get()
        limit_cpu(settings.cpu_seconds)
        try:
            _send(replies, _answer(request, settings))
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


def _answer(request: dict[str, Any], settings: ReadingSettings) -> dict[str, Any]:
    name = request["name"]
    try:
        return {"document": parse_file(Path(request["path"]), name=name, settings=settings).to_json()}
    except DocumentError as error:
        return {"error": _error_json(error)}
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes of the libraries, it is that file's failure
        return {"error": _error_json(refusal(Reason.DAMAGED, name)), "cause": _place(error)}


def _error_json(error: DocumentError) -> dict[str, Any]:
    return {"message": error.message, "reason": error.reason, "hint": error.hint, "transient": error.transient}


def _place(error: Exception) -> str:
    """Name the kind of error and where it arose; its message may quote the document, so it stays here."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply, ensure_ascii=False).encode(errors="replace") + b"\n")
    replies.flush()
