"""The activity: what happened to records and boards, and how lines of one act are folded."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from sync.choices import ActivityKind, TombstoneReason
from sync.clock import SyncNow
from sync.kernel import grouped
from sync.kernel.db import EMPTY_OBJECT
from sync.kernel.humanize import timestamp
from sync.words.message import JSONWithMessages, Message, MessageField

MAX_ACTOR_LENGTH = 200

# The kind of a person's request in a conflict, by the kind of its result: pages show both in one line.
REQUEST_KINDS: Mapping[str, ActivityKind] = {
    ActivityKind.CONFLICT_SETTLED: ActivityKind.CONFLICT_CHOSEN,
    ActivityKind.UNDO: ActivityKind.CONFLICT_UNDO,
    ActivityKind.CONFLICT_UNDO_REFUSED: ActivityKind.CONFLICT_UNDO,
}

# The kinds of lines about a deleted record or its item; their actor is the person who deleted the record.
DELETION_KINDS = (ActivityKind.DELETE, ActivityKind.DELETED, ActivityKind.ARCHIVED)


def is_of_deletion(kind: str, values: Mapping[str, Any]) -> bool:
    """Whether a line is about a record that was deleted in NPD, or what became of its item."""
    return kind in DELETION_KINDS or values.get("reason") == TombstoneReason.PENDING_APPROVAL


# The condition for these, and for what undid the import that made a record (`ActivityLine.deletes_record`).
OF_DELETION = (
    models.Q(kind__in=DELETION_KINDS)
    | models.Q(values__reason=TombstoneReason.PENDING_APPROVAL)
    | models.Q(kind=ActivityKind.UNDO, values={})
)

# The condition for edits on either side, also those that were synced.
OF_EDIT = (
    models.Q(kind=ActivityKind.EDIT)
    | models.Q(kind=ActivityKind.PUSH, cause__has_key="npd") & ~models.Q(cause__has_key="made")
    | models.Q(kind=ActivityKind.PULL, cause__has_key="monday")
)

# The kinds of acts with which a person writes many records as one batch.
BATCH_KINDS = (ActivityKind.IMPORT, ActivityKind.UNDO)

# The reason of lines about cells that were filled in again because nobody had emptied them: all of a pass are one
# line.
# Also the key in the `values` of a request about such a cell.
UNREPORTED = "unreported"

# The key in a line's values which marks a refill (see `is_refill`).
REFILLS = "refills"

# The key in a line's values with what an answer about a rejected value did to its question.
BLOCKED = "blocked"

# The key in a line's cause if it belongs to the creation of an item.
MADE = "made"


# `ActivityLine.happened_at`, for queries.
HAPPENED_AT = models.Case(
    models.When(kind=ActivityKind.REMOVED, then=Cast(KT("values__at"), models.DateTimeField())),
    models.When(kind=ActivityKind.PULL, then=Cast(KT("cause__monday__at"), models.DateTimeField())),
    models.When(kind=ActivityKind.PUSH, cause__has_key="act", then=Cast(KT("cause__npd__at"), models.DateTimeField())),
)


class ActivityLine(models.Model):
    """A line of activity: what happened to one field, record or board."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID", null=True, blank=True)
    remote_id = models.CharField("Monday item", max_length=50, blank=True, default="", db_default="")
    key = models.CharField("field", max_length=100, blank=True, default="", db_default="")
    kind = models.CharField(max_length=30, choices=ActivityKind.choices)
    sentence = MessageField()
    # Of a moved value: {before, after, overridden} as displayed, and {raw_before, raw_after} for the undo; of an answer
    # about a rejected one also `blocked`, its entry in the sync state's `blocked_fields` before and after, None for
    # none. Of a removed item: its `reason`, and `at`, the time of the removal.
    values: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT, blank=True)
    actor = models.CharField(max_length=MAX_ACTOR_LENGTH, blank=True, default="", db_default="")
    batch_id = models.UUIDField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, default="", db_default="")
    at = models.DateTimeField(db_default=SyncNow())
    # What is known of these: `rows` and `causes`, the jobs' ids and what caused them; `by`, who asked for it; `events`,
    # the ids of webhooks; `npd` and `monday`, the last edit on that side ({who, at, way}); `rule` and `action`, the
    # merge's; `read`, Monday's id of the request that read; `intent` and `alias` of the write; `made`, if it belongs to
    # the creation of an item; `act` or `deletion`, the person's act behind it; `conflict`, a conflict's id; `file`, the
    # name of an import's; `refused`, whether it refused rows.
    cause: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT, blank=True)
    undoes = models.BigIntegerField("line that this one undoes", null=True, blank=True)
    # Lines with the same `fold_id` belong to one act; all but the newest are folded (see `fold_alike`). A line that
    # is folded without an id repeats another line of its record, such as a choice that was applied.
    folded = models.BooleanField("listed within another line of its act", default=False, db_default=False)
    fold_id = models.UUIDField("act", null=True, blank=True)

    class Meta:
        db_table = "sync_decisions"
        default_permissions = ("change", "view")
        verbose_name = "line of activity"
        verbose_name_plural = "lines of activity"
        ordering: ClassVar[list[str]] = ["-at", "-id"]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the retention, oldest first, and "what the last hour moved".
            models.Index(fields=["at"], name="sync_decisions_age"),
            # Serves the undo of a whole batch.
            models.Index(fields=["batch_id"], name="sync_decisions_batch"),
            # Serves the history on a record's page, newest first.
            models.Index(fields=["entity_id", "-at"], name="sync_decisions_of_record"),
            # Serves the list of the activity, newest first, and its count.
            models.Index(fields=["-at", "-id"], condition=models.Q(folded=False), name="sync_decisions_listed"),
            # Serves the number that is folded into a line, and the list of these.
            models.Index(fields=["fold_id"], condition=models.Q(fold_id__isnull=False), name="sync_decisions_of_act"),
            # Serves whether an answer (`last_answer`) or an act (`undo_states`) was undone.
            models.Index(fields=["undoes"], condition=models.Q(undoes__isnull=False), name="sync_decisions_undone"),
        ]

    @property
    def happened_at(self) -> datetime:
        """When the value was edited, in NPD or as a webhook said; otherwise when the line was written."""
        moment = None
        if self.kind == ActivityKind.REMOVED:
            moment = self.values.get("at")
        elif self.kind == ActivityKind.PULL:
            moment = self.cause.get("monday", {}).get("at")
        elif self.kind == ActivityKind.PUSH and self.cause.get("act"):
            moment = self.cause.get("npd", {}).get("at")
        return datetime.fromisoformat(moment) if moment else self.at

    @property
    def synced_at(self) -> datetime | None:
        """When an edit was synced, if that was more than a minute after it."""
        is_late = self.kind in (ActivityKind.PUSH, ActivityKind.PULL) and self.at - self.happened_at > ACT_PAUSE
        return self.at if is_late else None

    def __str__(self) -> str:
        return str(self.sentence)

    @property
    def subject(self) -> object:
        """The id of the record, or of the item if there is no record."""
        return self.entity_id or self.remote_id

    @property
    def is_of_new_item(self) -> bool:
        """Whether it is about the creation of an item for a record, or about a value sent with it."""
        return MADE in self.cause

    @property
    def is_refill(self) -> bool:
        """Whether it says that a newly mapped column got the field's existing value."""
        return REFILLS in self.values

    @property
    def is_of_deletion(self) -> bool:
        return is_of_deletion(self.kind, self.values)

    @property
    def is_rejected_removal(self) -> bool:
        """Whether it says that a person rejected the removal of a deleted record's item, a later act of its own."""
        return self.reason == TombstoneReason.REMOVAL_REJECTED

    @property
    def deletes_record(self) -> bool:
        """Whether a person deleted a record, or undid the import that made it."""
        return self.is_of_deletion or (self.kind == ActivityKind.UNDO and not self.values)

    @property
    def fold_key(self) -> tuple[str, ...]:
        """Equal for lines of different records that may be one act: a person's on any field, the sync's on one."""
        if self.is_of_deletion and not self.is_rejected_removal and self.actor and self.act:
            # What was deleted at once is one act, whatever becomes of each item.
            return (self.entity_type, ActivityKind.DELETE, "", "", self.actor, self.act)
        kind: str = self.kind
        if self.is_of_new_item:
            kind = MADE
        elif self.is_refill:
            kind = REFILLS
        # A pass settles a conflict, and the line's values say who chose.
        chosen_by = str(self.values.get("by", "")) if kind in REQUEST_KINDS else ""
        key = "" if self.actor or chosen_by else self.key
        choice = str(self.values.get("choose", ""))
        wording = "" if self.key or choice or kind != self.kind else self.wording
        return (self.entity_type, kind, self.reason, key, self.actor or chosen_by, self.act, choice, wording)

    @property
    def wording(self) -> str:
        """The code of its sentence, or of the question that it asks, which may also say who did what it is about."""
        asks = self.kind == ActivityKind.CONFLICT_FOUND
        message = self.values.get("what") if asks else self.sentence
        if not isinstance(message, Message):
            return ""
        message = message.first
        question = message.params.get("question")
        if asks and isinstance(question, Message):
            message = question.first
        return f"{message.code} {message.params.get('actor', '')}"

    @property
    def act(self) -> str:
        """What distinguishes an act from similar ones; empty if that is unknown, or for the sync's own acts."""
        if self.actor and self.kind in BATCH_KINDS:
            return str(self.batch_id or "")
        if self.actor and self.kind == ActivityKind.PULL:
            # Monday reports no acts, so the same value that a person gives a column within an hour counts as one.
            hour = self.cause.get("monday", {}).get("at", "")[: len("2026-11-30T12")]
            return f"{self.key}={self.values.get('after', '')} {hour}"
        return str(self.cause.get("act") or self.cause.get("deletion", ""))

    @property
    def act_id(self) -> uuid.UUID | None:
        """The id by which the whole act is undone; None if the line is an act of its own."""
        return self.batch_id if self.kind in BATCH_KINDS else self.fold_id

    @property
    def reason(self) -> str:
        """The code of the reason, for kinds with several: how an item was removed."""
        return str(self.values.get("reason", ""))


