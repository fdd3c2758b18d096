"""The inbox: what is taken, when, and why the rest is not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inbox import IntakeSettings, Listing, Seen, Settling, has_pdf_end, list_inbox

AGENTS = {"invoice": (".pdf", ".txt"), "code-review": ()}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return inbox


def seen(name: str = "a.txt", *, size: int = 1, mtime_ns: int = 0, inode: int = 1) -> Seen:
    return Seen(Path("/inbox") / name, "invoice", size, mtime_ns, inode)


def taken(listing: Listing) -> dict[str, str]:
    return {one.path.name: one.agent for one in listing.files}


def reasons(listing: Listing) -> dict[str, str]:
    return {one.path.name: one.reason for one in listing.ignored}


def settling(**settings: Any) -> Settling:
    return Settling(IntakeSettings(**{"settle_seconds": 2, "unfinished_pdf_seconds": 30, **settings}))


def names_ready(rested: Settling, files: list[Seen], now: float) -> list[str]:
    return [one.path.name for one in rested.observe(files, now=now).ready]


def test_files_are_listed_for_their_agents(inbox: Path) -> None:
    """The inbox itself belongs to the invoice agent, each folder to the agent of its name."""
    (inbox / "a.pdf").write_bytes(b"abc")
    for agent, name in (("code-review", "b.py"), ("invoice", "c.TXT")):
        (inbox / agent).mkdir()
        (inbox / agent / name).touch()
    listing = list_inbox(inbox, AGENTS)
    assert taken(listing) == {"a.pdf": "invoice", "b.py": "code-review", "c.TXT": "invoice"}
    assert listing.ignored == ()
    (file,) = [one for one in listing.files if one.path.name == "a.pdf"]
    status = (inbox / "a.pdf").stat()
    assert (file.size, file.mtime_ns, file.inode) == (3, status.st_mtime_ns, status.st_ino)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".hidden.pdf", "hidden"),
        ("~$bill.pdf", "lock file"),
        ("a.pdf.part", "still being written"),
        ("a.pdf.crdownload", "still being written"),
        ("a.PDF.TMP", "still being written"),
        ("a.docx", "not a kind of file this agent takes (.pdf, .txt)"),
        ("noend", "not a kind of file"),
    ],
)
def test_a_file_that_is_never_taken_is_listed_with_its_reason(inbox: Path, name: str, reason: str) -> None:
    """Nothing is dropped in silence."""
    (inbox / name).touch()
    listing = list_inbox(inbox, AGENTS)
    assert listing.files == ()
    assert reason in reasons(listing)[name]


def test_links_fifos_and_sockets_are_not_followed_or_opened(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a fine file, to a folder or to nothing is refused as well; opening a fifo would hang."""
    (inbox.parent / "real.pdf").touch()
    (inbox / "link.pdf").symlink_to(inbox.parent / "real.pdf")
    (inbox / "code-review").symlink_to(inbox.parent)
    (inbox / "dangling.pdf").symlink_to("nowhere")
    os.mkfifo(inbox / "fifo.pdf")
    monkeypatch.chdir(inbox)  # a socket's path may only be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.pdf")
        listing = list_inbox(inbox, AGENTS)
    assert listing.files == ()
    found = reasons(listing)
    assert [found[name] for name in ("fifo.pdf", "socket.pdf")] == ["not a regular file"] * 2
    for name in ("link.pdf", "dangling.pdf", "code-review"):
        assert "symbolic link" in found[name]


def test_folders_that_are_no_agents_are_named(inbox: Path) -> None:
    """A slip in a folder's name is told with the names there are; hidden folders and deeper ones are not entered."""
    for folder in ("reviews", ".git", "code-review/inner"):
        (inbox / folder).mkdir(parents=True)
        (inbox / folder / "a.pdf").touch()
    listing = list_inbox(inbox, AGENTS)
    assert listing.files == ()
    assert reasons(listing) == {
        "reviews": "a folder, but no agent has this name (agents: code-review, invoice)",
        "inner": "a folder inside an agent's folder",
    }


def test_the_file_that_keeps_an_empty_folder_is_not_told(inbox: Path) -> None:
    """`.gitkeep` came with the project and is nobody's invoice."""
    (inbox / ".gitkeep").touch()
    assert list_inbox(inbox, AGENTS) == Listing()


def test_an_inbox_that_is_gone_is_an_error(inbox: Path) -> None:
    """Empty and unreachable are not the same."""
    inbox.rmdir()
    with pytest.raises(FileNotFoundError):
        list_inbox(inbox, AGENTS)


