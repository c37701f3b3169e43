"""Boards with their mappings and leases; the account with its quota; stored secrets, the API's tokens, the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from knox.models import AbstractAuthToken

from sync import choices
from sync.clock import SyncNow
from sync.kernel.db import EMPTY_LIST, EMPTY_OBJECT
from sync.monday.item_documents import ITEMS_PER_READ
from sync.words.message import JSONWithMessages, Message, MessageField

# The keys of `stops`: all calls, all writes of the account, else a kind of a board's calls (choices.CallKind).
ALL_CALLS = "all"
ALL_WRITES = "writes"  # reads may go on; one that succeeds doesn't end it

# Why a field is blocked whose mapping names no column.
NO_COLUMN = Message("no_column")


@dataclass(frozen=True)
class Stop:
    """A stop of calls after errors; without a reason only their failures, which count towards the next stop."""

    since: datetime
    until: datetime  # the next attempt, or the end of the wait that Monday asks for
    reason: str
    failures: int = 1  # in a row
    code: str = ""  # a StopCode; empty without a reason
    needs_probe: bool = False  # a call is tried before all others
    is_logged: bool = True  # Activity shows it, so it shows the end too
    tried_at: datetime | None = None  # of writes: when the last one failed, or was sent as a probe
    record: str = ""  # the only one whose writes failed so far: it may be the cause, so only it waits
    tried_by: str = ""  # the person who had it tried again since the last failure, whose act its end is

    def lasts_at(self, now: datetime) -> bool:
        """Whether calls wait, for its end or for a probe."""
        return self.needs_probe or self.until > now

    def as_json(self) -> dict[str, Any]:
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(self).items()}


class Stoppable(models.Model):
    """What errors stop: a board, or the account with every board."""

    # `{kind: Stop}`
    stops: models.JSONField[Any, Any] = JSONWithMessages(
        "what is stopped after errors", default=dict, db_default=EMPTY_OBJECT, blank=True
    )

    class Meta:
        abstract = True

    def entry_of(self, kind: str = ALL_CALLS) -> Stop | None:
        """Return what is stored about a kind of calls: its stop, or only the failures before or after one."""
        if (entry := self.stops.get(kind)) is None:
            return None
        times = [name for name in ("since", "until", "tried_at") if entry.get(name)]
        return Stop(**{**entry, **{name: datetime.fromisoformat(entry[name]) for name in times}})

    def stop_of(self, kind: str = ALL_CALLS) -> Stop | None:
        """Return the stop of all calls, or of those of one kind, until one succeeds, even if one may be tried now."""
        entry = self.entry_of(kind)
        return entry if entry and entry.reason else None

    def lock_stops(self) -> None:
        """Read the stops again, locked until the transaction ends."""
        self.refresh_from_db(fields=["stops"], from_queryset=type(self)._base_manager.select_for_update())


class BoardLink(Stoppable):
    """One model ↔ one board, with its policies."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50, unique=True)
    board_id = models.CharField(max_length=50, blank=True, db_default="")
    # The group for new items.
    group_id = models.CharField(max_length=50, blank=True, db_default="")
    # The text column with the id of each item's record: by it an item is known again whatever people edit.
    npd_id_column = models.CharField(max_length=50, blank=True, db_default="")
    # A mapping's key.
    match_key = models.CharField("records and items are matched by", max_length=50)
    creates_records = models.BooleanField("create records from new Monday items", db_default=False)
    # `{records, items}`, each a list of conditions (fields/sync_filter.py).
    sync_filter: models.JSONField[Any, Any] = models.JSONField(
        "which records and items are synced", db_default=EMPTY_OBJECT, blank=True
    )
    # Ours, `{id: {event, fingerprint}}`: the fingerprint of the address that it goes to, which may hold a secret. Those
    # of a former board also have its id, as `board`, until they are deleted there.
    webhooks: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    # `{by, at, why, until}`, of which `until` may be missing, or null if it isn't paused.
    pause: models.JSONField[Any, Any] = models.JSONField("who paused it, when and why", null=True, blank=True)
    # Slow calls make it smaller, and fast ones larger again.
    batch_limit = models.SmallIntegerField(
        "records a document, by the time calls took", default=ITEMS_PER_READ, db_default=ITEMS_PER_READ
    )
    # When a pass last read items.
    last_pass_at = models.DateTimeField(null=True, blank=True)
    # By a bucket of LAG_BUCKETS, or "inf": how many; and "sum", in seconds.
    read_lags: models.JSONField[Any, Any] = models.JSONField(
        "after what time reads showed what was reported", db_default=EMPTY_OBJECT, blank=True
    )
    # The policies after a deletion on the other side.
    removed_item_policy = models.CharField(
        "when an item is deleted on Monday",
        max_length=20,
        choices=choices.RemovedItemPolicy.choices,
        db_default=choices.RemovedItemPolicy.ASK,
    )
    deleted_record_policy = models.CharField(
        "when a record is deleted in NPD",
        max_length=20,
        choices=choices.DeletedRecordPolicy.choices,
        db_default=choices.DeletedRecordPolicy.ARCHIVE,
    )
    swept_to = models.DateTimeField("newest time that a finished sweep saw", null=True, blank=True)
    # The last sweep; set back to have the board swept soon (`wakeups.sweep_soon`).
    swept_at = models.DateTimeField(null=True, blank=True)
    # The log was read without a gap from the one to the other of these times; from none while it shows nothing.
    log_read_from = models.DateTimeField(null=True, blank=True)
    log_read_to = models.DateTimeField(null=True, blank=True)
    sweep_problem = MessageField(blank=True, db_default="")
    # How far sweeps have read the log: `{since, read_again_at, newest_row, gap: {from, to}}`, times as texts.
    log_state: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT, blank=True)
    # When the last comparison began or ended, even in vain: the next is due by it.
    compared_at = models.DateTimeField("last comparison of everything", null=True, blank=True)
    compared = MessageField("what the last comparison found", blank=True, db_default="")
    comparison_problem = MessageField("what the last comparison could not see", blank=True, db_default="")
    # What the next comparison has to know of listings: `{unreadable: the items' ids, short_since}`.
    listing_state: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT, blank=True)
    webhooks_checked_at = models.DateTimeField(null=True, blank=True)
    webhooks_problem = MessageField(blank=True, db_default="")
    silence = MessageField("why its webhooks seem to have fallen silent", blank=True, db_default="")
    # The proof of "synced", by the last comparison that was finished: the synced records that it checked, and those of
    # them that differed.
    verified_at = models.DateTimeField("last verified", null=True, blank=True)
    verified_records = models.IntegerField("records verified", db_default=0)
    differed_records = models.IntegerField("records that differed", db_default=0)
    differences: models.JSONField[Any, Any] = JSONWithMessages(
        "which fields of which records differed", db_default=EMPTY_LIST, blank=True
    )
    npd_id_problem = MessageField("what is wrong with the NPD ID column", blank=True, db_default="")
    creates_held = MessageField("why nothing new is created for now", blank=True, db_default="")
    # Its members are listed in operations/setup/run.py.
    setup: models.JSONField[Any, Any] = JSONWithMessages(
        "the set-up that was started last: its choices, and how far it is", null=True, blank=True
    )
    # `{name, checked_at, columns: {id: {title, type, settings}}}`; a mapped column that was deleted has `gone`.
    shape: models.JSONField[Any, Any] = models.JSONField(
        "the board as it was last seen: its name, its columns", db_default=EMPTY_OBJECT, blank=True
    )

    class Meta:
        db_table = "sync_board_links"
        default_permissions = ("change", "view")
        verbose_name = "board"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                # With two models for a board, both would write to the same items.
                fields=["board_id"],
                condition=~models.Q(board_id=""),
                name="sync_board_links_one_model_a_board",
            )
        ]

    def __str__(self) -> str:
        return f"Board {self.board_id or '(none)'} of {self.entity_type} records"

    def reset_for(self, board_id: str) -> None:
        """Point the link at another board and forget what belonged to the old one; doesn't save."""
        # Not forgotten: the pause and the set-up, which are people's; the stops and the NPD ID column, for which the
        # set-up, the only caller, sees itself; the batch limit, which adapts by itself.
        self.webhooks = {hook_id: {"board": self.board_id, **hook} for hook_id, hook in self.webhooks.items()}
        self.board_id = board_id
        self.group_id = ""
        self.log_read_from = self.log_read_to = None
        self.swept_to = self.swept_at = self.compared_at = self.webhooks_checked_at = self.verified_at = None
        self.verified_records = self.differed_records = 0
        self.differences = []
        self.sweep_problem = self.webhooks_problem = self.silence = self.compared = self.npd_id_problem = ""
        self.comparison_problem = ""
        self.log_state = {}
        self.listing_state = {}
        self.shape = {}
        self.sync_filter = {}
        self.creates_held = ""

    @property
    def is_being_set_up(self) -> bool:
        """Whether a set-up was started and isn't done."""
        return bool(self.setup) and self.setup["state"] == choices.SetupState.RUNNING

    @property
    def has_board(self) -> bool:
        """Whether the board and its NPD ID column are set; without the column, items can't be matched with records."""
        return bool(self.board_id and self.npd_id_column)


