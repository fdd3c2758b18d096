"""Prompts that a server has cut in silence to make them fit, told by its own count of them.

Every word and every few digits of a text are a token at least, whatever the tokenizer. A count below that belongs to a
shorter prompt than the one that was sent. Some servers count otherwise, nothing or only what their cache did not hold:
so a server is believed only after it has counted a number of prompts in full, and what is doubtful is no cut.
"""

from __future__ import annotations

import functools
import re

from pipeline.llm.protocol import ModelRequest, Usage, parts_of

# Signs are left out, because tokens often join them to the word behind. Anything that is not ASCII may belong to one.
_WORD_OR_DIGITS = re.compile(r"[0-9]{1,4}|[^\s0-9!-/:-@\[-`{-~]+")
# What is learned from must be of some size, and what is accused larger, for the server adds a little of its own.
_SMALLEST_LEARNED, _SMALLEST_ACCUSED = 50, 300
_FULL_COUNTS, _FULL_COUNTS_OF_REPEATS = 8, 2
# A cut is a count below so many tokens a word. By three tokenizers sixty texts had at least 1.16, invoices about 2.2;
# where a server has counted fewer than usual, a cut has to be clearly below those.
_TOO_FEW_TOKENS_A_WORD = 0.9
_CLEARLY_LESS = 0.75
_LONGEST_KNOWN, _MOST_KNOWN = 2000, 512


class PromptCounts:
    """Learn how a server counts prompts, and tell by a count that the prompt was cut."""

    def __init__(self) -> None:
        self._full = self._full_repeats = self._largest = 0
        self._too_few = _TOO_FEW_TOKENS_A_WORD

    def is_cut(self, request: ModelRequest, usage: Usage) -> bool:
        """Say whether the reply was made from a clearly shorter prompt than the request; learn from it if not."""
        counted = usage.prompt_tokens
        if counted <= 0 or _has_pictures(request):
            return False
        words = words_of(request)
        if counted >= words:
            self._learn(request, words, counted)
            return False
        if self._is_believed and usage.cached_tokens <= counted and self._is_clearly_less(words, counted):
            return True
        # Counted in a way that is not understood, or by another server than before.
        self._full = self._full_repeats = 0
        return False

    @property
    def _is_believed(self) -> bool:
        return self._full >= _FULL_COUNTS and self._full_repeats >= _FULL_COUNTS_OF_REPEATS

    def _is_clearly_less(self, words: int, counted: int) -> bool:
        # Where a larger prompt was counted in full there is room for this one.
        if words < max(_SMALLEST_ACCUSED, self._largest + 1):
            return False
        return counted < self._too_few * words

    def _learn(self, request: ModelRequest, words: int, counted: int) -> None:
        if words < _SMALLEST_LEARNED:
            return
        self._full += 1
        self._full_repeats += _repeats_an_earlier_one(request)
        self._largest = max(self._largest, words)
        self._too_few = min(self._too_few, _CLEARLY_LESS * counted / words)


def words_of(request: ModelRequest) -> int:
    """Return the words and groups of digits in the messages; tools are left out, for some templates drop them."""
    return sum(_words_in(passage) for text in _texts(request) for passage in text.split("\n\n"))


def _words_in(passage: str) -> int:
    return _count(passage) if len(passage) > _LONGEST_KNOWN else _known_count(passage)


def _count(passage: str) -> int:
    return len(_WORD_OR_DIGITS.findall(passage))


# Goals and prompts are the same in all requests, and most of a document in those of its session.
_known_count = functools.lru_cache(maxsize=_MOST_KNOWN)(_count)


def _texts(request: ModelRequest) -> list[str]:
    said = (part for message in request.messages if message["role"] != "assistant" for part in parts_of(message))
    return [part["text"] for part in said if isinstance(part.get("text"), str)]


def _has_pictures(request: ModelRequest) -> bool:
    return any(part.get("type") == "image_url" for message in request.messages for part in parts_of(message))


def _repeats_an_earlier_one(request: ModelRequest) -> bool:
    """Say whether a session asks on, so that a cache holds the prompt's beginning: a server may not count that."""
    return request.schema is not None or any(message["role"] == "assistant" for message in request.messages)
