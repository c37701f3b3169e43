"""The activity of records as acts of several entries, each with its undo."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from sync import attention, registry
from sync.admin import edits
from sync.kernel import humanize
from sync.kernel.messages import ACTS
from sync.models import Decision, FieldMapping, SyncedModel, decisions
from sync.models.decisions import CONFLICT_FOUND_KIND, REQUEST_KINDS
from sync.operations import decision_undo
from sync.operations.decision_undo import is_undoable, may_undo_decisions, superseded_changes
from sync.records import authors

MAX_ENTRIES = 50
# A value's characters on a line.
MAX_SHOWN = 80

# The kind of a decision about an applied resolution.
_RESOLVED = "conflict_settled"

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
    edits.EDIT: ("edit", "Edited in NPD"),
    "pause": ("pause_circle", "Paused or resumed"),
    "stop": ("block", "Stopped"),
    "stop_end": ("check_circle", "Stop ended"),
    "column": ("view_column", "Board changed"),
    CONFLICT_FOUND_KIND: ("call_split", "Conflict found"),
    "conflict_chosen": ("call_split", "Resolution chosen"),
    _RESOLVED: ("call_split", "Resolved"),
    "conflict_over": ("call_split", "Conflict closed"),
    "conflict_returned": ("call_split", "Resolution not saved"),
    "conflict_undo": ("undo", "Undo of a resolution"),
}


def _mark_of(row: Decision) -> tuple[str, str]:
    if row.is_refill:
        return "view_column", "New column filled"
    if row.kind == "removed" and row.reason in _MARKS:
        return _MARKS[row.reason]
    if row.kind in _MARKS and not (row.kind == edits.EDIT and row.actor == authors.SYNC_ACTOR):
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
    edited_at = row.at.isoformat() if row.kind == edits.EDIT else row.cause.get("npd", {}).get("at")
    if row.kind in (edits.EDIT, "push") and edited_at:
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


def batch_offer(row: Decision, user: Any, back_url: str) -> UndoOffer:
    """Return the undo of a whole import or undo, whose entries are folded into this one."""
    assert row.batch_id is not None
    if state := decision_undo.batch_undo_state(row.batch_id):
        return UndoOffer(label=state, is_undone=True)
    # The page that asks checks each entry.
    if not may_undo_decisions(user, [row]):
        return NOTHING_TO_UNDO
    act = ACTS["redo" if row.kind == "undo" else "undo"]
    return UndoOffer(batch_undo_url(row.batch_id, back_url), act.button)


class _UndoOffers:
    """The undos of a page's entries that its reader may use."""

    def __init__(self, rows: Sequence[Decision], request: HttpRequest) -> None:
        self._reader = request.user
        self._next = {"next": request.get_full_path()}
        self._sees_conflicts = registry.may_view(request.user, "conflicts.syncconflict")
        conflicts = {conflict for row in rows if (conflict := _conflict_of(row))}
        waiting = attention.waiting(kinds=(attention.Kind.CONFLICT, attention.Kind.DUPLICATE))
        self._open_conflicts = set(waiting.filter(source__in=conflicts).values_list("source", flat=True))
        undoable = [row for row in rows if is_undoable(row)]
        stored = Decision.objects.filter(entity_id__in={row.entity_id for row in undoable}, undoes__isnull=False)
        undos = list(stored.values_list("pk", "undoes"))
        taken_back = {undoes for _, undoes in undos}
        # By an undo that was not undone itself.
        self._undone = {undoes for undo, undoes in undos if undo not in taken_back}
        # Of what was changed again, there is no value to restore.
        self._superseded = superseded_changes(undoable)

    def of(self, rows: Sequence[Decision]) -> UndoOffer:
        """Return the undo of an act with these entries."""
        for row in rows if self._sees_conflicts else ():
            if conflict := _conflict_of(row):
                url = registry.page_url("conflicts_syncconflict_screen", conflict)
                if conflict in self._open_conflicts:
                    return UndoOffer(url, "See conflict")
                # The answer about a whole record can't be undone by a button.
                return UndoOffer(url, ACTS["undo"].button) if row.kind == _RESOLVED and row.key else NOTHING_TO_UNDO
        moves = [row for row in rows if is_undoable(row)]
        if not moves or not may_undo_decisions(self._reader, moves):
            return NOTHING_TO_UNDO
        if all(row.pk in self._undone for row in moves):
            return UndoOffer(is_undone=True)
        keys = [str(row.pk) for row in moves if row.pk not in self._undone | self._superseded]
        if not keys:
            return NOTHING_TO_UNDO
        act = ACTS["redo" if any(row.undoes is not None for row in moves) else "undo"]
        return UndoOffer(reverse("admin:sync_decision_undo", args=[",".join(keys)], query=self._next), act.button)


