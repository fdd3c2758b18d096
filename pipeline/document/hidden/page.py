"""Take out of a PDF page the text that nobody can see on it, before its text is read.

A model reads what a person does not: white letters on white, letters of one point, letters beside the page, under a
picture, in an invisible mode or on a layer that is switched off. The page's painting is followed once, in order, and
every piece of text that leaves no trace on the paper is dropped from it.

A scan with text recognition is the exception: its invisible text is the only one there is. It stays and is named.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple

from pypdf import PageObject
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, ContentStream, DecodedStreamObject, FloatObject, NameObject

from pipeline.document.hidden.canvas import LEAST_CONTRAST, Box, Canvas, Colour, Matrix, Point, contrast
from pipeline.document.hidden.operators import OPERATORS
from pipeline.document.hidden.painter import Operations, Painter, PainterLimits
from pipeline.document.hidden.references import resolved
from pipeline.document.hidden.spans import Place, Reason, Span
from pipeline.document.model import Notice, PageReason


class HiddenText(NamedTuple):
    """Count the letters of a page that cannot be seen, by reason.

    `underlay` counts those that are kept because they are the text of a scanned picture; `unchecked` says that the
    page is too intricate to be followed to its end.
    """

    letters: Mapping[Reason, int]
    underlay: int = 0
    unchecked: bool = False

    @property
    def reason(self) -> str:
        """Return why the page's text is not all that is in the file, or may not be what is seen; empty if it is."""
        if self.underlay:
            return PageReason.UNDERLAY
        return PageReason.HIDDEN if self.letters else ""

    def notices(self, page: int) -> list[Notice]:
        """Return what a person should know, in sentences."""
        found = []
        if self.letters:
            ways = ", ".join(f"{count} {reason.value}" for reason, count in self.letters.items())
            words = f"Page {page} has letters that nobody can see ({ways}); they were left out."
            found.append(Notice(words))
        if self.unchecked:
            words = f"Page {page} is too intricate to be searched for text that nobody can see."
            found.append(Notice(words, gap=True))
        return found


@contextmanager
def without_hidden_text(page: PageObject, *, operations: int, forms: int) -> Iterator[HiddenText]:
    """Leave the unseen text out of a page for as long as the block runs, and tell what it was.

    `operations` and `forms` bound what following the page may cost.
    """
    content = _content(page)
    if content is None:
        yield HiddenText({})
        return
    streams = _Streams(page, content)
    painter = _painter(page, streams, PainterLimits(operations, forms))
    painter.follow(content.operations, _resources(page), stream=id(content))
    _follow_notes(page, painter)
    verdict = _verdict(painter)
    before = page.get(_CONTENTS)
    streams.drop(verdict.hidden, painter.spans)
    try:
        yield HiddenText(verdict.letters, verdict.underlay, painter.stopped or painter.canvas.exhausted)
    finally:
        streams.restore()
        if before is not None:
            page[_CONTENTS] = before


_CONTENTS = NameObject("/Contents")
_MOST_NOTES = 300
# A drawing of more bytes than this is taken for a picture, unless there is text in it or another form.
_LARGE_DRAWING = 200_000
_SHOWS_TEXT = re.compile(rb"\b(?:Tj|TJ|Do)\b|['\"]")
_MOST_QUESTIONS = 1_000_000
# A scan has hardly any visible text beside its picture: a stamp, a page number.
_FEW_LETTERS = 60
_VISIBLE_SHARE = 0.25
_PICTURE_SHARE = 0.4
_HIDDEN_NOTE, _NO_VIEW_NOTE = 2, 32


class _Verdict(NamedTuple):
    hidden: set[Place]
    letters: Mapping[Reason, int]
    underlay: int


