"""The feed of events: how they get their places in it, how a reader comes back to where it was, and what one says.

Transactions are not committed in the order in which they write, so no number that an event gets as it is written can
be a reader's mark: a lower one would become visible later. An event therefore gets its place once it is committed, by
whoever reads the feed next, one at a time (decision 0032).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.db.models import F, Max, Min, OuterRef, Q, QuerySet, Subquery
from pghistory.models import Context

from sync import registry
from sync.clock import sync_now
from sync.kernel.db import advisory_lock, brief_transaction, gave_way, run_sql
from sync.models import EventType, FeedEvent
from sync.records.authors import actor_name

PLACED_AT_ONCE = 5_000
"""Events of one transaction that gives places; a reader waits for one of them at most."""

READ_AT_ONCE = 20_000
"""Events that one page looks through for those that are asked for, where no index leads to them."""

_LOCK = 0x5EED_FEED

# The statement sees what was committed until the lock was got, so also every place that was given before.
_PLACE = """
    UPDATE sync_events AS event SET position = last.position + fresh.number
    FROM (SELECT coalesce(max(position), 0) AS position FROM sync_events WHERE position IS NOT NULL) AS last, (
        SELECT id, row_number() OVER (ORDER BY id) AS number
        FROM (SELECT id FROM sync_events WHERE position IS NULL ORDER BY id LIMIT %s) AS few) AS fresh
    WHERE event.id = fresh.id
"""


def place_events(*, batches: int | None = None) -> bool:
    """Give committed events their places; return whether there may be more.

    Where another process is at it, this one leaves it to that; one that stands still meanwhile loses its turn.
    """
    done = 0
    while FeedEvent.objects.filter(position=None).exists():
        if done == batches or not _place_some():
            return True
        done += 1
    return False


def _place_some() -> bool:
    """Give places to PLACED_AT_ONCE events; return whether it could be done now."""
    try:
        # One at a time, until the commit: a reader that has seen a place never misses a lower one that comes later.
        with brief_transaction():
            if not advisory_lock(_LOCK, "try"):
                return False
            run_sql(_PLACE, [PLACED_AT_ONCE])
    except OperationalError as error:
        if not gave_way(error):
            raise
        return False
    return True


# Where a reader is: the place of the last event that it was given, and how that event is known again.


class BadCursor(Exception):
    """A text that is no cursor of this feed."""


class LostCursor(Exception):
    """What follows this cursor isn't known any more; `code` is `expired`, or `unknown` after a restored backup."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


_CURSOR = re.compile("0:|[1-9][0-9]{0,17}:[0-9a-f]{12}")


def _cursor(event: FeedEvent | None) -> str:
    """The cursor after this event; None: before the first of all."""
    text = f"{event.position}:{event.uid.hex[:12]}" if event else "0:"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(cursor: str) -> int:
    """The place that a cursor names; raises BadCursor and LostCursor."""
    try:
        text = urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode("ascii")).decode("ascii")
    except ValueError as error:
        raise BadCursor from error
    if not _CURSOR.fullmatch(text):
        raise BadCursor
    number, _, mark = text.partition(":")
    position = int(number)
    ends = FeedEvent.objects.aggregate(first=Min("position"), last=Max("position"))
    if position + 1 < (ends["first"] or 1):
        raise LostCursor("expired")
    event = FeedEvent.objects.filter(position=position).only("uid").first()
    # A restored backup gives the places after it anew, to other events.
    if position > (ends["last"] or 0) or (event is not None and event.uid.hex[:12] != mark):
        raise LostCursor("unknown")
    return position


@dataclass(frozen=True)
class FeedSight:
    """What a reader may see: events of these types of records, and those of conflicts."""

    entity_types: frozenset[str]
    conflicts: bool

    def shows(self, event: FeedEvent) -> bool:
        return event.entity_type in self.entity_types and (self.conflicts or event.type not in CONFLICT_TYPES)

    def covers(self, other: FeedSight) -> bool:
        """Whether the reader may see all that another may."""
        return other.entity_types <= self.entity_types and (self.conflicts or not other.conflicts)

    @property
    def condition(self) -> Q:
        shown = Q(entity_type__in=self.entity_types)
        return shown if self.conflicts else shown & ~Q(type__in=CONFLICT_TYPES)


CONFLICT_TYPES = (EventType.CONFLICT_OPENED, EventType.CONFLICT_RESOLVED)


def feed_sight(user: Any) -> FeedSight:
    """Return what this user may see: who may view a record may read its events; nobody and the deactivated, nothing."""
    if user is None:
        return FeedSight(frozenset(), conflicts=False)
    known = (spec.entity_type for spec in registry.entities())
    types = frozenset(entity_type for entity_type in known if registry.may_act(user, "view", entity_type))
    return FeedSight(types, bool(user.has_perm("conflicts.view_syncconflict")))


@dataclass(frozen=True)
class FeedPage:
    """Some events in their order, and where to go on."""

    events: Sequence[FeedEvent]
    next_cursor: str
    has_more: bool


