"""The truth of each record's sync state, what was decided about it, and what must be known after a crash."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from sync import choices
from sync.clock import SyncNow
from sync.kernel.messages import UnmatchedReason, unmatched_sentence
from sync.monday.board import EventKind, InvalidEvent, ItemEvent
from sync.monday.board_events import EVENT_TYPES, ITEM_NAME_PATHS, parse_event

EMPTY = models.Value({}, models.JSONField())


# The system in whose rows the remote id is called `jira_id`.
JIRA = "jira"


class SyncMetadataManager(models.Manager["SyncMetadata"]):
    def of(self, entity_type: str, ids: Iterable[uuid.UUID | str] | None = None) -> models.QuerySet[SyncMetadata]:
        """Return those of a type's records towards Monday: of all, or of these, as far as they are stored."""
        states = self.filter(entity_type=entity_type, system="monday")
        return states if ids is None else states.filter(entity_id__any_of=[str(entity_id) for entity_id in ids])


class SyncMetadata(models.Model):
    """One row for each record and other system: what the last pass found, and the agreed base.

    `base` maps a mapping's key to {local, remote, item, column, version, at}: the stored pair of values when both sides
    last agreed, with the identity it belongs to. `blocked_fields` (blocked fields) and `altered` (values that Monday
    stored differently) map a key to {reason, code, …}, for a value that a person kept different with `kept_by` too;
    `conflicts` lists the fields of open conflicts by kind, and `asked_items` the items about which “who is this?” is
    asked. `seen` maps a key to the values that recent passes read on Monday, [[value, when], …], newest last: they
    distinguish an event that was seen from an edit that nobody saw.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.TextField("NPD ID")
    system = models.CharField(max_length=20, db_default="monday")
    remote_id = models.CharField("Monday item", max_length=50, null=True, blank=True)
    sync_status = models.CharField(
        max_length=20, choices=choices.SyncStatus.choices, db_default=choices.SyncStatus.PENDING
    )
    last_sync_attempt = models.DateTimeField(null=True, blank=True)
    last_successful_sync = models.DateTimeField(null=True, blank=True)
    error_count = models.IntegerField(db_default=0)
    last_error = models.TextField(blank=True, db_default="")
    sync_direction = models.CharField(
        max_length=20, choices=choices.LedgerDirection.choices, db_default=choices.LedgerDirection.BIDIRECTIONAL
    )
    sync_batch_id = models.UUIDField(null=True, blank=True)
    content_hash = models.CharField(max_length=64, blank=True, db_default="")
    conflicts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    resolution_strategy = models.CharField(
        max_length=20, choices=choices.ResolutionStrategy.choices, db_default=choices.ResolutionStrategy.MANUAL
    )
    sync_duration_ms = models.IntegerField("duration of the last sync (ms)", null=True, blank=True)
    api_calls_count = models.IntegerField("API calls of the last sync", db_default=0)
    local_modified = models.DateTimeField("last change in NPD", null=True, blank=True)
    remote_modified = models.DateTimeField("last change on Monday", null=True, blank=True)
    base: models.JSONField[Any, Any] = models.JSONField("last synced values", db_default=EMPTY, blank=True)
    blocked_fields: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    altered: models.JSONField[Any, Any] = models.JSONField(
        "values that Monday stored differently", db_default=EMPTY, blank=True
    )
    note = models.TextField("reason", blank=True, db_default="")
    remote_state = models.CharField("last answer about the item", max_length=20, blank=True, db_default="")
    removed_since = models.DateTimeField("item known to be deleted since", null=True, blank=True)
    removed_passes = models.SmallIntegerField("checks in a row that found it deleted", db_default=0)
    seen: models.JSONField[Any, Any] = models.JSONField("values last seen on Monday", db_default=EMPTY, blank=True)
    made_from_item = models.BooleanField("created from an item, unchanged in NPD", db_default=False)
    left_out = models.CharField("side whose filter leaves it out", max_length=10, blank=True, db_default="")
    asked_items = ArrayField(
        models.CharField(max_length=50), default=list, blank=True, db_default=[], verbose_name="items in question"
    )
    conflict_opened_at = models.DateTimeField("last conflict found", null=True, blank=True)
    conflict_resolved_at = models.DateTimeField("last conflict resolved", null=True, blank=True)

    objects = SyncMetadataManager()

    class Meta:
        db_table = "sync_metadata"
        verbose_name = "sync state"
        verbose_name_plural = "sync states"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id", "system"], name="sync_metadata_one_a_record"),
            models.CheckConstraint(
                condition=models.Q(sync_status__in=choices.SyncStatus.values), name="sync_metadata_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(sync_direction__in=choices.LedgerDirection.values),
                name="sync_metadata_direction_known",
            ),
            models.CheckConstraint(
                condition=models.Q(resolution_strategy__in=choices.ResolutionStrategy.values),
                name="sync_metadata_strategy_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(entity_type="") & ~models.Q(entity_id="") & ~models.Q(system=""),
                name="sync_metadata_named",
            ),
            models.CheckConstraint(
                condition=models.Q(error_count__gte=0, api_calls_count__gte=0, removed_passes__gte=0)
                & (models.Q(sync_duration_ms=None) | models.Q(sync_duration_ms__gte=0)),
                name="sync_metadata_counts_not_negative",
            ),
            models.CheckConstraint(
                condition=models.Q(last_successful_sync=None)
                | models.Q(last_sync_attempt__isnull=False, last_successful_sync__lte=models.F("last_sync_attempt")),
                name="sync_metadata_success_was_attempt",
            ),
            models.CheckConstraint(
                condition=models.Q(conflict_resolved_at=None)
                | models.Q(conflict_opened_at__isnull=False, conflict_resolved_at__gte=models.F("conflict_opened_at")),
                name="sync_metadata_conflict_opened_first",
            ),
        ]
        # A database's clock may step back: that may not end as a refused write, after the other system has been
        # written to.
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Trigger(
                name="success_was_attempt",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "NEW.last_successful_sync IS NOT NULL AND"
                    " (NEW.last_sync_attempt IS NULL OR NEW.last_sync_attempt < NEW.last_successful_sync)"
                ),
                func="NEW.last_sync_attempt := NEW.last_successful_sync; RETURN NEW;",
            )
        ]
        # None holds a column that every pass moves: PostgreSQL then writes a new version of a row without touching
        # the indexes. Reports read the whole table, which takes a fraction of a second for 100,000 rows.
        indexes: ClassVar[list[models.Index]] = [
            # Serves "whose row is this" for code that knows Jira's id only.
            models.Index(fields=["remote_id"], condition=models.Q(system=JIRA), name="sync_metadata_jira"),
            # Serves "whose item is this" when a webhook names an item.
            models.Index(fields=["entity_type", "remote_id"], name="sync_metadata_remote"),
            # Serves "which records have blocked fields": the first page counts them, its lists show them.
            models.Index(
                fields=["entity_type", "entity_id"],
                condition=~models.Q(blocked_fields=models.Value({}, models.JSONField())),
                name="sync_metadata_blocked",
            ),
            # Serves "whose items were removed on Monday", which are few: Home lists and counts them.
            models.Index(
                fields=["entity_type", "removed_since"],
                condition=models.Q(removed_since__isnull=False),
                name="sync_metadata_removed",
            ),
        ]

    def __str__(self) -> str:
        return f"Sync state {self.pk}"

    @property
    def jira_id(self) -> str | None:
        """The remote id where the other system is Jira, else None.

        Giving one, to the constructor too, makes the row one of Jira's.
        """
        return self.remote_id if self.system == JIRA else None

    @jira_id.setter
    def jira_id(self, value: str | None) -> None:
        self.system = JIRA
        self.remote_id = value


# The other name of the table, by which code of other systems knows it.
SyncState = SyncMetadata


MAX_ACTOR_LENGTH = 200


class Decision(models.Model):
    """One decision on one field or record, with its cause, as a sentence; the record's own log.

    `cause` is what led to it: {rows: queue row ids, causes: their names, events: ids in the inbox, rule, conflict,
    made: it belongs to the making of an item, deletion: by what act its record was deleted, act: of which edit or
    deletion by a person it came}. `values` of a moved value holds {before, after, overridden} as displayed and, for the
    undo, {raw_before, raw_after}. Those with one `fold_id` say the same of one act; all but the newest are `folded`
    (`fold_alike`). One that is folded without such an id is told by another entry of its record: a choice that was
    applied, the sending of what an undo restored. Of an item that was removed, `values` has the `reason`,
    and `at`, when somebody did it.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID", null=True, blank=True)
    remote_id = models.CharField("Monday item", max_length=50, blank=True, db_default="")
    key = models.CharField("field", max_length=100, blank=True, db_default="")
    kind = models.CharField(max_length=30)
    sentence = models.TextField()
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    actor = models.CharField(max_length=MAX_ACTOR_LENGTH, blank=True, db_default="")
    batch_id = models.UUIDField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    at = models.DateTimeField(db_default=SyncNow())
    cause: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    undoes = models.BigIntegerField("entry that this one undoes", null=True, blank=True)
    folded = models.BooleanField("listed within another entry of its act", default=False, db_default=False)
    fold_id = models.UUIDField("act", null=True, blank=True)

    class Meta:
        db_table = "sync_decisions"
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
    def done_at(self) -> datetime:
        """When somebody did on Monday what a pass found, as far as webhooks told; else when it was written down."""
        moment = {"removed": self.values, "pull": self.cause.get("monday", {})}.get(self.kind, {}).get("at")
        return datetime.fromisoformat(moment) if moment else self.at

    def __str__(self) -> str:
        return self.sentence

    @property
    def about(self) -> object:
        """The record, else the item, that it tells of."""
        return self.entity_id or self.remote_id

    @property
    def is_of_new_item(self) -> bool:
        """Whether it tells of an item that was made for a record, or of a value with which it was."""
        return isinstance(self.cause, dict) and "made" in self.cause

    @property
    def is_refill(self) -> bool:
        """Whether it tells that another column was given what the field had already."""
        return isinstance(self.values, dict) and REFILLS in self.values

    @property
    def fold_key(self) -> tuple[str, ...]:
        """Equal for entries of different records that may be one act: a person's of any field, the sync's of one."""
        kind = "create" if self.is_of_new_item else REFILLS if self.is_refill else self.kind
        key = "" if self.actor and not self.is_refill else self.key
        return (self.entity_type, kind, self.reason, key, self.actor, self.act)

    @property
    def act(self) -> str:
        """What tells an act from others alike, as edits one by one; empty where that isn't known, or the sync's."""
        if self.actor and self.kind in BATCH_KINDS:
            return str(self.batch_id or "")
        cause, values = (value if isinstance(value, dict) else {} for value in (self.cause, self.values))
        if self.actor and self.kind == "pull":
            # Monday tells of no act: one value that one person gives one column, within a minute, is taken for one.
            return f"{self.key}={values.get('after', '')}"
        return str(cause.get("act") or cause.get("deletion", ""))

    @property
    def reason(self) -> str:
        """The code of why it came to it, where entries of its kind have several: of an item that was removed, how."""
        return str(self.values.get("reason", "")) if isinstance(self.values, dict) else ""