def test_an_agents_folder_that_cannot_be_read_does_not_stop_the_others(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong rights on one folder are told; the files beside it are taken."""
    (inbox / "a.pdf").touch()
    (inbox / "code-review").mkdir()
    scandir = os.scandir

    def refusing(path: Any) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("code-review"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # rights do not bind the superuser, who may run this test
    listing = list_inbox(inbox, AGENTS)
    assert taken(listing) == {"a.pdf": "invoice"}
    assert reasons(listing) == {"code-review": "this agent's folder cannot be read: Permission denied"}


def test_a_name_in_no_known_encoding_is_listed(inbox: Path) -> None:
    """File names are bytes on some systems."""
    try:
        (inbox / os.fsdecode(b"R\xfcck.pdf")).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert len(list_inbox(inbox, AGENTS).files) == 1


def test_a_file_is_ready_once_it_was_still_for_long_enough() -> None:
    """The first look starts the clock, however old the file is."""
    rested = settling()
    assert [names_ready(rested, [seen()], now) for now in (100, 101.9, 102)] == [[], [], ["a.txt"]]


@pytest.mark.parametrize("change", [{"size": 2}, {"mtime_ns": 5}, {"inode": 9}])
def test_any_change_starts_the_wait_again(change: dict[str, int]) -> None:
    """Size, time and a replaced file count alike."""
    rested = settling()
    names_ready(rested, [seen()], 0)
    assert names_ready(rested, [seen(**change)], 2) == []
    assert names_ready(rested, [seen(**change)], 4) == ["a.txt"]


def test_a_file_that_was_away_starts_again() -> None:
    """A name that comes back may be another file."""
    rested = settling()
    for files, now in (([seen()], 0), ([], 1)):
        rested.observe(files, now=now)
    assert names_ready(rested, [seen()], 2) == []


def test_a_forgotten_file_starts_again() -> None:
    """A claim that failed is not repeated at once."""
    rested = settling()
    names_ready(rested, [seen()], 0)
    rested.forget(seen().path)
    rested.forget(Path("/inbox/never-seen"))
    assert names_ready(rested, [seen()], 2) == []


def test_without_a_wait_the_first_look_is_enough() -> None:
    """Zero seconds mean at once."""
    assert names_ready(settling(settle_seconds=0), [seen()], 0) == ["a.txt"]


def test_ready_files_come_oldest_first() -> None:
    """Who came first is served first; the name decides between equals."""
    files = [seen("c.txt", mtime_ns=1), seen("b.txt", mtime_ns=2), seen("a.txt", mtime_ns=2)]
    assert names_ready(settling(settle_seconds=0), files, 0) == ["c.txt", "a.txt", "b.txt"]


def test_the_next_look_is_due_when_the_next_file_may_be_ready() -> None:
    """Nothing waiting, no look; else the shortest time that is left, never none at all."""
    rested = settling()
    assert rested.observe([], now=0).look_again_seconds is None
    rested.observe([seen("a.txt")], now=0)
    assert rested.observe([seen("a.txt"), seen("b.txt")], now=1.5).look_again_seconds == 0.5
    assert rested.observe([seen("a.txt"), seen("b.txt")], now=1.99).look_again_seconds == 0.05
    assert rested.observe([seen("a.txt"), seen("b.txt")], now=2).look_again_seconds == 1.5


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.booleans()), min_size=1, max_size=30),
    st.floats(0, 5),
)
def test_ready_means_still_for_the_settling_time(looks: list[tuple[float, bool]], settle: float) -> None:
    """Never earlier, always then, whatever the looks and changes."""
    rested = Settling(IntakeSettings(settle_seconds=settle))
    now, size, since = 0.0, 0, None
    for pause, changed in looks:
        now += pause
        if changed:
            size += 1
        if changed or since is None:
            since = now
        assert bool(rested.observe([seen(size=size)], now=now).ready) == (now - since >= settle)


def pdf(path: Path, content: bytes) -> Seen:
    path.write_bytes(content)
    status = path.stat()
    return Seen(path, "invoice", status.st_size, status.st_mtime_ns, status.st_ino)


def test_a_pdf_without_its_end_is_waited_for_and_then_taken(inbox: Path) -> None:
    """A stalled copy gets time; a file that was cut off for good is tried all the same."""
    rested, file = settling(), pdf(inbox / "a.PDF", b"%PDF-1.7\n" + b"x" * 100)
    assert names_ready(rested, [file], 0) == []
    decision = rested.observe([file], now=5)
    assert decision.ready == ()
    assert decision.look_again_seconds is not None
    assert decision.look_again_seconds >= 0.5, "nothing is gained by looking twenty times a second"
    assert names_ready(rested, [file], 29.9) == []
    assert names_ready(rested, [file], 30) == ["a.PDF"]


def test_a_pdf_whose_end_arrives_is_taken_when_it_rests(inbox: Path) -> None:
    """The end alone is not enough, nor is the rest."""
    rested = settling()
    rested.observe([pdf(inbox / "a.pdf", b"%PDF-1.7\n")], now=0)
    whole = pdf(inbox / "a.pdf", b"%PDF-1.7\n...\n%%EOF\n")
    assert names_ready(rested, [whole], 10) == []
    assert names_ready(rested, [whole], 12) == ["a.pdf"]


@pytest.mark.parametrize(
    ("content", "ended"),
    [
        (b"%PDF-1.7\n%%EOF", True),
        (b"\n \n%PDF-1.7\n%%EOF\r\n\0\0", True),
        (b"%PDF-1.7\n" + b"x" * 9000 + b"%%EOF" + b" " * 2000, True),
        (b"%PDF-1.7\n%%EOF\n" + b"x" * 9000, False),
        (b"%PDF-1.7\n%%EO", False),
        (b"%PDF-", False),
        (b"no PDF at all", True),
        (b"", True),
    ],
)
def test_the_end_of_a_pdf_is_looked_for_near_its_end(inbox: Path, content: bytes, ended: bool) -> None:
    """An earlier revision's end mark does not count; what is no PDF has nothing to wait for."""
    (inbox / "a.pdf").write_bytes(content)
    assert has_pdf_end(inbox / "a.pdf") is ended


def test_a_pdf_that_is_gone_is_not_waited_for(inbox: Path) -> None:
    """Its claim will find that out."""
    assert has_pdf_end(inbox / "gone.pdf")
