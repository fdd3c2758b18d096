from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from odd_files import LINES, encrypt, make_pdf, save, with_content

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document
from pipeline.document.parse import parse_file
from pipeline.document.process import ReaderExit, ReaderProcess
from pipeline.document.reader import DocumentReader
from pipeline.document.scan.settings import ScanSettings
from pipeline.document.second import parse_again
from pipeline.errors import DocumentError

ODD = "Überweisung — naïve “quotes” \\ 1"
linux = pytest.mark.skipif(sys.platform != "linux", reason="uses fifos and Linux' own ways to watch processes")


def readers() -> list[int]:
    """Return the process ids of our children."""
    threads = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]


def command_line(pid: int) -> bytes:
    """Return what everybody can see of how a process was started."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def hang(tmp_path: Path) -> Path:
    """Return a file that whoever opens it waits for without end: a pipe that nobody writes to."""
    path = tmp_path / "hang.pdf"
    os.mkfifo(path)
    return path


async def refused(reader: DocumentReader, path: Path) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        await reader.read(path)
    return caught.value


async def test_a_document_comes_back_as_it_was_read(tmp_path: Path) -> None:
    """The way through processes changes nothing, and the name is the one that was asked for."""
    path, name, settings = save(tmp_path, "source.pdf", make_pdf(LINES, (ODD,))), "März 2026.pdf", ReadingSettings()
    async with DocumentReader(scan=ScanSettings(method="off")) as reader:
        document = await reader.read(path, name=name)
    first, second = (parse(path, name=name, settings=settings) for parse in (parse_file, parse_again))
    assert document == combined(first, second, settings=settings)


async def test_an_error_comes_back_whole(tmp_path: Path) -> None:
    """Message, reason and hint survive the way through a process."""
    async with DocumentReader() as reader:
        error = await refused(reader, save(tmp_path, "empty.pdf", b""))
    assert (error.reason, error.message, bool(error.hint)) == ("empty", "empty.pdf is empty", True)


@linux
async def test_a_process_is_kept_for_the_next_document_and_replaced_in_time(tmp_path: Path) -> None:
    """Starting costs more than reading, so a process serves several documents, but not for ever."""
    path = save(tmp_path, "a.txt", "Invoice 1")
    seen: list[int] = []
    async with DocumentReader(ReadingSettings(reads_per_process=2)) as reader:
        for _ in range(3):
            await reader.read(path)
            seen += readers()
    assert len(seen) == 2
    assert len(set(seen)) == 2
    assert readers() == []


LOCKED = encrypt(make_pdf(), user_password="käse-17", owner_password="x")


@linux
async def test_a_locked_file_is_opened_with_a_password_of_the_settings(tmp_path: Path) -> None:
    """The passwords are tried in turn; no process shows them on its command line, and no copy of the settings."""
    settings = ReadingSettings(passwords=("other", "käse-17"))
    async with DocumentReader(settings) as reader:
        document = await reader.read(save(tmp_path, "locked.pdf", LOCKED))
        told = b"".join(command_line(pid) for pid in readers())
    assert "BP-1042" in document.text
    assert "käse-17".encode() not in told
    assert "käse-17" not in f"{settings!r} {settings} {settings.model_dump_json()} {document}"


async def test_a_locked_file_that_no_password_fits_says_what_to_do(tmp_path: Path) -> None:
    """The reason is its own, and neither message nor hint repeats a password."""
    path = save(tmp_path, "locked.pdf", LOCKED)
    for passwords in ((), ("wrong-1", "wrong-2")):
        async with DocumentReader(ReadingSettings(passwords=passwords)) as reader:
            error = await refused(reader, path)
        assert (error.reason, error.transient) == ("encrypted", False)
        assert "[reading]" in error.hint
        assert "wrong-" not in f"{error} {error.message} {error.hint}"


@linux
async def test_a_hanging_file_times_out_and_the_next_is_read(tmp_path: Path, hang: Path) -> None:
    """A file that never ends costs its wall time and its process, nothing else."""
    async with DocumentReader(ReadingSettings(wall_seconds=0.5)) as reader:
        error = await refused(reader, hang)
        assert (error.reason, error.transient) == ("timeout", True)
        assert readers() == []
        document = await reader.read(save(tmp_path, "a.txt", "Invoice 1"))
    assert document.text == "Invoice 1"


@linux
async def test_a_hanging_file_does_not_delay_another(tmp_path: Path, hang: Path) -> None:
    """Two processes read side by side."""
    good = save(tmp_path, "a.txt", "Invoice 1")
    read: list[Document] = []
    async with DocumentReader(ReadingSettings(processes=2)) as reader, anyio.create_task_group() as tasks:
        tasks.start_soon(reader.read, hang)
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(20):
            read.append(await reader.read(good))
        tasks.cancel_scope.cancel()
    assert read[0].text == "Invoice 1"
    assert readers() == []


@pytest.mark.slow
@linux
async def test_a_file_that_needs_too_much_processor_time_is_stopped(tmp_path: Path) -> None:
    """The system ends a reader that computes beyond the limit."""
    slow = with_content(b"BT /F1 9 Tf " + b"1 0 0 1 50 50 Tm (a b) Tj " * 200_000 + b" ET")
    settings = ReadingSettings(cpu_seconds=1, pdf_operations=10**9, pdf_stream_bytes=10**9, max_characters=10**7)
    async with DocumentReader(settings) as reader:
        error = await refused(reader, save(tmp_path, "slow.pdf", slow))
    assert (error.reason, error.transient) == ("timeout", False)


@linux
async def test_a_file_that_needs_too_much_memory_is_stopped(tmp_path: Path) -> None:
    """A document gets the memory it is allowed; the process that ran out of it is gone, the next one reads on."""
    large = save(tmp_path, "large.txt", b"word " * 3_000_000)
    async with DocumentReader(ReadingSettings(memory_bytes=20_000_000)) as reader:
        assert (await refused(reader, large)).reason == "too_much_memory"
        assert (await reader.read(save(tmp_path, "a.txt", "Invoice 1"))).text == "Invoice 1"


@linux
async def test_a_reader_that_dies_fails_only_its_document(tmp_path: Path, hang: Path) -> None:
    """When the system kills a reader, that document fails for now and the next one gets a new reader."""
    errors: list[DocumentError] = []

    async def read_hanging() -> None:
        errors.append(await refused(reader, hang))

    async with DocumentReader(ReadingSettings(processes=1)) as reader:
        await reader.read(save(tmp_path, "a.txt", "Invoice 1"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_hanging)
            # The pipe opens for writing once the reader has it open: it is at work on the file now.
            writer = await anyio.to_thread.run_sync(lambda: os.open(hang, os.O_WRONLY))
            os.kill(readers()[0], signal.SIGKILL)
        os.close(writer)
        assert (errors[0].reason, errors[0].transient) == ("reader_died", True)
        assert (await reader.read(save(tmp_path, "b.txt", "Invoice 2"))).text == "Invoice 2"


@linux
async def test_an_idle_reader_that_died_is_replaced_unnoticed(tmp_path: Path) -> None:
    """A reader killed between two documents costs neither of them."""
    async with DocumentReader() as reader:
        await reader.read(save(tmp_path, "a.txt", "Invoice 1"))
        (pid,) = readers()
        watch = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        await anyio.wait_readable(watch)
        os.close(watch)
        assert (await reader.read(save(tmp_path, "b.txt", "Invoice 2"))).text == "Invoice 2"


@linux
async def test_signals_of_the_terminal_do_not_reach_a_reader(tmp_path: Path) -> None:
    """Ctrl-C and a service manager's stop are for the daemon, which ends its readers itself."""
    async with DocumentReader() as reader:
        await reader.read(save(tmp_path, "a.txt", "Invoice 1"))
        (pid,) = readers()
        assert os.getsid(pid) == pid
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert (await reader.read(save(tmp_path, "b.txt", "Invoice 2"))).text == "Invoice 2"
        assert readers() == [pid]


