"""What a set-up changes in the mapping, field by field, before and after: for the plan, the log, and open set-ups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from sync.choices import Rule, SyncDirection
from sync.models import BoardLink
from sync.wizard.fields import MAKE, Chosen, Told, Wanted


@dataclass(frozen=True)
class Change:
    """What of a field (`what`) is another after the set-up than before."""

    field: str
    what: str
    before: str
    after: str


def as_mapped(link: BoardLink | None) -> dict[str, Chosen]:
    """Return what is stored of each field, as if a person chose it."""
    stored = link.mappings.all() if link is not None else ()
    return {one.key: Chosen(one.column_id, one.direction, one.rule) for one in stored}


def changes(
    fields: Sequence[Wanted],
    before: Mapping[str, Chosen],
    after: Mapping[str, Chosen],
    columns: Mapping[str, Told],
) -> list[Change]:
    """Return what is another after than before, in the order of the fields."""
    return [
        change
        for one in fields
        for change in _of(one, before.get(one.key, Chosen()), after.get(one.key, Chosen()), columns)
    ]


def in_words(found: Iterable[Change]) -> str:
    """Return changes as a clause, as the log keeps them."""
    told = [f"{one.field}: {one.what} {one.before} → {one.after}" for one in found]
    return "; ".join(told) or _("no field is mapped otherwise than before")


def _of(one: Wanted, old: Chosen, new: Chosen, columns: Mapping[str, Told]) -> Iterator[Change]:
    if old.synced != new.synced:
        yield Change(one.label, _("Sync"), _whole(one, old, columns), _whole(one, new, columns))
    elif new.synced:
        if old.column != new.column:
            yield Change(one.label, _("Column"), _column(one, old, columns), _column(one, new, columns))
        if old.direction != new.direction:
            yield Change(one.label, _("Direction"), _direction(old), _direction(new))
        if old.rule != new.rule:
            yield Change(one.label, _("Rule"), _rule(old), _rule(new))


def _whole(one: Wanted, choice: Chosen, columns: Mapping[str, Told]) -> str:
    if not choice.synced:
        return _("not synced")
    return ", ".join((_column(one, choice, columns), _direction(choice), _rule(choice)))


def _column(one: Wanted, choice: Chosen, columns: Mapping[str, Told]) -> str:
    if one.is_name:
        return _("the item's name")
    if choice.column == MAKE:
        return _("a column “%(label)s” that is made") % {"label": one.label}
    told = columns.get(choice.column)
    return f"“{told['title']}” ({choice.column})" if told else choice.column


def _direction(choice: Chosen) -> str:
    return str(dict(SyncDirection.choices).get(choice.direction, choice.direction))


def _rule(choice: Chosen) -> str:
    return str(dict(Rule.choices).get(choice.rule, choice.rule))