class FieldMapping(models.Model):
    """One or several NPD fields ↔ one Monday column."""

    id = models.BigAutoField(primary_key=True)
    link = models.ForeignKey(BoardLink, on_delete=models.CASCADE, related_name="mappings")
    # Of its MappingSpec, such as "email". Bases, conflicts and blocked fields are stored by it.
    key = models.CharField(max_length=50)
    label = models.CharField(max_length=100)
    fields = ArrayField(models.CharField(max_length=50))
    column_id = models.CharField(max_length=50, blank=True, db_default="")
    converter = models.CharField(max_length=30)
    direction = models.CharField(
        max_length=20, choices=choices.SyncDirection.choices, db_default=choices.SyncDirection.BIDIRECTIONAL
    )
    # Which side wins, or that a person is asked, where both changed, and where they differ at a record's first match.
    rule = models.CharField(max_length=20, choices=choices.Rule.choices, db_default=choices.Rule.ASK.value)
    first_match = models.CharField(max_length=20, choices=choices.Rule.choices, db_default=choices.Rule.ASK.value)
    required = models.BooleanField("required", db_default=False)
    # A new version invalidates the base.
    version = models.IntegerField(default=1, db_default=1)
    position = models.SmallIntegerField(db_default=0)
    # What the converter needs of the column: `{column_type, settings}`, in which labels and target boards are.
    options: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT, blank=True)
    problem = MessageField("what is wrong with its column", blank=True, default="", db_default="")
    # A ColumnProblem.
    problem_code = models.CharField(max_length=30, blank=True, default="", db_default="")

    class Meta:
        db_table = "sync_field_mappings"
        default_permissions = ("change", "view")
        ordering: ClassVar[list[str]] = ["link_id", "position", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["link", "key"], name="sync_field_mappings_one_a_key")
        ]

    def __str__(self) -> str:
        return f"{self.label} ↔ {self.column_id or '(no column)'}"

    @property
    def is_blocked(self) -> bool:
        """Whether its column can't be used, though the field is synced."""
        return bool(self.problem) and self.direction != choices.SyncDirection.NONE

    def is_current(self, entry: Mapping[str, Any]) -> bool:
        """Whether a stored entry (a base, an intent, a block) belongs to the current column and version."""
        return (entry["column"], entry["version"]) == (self.column_id, self.version)


