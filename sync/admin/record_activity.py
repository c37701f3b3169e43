"""Activity on a record's page: a line for each act, with its fields and its undo; and who gave a field its value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, F, ForeignKey, Q, TextField, Value, Window
from django.db.models.functions import Cast, Coalesce, Lag
from django.urls import reverse
from django.utils.text import capfirst
from pghistory.core import event_models

from conflicts.store import open_conflicts
from sync import registry
from sync.choices import RecordSyncStatus, SyncDirection
from sync.kernel import humanize
from sync.models import Decision, FieldMapping, SyncedModel
from sync.models.state import CONFLICT_FOUND_KIND, IMPORT_KIND, WISH_KINDS
from sync.operations.decision_undo import is_undoable, may_undo_decisions
from sync.reconcile.field_values import to_json_value
from sync.reconcile.lookups import display_of
from sync.records.authors import NOBODY, SYNC_ACTOR, UnsyncedEdit, actor_name, unsynced_edits, users_of
from sync.records.causes import CauseLink, causes_by_decision
from sync.records.tombstones import deleted_names
from sync.registry import page_url

MOST_LINES = 50
FIELD_PARAMETER = "activity"
"""The name in a page's address of the field whose changes alone are shown."""

_RESOLVED = "conflict_settled"
"""The kind of the decision that tells that a conflict's resolution was applied."""

_PLAIN_CAUSES = ("edit", "rule")
"""The links of a chain that say something to everybody; jobs, webhooks and requests are for administrators."""

UNSYNCED = "unsynced"
"""The kind of a line that no decision tells: of an edit that waits for its record's pass."""

_ICONS = {
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
    UNSYNCED: ("schedule", "Not synced yet"),
    "pause": ("pause_circle", "Paused or resumed"),
    "stop": ("block", "Stopped"),
    "stop_end": ("check_circle", "Stop ended"),
    "column": ("view_column", "Board changed"),
    "people": ("group", "Colleagues"),
    CONFLICT_FOUND_KIND: ("call_split", "Conflict found"),
    "conflict_chosen": ("call_split", "Resolution chosen"),
    "conflict_settled": ("call_split", "Resolved"),
    "conflict_over": ("call_split", "Conflict closed"),
    "conflict_returned": ("call_split", "Resolution not applied"),
    "conflict_undo": ("undo", "Undo of a resolution"),
}
"""What a line of the sync is marked with, and what that means, by the kind of its decision."""


def decision_undo_url(*keys: int) -> str:
    return reverse("admin:sync_decision_undo", args=[",".join(map(str, keys))])


def batch_undo_url(batch_id: UUID) -> str:
    """Return the address of the page that takes back all that a pass (or an undo) moved."""
    return reverse("admin:sync_decision_undo_batch", args=[batch_id])


def resolution_urls(decisions: Sequence[Decision], reader: Any) -> dict[int, str]:
    """Return the screens on which this user may undo what a conflict's resolution wrote, by the decisions that tell it.

    None where the conflict is open again, or being undone. One query for each type of records.
    """
    told = {row.pk: row for row in decisions if row.kind == _RESOLVED and row.key and "conflict" in row.cause}
    if not told or not reader.has_perm("conflicts.change_syncconflict"):
        return {}
    unresolved = set()
    for entity_type in {row.entity_type for row in told.values()}:
        ids = {row.entity_id for row in told.values() if row.entity_id and row.entity_type == entity_type}
        found = open_conflicts(entity_type, ids)
        unresolved |= {str(one.conflict_id) for conflicts in found.values() for one in conflicts}
    return {
        pk: page_url("conflicts_syncconflict_screen", row.cause["conflict"])
        for pk, row in told.items()
        if row.cause["conflict"] not in unresolved
    }


@dataclass(frozen=True)
class UndoOffer:
    """What a line offers at its end: the page that takes it back, or that it was taken back; of a conflict that was
    found, that conflict's page; else nothing.
    """

    url: str = ""
    is_undo: bool = False
    is_undone: bool = False
    conflict_url: str = ""


