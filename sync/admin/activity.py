"""The activity of records as acts of several entries, each with its undo."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, Exists, F, ForeignKey, Max, Min, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from sync import attention, registry
from sync.choices import Cause, QueueDirection, QueueStatus, SyncDirection, TombstoneState
from sync.kernel import humanize
from sync.models import Decision, FieldMapping, SyncedModel, SyncMetadata, SyncQueue, Tombstone, decisions
from sync.models.decisions import CONFLICT_FOUND_KIND, REQUEST_KINDS
from sync.operations.decision_undo import is_undoable, may_undo_decisions
from sync.reconcile.field_values import to_json_value
from sync.records import authors
from sync.records.tombstones import deleted_names
from sync.state.record_fields import display_of

MOST_ENTRIES = 50
# A value's characters on a line.
MAX_SHOWN = 80

# The kind of a decision about an applied resolution.
_RESOLVED = "conflict_settled"

# The kind of an unsaved entry about an edit in NPD that no stored entry is about.
EDIT = "edit"

# The kind of an unsaved entry about the edits of a record that wait to be sent.
WAITING = "waiting"

# What an edit says that waits to be sent, or whose job failed for good.
PENDING = "Pending"
NOT_SYNCED = "Not synced: its job failed"

# The directions that send NPD's edits.
SENDING_DIRECTIONS = (SyncDirection.BIDIRECTIONAL, SyncDirection.NPD_TO_MONDAY)

# The icon and its label, by the kind of an entry.
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
    EDIT: ("edit", "Edited in NPD"),
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


def _mark_of(row: Decision) -> tuple[str, str]:
    if row.is_refill:
        return "view_column", "New column filled"
    if row.kind == "removed" and row.reason in _MARKS:
        return _MARKS[row.reason]
    if row.kind in _MARKS and not (row.kind == EDIT and row.actor == authors.SYNC_ACTOR):
        return _MARKS[row.kind]
    return ("call_split", "Conflict") if "conflict" in row.kind else ("sync", "Sync")


def actor_of(row: Decision) -> str:
    """Return who did something; for a conflict, the person who requested it."""
    requested_by = str(row.values.get("by") or "") if row.kind in REQUEST_KINDS else ""
    return requested_by or row.actor or authors.SYNC_ACTOR


def _act_of(row: Decision) -> tuple[object, ...]:
    """Return a key that the entries of one act on one record share; empty for an act of its own."""
    about = (row.entity_type, row.subject, row.actor)
    if row.is_of_new_item:
        return (*about, "create", row.batch_id or row.pk)
    if not row.key:
        return ()
    # Several passes may send the values of one save.
    edited_at = row.at.isoformat() if row.kind == EDIT else row.cause.get("npd", {}).get("at")
    if row.kind in (EDIT, "push") and edited_at:
        return (*about, edited_at)
    return (*about, row.kind, row.batch_id or row.at.replace(microsecond=0))


@dataclass(frozen=True)
class UndoOffer:
    """A link that undoes an act or leads to its conflict, or that the act was undone."""

    url: str = ""
    label: str = ""
    is_undone: bool = False


NOTHING_TO_UNDO = UndoOffer()


def batch_undo_url(batch_id: UUID, back_url: str = "") -> str:
    """Return the page that undoes a whole pass, import or undo, and then goes back to `back_url`."""
    query = {"next": back_url} if back_url else None
    return reverse("admin:sync_decision_undo_batch", args=[batch_id], query=query)


class _UndoOffers:
    """The undos of a page's entries that its reader may use."""

    def __init__(self, rows: Sequence[Decision], request: HttpRequest) -> None:
        self._reader = request.user
        self._next = {"next": request.get_full_path()}
        self._sees_conflicts = registry.may_view(request.user, "conflicts.syncconflict")
        conflicts = {conflict for row in rows if (conflict := _conflict_of(row))}
        waiting = attention.waiting(kinds=(attention.Kind.CONFLICT, attention.Kind.DUPLICATE))
        self._open_conflicts = set(waiting.filter(source__in=conflicts).values_list("source", flat=True))
        self._undone = _undone_ids([row for row in rows if is_undoable(row)])

    def of(self, rows: Sequence[Decision]) -> UndoOffer:
        """Return the undo of an act with these entries."""
        for row in rows if self._sees_conflicts else ():
            if conflict := _conflict_of(row):
                url = registry.page_url("conflicts_syncconflict_screen", conflict)
                if conflict in self._open_conflicts:
                    return UndoOffer(url, "See conflict")
                # The answer about a whole record can't be undone by a button.
                return UndoOffer(url, "Undo…") if row.kind == _RESOLVED and row.key else NOTHING_TO_UNDO
        moves = [row for row in rows if is_undoable(row)]
        if not moves or not may_undo_decisions(self._reader, moves):
            return NOTHING_TO_UNDO
        keys = [str(row.pk) for row in moves if row.pk not in self._undone]
        if not keys:
            return UndoOffer(is_undone=True)
        label = "Redo…" if any(row.undoes is not None for row in moves) else "Undo…"
        return UndoOffer(reverse("admin:sync_decision_undo", args=[",".join(keys)], query=self._next), label)


