"""The differing words of two texts, an excerpt around the first, and a merge of both texts. Pure."""

import re
from difflib import SequenceMatcher
from itertools import groupby

from sync.monday.texts import unix_lines

# Longer texts are not compared, because that would slow down the page.
MAX_DIFF_CHARACTERS = 4_000

# Less similar texts are not marked, because nearly every word would be.
MIN_SIMILARITY = 0.35

# An excerpt's characters before the first difference, and in all.
EXCERPT_BEFORE = 30
EXCERPT_LENGTH = 120

# A separator, a word or the text's beginning, with the space behind it. Words take all other characters, so that
# accents and joined emoji stay with their letters.
_WORD = re.compile(r'(?:[.,;:!?()"@/<>-]|[^\s.,;:!?()"@/<>-]+|^)\s*')

# A line or a sentence, with the space behind it.
_SENTENCE = re.compile(r".+?(?:\s*\n\s*|(?<=[.!?…])\s+|(?<=[。！？])\s*|\s*$)", re.DOTALL)

# A piece of a text, and whether the other text differs there.
TextPart = tuple[str, bool]


def diff_parts(text: str | None, *others: str | None) -> list[TextPart]:
    """Return the text in pieces, marking the words that another text lacks, unless the texts are too unlike."""
    words = _WORD.findall(text or "")
    differing = set[int]()
    for other in others:
        if sum(map(len, words)) > MAX_DIFF_CHARACTERS or len(other or "") > MAX_DIFF_CHARACTERS:
            continue
        other_words = _WORD.findall(other or "")
        mine = [word.strip() for word in words]
        theirs = [word.strip() for word in other_words]
        if mine == theirs:  # only spaces and line ends differ
            mine = words
            theirs = other_words
        # From 200 words on, difflib's autojunk skips the most frequent words; without autojunk this could take minutes.
        matcher = SequenceMatcher(None, mine, theirs)
        if matcher.ratio() >= MIN_SIMILARITY:
            for tag, start, end, _, _ in matcher.get_opcodes():
                if tag != "equal":
                    differing.update(range(start, end))
    parts = []
    for is_marked, group in groupby(enumerate(words), key=lambda word: word[0] in differing):
        block = "".join(word for _, word in group)
        # The space behind the last marked word stays unmarked.
        core = block.rstrip() if is_marked and block.strip() else block
        parts += [(core, is_marked), (block[len(core) :], False)]
    return [part for part in parts if part[0]]


def excerpts(text: str | None, other: str | None) -> list[list[TextPart]]:
    """Return one-line excerpts of both texts around their first difference, marked."""
    lines = [" ".join((side or "").split()) for side in (text, other)]
    diff_start = next((place for place, (mine, theirs) in enumerate(zip(*lines, strict=False)) if mine != theirs), 0)
    begin = max(0, diff_start - EXCERPT_BEFORE)
    word_start = lines[0].rfind(" ", 0, begin) + 1
    # In a language without spaces, the last space may be far away, so the excerpt begins within a word.
    begin = word_start if begin - word_start <= EXCERPT_BEFORE else begin
    end = begin + EXCERPT_LENGTH
    both = []
    for mine, theirs in (lines, reversed(lines)):
        # The other text is cut later, so that the last words aren't marked for being cut.
        parts = diff_parts(mine[begin:end].rstrip(), theirs[begin : end + EXCERPT_LENGTH])
        ellipsis_before = [("… ", False)] if begin and parts else []
        ellipsis_after = [("…", False)] if len(mine) > end else []
        both.append([*ellipsis_before, *parts, *ellipsis_after])
    return both


def both_texts(text: str | None, other: str | None) -> str:
    """Return a text with all lines and sentences of both, the common ones once; `text` comes first."""
    if text == other:
        return text or ""
    mine, theirs = [_SENTENCE.findall(unix_lines(side or "").strip()) for side in (text, other)]
    own = [sentence.strip() for sentence in mine]
    matcher = SequenceMatcher(None, own, [sentence.strip() for sentence in theirs], autojunk=False)
    merged: list[str] = []
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        # A sentence that both have at different places stays where `text` has it.
        merged += [*mine[i:i_end], *(sentence for sentence in theirs[j:j_end] if sentence.strip() not in own)]
    has_lines = any("\n" in sentence for sentence in merged)
    combined = ""
    for sentence in merged:
        # The last sentence of a text may have had no space or line end behind it.
        if combined and not combined[-1].isspace() and combined[-1] not in "。！？":
            combined += "\n" if has_lines or combined[-1] not in ".!?…" else " "
        combined += sentence
    return combined.rstrip()
