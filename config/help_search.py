"""What the help's search finds, by the stems of words: the sections called so first, pages for people before others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sync.kernel.db import fetch_rows

SHOWN = 12

Stems = frozenset[str]


@dataclass(frozen=True)
class HelpSection:
    """What a page says below a heading; its first has the page's title, and no anchor."""

    page: str
    anchor: str
    title: str
    text: str


Page = tuple[HelpSection, ...]


def sections_saying(pages: tuple[Page, ...], for_people: Collection[str], term: str) -> list[HelpSection]:
    """Return the sections that answer `term`, the best first; `pages` are in the order in which people read them.

    First those whose heading has all its words; of pages for people then what says all of them, what is called by
    some, and what says them here and there; then the others that do.
    """
    [wanted] = _stems([term])
    said = _said(pages)
    found = [
        one
        for page, of_page in zip(pages, said, strict=True)
        for one in _ranked(page, of_page, wanted, is_for_people=page[0].page in for_people)
    ]
    return [section for _, section in sorted(found, key=lambda one: one[0])[:SHOWN]] if wanted else []


def _ranked(
    page: Page, said: Sequence[tuple[Stems, Stems]], wanted: Stems, *, is_for_people: bool
) -> Iterator[tuple[tuple[int, int], HelpSection]]:
    whole = frozenset[str]().union(*(text for _, text in said))
    best = max(range(len(page)), key=lambda at: len(_of(wanted, said[at][1])))
    for at, (section, (heading, text)) in enumerate(zip(page, said, strict=True)):
        called = _of(wanted, heading)
        if called == wanted:
            rank = 0
        elif is_for_people and _of(wanted, text | said[0][0]) == wanted:
            rank = 1
        elif is_for_people and called:
            rank = 2
        elif at == best and _of(wanted, whole) == wanted:
            rank = 3 if is_for_people else 4
        else:
            continue
        yield (rank, -len(called)), section


def _of(wanted: Stems, said: Stems) -> Stems:
    """The wanted words that are said, or begin one that is: somebody may still be typing."""
    return frozenset(one for one in wanted if any(word.startswith(one) for word in said))


@lru_cache(maxsize=1)
def _said(pages: tuple[Page, ...]) -> list[list[tuple[Stems, Stems]]]:
    """The stems of each section's heading, and of all that it says."""
    sections = [section for page in pages for section in page]
    headings = _stems([one.title for one in sections])
    both = iter(list(zip(headings, _stems([f"{one.title} {one.text}" for one in sections]), strict=True)))
    return [[next(both) for _ in page] for page in pages]


def _stems(texts: Sequence[str]) -> list[Stems]:
    """The stems of each text's words, without those that every text has (“the”), as PostgreSQL's English has them."""
    words = [set(re.findall(r"[^\W_]+", text.lower())) for text in texts]
    sql = "SELECT word, ts_lexize('english_stem', word) FROM unnest(%s::text[]) AS word"
    found = dict(fetch_rows(sql, [sorted(set().union(*words))]))
    return [frozenset(stem for word in some for stem in found[word] or ()) for some in words]