def log_event(kind: str, sentence: str, *, by: str = "", entity_type: str = "") -> None:
    """Write down what happened to a board, to the sync as a whole, or to who may use it: what is about no record."""
    Decision.objects.create(kind=kind, sentence=sentence, actor=by[:MAX_ACTOR_LENGTH], entity_type=entity_type)


# The kinds of a stop, of a board or of the account, and of its end.
STOP_KIND = "stop"
STOP_END_KIND = "stop_end"

# The kind of what happened to somebody's account, which who may see users is told.
PEOPLE_KIND = "people"


def told_to(user: Any, rows: models.QuerySet[Decision]) -> models.QuerySet[Decision]:
    """Return those of these entries that a person is told of."""
    return rows if user.has_perm("auth.view_user") else rows.exclude(kind=PEOPLE_KIND)


# The kind of what tells that a field is in conflict, or that it is asked what becomes of a record.
CONFLICT_FOUND_KIND = "conflict_found"

# By the kind of a result, the kind of the request that a person made in a conflict: one line shows both.
REQUEST_KINDS = {
    "conflict_settled": "conflict_chosen",
    "undo": "conflict_undo",
    "conflict_undo_refused": "conflict_undo",
}

IMPORT_KIND = "import"

# The kinds of acts by which a person writes many records at once, as one batch.
BATCH_KINDS = (IMPORT_KIND, "undo")

