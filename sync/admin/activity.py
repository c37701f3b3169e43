"""The activity of records as lines and acts, each with its undo."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, Exists, F, ForeignKey, Max, Min, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.text import capfirst

from sync import attention, registry
from sync.choices import Cause, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection, TombstoneState
from sync.kernel import humanize
from sync.models import Decision, FieldMapping, SyncedModel, SyncMetadata, SyncQueue, Tombstone, decisions
from sync.models.decisions import CONFLICT_FOUND_KIND, REQUEST_KINDS
from sync.operations.decision_undo import is_undoable, may_undo_decisions
from sync.reconcile.field_values import to_json_value
from sync.records import authors
from sync.records.tombstones import deleted_names
from sync.state.record_fields import display_of

MOST_LINES = 50
# A value's characters on a line.
MAX_SHOWN = 80

# The kind of a decision about an applied resolution.
_RESOLVED = "conflict_settled"

_ABOUT_CONFLICTS = (CONFLICT_FOUND_KIND, _RESOLVED)

# The kind of an unsaved decision about an edit that waits to be sent.
WAITING = "waiting"

# What an edit says whose job failed for good.
NOT_SYNCED = "Not synced: its job failed"

# The directions that send NPD's edits.
SENDING_DIRECTIONS = (SyncDirection.BIDIRECTIONAL, SyncDirection.NPD_TO_MONDAY)

# The icon and its label, by the kind of a decision.
_MARKS = {
    "push": ("arrow_upward", "Sent to Monday"),
    "pull": ("arrow_downward", "Updated from Monday"),
    "create": ("add_circle", "Created"),
    "import": ("upload_file", "Imported"),
    "link": ("link", "Linked"),
    "unlinked": ("link_off", "Unlinked"),
    "undo": ("undo", "Undo"),
    "blocked": ("front_hand", "Blocked"),
    "approval": ("gpp_maybe", "Approvals"),
    "removed": ("delete", "Gone from the board"),
    "delete": ("delete", "Deleted"),
    "archived": ("delete", "Archived on Monday"),
    "deleted": ("delete", "Deleted on Monday"),
    "restored": ("undo", "Restored"),
    WAITING: ("schedule", "Not synced yet"),
    "pause": ("pause_circle", "Paused or resumed"),
    "stop": ("block", "Stopped"),
    "stop_end": ("check_circle", "Stop ended"),
    "column": ("view_column", "Board changed"),
    "people": ("group", "Colleagues"),
    CONFLICT_FOUND_KIND: ("call_split", "Conflict found"),
    "conflict_chosen": ("call_split", "Resolution chosen"),
    _RESOLVED: ("call_split", "Resolved"),
    "conflict_over": ("call_split", "Conflict closed"),
    "conflict_returned": ("call_split", "Resolution not applied"),
    "conflict_undo": ("undo", "Undo of a resolution"),
}


def mark_of(row: Decision) -> tuple[str, str]:
    if row.is_refill:
        return "view_column", "New column filled"
    if row.kind == "removed" and row.reason in _MARKS:
        return _MARKS[row.reason]
    other = ("call_split", "Conflict") if "conflict" in row.kind else ("sync", "Sync")
    return _MARKS.get(row.kind, other)


def actor_of(row: Decision) -> str:
    """Return who did something; for a conflict, the person who requested it."""
    requested_by = str(row.values.get("by") or "") if row.kind in REQUEST_KINDS else ""
    return requested_by or row.actor or authors.SYNC_ACTOR


def _act_of(row: Decision) -> tuple[str, ...]:
    """Return a key that the decisions of one act on one record share; empty for an act of its own."""
    about = (row.entity_type, str(row.subject), row.actor)
    if row.is_of_new_item:
        return (*about, "create", str(row.batch_id or row.pk))
    if not row.key:
        return ()
    # Several passes may send the values of one save.
    if row.kind == "push" and (edited_at := row.cause.get("npd", {}).get("at")):
        return (*about, str(edited_at))
    return (*about, row.kind, str(row.batch_id or row.at.replace(microsecond=0)))


@dataclass(frozen=True)
class UndoOffer:
    """The undo of an act."""

    url: str = ""
    label: str = ""  # of its link
    is_undone: bool = False
    conflict_url: str = ""  # the conflict's page, which has the undo of its resolution


NOTHING_TO_UNDO = UndoOffer()


def batch_undo_url(batch_id: UUID) -> str:
    """Return the page that undoes a whole pass, import or undo."""
    return reverse("admin:sync_decision_undo_batch", args=[batch_id])


class UndoOffers:
    """The undos that a reader may use, for decisions of one page."""

    def __init__(self, decisions: Sequence[Decision], reader: Any) -> None:
        self._reader = reader
        self._decisions = decisions
        self._sees_conflicts = registry.may_view(reader, "conflicts.syncconflict")

    @cached_property
    def _open_conflicts(self) -> set[str]:
        keys = {
            row.cause["conflict"] for row in self._decisions if row.kind in _ABOUT_CONFLICTS and "conflict" in row.cause
        }
        waiting = attention.waiting(kinds=(attention.Kind.CONFLICT, attention.Kind.DUPLICATE))
        return set(waiting.filter(source__in=keys).values_list("source", flat=True))

    @cached_property
    def _undone(self) -> set[int]:
        return _undone_ids(self._decisions)

    def of(self, rows: Sequence[Decision]) -> UndoOffer:
        """Return the undo of an act with these decisions."""
        for row in rows if self._sees_conflicts else ():
            if row.kind in _ABOUT_CONFLICTS and "conflict" in row.cause:
                url = registry.page_url("conflicts_syncconflict_screen", row.cause["conflict"])
                if row.cause["conflict"] in self._open_conflicts:
                    return UndoOffer(conflict_url=url, label="See conflict")
                # The answer about a whole record can't be undone by a button.
                return (
                    UndoOffer(conflict_url=url, label="Undo…") if row.kind == _RESOLVED and row.key else NOTHING_TO_UNDO
                )
        moves = [row for row in rows if is_undoable(row)]
        if not moves or not may_undo_decisions(self._reader, moves):
            return NOTHING_TO_UNDO
        keys = [row.pk for row in moves if row.pk not in self._undone]
        if not keys:
            return UndoOffer(is_undone=True)
        label = "Redo" if any(row.undoes is not None for row in moves) else "Undo"
        return UndoOffer(reverse("admin:sync_decision_undo", args=[",".join(map(str, keys))]), label)


def _undone_ids(decisions: Sequence[Decision]) -> set[int]:
    """Return the decisions that were undone, by an undo that was not undone itself."""
    undos: dict[int, list[int]] = {}
    rows = Decision.objects.filter(entity_id__in={row.entity_id for row in decisions}, undoes__isnull=False)
    for pk, undoes in rows.order_by("pk").values_list("pk", "undoes"):
        undos.setdefault(undoes or 0, []).append(pk)

    def is_in_force(pk: int) -> bool:
        return not any(is_in_force(undo) for undo in undos.get(pk, ()))

    return {row.pk for row in decisions if not is_in_force(row.pk)}


@dataclass(frozen=True)
class ActivityLine:
    """A field's changed value, or another event in words."""

    line_id: str
    at: datetime
    actor: str
    icon: str
    icon_label: str
    words: str = ""  # the event; empty for a changed value
    field: str = ""  # the label of the field that the words are about
    label: str = ""  # the label of the changed field
    before: str = ""
    after: str = ""
    sentence: str = ""  # why and how the value was synced
    why: Sequence[str] = ()  # the edit that led to it, and the rule
    waits: str = ""  # that an edit waits to be sent, or has failed
    act: tuple[str, ...] = ()  # equal for the lines of one act; empty for an act of its own
    row: Decision | None = None
    offer: UndoOffer = NOTHING_TO_UNDO

    @property
    def shown_before(self) -> str:
        return _part_that_differs(self.before, self.after)

    @property
    def shown_after(self) -> str:
        return _part_that_differs(self.after, self.before)

    @property
    def initials(self) -> str:
        """The actor in two letters; empty if no user."""
        words = [] if self.actor in authors.NOBODY else self.actor.removesuffix(" on Monday").split()
        letters = "".join(word[0] for word in words if word[0].isalnum())
        return (letters[0] + letters[-1] if len(letters) > 1 else letters).upper()


