"""The activity: decisions about records, events of boards, and how entries of one act are folded."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models

from sync.clock import SyncNow
from sync.kernel import grouped
from sync.kernel.db import EMPTY_OBJECT
from sync.kernel.humanize import timestamp

MAX_ACTOR_LENGTH = 200

# The kinds of a stop, of a board or of the account, and of its end.
STOP_KIND = "stop"
STOP_END_KIND = "stop_end"

# The kind of a conflict found, also about a removed item.
CONFLICT_FOUND_KIND = "conflict_found"

# The kind of a person's request in a conflict, by the kind of its result: pages show both in one line.
REQUEST_KINDS = {
    "conflict_settled": "conflict_chosen",
    "undo": "conflict_undo",
    "conflict_undo_refused": "conflict_undo",
}
IMPORT_KIND = "import"

# The kinds of entries about a deleted record or its item; their actor is the person who deleted the record.
DELETION_KINDS = ("delete", "deleted", "archived")

# The kinds of acts with which a person writes many records as one batch.
BATCH_KINDS = (IMPORT_KIND, "undo")

# The reason of entries about cells that were filled in again because nobody had emptied them: all of a pass are one
# line.
# Also the key in the `values` of a request about such a cell.
UNREPORTED = "unreported"

# The key in an entry's values which marks a refill (see `is_refill`).
REFILLS = "refills"


class Decision(models.Model):
    """An entry of the activity: one decision on one field or record, as a sentence."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID", null=True, blank=True)
    remote_id = models.CharField("Monday item", max_length=50, blank=True, default="", db_default="")
    key = models.CharField("field", max_length=100, blank=True, default="", db_default="")
    kind = models.CharField(max_length=30)
    sentence = models.TextField()
    # Of a moved value: {before, after, overridden} as displayed, and {raw_before, raw_after} for the undo. Of a removed
    # item: its `reason`, and `at`, the time of the removal.
    values: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT, blank=True)
    actor = models.CharField(max_length=MAX_ACTOR_LENGTH, blank=True, default="", db_default="")
    batch_id = models.UUIDField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, default="", db_default="")
    at = models.DateTimeField(db_default=SyncNow())
    # What is known of these: `rows` and `causes`, the jobs' ids and what caused them; `by`, who asked for it; `events`,
    # the ids of webhooks; `npd` and `monday`, the last edit on that side ({who, at, way}); `rule` and `action`, the
    # merge's; `read`, Monday's id of the request that read; `intent` and `alias` of the write; `made`, if it belongs to
    # the creation of an item; `act` or `deletion`, the person's act behind it; `conflict`, a conflict's id; `file`, the
    # name of an import's; `refused`, whether it refused rows.
    cause: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT, blank=True)
    undoes = models.BigIntegerField("entry that this one undoes", null=True, blank=True)
    # Entries with the same `fold_id` belong to one act; all but the newest are folded (see `fold_alike`). An entry that
    # is folded without an id repeats another entry of its record, such as a choice that was applied.
    folded = models.BooleanField("listed within another entry of its act", default=False, db_default=False)
    fold_id = models.UUIDField("act", null=True, blank=True)

    class Meta:
        db_table = "sync_decisions"
        default_permissions = ("change", "view")
        verbose_name = "activity entry"
        verbose_name_plural = "activity entries"
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
        ]

    @property
    def happened_at(self) -> datetime:
        """When it happened on Monday, if a webhook said so; otherwise when the entry was written."""
        moment = None
        if self.kind == "removed":
            moment = self.values.get("at")
        elif self.kind == "pull":
            moment = self.cause.get("monday", {}).get("at")
        return datetime.fromisoformat(moment) if moment else self.at

    def __str__(self) -> str:
        return self.sentence

    @property
    def subject(self) -> object:
        """The id of the record, or of the item if there is no record."""
        return self.entity_id or self.remote_id

    @property
    def is_of_new_item(self) -> bool:
        """Whether it is about the creation of an item for a record, or about a value sent with it."""
        return "made" in self.cause

    @property
    def is_refill(self) -> bool:
        """Whether it says that a newly mapped column got the field's existing value."""
        return REFILLS in self.values

    @property
    def fold_key(self) -> tuple[str, ...]:
        """Equal for entries of different records that may be one act: a person's on any field, the sync's on one."""
        kind = self.kind
        if self.is_of_new_item:
            kind = "create"
        elif self.is_refill:
            kind = REFILLS
        # A pass settles a conflict, and the entry's values say who chose.
        chosen_by = str(self.values.get("by", "")) if kind in REQUEST_KINDS else ""
        key = "" if (self.actor or chosen_by) and not self.is_refill else self.key
        return (self.entity_type, kind, self.reason, key, self.actor or chosen_by, self.act)

    @property
    def act(self) -> str:
        """What distinguishes an act from similar ones; empty if that is unknown, or for the sync's own acts."""
        if self.actor and self.kind in BATCH_KINDS:
            return str(self.batch_id or "")
        if self.actor and self.kind == "pull":
            # Monday reports no acts, so the same value that a person gives a column within a minute counts as one.
            return f"{self.key}={self.values.get('after', '')}"
        return str(self.cause.get("act") or self.cause.get("deletion", ""))

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