def _conflict_of(row: Decision) -> str:
    """Return the id of the conflict that the entry found or settled, or an empty text."""
    return str(row.cause.get("conflict", "")) if row.kind in (CONFLICT_FOUND_KIND, _RESOLVED) else ""


def _undone_ids(rows: Sequence[Decision]) -> set[int]:
    """Return the entries that were undone, by an undo that was not undone itself."""
    undos: dict[int, list[int]] = {}
    stored = Decision.objects.filter(entity_id__in={row.entity_id for row in rows}, undoes__isnull=False)
    for pk, undoes in stored.order_by("pk").values_list("pk", "undoes"):
        undos.setdefault(undoes or 0, []).append(pk)

    def is_in_force(pk: int) -> bool:
        return not any(is_in_force(undo) for undo in undos.get(pk, ()))

    return {row.pk for row in rows if not is_in_force(row.pk)}


@dataclass(frozen=True)
class ActivityLine:
    """An entry as a line: a field's changed value, or another event in words."""

    row: Decision
    label: str  # of its field; empty if it is about the record
    is_value: bool
    sentence: str  # the event in words, or why and how the value was synced
    before: str
    after: str
    offer: UndoOffer

    @property
    def line_id(self) -> str:
        """Its id on the page, the same when the page is read again."""
        return f"d{self.row.pk}" if self.row.pk else f"e{self.row.values['event']}-{self.row.key}"

    @property
    def at(self) -> datetime:
        return self.row.happened_at

    @property
    def icon(self) -> str:
        return _mark_of(self.row)[0]

    @property
    def icon_label(self) -> str:
        return _mark_of(self.row)[1]

    @property
    def actor(self) -> str:
        return actor_of(self.row)

    @property
    def waits(self) -> str:
        """That the edit waits to be sent, or has failed; empty otherwise."""
        return str(self.row.values.get("waits", ""))

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

    row: Decision  # its first entry
    lines: Sequence[ActivityLine]
    offer: UndoOffer

    @property
    def line(self) -> ActivityLine:
        """The main line: the creation of an item comes before its values."""
        return next((line for line in self.lines if not line.is_value), self.lines[0])

    @property
    def others(self) -> int:
        return len(self.lines) - 1

    @property
    def also(self) -> str:
        """The other changed field, or the number of other changed fields."""
        if self.others == 1:
            return next(line.label for line in self.lines if line is not self.line)
        return f"{self.others} more" if self.others else ""

    @property
    def fields(self) -> str:
        """The labels of the fields that the act's words are about, if there are several."""
        labels = [line.label for line in self.lines if line.label and not line.is_value]
        return humanize.join_first(labels) if len(labels) > 1 else ""

    @property
    def waits(self) -> str:
        return next((line.waits for line in self.lines if line.waits), "")

    @property
    def waits_colour(self) -> str:
        return "bad" if self.waits == NOT_SYNCED else "wait"

    @property
    def why(self) -> Sequence[str]:
        """The edits that led to it, and the rules."""
        return list(dict.fromkeys(text for line in self.lines for text in decisions.reasons_of(line.row)))


