"""Words out of a picture; the only module that knows rapidocr. Its models come with the package: nothing is fetched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
import rapidocr

from pipeline.document.scan.lines import ScannedLine, ScannedPage, ScannedWord

Picture = np.ndarray[Any, np.dtype[np.uint8]]
Quad = np.ndarray[Any, np.dtype[np.float32]]


class Engine:
    """Hold the loaded models; one picture at a time."""

    def __init__(self, *, threads: int, find_pixels: int) -> None:
        models = Path(rapidocr.__file__).parent / "models"
        cv2.setNumThreads(threads)
        self._ocr = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.use_preprocess_img": False,
                "Global.return_word_box": True,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.model_path": str(_model(models, "det")),
                "Det.limit_type": "max",
                "Det.limit_side_len": find_pixels,
                # A line read alone is cheaper than in a batch padded to its longest line, and needs less memory.
                "Rec.model_path": str(_model(models, "rec")),
                "Rec.rec_batch_num": 1,
            }
        )

    def read(self, picture: Picture) -> ScannedPage:
        """Return the lines of text in an RGB picture, whichever way up it is."""
        quads = self._find(picture)
        if not quads:
            return ScannedPage()
        turns = _quarter_turns(quads)
        upright, placed = _turned(picture, quads, turns)
        sample = sorted(placed, key=_width, reverse=True)[:_SAMPLE_LINES]
        confidence = self._confidence(upright, sample)
        if confidence < _SURE:
            upside_down, flipped = _turned(picture, quads, turns + 2)
            other = sorted(flipped, key=_width, reverse=True)[:_SAMPLE_LINES]
            if self._confidence(upside_down, other) > confidence:
                upright, placed, turns = upside_down, flipped, turns + 2
        slope = _slope(placed)
        back = _Back(turns, picture.shape[0], picture.shape[1])
        lines = (self._line(upright, quad, slope=slope, back=back) for quad in placed)
        slant = round(90 * (turns % 4) + math.degrees(slope), 2)
        return ScannedPage(tuple(line for line in lines if line is not None), slant)

    def _find(self, picture: Picture) -> list[Quad]:
        found = self._ocr(picture, use_det=True, use_cls=False, use_rec=False)
        boxes = getattr(found, "boxes", None)
        return [] if boxes is None else [np.asarray(box, dtype=np.float32) for box in boxes]

    def _confidence(self, picture: Picture, quads: Sequence[Quad]) -> float:
        return sum(self._read(_cut(picture, quad)).confidence for quad in quads) / len(quads)

    def _line(self, picture: Picture, quad: Quad, *, slope: float, back: _Back) -> ScannedLine | None:
        cut = _cut(picture, quad)
        read = self._read(cut)
        if read.confidence < _NOISE:
            return None
        spans = list(_word_spans(read, cut.shape[1] / max(1.0, read.columns), cut.shape[0]))
        if not spans:
            return None
        level = _Level(quad, slope, cut.shape[1])
        return ScannedLine(
            words=tuple(back.word(span, _part(quad, span, cut.shape[1])) for span in spans),
            lefts=tuple(level.x(span.start) for span in spans),
            rights=tuple(level.x(span.end) for span in spans),
            middle=level.middle,
            height=_height(quad),
        )

    def _read(self, cut: Picture) -> _Read:
        output: Any = self._ocr(cut, use_det=False, use_cls=False, use_rec=True)
        text, info = output.txts[0], output.word_results[0]
        columns = [column for word in info.word_cols for column in word]
        return _Read(text, columns, list(info.confs), float(output.scores[0]), float(info.line_txt_len))


def _model(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*_{part}_*.onnx"))
    if not found:
        raise FileNotFoundError(f"no model for {part} in {folder}")
    return found[0]


# Lines that are read both ways up where the first way makes little sense, and how sure is sure enough not to try.
_SAMPLE_LINES = 6
_SURE = 0.9
# What is found in pictures, patterns and dirt reads like this.
_NOISE = 0.5
# A gap this wide, in heights of its line, stands between two cells of a table.
_CELL_GAP = 1.5


class _Read(NamedTuple):
    """Hold what one line says; `places` are the columns of its characters without blanks, out of `columns`."""

    text: str
    places: list[int]
    confidences: list[float]
    confidence: float
    columns: float


class _Span(NamedTuple):
    """Hold a word of a line and where it stands along it, in pixels of the cut."""

    text: str
    start: float
    end: float
    confidence: float


def _word_spans(read: _Read, step: float, height: float) -> Iterator[_Span]:
    """Yield the words of a line: parted by blanks, and by gaps that are too wide for one."""
    places = iter(read.places)
    word: list[tuple[str, float, float]] = []
    for sign, confidence in zip(read.text, read.confidences, strict=False):
        if sign.isspace():
            if word:
                yield _span(word, step)
            word = []
            continue
        middle = (next(places, 0) + 0.5) * step
        if word and middle - word[-1][1] > _CELL_GAP * height:
            yield _span(word, step)
            word = []
        word.append((sign, middle, confidence))
    if word:
        yield _span(word, step)


def _span(word: list[tuple[str, float, float]], step: float) -> _Span:
    middles = [middle for _, middle, _ in word]
    half = (median(b - a for a, b in pairwise(middles)) if len(word) > 1 else 2 * step) / 2
    text = "".join(sign for sign, _, _ in word)
    return _Span(text, max(0.0, middles[0] - half), middles[-1] + half, min(confidence for _, _, confidence in word))


def _width(quad: Quad) -> float:
    return float(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2])))


def _height(quad: Quad) -> float:
    return float(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2])))


def _quarter_turns(quads: Sequence[Quad]) -> int:
    """Return 1 where most of the text runs upwards or downwards, else 0."""
    standing = sum(_height(quad) for quad in quads if _height(quad) > 1.5 * _width(quad))
    lying = sum(_width(quad) for quad in quads if _width(quad) > 1.5 * _height(quad))
    return 1 if standing > lying else 0


def _turned(picture: Picture, quads: Sequence[Quad], turns: int) -> tuple[Picture, list[Quad]]:
    """Return the picture turned to the left by quarters, with the quads in it, each from its top left corner."""
    height, width = picture.shape[:2]
    turned = []
    for quad in quads:
        points = np.array([_turn_point(x, y, turns % 4, width, height) for x, y in quad], dtype=np.float32)
        turned.append(_ordered(points))
    return np.ascontiguousarray(np.rot90(picture, turns % 4)), turned


def _turn_point(x: float, y: float, turns: int, width: int, height: int) -> tuple[float, float]:
    for _ in range(turns):
        x, y, width, height = y, width - x, height, width
    return x, y


def _ordered(points: Quad) -> Quad:
    """Return the corners as top left, top right, bottom right, bottom left."""
    by_side = points[np.argsort(points[:, 0])]
    left, right = by_side[:2], by_side[2:]
    left, right = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
    return np.array([left[0], right[0], right[1], left[1]], dtype=np.float32)


def _slope(quads: Sequence[Quad]) -> float:
    """Return the angle in which the lines lie, in radians; short ones say little."""
    wide = [quad for quad in quads if _width(quad) > 4 * _height(quad)] or list(quads)
    return median(math.atan2(float(q[1][1] - q[0][1]), float(q[1][0] - q[0][0])) for q in wide)


def _cut(picture: Picture, quad: Quad) -> Picture:
    width, height = max(2, round(_width(quad))), max(2, round(_height(quad)))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(quad, corners)
    return cv2.warpPerspective(
        picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    ).astype(np.uint8)


def _part(quad: Quad, span: _Span, length: int) -> Quad:
    """Return the part of a line's quad that a word takes."""
    start, end = span.start / length, min(1.0, span.end / length)
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    return np.array([quad[0] + top * start, quad[0] + top * end, quad[3] + bottom * end, quad[3] + bottom * start])


class _Level:
    """Tell where a line stands once its page is made level."""

    def __init__(self, quad: Quad, slope: float, length: int) -> None:
        cosine, sine = math.cos(slope), math.sin(slope)
        start, end = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
        self._left = float(start[0] * cosine + start[1] * sine)
        self._right = float(end[0] * cosine + end[1] * sine)
        self.middle = float(((start[1] + end[1]) * cosine - (start[0] + end[0]) * sine) / 2)
        self._length = length

    def x(self, along: float) -> float:
        """Return the level position of a place along the line."""
        return self._left + (self._right - self._left) * along / self._length


class _Back(NamedTuple):
    """Bring places of the turned picture back into the picture as it came."""

    turns: int
    height: int
    width: int

    def word(self, span: _Span, quad: Quad) -> ScannedWord:
        """Return a word with its place in the picture as it came."""
        odd = self.turns % 2
        width, height = (self.height, self.width) if odd else (self.width, self.height)
        points = [_turn_point(float(x), float(y), -self.turns % 4, width, height) for x, y in quad]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return ScannedWord(span.text, min(xs), min(ys), max(xs), max(ys), span.confidence)
