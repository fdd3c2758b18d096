"""How right the results are, and how many wrong ones nobody is told of.

    python tests/benchmarks/accuracy.py [FOLDER] [--half odd|even] [--lies N] [--answerer rules|oracle|liar ...]

Sends the files of a folder (default: the samples) through the pipeline, over HTTP, with three answerers in the model's
place: the stand-in's rules; an oracle that answers with the ground truth; a liar that takes the oracle's answer and
makes one plausible mistake, N of each kind for each file. A folder has a truth in `name.json` beside each file, or one
`truth.json`. Oracle and liar work on what a model is shown: e-invoices are taken for plain documents there, because
otherwise nobody would ask.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import anyio
import structlog
from answerers import Lie, lies, oracle, printed_further

from pipeline.app import open_app
from pipeline.config import Settings
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document
from pipeline.document.reader import DocumentReader
from pipeline.errors import DocumentError
from pipeline.invoice.model import extraction_schema
from pipeline.invoice.paths import same, value_at
from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin import StandInServer, wire
from pipeline.llm.standin.answers import answer as by_rules
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.schema_answers import fill_schema
from pipeline.truths import Answer, Truth, apart_by_number, header_paths, judge, line_paths, load_truths

HARD = ("amounts", "dates", "identifiers")
_MARK = re.compile(r'<document mark="([0-9a-f]+)"')
Result = JsonObject
Answers = dict[str, Answer]


@dataclass
class Sheet:
    """Count what became of the values of some files."""

    files: int = 0
    states: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)


class ReadOnce:
    """Give out documents that were read before, on request without their e-invoices."""

    def __init__(self, documents: Mapping[str, Document], *, plain: bool, reader: DocumentReader) -> None:
        self._documents = documents
        self._plain = plain
        self._reader = reader

    async def read(self, path: Path, *, name: str = "") -> Document:
        document = self._documents.get(name) or await self._reader.read(path, name=name)
        return replace(document, attachments=()) if self._plain else document


async def main(options: argparse.Namespace) -> None:
    """Print one table for each answerer."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    truths = load_truths(options.folder)
    if options.half:
        truths = [truth for number, truth in enumerate(truths) if number % 2 == (options.half == "odd")]
    documents = await _read([truth.path for truth in truths])
    bench = Bench(truths, documents)
    if "rules" in options.answerer:
        _print_sheets("the stand-in's rules", truths, await bench.run({}, plain=False))
    if "oracle" in options.answerer:
        _print_sheets("oracle", bench.shown, await bench.run(bench.truthful, plain=True))
    if "liar" in options.answerer:
        await _lie(bench, options.lies)


class Bench:
    """Run files through the pipeline with given answers."""

    def __init__(self, truths: Sequence[Truth], documents: Mapping[str, Document]) -> None:
        self.truths = [truth for truth in truths if truth.path.name in documents]
        self.documents = documents
        self.shown = [replace(truth, further=printed_further(documents[truth.path.name])) for truth in self.truths]
        self.truthful = {truth.path.name: oracle(truth, self._basis(truth)) for truth in self.shown}

    async def run(self, answers: Answers, *, plain: bool, names: set[str] | None = None) -> dict[str, Result]:
        """Return the results by file name; files without an answer are answered by the rules."""
        results: dict[str, Result] = {}
        for group in self._groups(names):
            results |= await self._work_off(group, answers, plain=plain)
        return results

    def _groups(self, names: set[str] | None) -> list[list[Truth]]:
        """Put files with the same number apart."""
        return apart_by_number(truth for truth in self.truths if names is None or truth.path.name in names)

    async def _work_off(self, group: list[Truth], answers: Answers, *, plain: bool) -> dict[str, Result]:
        given = {self.documents[name].sha256[:16]: answer for name, answer in answers.items()}

        def answering(request: wire.ChatRequest) -> wire.Answer:
            known = given.get(_mark(request))
            if request.schema is None or known is None:
                return by_rules(request)
            return wire.Answer(text=json.dumps(known, ensure_ascii=False))

        with tempfile.TemporaryDirectory() as place:
            async with StandInServer(answering=answering) as server:
                folders = {"inbox": Path(place) / "inbox", "outbox": Path(place) / "outbox"}
                settings = Settings.model_validate({"folders": folders, "llm": {"base_url": server.base_url}})
                async with open_app(settings, doing="benchmark", one_shot=True) as app:
                    # Each file is read once for all runs; the daemon has no such seam, as it never reads one twice.
                    app.worker._reader = ReadOnce(self.documents, plain=plain, reader=app.worker._reader)  # type: ignore[assignment]
                    names = await app.service.run([(truth.path, "invoice") for truth in group])
                    found = [app.folders.outbox.find(name).result() or {} for name in names]
        return {truth.path.name: result for truth, result in zip(group, found, strict=True)}

    def _basis(self, truth: Truth) -> Answer | None:
        if truth.whole:
            return None
        facts = read_invoice("\n".join(page.text for page in self.documents[truth.path.name].pages))
        filled: Answer = fill_schema(extraction_schema(), facts)
        return filled


