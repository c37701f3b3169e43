"""Where two texts differ, an excerpt around it, and both in one. Pure.

Words are compared with words, for that is what a person reads; only within phone numbers, email addresses and
numbers are the characters compared. A family emoji, a flag, an accented or an Arabic letter with its marks is one
character (a grapheme cluster) and is never cut in two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

import regex

MAX_DIFF_CHARACTERS = 4_000
"""Characters beyond which nothing is marked: comparing would take longer than a page may."""

MIN_SIMILARITY = 0.35
"""Texts that have less than this in common are simply other texts: marks would only be noise."""
MIN_SIMILARITY_OF_NUMBERS = 0.6
"""The same where characters are compared alone, of which any two phone numbers share some."""

EXCERPT_BEFORE, EXCERPT_AFTER = 30, 90
"""Characters that an excerpt has before the first difference, and from there on."""

# An excerpt shows 120 characters; comparing whole notes for each line of a list would take too long.
_COMPARED_FOR_EXCERPT = 400

_CHARACTER = regex.compile(r"\X")
_EXACT = regex.compile(r"[^\s@]+@[^\s@]+|[+(#]*\d[\d.,:/()+–-]*")
# Written without spaces between words: each character counts as one.
_SPACELESS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_TRAILING = frozenset(".,;:!?…)]\"'”’»")
_APOSTROPHES = ("'", "’")


@dataclass(frozen=True)
class DiffPart:
    """A piece of a text; `marked` where the other text has something else."""

    text: str
    marked: bool = False


@dataclass(frozen=True)
class _Word:
    """A word or a sign with the space behind it, which counts for nothing."""

    text: str
    space: str = ""

    @property
    def is_exact(self) -> bool:
        return _EXACT.fullmatch(self.text) is not None


def characters(text: str) -> list[str]:
    """The text as a reader counts it: its grapheme clusters."""
    return [str(one) for one in _CHARACTER.findall(text)]


def diff_parts(text: str | None, other: str | None) -> list[DiffPart]:
    """The text in pieces, with those marked that `other` lacks; unmarked where the two are too unlike."""
    return compared(text, other)[0]


def compared(one: str | None, other: str | None) -> tuple[list[DiffPart], list[DiffPart]]:
    """Both texts in pieces, each with those marked that the other lacks."""
    if not one or not other or one == other or max(len(one), len(other)) > MAX_DIFF_CHARACTERS:
        return _whole(one), _whole(other)
    mine, theirs = _words(one), _words(other)
    if [word.text for word in mine] == [word.text for word in theirs]:
        return _compared_characters(one, other)  # spaces and line ends are all that differs
    return _compared_words(mine, theirs) or (_whole(one), _whole(other))


def base_diff_parts(base: str | None, npd: str | None, monday: str | None) -> list[DiffPart]:
    """The base's text, with those pieces marked that at least one side lacks."""
    if not base:
        return []
    # For each code point of the base, whether it is in a marked piece.
    differs = [[piece.marked for piece in diff_parts(base, other) for _ in piece.text] for other in (npd, monday)]
    marks = [any(pair) for pair in zip(*differs, strict=True)]
    return _join_parts([DiffPart(one, marked) for one, marked in zip(base, marks, strict=True)])


def excerpts(one: str | None, other: str | None) -> tuple[list[DiffPart], list[DiffPart]]:
    """Both texts on one line around their first difference, marked; what is cut off is an ellipsis."""
    lines = [" ".join((text or "").split()) for text in (one, other)]
    begin = _excerpt_begin(lines[0], lines[1])
    found = compared(*(line[begin : begin + _COMPARED_FOR_EXCERPT] for line in lines))
    is_cut = [len(line) > begin + _COMPARED_FOR_EXCERPT for line in lines]
    mine, theirs = (_cut(parts, cut, begins=not begin) for parts, cut in zip(found, is_cut, strict=True))
    return mine, theirs