async def test_a_reader_that_cannot_start_is_no_fault_of_the_document(tmp_path: Path) -> None:
    """No process in time means: try again later."""
    async with DocumentReader(ReadingSettings(start_seconds=0.001)) as reader:
        error = await refused(reader, save(tmp_path, "a.txt", "Invoice 1"))
    assert (error.reason, error.transient) == ("reader_died", True)


PARENT = """
import sys
sys.path[:] = {path!r}
import anyio
from pathlib import Path
from pipeline.document.limits import ReadingSettings
from pipeline.document.process import ReaderExit, ReaderProcess

async def main():
    reader = await ReaderProcess.start(ReadingSettings())
    print(reader.pid, flush=True)
    await reader.ask({{"path": {hang!r}, "name": "hang"}})

anyio.run(main)
"""


@linux
def test_readers_go_when_their_parent_is_killed(hang: Path) -> None:
    """After a SIGKILL of the daemon no reader stays behind, not even one at work."""
    script = PARENT.format(path=sys.path, hang=str(hang))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        watch = os.pidfd_open(int(parent.stdout.readline()))
        writer = os.open(hang, os.O_WRONLY)
        parent.kill()
    anyio.run(gone, watch)
    os.close(writer)
    os.close(watch)


async def gone(watch: int) -> None:
    with anyio.fail_after(10):
        await anyio.wait_readable(watch)


@pytest.mark.slow
async def test_a_reader_that_floods_its_channel_is_ended() -> None:
    """What is taken from a reader is bounded, whatever has become of it."""
    script = "import sys; print('x' * 100_000, flush=True); sys.stdin.read()"
    process = await anyio.open_process([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    reader = ReaderProcess(process, max_reply_bytes=1000)
    with pytest.raises(ReaderExit):
        await reader.ask({"path": "a", "name": "a"})
    assert process.returncode is not None
    await reader.stop()