# The key in a line's values which says that another column was given what the field had already.
REFILLS = "refills"


def approval_payload_key(key: str) -> str:
    """Under which a job's payload has the act that approved or rejected a delete, or the clear of the field `key`."""
    return f"approval:{key}"


MANY_ALIKE = 2
# Entries that say the same and come within this time of one another are of one act, in however many passes.
ACT_PAUSE = timedelta(minutes=1)
# The same for batches that hold many of them each: an import waits for Monday's quota in between.
BULK_PAUSE = timedelta(minutes=10)


def fold_alike(entries: Sequence[Decision]) -> Sequence[Decision]:
    """Fold entries that are about to be written, and what stands already of the same act; return all of them.

    Where they are about more than `MANY_ALIKE` records, those of the newest alone are listed. Marked when they are
    written: to find them in a list of a hundred thousand would cost more than the list.
    """
    alike: dict[tuple[str, ...], list[Decision]] = {}
    for entry in [entry for entry in entries if not entry.folded]:
        alike.setdefault(entry.fold_key, []).append(entry)
    listed = _listed_lately(entries)
    for key, group in alike.items():
        pause = BULK_PAUSE if len({entry.about for entry in group}) > MANY_ALIKE else ACT_PAUSE
        before = [entry for entry in listed.get(key, ()) if entry.ago <= (pause if entry.fold_id else ACT_PAUSE)]
        acts = {entry.fold_id for entry in before} - {None}
        if len({entry.about for entry in (*before, *group)}) <= MANY_ALIKE and not acts:
            continue
        act = next(iter(acts), None) or uuid.uuid4()
        for entry in group:
            entry.fold_id = act
            entry.folded = entry.about != group[-1].about
        if before:
            earlier = models.Q(pk__in=[entry.pk for entry in before]) | models.Q(fold_id__in=acts)
            # Without those that are of the act already: a bulk that writes one at a time would write each anew.
            Decision.objects.filter(earlier).exclude(folded=True, fold_id=act).update(folded=True, fold_id=act)
    return entries


