"""XML that somebody else wrote, read without trusting it; the only module that knows lxml."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree


class XmlRefused(ValueError):
    """Say in a sentence why an XML text is not read."""


@dataclass(frozen=True)
class Node:
    """Hold one element; `names` maps the prefixes that paths may use to namespaces."""

    element: Any
    names: Mapping[str, str]

    @property
    def text(self) -> str:
        """Return the text of the element and everything in it, runs of blanks made one."""
        return " ".join("".join(self.element.itertext()).split())

    @property
    def quote(self) -> str:
        """Return the element's name as it is written in the document, and its text."""
        name, prefix = etree.QName(self.element).localname, self.element.prefix
        return f"{prefix}:{name} {self.text}" if prefix else f"{name} {self.text}"

    def find(self, path: str) -> Iterator[Node]:
        """Yield the elements at an XPath, in document order."""
        for element in _path(path, tuple(self.names.items()))(self.element):
            yield Node(element, self.names)


def parse(text: str) -> Any:
    """Return the root element of an XML text.

    Raises XmlRefused. Nothing is fetched and no entity is expanded: a document type is refused before it is read.
    """
    body = _DECLARATION.sub("", text, count=1)
    if not body.strip():
        raise XmlRefused("it is empty or could not be unpacked")
    if _DOCTYPE.match(body):
        raise XmlRefused("it declares a document type, which e-invoices must not and attacks do")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(body.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise XmlRefused(f"it is broken near line {error.lineno}") from error


def qualified_name(root: Any) -> str:
    """Return an element's name as `{namespace}name`."""
    return str(root.tag)


_DECLARATION = re.compile(r"\A\s*<\?xml\s[^>]*>")
# A document type can only stand before the root element, behind comments and processing instructions.
_DOCTYPE = re.compile(r"(?:\s+|<!--(?:(?!-->).)*+-->|<\?(?:(?!\?>).)*+\?>)*+<!DOCTYPE", re.DOTALL)


@functools.lru_cache(maxsize=512)
def _path(path: str, names: tuple[tuple[str, str], ...]) -> Any:
    return etree.XPath(path, namespaces=dict(names))