_CAUSE_WORDS = {
    "save": "a save in NPD",
    "person": "a person's click",
    "webhook": "a webhook",
    "sweep": "a check for missed changes",
    "failure": "a failed sync before it",
    "dependency": "a change of something it depends on",
    "setup": "the board's set-up",
}


def reasons_of(row: ActivityLine) -> list[str]:
    """Return the edits on either side, and the rule that decided, as phrases."""
    reasons = []
    for side, place in (("npd", "edited in NPD"), ("monday", "edited on Monday")):
        if edit := row.cause.get(side):
            way = f" {edit['way']}" if edit.get("way") else ""
            when = f" at {timestamp(datetime.fromisoformat(edit['at']))}" if edit.get("at") else ""
            reasons.append(f"{place} by {edit['who']}{way}{when}")
    if rule := row.cause.get("rule"):
        reasons.append(f"decided by: {rule}")
    return reasons


def triggers_of(row: ActivityLine) -> list[str]:
    """Return the jobs, webhooks and calls that led to a line, as phrases."""
    cause: Mapping[str, Any] = row.cause
    triggers = [f"webhook #{pk}" for pk in cause.get("events", [])]
    kinds = " and ".join(_CAUSE_WORDS.get(kind, kind) for kind in cause.get("causes", []))
    about = ", asked for by ".join(filter(None, [kinds, cause.get("by")]))
    jobs = cause.get("rows", [])
    triggers += [f"job #{pk} ({about})" for pk in jobs]
    if kinds and not jobs:
        triggers.append(f"({about})")
    read = cause.get("read")
    if read:
        triggers.append(f"Monday read [Monday request {read}]")
    if row.request_id and row.request_id != read:
        alias = f", alias {cause['alias']}" if cause.get("alias") else ""
        triggers.append(f"written to Monday [Monday request {row.request_id}{alias}]")
    if row.undoes is not None:
        triggers.append(f"undoes line #{row.undoes}")
    return triggers