def _part_that_differs(text: str, other: str) -> str:
    pairs = enumerate(zip(text, other, strict=False))
    same = next((place for place, (letter, others) in pairs if letter != others), min(len(text), len(other)))
    # Keep some of the common beginning as context.
    start = max(0, same - MAX_SHOWN // 4) if len(text) > MAX_SHOWN else 0
    return ("…" if start else "") + humanize.shorten(text[start:], MAX_SHOWN)


@dataclass(frozen=True)
class Act:
    """The lines of one act on a record."""

    lines: Sequence[ActivityLine]
    offer: UndoOffer = NOTHING_TO_UNDO

    @property
    def line(self) -> ActivityLine:
        """The main line: the creation of an item comes before its values."""
        return next((line for line in self.lines if not line.label), self.lines[0])

    @property
    def others(self) -> int:
        return len(self.lines) - 1

    @property
    def also(self) -> str:
        """The other changed field, or the number of other changed fields."""
        if self.others == 1:
            return next(line.label or line.field for line in self.lines if line is not self.line)
        return f"{self.others} more" if self.others else ""

    @property
    def fields(self) -> str:
        """The labels of the fields that the act's words are about, if there are several."""
        labels = [line.field for line in self.lines if line.field]
        return humanize.join_first(labels) if len(labels) > 1 else ""

    @property
    def waits(self) -> str:
        return next((line.waits for line in self.lines if line.waits), "")

    @property
    def waits_colour(self) -> str:
        return "bad" if self.waits == NOT_SYNCED else "wait"

    @property
    def why(self) -> Sequence[str]:
        return list(dict.fromkeys(text for line in self.lines for text in line.why))


def acts_of(lines: Sequence[ActivityLine], labels: Sequence[str], offers: UndoOffers) -> list[Act]:
    """Return the acts of these lines, newest first, each with its fields in the order of `labels`."""
    place = {label: number for number, label in enumerate(labels)}
    groups: dict[tuple[object, ...], list[ActivityLine]] = {}
    for line in sorted(lines, key=lambda line: line.at, reverse=True):
        key: tuple[object, ...] = line.act or (line.line_id,)
        about = line.label or line.field
        # Repeated saves of one field in a transaction are separate acts.
        while any(about == (other.label or other.field) for other in groups.get(key, ())):
            key = (*key, about)
        groups.setdefault(key, []).append(line)
    acts = []
    for group in groups.values():
        group.sort(key=lambda line: place.get(line.label or line.field, len(place)))
        acts.append(Act(group, offers.of([line.row for line in group if line.row is not None])))
    return acts


def lines_of(
    rows: Sequence[Decision], labels: Mapping[tuple[str, str], str], offers: UndoOffers
) -> Iterator[ActivityLine]:
    """Yield the lines of these decisions; `labels` are the fields' labels by type of records and key."""
    for row in rows:
        icon, icon_label = mark_of(row)
        label = labels.get((row.entity_type, row.key), row.key.replace("_", " ").capitalize())
        before, after = values_of(row)
        has_values = row.kind == _RESOLVED or not row.values.keys().isdisjoint(("before", "after"))
        is_move = bool(row.key) and not row.is_refill and has_values
        sentence = humanize.without_request_id(row.sentence)
        if deletion := row.cause.get("deletion"):
            sentence = f"{deletion} {sentence}"
        yield ActivityLine(
            line_id=f"d{row.pk or id(row)}",
            at=row.happened_at,
            actor=actor_of(row),
            icon=icon,
            icon_label=icon_label,
            words="" if is_move else sentence,
            field=label if row.key and not is_move else "",
            label=label if is_move else "",
            before=before if is_move else "",
            after=after if is_move else "",
            sentence=sentence if is_move else "",
            why=decisions.reasons_of(row),
            waits=row.values.get("waits", ""),
            act=_act_of(row),
            row=row,
            offer=offers.of([row]),
        )


def values_of(row: Decision) -> tuple[str, str]:
    """Return the value before and after; for a resolution, the overwritten values of one or both sides."""
    if row.kind != _RESOLVED:
        return str(row.values.get("before") or ""), str(row.values.get("after") or "")
    result = str(row.values.get("result") or "")
    sides = dict.fromkeys(str(row.values.get(side) or "(empty)") for side in ("npd", "monday"))
    return " / ".join(value for value in sides if value != result), result


def board_mappings() -> QuerySet[FieldMapping]:
    types = [spec.entity_type for spec in registry.entities()]
    rows = FieldMapping.objects.filter(link__entity_type__in=types).select_related("link")
    return rows.order_by("position", "pk")


def sent_labels(mappings: Iterable[FieldMapping]) -> dict[tuple[str, str], str]:
    """Return the labels of the database columns that are sent to a board, by type of records and column."""
    labels: dict[tuple[str, str], str] = {}
    for mapping in mappings:
        if mapping.column_id and mapping.direction in SENDING_DIRECTIONS:
            model = registry.entity(mapping.link.entity_type).model
            columns = authors.column_names(model, mapping.fields)
            labels |= {(mapping.link.entity_type, column): mapping.label for column in columns}
    return labels


@dataclass(frozen=True)
class PendingSave:
    """Whether a record's saves still wait to be sent, or their job failed for good."""

    since: datetime
    has_failed: bool

    @property
    def words(self) -> str:
        return NOT_SYNCED if self.has_failed else "Pending"

    def is_later(self, event: Any) -> bool:
        """Whether a person's change came after the last sync and so is still to be sent."""
        return event.pgh_created_at > self.since and authors.context_of(event).get("cause") != "sync"


@dataclass(frozen=True)
class WaitingEdit:
    """An edit of a record that waits to be sent."""

    entity_type: str
    entity_id: UUID
    at: datetime
    who: str
    columns: Sequence[str]  # those that it changed; none if it created the record
    words: str  # its status
    group_id: str  # as in `Edit`


def pending_saves(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[registry.RecordKey, PendingSave]:
    """Return the pending saves of these records, or of those with the newest jobs; one query."""
    # Each status separately, because each has its own index.
    is_left = Q(status=QueueStatus.PENDING) | Q(status=QueueStatus.IN_PROGRESS) | Q(status=QueueStatus.FAILED)
    about = Q(entity_id__isnull=False) if ids is None else Q(entity_id__in=ids)
    jobs = SyncQueue.objects.alias(saves=F("causes").bitand(int(Cause.SAVE)))
    jobs = jobs.filter(is_left, about, direction=QueueDirection.TO_MONDAY, saves__gt=0)
    # For a deleted record only its deletion waits.
    deleted = Tombstone.objects.filter(entity_type=OuterRef("entity_type"), entity_id=OuterRef("entity_id"))
    jobs = jobs.exclude(Exists(deleted.exclude(state=TombstoneState.RESTORED)))
    states = SyncMetadata.objects.filter(entity_type=OuterRef("entity_type"), system="monday")
    states = states.filter(entity_id=Cast(OuterRef("entity_id"), TextField()))
    records = jobs.annotate(synced_at=Subquery(states.values("last_successful_sync")))
    rows = records.values("entity_type", "entity_id", "synced_at").annotate(
        first=Min("created_at"), newest=Max("pk"), alive=Count("pk", filter=~Q(status=QueueStatus.FAILED))
    )
    saves: dict[Any, PendingSave] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        since = max(since, row["synced_at"] or since)
        saves[row["entity_type"], row["entity_id"]] = PendingSave(since, has_failed=not row["alive"])
    return saves


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[WaitingEdit]:
    """Return the edits that wait to be sent, newest first, of these records or of those with the newest jobs.

    Of each record those among its newest changes; two queries, and one for each type.
    """
    saves = pending_saves(ids, limit=limit)
    histories = []
    for spec in registry.entities():
        history = authors.latest_events(
            spec.model, [key for entity_type, key in saves if entity_type == spec.entity_type]
        )
        for key, events in history.items():
            if events[0].sync_enabled and events[0].sync_direction in SENDING_DIRECTIONS:
                histories.append((spec, key, events))
    users = authors.users_of(event for _, _, events in histories for event in events)
    edits = []
    for spec, key, events in histories:
        save = saves[spec.entity_type, key]
        columns = [str(field.attname) for field in registry.own_fields(spec.model)]
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if not save.is_later(event) or (before is None and event.pgh_label != "insert"):
                continue
            context = authors.context_of(event)
            changed = [name for name in columns if before and getattr(event, name) != getattr(before, name)]
            edits.append(
                WaitingEdit(
                    entity_type=spec.entity_type,
                    entity_id=key,
                    at=event.pgh_created_at,
                    who=authors.actor_name(context, users),
                    columns=changed,
                    words=save.words,
                    group_id=authors.group_id_of(context, event.pgh_context_id),
                )
            )
    return sorted(edits, key=lambda edit: edit.at, reverse=True)


def activity_of(record: SyncedModel, *, reader: Any) -> dict[str, Any]:
    """Return the context of a record's activity: its newest decisions, and the edits in NPD without a decision."""
    mappings = list(board_mappings().filter(link__entity_type=record.entity_type()))
    keys, labels = _names_of_fields(record, mappings)
    # A choice that a later decision about its result replaces is folded without a fold_id.
    decisions = Decision.objects.filter(entity_type=record.entity_type(), entity_id=record.pk)
    rows = list(decisions.exclude(folded=True, fold_id=None)[:MOST_LINES])
    offers = UndoOffers(rows, reader)
    edits = _Edits(record, keys, rows, {column for _, column in sent_labels(mappings)})
    lines = edits.lines(labels)
    sent_of_batch = edits.sent_of_batch
    visible_rows = [row for row in rows if row.pk not in sent_of_batch]
    typed_labels = {(record.entity_type(), key): label for key, label in labels.items()}
    for row, line in zip(visible_rows, lines_of(visible_rows, typed_labels, offers), strict=True):
        edit = edits.sent.get(row.pk)
        lines.append(edits.dated_like(edit, line) if edit else line)
    opens = reader.has_perm("sync.view_decision")
    return {
        "acts": acts_of(lines, list(labels.values()), offers)[:MOST_LINES],
        "all_url": f"{reverse('admin:sync_decision_changelist')}?q={record.pk}" if opens else "",
    }


def _names_of_fields(record: SyncedModel, mappings: Iterable[FieldMapping]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the keys of the record's own fields by field name, and the labels by key."""
    keys: dict[str, str] = {}
    labels: dict[str, str] = {}
    for mapping in mappings:
        keys |= dict.fromkeys(mapping.fields, mapping.key)
        labels[mapping.key] = mapping.label
    for own_field in registry.own_fields(type(record)):
        if own_field.name not in keys:
            keys[own_field.name] = own_field.name
            labels[own_field.name] = capfirst(str(own_field.verbose_name))
    return keys, labels


class _Edits:
    """The newest changes of a record's row, and which of them have a decision."""

    def __init__(
        self, record: SyncedModel, keys: Mapping[str, str], decisions: Sequence[Decision], sent: Set[str]
    ) -> None:
        self._keys = keys
        self._columns_sent = sent
        self._wait = _wait_of(record)
        columns = [column for column in record._meta.concrete_fields if not column.primary_key]
        self._fields: list[Any] = [column for column in columns if column.name not in record.BOOKKEEPING]
        # One more than is shown, because the changes of an event are the differences to the one before.
        events = authors.latest_events(type(record), [record.pk], limit=MOST_LINES + 1).get(record.pk, [])
        pairs = self._pairs = list(zip(events, [*events[1:], None], strict=False))
        users = authors.users_of(events)
        self.actors = {event.pgh_id: authors.actor_name(authors.context_of(event), users) for event in events}
        self._texts = _Texts(record, self._fields, pairs)
        self._batches = {str(row.batch_id) for row in decisions if row.batch_id}
        at_time = {event.pgh_created_at.isoformat(): (event, before) for event, before in pairs if before}
        # The edits whose values were sent unchanged, by the decision about sending them.
        self.sent: dict[int, Any] = {}
        for row in decisions:
            edited_at = str(row.cause.get("npd", {}).get("at", "")) if row.kind == "push" else ""
            event, before = at_time.get(edited_at, (None, None))
            if event is not None and _was(before, [name for name, key in keys.items() if key == row.key], row.values):
                self.sent[row.pk] = event
        self._sent_keys = {(row.key, self.sent[row.pk].pgh_id) for row in decisions if row.pk in self.sent}

    @property
    def sent_of_batch(self) -> set[int]:
        """The decisions about sending the changes of an import or an undo, which has its own decisions."""
        return {pk for pk, event in self.sent.items() if _batch_of(event) in self._batches}

    def act_of(self, event: Any) -> tuple[str, ...]:
        return (self.actors[event.pgh_id], event.pgh_created_at.isoformat())

    def dated_like(self, event: Any, line: ActivityLine) -> ActivityLine:
        return replace(line, at=event.pgh_created_at, actor=self.actors[event.pgh_id], act=self.act_of(event))

    def lines(self, labels: Mapping[str, str]) -> list[ActivityLine]:
        """Return a line for each field that an edit changed, unless a decision is about it."""
        lines = []
        for event, before in self._pairs:
            if _batch_of(event) in self._batches:
                continue
            if before is not None:
                lines += [
                    self._line_of_field(event, before, field, labels)
                    for field in self._fields
                    if getattr(event, field.attname) != getattr(before, field.attname)
                    and (self._keys.get(field.name), event.pgh_id) not in self._sent_keys
                ]
            elif event.pgh_label == "insert":
                mark = (self.actors[event.pgh_id], *_MARKS["create"])
                line = ActivityLine(f"e{event.pgh_id}", event.pgh_created_at, *mark, words="Created")
                lines.append(replace(line, waits=self._waits(event, *self._columns_sent)))
        return lines

    def _line_of_field(self, event: Any, before: Any, changed: Any, labels: Mapping[str, str]) -> ActivityLine:
        actor = self.actors[event.pgh_id]
        mark = ("sync", "Sync") if actor == authors.SYNC_ACTOR else ("edit", "Edited in NPD")
        line = ActivityLine(f"e{event.pgh_id}-{changed.name}", event.pgh_created_at, actor, *mark)
        if changed.name == "sync_enabled":
            return replace(line, words=f"Sync turned {'on' if event.sync_enabled else 'off'}")
        key = self._keys.get(changed.name, "")
        is_whole = list(self._keys.values()).count(key) == 1
        was, now = self._texts.of_change(changed, before, event)
        return replace(
            line,
            label=labels[key] if is_whole else capfirst(str(changed.verbose_name)),
            before=was,
            after=now,
            waits=self._waits(event, changed.attname),
            act=self.act_of(event),
        )

    def _waits(self, event: Any, *columns: str) -> str:
        """Return that an edit of these columns waits to be sent; empty if it doesn't."""
        if self._wait is None or not self._wait.is_later(event) or self._columns_sent.isdisjoint(columns):
            return ""
        return self._wait.words


def _wait_of(record: SyncedModel) -> PendingSave | None:
    """Return the wait of the record's edits; None if they aren't sent, or are sent already."""
    may_wait = record.sync_status in (RecordSyncStatus.PENDING, RecordSyncStatus.CONFLICT)
    if not may_wait or record.sync_direction not in SENDING_DIRECTIONS:
        return None
    return pending_saves([record.pk], limit=1).get((record.entity_type(), record.pk))


def _batch_of(event: Any) -> str:
    return str(authors.context_of(event).get("batch", ""))


def _was(event: Any, names: Sequence[str], sent: Mapping[str, Any]) -> bool:
    """Whether a row had in these fields the value before that a decision about sending has."""
    columns = {field.name: field.attname for field in event._meta.concrete_fields}
    values = {name: to_json_value(getattr(event, columns[name])) for name in names if name in columns}
    if "raw_before" not in sent:
        # Nothing is stored for an empty cell.
        return bool(values) and not sent.get("before") and not any(values.values())
    return values == {key: raw.get("id") if isinstance(raw, dict) else raw for key, raw in sent["raw_before"].items()}


class _Texts:
    """A record's values in its history, as texts."""

    def __init__(self, record: SyncedModel, fields: Sequence[Any], pairs: Sequence[tuple[Any, Any]]) -> None:
        self._record = record
        self._display = display_of(record) if pairs else None
        self._related: dict[str, dict[Any, str]] = {}
        events = [event for pair in pairs for event in pair if event is not None]
        for relation in fields:
            if isinstance(relation, ForeignKey):
                model: Any = relation.related_model
                ids = {getattr(event, relation.attname) for event in events} - {None}
                targets = model._default_manager.in_bulk(list(ids)) if ids else {}
                deleted = deleted_names(model.entity_type(), ids - targets.keys())
                self._related[relation.attname] = deleted | {key: str(target) for key, target in targets.items()}

    def of_change(self, field: Any, before: Any, after: Any) -> tuple[str, str]:
        """Return a field's values in two rows: as typed if only the spelling differs."""
        was = self._text(field, before)
        now = self._text(field, after)
        if self._display is None or field.choices or not isinstance(getattr(after, field.attname), str):
            return was, now
        spelled_was = self._display.spelling(self._record, field.name, was)
        spelled_now = self._display.spelling(self._record, field.name, now)
        return (was, now) if spelled_was == spelled_now else (spelled_was, spelled_now)

    def _text(self, field: Any, event: Any) -> str:
        value = getattr(event, field.attname)
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(field, ForeignKey):
            return self._related[field.attname].get(value, "one that was deleted") if value else ""
        if isinstance(field, ArrayField):
            return ", ".join(value or [])
        if field.choices:
            return str(dict(field.flatchoices).get(value, value))
        return "" if value is None else str(value)
