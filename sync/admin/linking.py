"""Unlinking records from their items in the admin, and linking them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from sync.acts_log import note, note_many
from sync.admin import words
from sync.admin.confirming import SHOWN, confirm
from sync.letting_go import CannotUnlink, ask_to_unlink_many, let_go_of, link_again
from sync.models import SyncedModel

_UNLINKS = (
    (
        "Each item's NPD ID is cleared, then the record's sync is turned off. Both sides keep what they have, and "
        "neither changes the other any more; open conflicts close, their values stay in the history."
    ),
    (
        "The item is not matched with a record, and makes none, until somebody says so. “Link again…” on the record's "
        "page undoes it: what changed meanwhile then flows, or is asked about."
    ),
)
_NOTHING_TO_UNLINK = "“{}” has no item on Monday, so there is nothing to unlink."
_LINKS = (
    "Each record is linked with the item that was let go of it, and its sync is turned on.",
    (
        "What changed on one side since flows to the other; what both sides changed differently becomes a conflict. To "
        "undo it, unlink the record again."
    ),
)


class LinkingMixin:
    """For the admin of a synced model: two actions, on a selection and on the record's page."""

    @admin.action(description="Unlink from Monday…", permissions=["change"])
    def unlink(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Let go of the items of these records, after a page that says what that means."""
        if "confirmed" not in request.POST:
            return confirm(
                self,
                request,
                queryset,
                action="unlink",
                title="Unlink from Monday?",
                sentences=_UNLINKS,
                heads=("Record", "Item on Monday"),
                cells=[(str(record), record.monday_id or "none") for record in queryset[:SHOWN]],
                yes="Yes, unlink",
            )
        linked = list(queryset.exclude(monday_id=None).values_list("pk", flat=True))
        self._warn(request, [_NOTHING_TO_UNLINK.format(record) for record in queryset.filter(monday_id=None)])
        if linked:
            note_many(request.user, queryset.filter(pk__in=linked), "Unlink from Monday was asked for.")
            ask_to_unlink_many(queryset.model.entity_type(), linked, request.user.get_username())
            self._tell(request, f"{words.counted(len(linked), 'record')} will be unlinked now.")
        return None

    @admin.action(description="Link again…", permissions=["change"])
    def link_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Link records with the items that were let go of them, after a page that says which."""
        if "confirmed" not in request.POST:
            return confirm(
                self,
                request,
                queryset,
                action="link_again",
                title="Link with their items again?",
                sentences=_LINKS,
                heads=("Record", "Item on Monday"),
                cells=[(str(record), _item_of(record)) for record in queryset[:SHOWN]],
                yes="Yes, link again",
            )
        done, refusals = 0, []
        for record in queryset:
            try:
                item_id = link_again(record, request.user.get_username())
                note(request.user, record, f"Linked with item {item_id} again.")
                done += 1
            except CannotUnlink as refused:
                refusals.append(str(refused))
        self._warn(request, refusals)
        if done:
            self._tell(
                request, f"{words.counted(done, 'record')} linked again. The next look settles the rest."
            )
        return None

    def _warn(self, request: HttpRequest, refusals: Sequence[str]) -> None:
        for text in words.first_few(refusals):
            self.message_user(request, text, messages.WARNING)  # type: ignore[attr-defined]

    def _tell(self, request: HttpRequest, text: str) -> None:
        self.message_user(request, text, messages.SUCCESS)  # type: ignore[attr-defined]

    def linking_context(self, request: HttpRequest, record: SyncedModel) -> dict[str, Any]:
        """Return what the record's page needs for the two buttons."""
        opts = self.opts  # type: ignore[attr-defined]
        row = None if record.monday_id else let_go_of(record)
        return {
            "sync_may_unlink": bool(record.monday_id),
            "sync_let_go": row,
            "sync_list_url": reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"),
        }


def _item_of(record: SyncedModel) -> str:
    row = let_go_of(record)
    return row.item_id if row else "none was let go"