def causes_text(row: ActivityLine) -> str:
    """Return the triggers and reasons of a line as a chain."""
    return " → ".join([*triggers_of(row), *reasons_of(row)])


def seen_by(user: Any, lines: models.QuerySet[ActivityLine]) -> models.QuerySet[ActivityLine]:
    """Return the lines that a person may see: only administrators see what concerns accounts and the installation."""
    return lines if user.is_superuser else lines.exclude(kind=ActivityKind.SETTINGS, entity_type="")


def told_events(ids: Collection[uuid.UUID]) -> set[tuple[str, str]]:
    """Return the events of these records' history, with their fields, which have lines of their own."""
    lines = ActivityLine.objects.filter(entity_id__in=ids, values__has_key="event")
    return set(lines.order_by().values_list(KT("values__event"), "key"))


def log_event(kind: ActivityKind, sentence: Message, *, by: str = "", entity_type: str = "") -> None:
    """Log an event of a board, the sync as a whole, or a user account; it has no record."""
    ActivityLine.objects.create(kind=kind, sentence=sentence, actor=by[:MAX_ACTOR_LENGTH], entity_type=entity_type)


MANY_ALIKE = 2

# Similar lines with shorter pauses belong to one act, across passes.
ACT_PAUSE = timedelta(minutes=1)

