"""The filter that a person set: which records and items of a board are synced. Pure functions.

A condition is about one field of a record or an item, or about an item's group; all conditions of a side must hold. An
unknown value decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import models

from sync.merge import Side, Unknown
from sync.monday.board_items import GROUP
from sync.monday.conversion import Canonical
from sync.words.message import Message

# For each side; nobody can keep more in mind.
MAX_CONDITIONS = 20

# For each condition; a page lists them in one line.
MAX_VALUES = 50


class FilterOp(models.TextChoices):
    """The test of a condition; for a list, one element has to pass."""

    IS = "is", "is"
    IS_NOT = "is_not", "is not"
    FILLED = "is_filled", "is filled"
    EMPTY = "is_empty", "is empty"
    CONTAINS = "contains", "contains"

    @property
    def takes_values(self) -> bool:
        return self not in (FilterOp.FILLED, FilterOp.EMPTY)


class FilterSide(StrEnum):
    """The side that a condition is about; stored as the reason why a record is left out."""

    RECORD = "record"
    ITEM = "item"


@dataclass(frozen=True)
class FilterCondition:
    field: str  # a mapping's key, or GROUP
    op: FilterOp
    values: tuple[str, ...] = ()  # compared with the field's value
    labels: tuple[str, ...] = ()  # the values for people

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "op": str(self.op), "values": list(self.values), "labels": list(self.labels)}

    def text(self, name: str) -> Message:
        """Return the condition as a clause; `name` is the field's."""
        return Message(f"field_{self.op}", field=name, values=list(self.labels))

    def failure(self, name: str) -> Message:
        """Return the opposite of the condition as a clause."""
        return Message(f"field_{_OPPOSITES[self.op]}", field=name, values=list(self.labels))


_OPPOSITES = {
    FilterOp.IS: FilterOp.IS_NOT,
    FilterOp.IS_NOT: FilterOp.IS,
    FilterOp.FILLED: FilterOp.EMPTY,
    FilterOp.EMPTY: FilterOp.FILLED,
    FilterOp.CONTAINS: "contains_none",
}


@dataclass(frozen=True)
class SyncFilter:
    """The conditions of both sides; without any, everything is synced."""

    records: tuple[FilterCondition, ...] = ()
    items: tuple[FilterCondition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.records or self.items)

    @classmethod
    def parse(cls, stored: Mapping[str, Any] | None) -> SyncFilter:
        """Parse the stored JSON; raises ValueError if it isn't a filter."""
        sides = stored or {}
        return cls(_parse_side(sides.get("records", ())), _parse_side(sides.get("items", ())))

    def to_json(self) -> dict[str, Any]:
        sides = {"records": self.records, "items": self.items}
        return {name: [condition.to_json() for condition in side] for name, side in sides.items() if side}

    @property
    def asks_group(self) -> bool:
        return any(condition.field == GROUP for condition in self.items)

    def lines(self, labels: Mapping[str, str]) -> list[str]:
        """Return a sentence for each side with conditions; `labels` are the fields' names by key."""
        lines = []
        for subject, conditions in (("Records", self.records), ("Items on Monday", self.items)):
            clauses = [condition.text(field_name(condition, labels)) for condition in conditions]
            if clauses:
                lines.append(f"{subject} where {' and '.join(clauses)}.")
        return lines


GROUP_LABEL = "Group"


def field_name(condition: FilterCondition, labels: Mapping[str, str]) -> str:
    return GROUP_LABEL if condition.field == GROUP else labels.get(condition.field, condition.field)


def _parse_side(stored: Iterable[Mapping[str, Any]]) -> tuple[FilterCondition, ...]:
    return tuple(
        FilterCondition(
            field=str(condition["field"]),
            op=FilterOp(condition["op"]),
            values=tuple(map(str, condition["values"])),
            labels=tuple(map(str, condition["labels"])),
        )
        for condition in stored
    )


def elements_of(value: Canonical) -> frozenset[str]:
    """Return the elements of a list, or a single value, as a set; it is empty for an empty value."""
    if isinstance(value, tuple):
        return frozenset(value)
    return frozenset() if value is None else frozenset({value})


def condition_holds(
    op: FilterOp, value: Side, expected: frozenset[str], display: Callable[[Canonical], str]
) -> bool | None:
    """Whether a value meets a condition; None if the value is unknown.

    `expected` are the condition's values in canonical form; `display` formats a value as people see it.
    """
    if isinstance(value, Unknown):
        return None
    elements = elements_of(value)
    match op:
        case FilterOp.FILLED | FilterOp.EMPTY:
            return bool(elements) is (op is FilterOp.FILLED)
        case FilterOp.CONTAINS:
            text = display(value).casefold()
            return any(part.casefold() in text for part in expected)
        case FilterOp.IS | FilterOp.IS_NOT:
            return bool(elements & expected) is (op is FilterOp.IS)


@dataclass(frozen=True)
class FilterVerdict:
    """Whether all conditions of a side hold; None if that is unknown."""

    holds: bool | None = True
    because: FilterCondition | None = None  # the condition that fails, or is unknown
    sentence: str = ""  # the same for people

    def leaves_out(self, *, was_out: bool) -> bool:
        """Whether the pair is left out; unknown leaves it as it was."""
        return self.holds is False or (self.holds is None and was_out)


HOLDS = FilterVerdict()


def verdict_of(
    conditions: Sequence[FilterCondition], answer: Callable[[FilterCondition], bool | None]
) -> FilterVerdict:
    """Return whether all conditions hold; a failed condition outweighs unknown ones."""
    verdict = HOLDS
    for condition in conditions:
        holds = answer(condition)
        if holds is False:
            return FilterVerdict(False, condition)
        if holds is None and verdict is HOLDS:
            verdict = FilterVerdict(None, condition)
    return verdict
