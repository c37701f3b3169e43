"""The activity of records: its entries, which are rows of ActivityLine, gathered into acts that have one undo.

An act is what a person or a pass did to a record at once. Edits in NPD that no stored entry is about are shown as
unsaved entries.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from sync import addresses, attention, choices, permissions, registry
from sync.choices import ActivityKind
from sync.fields import field_values, lookups
from sync.kernel import humanize
from sync.kernel.acts import ACTS
from sync.kernel.triggers import BOOKKEEPING
from sync.models import ActivityLine, FieldMapping, SyncedModel, SyncMetadata, SyncQueue, Tombstone, activity_lines
from sync.operations import activity_undo
from sync.records import authors
from sync.records.tombstones import deleted_names

MAX_ENTRIES = 50

# Changes with these causes get their stored entries in the same transaction.
_LOGGED_CAUSES = ("sync", authors.IMPORT_CAUSE, authors.UNDO_CAUSE)

# By the kind of an entry. Others have one of two icons: of conflicts, or of the sync.
_ICONS = {
    ActivityKind.PUSH: "arrow_upward",
    ActivityKind.PULL: "arrow_downward",
    ActivityKind.CREATE: "add_circle",
    ActivityKind.IMPORT: "upload_file",
    ActivityKind.EDIT: "edit",
    ActivityKind.UNDO: "undo",
    ActivityKind.LINK: "link",
    ActivityKind.UNLINKED: "link_off",
    ActivityKind.BLOCKED: "front_hand",
    ActivityKind.APPROVAL: "gpp_maybe",
    ActivityKind.REMOVED: "delete",
    ActivityKind.RETURNED: "undo",
    ActivityKind.DELETE: "delete",
    ActivityKind.ARCHIVED: "delete",
    ActivityKind.DELETED: "delete",
    ActivityKind.RESTORED: "undo",
    ActivityKind.CONFLICT_UNDO: "undo",
    ActivityKind.PAUSE: "pause_circle",
    ActivityKind.STOP: "block",
    ActivityKind.STOP_END: "check_circle",
    ActivityKind.COLUMN: "view_column",
    ActivityKind.SETTINGS: "settings",
}


def _mark_of(row: ActivityLine) -> tuple[str, str]:
    """Return an entry's icon and the icon's label."""
    if row.is_refill:
        return "view_column", "New column filled"
    if row.kind == ActivityKind.EDIT and row.actor == authors.SYNC_ACTOR:
        return "sync", "Sync"
    kind = ActivityKind(row.kind)
    if kind is ActivityKind.REMOVED and row.reason in (ActivityKind.ARCHIVED, ActivityKind.DELETED):
        kind = ActivityKind(row.reason)
    return _ICONS.get(kind, "call_split" if "conflict" in kind else "sync"), str(kind.label)


def actor_of(row: ActivityLine) -> str:
    """Return who did something; for a conflict, the person who requested it."""
    requested_by = str(row.values.get("by") or "") if row.kind in activity_lines.REQUEST_KINDS else ""
    unnamed = authors.SOMEBODY_ON_MONDAY if row.kind == ActivityKind.PULL else authors.SYNC_ACTOR
    return requested_by or row.actor or unnamed


def name_actors(rows: Collection[Any]) -> None:
    """Put on each entry who did it, people by their full names."""
    names = authors.full_names(actor_of(row) for row in rows)
    for row in rows:
        row.page_by = names.get(actor_of(row), actor_of(row))


def _act_key(row: ActivityLine) -> tuple[object, ...]:
    """Return a key that the entries of one act on one record share; empty for an act of its own."""
    about = (row.entity_type, row.subject, row.actor)
    if row.is_of_new_item:
        return (*about, "create", row.batch_id or row.pk)
    if not row.key:
        return ()
    # Several passes may send the values of one save.
    edited_at = row.at.isoformat() if row.kind == ActivityKind.EDIT else row.cause.get("npd", {}).get("at")
    if row.kind in (ActivityKind.EDIT, ActivityKind.PUSH) and edited_at:
        return (*about, edited_at)
    return (*about, row.kind, row.batch_id or row.at.replace(microsecond=0))


@dataclass(frozen=True)
class UndoOffer:
    """A link that undoes an act or leads to its conflict, or that the act was undone."""

    url: str = ""
    label: str = ""
    is_undone: bool = False


NOTHING_TO_UNDO = UndoOffer()


def act_undo_url(act_id: UUID, back_url: str = "") -> str:
    """Return the page that undoes an act on many records, and then goes back to `back_url`."""
    query = {"back": back_url} if back_url else None
    return reverse("admin:sync_activityline_undo_act", args=[act_id], query=query)


def act_offer(row: ActivityLine, states: Mapping[UUID, str], back_url: str) -> UndoOffer:
    """Return the undo of an act whose entries on other records are folded into this one; `states` as in undo_states."""
    if row.act_id is None or row.act_id not in states:
        return NOTHING_TO_UNDO
    if state := states[row.act_id]:
        return UndoOffer(label=state, is_undone=True)
    act = ACTS["redo" if row.kind == ActivityKind.UNDO else "undo"]
    return UndoOffer(act_undo_url(row.act_id, back_url), act.button)


class _UndoOffers:
    """The undos of a page's entries that its reader may use."""

    def __init__(self, rows: Sequence[ActivityLine], request: HttpRequest) -> None:
        self._reader = request.user
        self._back = {"back": request.get_full_path()}
        self._sees_conflicts = permissions.may_view(request.user, "conflicts.syncconflict")
        conflicts = {conflict for row in rows if (conflict := _conflict_of(row))}
        waiting = attention.waiting(kinds=(attention.Kind.CONFLICT, attention.Kind.DUPLICATE))
        self._open_conflicts = set(waiting.filter(source__in=conflicts).values_list("source", flat=True))
        undoable = [row for row in rows if activity_undo.is_undoable(row)]
        stored = ActivityLine.objects.filter(entity_id__in={row.entity_id for row in undoable}, undoes__isnull=False)
        undos = list(stored.values_list("pk", "undoes"))
        taken_back = {undoes for _, undoes in undos}
        # The entries whose undo was not undone itself.
        self._undone = {undoes for undo, undoes in undos if undo not in taken_back}
        # What was changed again later can't be restored.
        self._superseded = activity_undo.superseded_changes(undoable)

    def of(self, rows: Sequence[ActivityLine]) -> UndoOffer:
        """Return the undo of an act with these entries."""
        for row in rows if self._sees_conflicts else ():
            if conflict := _conflict_of(row):
                url = addresses.page_url("conflicts_syncconflict_screen", conflict)
                if conflict in self._open_conflicts:
                    return UndoOffer(url, "See conflict")
                # The answer about a whole record can't be undone by a button.
                is_field_resolved = row.kind == ActivityKind.CONFLICT_SETTLED and row.key
                return UndoOffer(url, ACTS["undo"].button) if is_field_resolved else NOTHING_TO_UNDO
        undoable = [row for row in rows if activity_undo.is_undoable(row)]
        if not undoable or not activity_undo.may_undo(self._reader, undoable):
            return NOTHING_TO_UNDO
        if all(row.pk in self._undone for row in undoable):
            return UndoOffer(is_undone=True)
        keys = [str(row.pk) for row in undoable if row.pk not in self._undone | self._superseded]
        if not keys:
            return NOTHING_TO_UNDO
        act = ACTS["redo" if any(row.undoes is not None for row in undoable) else "undo"]
        return UndoOffer(reverse("admin:sync_activityline_undo", args=[",".join(keys)], query=self._back), act.button)