def reasons_of(row: Decision) -> list[str]:
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


def triggers_of(row: Decision) -> list[str]:
    """Return the jobs, webhooks and calls that led to a decision, as phrases."""
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
        triggers.append(f"undoes entry #{row.undoes}")
    return triggers


def causes_text(row: Decision) -> str:
    """Return the triggers and reasons of a decision as a chain."""
    return " → ".join([*triggers_of(row), *reasons_of(row)])


def log_event(kind: str, sentence: str, *, by: str = "", entity_type: str = "") -> None:
    """Log an event of a board, the sync as a whole, or a user account; it has no record."""
    Decision.objects.create(kind=kind, sentence=sentence, actor=by[:MAX_ACTOR_LENGTH], entity_type=entity_type)


MANY_ALIKE = 2

# Similar entries with shorter pauses belong to one act, across passes.
ACT_PAUSE = timedelta(minutes=1)

# The same for batches of many entries: an import waits for Monday's quota in between.
BULK_PAUSE = timedelta(minutes=10)


def fold_alike(entries: Sequence[Decision]) -> Sequence[Decision]:
    """Fold entries about to be saved, with stored entries of the same act; return `entries`.

    If an act is about more than MANY_ALIKE records, only the newest record's entries stay listed. Marking entries when
    they are written is cheaper than finding them in a list of a hundred thousand.
    """
    if not entries:
        return entries
    alike = grouped((entry for entry in entries if not entry.folded), lambda entry: entry.fold_key)
    # Recent listed entries that may belong to the same acts, with their age.
    types = {entry.entity_type for entry in entries}
    kinds = {entry.kind for entry in entries}
    actors = {entry.actor for entry in entries}
    age = models.ExpressionWrapper(SyncNow() - models.F("at"), models.DurationField())
    rows = Decision.objects.filter(folded=False, at__gt=SyncNow() - BULK_PAUSE, entity_type__in=types)
    of_kind = models.Q(kind__in=kinds) | models.Q(cause__has_key="made")
    rows = rows.filter(of_kind, actor__in=actors).annotate(age=age).order_by()
    columns = ("kind", "key", "actor", "batch_id", "cause", "values", "fold_id")
    listed = grouped(rows.only("entity_type", "entity_id", "remote_id", *columns), lambda row: row.fold_key)
    for key, group in alike.items():
        pause = BULK_PAUSE if len({entry.subject for entry in group}) > MANY_ALIKE else ACT_PAUSE
        # After a minute, a bulk continues only an entry that others are folded into; a single one was its own act.
        before = [entry for entry in listed.get(key, ()) if entry.age <= (pause if entry.fold_id else ACT_PAUSE)]
        fold_ids = {entry.fold_id for entry in before} - {None}
        is_one_act = group[0].reason == UNREPORTED and len(group) > 1
        if len({entry.subject for entry in (*before, *group)}) <= MANY_ALIKE and not (fold_ids or is_one_act):
            continue
        fold_id = next(iter(fold_ids), None) or uuid.uuid4()
        for entry in group:
            entry.fold_id = fold_id
            entry.folded = entry is not group[-1] if is_one_act else entry.subject != group[-1].subject
        if before:
            earlier = models.Q(pk__in=[entry.pk for entry in before]) | models.Q(fold_id__in=fold_ids)
            # Skip entries already in the act, or each entry of a bulk would update all before it.
            Decision.objects.filter(earlier).exclude(folded=True, fold_id=fold_id).update(folded=True, fold_id=fold_id)
    return entries