def conflict_url(row: Decision, reader: Any) -> str:
    """Return the page of the conflict that a decision tells was found; empty where it tells none, or none to see."""
    is_found = row.kind == CONFLICT_FOUND_KIND and "conflict" in row.cause
    may_see = is_found and registry.may_view(reader, "conflicts.syncconflict")
    return page_url("conflicts_syncconflict_screen", row.cause["conflict"]) if may_see else ""


def undo_offers(acts: Sequence[Sequence[Decision]], reader: Any) -> list[UndoOffer]:
    """Return what each of these acts offers this user at its end; the queries don't grow with their number."""
    rows = [row for act in acts for row in act]
    resolutions, undone = resolution_urls(rows, reader), _undone_ids(rows)
    return [_offer_of(act, resolutions, undone, reader) for act in acts]


def _offer_of(
    act: Sequence[Decision], resolutions: Mapping[int, str], undone: Collection[int], reader: Any
) -> UndoOffer:
    if url := next((url for row in act if (url := conflict_url(row, reader))), ""):
        return UndoOffer(conflict_url=url)
    undoable = [row for row in act if is_undoable(row) or row.kind == _RESOLVED]
    # Who may undo a resolution may resolve: `resolution_urls` has asked for that.
    if not undoable or not may_undo_decisions(reader, [row for row in undoable if is_undoable(row)]):
        return UndoOffer()
    keys = [row.pk for row in undoable if is_undoable(row) and row.pk not in undone]
    url = decision_undo_url(*keys) if keys else next((resolutions[row.pk] for row in act if row.pk in resolutions), "")
    is_undone = all(row.pk in undone for row in undoable)
    return UndoOffer("" if is_undone else url, any(row.undoes is not None for row in undoable), is_undone)


MAX_SHOWN = 80
"""Characters of a value on a line."""


