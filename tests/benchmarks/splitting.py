"""Put every two documents of a folder behind each other in one file and see where it is split.

    python tests/benchmarks/splitting.py FOLDER

Right: split exactly between them. Wrong: split elsewhere. Refused: not split, with a finding that sends it to review.
Unseen: taken for one document. Documents with the same number are left out. Each document alone must stay whole.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document
from pipeline.document.parse import parse_file
from pipeline.invoice.index import index_of
from pipeline.invoice.several import is_same_number
from pipeline.invoice.splitting import signs_of, split_document


def main() -> None:
    """Print how the documents alone and in pairs were split."""
    documents = list(_documents(Path(sys.argv[1])))
    alone = Counter(_verdict([one]) for one in documents)
    print(
        f"alone: {dict(alone)} of {len(documents)}, {sum(len(one.pages) > 1 for one in documents)} with several pages"
    )
    numbers = {one.name: _numbers(one) for one in documents}
    pairs = [
        pair
        for pair in itertools.permutations(documents, 2)
        if not any(is_same_number(a, b) for a in numbers[pair[0].name] for b in numbers[pair[1].name])
    ]
    verdicts = Counter(_verdict(pair) for pair in pairs)
    for verdict, count in verdicts.most_common():
        print(f"pairs {verdict:8} {count:6} {count / len(pairs):7.1%}")


def _documents(folder: Path) -> Iterator[Document]:
    for path in sorted(folder.glob("*.pdf")):
        # An e-invoice is one invoice by its XML; here only its pages count.
        yield replace(parse_file(path, name=path.name, settings=ReadingSettings()), attachments=())


def _numbers(document: Document) -> list[str]:
    return [number for page in signs_of(document, index_of(document)) for number in page.numbers]


def _verdict(documents: Sequence[Document]) -> str:
    pages = [page for one in documents for page in one.pages]
    numbered = tuple(replace(page, number=at) for at, page in enumerate(pages, 1))
    split = split_document(replace(documents[0], pages=numbered))
    ends = list(itertools.accumulate(len(one.pages) for one in documents))
    if [part.page_numbers[-1] for part in split.parts] == ends:
        return "refused" if split.doubt else "right"
    return "refused" if split.doubt else "unseen" if len(split.parts) == 1 else "wrong"


if __name__ == "__main__":
    main()
