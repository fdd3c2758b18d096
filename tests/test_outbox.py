"""The outbox: a file becomes a job once, and is in one place at every moment."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from pipeline.disk import Disk
from pipeline.errors import JobNotFound
from pipeline.index import JobIndex
from pipeline.job import State, job_name
from pipeline.outbox import Claimed, Duplicate, JobFolder, NotClaimed, Outbox, stale, was_cut_short
from pipeline.trace import event, utc_now


class PowerCut(BaseException):
    """End the process, as far as a test can."""


class HookedDisk(Disk):
    """Do something just before a rename or a copy."""

    before: Callable[[Path, Path], None] = staticmethod(lambda _source, _target: None)

    def _rename(self, source: Path, target: Path) -> None:
        self.before(source, target)
        super()._rename(source, target)

    def _copy(self, source: Path, target: Path) -> None:
        self.before(source, target)
        super()._copy(source, target)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    yield engine
    engine.dispose()


@pytest.fixture
def disk() -> HookedDisk:
    return HookedDisk()


@pytest.fixture
def outbox(tmp_path: Path, disk: HookedDisk, database: Engine) -> Outbox:
    outbox = Outbox(tmp_path / "outbox", disk, JobIndex(database))
    outbox.prepare()
    return outbox


def drop(tmp_path: Path, name: str = "Bill 7.pdf", content: bytes = b"content") -> Path:
    path = tmp_path / "inbox" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def claim(outbox: Outbox, path: Path, *, keep: bool = False) -> JobFolder:
    outcome = outbox.claim(path, "invoice", keep=keep)
    assert isinstance(outcome, Claimed), outcome
    return outcome.job


def finish(outbox: Outbox, job: JobFolder, state: State) -> JobFolder:
    finished_at = utc_now()
    outbox.trace(job).append([event("job.finished", status=state, finished_at=finished_at, error=None)])
    return outbox.publish(job, state, json.dumps({"status": state, "finished_at": finished_at}).encode())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_claimed_file_lies_in_its_jobs_folder_with_a_trace(tmp_path: Path, outbox: Outbox) -> None:
    """The file has left the inbox, unchanged, and the trace says where it came from."""
    path = drop(tmp_path)
    job = claim(outbox, path)
    assert job.state is State.WORKING
    assert files(job.path) == ["source.pdf", "trace.jsonl"]
    assert job.source_path is not None
    assert job.source_path.read_bytes() == b"content"
    assert not path.exists()
    record = job.record().claim
    assert record is not None
    assert (record.job, record.name, record.size, record.agent) == (job.name, "Bill 7.pdf", 7, "invoice")
    assert job.name.startswith("bill-7-")


def test_the_trace_is_written_before_the_file_moves(tmp_path: Path, outbox: Outbox, disk: HookedDisk) -> None:
    """A crash at the rename leaves the file in the inbox and a job folder that says what it was for."""

    def cut(_source: Path, _target: Path) -> None:
        raise PowerCut

    path, disk.before = drop(tmp_path), cut
    with pytest.raises(PowerCut):
        outbox.claim(path, "invoice")
    (left,) = outbox.jobs(State.WORKING)
    assert path.read_bytes() == b"content"
    assert files(left.path) == ["trace.jsonl"]
    assert was_cut_short(left)
    del disk.before
    job = claim(outbox, path)
    assert job == left
    assert not was_cut_short(job)


@pytest.mark.parametrize("torn", [b"", b'{"at":"20'])
def test_a_claim_that_was_cut_short_is_made_again(tmp_path: Path, outbox: Outbox, torn: bytes) -> None:
    """Whatever the crash left in the folder, a torn trace as well."""
    path = drop(tmp_path)
    digest_name = claim(outbox, path).name
    folder = tmp_path / "outbox" / "working" / digest_name
    (folder / "source.pdf").rename(path)
    (folder / "trace.jsonl").write_bytes(torn)
    (folder / ".source.pdf.writing").write_bytes(b"half a co")
    job = claim(outbox, path)
    assert job.name == digest_name
    record = job.record()
    assert record.claim is not None
    assert job.trace_path.read_text().startswith('{"at"')


def test_keeping_the_file_copies_it(tmp_path: Path, outbox: Outbox) -> None:
    """`run` leaves files where they are."""
    path = drop(tmp_path)
    job = claim(outbox, path, keep=True)
    assert path.read_bytes() == b"content"
    assert job.source_path is not None
    assert job.source_path.read_bytes() == b"content"


@pytest.mark.parametrize("state", [State.WORKING, State.DONE, State.REVIEW])
@pytest.mark.parametrize("keep", [False, True])
def test_the_same_bytes_again_make_no_second_job(tmp_path: Path, outbox: Outbox, state: State, keep: bool) -> None:
    """Under whatever name, the file leaves the inbox and the earlier job is named and left alone."""
    job = claim(outbox, drop(tmp_path))
    if state is not State.WORKING:
        job = finish(outbox, job, state)
    before = job.trace_path.read_bytes()
    again = drop(tmp_path, "copy of bill.pdf")
    assert outbox.claim(again, "invoice", keep=keep) == Duplicate(job, reopened=False)
    assert again.exists() is keep
    assert list(outbox.all_jobs()) == [job]
    assert job.trace_path.read_bytes() == before


def test_the_same_bytes_for_another_agent_are_another_job(tmp_path: Path, outbox: Outbox) -> None:
    """A review of an invoice's text is not the invoice."""
    claim(outbox, drop(tmp_path))
    assert isinstance(outbox.claim(drop(tmp_path), "code-review"), Claimed)
    assert outbox.count(State.WORKING) == 2