def _conflict_of(row: ActivityLine) -> str:
    """Return the id of the conflict that the entry found or settled, or an empty text."""
    is_about_one = row.kind in (ActivityKind.CONFLICT_FOUND, ActivityKind.CONFLICT_SETTLED)
    return str(row.cause.get("conflict", "")) if is_about_one else ""


class ShownLine:
    """An entry as a line: a field's changed value, or another event in words."""

    def __init__(self, row: Any, label: str, offer: UndoOffer) -> None:
        self.row = row
        self.label = label  # of its field; empty if it is about the record
        self.offer = offer
        # Its id on the page, the same when the page is read again.
        self.line_id = f"d{row.pk}" if row.pk else f"e{row.values['event']}-{row.key}"
        self.at = row.happened_at
        self.icon, self.icon_label = _mark_of(row)
        self.actor = row.page_by
        # The event, or why and how the value was synced.
        self.sentence = humanize.without_request_id(row.sentence)
        if deletion := row.cause.get("deletion"):
            self.sentence = f"{deletion} {self.sentence}"
        self.is_unsent = bool(row.values.get("unsent"))  # an edit that waits to be sent
        has_values = row.kind == ActivityKind.CONFLICT_SETTLED or not row.values.keys().isdisjoint(("before", "after"))
        # A value that was sent to an empty cell first wasn't empty in NPD before.
        is_copy = row.kind == ActivityKind.PUSH and not row.values.get("before") and "raw_before" not in row.values
        self.is_value = bool(row.key) and not row.is_refill and has_values and not is_copy
        self.before = str(row.values.get("before") or "")
        self.after = str(row.values.get("after") or "")
        if row.kind == ActivityKind.CONFLICT_SETTLED:
            # The overwritten values of one or both sides.
            self.after = str(row.values.get("result") or "")
            sides = dict.fromkeys(str(row.values.get(side) or "(empty)") for side in ("npd", "monday"))
            self.before = " / ".join(value for value in sides if value != self.after)
        # The parts around their first difference.
        parts = humanize.excerpts(self.before, self.after)
        self.shown_before, self.shown_after = ("".join(text for text, _marked in part) for part in parts)