class _Streams:
    """Hold the content streams of a page, to put others in their place and back."""

    def __init__(self, page: PageObject, content: ContentStream) -> None:
        self._page = page
        self._content = content
        self._forms: dict[int, tuple[Any, ContentStream]] = {}
        self._undo: list[tuple[Any, Any, Any]] = []

    def operations_of(self, form: Any) -> Operations | None:
        """Return the operations of a form, parsed once; None for what is no text: a large drawing, a broken form."""
        known = self._forms.get(id(form))
        if known is None:
            # The form is held as well, since its identity is the key.
            known = self._forms[id(form)] = (form, ContentStream(None, self._page.pdf))
            with suppress(PyPdfError, TypeError, ValueError, LookupError, AttributeError):
                data = form.get_data()
                if len(data) <= _LARGE_DRAWING or _SHOWS_TEXT.search(data):
                    content = ContentStream(form, self._page.pdf, "bytes")
                    if content.operations:
                        self._forms[id(form)] = (form, content)
        return self._forms[id(form)][1].operations or None

    def drop(self, hidden: set[Place], spans: Sequence[Span]) -> None:
        """Replace the streams by ones without the hidden places."""
        by_stream: defaultdict[int, list[Span]] = defaultdict(list)
        for span in {span.place: span for span in spans if span.place in hidden}.values():
            by_stream[span.place.stream].append(span)
        page_spans = by_stream.pop(id(self._content), None)
        if page_spans:
            self._content.operations = _without(self._content.operations, page_spans)
        self._page[_CONTENTS] = self._content
        for stream, form_spans in by_stream.items():
            if stream in self._forms:
                form, content = self._forms[stream]
                self._replace(form, _without(content.operations, form_spans))

    def restore(self) -> None:
        """Give forms their own content back: other pages use them as well."""
        for form, name, value in reversed(self._undo):
            setattr(form, name, value)
        self._undo.clear()

    def _replace(self, form: Any, operations: list[tuple[Any, bytes]]) -> None:
        cleaned = ContentStream(None, self._page.pdf)
        cleaned.operations = operations
        decoded = DecodedStreamObject()
        decoded.set_data(cleaned.get_data())
        # An unpacked form keeps its text in the second of these, one that was never packed in the first.
        name = "decoded_self" if "/Filter" in form else "_data"
        self._undo.append((form, name, getattr(form, name)))
        setattr(form, name, decoded if name == "decoded_self" else decoded.get_data())


def _content(page: PageObject) -> ContentStream | None:
    found = page.get(_CONTENTS)
    if found is None or resolved(found) is None:
        return None
    content = ContentStream(resolved(found), page.pdf, "bytes")
    data = content.get_data()
    if not content.operations:
        return None
    # Parsing forgets the text it came from; with it kept, nobody has to write the operations out again.
    content._data = data
    return content


def _painter(page: PageObject, streams: _Streams, limits: PainterLimits) -> Painter:
    media = Box(*_upright(page.mediabox))
    sight = Box(*_upright(page.cropbox)).meet(media)
    return Painter(
        canvas=Canvas(sight if sight.size > 1 else media, most_questions=_MOST_QUESTIONS),
        parse=streams.operations_of,
        limits=limits,
        catalogue=getattr(page.pdf, "root_object", {}),
        operators=OPERATORS,
        unit=float(page.get("/UserUnit", 1)),
    )


def _upright(box: Any) -> tuple[float, float, float, float]:
    left, bottom, right, top = (float(resolved(each)) for each in box)
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)


def _resources(page: PageObject) -> Mapping[str, Any]:
    holder: Any = page
    for _ in range(32):
        if "/Resources" in holder:
            found = resolved(holder["/Resources"])
            return found if isinstance(found, Mapping) else {}
        holder = resolved(holder.get("/Parent"))
        if holder is None:
            break
    return {}


def _follow_notes(page: PageObject, painter: Painter) -> None:
    """Paint the notes on a page, which lie above its text and may cover it; their own text is nobody's to read here."""
    kept = len(painter.spans)
    for entry in islice(resolved(page.get("/Annots")) or (), _MOST_NOTES):
        with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
            note = resolved(entry)
            if int(note.get("/F", 0)) & (_HIDDEN_NOTE | _NO_VIEW_NOTE):
                continue
            look = resolved(resolved(note["/AP"])["/N"])
            if hasattr(look, "get_data"):
                _paint_note(painter, look, _upright(note["/Rect"]))
    del painter.spans[kept:]