def test_the_same_bytes_claimed_several_times_at_once_are_one_job(tmp_path: Path, outbox: Outbox) -> None:
    """Whichever comes first makes the job, the others find it, and no file is left."""
    paths = [drop(tmp_path, f"{number}.pdf") for number in range(8)]
    with ThreadPoolExecutor(len(paths)) as threads:
        outcomes = list(threads.map(lambda path: outbox.claim(path, "invoice"), paths))
    (made,) = [one for one in outcomes if isinstance(one, Claimed)]
    assert [one for one in outcomes if one != made] == [Duplicate(made.job, reopened=False)] * 7
    assert list(outbox.all_jobs()) == [made.job]
    assert files(made.job.path) == ["source.pdf", "trace.jsonl"]
    assert not any(path.exists() for path in paths)


def test_dropping_the_file_of_a_failed_job_tries_it_again(tmp_path: Path, outbox: Outbox) -> None:
    """The job goes back to work from the start; its trace goes on."""
    failed = finish(outbox, claim(outbox, drop(tmp_path)), State.FAILED)
    again = drop(tmp_path)
    outcome = outbox.claim(again, "invoice")
    assert isinstance(outcome, Duplicate)
    assert outcome.reopened
    assert outcome.job.state is State.WORKING
    assert outcome.job.name == failed.name
    assert not failed.path.exists()
    assert not again.exists()
    record = outcome.job.record()
    assert (record.finished, record.steps) == (None, {})
    assert not was_cut_short(outcome.job)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("state", [State.DONE, State.FAILED])
def test_a_source_that_was_taken_out_is_put_back(tmp_path: Path, outbox: Outbox, state: State, keep: bool) -> None:
    """Somebody moved the document away; the same bytes again take its place instead of being deleted."""
    job = finish(outbox, claim(outbox, drop(tmp_path)), state)
    assert job.source_path is not None
    job.source_path.unlink()
    outcome = outbox.claim(drop(tmp_path), "invoice", keep=keep)
    assert isinstance(outcome, Duplicate)
    assert outcome.job.source_path is not None
    assert outcome.job.source_path.read_bytes() == b"content"
    assert (tmp_path / "inbox" / "Bill 7.pdf").exists() is keep