class ActLines:
    """The lines of one act on a record, in the order of the fields."""

    def __init__(self, row: ActivityLine, lines: Sequence[ShownLine], offer: UndoOffer) -> None:
        self.row = row  # its first entry
        self.lines = lines
        self.offer = offer
        # The main line: the creation of an item comes before its values.
        self.line = min(lines, key=lambda line: (line.is_value, bool(line.label)))
        self.others = len(lines) - 1
        self.more = f"{self.others} more" if self.others else ""
        # The name of the file that an import read; empty for other acts.
        self.imported_file = str(row.cause.get("file", ""))
        # The labels of the fields that the act's words are about, if there are several.
        labels = [line.label for line in lines if self.line.label and line.label and not line.is_value]
        self.labels = humanize.join_first(labels) if len(labels) > 1 else ""
        self.is_unsent = any(line.is_unsent for line in lines)

    @property
    def why(self) -> Sequence[str]:
        """The edits that led to it, and the rules."""
        return list(dict.fromkeys(text for line in self.lines for text in activity_lines.reasons_of(line.row)))


def acts_of(
    rows: Sequence[ActivityLine], labels: Mapping[tuple[str, str], str], request: HttpRequest
) -> list[ActLines]:
    """Return the acts of a page's entries, in the order of their first ones; `labels` are as in `labels_of`."""
    offers = _UndoOffers(rows, request)
    groups: dict[tuple[object, ...], list[ShownLine]] = {}
    for row in rows:
        label = labels.get((row.entity_type, row.key), row.key.replace("_", " ").capitalize())
        line = ShownLine(row, label, offers.of([row]))
        key = _act_key(row) or (line.line_id,)
        # Repeated saves of one field in a transaction are separate acts.
        while any(line.label == other.label for other in groups.get(key, ())):
            key = (*key, line.label)
        groups.setdefault(key, []).append(line)
    positions = {label: number for number, label in enumerate(labels.values())}
    acts = []
    for lines in groups.values():
        group_rows = [line.row for line in lines]
        in_order = sorted(lines, key=lambda line: positions.get(line.label, len(positions)))
        acts.append(ActLines(group_rows[0], in_order, offers.of(group_rows)))
    return acts


def labels_of(mappings: Iterable[FieldMapping]) -> dict[tuple[str, str], str]:
    """Return the fields' labels by type of records and key: first the mapped fields in the order of their columns."""
    labels = {(mapping.link.entity_type, mapping.key): mapping.label for mapping in mappings}
    for spec in registry.entities():
        for field in history_fields(spec.model):
            labels.setdefault((spec.entity_type, field.name), capfirst(str(field.verbose_name)))
    return labels


def activity_of(record: SyncedModel, request: HttpRequest) -> dict[str, Any]:
    """Return the context of a record's activity: its newest entries, and the edits in NPD that none is about."""
    mappings = list(board_mappings().filter(link__entity_type=record.entity_type()))
    # A choice that a later entry about its result replaces is folded without a fold_id.
    stored = ActivityLine.objects.filter(entity_type=record.entity_type(), entity_id=record.pk)
    newest = list(stored.exclude(folded=True, fold_id=None)[:MAX_ENTRIES])
    rows = with_edits(record, newest, mappings, limit=MAX_ENTRIES)
    rows.sort(key=lambda row: row.happened_at, reverse=True)
    name_actors(rows)
    list_url = reverse("admin:sync_activityline_changelist", query={"q": record.pk})
    return {
        "acts": acts_of(rows, labels_of(mappings), request)[:MAX_ENTRIES],
        "all_url": list_url if request.user.has_perm("sync.view_activityline") else "",
    }