def _conflict_of(row: Decision) -> str:
    """Return the id of the conflict that the entry found or settled, or an empty text."""
    return str(row.cause.get("conflict", "")) if row.kind in (CONFLICT_FOUND_KIND, _RESOLVED) else ""


class ActivityLine:
    """An entry as a line: a field's changed value, or another event in words."""

    def __init__(self, row: Decision, label: str, offer: UndoOffer) -> None:
        self.row = row
        self.label = label  # of its field; empty if it is about the record
        self.offer = offer
        # Its id on the page, the same when the page is read again.
        self.line_id = f"d{row.pk}" if row.pk else f"e{row.values['event']}-{row.key}"
        self.at = row.happened_at
        self.icon, self.icon_label = _mark_of(row)
        self.actor = actor_of(row)
        # The event, or why and how the value was synced.
        self.sentence = humanize.without_request_id(row.sentence)
        if deletion := row.cause.get("deletion"):
            self.sentence = f"{deletion} {self.sentence}"
        self.is_unsent = bool(row.values.get("unsent"))  # an edit that waits to be sent
        has_values = row.kind == _RESOLVED or not row.values.keys().isdisjoint(("before", "after"))
        self.is_value = bool(row.key) and not row.is_refill and has_values
        self.before = str(row.values.get("before") or "")
        self.after = str(row.values.get("after") or "")
        if row.kind == _RESOLVED:
            # The overwritten values of one or both sides.
            self.after = str(row.values.get("result") or "")
            sides = dict.fromkeys(str(row.values.get(side) or "(empty)") for side in ("npd", "monday"))
            self.before = " / ".join(value for value in sides if value != self.after)
        self.shown_before = _part_that_differs(self.before, self.after)
        self.shown_after = _part_that_differs(self.after, self.before)


def _part_that_differs(text: str, other: str) -> str:
    pairs = enumerate(zip(text, other, strict=False))
    same = next((place for place, (letter, others) in pairs if letter != others), min(len(text), len(other)))
    # Keep some of the common beginning as context.
    start = max(0, same - MAX_SHOWN // 4) if len(text) > MAX_SHOWN else 0
    return ("…" if start else "") + humanize.shorten(text[start:], MAX_SHOWN)


class ActLines:
    """The lines of one act on a record, in the order of the fields."""

    def __init__(self, row: Decision, lines: Sequence[ActivityLine], offer: UndoOffer) -> None:
        self.row = row  # its first entry
        self.lines = lines
        self.offer = offer
        # The main line: the creation of an item comes before its values.
        self.line = next((line for line in lines if not line.is_value), lines[0])
        self.others = len(lines) - 1
        self.also = f"{self.others} more" if self.others else ""
        # The name of the file that an import read; empty for other acts.
        self.imported_file = str(row.cause.get("file", ""))
        # The labels of the fields that the act's words are about, if there are several.
        labels = [line.label for line in lines if line.label and not line.is_value]
        self.fields = humanize.join_first(labels) if len(labels) > 1 else ""
        self.is_unsent = any(line.is_unsent for line in lines)

    @property
    def why(self) -> Sequence[str]:
        """The edits that led to it, and the rules."""
        return list(dict.fromkeys(text for line in self.lines for text in decisions.reasons_of(line.row)))


def acts_of(rows: Sequence[Decision], labels: Mapping[tuple[str, str], str], request: HttpRequest) -> list[ActLines]:
    """Return the acts of a page's entries, in the order of their first ones; `labels` are as in `labels_of`."""
    offers = _UndoOffers(rows, request)
    groups: dict[tuple[object, ...], list[ActivityLine]] = {}
    for row in rows:
        label = labels.get((row.entity_type, row.key), row.key.replace("_", " ").capitalize())
        line = ActivityLine(row, label, offers.of([row]))
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
    mappings = list(edits.board_mappings().filter(link__entity_type=record.entity_type()))
    # A choice that a later entry about its result replaces is folded without a fold_id.
    stored = Decision.objects.filter(entity_type=record.entity_type(), entity_id=record.pk)
    newest = list(stored.exclude(folded=True, fold_id=None)[:MAX_ENTRIES])
    rows = edits.with_edits(record, newest, mappings, limit=MAX_ENTRIES)
    rows.sort(key=lambda row: row.happened_at, reverse=True)
    list_url = reverse("admin:sync_decision_changelist", query={"q": record.pk})
    return {
        "acts": acts_of(rows, labels_of(mappings), request)[:MAX_ENTRIES],
        "all_url": list_url if request.user.has_perm("sync.view_decision") else "",
    }