def acts_of(rows: Sequence[Decision], labels: Mapping[tuple[str, str], str], request: HttpRequest) -> list[Act]:
    """Return the acts of a page's entries, in the order of their first ones; `labels` are as in `labels_of`."""
    offers = _UndoOffers(rows, request)
    groups: dict[tuple[object, ...], list[ActivityLine]] = {}
    for row in rows:
        line = _line_of(row, labels, offers.of([row]))
        key = _act_of(row) or (line.line_id,)
        # Repeated saves of one field in a transaction are separate acts.
        while any(line.label == other.label for other in groups.get(key, ())):
            key = (*key, line.label)
        groups.setdefault(key, []).append(line)
    place = {label: number for number, label in enumerate(labels.values())}
    acts = []
    for lines in groups.values():
        group_rows = [line.row for line in lines]
        in_order = sorted(lines, key=lambda line: place.get(line.label, len(place)))
        acts.append(Act(group_rows[0], in_order, offers.of(group_rows)))
    return acts


def _line_of(row: Decision, labels: Mapping[tuple[str, str], str], offer: UndoOffer) -> ActivityLine:
    has_values = row.kind == _RESOLVED or not row.values.keys().isdisjoint(("before", "after"))
    sentence = humanize.without_request_id(row.sentence)
    if deletion := row.cause.get("deletion"):
        sentence = f"{deletion} {sentence}"
    before = str(row.values.get("before") or "")
    after = str(row.values.get("after") or "")
    if row.kind == _RESOLVED:
        # The overwritten values of one or both sides.
        after = str(row.values.get("result") or "")
        sides = dict.fromkeys(str(row.values.get(side) or "(empty)") for side in ("npd", "monday"))
        before = " / ".join(value for value in sides if value != after)
    return ActivityLine(
        row=row,
        label=labels.get((row.entity_type, row.key), row.key.replace("_", " ").capitalize()),
        is_value=bool(row.key) and not row.is_refill and has_values,
        sentence=sentence,
        before=before,
        after=after,
        offer=offer,
    )


def board_mappings() -> QuerySet[FieldMapping]:
    types = [spec.entity_type for spec in registry.entities()]
    rows = FieldMapping.objects.filter(link__entity_type__in=types).select_related("link")
    return rows.order_by("position", "pk")


def labels_of(mappings: Iterable[FieldMapping]) -> dict[tuple[str, str], str]:
    """Return the fields' labels by type of records and key: first the mapped fields in the order of their columns."""
    labels = {(mapping.link.entity_type, mapping.key): mapping.label for mapping in mappings}
    for spec in registry.entities():
        for field in _edited_fields(spec.model):
            labels.setdefault((spec.entity_type, field.name), capfirst(str(field.verbose_name)))
    return labels


def sent_labels(mappings: Iterable[FieldMapping]) -> dict[tuple[str, str], str]:
    """Return the labels of the fields that are sent to a board, by type of records and the field's name."""
    return {
        (mapping.link.entity_type, name): mapping.label
        for mapping in mappings
        if mapping.column_id and mapping.direction in SENDING_DIRECTIONS
        for name in mapping.fields
    }


def _edited_fields(model: type[SyncedModel]) -> list[Any]:
    """Return the fields that a record's history has."""
    fields: Iterable[Any] = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and field.name not in model.BOOKKEEPING]


# By record: edits after this moment wait to be sent; and whether they are pending or their job failed, in words.
PendingSaves = Mapping[registry.RecordKey, tuple[datetime, str]]


def pending_saves(ids: Sequence[UUID] | None = None, *, limit: int) -> PendingSaves:
    """Return the saves to be sent of these records, or of those with the newest jobs; one query."""
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
    saves: dict[Any, tuple[datetime, str]] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        since = max(since, row["synced_at"] or since)
        saves[row["entity_type"], row["entity_id"]] = (since, PENDING if row["alive"] else NOT_SYNCED)
    return saves