def _whole(text: str | None) -> list[DiffPart]:
    return [DiffPart(text)] if text else []


def _words(text: str) -> list[_Word]:
    """The words of a text; space at its beginning belongs to a word without characters."""
    found: list[_Word] = []
    for is_space, group in groupby(characters(text), key=str.isspace):
        run = list(group)
        if not is_space:
            found += [_Word(word) for word in _words_of_run(run)]
            continue
        last = found.pop().text if found else ""
        found.append(_Word(last, "".join(run)))
    return found


def _words_of_run(run: Sequence[str]) -> Iterator[str]:
    """The words of a text without spaces, given by its characters; signs behind them stand alone."""
    end = len(run)
    while end and run[end - 1] in _TRAILING:
        end -= 1
    head = "".join(run[:end])
    if _EXACT.fullmatch(head):
        yield head
        yield from run[end:]
        return
    word = ""
    for one, after in zip(run, [*run[1:], " "], strict=True):
        is_inside = one in _APOSTROPHES and bool(word) and after[0].isalnum()
        if (one[0].isalnum() or one[0] == "_" or is_inside) and not _SPACELESS.match(one):
            word += one
            continue
        if word:
            yield word
        word = ""
        yield one
    if word:
        yield word


def _compared_words(mine: list[_Word], theirs: list[_Word]) -> tuple[list[DiffPart], list[DiffPart]] | None:
    """Both sides marked word by word; None where they have too little in common."""
    found: tuple[list[DiffPart], list[DiffPart]] = ([], [])
    same = total = 0
    for tag, i, i_end, j, j_end in _opcodes([word.text for word in mine], [word.text for word in theirs]):
        blocks = mine[i:i_end], theirs[j:j_end]
        total += sum(len(word.text) for block in blocks for word in block)
        if tag == "replace" and all(word.is_exact for block in blocks for word in block):
            parts = _compared_characters(*("".join(word.text + word.space for word in block) for block in blocks))
            same += sum(len(part.text) for side in parts for part in side if not part.marked)
        else:
            parts = _marked_block(blocks[0], tag != "equal"), _marked_block(blocks[1], tag != "equal")
            same += sum(len(word.text) for block in blocks for word in block) if tag == "equal" else 0
        for side, more in zip(found, parts, strict=True):
            side.extend(more)
    is_exact = all(word.is_exact for word in (*mine, *theirs))
    if same < (MIN_SIMILARITY_OF_NUMBERS if is_exact else MIN_SIMILARITY) * total:
        return None
    return _join_parts(found[0]), _join_parts(found[1])


def _marked_block(words: Sequence[_Word], marked: bool) -> list[DiffPart]:
    """The words of a block; the space behind its last one is like what follows, so it is never marked."""
    if not words:
        return []
    text = "".join(word.text + word.space for word in words[:-1]) + words[-1].text
    return [DiffPart(text, marked), DiffPart(words[-1].space)]


def _compared_characters(one: str, other: str) -> tuple[list[DiffPart], list[DiffPart]]:
    mine, theirs = characters(one), characters(other)
    sides: tuple[list[DiffPart], list[DiffPart]] = ([], [])
    for tag, i, i_end, j, j_end in _opcodes(mine, theirs):
        sides[0].append(DiffPart("".join(mine[i:i_end]), tag != "equal"))
        sides[1].append(DiffPart("".join(theirs[j:j_end]), tag != "equal"))
    return _join_parts(sides[0]), _join_parts(sides[1])


_Opcode = tuple[str, int, int, int, int]