def _listed_lately(entries: Sequence[Decision]) -> dict[tuple[str, ...], list[Any]]:
    """The entries that are listed and may be of an act that goes on with these, with how long ago; by `fold_key`."""
    if not entries:
        return {}
    types, kinds, actors = map(
        set, zip(*((entry.entity_type, entry.kind, entry.actor) for entry in entries), strict=True)
    )
    ago = models.ExpressionWrapper(SyncNow() - models.F("at"), models.DurationField())
    rows = Decision.objects.filter(folded=False, at__gt=SyncNow() - BULK_PAUSE, entity_type__in=types)
    of_kind = models.Q(kind__in=kinds) | models.Q(cause__has_key="made")
    rows = rows.filter(of_kind, actor__in=actors).annotate(ago=ago).order_by()
    listed: dict[tuple[str, ...], list[Any]] = {}
    columns = ("kind", "key", "actor", "batch_id", "cause", "values", "fold_id")
    for row in rows.only("entity_type", "entity_id", "remote_id", *columns):
        listed.setdefault(row.fold_key, []).append(row)
    return listed


# What must be known after a crash: intents, webhook deliveries, tombstones, ignored items.


class IntentState(models.TextChoices):
    OPEN = "open", "Not confirmed yet"
    APPLIED = "applied", "Done"
    CONFIRMED = "confirmed", "Done, confirmed afterwards"
    REJECTED = "rejected", "Rejected by Monday"
    VOID = "void", "Had no effect"