# Edits in NPD.


def board_mappings() -> models.QuerySet[FieldMapping]:
    types = [spec.entity_type for spec in registry.entities()]
    rows = FieldMapping.objects.filter(link__entity_type__in=types).select_related("link")
    return rows.order_by("position", "pk")


def history_fields(model: type[SyncedModel]) -> list[Any]:
    """Return the fields that a record's history has."""
    fields: Iterable[Any] = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and field.name not in BOOKKEEPING]


def unsent_since(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[lookups.RecordKey, datetime]:
    """Return the time since which these records, or those with the newest jobs, have unsent edits; one query."""
    # Each status separately, because each has its own index.
    is_left = (
        models.Q(status=choices.QueueStatus.PENDING)
        | models.Q(status=choices.QueueStatus.IN_PROGRESS)
        | models.Q(status=choices.QueueStatus.FAILED)
    )
    about = models.Q(entity_id__isnull=False) if ids is None else models.Q(entity_id__in=ids)
    jobs = SyncQueue.objects.alias(saves=models.F("causes").bitand(int(choices.Cause.SAVE)))
    jobs = jobs.filter(is_left, about, direction=choices.QueueDirection.TO_MONDAY, saves__gt=0)
    # For a deleted record only its deletion waits.
    deleted = Tombstone.objects.filter(
        entity_type=models.OuterRef("entity_type"), entity_id=models.OuterRef("entity_id")
    )
    jobs = jobs.exclude(models.Exists(deleted.exclude(state=choices.TombstoneState.RESTORED)))
    states = SyncMetadata.objects.filter(entity_type=models.OuterRef("entity_type"), system="monday")
    states = states.filter(entity_id=Cast(models.OuterRef("entity_id"), models.TextField()))
    records = jobs.annotate(synced_at=models.Subquery(states.values("last_successful_sync")))
    rows = records.values("entity_type", "entity_id", "synced_at").annotate(
        first=models.Min("created_at"), newest=models.Max("pk")
    )
    moments: dict[Any, datetime] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        moments[row["entity_type"], row["entity_id"]] = max(since, row["synced_at"] or since)
    return moments


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
    is_unsent: bool  # which only matters for fields that are sent at all


def edits_of(
    keys: Collection[lookups.RecordKey],
    unsent: Mapping[lookups.RecordKey, datetime],
    *,
    limit: int = authors.MAX_EVENTS,
) -> list[Edit]:
    """Return the edits among the newest events of these records' history; a query for each type, one for the users."""
    histories: dict[lookups.RecordKey, list[Any]] = {}
    for spec in registry.entities():
        ids = [entity_id for entity_type, entity_id in keys if entity_type == spec.entity_type]
        events_by_id = authors.latest_events(spec.model, ids, limit=limit)
        histories |= {(spec.entity_type, entity_id): events for entity_id, events in events_by_id.items()}
    users = authors.users_of(event for events in histories.values() for event in events)
    edits = []
    for (entity_type, entity_id), events in histories.items():
        fields = history_fields(registry.entity(entity_type).model)
        is_sent = events[0].sync_enabled and choices.SyncDirection(events[0].sync_direction).sends
        since = unsent.get((entity_type, entity_id)) if is_sent else None
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if before is None and event.pgh_label != "insert":
                continue
            context = authors.context_of(event)
            is_logged = context.get("cause") in _LOGGED_CAUSES
            is_unsent = since is not None and event.pgh_created_at > since and not is_logged
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
                    is_unsent=is_unsent,
                )
            )
    return edits


def _value(event: Any, field: Any) -> Any:
    return getattr(event, field.attname)


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[Edit]:
    """Return the edits that weren't sent, newest first, of these records or of those with the newest jobs."""
    unsent = unsent_since(ids, limit=limit)
    edits = [edit for edit in edits_of(unsent.keys(), unsent) if edit.is_unsent]
    return sorted(edits, key=lambda edit: edit.at, reverse=True)