@dataclass(frozen=True)
class Edit:
    """A change of a record's row in NPD."""

    entity_type: str
    entity_id: UUID
    at: datetime
    who: str
    event: Any  # of the record's history
    before: Any | None  # the event before; None if the edit created the record
    fields: Sequence[Any]  # those that it changed; none if it created the record
    group_id: str  # as in `authors.LastEdit`
    waits: str  # that it waits to be sent, if its fields are sent at all; empty if it doesn't


def edits_of(
    keys: Collection[registry.RecordKey], saves: PendingSaves, *, limit: int = authors.MAX_EVENTS
) -> list[Edit]:
    """Return the edits among the newest events of these records' history; one query for each type, and one."""
    histories: dict[registry.RecordKey, list[Any]] = {}
    for spec in registry.entities():
        ids = [entity_id for entity_type, entity_id in keys if entity_type == spec.entity_type]
        events_by_id = authors.latest_events(spec.model, ids, limit=limit)
        histories |= {(spec.entity_type, entity_id): events for entity_id, events in events_by_id.items()}
    users = authors.users_of(event for events in histories.values() for event in events)
    edits = []
    for (entity_type, entity_id), events in histories.items():
        fields = _edited_fields(registry.entity(entity_type).model)
        is_sent = events[0].sync_enabled and events[0].sync_direction in SENDING_DIRECTIONS
        since, words = saves.get((entity_type, entity_id), (None, "")) if is_sent else (None, "")
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if before is None and event.pgh_label != "insert":
                continue
            context = authors.context_of(event)
            waits = since is not None and event.pgh_created_at > since and context.get("cause") != "sync"
            edits.append(
                Edit(
                    entity_type=entity_type,
                    entity_id=entity_id,
                    at=event.pgh_created_at,
                    who=authors.actor_name(context, users),
                    event=event,
                    before=before,
                    fields=[field for field in fields if before and _value(event, field) != _value(before, field)],
                    group_id=authors.group_id_of(context, event.pgh_context_id),
                    waits=words if waits else "",
                )
            )
    return edits


def _value(event: Any, field: Any) -> Any:
    return getattr(event, field.attname)


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[Edit]:
    """Return the edits that wait to be sent, newest first, of these records or of those with the newest jobs."""
    saves = pending_saves(ids, limit=limit)
    return sorted((edit for edit in edits_of(saves, saves) if edit.waits), key=lambda edit: edit.at, reverse=True)


def entry_of(edit: Edit, kind: str, sentence: str, key: str = "", **values: str) -> Decision:
    """Return an unsaved entry about an edit, with the columns that the database would fill in."""
    return Decision(
        entity_type=edit.entity_type,
        entity_id=edit.entity_id,
        remote_id="",
        key=key,
        kind=kind,
        sentence=sentence,
        values={"event": edit.event.pgh_id, **values},
        actor=edit.who,
        at=edit.at,
        cause={},
    )


def activity_of(record: SyncedModel, request: HttpRequest) -> dict[str, Any]:
    """Return the context of a record's activity: its newest entries, and the edits in NPD that none is about."""
    mappings = list(board_mappings().filter(link__entity_type=record.entity_type()))
    # A choice that a later entry about its result replaces is folded without a fold_id.
    stored = Decision.objects.filter(entity_type=record.entity_type(), entity_id=record.pk)
    rows = _with_edits(record, list(stored.exclude(folded=True, fold_id=None)[:MOST_ENTRIES]), mappings)
    rows.sort(key=lambda row: row.happened_at, reverse=True)
    list_url = reverse("admin:sync_decision_changelist", query={"q": record.pk})
    return {
        "acts": acts_of(rows, labels_of(mappings), request)[:MOST_ENTRIES],
        "all_url": list_url if request.user.has_perm("sync.view_decision") else "",
    }