def _part_that_differs(text: str, other: str) -> str:
    pairs = enumerate(zip(text, other, strict=False))
    same = next((place for place, (one, its) in pairs if one != its), min(len(text), len(other)))
    # Some of what both begin with says where it is.
    start = max(0, same - MAX_SHOWN // 4) if len(text) > MAX_SHOWN else 0
    return ("…" if start else "") + humanize.shorten(text[start:], MAX_SHOWN)


@dataclass(frozen=True)
class ActivityLine:
    """One thing that happened: of a change its field's `label` and the value before and after, else `what` in words.

    `field` is the label of what `what` is about, where several are told at once. `sentence` says why and how a value
    was synced, `chain` what led to it; `technical` is that with jobs, webhooks and requests. Changes of equal `act`
    were made at once by one, or sent because of that; empty: it stands for itself.
    `undoes` is the decision that can be taken back, 0 where there is none; `resolution_url`, where a resolution is;
    `conflict_url`, the conflict that it tells was found. `unsynced` says that an edit waits, or has failed.
    """

    line_id: str
    at: datetime
    actor: str
    icon: str
    icon_label: str
    what: str = ""
    field: str = ""
    label: str = ""
    before: str = ""
    after: str = ""
    sentence: str = ""
    chain: Sequence[CauseLink] = ()
    technical: Sequence[str] = ()
    undoes: int = 0
    resolution_url: str = ""
    batch_url: str = ""
    conflict_url: str = ""
    unsynced: str = ""
    is_undo: bool = False
    is_undone: bool = False
    act: tuple[str, ...] = ()

    @property
    def undo_url(self) -> str:
        """The address of the page that takes it back; empty where it can't be."""
        return decision_undo_url(self.undoes) if self.undoes else self.resolution_url

    @property
    def shown_before(self) -> str:
        return _part_that_differs(self.before, self.after)

    @property
    def shown_after(self) -> str:
        return _part_that_differs(self.after, self.before)

    @property
    def initials(self) -> str:
        """Who did it, in two letters; empty where that is no user."""
        words = [] if self.actor in NOBODY else self.actor.removesuffix(" on Monday").split()
        letters = "".join(word[0] for word in words if word[0].isalnum())
        return (letters[0] + letters[-1] if len(letters) > 1 else letters).upper()


@dataclass(frozen=True)
class Act:
    """What was done to a record at once: one line, or one that stands for the lines of several fields."""

    lines: Sequence[ActivityLine]

    @property
    def line(self) -> ActivityLine:
        """Of one line that; of several the first, which says who, when and in which pass."""
        return self.lines[0]

    @property
    def others(self) -> int:
        """How many fields it changed beside the first."""
        return len(self.lines) - 1

    @property
    def also(self) -> str:
        """What it changed beside the first field: another by its name, more by their number."""
        if self.others == 1:
            return self.lines[1].label
        return f"{self.others} more" if self.others else ""

    @property
    def fields(self) -> str:
        """The labels of the fields that it is about, where its lines tell of more than one in words; of two that were
        resolved with what was overwritten, and by what.
        """
        if not (self.others and self.line.field):
            return ""
        if self.others > 1 or not self.line.after:
            return humanize.join_first([line.field for line in self.lines])
        return "; ".join(f"{one.field} {one.shown_before} → {one.shown_after}" for one in self.lines)

    @property
    def undo_url(self) -> str:
        """The address of the page that takes back all of it that is not taken back yet; empty without such."""
        undone = [line.undoes for line in self.lines if line.undoes]
        return decision_undo_url(*undone) if undone else self.line.resolution_url

    @property
    def conflict_url(self) -> str:
        """The page of the conflict that it tells was found; else nothing."""
        return self.line.conflict_url

    @property
    def unsynced(self) -> str:
        """That it waits to be synced, or has failed, as far as any of it does."""
        return next((line.unsynced for line in self.lines if line.unsynced), "")

    @property
    def is_undone(self) -> bool:
        return all(line.is_undone for line in self.lines)

    @property
    def chain(self) -> Sequence[CauseLink]:
        return list(dict.fromkeys(link for line in self.lines for link in line.chain))

    @property
    def technical(self) -> Sequence[str]:
        """Entries, jobs, webhooks and requests, each once."""
        return list(dict.fromkeys(text for line in self.lines for text in line.technical))


def acts_of(lines: Sequence[ActivityLine], labels: Sequence[str]) -> list[Act]:
    """Return the acts of these lines, newest first, the fields of each in the order of these labels."""
    place = {label: number for number, label in enumerate(labels)}
    found: dict[tuple[object, ...], list[ActivityLine]] = {}
    times: Counter[tuple[object, ...]] = Counter()
    for line in sorted(lines, key=lambda line: line.at, reverse=True):
        # A script that saves one field again and again within a transaction does so many times, not once.
        about = line.label or line.field
        times[line.act, about] += 1
        found.setdefault((*line.act, times[line.act, about]) if line.act else (line.line_id,), []).append(line)
    return [
        Act(sorted(group, key=lambda line: place.get(line.label or line.field, len(place)))) for group in found.values()
    ]


@dataclass(frozen=True)
class Activity:
    """What a record's page shows of its activity: the newest acts, and the fields by which they are chosen."""

    acts: Sequence[Act]
    fields: Mapping[str, str]
    chosen: str
    all_url: str

    @property
    def chosen_label(self) -> str:
        """What the chosen field is called; empty where every field is shown."""
        return self.fields.get(self.chosen, "")


def activity_of(record: SyncedModel, *, reader: Any, field: str = "", limit: int = MOST_LINES) -> Activity:
    """Return the newest things that happened to a record, as this user may know them; of one field where it has it."""
    names = _names_by_key(record)
    chosen = field if field in names else ""
    about = {"entity_type": record.entity_type(), "entity_id": record.pk}
    rows = Decision.objects.filter(**about)
    decisions = list((rows.filter(key=chosen) if chosen else rows)[:limit])
    shown = {name for _, fields in ([names[chosen]] if chosen else names.values()) for name in fields}
    changes = _Changes(record, limit, [one for one in _fields(record) if not chosen or one.name in shown])
    told = _Told(decisions, changes, names)
    labels = {name: label for label, fields in names.values() for name in fields if len(fields) == 1}
    lines = [
        *_change_lines(changes, labels, told, names, chosen, _Unsynced(record)),
        *_decision_lines(decisions, names, told, reader),
    ]
    opens = reader.has_perm("sync.view_decision")
    return Activity(
        acts=acts_of(lines, [label for label, _ in names.values()])[:limit],
        fields={key: label for key, (label, _) in names.items()},
        chosen=chosen,
        all_url=f"{reverse('admin:sync_decision_changelist')}?q={record.pk}" if opens else "",
    )


_SENT_WAYS = (SyncDirection.BIDIRECTIONAL, SyncDirection.NPD_TO_MONDAY)


def unsynced_changes(ids: Sequence[UUID] | None = None, *, limit: int) -> list[tuple[UnsyncedEdit, dict[str, str]]]:
    """Return the edits that wait to be sent, newest first, each with the labels of its columns that are sent.

    Of these records, or of those with the newest jobs. An edit that added its record has no columns.
    """
    edits = [edit for edit in unsynced_edits(ids, limit=limit) if registry.is_registered(edit.entity_type)]
    sent: dict[UUID, dict[str, str]] = {}
    for entity_type in {one.entity_type for one in edits}:
        model = registry.entity(entity_type).model
        mappings = FieldMapping.objects.filter(link__entity_type=entity_type, direction__in=_SENT_WAYS)
        labels = {
            model._meta.get_field(name).attname: one.label  # type: ignore[union-attr]
            for one in mappings.exclude(column_id="").order_by("position", "pk")
            for name in one.fields
        }
        rows = model._default_manager.filter(pk__in={one.entity_id for one in edits}, sync_direction__in=_SENT_WAYS)
        keys = rows.exclude(sync_status=RecordSyncStatus.DISABLED).values_list("pk", flat=True)
        sent |= dict.fromkeys(keys, labels)
    found = [
        (one, {name: label for name, label in sent[one.entity_id].items() if name in one.columns})
        for one in edits
        if one.entity_id in sent
    ]
    return [(one, labels) for one, labels in found if labels or not one.columns]


def unsynced_words(edit: UnsyncedEdit) -> str:
    return "Not synced: its job failed" if edit.has_failed else "Pending"


def _names_by_key(record: SyncedModel) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The label and the record's own fields of each mapped field, by its key; then the fields that aren't mapped."""
    mappings = FieldMapping.objects.filter(link__entity_type=record.entity_type()).order_by("position", "pk")
    found = {one.key: (one.label, tuple(one.fields)) for one in mappings}
    mapped = {name for _, fields in found.values() for name in fields}
    own = [one for one in registry.own_fields(type(record)) if one.name not in mapped]
    return found | {one.name: (capfirst(str(one.verbose_name)), (one.name,)) for one in own}


class _Told:
    """What the decisions that are shown tell already, of which the record's own changes need no line."""

    def __init__(
        self, decisions: Sequence[Decision], changes: _Changes, names: Mapping[str, tuple[str, tuple[str, ...]]]
    ) -> None:
        self.batches = {str(row.batch_id) for row in decisions if row.batch_id}
        # The edits that were sent as they are, by field and time; of others the sending is told by itself.
        self.sent: set[tuple[str, datetime]] = set()
        self.actors = changes.actors
        self.edit_of: dict[int, Any] = {}
        # The decisions of the same act, by the one whose line stands for it.
        self.same: dict[int, Decision] = {}
        self.told_by: set[int] = set()
        self._fold_pushes(decisions, changes, names)
        self._fold_wishes(decisions)
        self.undone = _undone_ids(decisions)
        moves = {row.batch_id for row in decisions if row.batch_id and is_undoable(row)}
        self.sizes = batch_sizes(moves)

    def _fold_pushes(
        self, decisions: Sequence[Decision], changes: _Changes, names: Mapping[str, tuple[str, tuple[str, ...]]]
    ) -> None:
        edits = {event.pgh_created_at.isoformat(): (event, before) for event, before in changes.pairs if before}
        made = {(str(row.batch_id), row.key): row for row in decisions if row.kind != "push" and moves_value(row)}
        for row in decisions:
            # A value that was sent names the edit that made it.
            event, before = edits.get(_saved_at(row), (None, None))
            _, fields = names.get(row.key, ("", ()))
            if event is None or not _was(before, fields, row.values):
                continue
            if told := made.get((str(_context(event).get("batch", "")), row.key)):
                self.same[told.pk] = row
                self.told_by.add(row.pk)
            else:
                self.sent.add((row.key, event.pgh_created_at))
                self.edit_of[row.pk] = event

    def _fold_wishes(self, decisions: Sequence[Decision]) -> None:
        wished: dict[tuple[str, str, str], Decision] = {}
        for row in sorted(decisions, key=lambda row: row.pk):
            about = (str(row.cause.get("conflict", "")), row.key)
            if row.kind in WISH_KINDS.values():
                wished[*about, row.kind] = row
            elif wish := wished.pop((*about, WISH_KINDS.get(row.kind, "")), None):
                self.same[row.pk] = wish
                self.told_by.add(wish.pk)


def _saved_at(row: Decision) -> str:
    return str(row.cause.get("npd", {}).get("at", "")) if row.kind == "push" else ""


def _context(event: Any) -> Mapping[str, Any]:
    return event.pgh_context.metadata if event.pgh_context else {}


def _was(event: Any, fields: Sequence[str], sent: Mapping[str, Any]) -> bool:
    """Whether a row had in these fields what a sending tells as the value before, of a relation the same record."""
    own = {field.name: field.attname for field in event._meta.concrete_fields}
    values = {name: to_json_value(getattr(event, own[name])) for name in fields if name in own}
    if "raw_before" not in sent:
        # Of an empty cell nothing is kept.
        return bool(values) and not sent.get("before") and not any(values.values())
    return values == {key: raw.get("id") if isinstance(raw, dict) else raw for key, raw in sent["raw_before"].items()}


def _decision_lines(
    decisions: Sequence[Decision], names: Mapping[str, tuple[str, tuple[str, ...]]], told: _Told, reader: Any
) -> Iterator[ActivityLine]:
    causes, resolutions = causes_by_decision(decisions), resolution_urls(decisions, reader)
    for row in decisions:
        if row.pk in told.told_by:
            continue
        icon, icon_label = mark_of(row)
        is_move, edit, same = moves_value(row) and not row.is_refill, told.edit_of.get(row.pk), told.same.get(row.pk)
        actor, rows = actor_of(row), [row, same] if same else [row]
        if edit is not None:
            actor = told.actors[edit.pgh_id]
        links = list(dict.fromkeys(link for one in rows for link in causes[one.pk]))
        # A batch of one line needs no page of its own.
        in_batch = row.batch_id is not None and told.sizes.get(row.batch_id, 0) > 1
        label = names.get(row.key, (row.key.replace("_", " ").capitalize(), ()))[0]
        is_of_conflict = row.kind in (_RESOLVED, CONFLICT_FOUND_KIND) and bool(row.key)
        yield ActivityLine(
            line_id=f"d{row.pk}",
            at=edit.pgh_created_at if edit else row.done_at,
            actor=actor,
            icon=icon,
            icon_label=icon_label,
            what="" if is_move else humanize.without_request_id(row.sentence),
            field=label if is_of_conflict else "",
            label=label if is_move else "",
            before=_overwritten(row) if row.kind == _RESOLVED else str(row.values.get("before") or ""),
            after=str(row.values.get("result" if row.kind == _RESOLVED else "after") or ""),
            sentence=humanize.without_request_id(" ".join(one.sentence for one in rows)) if is_move else "",
            chain=[one for one in links if one.kind in _PLAIN_CAUSES],
            technical=[
                *(f"entry #{one.pk}" for one in rows),
                *([f"sync {row.batch_id}"] if row.batch_id else []),
                *(x.text for x in links),
            ],
            undoes=row.pk if is_undoable(row) and row.pk not in told.undone else 0,
            resolution_url=resolutions.get(row.pk, ""),
            conflict_url=conflict_url(row, reader),
            batch_url=batch_undo_url(row.batch_id) if row.batch_id and in_batch else "",
            is_undo=row.undoes is not None,
            is_undone=row.pk in told.undone,
            act=_act_of(row, actor, edit) if is_move or is_of_conflict else (),
        )


def _overwritten(row: Decision) -> str:
    """What a resolution has overwritten: the value of one side, or of both."""
    values = dict.fromkeys(str(row.values.get(side) or "(empty)") for side in ("npd", "monday"))
    return " / ".join(one for one in values if one != row.values.get("result"))


def _act_of(row: Decision, actor: str, edit: Any) -> tuple[str, ...]:
    if edit is not None:
        return actor, edit.pgh_created_at.isoformat()
    # A sending that isn't told as its edit is none of that edit's lines.
    return (row.actor, row.kind, str(row.batch_id)) if row.kind == "push" and row.batch_id else act_of(row)


def actor_of(row: Decision) -> str:
    """Return who did what a decision tells: of what a person chose or asked for in a conflict, that person."""
    wished_by = str(row.values.get("by") or "") if row.kind in WISH_KINDS else ""
    return wished_by or row.actor or SYNC_ACTOR


def mark_of(row: Decision) -> tuple[str, str]:
    if row.is_refill:
        return "view_column", "New column filled"
    if row.kind == "removed" and row.reason in _ICONS:
        return _ICONS[row.reason]
    return _ICONS.get(row.kind, ("call_split", "Conflict") if "conflict" in row.kind else ("sync", "Sync"))


def moves_value(row: Decision) -> bool:
    return bool(row.key) and not {"before", "after"}.isdisjoint(row.values)


def act_of(row: Decision) -> tuple[str, ...]:
    """What moves of one act have in common: the save whose values were sent, else the pass and what it did."""
    if row.is_of_new_item:
        return (row.actor, "create", str(row.batch_id or row.pk))
    saved = row.cause.get("npd", {}).get("at") if row.kind == "push" else None
    return (row.actor, str(saved)) if saved else (row.actor, row.kind, str(row.batch_id or row.pk))


def _undone_ids(decisions: Sequence[Decision]) -> set[int]:
    """Those that an undo took back which was not taken back itself."""
    undos: dict[int, list[int]] = {}
    resolutions: dict[tuple[str, str], int] = {}
    rows = Decision.objects.filter(entity_id__in={row.entity_id for row in decisions})
    undoing = rows.filter(Q(undoes__isnull=False) | Q(kind="undo")).order_by("pk")
    for pk, undoes, key, conflict in undoing.values_list("pk", "undoes", "key", "cause__conflict"):
        undos.setdefault(undoes or 0, []).append(pk)
        if conflict:
            resolutions[conflict, key] = pk

    def is_in_force(pk: int) -> bool:
        return not any(is_in_force(undo) for undo in undos.get(pk, ()))

    return {
        row.pk
        for row in decisions
        if not is_in_force(row.pk)
        or (row.kind == _RESOLVED and row.pk < resolutions.get((row.cause.get("conflict", ""), row.key), 0))
    }


def batch_sizes(batches: Collection[UUID]) -> dict[UUID, int]:
    """Return how much of each batch can be undone: values that it moved, and records that it made."""
    undoable = Q(values__has_keys=["raw_before", "raw_after"]) | Q(kind=IMPORT_KIND)
    counted = (
        Decision.objects.filter(undoable, batch_id__in=batches)
        .order_by()
        .values_list("batch_id")
        .annotate(number=Count("id"))
    )
    return {batch: number for batch, number in counted if batch is not None}


class _Changes:
    """The newest changes of some of a record's fields, each with the row before it, and their values in words."""

    def __init__(self, record: SyncedModel, limit: int, fields: Sequence[Any]) -> None:
        self.is_whole = len(fields) == len(_fields(record))
        if self.is_whole:
            # One more than is shown: what the oldest of them changed, only the one before it tells.
            events = _events(record, limit + 1)
            self.pairs = list(zip(events, [*events[1:], None], strict=True)) if events else []
        else:
            self.pairs = _pairs_that_change(record, [one.attname for one in fields], limit)
        self.fields = fields
        self._record, self._display = record, display_of(record) if self.pairs else None
        self.actors = _actors([event for event, _ in self.pairs])
        self._labels = _labels_of_relations(fields, self.pairs)

    def values(self, field: Any, before: Any, after: Any) -> tuple[str, str]:
        """A field's values in two events; as they were typed where only their spelling differs."""
        typed = self.value(field, before), self.value(field, after)
        if self._display is None or not isinstance(getattr(after, field.attname), str) or field.choices:
            return typed
        shown = tuple(self._display.spelling(self._record, field.name, text) for text in typed)
        return (shown[0], shown[1]) if shown[0] != shown[1] else typed

    def value(self, field: Any, event: Any) -> str:
        """A field's value in an event as people read it; empty where there is none."""
        value = getattr(event, field.attname)
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(field, ForeignKey):
            return self._labels[field.attname].get(value, "one that was deleted") if value else ""
        if isinstance(field, ArrayField):
            return ", ".join(value or [])
        if field.choices:
            return str(dict(field.flatchoices).get(value, value))
        return "" if value is None else str(value)


class _Unsynced:
    """The changes of a record that wait to be sent: how often each of its columns was changed in each context."""

    def __init__(self, record: SyncedModel) -> None:
        is_waiting = record.sync_status in (RecordSyncStatus.PENDING, RecordSyncStatus.CONFLICT)
        edits = unsynced_changes([record.pk], limit=1) if is_waiting else []
        self._left = Counter((one.context_id, name) for one, labels in edits for name in labels or ("",))
        self._words = unsynced_words(edits[0][0]) if edits else ""

    def words(self, event: Any, attname: str = "") -> str:
        """Return how this change of a column waits, else nothing; asked of the newest changes first."""
        key = event.pgh_context_id, attname
        if not self._left[key]:
            return ""
        self._left[key] -= 1
        return self._words


def _change_lines(
    changes: _Changes,
    labels: Mapping[str, str],
    told: _Told,
    names: Mapping[str, tuple[str, tuple[str, ...]]],
    chosen: str,
    unsynced: _Unsynced,
) -> Iterator[ActivityLine]:
    """A line for each field that a change of the record's row changed, but for what a decision tells already."""
    keys = {name: key for key, (_, fields) in names.items() for name in fields}
    for event, before in changes.pairs:
        context = _context(event)
        actor = changes.actors[event.pgh_id]
        if str(context.get("batch", "")) in told.batches:
            continue
        marked = ("sync", "Sync") if actor == SYNC_ACTOR else ("edit", "Edited in NPD")
        if before is None:
            if event.pgh_label == "insert" and not chosen:
                words = unsynced.words(event)
                yield ActivityLine(
                    f"e{event.pgh_id}", event.pgh_created_at, actor, "add_circle", "Created", "Created", unsynced=words
                )
            continue
        for field in changes.fields:
            if getattr(event, field.attname, None) == getattr(before, field.attname, None):
                continue
            if (keys.get(field.name), event.pgh_created_at) in told.sent:
                continue
            line_id = f"e{event.pgh_id}-{field.name}"
            if field.name == "sync_enabled":
                what = f"Sync turned {'on' if event.sync_enabled else 'off'}"
                yield ActivityLine(line_id, event.pgh_created_at, actor, *marked, what)
                continue
            was, now = changes.values(field, before, event)
            yield ActivityLine(
                line_id,
                event.pgh_created_at,
                actor,
                *marked,
                label=labels.get(field.name, capfirst(str(field.verbose_name))),
                before=was,
                after=now,
                unsynced=unsynced.words(event, field.attname),
                act=(actor, event.pgh_created_at.isoformat()),
            )


@dataclass(frozen=True)
class LastChange:
    """Who gave a field its present value, as far as it is known, and when; `on_monday`: it was edited there."""

    by: str
    at: datetime
    on_monday: bool = False


def last_change(record: SyncedModel, attname: str) -> LastChange | None:
    """Return who gave a field its present value and when, as far as the last fifty changes of the record tell."""
    events, present = _events(record, 50), getattr(record, attname)
    for event, before in zip(events, [*events[1:], None], strict=False):
        if getattr(event, attname) == present and (before is None or getattr(before, attname) != present):
            batch = event.pgh_context.metadata.get("batch") if event.pgh_context else None
            if batch and (pull := _pull_of(record, batch, attname)):
                editor = str(pull.cause.get("monday", {}).get("who", ""))
                return LastChange(editor, pull.done_at, on_monday=True)
            return LastChange(_actors([event])[event.pgh_id], event.pgh_created_at)
    return None


def _pull_of(record: SyncedModel, batch: str, attname: str) -> Decision | None:
    """The decision by which a pass has updated the field from Monday."""
    names = [attname, record._meta.get_field(attname).name]
    mappings = FieldMapping.objects.filter(link__entity_type=record.entity_type(), fields__overlap=names)
    pulls = Decision.objects.filter(entity_id=record.pk, batch_id=batch, kind="pull")
    return pulls.filter(key__in=mappings.values("key")).first()


def _rows_of_history(record: SyncedModel) -> Any:
    models = event_models(tracks_model=type(record))
    return models[0]._default_manager.filter(pgh_obj_id=record.pk).select_related("pgh_context") if models else None


def _events(record: SyncedModel, limit: int) -> list[Any]:
    rows = _rows_of_history(record)
    return [] if rows is None else list(rows.order_by("-pgh_id")[:limit])


_NO_TEXT = Value("\x01", TextField())
"""What stands before the first change, and is no value's text."""


def _pairs_that_change(record: SyncedModel, attnames: Sequence[str], limit: int) -> list[tuple[Any, Any]]:
    """The newest changes of these columns, however many of others lie between, each with the row before it."""
    rows = _rows_of_history(record)
    if rows is None:
        return []
    order = F("pgh_id").asc()
    texts = {f"text_{name}": Coalesce(Cast(name, TextField()), Value("", TextField())) for name in attnames}
    were = {f"was_{name}": Window(Lag(f"text_{name}", default=_NO_TEXT), order_by=order) for name in attnames}
    before = Window(Lag("pgh_id"), order_by=order)
    told = rows.annotate(**texts).annotate(before_id=before, **were)
    same = {f"was_{name}": F(f"text_{name}") for name in attnames}
    found = list(told.exclude(**same).exclude(before_id=None).order_by("-pgh_id")[:limit])
    befores = rows.in_bulk([event.before_id for event in found], field_name="pgh_id")
    return [(event, befores[event.before_id]) for event in found]


def _actors(events: Sequence[Any]) -> dict[int, str]:
    users = users_of(events)
    return {
        event.pgh_id: actor_name(event.pgh_context.metadata if event.pgh_context else {}, users) for event in events
    }


def _labels_of_relations(fields: Sequence[Any], pairs: Sequence[tuple[Any, Any]]) -> dict[str, dict[Any, str]]:
    """Return, for each relation, the names of what the events point at; one query a relation."""
    labels: dict[str, dict[Any, str]] = {}
    for field in fields:
        if isinstance(field, ForeignKey):
            ids = {getattr(event, field.attname) for pair in pairs for event in pair if event is not None} - {None}
            related: Any = field.related_model
            found = related._default_manager.in_bulk(list(ids)) if ids else {}
            gone = deleted_names(related.entity_type(), ids - found.keys())
            labels[field.attname] = gone | {key: str(target) for key, target in found.items()}
    return labels


def _fields(record: SyncedModel) -> list[Any]:
    return [f for f in record._meta.concrete_fields if f.name not in record.BOOKKEEPING and not f.primary_key]
