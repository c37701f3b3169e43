"""Names that are nearly alike: pairs that a person may confirm, and those that are not sure enough to be offered.

A name alone never links two: every pair found here waits for a person's word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rapidfuzz import fuzz, process, utils

MARGIN = 10
"""A second name that is at most so many per cent behind the first makes the pair ambiguous."""
TELL_EVERY = 500
ALL_PAIRS = 4_000_000
"""Up to so many comparisons every name is held against every other; beyond, against those that share a beginning."""


@dataclass(frozen=True)
class Near:
    """A record with the items whose names are like its own, the likest first, each with how alike, in per cent."""

    record: str
    items: Sequence[tuple[str, int]]


@dataclass
class Similar:
    """Pairs with one near candidate each, and records (or items) with several."""

    pairs: list[Near] = field(default_factory=list)
    ambiguous: list[Near] = field(default_factory=list)


def similar(
    records: Mapping[str, str],
    items: Mapping[str, str],
    threshold: int,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Similar:
    """Compare the names of records and items that have no counterpart yet, each given by id.

    `tell` hears every now and then how many records were compared, and of how many.
    """
    names = {key: text for key, name in items.items() if (text := utils.default_process(name))}
    near = []
    for done, (record, theirs) in enumerate(_candidates(records, names)):
        if done % TELL_EVERY == 0:
            tell(done, len(records))
        text = utils.default_process(records[record])
        hits = process.extract(
            text, {key: names[key] for key in theirs}, scorer=fuzz.token_sort_ratio, processor=None,
            score_cutoff=threshold, limit=5,
        ) if text else []  # fmt: skip
        if hits:
            near.append(Near(record, [(key, round(score)) for _, score, key in hits]))
    return _sorted_out(near)


def _candidates(
    records: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, str] | set[str]]]:
    if len(records) * len(names) <= ALL_PAIRS:
        for record in records:
            yield record, names
        return
    by_start: defaultdict[str, set[str]] = defaultdict(set)
    for key, name in names.items():
        for word in name.split():
            by_start[word[:3]].add(key)
    for record, name in records.items():
        words = utils.default_process(name).split()
        yield record, set().union(*(by_start[word[:3]] for word in words if word[:3] in by_start))


def _sorted_out(near: Sequence[Near]) -> Similar:
    """A pair is one only if neither side has another candidate nearly as good."""
    best: defaultdict[str, list[int]] = defaultdict(list)
    for one in near:
        for key, score in one.items:
            best[key].append(score)
    found = Similar()
    for one in near:
        (key, score), others = one.items[0], one.items[1:]
        rivals = sorted(best[key], reverse=True)
        rivals.remove(score)
        second = max([*(other for _, other in others), *rivals], default=0)
        (found.ambiguous if second >= score - MARGIN else found.pairs).append(one)
    return found