class BoardLease(models.Model):
    """The lease of the worker that may write to a board, until `expires` or its database session ends."""

    link = models.OneToOneField(BoardLink, on_delete=models.CASCADE, primary_key=True, related_name="lease")
    # New for each holder; null while nobody has the lease.
    token = models.UUIDField(null=True, blank=True)
    expires = models.DateTimeField(db_default=SyncNow())
    # The holder's database session; if it has ended, the holder was killed.
    session_pid = models.IntegerField(null=True, blank=True)
    session_start = models.DateTimeField(null=True, blank=True)
    # The consecutive holders that never released it.
    lost = models.SmallIntegerField(db_default=0)

    class Meta:
        db_table = "sync_board_leases"

    def __str__(self) -> str:
        return f"lease of {self.link_id}"


class MondayAccount(Stoppable):
    """The account's state for all workers: one row; its pause stops every board."""

    # As in Activity and on Home: every type.
    entity_type: ClassVar[str] = ""

    id = models.SmallIntegerField(primary_key=True, db_default=1)
    # As `BoardLink.pause`.
    pause: models.JSONField[Any, Any] = models.JSONField("who paused every board", null=True, blank=True)
    # When a stop or a pause last ended: jobs count as overdue from then on.
    free_since = models.DateTimeField("end of the last stop or pause", null=True, blank=True)
    asked_at = models.DateTimeField("last asked because a person tried again", null=True, blank=True)
    # A hash of the token (`credentials.token_mark`): another token hasn't been answered yet.
    answered_mark = models.CharField(
        "mark of the token that Monday answered last", max_length=64, blank=True, db_default=""
    )
    user_id = models.CharField("the token's user", max_length=50, blank=True, default="", db_default="")
    version_answered = models.CharField("API version in use", max_length=20, blank=True, db_default="")
    tier = models.CharField("plan", max_length=30, blank=True, db_default="")
    users: models.JSONField[Any, Any] = models.JSONField(
        "users by id: name and email", default=dict, db_default=EMPTY_OBJECT, blank=True
    )
    time_zone = models.CharField("time zone of the token's user", max_length=64, blank=True, default="", db_default="")
    phone_region = models.CharField(
        "country of phone numbers without one", max_length=2, blank=True, default="", db_default=""
    )

    class Meta:
        db_table = "sync_monday_account"
        verbose_name = "Monday account"
        default_permissions = ("change", "view")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # There is one account, so there is one row.
            models.CheckConstraint(condition=models.Q(id=1), name="sync_monday_account_one_row")
        ]

    def __str__(self) -> str:
        return str(self.stop.reason) if self.stop else "Monday account"

    @property
    def stop(self) -> Stop | None:
        """The stop that pages show: of all calls, else of writes."""
        return self.stop_of() or self.stop_of(ALL_WRITES)


