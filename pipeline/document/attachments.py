"""E-invoices as XML text: which texts look like one, and what is kept of them. What they say is read elsewhere."""

from __future__ import annotations

import re

from pipeline.document.model import Attachment
from pipeline.document.sniff import sniff
from pipeline.document.text import clean

# A PDF has one e-invoice; a few more may come with it by mistake.
MAX_ATTACHMENTS = 5


def einvoice(name: str, data: bytes) -> Attachment | None:
    """Return the file as an e-invoice where its name or content says it is one, also where it is broken."""
    text = sniff(data).text
    label = " ".join(clean(name).text.split())[:_NAME_CHARACTERS]
    if label.casefold() in _NAMES or _says_einvoice(text):
        return Attachment(label, without_embedded_files(clean(text).text)[0])
    return None


def einvoice_text(name: str, text: str) -> tuple[Attachment, ...]:
    """Return a text file as the one e-invoice it is, or nothing."""
    return (Attachment(name, clean(text).text),) if _says_einvoice(text) else ()


def without_embedded_files(xml: str) -> tuple[str, int]:
    """Leave embedded files out of a text and count them: they are long, and no text."""
    return _EMBEDDED_FILE.subn(">(attached file)<", xml)


def without_comments(xml: str) -> tuple[str, int]:
    """Leave comments and processing instructions out of a text and count them; one without an end takes all the rest.

    Searched step by step: a pattern would look through the rest of the file for the end of each.
    """
    kept: list[str] = []
    at = found = 0
    while (opening := _COMMENT.search(xml, at)) is not None:
        closing = "-->" if opening.group() == "<!--" else "?>"
        end = xml.find(closing, opening.end())
        kept.append(xml[at : opening.start()])
        at = len(xml) if end < 0 else end + len(closing)
        found += 1
    return "".join([*kept, xml[at:]]), found


_NAME_CHARACTERS = 80
# Licences and schema lists may stand before the root element.
_HEAD_CHARACTERS = 50_000
_NAMES = frozenset({"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml"})
_MARKUP = re.compile(r"\s*<")
_ROOT = re.compile(
    r"<(?:[\w.-]+:)?(?:CrossIndustryInvoice|CrossIndustryDocument)\b"
    r"|urn:oasis:names:specification:ubl:schema:xsd:(?:Invoice|CreditNote)-2"
)
# The declaration at the head of a file is no instruction.
_COMMENT = re.compile(r"<!--|<\?(?!xml\s)")
_EMBEDDED_FILE = re.compile(r">[A-Za-z0-9+/=\s]{2000,}<")


def _says_einvoice(text: str) -> bool:
    return bool(_MARKUP.match(text) and _ROOT.search(text[:_HEAD_CHARACTERS]))
