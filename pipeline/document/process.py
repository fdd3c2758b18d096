"""The reader process from outside: start it, ask it, end it.

anyio's own process pool is not used: it runs the parent's main module in the child (here the whole command line with
the model client), leaves the child in the terminal's process group, where a Ctrl-C at a bad moment makes it answer
out of turn, hides why a worker ended, and cannot be closed before the event loop ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from enum import StrEnum
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.document.attachments import MAX_ATTACHMENTS
from pipeline.document.limits import ReadingSettings

Json = dict[str, Any]

_EXIT_SECONDS = 2.0
# Four numbers and what stands between them; the letters count as text.
_WORD_BYTES = 80

# The child imports from where we import, but neither the working folder nor the environment adds to that.
_BOOT = """
import json, pkgutil, sys
sys.path[:] = json.loads(sys.argv[1])
pkgutil.resolve_name(sys.argv[2])(*json.loads(sys.stdin.buffer.readline()))
"""


class Parser(StrEnum):
    """Name the functions that a process may be made for; each knows one library, and the other one is not loaded."""

    FIRST = "pipeline.document.parse:parse_file"
    SECOND = "pipeline.document.second:parse_again"


class ReaderExit(Exception):
    """The process ended instead of answering; `code` is its exit code, negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"reader process ended with code {code}")
        self.code = code


class ReaderGone(ReaderExit):
    """The process had ended before the request reached it."""


class ReaderProcess:
    """Hold one process that reads documents, one at a time."""

    def __init__(self, process: Process, *, max_reply_bytes: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.reads = 0
        self._process = process
        self._requests = process.stdin
        self._replies = BufferedByteReceiveStream(process.stdout)
        self._max_reply_bytes = max_reply_bytes

    @classmethod
    async def start(cls, settings: ReadingSettings, parser: Parser = Parser.FIRST) -> ReaderProcess:
        """Start a process and wait until its libraries are loaded; `ReaderExit` or `TimeoutError` if it does not."""
        # Two views of the text, up to four bytes a character, half as much again for JSON; the page and the e-invoices
        # of a file, up to three bytes for one of an old encoding; the places of words; and change.
        room = 12 * settings.max_characters + 3 * (MAX_ATTACHMENTS + 1) * settings.pdf_stream_bytes
        places = _WORD_BYTES * settings.max_pages * settings.max_words_per_page
        return await cls.launch(
            "pipeline.document.child:main",
            settings.revealed(),
            parser.value,
            start_seconds=settings.start_seconds,
            max_reply_bytes=room + places + 1_000_000,
        )

    @classmethod
    async def launch(cls, function: str, *arguments: str, start_seconds: float, max_reply_bytes: int) -> ReaderProcess:
        """Start a process that serves requests with a function, `module:name`, and wait until it says it is ready."""
        path = json.dumps([entry for entry in sys.path if entry])
        process = await anyio.open_process(
            [sys.executable, "-I", "-c", _BOOT, path, function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **_apart(),
        )
        reader = cls(process, max_reply_bytes=max_reply_bytes)
        try:
            with anyio.fail_after(start_seconds):
                # Not on the command line, which every user of the machine can see: there are passwords among them.
                with suppress(anyio.BrokenResourceError):
                    await reader._requests.send(json.dumps(arguments).encode() + b"\n")
                await reader._receive()
        except BaseException:
            await reader.stop()
            raise
        return reader

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    async def ask(self, request: Json) -> Json:
        """Send one request and return its reply; `ReaderExit` or `ReaderGone` where there is none."""
        self.reads += 1
        try:
            await self._requests.send(json.dumps(request).encode() + b"\n")
        except anyio.BrokenResourceError:
            raise ReaderGone(await self._ended()) from None
        return await self._receive()

    async def stop(self) -> None:
        """End the process at once and wait until it is gone."""
        with anyio.CancelScope(shield=True):
            await self._end()
            await self._process.aclose()

    async def _receive(self) -> Json:
        try:
            line = await self._replies.receive_until(b"\n", self._max_reply_bytes)
        except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
            raise ReaderExit(await self._ended()) from None
        reply: Json = json.loads(line)
        return reply

    async def _ended(self) -> int:
        """Return the exit code of a process that is ending by itself.

        It is not killed at once: `kill` polls the process first, which takes the code away from who waits for it.
        """
        with anyio.move_on_after(_EXIT_SECONDS):
            return await self._process.wait()
        return await self._end()

    async def _end(self) -> int:
        with suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()


def _apart() -> dict[str, Any]:
    """Return what keeps signals from the terminal away from a new process."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
