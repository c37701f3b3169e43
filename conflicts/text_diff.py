"""Where two texts differ, character by character as a reader sees characters. Pure.

A family emoji, a flag, an accented or an Arabic letter with its marks is one character (a grapheme cluster)
and is never cut in two. Long texts are compared word by word: that is what a person reads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import regex

WORD_DIFF_CHARACTERS = 400
"""Characters from which on whole words are compared."""

MAX_DIFF_CHARACTERS = 4_000
"""Characters beyond which nothing is marked: comparing would take longer than a page may."""

MIN_SIMILARITY = 0.35
"""Texts that have less than this in common are simply other texts: marks would only be noise."""

_CHARACTER = regex.compile(r"\X")
_WORD = regex.compile(r"\s+|[^\s]+")


@dataclass(frozen=True)
class DiffPart:
    """A piece of a text; `marked` where the other text has something else."""

    text: str
    marked: bool = False


def characters(text: str) -> list[str]:
    """The text as a reader counts it: its grapheme clusters."""
    return [str(one) for one in _CHARACTER.findall(text)]


def diff_parts(text: str | None, other: str | None) -> list[DiffPart]:
    """The text in pieces, with those marked that `other` lacks; unmarked where the two are too unlike."""
    if not text:
        return []
    if not other or text == other or max(len(text), len(other)) > MAX_DIFF_CHARACTERS:
        return [DiffPart(text)]
    split = _WORD.findall if max(len(text), len(other)) > WORD_DIFF_CHARACTERS else characters
    mine, theirs = split(text), split(other)
    matcher = SequenceMatcher(None, theirs, mine, autojunk=False)
    if matcher.ratio() < MIN_SIMILARITY:
        return [DiffPart(text)]
    found = [
        DiffPart("".join(mine[start:end]), tag != "equal")
        for tag, _, _, start, end in matcher.get_opcodes()
        if end > start
    ]
    return _join_parts(found)


def base_diff_parts(base: str | None, npd: str | None, monday: str | None) -> list[DiffPart]:
    """The base's text, with those pieces marked that at least one side lacks."""
    if not base:
        return []
    # For each code point of the base, whether it is in a marked piece.
    differs = [[piece.marked for piece in diff_parts(base, other) for _ in piece.text] for other in (npd, monday)]
    marks = [any(pair) for pair in zip(*differs, strict=True)]
    return _join_parts([DiffPart(one, marked) for one, marked in zip(base, marks, strict=True)])


def _join_parts(pieces: Sequence[DiffPart]) -> list[DiffPart]:
    found: list[DiffPart] = []
    for piece in pieces:
        if found and found[-1].marked == piece.marked:
            found[-1] = DiffPart(found[-1].text + piece.text, piece.marked)
        else:
            found.append(piece)
    return found
