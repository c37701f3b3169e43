"""Which column a field probably has: by its id, its title, or as the only one of its type. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, utils

from sync.setup_columns import NAME_TYPE
from sync.wizard.fields import MAKE, Told, Wanted, why_not

ALIKE = 75
"""Titles at least so alike, in per cent, are taken for the same."""
TELLING = frozenset({"email", "phone", "location", "country"})
"""Types of which a board's only column is the field's, whatever it is called."""


@dataclass(frozen=True)
class Suggestion:
    """A column for a field; `alike` is how alike the titles are, in per cent, None where that is not why."""

    column: str
    alike: int | None = None


def suggest(fields: Sequence[Wanted], columns: Mapping[str, Told], npd_id: str) -> dict[str, Suggestion]:
    """Return a column for each field that has a likely one; the likeliest pairs first, no column twice."""
    free = {column: told for column, told in columns.items() if column != npd_id}
    found: dict[str, Suggestion] = {}
    taken: set[str] = set()
    for _, key, column, alike in sorted(_pairs(fields, free), key=lambda pair: (-pair[0], pair[1], pair[2])):
        if key not in found and column not in taken:
            found[key] = Suggestion(column, alike)
            taken.add(column)
    for one in fields:
        if one.is_name:
            found[one.key] = Suggestion(NAME_TYPE)
        elif one.key not in found and not one.optional:
            found[one.key] = Suggestion(MAKE)
    return found


def _pairs(
    fields: Sequence[Wanted], columns: Mapping[str, Told]
) -> Iterator[tuple[float, str, str, int | None]]:
    """Every field with every column that may be its own, and how likely it is, from 0 to 101."""
    for one in fields:
        fitting = {column: told for column, told in columns.items() if not why_not(one, told)}
        for column, told in fitting.items():
            alike = fuzz.token_sort_ratio(one.label, str(told["title"]), processor=utils.default_process)
            if column == one.preferred_id or alike >= ALIKE:
                yield (101 if column == one.preferred_id else alike), one.key, column, round(alike)
            elif told["type"] in TELLING and _of_type(columns, told["type"]) == 1:
                yield ALIKE - 1, one.key, column, None


def _of_type(columns: Mapping[str, Told], kind: str) -> int:
    return sum(told["type"] == kind for told in columns.values())