async def _read(paths: Sequence[Path]) -> dict[str, Document]:
    documents = {}
    async with DocumentReader(ReadingSettings()) as reader:
        for path in paths:
            try:
                documents[path.name] = await reader.read(path, name=path.name)
            except DocumentError as error:
                print(f"{path.name}: {error.message}")
    return documents


def _mark(request: wire.ChatRequest) -> str:
    texts = (wire.message_text(message) for message in request.messages)
    return next((match[1] for text in texts if (match := _MARK.search(text))), "")


def _print_sheets(title: str, truths: Sequence[Truth], results: Mapping[str, Result]) -> None:
    sheets: dict[str, Sheet] = defaultdict(Sheet)
    for truth in truths:
        result = results.get(truth.path.name, {})
        for family in (truth.family, "all"):
            _count(sheets[family], truth, result)
    print(f"\n== {title} ==")
    print(
        f"{'kind':14}{'files':>6}{'done':>6}{'review':>8}{'failed':>8}{'fields':>8}{'lines':>8}{'further':>9}{'documents':>11}"
        f"{'nulls':>8}{'grounded':>10}{'silent':>8}{'hidden':>8}"
    )
    for family, sheet in sorted(sheets.items(), key=lambda item: item[0] == "all"):
        print(_row(family, sheet))
    for slip, count in sorted(sheets["all"].silent.items()):
        print(f"  silent {slip} ({count})")
    for truth in truths:
        codes = sorted({code for code, _ in _errors(results.get(truth.path.name, {}))})
        if codes:
            print(f"  review {truth.path.name}: {', '.join(codes)}")


def _count(sheet: Sheet, truth: Truth, result: Result) -> None:
    status = result.get("status", "failed")
    fields = sheet.fields
    sheet.files += 1
    sheet.states[status] += 1
    exact = True
    for one in judge(truth, result, header_paths(truth)):
        path, wanted, found = one.field, one.wanted, one.found
        if path in truth.hidden:
            fields["hidden"] += 1
            continue
        fields["grounded"] += found is not None and path in result.get("evidence", {})
        fields["given"] += found is not None
        if wanted is None:
            fields["nulls"] += 1
            fields["kept null"] += found is None
            continue
        exact = exact and one.right
        fields["known"] += 1
        fields["right"] += one.right
        if status == "done" and found is not None and not one.right:
            sheet.silent[f"{truth.path.name}: {path}"] += 1
    invoice = result.get("invoice") or {}
    for path, wanted in truth.further.items():
        found = value_at(invoice, path)
        fields["further known"] += 1
        fields["further right"] += same(path, found, wanted)
        if status == "done" and found is not None and not same(path, found, wanted):
            sheet.silent[f"{truth.path.name}: {path}"] += 1
    exact = _count_lines(sheet, truth, result, done=status == "done") and exact
    fields["documents"] += exact


def _count_lines(sheet: Sheet, truth: Truth, result: Result, *, done: bool) -> bool:
    wanted, found = truth.values.get("line_items"), (result.get("invoice") or {}).get("line_items") or []
    if wanted is None:
        return True
    exact = len(wanted) == len(found)
    for one in judge(truth, result, line_paths(truth)):
        name = one.field.split(".")[-1]
        hidden = f"line_items.{name}" in truth.hidden
        sheet.fields["line values"] += not hidden
        sheet.fields["line right"] += one.right and not hidden
        # Descriptions wrap, so that their wording is a matter of taste; their numbers are not.
        matters = not hidden and not one.right and name != "description"
        if done and matters and one.found is not None:
            sheet.silent[f"{truth.path.name}: lines"] += 1
        exact = exact and not matters
    if done and len(wanted) != len(found):
        sheet.silent[f"{truth.path.name}: number of lines"] += 1
    return exact