def _paint_note(painter: Painter, look: Any, place: tuple[float, float, float, float]) -> None:
    """Paint a note's own drawing, stretched into its place."""
    left, bottom, right, top = _upright(look["/BBox"])
    across, up = (place[2] - place[0]) / (right - left), (place[3] - place[1]) / (top - bottom)
    matrix: Matrix = (across, 0, 0, up, place[0] - left * across, place[1] - bottom * up)
    resources = resolved(look.get("/Resources")) or {}
    painter.follow(painter.parse(look) or (), resources, stream=id(look), matrix=matrix)


def _verdict(painter: Painter) -> _Verdict:
    """Decide which text is hidden; a form used several times keeps what one of the uses shows."""
    reasons: dict[Place, Reason] = {}
    sizes: dict[Place, int] = {}
    shown: set[Place] = set()
    under: set[Place] = set()
    visible = 0
    pictures = [area.shape for area in painter.canvas.pictures if _fills_page(area.shape.box, painter.canvas.page)]
    for span in painter.spans:
        reason = span.reason or _painted_over(painter.canvas, span) or _without_contrast(painter.canvas, span)
        if reason is None:
            shown.add(span.place)
            visible += span.characters
            continue
        reasons[span.place] = reason
        sizes[span.place] = span.characters
        if reason in (Reason.INVISIBLE, Reason.COVERED) and any(shape.holds(span.points[1]) for shape in pictures):
            under.add(span.place)
    hidden = reasons.keys() - shown
    underlay = sum(sizes[place] for place in under & hidden)
    if underlay > _FEW_LETTERS and visible < max(_FEW_LETTERS, _VISIBLE_SHARE * underlay):
        hidden -= under
    else:
        underlay = 0
    letters: Counter[Reason] = Counter()
    for place in hidden:
        letters[reasons[place]] += sizes[place]
    return _Verdict(set(hidden), dict(sorted(letters.items())), underlay)


def _fills_page(box: Box, page: Box) -> bool:
    return box.meet(page).size > _PICTURE_SHARE * page.size


def _painted_over(canvas: Canvas, span: Span) -> Reason | None:
    return Reason.COVERED if canvas.cover(span.points, span.order) else None


def _without_contrast(canvas: Canvas, span: Span) -> Reason | None:
    """Hold the text's colours against its ground wherever it is looked at; one place that shows it is enough."""
    if any(_shows(canvas, colour, point, span.order) for colour in span.colours for point in span.points):
        return None
    return Reason.PALE


def _shows(canvas: Canvas, colour: Colour | None, point: Point, order: int) -> bool:
    if colour is None:
        return True
    ground = canvas.ground(point, order)
    return ground is None or contrast(colour, ground) >= LEAST_CONTRAST


def _without(operations: Operations, spans: Sequence[Span]) -> list[tuple[Any, bytes]]:
    """Return the operations with gaps of the same length in place of some of their strings."""
    kept = list(operations)
    by_operation: defaultdict[int, list[Span]] = defaultdict(list)
    for span in spans:
        by_operation[span.place.operation].append(span)
    for number, found in by_operation.items():
        kept[number] = _with_gaps(*kept[number], found)
    return kept


def _with_gaps(operands: Any, operator: bytes, spans: Sequence[Span]) -> tuple[Any, bytes]:
    if operator == b"TJ":
        elements = list(operands[0])
    elif operator == b"Tj":
        elements = [operands[0]]
    else:
        # These two begin a new line as well, and an empty text does that too.
        return [*operands[:-1], type(operands[-1])()], operator
    for span in sorted(spans, key=lambda one: one.place.first, reverse=True):
        elements[span.place.first : span.place.last + 1] = [FloatObject(span.advance)]
    return [ArrayObject(elements)], b"TJ"