class Intent(models.Model):
    """A mutation that is about to be sent, committed before it is.

    `values` maps a mapping's key to {read, read_at, local, base, column, version, united}, `answer` to the value in
    Monday's answer. For a create, `body` is the whole document with its variables, to be sent again under the
    same `idempotency_key`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, blank=True, db_default="")
    lease_token = models.UUIDField("worker that has it")
    idempotency_key = models.CharField(max_length=64)
    alias = models.CharField("name in the request", max_length=20, blank=True, db_default="")
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    body: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=IntentState.choices, db_default=IntentState.OPEN)
    created_at = models.DateTimeField(db_default=SyncNow())
    deadline = models.DateTimeField()
    lookups = models.SmallIntegerField("how often it was looked for", db_default=0)
    answer: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    settled_at = models.DateTimeField("done at", null=True, blank=True)

    class Meta:
        db_table = "sync_intents"
        verbose_name = "API write"
        verbose_name_plural = "API writes"
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim, which skips records with an open intent before its deadline.
            models.Index(fields=["entity_id", "deadline"], condition=models.Q(state="open"), name="sync_intents_open"),
            models.Index(fields=["idempotency_key"], name="sync_intents_document"),
            models.Index(fields=["created_at"], name="sync_intents_age"),
            # Serves "what did we write to this record lately", which the detection of lost updates asks of every event.
            models.Index(fields=["entity_id", "-created_at"], name="sync_intents_record"),
        ]

    def __str__(self) -> str:
        return f"{'Update' if self.item_id else 'Creation'} of a {self.entity_type}: {self.get_state_display()}"


class WebhookEvents(models.QuerySet["WebhookEvent"]):
    def of_kind(self, *kinds: EventKind) -> WebhookEvents:
        return self.filter(type__in=[name for kind in kinds for name in EVENT_TYPES[kind]])


def event_item_name() -> Coalesce:
    """The expression for the name of a delivery's item; null where it names none."""
    return Coalesce(*(KT("__".join(("body", *path))) for path in ITEM_NAME_PATHS))


class WebhookEvent(models.Model):
    """A delivery as received, stored once by what identifies it, processed under the board's lease."""

    id = models.BigAutoField(primary_key=True)
    trigger_id = models.CharField(max_length=64)
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, null=True, blank=True)
    column_id = models.CharField(max_length=50, null=True, blank=True)
    type = models.CharField(max_length=50)
    body: models.JSONField[Any, Any] = models.JSONField()
    received_at = models.DateTimeField(db_default=SyncNow())
    processed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True, db_default="")

    objects = WebhookEvents.as_manager()

    class Meta:
        db_table = "sync_webhook_events"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["trigger_id", "item_id", "column_id", "type"],
                nulls_distinct=False,
                name="sync_webhook_events_once",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the processing of all unprocessed events of an item together.
            models.Index(
                fields=["board_id", "item_id"], condition=models.Q(processed_at=None), name="sync_webhook_events_new"
            ),
            # Serves "when was this item last changed", for the quiet time of a new item.
            models.Index(fields=["item_id", "-received_at"], name="sync_webhook_events_item"),
            # Serves "when did the last one of a board come in", on the first page.
            models.Index(fields=["board_id", "-received_at"], name="sync_webhook_events_board"),
        ]

    def __str__(self) -> str:
        return f"Webhook {self.pk} about item {self.item_id}"

    @cached_property
    def event(self) -> ItemEvent | None:
        """What it tells of an item; None where that can't be read."""
        with suppress(InvalidEvent):
            return parse_event(self.body)
        return None

    @property
    def user_id(self) -> str:
        """Which user of the other system did it; empty where the delivery doesn't say."""
        return (self.event and self.event.user_id) or ""

    @property
    def done_at(self) -> datetime:
        """When it happened there, as the delivery says; else when it came."""
        return (self.event and self.event.happened_at) or self.received_at


