"""Where two texts differ, character by character as a reader sees characters. Pure.

A family emoji, a flag, an accented or an Arabic letter with its marks is one character (a grapheme cluster) and is
never cut in two. Long texts are compared word by word: that is what a person reads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import regex

LONG = 400
"""Characters from which on words are compared."""
MOST = 4_000
"""Characters beyond which nothing is marked: comparing would take longer than a page may."""
ALIKE = 0.35
"""Texts that have less than this in common are simply other texts: marks would only be noise."""

_CHARACTER = regex.compile(r"\X")
_WORD = regex.compile(r"\s+|[^\s]+")


@dataclass(frozen=True)
class Part:
    """A piece of a text; `marked` where the other text has something else."""

    text: str
    marked: bool = False


def characters(text: str) -> list[str]:
    """The text as a reader counts it: its grapheme clusters."""
    return [str(one) for one in _CHARACTER.findall(text)]


def parts(text: str | None, other: str | None) -> list[Part]:
    """The text in pieces, with those marked that `other` has not; unmarked where the two are too unlike."""
    if not text:
        return []
    if not other or text == other or max(len(text), len(other)) > MOST:
        return [Part(text)]
    split = _words if max(len(text), len(other)) > LONG else characters
    mine, theirs = split(text), split(other)
    matcher = SequenceMatcher(None, theirs, mine, autojunk=False)
    if matcher.ratio() < ALIKE:
        return [Part(text)]
    found = [
        Part("".join(mine[start:end]), tag != "equal")
        for tag, _, _, start, end in matcher.get_opcodes()
        if end > start
    ]
    return _joined(found)


def parts_of_base(base: str | None, npd: str | None, monday: str | None) -> list[Part]:
    """The agreed text, with those pieces marked that at least one side has not any more."""
    if not base:
        return []
    gone = [_marks(base, other) for other in (npd, monday)]
    marks = [any(pair) for pair in zip(*gone, strict=True)]
    return _joined([Part(one, marked) for one, marked in zip(base, marks, strict=True)])


def _marks(text: str, other: str | None) -> list[bool]:
    """Whether each code point of the text stands in a marked piece."""
    return [piece.marked for piece in parts(text, other) for _ in piece.text]


def _words(text: str) -> list[str]:
    return [str(one) for one in _WORD.findall(text)]


def _joined(pieces: Sequence[Part]) -> list[Part]:
    found: list[Part] = []
    for piece in pieces:
        if found and found[-1].marked == piece.marked:
            found[-1] = Part(found[-1].text + piece.text, piece.marked)
        else:
            found.append(piece)
    return found