class StoredSecret(models.Model):
    """A secret by name."""

    name = models.CharField(primary_key=True, max_length=30, choices=list(choices.SECRET_NAMES.items()))
    # Encrypted by sync/kernel/secret_texts.py.
    sealed = models.TextField()
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    set_at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_stored_secrets"
        # No page lists these rows.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(name__in=list(choices.SECRET_NAMES)), name="sync_stored_secrets_known"
            )
        ]

    def __str__(self) -> str:
        return str(self.get_name_display())


class ApiQuota(models.Model):
    """The account's API quota, which all workers share: one row, changed in a short transaction for each call.

    A limit that is null is unknown and not enforced.
    """

    id = models.SmallIntegerField(primary_key=True, db_default=1)
    # Calls a UTC day, complexity points a minute, and the end of the minute for which points are counted.
    day_limit = models.IntegerField(null=True, blank=True)
    points_limit = models.BigIntegerField(null=True, blank=True)
    points_end = models.DateTimeField(null=True, blank=True)
    points = models.BigIntegerField("complexity points spent in the window", db_default=0)
    # The UTC day on which the calls are counted.
    day = models.DateField(null=True, blank=True)
    # This installation's.
    day_calls = models.IntegerField(db_default=0)
    # Those of the account's other tokens, as Monday last reported.
    others_calls = models.IntegerField(db_default=0)
    # Seconds by which Monday's clock was ahead of PostgreSQL's at the last answer.
    monday_ahead = models.FloatField(null=True, blank=True)

    class Meta:
        db_table = "sync_api_quota"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(id=1), name="sync_api_quota_one_row")
        ]

    def __str__(self) -> str:
        return f"{self.day_calls} of {self.day_limit or 'unknown'} calls today"


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """A token of knox, which stores only a hash, with the name of the program that uses it."""

    name = models.CharField(
        max_length=100, blank=True, default="", db_default="", help_text="The program that uses it, and where."
    )

    class Meta:
        db_table = "knox_authtoken"
        verbose_name = "API token"
        # Everybody manages their own, administrators see all, without a permission.
        default_permissions = ()

    def __str__(self) -> str:
        return self.name or f"{self.token_key}…"


class CacheEntry(models.Model):
    """The table of Django's cache in the database (settings.CACHES)."""

    cache_key = models.CharField(primary_key=True, max_length=255)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "sync_cache"
        default_permissions = ()

    def __str__(self) -> str:
        return self.cache_key