def _row(family: str, sheet: Sheet) -> str:
    f, s = sheet.fields, sheet.states
    return (
        f"{family:14}{sheet.files:6}{s['done']:6}{s['review']:8}{s['failed']:8}{_share(f['right'], f['known']):>8}"
        f"{_share(f['line right'], f['line values']):>8}{_share(f['further right'], f['further known']):>9}"
        f"{_share(f['documents'], sheet.files):>11}{_share(f['kept null'], f['nulls']):>8}"
        f"{_share(f['grounded'], f['given']):>10}{sheet.silent.total():8}{f['hidden']:8}"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


async def _lie(bench: Bench, each: int) -> None:
    """Let every file be answered with each kind of mistake, and count those that leave the job `done`."""
    told = {truth.path.name: _chosen(truth, bench, each) for truth in bench.truths}
    honest = await bench.run(bench.truthful, plain=True)
    tables: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    slips: list[str] = []
    for turn in range(max(map(len, told.values()), default=0)):
        now = {name: chosen[turn] for name, chosen in told.items() if turn < len(chosen)}
        results = await bench.run({name: lie.answer for name, lie in now.items()}, plain=True, names=set(now))
        for name, lie in now.items():
            outcome = _outcome(lie, results[name], honest[name])
            tables[lie.group, lie.kind][outcome] += 1
            if outcome == "silent":
                slips.append(f"  silent {name}: {lie.kind} {', '.join(lie.fields)}")
    _print_lies(tables)
    print("\n".join(sorted(slips)))


def _chosen(truth: Truth, bench: Bench, each: int) -> list[Lie]:
    """Return so many mistakes of each kind, spread over a file's possible ones."""
    by_kind: dict[tuple[str, str], list[Lie]] = defaultdict(list)
    name = truth.path.name
    for lie in lies(truth, bench.truthful[name], bench.documents[name]):
        by_kind[lie.group, lie.kind].append(lie)
    return [lie for made in by_kind.values() for lie in made[:: max(1, len(made) // each)][:each]]


def _outcome(lie: Lie, result: Result, honest: Result) -> str:
    """Say what became of a mistake: told (the job is not done, and for this reason), made null, or silent."""
    if result.get("status") != "done":
        return "told" if honest.get("status") == "done" or _errors(result) - _errors(honest) else "silent"
    invoice = {**(result.get("invoice") or {}), "kind": result.get("kind")}
    if lie.fields == ("line_items",):
        return "silent"
    kept = [path for path in lie.fields if value_at(invoice, path) is not None]
    return "silent" if any(same(path, value_at(invoice, path), value_at(lie.answer, path)) for path in kept) else "null"


def _errors(result: Result) -> set[tuple[str, str]]:
    findings = result.get("findings", ())
    return {(one["code"], one["field"]) for one in findings if one["severity"] == "error"}


def _print_lies(tables: Mapping[tuple[str, str], Counter[str]]) -> None:
    print(f"\n== liar ==\n{'group':14}{'mistake':28}{'made':>6}{'not done':>10}{'null':>6}{'silent':>8}")
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for (group, kind), counts in sorted(tables.items()):
        print(_lie_row(group, kind, counts))
        for name in (group, "all", *(("amounts, dates, identifiers",) if group in HARD else ())):
            groups[name] += counts
    for name, counts in groups.items():
        print(_lie_row("", name, counts))


def _lie_row(group: str, kind: str, counts: Counter[str]) -> str:
    made = sum(counts.values())
    return f"{group:14}{kind:28}{made:6}{_share(counts['told'], made):>10}{counts['null']:6}{counts['silent']:8}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Path(str(resources.files("pipeline.demo_samples"))))
    parser.add_argument("--half", choices=("odd", "even"), default="")
    parser.add_argument("--lies", type=int, default=1)
    parser.add_argument("--answerer", nargs="+", default=["rules", "oracle", "liar"])
    return parser.parse_args()


if __name__ == "__main__":
    anyio.run(main, _options())
