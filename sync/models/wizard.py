"""A set-up that a person is drawing up in the wizard: one a type of records, written nowhere else until confirmed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.choices import Rule
from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class SetupState(models.TextChoices):
    """How far a set-up is."""

    DRAWN = "drawn", _("Being drawn up")
    COMPARING = "comparing", _("Both sides are being compared")
    COMPARED = "compared", _("Waits to be confirmed")
    RUNNING = "running", _("Being carried out")
    DONE = "done", _("Carried out")


class SetupDraft(models.Model):
    """What is to be set up for one type of records.

    Without `board_id` a board is made. `columns` is the board as it was read last: {id: {title, type, settings,
    samples}}; `fields` what was chosen, {key: {column, direction, rule}}, where the column is an id, nothing, or
    MAKE for one to be made. `answers` say of records with a name like an item's whose item it is: the item's id, or
    NEW or OUT. `found` is what the comparison found, `outcome` what the run did. Each change by a person makes a
    new `revision`, by which a page that has become old is known. A worker holds the draft by `token` until
    `held_until`.
    """

    entity_type = models.CharField(max_length=50, primary_key=True)
    state = models.CharField(max_length=20, choices=SetupState.choices, db_default=SetupState.DRAWN)
    revision = models.IntegerField(db_default=1)
    board_id = models.CharField(max_length=50, blank=True, db_default="")
    board_name = models.CharField(max_length=255, blank=True, db_default="")
    columns: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    fields: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    mapped = models.BooleanField(_("the fields were chosen by a person"), db_default=False)
    threshold = models.SmallIntegerField(_("how alike two names must be, in per cent"), db_default=88)
    first_match = models.CharField(max_length=20, choices=Rule.choices, db_default=Rule.ASK)
    creates_records = models.BooleanField(db_default=False)
    answers: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    found: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    found_at = models.DateTimeField(null=True, blank=True)
    outcome: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    progress = models.CharField(max_length=255, blank=True, db_default="")
    problem = models.TextField(blank=True, db_default="")
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    changed_at = models.DateTimeField(db_default=SyncNow())
    token = models.UUIDField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_setup_drafts"
        # Who may set up is whoever may change boards and their mappings.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # One board serves one type, in drafts as in board links.
            models.UniqueConstraint(
                fields=["board_id"],
                condition=~models.Q(board_id=""),
                name="sync_setup_drafts_one_type_a_board",
            )
        ]

    def __str__(self) -> str:
        return f"set-up of {self.entity_type}"