class Tombstone(models.Model):
    """What is remembered of a deleted record, so that its item creates no new record.

    Written by a trigger. Records that were deleted in one act have the same `context_id`; a script's have none.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    monday_id = models.CharField(max_length=50, null=True, blank=True)
    data: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    deleted_at = models.DateTimeField(db_default=SyncNow())
    note = models.TextField("reason", blank=True, db_default="")
    reason_code = models.CharField(max_length=30, blank=True, db_default="")
    state = models.CharField(
        max_length=20, choices=choices.TombstoneState.choices, db_default=choices.TombstoneState.WAITING
    )
    settled_at = models.DateTimeField("done at", null=True, blank=True)
    context_id = models.UUIDField("history context of its deletion", null=True, blank=True, editable=False)

    class Meta:
        db_table = "sync_tombstones"
        verbose_name = "deleted record"
        verbose_name_plural = "deleted records"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id"], name="sync_tombstones_one_a_record")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entity_type", "monday_id"], name="sync_tombstones_item")
        ]

    def __str__(self) -> str:
        return f"Deleted {self.entity_type} {self.data.get('name', self.entity_id)}"


class IgnoredItem(models.Model):
    """An ignored item: one that must not become a record, with the reason, so that nobody is asked again.

    Of one that is `erased` no delivery is stored, and nobody is shown that it is ignored.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50)
    reason = models.TextField()
    unlinked = models.BooleanField("unlinked by a policy or a person", db_default=False)
    entity_id = models.UUIDField("the record that it was unlinked from, or is not the same as", null=True, blank=True)
    erased = models.BooleanField("its person was erased: nothing of it may be stored", db_default=False)
    at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_ignored_items"
        verbose_name = "ignored item"
        verbose_name_plural = "ignored items"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "item_id"], name="sync_ignored_items_once")
        ]

    def __str__(self) -> str:
        return f"Item {self.item_id}: {self.reason}"


class UnmatchedItems(models.QuerySet["UnmatchedItem"]):
    """Items without a record, as lists and counts ask for them."""

    def listed(self) -> UnmatchedItems:
        """All but the ignored ones."""
        return self.filter(ignored_at=None)