def _with_edits(record: SyncedModel, rows: Sequence[Decision], mappings: Sequence[FieldMapping]) -> list[Decision]:
    """Return a record's entries, and unsaved ones for the edits that none of them is about."""
    # One more than is shown, because the changes of an event are the differences to the one before.
    saves = pending_saves([record.pk], limit=1)
    edits = edits_of([(record.entity_type(), record.pk)], saves, limit=MOST_ENTRIES + 1)
    edit_at = {edit.at.isoformat(): edit for edit in edits if edit.before}
    fields_of = {mapping.key: mapping.fields for mapping in mappings}
    # A pass, an import or an undo has entries of its own.
    batches = {str(row.batch_id) for row in rows if row.batch_id}
    sent = set[tuple[Any, str]]()
    entries = []
    for row in rows:
        edit = edit_at.get(row.cause.get("npd", {}).get("at")) if row.kind == "push" else None
        names = fields_of.get(row.key, [row.key])
        if edit and _was(edit.before, names, row.values):
            if edit.group_id in batches:
                continue
            # What was sent unchanged is listed as what was edited.
            row.at = edit.at
            row.actor = edit.who
            sent.update((edit.event.pgh_id, name) for name in names)
        entries.append(row)
    sent_fields = {name for _, name in sent_labels(mappings)}
    keys = {names[0]: key for key, names in fields_of.items() if len(names) == 1}
    texts = _Texts(record, edits)
    for edit in edits:
        if edit.group_id in batches:
            continue
        if edit.before is None:
            entries.append(entry_of(edit, "create", "Created", waits=edit.waits if sent_fields else ""))
        for field in edit.fields:
            if field.name == "sync_enabled":
                entries.append(entry_of(edit, EDIT, f"Sync turned {'on' if edit.event.sync_enabled else 'off'}"))
            elif (edit.event.pgh_id, field.name) not in sent:
                before, after = texts.of_change(field, edit)
                waits = edit.waits if field.name in sent_fields else ""
                key = keys.get(field.name, field.name)
                entries.append(entry_of(edit, EDIT, "", key, before=before, after=after, waits=waits))
    return entries


def _was(event: Any, names: Sequence[str], sent: Mapping[str, Any]) -> bool:
    """Whether a row had in these fields the value before that an entry about sending has."""
    columns = {field.name: field.attname for field in event._meta.concrete_fields}
    values = {name: to_json_value(getattr(event, columns[name])) for name in names if name in columns}
    if "raw_before" not in sent:
        # Nothing is stored for an empty cell.
        return bool(values) and not sent.get("before") and not any(values.values())
    return values == {key: raw.get("id") if isinstance(raw, dict) else raw for key, raw in sent["raw_before"].items()}


class _Texts:
    """A record's values in its history, as texts."""

    def __init__(self, record: SyncedModel, edits: Sequence[Edit]) -> None:
        self._record = record
        self._display = display_of(record) if edits else None
        self._related: dict[str, dict[Any, str]] = {}
        for field in {field for edit in edits for field in edit.fields if isinstance(field, ForeignKey)}:
            model: Any = field.related_model
            events = [event for edit in edits for event in (edit.event, edit.before) if event]
            ids = {_value(event, field) for event in events} - {None}
            targets = model._default_manager.in_bulk(ids)
            deleted = deleted_names(model.entity_type(), ids - targets.keys())
            self._related[field.attname] = deleted | {key: str(target) for key, target in targets.items()}

    def of_change(self, field: Any, edit: Edit) -> tuple[str, str]:
        """Return a field's values before and after: as typed if only the spelling differs."""
        before = self._text(field, edit.before)
        after = self._text(field, edit.event)
        if self._display is None or field.choices or not isinstance(_value(edit.event, field), str):
            return before, after
        spelled_before = self._display.spelling(self._record, field.name, before)
        spelled_after = self._display.spelling(self._record, field.name, after)
        return (before, after) if spelled_before == spelled_after else (spelled_before, spelled_after)

    def _text(self, field: Any, event: Any) -> str:
        value = _value(event, field)
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(field, ForeignKey):
            return self._related[field.attname].get(value, "one that was deleted") if value else ""
        if isinstance(field, ArrayField):
            return ", ".join(value or [])
        if field.choices:
            return str(dict(field.flatchoices).get(value, value))
        return "" if value is None else str(value)