def _opcodes(mine: list[str], theirs: list[str]) -> list[_Opcode]:
    """What difflib says; what both begin and end with is found without it, and it reads the rest alone."""
    shorter = min(len(mine), len(theirs))
    start = next((n for n in range(shorter) if mine[n] != theirs[n]), shorter)
    rest = shorter - start
    end = next((n for n in range(rest) if mine[-1 - n] != theirs[-1 - n]), rest)
    middle = mine[start : len(mine) - end], theirs[start : len(theirs) - end]
    found: list[_Opcode] = [("equal", 0, start, 0, start)]
    # Without autojunk, by which difflib passes over what is frequent in texts of 200 words or more.
    for tag, i, i_end, j, j_end in SequenceMatcher(None, *middle, autojunk=False).get_opcodes():
        found.append((str(tag), start + i, start + i_end, start + j, start + j_end))
    found.append(("equal", len(mine) - end, len(mine), len(theirs) - end, len(theirs)))
    return [one for one in found if one[1] < one[2] or one[3] < one[4]]


def _join_parts(pieces: Sequence[DiffPart]) -> list[DiffPart]:
    found: list[DiffPart] = []
    for piece in pieces:
        if not piece.text:
            continue
        if found and found[-1].marked == piece.marked:
            found[-1] = DiffPart(found[-1].text + piece.text, piece.marked)
        else:
            found.append(piece)
    return found


def _excerpt_begin(one: str, other: str) -> int:
    """Where both excerpts begin: at a word some characters before the first difference."""
    shorter = min(len(one), len(other))
    differs = next((n for n in range(shorter) if one[n] != other[n]), shorter)
    if differs <= EXCERPT_BEFORE:
        return 0
    word = one.rfind(" ", 0, differs) + 1 or differs
    begin = one.find(" ", max(0, word - EXCERPT_BEFORE), word) + 1
    # Of a text without spaces there is no word to begin with; the two begin alike, so one's characters are both's.
    return begin or (differs - len("".join(characters(one[:differs])[-EXCERPT_BEFORE:])))


def _cut(parts: Sequence[DiffPart], is_cut: bool, *, begins: bool) -> list[DiffPart]:
    """The pieces up to the length of an excerpt, with what says that there is more."""
    left, found = EXCERPT_BEFORE + EXCERPT_AFTER, [DiffPart("… ")] if parts and not begins else []
    for part in parts:
        signs = characters(part.text)
        found.append(DiffPart("".join(signs[:left]), part.marked))
        left -= len(signs)
        if left < 0:
            is_cut = True
            break
    return _join_parts([*found, DiffPart("…")] if is_cut else found)


_BREAK = regex.compile(r"(?<=[.!?…])[^\S\n]+|\s*\n\s*|(?<=[。！？])(?=.)")


def both_texts(one: str | None, other: str | None) -> str:
    """Return one text of two: their common lines and sentences once, each addition where it was.

    Every word of both is in it. Where both changed the same place, `one` comes first.
    """
    if one == other:
        return one or ""
    mine, theirs = ((text or "").replace("\r\n", "\n").replace("\r", "\n").strip() for text in (one, other))
    first, second = _sentences(mine), _sentences(theirs)
    known, found = {text for text, _ in first}, []
    for _, i, i_end, j, j_end in _opcodes([text for text, _ in first], [text for text, _ in second]):
        # What is in both but elsewhere stays where `one` has it.
        found += [*first[i:i_end], *(sentence for sentence in second[j:j_end] if sentence[0] not in known)]
    has_lines = "\n" in mine + theirs
    return "".join(text + (_gap(text, has_lines) if gap is None else gap) for text, gap in found).rstrip()


def _gap(text: str, has_lines: bool) -> str:
    """What parts the last sentence of one text from a sentence of the other."""
    return "\n" if has_lines or text[-1] not in ".!?…" else " "


def _sentences(text: str) -> list[tuple[str, str | None]]:
    """The lines and sentences, each with what parts it from the next; None behind the last."""
    found: list[tuple[str, str | None]] = []
    begin = 0
    for gap in _BREAK.finditer(text):
        found.append((text[begin : gap.start()], gap.group()))
        begin = gap.end()
    return [one for one in [*found, (text[begin:], None)] if one[0].strip()]
