"""What a person reads of a record whose item is gone: what happened, and the ways out."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import ProtectedError, RestrictedError
from django.db.models.deletion import Collector

from sync.choices import SyncDirection
from sync.engine.gone import ARCHIVED, DELETED, MISSING, MOVED, Act
from sync.engine.subjects import Subject
from sync.engine.values import name_of
from sync.hooks import Option

UNLINK = "unlink"
"""The value under which a choice names the option to keep both as they are, and sync them no more."""
DAYS_IN_TRASH = 30
"""How long a person can restore a deleted item on Monday (support.monday.com, “the recycle bin”)."""


def happened(subject: Subject, state: str, who: str, board: str = "") -> str:
    """Return what happened to the record's item, as a sentence; `who` did it, as a name, where that is known."""
    name = subject.item.name if subject.item else name_of(subject.record)
    by = f" by {who}" if who else ""
    return {
        ARCHIVED: f"The item “{name}” was archived on Monday{by}.",
        DELETED: f"The item “{name}” was deleted on Monday{by}.",
        MOVED: f"The item “{name}” is on another board now ({board}).",
        MISSING: f"Monday doesn't show the item of “{name}” any more: it may be deleted for good, or hidden from "
        "the token's user.",
    }[state]


def way_back(state: str) -> str:
    """Return what a person may do on Monday instead, as a clause."""
    return {
        ARCHIVED: "restore it from Monday's archive",
        DELETED: f"restore it from Monday's recycle bin within {DAYS_IN_TRASH} days",
        MOVED: "move it back",
        MISSING: "let the token's user see it again",
    }[state]


def asked(happening: str, labels: list[str]) -> str:
    """Return the sentence with which a conflict asks; `labels` are the fields edited since both sides agreed."""
    if labels:
        return f"{happening} Edited since both sides last agreed: {', '.join(labels)}."
    return f"{happening} Nothing was edited since both sides last agreed."


def options(subject: Subject, state: str) -> tuple[Option, ...]:
    """Return the ways out that the record's direction and NPD's other records leave."""
    name, direction = name_of(subject.record), subject.record.sync_direction
    found = []
    if direction != SyncDirection.MONDAY_TO_NPD:
        found.append(
            Option(
                "npd",
                "Keep the record and make its item again",
                f"A new item is made on the board from what “{name}” says in NPD now, and linked with it. An item that "
                f"was taken away can't be brought back from here; you may instead {way_back(state)}: then this "
                "question closes by itself.",
            )
        )
    if state != MISSING and direction != SyncDirection.NPD_TO_MONDAY:
        needed, losing = needs(subject.record)
        if not needed:
            found.append(
                Option(
                    "monday",
                    "Delete the record in NPD too",
                    f"“{name}” is deleted in NPD, with what was edited here.{losing} For "
                    f"{settings.TOMBSTONE_DAYS} days it can be brought back from the list of deleted records.",
                )
            )
    found.append(
        Option(
            "custom",
            "Keep the record and end its sync",
            f"“{name}” stays in NPD as it is, and its sync goes off. The item is let go: restored, it is neither "
            "matched nor made into a record until a person says so.",
            UNLINK,
        )
    )
    return tuple(found)


def act_of(option: Option) -> Act:
    """Return what an option does."""
    return {"npd": Act.CREATE, "monday": Act.DELETE, "custom": Act.UNLINK}[option.choose]


def needs(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what others would lose by it; empty texts where nothing.

    What would be deleted with it (a cascade) counts as a reason too: nobody meant these.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (ProtectedError, RestrictedError) as needed:
        objects = getattr(needed, "protected_objects", None) or getattr(needed, "restricted_objects", [])
        return f"{_counted(list(objects))} in NPD can't be without “{record}”.", ""
    others = [one for rows in collector.data.values() for one in rows if one != record]
    others += [one for rows in collector.fast_deletes for one in rows]
    if others:
        return f"{_counted(others)} in NPD would be deleted with “{record}”.", ""
    emptied = [one for rows in collector.field_updates.values() for group in rows for one in _each(group)]
    return "", f" {_counted(emptied)} in NPD would no longer name it." if emptied else ""


def _each(group: object) -> list[models.Model]:
    return [group] if isinstance(group, models.Model) else list(group)  # type: ignore[call-overload]


def _counted(records: list[models.Model]) -> str:
    """So many records by their kind, as “3 contacts and 1 organization”."""
    kinds: dict[type[models.Model], int] = {}
    for record in records:
        kinds[type(record)] = kinds.get(type(record), 0) + 1
    words = [
        f"{n} {kind._meta.verbose_name if n == 1 else kind._meta.verbose_name_plural}"
        for kind, n in kinds.items()
    ]
    return " and ".join(words)