def read_feed(
    condition: Q, *, cursor: str = "", from_now: bool = False, limit: int, is_indexed: bool = False
) -> FeedPage:
    """Return the events after the cursor that fulfil the condition, oldest first; raises BadCursor and LostCursor.

    Without a cursor from the oldest that is kept, or `from_now`. Events before `next_cursor` that don't fulfil the
    condition are passed: with another condition, begin anew. Unless an index leads to the events asked for
    (`is_indexed`), a page ends after READ_AT_ONCE events, however few of them fulfil it.
    """
    is_unplaced = place_events(batches=1)
    position = _position(cursor) if cursor else 0
    # Read first: what is placed later comes with a later page, so that no event lies between this page and its cursor.
    last = FeedEvent.objects.filter(position__isnull=False).only("uid", "position").order_by("-position").first()
    if last is None or from_now:
        return FeedPage([], _cursor(last), has_more=False)
    end_of_feed = last.position or 0
    until = end_of_feed if is_indexed else min(end_of_feed, _before(position) + READ_AT_ONCE)
    following = FeedEvent.objects.filter(condition, position__gt=position, position__lte=until)
    found = list(following.order_by("position")[: limit + 1])
    if len(found) > limit:
        return FeedPage(found[:limit], _cursor(found[limit - 1]), has_more=True)
    if until == end_of_feed:
        # Where nothing came, nothing comes at once: the places are given by another, or wait for it.
        return FeedPage(found, _cursor(last), is_unplaced and end_of_feed > position)
    end = FeedEvent.objects.filter(position=until).only("uid", "position").first()
    if end is None:  # the retention came between
        raise LostCursor("expired")
    return FeedPage(found, _cursor(end), has_more=True)


def _before(position: int) -> int:
    """The place before the first event that follows this one, also where the feed begins later."""
    first = FeedEvent.objects.aggregate(first=Min("position"))["first"] if position == 0 else None
    return position if first is None else first - 1


def unknown_deletions_before() -> datetime | None:
    """Return the moment before which deletions may be forgotten; None where every event is kept."""
    first = FeedEvent.objects.filter(position__isnull=False).only("position", "at").order_by("position").first()
    if first is None or first.position == 1:
        return None
    # The newest event is kept however old it is, and a quiet time before the oldest says nothing.
    return min(first.at, sync_now() - timedelta(days=settings.HISTORY_DAYS))


def deleted_records(entity_type: str) -> QuerySet[FeedEvent]:
    """Return the last deletion of each record of a type that is deleted, oldest first, as long as kept."""
    model = registry.entity(entity_type).model
    deletions = FeedEvent.objects.filter(type=EventType.RECORD_DELETED)
    same = deletions.filter(entity_id=OuterRef("entity_id")).order_by().values("entity_id")
    # Subqueries, asked for the rows of one page alone. As `NOT EXISTS` they would be joins with all the records.
    found = deletions.filter(entity_type=entity_type).alias(
        restored=Subquery(model._default_manager.filter(pk=OuterRef("entity_id")).order_by().values("pk")),
        last=Subquery(same.annotate(last=Max("id")).values("last")),
    )
    return found.filter(restored=None, id=F("last")).order_by("at", "id")


# What an event says, in the feed as in a webhook.


def event_bodies(events: Collection[FeedEvent]) -> dict[int, dict[str, Any]]:
    """Return what events say, by their keys, in two queries for all."""
    contexts = Context.objects.in_bulk([event.context_id for event in events if event.context_id])
    metadata: dict[Any, Mapping[str, Any]] = {key: context.metadata for key, context in contexts.items()}
    ids = {context["user"] for context in metadata.values() if context.get("user")}
    ids |= {event.data["resolved_by"] for event in events if event.data.get("resolved_by")}
    users = get_user_model()._default_manager.in_bulk(list(ids)) if ids else {}
    names = {entity_type: _field_names(entity_type) for entity_type in {event.entity_type for event in events}}
    return {
        event.pk: _body(event, metadata.get(event.context_id, {}), users, names[event.entity_type]) for event in events
    }


def _body(
    event: FeedEvent, context: Mapping[str, Any], users: Mapping[Any, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    # Who resolved a conflict decided it; the sync only applied it.
    decided_by = {"user": event.data["resolved_by"]} if event.data.get("resolved_by") else {}
    # The sync alone changes its states, also where no history is written that would name it.
    by_itself = {"cause": "sync"} if event.type == EventType.SYNC_STATE_CHANGED else {}
    known = decided_by or context or by_itself
    is_conflict = event.type in CONFLICT_TYPES
    return {
        "id": str(event.uid),
        "type": event.type,
        "at": event.at,
        "entity_type": event.entity_type,
        "entity_id": str(event.entity_id),
        "cause": event_cause(known),
        "actor": actor_name(known, users) if known else "",
        "changes": {} if is_conflict else _changes(event, names),
        "conflict": {name: event.data.get(name) for name in CONFLICT_FIELDS} if is_conflict and event.data else None,
    }


CONFLICT_FIELDS = ("id", "kind", "conflict_fields", "resolution_type")
CAUSES = ("person", "api", "import", "sync", "undo", "other")


def event_cause(context: Mapping[str, Any]) -> str:
    """By which way something happened, one of CAUSES, from its history context."""
    cause = str(context.get("cause") or "")
    if cause:
        return cause if cause in CAUSES else "other"
    return "person" if context.get("user") else "other"


def _changes(event: FeedEvent, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found = {}
    for column, value in sorted(event.data.items()):
        if event.type == EventType.RECORD_CREATED:
            old, new = None, value
        elif event.type == EventType.RECORD_DELETED:
            old, new = value, None
        else:
            old, new = value
        found[names.get(column, column)] = {"old": old, "new": new}
    return found


def _field_names(entity_type: str) -> dict[str, str]:
    """By column the name that the API has for it: `organization` of `organization_id`."""
    if not registry.is_registered(entity_type):
        return {}
    return {str(field.column): field.name for field in registry.entity(entity_type).model._meta.concrete_fields}
