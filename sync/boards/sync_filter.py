"""Which records and items of a board are synced: the filter that a person set, as it is stored, decided and worded.

Pure. A condition asks one field, of a record or of an item, or the group in which an item stands; all conditions of a
side have to hold. What can't be known decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync.merge import Side, Unknown
from sync.monday.board_items import GROUP
from sync.monday.conversion import Canonical

# Of each side; more than a person can keep in mind.
MAX_CONDITIONS = 20

MAX_VALUES = 50
MAX_VALUE_LENGTH = 200


class FilterOp(StrEnum):
    """What a condition asks of a value; of a list, of any of its elements."""

    IS = "is"
    IS_NOT = "is_not"
    FILLED = "is_filled"
    EMPTY = "is_empty"
    CONTAINS = "contains"

    @property
    def label(self) -> str:
        return _OP_LABELS[self]

    @property
    def takes_values(self) -> bool:
        return self not in (FilterOp.FILLED, FilterOp.EMPTY)


_OP_LABELS = {
    FilterOp.IS: "is",
    FilterOp.IS_NOT: "is not",
    FilterOp.FILLED: "is filled",
    FilterOp.EMPTY: "is empty",
    FilterOp.CONTAINS: "contains",
}


class FilterSide(StrEnum):
    """Whose condition it is; stored as the reason for which a record is left out."""

    RECORD = "record"
    ITEM = "item"


@dataclass(frozen=True)
class FilterCondition:
    """One condition: `field` is a mapping's key, or the group; `values` are what is compared, `labels` what is read."""

    field: str
    op: FilterOp
    values: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "op": str(self.op), "values": list(self.values), "labels": list(self.labels)}

    def text(self, name: str) -> str:
        """What has to be, as a clause; `name` is the field's."""
        return f"{name} {_clause(self.op, self.labels)}"

    def failure(self, name: str) -> str:
        """What is so where it doesn't hold, as a clause."""
        return f"{name} {_clause(_OPPOSITES[self.op], self.labels, fails=True)}"


_OPPOSITES = {
    FilterOp.IS: FilterOp.IS_NOT,
    FilterOp.IS_NOT: FilterOp.IS,
    FilterOp.FILLED: FilterOp.EMPTY,
    FilterOp.EMPTY: FilterOp.FILLED,
    FilterOp.CONTAINS: FilterOp.CONTAINS,
}


def _clause(op: FilterOp, labels: Sequence[str], *, fails: bool = False) -> str:
    if not op.takes_values:
        return op.label
    quoted = [f"“{label}”" for label in labels]
    named = " or ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
    return f"doesn't contain {named}" if fails and op is FilterOp.CONTAINS else f"{op.label} {named}"


@dataclass(frozen=True)
class SyncFilter:
    """The conditions of both sides; without any, everything is synced."""

    records: tuple[FilterCondition, ...] = ()
    items: tuple[FilterCondition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.records or self.items)

    @classmethod
    def parse(cls, stored: Mapping[str, Any] | None) -> SyncFilter:
        """Read what is stored; raises ValueError where it isn't a filter."""
        sides = stored or {}
        return cls(_parse_side(sides.get("records", ())), _parse_side(sides.get("items", ())))

    def to_json(self) -> dict[str, Any]:
        """As it is stored: nothing of an empty one."""
        sides = {"records": self.records, "items": self.items}
        return {name: [entry.to_json() for entry in conditions] for name, conditions in sides.items() if conditions}

    @property
    def asks_group(self) -> bool:
        return any(condition.field == GROUP for condition in self.items)

    def lines(self, labels: Mapping[str, str]) -> list[str]:
        sides = {"Records": self.records, "Items on Monday": self.items}
        return [
            f"{who} where {' and '.join(condition.text(field_name(condition, labels)) for condition in conditions)}."
            for who, conditions in sides.items()
            if conditions
        ]


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
    if isinstance(value, tuple):
        return frozenset(value)
    return frozenset() if value is None else frozenset({value})


def condition_holds(
    op: FilterOp, value: Side, wanted: frozenset[str], shown: Callable[[Canonical], str]
) -> bool | None:
    """Whether a value is as the condition wants it; None where it isn't known.

    `wanted` are the condition's values in canonical form; `shown` gives a value for people, for parts of a text.
    """
    if isinstance(value, Unknown):
        return None
    held = elements_of(value)
    match op:
        case FilterOp.FILLED | FilterOp.EMPTY:
            return bool(held) is (op is FilterOp.FILLED)
        case FilterOp.CONTAINS:
            text = shown(value).casefold()
            return any(part.casefold() in text for part in wanted)
        case _:
            return bool(held & wanted) is (op is FilterOp.IS)


@dataclass(frozen=True)
class FilterVerdict:
    """Whether all conditions of a side hold, None where that isn't known."""

    holds: bool | None = True
    because: FilterCondition | None = None  # why it isn't so
    sentence: str = ""  # the same for people

    def leaves_out(self, *, was_out: bool) -> bool:
        """Whether the pair is left out: where that can't be told, it stays as it was."""
        return self.holds is False or (self.holds is None and was_out)


HOLDS = FilterVerdict()


def verdict_of(
    conditions: Sequence[FilterCondition], answer: Callable[[FilterCondition], bool | None]
) -> FilterVerdict:
    """Return whether all hold: one that surely doesn't decides, whatever is unknown beside it."""
    answers = [(condition, answer(condition)) for condition in conditions]
    failed = next((condition for condition, holds in answers if holds is False), None)
    unknown = next((condition for condition, holds in answers if holds is None), None)
    if failed is not None:
        return FilterVerdict(False, failed)
    return HOLDS if unknown is None else FilterVerdict(None, unknown)
