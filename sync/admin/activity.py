"""The activity of records: its entries, which are rows of ActivityLine, gathered into acts that have one undo.

An act is what a person or a pass did to a record at once. Edits in NPD that no stored entry is about are shown as
unsaved entries.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from sync import addresses, attention, permissions, registry
from sync.choices import ActivityKind
from sync.kernel import humanize
from sync.kernel.acts import ACTS
from sync.models import ActivityLine, FieldMapping, SyncedModel, activity_lines
from sync.operations import activity_undo
from sync.records import authors, edits

MAX_ENTRIES = 50

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
    """Put on each entry who did it, people by their full names, and if a program did it for them."""
    names = authors.full_names(actor_of(row) for row in rows)
    for row in rows:
        row.page_by = names.get(actor_of(row), actor_of(row))
        if row.kind == ActivityKind.PUSH and row.cause.get("npd", {}).get("way") == authors.BY_API:
            row.page_by = f"{row.page_by}, {authors.BY_API}"


def _edited_at(row: ActivityLine) -> str:
    """Return when the edit was made that an entry is about, or whose value it sent; empty if it isn't known."""
    return row.at.isoformat() if row.kind == ActivityKind.EDIT else row.cause.get("npd", {}).get("at") or ""


def _act_key(row: ActivityLine) -> tuple[object, ...]:
    """Return a key that the entries of one act on one record share; empty for an act of its own."""
    about = (row.entity_type, row.subject, row.actor)
    if row.is_of_new_item:
        return (*about, "create", row.batch_id or row.pk)
    if not row.key:
        return ()
    # Several passes may send the values of one save.
    if row.kind in (ActivityKind.EDIT, ActivityKind.PUSH) and (edited_at := _edited_at(row)):
        return (*about, edited_at)
    return (*about, row.kind, row.batch_id or row.at.replace(microsecond=0))


@dataclass(frozen=True)
class UndoOffer:
    """A link that undoes an act or leads to its conflict, and whether the act was undone already, or in part."""

    url: str = ""
    label: str = ""
    state: str = ""

    @property
    def is_undone(self) -> bool:
        return self.state == activity_undo.UNDONE


NOTHING_TO_UNDO = UndoOffer()


def act_undo_url(act_id: UUID, back_url: str = "") -> str:
    """Return the page that undoes an act on many records, and then goes back to `back_url`."""
    query = {"back": back_url} if back_url else None
    return reverse("admin:sync_activityline_undo_act", args=[act_id], query=query)


def act_offer(row: ActivityLine, states: Mapping[UUID, tuple[str, bool]], back_url: str) -> UndoOffer:
    """Return the undo of an act whose entries on other records are folded into this one; `states` as in undo_states."""
    if row.act_id is None or row.act_id not in states:
        return NOTHING_TO_UNDO
    state, is_undoable = states[row.act_id]
    if not is_undoable:
        return UndoOffer(state=state)
    act = ACTS["redo" if row.kind == ActivityKind.UNDO else "undo"]
    return UndoOffer(act_undo_url(row.act_id, back_url), act.button, state)


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
        self._undone = set(activity_undo.undone_lines().filter(entity_id__in={row.entity_id for row in undoable}))
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
            return UndoOffer(state=activity_undo.UNDONE)
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


def _without_repeated(rows: Sequence[ActivityLine]) -> list[ActivityLine]:
    """Return the entries without edits, and corrections of rejected values, that an entry about their push tells of.

    They were stored before it, because the record's sync was off or the pass came later.
    """
    pushes = [row for row in rows if row.kind == ActivityKind.PUSH and not row.values.get("overridden")]
    edits_sent = {(row.entity_id, row.key, _edited_at(row), row.values.get("before")) for row in pushes}
    sent_at = {(row.entity_id, row.key, row.actor, str(row.values.get("raw_after"))): row.at for row in pushes[::-1]}

    def is_repeated(row: ActivityLine) -> bool:
        if row.kind == ActivityKind.EDIT:
            return (row.entity_id, row.key, _edited_at(row), row.values.get("before")) in edits_sent
        sent = sent_at.get((row.entity_id, row.key, row.actor, str(row.values.get("raw_after"))))
        return row.kind == ActivityKind.REJECTED and "raw_after" in row.values and sent is not None and sent >= row.at

    return [row for row in rows if not is_repeated(row)]


def acts_of(
    rows: Sequence[ActivityLine], labels: Mapping[tuple[str, str], str], request: HttpRequest
) -> list[ActLines]:
    """Return the acts of a page's entries, in the order of their first ones; `labels` are as in `labels_of`."""
    rows = _without_repeated(rows)
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
        for field in edits.history_fields(spec.model):
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


def _fields(row: ActivityLine, fields_of: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the names of the fields that an entry is about."""
    return fields_of.get(row.key, [row.key])


def with_edits(
    record: SyncedModel, rows: Sequence[ActivityLine], mappings: Sequence[FieldMapping], *, limit: int
) -> list[ActivityLine]:
    """Return a record's entries, and unsaved ones for the edits that none of them is about.

    The entry about a push is about the last edit that it sent. An import and an undo have entries of their own, so
    those about their pushes are left out.
    """
    unsent = edits.unsent_since([record.pk], limit=1)
    # One event more, because the changes of an event are the differences to the one before.
    edits_in_npd = edits.edits_of([(record.entity_type(), record.pk)], unsent, limit=limit + 1)
    edit_at = {edit.at.isoformat(): edit for edit in edits_in_npd if edit.before}
    fields_of = {mapping.key: mapping.fields for mapping in mappings}
    batches = {str(row.batch_id) for row in rows if row.batch_id}
    # The edits with entries of their own.
    logged = {row.values["event"] for row in rows if "event" in row.values}
    sent = {(row.values["event"], name) for row in rows if "event" in row.values for name in _fields(row, fields_of)}
    entries = []
    for row in rows:
        edit = edit_at.get(row.cause.get("npd", {}).get("at")) if row.kind == ActivityKind.PUSH else None
        # A push that overwrote an edit on Monday says what was there, not what NPD had before.
        if row.values.get("overridden"):
            edit = None
        if edit and edit.group_id in batches:
            continue
        if edit:
            sent.update((edit.event.pgh_id, name) for name in _fields(row, fields_of))
        entries.append(row)
    others = [
        replace(edit, fields=[field for field in edit.fields if (edit.event.pgh_id, field.name) not in sent])
        for edit in edits_in_npd
        if edit.group_id not in batches and (edit.before or edit.event.pgh_id not in logged)
    ]
    return entries + edits.entries_of(others, mappings)