# The same for batches of many lines: an import waits for Monday's quota in between.
BULK_PAUSE = timedelta(minutes=10)


def fold_alike(lines: Sequence[ActivityLine]) -> Sequence[ActivityLine]:
    """Fold lines about to be saved, with stored lines of the same act; return `lines`.

    If an act is about more than MANY_ALIKE records, only the newest record's lines stay listed, of a deletion the
    first. Marking lines when they are written is cheaper than finding them in a list of a hundred thousand.
    """
    if not lines:
        return lines
    alike = grouped((line for line in lines if not line.folded), lambda line: line.fold_key)
    # Recent listed lines that may belong to the same acts.
    types = {line.entity_type for line in lines}
    kinds = {line.kind for line in lines}
    if any(line.is_of_deletion for line in lines):
        kinds |= {*DELETION_KINDS, ActivityKind.APPROVAL}
    actors = {line.actor for line in lines}
    rows = ActivityLine.objects.filter(folded=False, at__gt=SyncNow() - BULK_PAUSE, entity_type__in=types)
    of_kind = models.Q(kind__in=kinds) | models.Q(cause__has_key="made")
    rows = rows.filter(of_kind, actor__in=actors).annotate(read_at=SyncNow()).order_by()
    columns = ("at", "kind", "key", "actor", "batch_id", "cause", "values", "fold_id", "sentence")
    listed = grouped(rows.only("entity_type", "entity_id", "remote_id", *columns), lambda row: row.fold_key)
    for key, group in alike.items():
        is_deletion = group[0].is_of_deletion
        is_bulk = is_deletion or len({line.subject for line in group}) > MANY_ALIKE
        pause = BULK_PAUSE if is_bulk else ACT_PAUSE
        # After a minute, a bulk continues only a line that others are folded into; a single one was its own act.
        before = [
            line for line in listed.get(key, ()) if line.read_at - line.at <= (pause if line.fold_id else ACT_PAUSE)
        ]
        fold_ids = {line.fold_id for line in before} - {None}
        is_one_act = group[0].reason == UNREPORTED and len(group) > 1
        if len({line.subject for line in (*before, *group)}) <= MANY_ALIKE and not (fold_ids or is_one_act):
            continue
        fold_id = next(iter(fold_ids), None) or uuid.uuid4()
        for line in group:
            line.fold_id = fold_id
            line.folded = line is not group[-1] if is_one_act else line.subject != group[-1].subject
        if before:
            earlier = models.Q(pk__in=[line.pk for line in before]) | models.Q(fold_id__in=fold_ids)
            # Skip lines already in the act, or each line of a bulk would update all before it.
            ActivityLine.objects.filter(earlier).exclude(folded=True, fold_id=fold_id).update(
                folded=True, fold_id=fold_id
            )
        if before and is_deletion:
            # The first stays listed, with the time of the act, whatever becomes of the items later.
            ActivityLine.objects.filter(pk=min(line.pk for line in before)).update(folded=False)
            for line in group:
                line.folded = True
    return lines