def test_a_source_that_was_changed_by_hand_does_not_cost_the_dropped_file(tmp_path: Path, outbox: Outbox) -> None:
    """Its bytes are nowhere else, so they are kept beside."""
    job = finish(outbox, claim(outbox, drop(tmp_path)), State.DONE)
    assert job.source_path is not None
    job.source_path.write_bytes(b"scribbled on")
    assert outbox.claim(drop(tmp_path), "invoice") == Duplicate(job, reopened=False)
    (dropped,) = job.path.glob("dropped-*-source.pdf")
    assert dropped.read_bytes() == b"content"
    assert job.source_path is not None
    assert job.source_path.read_bytes() == b"scribbled on"
    assert files(tmp_path / "inbox") == []


def test_a_running_job_whose_source_was_taken_out_is_not_claimed_twice(tmp_path: Path, outbox: Outbox) -> None:
    """Only a claim that never got its file is made again; two sessions in one folder would spoil its trace."""
    job = claim(outbox, drop(tmp_path))
    outbox.trace(job).append([event("attempt.started", attempt=1, recorded_steps=0)])
    assert job.source_path is not None
    job.source_path.unlink()
    assert outbox.claim(drop(tmp_path), "invoice") == Duplicate(job, reopened=False)
    assert job.source_path is not None


