"""Show a document to a model as data: between marks that its text cannot close, and free of the model's own signs.

Chat models know signs that begin a message, end one or call a tool. Servers take them for real wherever they stand, so
a document that holds them could speak as the user, the program or the model. They are written with other brackets:
as readable as before, and without meaning.
"""

from __future__ import annotations

import re

from pipeline.document.model import Document, Page


def quoted_document(document: Document) -> str:
    """Return the text of all pages between marks.

    The mark is made of the content's digest, which no text can contain of itself; it is the same in every call and in
    every replay.
    """
    pages = "\n".join(_page(page, of=_last(document)) for page in document.pages)
    return quoted_text(document, pages)


def quoted_outline(document: Document) -> str:
    """Return the beginning and the end of a long document between marks."""
    first, last, of = document.pages[0], document.pages[-1], _last(document)
    beginning = without_signs(first.text[:_OUTLINE_CHARACTERS])
    end = without_signs(last.text[-_OUTLINE_CHARACTERS:])
    text = f"[page {first.number} of {of}, its beginning]\n{beginning}\n[…]\n[page {of} of {of}, its end]\n{end}"
    return quoted_text(document, text)


def quoted_text(document: Document, text: str) -> str:
    """Return a part of a document's text between its marks; the text itself is without signs already."""
    mark = document.sha256[:16]
    return f'<document mark="{mark}">\n{text}\n</document mark="{mark}">'


def without_signs(text: str) -> str:
    """Return the text with other brackets around everything that looks like a sign of a model or a mark of ours."""
    return _SIGN.sub(lambda found: found.group().translate(_OTHER_BRACKETS), text)


# What a model sees of the first and of the last page of a document that does not fit.
_OUTLINE_CHARACTERS = 1200
_OTHER_BRACKETS = str.maketrans({"<": "‹", ">": "›", "[": "⟦", "]": "⟧"})
_TAGS = (
    "bos|eos|pad|unk|s|think|thinking|start_of_turn|end_of_turn|start_of_role|end_of_role|end_of_text|end_of_utterance"
    "|tool|tools|tool_calls?|tool_responses?|tool_results?|tool_use|function_calls?|function(?:=[\\w.-]+)?|invoke"
    "|parameter(?:=[\\w.-]+)?|system|assistant|user|human|instructions?|document"
)
_BRACKETS = (
    "INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS?|TOOL_CONTENT|TOOL_REQUEST|END_TOOL_REQUEST"
    "|TOOL_REQUEST_RESULT|ARGS|CALL_ID|THINK|gMASK|page \\d+ of \\d+"
)
_SIGN = re.compile(
    r"<[|｜][^<>\n]{1,80}?[|｜]>"
    rf"|</?(?:{_TAGS})(?:\s[^<>\n]{{0,200}})?/?>"
    rf"|<?\[/?(?:{_BRACKETS})\]>?"
    r"|<</?SYS>>",
    re.IGNORECASE,
)


def _last(document: Document) -> int:
    # One of several invoices in a file has some of its pages, with their numbers.
    return max((page.number for page in document.pages), default=0)


def _page(page: Page, *, of: int) -> str:
    text = "[a picture without text]" if page.picture and not page.text.strip() else without_signs(page.text)
    return f"[page {page.number} of {of}]\n{text}" if of > 1 else text