class UnmatchedItem(models.Model):
    """An item of a board that no record has, with the reason, as it was last read; it decides nothing.

    It goes when a record gets the item (by a trigger of the synced tables), or the item has left the board. `details`
    are what the reason's sentence names, `values` what the item says, by field.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    board_id = models.CharField(max_length=50, blank=True, db_default="")
    item_id = models.CharField("Monday item", max_length=50)
    name = models.TextField(blank=True, db_default="")
    reason_code = models.CharField("why", max_length=30, db_default=UnmatchedReason.QUEUED.value)
    details: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    first_seen = models.DateTimeField("since", db_default=SyncNow())
    last_seen = models.DateTimeField("last seen on the board", db_default=SyncNow())
    ignored_at = models.DateTimeField("ignored", null=True, blank=True)
    ignored_by = models.CharField(max_length=150, blank=True, db_default="")

    objects = UnmatchedItems.as_manager()

    class Meta:
        db_table = "sync_unmatched_items"
        verbose_name = "unmatched item"
        verbose_name_plural = "unmatched items"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The item first: the trigger that deletes the row of an item that a record gets knows no type.
            models.UniqueConstraint(fields=["item_id", "entity_type"], name="sync_unmatched_items_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list, newest first, and its counts.
            models.Index(
                fields=["-first_seen", "-id"],
                include=["reason_code", "entity_type"],
                condition=models.Q(ignored_at=None),
                name="sync_unmatched_items_listed",
            ),
            # Serves "what was ignored last", for its undo and for the version of open pages.
            models.Index(
                fields=["ignored_at"], condition=models.Q(ignored_at__isnull=False), name="sync_unmatched_items_ignored"
            ),
            # Serves "which of the board's items did the listing not show".
            models.Index(fields=["entity_type", "last_seen"], name="sync_unmatched_items_seen"),
        ]

    def __str__(self) -> str:
        return self.name or f"Item {self.item_id}"

    @property
    def reason_sentence(self) -> str:
        return unmatched_sentence(UnmatchedReason(self.reason_code), **self.details)


# Approvals: deletes and emptied fields that are too many to be let through without a person.


class ApprovalRequest(models.Model):
    """One delete or clear: done, or waiting until a person approves it or its cause is gone.

    All count toward the limit: as long as they are open, and for an hour after their end.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    remote_id = models.CharField("Monday item", max_length=50, blank=True, db_default="")
    kind = models.CharField(max_length=20, choices=choices.ApprovalKind.choices)
    key = models.CharField("field", max_length=100, blank=True, db_default="")
    state = models.CharField(max_length=20, choices=choices.ApprovalState.choices)
    label = models.TextField("what would be deleted or emptied", blank=True, db_default="")
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    at = models.DateTimeField(db_default=SyncNow())
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "sync_approval_requests"
        verbose_name = "approval"
        verbose_name_plural = "approvals"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "kind", "key"],
                condition=models.Q(state__in=["pending", "approved", "rejected"]),
                name="sync_approval_requests_one_open",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "how many of this kind within the hour" and the page of pending approvals.
            models.Index(fields=["entity_type", "kind", "state", "at"], name="sync_approval_requests_count")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.label} · {self.get_state_display()}"


# What is watched over time.


EMPTY_LIST = models.Value([], models.JSONField())


class WriteLoop(models.Model):
    """A field that somebody on Monday rewrites after each of our writes; throttled until `throttled_until`.

    `times` has, for each of our writes of the last hour that was rewritten, {at, write: the intent's id}.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    key = models.CharField("field", max_length=100)
    times: models.JSONField[Any, Any] = models.JSONField("when it was rewritten", db_default=EMPTY_LIST)
    by = models.CharField("who rewrites it", max_length=200, blank=True, db_default="")
    throttled_until = models.DateTimeField(null=True, blank=True)
    throttle_count = models.SmallIntegerField("how often it was throttled in succession", db_default=0)

    class Meta:
        db_table = "sync_write_loops"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id", "key"], name="sync_write_loops_one_a_field")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} {self.key}"


class AwaitedRelation(models.Model):
    """A record's relation that waits for a record of `target_type`; that table's triggers enqueue it.

    `target` is “item ” and an item's id, or “name ” and a name's `match_key`. Only those triggers read it;
    why the field is blocked is in the ledger's `blocked_fields`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    key = models.CharField("field", max_length=50)
    target_type = models.CharField(max_length=50)
    target = models.TextField()

    class Meta:
        db_table = "sync_awaited_relations"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "key"], name="sync_awaited_relations_one_a_field"
            )
        ]
        indexes: ClassVar[list[Any]] = [
            # Serves "who waits for this item or name" in the target table's triggers. By hash, because a name
            # can be longer than a B-tree takes.
            HashIndex(fields=["target"], name="sync_awaited_relations_target")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} waits for the {self.target_type} of {self.target}"