def test_a_job_that_finishes_while_it_is_looked_up_is_not_claimed_again(
    tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks at its folder the job has moved on to done/; there it is found."""
    job = claim(outbox, drop(tmp_path))
    source_of = JobFolder.source_path.fget
    assert source_of is not None

    def finishing_first(looked_at: JobFolder) -> Path | None:
        if looked_at.path == job.path and job.path.exists():
            finish(outbox, job, State.DONE)
        return source_of(looked_at)

    monkeypatch.setattr(JobFolder, "source_path", property(finishing_first))
    outcome = outbox.claim(drop(tmp_path), "invoice")
    assert isinstance(outcome, Duplicate)
    assert outcome.job.state is State.DONE
    assert outbox.count(State.WORKING) == 0


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_is_gone_makes_no_job(tmp_path: Path, outbox: Outbox, keep: bool) -> None:
    """Somebody took it back before we came."""
    assert outbox.claim(tmp_path / "gone.pdf", "invoice", keep=keep) == NotClaimed("gone")
    assert list(outbox.all_jobs()) == []


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_goes_during_the_claim_leaves_no_job(
    tmp_path: Path, outbox: Outbox, disk: HookedDisk, keep: bool
) -> None:
    """The folder made for it is taken away again, and the file can come back later."""
    path = drop(tmp_path)
    disk.before = lambda source, _: source.unlink() if source == path else None
    assert outbox.claim(path, "invoice", keep=keep) == NotClaimed("gone")
    assert list(outbox.all_jobs()) == []
    del disk.before
    claim(outbox, drop(tmp_path))


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_changes_during_the_claim_goes_back(
    tmp_path: Path, outbox: Outbox, disk: HookedDisk, keep: bool
) -> None:
    """A job is named by its content, so what grew in between is looked at again, and nothing of it is lost."""
    path = drop(tmp_path)

    def grow(source: Path, _: Path) -> None:
        if source == path:
            source.write_bytes(b"content and more")

    disk.before = grow
    assert outbox.claim(path, "invoice", keep=keep) == NotClaimed("changed while it was being claimed")
    assert path.read_bytes() == b"content and more"
    assert list(outbox.all_jobs()) == []
    del disk.before
    assert claim(outbox, path).record().claim is not None


class RetakenName(HookedDisk):
    """Let the claimed file have changed, and another one come under its name."""

    def _rename(self, source: Path, target: Path) -> None:
        super()._rename(source, target)
        if source.parent.name == "inbox":
            target.write_bytes(b"content and more")
            source.write_bytes(b"another file")


def test_a_file_that_goes_back_never_takes_the_place_of_another(tmp_path: Path, database: Engine) -> None:
    """Where its name was taken meanwhile, and a thousand names beside it, it gets the next one."""
    outbox = Outbox(tmp_path / "outbox", RetakenName(), JobIndex(database))
    outbox.prepare()
    path = drop(tmp_path)
    for number in range(2, 1000):
        path.with_stem(f"{path.stem}-{number}").touch()
    assert isinstance(outbox.claim(path, "invoice"), NotClaimed)
    assert path.read_bytes() == b"another file"
    assert path.with_stem(f"{path.stem}-1000").read_bytes() == b"content and more"


def test_a_file_that_was_only_touched_during_the_claim_is_taken(
    tmp_path: Path, outbox: Outbox, disk: HookedDisk
) -> None:
    """The content decides, not the time."""
    path = drop(tmp_path)
    disk.before = lambda source, _: os.utime(source, (1, 1)) if source == path else None
    job = claim(outbox, path)
    assert job.source_path is not None
    assert not path.exists()


@pytest.mark.parametrize(
    "name",
    [
        unicodedata.normalize("NFC", "Müller & Söhne.pdf"),
        unicodedata.normalize("NFD", "Müller & Söhne.pdf"),
        "ü" * 125 + ".pdf",
        "x" * 251 + ".pdf",
        "-rf.pdf",
        "line\nbreak\t.pdf",
        "..pdf",
        "...%2f..%2fetc",
        "no suffix",
        "trailing. ",
        "working",
        "$(touch x);`y`'\".pdf",
        os.fsdecode(b"R\xfcckgabe.pdf"),
    ],
)
def test_any_name_a_file_can_have_is_claimed(tmp_path: Path, outbox: Outbox, name: str) -> None:
    """Folder, trace and index take it, and it is named in the claim as far as it is text."""
    try:
        path = drop(tmp_path, name)
    except OSError:
        pytest.skip("this file system does not take such a name")
    job = claim(outbox, path)
    assert job.path.parent == tmp_path / "outbox" / "working"
    record = job.record().claim
    assert record is not None
    assert record.name == os.fsencode(name).decode(errors="replace")
    assert job.source_path is not None
    assert job.source_path.read_bytes() == b"content"
    assert outbox.find(job.name) == job
    assert isinstance(outbox.claim(drop(tmp_path, name), "invoice"), Duplicate)


def test_an_empty_file_is_a_file(tmp_path: Path, outbox: Outbox) -> None:
    """It is the reader who says what is wrong with it."""
    assert claim(outbox, drop(tmp_path, content=b"")).source_path is not None


def test_publishing_writes_the_result_before_the_job_moves(
    tmp_path: Path, outbox: Outbox, disk: HookedDisk, database: Engine
) -> None:
    """A crash at the last rename leaves a complete result in working/."""
    job = claim(outbox, drop(tmp_path))

    def cut(source: Path, _: Path) -> None:
        if source == job.path:
            raise PowerCut

    disk.before = cut
    with pytest.raises(PowerCut):
        finish(outbox, job, State.DONE)
    assert job.result() is not None
    assert not stale(job, job.record())
    del disk.before
    done = outbox.settle(job, State.DONE)
    assert done.path == tmp_path / "outbox" / "done" / job.name
    assert files(done.path) == ["result.json", "source.pdf", "trace.jsonl"]
    assert JobIndex(database).finished_within(60) == 1


def test_a_result_is_stale_when_it_is_missing_or_of_an_earlier_attempt(tmp_path: Path, outbox: Outbox) -> None:
    """Only the result that belongs to the trace's last end may be settled."""
    job = claim(outbox, drop(tmp_path))
    assert stale(job, job.record())
    done = finish(outbox, job, State.DONE)
    assert not stale(done, done.record())
    again = outbox.reopen(done, reason="asked for", fresh=True)
    assert again.result() is not None
    assert stale(again, again.record())
    outbox.trace(again).append([event("job.finished", status="done", finished_at="later", error=None)])
    assert stale(again, again.record())
    again.result_path.unlink()
    assert stale(again, again.record())


def test_amounts_of_a_result_are_read_exactly(tmp_path: Path, outbox: Outbox) -> None:
    """No value passes through a float."""
    job = claim(outbox, drop(tmp_path))
    assert job.result() is None
    job.result_path.write_text('{"total_amount": 10.10}')
    assert job.result() == {"total_amount": Decimal("10.10")}


def test_jobs_are_listed_by_name_and_only_folders_are_jobs(tmp_path: Path, outbox: Outbox) -> None:
    """What file managers leave lying about is no job."""
    jobs = [claim(outbox, drop(tmp_path, name, name.encode())) for name in ("b.pdf", "a.pdf")]
    (tmp_path / "outbox" / "working" / ".DS_Store").touch()
    (tmp_path / "outbox" / "working" / ".hidden").mkdir()
    (tmp_path / "outbox" / "working" / "Thumbs.db").touch()
    assert list(outbox.jobs(State.WORKING)) == sorted(jobs, key=lambda job: job.name)
    assert list(outbox.jobs(State.DONE)) == []


def test_a_job_is_found_by_its_name_or_either_end_of_it(tmp_path: Path, outbox: Outbox) -> None:
    """In whatever state; a path copied from a file manager will do as well."""
    first = claim(outbox, drop(tmp_path, "alpha.pdf", b"1"))
    second = finish(outbox, claim(outbox, drop(tmp_path, "beta.pdf", b"2")), State.REVIEW)
    assert outbox.find(first.name) == first
    assert outbox.find("alpha") == first
    assert outbox.find(second.name[-12:]) == second
    assert outbox.find(f"{second.path}/") == second


def test_an_unknown_or_ambiguous_name_is_refused(tmp_path: Path, outbox: Outbox) -> None:
    """The error says where to look, or which jobs it could be."""
    names = [claim(outbox, drop(tmp_path, f"bill-{n}.pdf", str(n).encode())).name for n in (1, 2)]
    with pytest.raises(JobNotFound, match="no job alpha") as caught:
        outbox.find("alpha")
    assert "pipeline status" in caught.value.hint
    with pytest.raises(JobNotFound, match="bill fits 2 jobs") as caught:
        outbox.find("bill")
    assert all(name in caught.value.message for name in names)


@pytest.mark.parametrize("name", ["..", "../done", "working/..", "/etc", "."])
def test_a_name_cannot_point_out_of_the_outbox(outbox: Outbox, name: str) -> None:
    """Names come from command lines and requests."""
    with pytest.raises(JobNotFound):
        outbox.find(name)


@pytest.mark.parametrize("name", ["../../stolen", "/stolen", "..", "", ".hidden", 7, None])
def test_a_returned_folder_cannot_name_a_place_outside_the_outbox(tmp_path: Path, outbox: Outbox, name: object) -> None:
    """Its trace is as foreign as any file in the inbox: the folder stays where it is."""
    job = claim(outbox, drop(tmp_path))
    folder = job.path.rename(tmp_path / "inbox" / "returned")
    trace = folder / "trace.jsonl"
    trace.write_text(trace.read_text().replace(json.dumps(job.name), json.dumps(name)))
    assert isinstance(outbox.adopt(folder), NotClaimed)
    assert files(folder) == ["source.pdf", "trace.jsonl"]


@pytest.mark.parametrize("line", ['{"at":"x","event":"job.claimed"}', '{"at":"x","event":"job.reopened"}'])
def test_a_returned_folder_whose_trace_makes_no_sense_stays(tmp_path: Path, outbox: Outbox, line: str) -> None:
    """The events are there, and what belongs to them is missing."""
    folder = tmp_path / "inbox" / "returned"
    folder.mkdir(parents=True)
    (folder / "trace.jsonl").write_text(line + "\n")
    assert isinstance(outbox.adopt(folder), NotClaimed)


def test_a_lost_index_is_rebuilt_from_the_folders(tmp_path: Path, outbox: Outbox, database: Engine) -> None:
    """Duplicates are known by it even under another name, and a damaged job does not stand in the way."""
    job = finish(outbox, claim(outbox, drop(tmp_path)), State.DONE)
    broken = claim(outbox, drop(tmp_path, "broken.pdf", b"broken"))
    broken.trace_path.write_bytes(b"no json\n")
    database.dispose()
    (tmp_path / "pipeline.sqlite").unlink()
    index = JobIndex(database)
    again = Outbox(tmp_path / "outbox", Disk(), index)
    again.prepare()
    assert index.finished_within(60) == 1
    assert again.claim(drop(tmp_path, "another name.pdf"), "invoice") == Duplicate(job, reopened=False)


def test_content_in_work_is_known_under_another_name_without_the_index(tmp_path: Path, outbox: Outbox) -> None:
    """Its folder tells while the job is in working/, also beside what a claim that was cut short has left there."""
    (tmp_path / "outbox" / "working" / job_name("a left.pdf", claim(outbox, drop(tmp_path)).name[-12:])).mkdir()
    (job,) = (one for one in outbox.jobs(State.WORKING) if one.name.startswith("bill-7-"))
    assert outbox.claim(drop(tmp_path, "again.pdf"), "invoice") == Duplicate(job, reopened=False)
    finish(outbox, job, State.DONE)
    assert isinstance(outbox.claim(drop(tmp_path, "once more.pdf"), "invoice"), Duplicate)


def test_a_job_is_in_the_index_before_it_leaves_working(
    tmp_path: Path, outbox: Outbox, disk: HookedDisk, database: Engine
) -> None:
    """Whatever moment a crash comes at, its content is known by the one or the other."""
    job = claim(outbox, drop(tmp_path))
    known: list[str | None] = []
    disk.before = lambda _source, _target: known.append(JobIndex(database).job_of(job.name[-12:]))
    finish(outbox, job, State.DONE)
    assert known[-1] == job.name


def test_an_index_that_names_a_deleted_job_is_not_believed(tmp_path: Path, outbox: Outbox) -> None:
    """Deleting a job's folder by hand is a way to have its file done again."""
    job = finish(outbox, claim(outbox, drop(tmp_path)), State.DONE)
    outbox.abandon(job)
    assert claim(outbox, drop(tmp_path, "new name.pdf")).name.startswith("new-name-")


def test_a_job_unknown_to_the_index_is_found_by_its_name(tmp_path: Path, database: Engine) -> None:
    """The folders are the truth; the index may have been lost with the last power cut."""
    path = drop(tmp_path)
    outbox = Outbox(tmp_path / "outbox", Disk(), JobIndex(database))
    outbox.prepare()
    job = finish(outbox, claim(outbox, path), State.DONE)
    other = create_engine(f"sqlite:///{tmp_path / 'other.sqlite'}")
    try:
        fresh = Outbox(tmp_path / "outbox", Disk(), JobIndex(other))  # not prepared: it knows nothing
        assert fresh.claim(drop(tmp_path), "invoice") == Duplicate(job, reopened=False)
    finally:
        other.dispose()


def test_a_folder_with_anything_else_in_it_was_not_cut_short(tmp_path: Path, outbox: Outbox) -> None:
    """Only what a claim leaves behind may be removed; a person's files or an old result never."""
    folder = JobFolder(tmp_path / "outbox" / "working" / job_name("a.pdf", "0123456789ab"))
    folder.path.mkdir()
    assert was_cut_short(folder)
    (folder.path / "scan of a contract.pdf").touch()
    assert not was_cut_short(folder)
    failed = finish(outbox, claim(outbox, drop(tmp_path)), State.FAILED)
    reopened = outbox.reopen(failed, reason="asked for", fresh=True)
    assert reopened.source_path is not None
    reopened.source_path.unlink()
    assert not was_cut_short(reopened)