def entries_of(edits: Sequence[Edit], mappings: Sequence[FieldMapping]) -> list[ActivityLine]:
    """Return an unsaved entry about each new record, and about each field that was changed."""
    keys: dict[tuple[str, str], str] = {}
    sent = set[tuple[str, str]]()
    for mapping in mappings:
        for name in mapping.fields:
            place = (mapping.link.entity_type, name)
            keys[place] = mapping.key if len(mapping.fields) == 1 else name
            if mapping.column_id and choices.SyncDirection(mapping.direction).sends:
                sent.add(place)
    sent_types = {entity_type for entity_type, _ in sent}
    # The names of the records, also of deleted ones, at which changed fields point.
    names: dict[UUID, str] = {}
    for field in {field for edit in edits for field in edit.fields if isinstance(field, models.ForeignKey)}:
        model: Any = field.related_model
        changes = [edit for edit in edits if field in edit.fields]
        ids = {_value(event, field) for edit in changes for event in (edit.event, edit.before)} - {None}
        targets = model.objects.in_bulk(ids)
        names |= deleted_names(model.entity_type(), ids - targets.keys())
        names |= {key: str(target) for key, target in targets.items()}
    entries = []
    for edit in edits:
        if edit.before is None:
            unsent = edit.is_unsent and edit.entity_type in sent_types
            entries.append(_entry(edit, ActivityKind.CREATE, "Created", unsent=unsent))
        for field in edit.fields:
            place = (edit.entity_type, field.name)
            if field.name == "sync_enabled":
                switch = "on" if edit.event.sync_enabled else "off"
                entries.append(_entry(edit, ActivityKind.EDIT, f"Sync turned {switch}"))
                continue
            texts = {"before": _text(field, edit.before, names), "after": _text(field, edit.event, names)}
            entry = _entry(edit, ActivityKind.EDIT, "", unsent=edit.is_unsent and place in sent, **texts)
            entry.key = keys.get(place, field.name)
            entries.append(entry)
    return entries


def _entry(edit: Edit, kind: ActivityKind, sentence: str, **values: object) -> ActivityLine:
    """Return an unsaved entry about an edit."""
    return ActivityLine(
        entity_type=edit.entity_type,
        entity_id=edit.entity_id,
        kind=kind,
        sentence=sentence,
        values={"event": edit.event.pgh_id, **values},
        actor=edit.who,
        at=edit.at,
    )


def with_edits(
    record: SyncedModel, rows: Sequence[ActivityLine], mappings: Sequence[FieldMapping], *, limit: int
) -> list[ActivityLine]:
    """Return a record's entries, and unsaved ones for the edits that none of them is about.

    The entry about a push is about the last edit that it sent. An import and an undo have entries of their own, so
    those about their pushes are left out.
    """
    unsent = unsent_since([record.pk], limit=1)
    # One event more, because the changes of an event are the differences to the one before.
    edits = edits_of([(record.entity_type(), record.pk)], unsent, limit=limit + 1)
    edit_at = {edit.at.isoformat(): edit for edit in edits if edit.before}
    fields_of = {mapping.key: mapping.fields for mapping in mappings}
    batches = {str(row.batch_id) for row in rows if row.batch_id}
    sent = set[tuple[Any, str]]()
    entries = []
    for row in rows:
        edit = edit_at.get(row.cause.get("npd", {}).get("at")) if row.kind == ActivityKind.PUSH else None
        if edit and edit.group_id in batches:
            continue
        # A push that overwrote an edit on Monday says what was there, not what NPD had before.
        if edit and not row.values.get("overridden"):
            sent.update((edit.event.pgh_id, name) for name in fields_of.get(row.key, [row.key]))
        entries.append(row)
    others = [
        replace(edit, fields=[field for field in edit.fields if (edit.event.pgh_id, field.name) not in sent])
        for edit in edits
        if edit.group_id not in batches
    ]
    return entries + entries_of(others, mappings)


def _text(field: Any, event: Any, names: Mapping[UUID, str]) -> str:
    """Return the value that a row of the history has in a field; `names` are those of related records."""
    value = _value(event, field)
    if isinstance(field, models.ForeignKey):
        return names.get(value, "one that was deleted") if value else ""
    return field_values.field_text(field, value)
