"""The words in which states are stored. Names and values are contracts (DESIGN: tables)."""

from __future__ import annotations

from enum import IntFlag

from django.db import models
from django.utils.translation import gettext_lazy as _


class RecordSyncStatus(models.TextChoices):
    """What a record says about its own sync."""

    SYNCED = "synced", _("Synced")
    PENDING = "pending", _("Pending")
    CONFLICT = "conflict", _("Conflict")
    DISABLED = "disabled", _("Disabled")


class SyncDirection(models.TextChoices):
    """Which ways changes may flow, of a record or of a field mapping."""

    BIDIRECTIONAL = "bidirectional", _("Both ways")
    NPD_TO_MONDAY = "npd_to_monday", _("NPD to Monday only")
    MONDAY_TO_NPD = "monday_to_npd", _("Monday to NPD only")
    NONE = "none", _("No sync")


class SyncStatus(models.TextChoices):
    """The ledger's view of a record."""

    PENDING = "pending", _("Pending")
    IN_PROGRESS = "in_progress", _("In progress")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    SKIPPED = "skipped", _("Skipped")


class LedgerDirection(models.TextChoices):
    """Which way the last look moved data."""

    LOCAL_TO_REMOTE = "local_to_remote", _("NPD to the other side")
    REMOTE_TO_LOCAL = "remote_to_local", _("The other side to NPD")
    BIDIRECTIONAL = "bidirectional", _("Both ways")


class ResolutionStrategy(models.TextChoices):
    """Who decides when both sides moved apart."""

    AUTO = "auto", _("By the merge's rules")
    MANUAL = "manual", _("A person decides")
    JIRA_WINS = "jira_wins", _("Jira wins")
    LOCAL_WINS = "local_wins", _("NPD wins")
    MONDAY_WINS = "monday_wins", _("Monday wins")


class QueueStatus(models.TextChoices):
    """The life of a queue row."""

    PENDING = "pending", _("Waiting")
    IN_PROGRESS = "in_progress", _("In progress")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")


class QueueDirection(models.TextChoices):
    """Which side gave the reason to look."""

    TO_MONDAY = "to_monday", _("To Monday")
    TO_NPD = "to_npd", _("To NPD")


class Operation(models.TextChoices):
    """Why a row exists; reconcile obeys none of them."""

    CREATE = "create", _("Create")
    UPDATE = "update", _("Update")
    DELETE = "delete", _("Delete")


class Priority(models.IntegerChoices):
    """Smaller is more urgent."""

    PERSON = 10, _("A person's click")
    EDIT = 20, _("A fresh edit")
    SWEEP = 30, _("A sweep")
    BACKFILL = 40, _("Backfill")


class Cause(IntFlag):
    """Who wrote a waiting row; a row may have several causes."""

    SAVE = 1
    PERSON = 2
    WEBHOOK = 4
    SWEEP = 8
    FAILURE = 16
    DEPENDENCY = 32


class Rule(models.TextChoices):
    """What decides a field that both sides changed differently."""

    ASK = "ask", _("Ask a person")
    NPD_WINS = "npd_wins", _("NPD wins")
    MONDAY_WINS = "monday_wins", _("Monday wins")
    NEWEST = "newest", _("The newer edit wins")
    UNION = "union", _("Unite (lists)")


class ItemGone(models.TextChoices):
    """What becomes of an unchanged record whose item was archived or deleted on Monday."""

    ASK = "ask", _("Ask a person")
    UNLINK = "unlink", _("Unlink the record")
    DELETE = "delete", _("Delete the record")
    CREATE = "create", _("Create the item again")


class RecordGone(models.TextChoices):
    """What becomes of an unchanged item whose record was deleted in NPD."""

    ARCHIVE = "archive", _("Archive the item")
    DELETE = "delete", _("Delete the item")
    UNLINK = "unlink", _("Unlink the item")
    ASK = "ask", _("Ask a person")


class TombstoneState(models.TextChoices):
    """What is known of a deleted record's item."""

    WAITING = "waiting", _("Its item is to be looked at")
    ASKED = "asked", _("A person decides")
    HELD = "held", _("Waits for approval")
    ARCHIVED = "archived", _("Its item was archived")
    DELETED = "deleted", _("Its item was deleted")
    UNLINKED = "unlinked", _("Its item was let go")
    KEPT = "kept", _("Its item stays as it is")
    GONE = "gone", _("Nothing was left to do")
    RESTORED = "restored", _("The record was brought back")


class GuardKind(models.TextChoices):
    """What the guard counts and holds."""

    ITEMS = "items", _("Archive or delete items on Monday")
    RECORDS = "records", _("Delete records in NPD")
    CLEAR_MONDAY = "clear_monday", _("Empty fields on Monday")
    CLEAR_NPD = "clear_npd", _("Empty fields in NPD")


class GuardState(models.TextChoices):
    """What became of what the guard held."""

    HELD = "held", _("Waits for approval")
    APPROVED = "approved", _("Approved, on its way")
    REJECTED = "rejected", _("Rejected, on its way back")
    RELEASED = "released", _("Let go: its cause is gone")
    DONE = "done", _("Let through")
    KEPT = "kept", _("Rejected and kept")
