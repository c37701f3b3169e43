"""Unlinking records from their items in the admin, and linking them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.acts_log import note, note_many
from sync.admin import words
from sync.admin.confirming import SHOWN, confirm
from sync.letting_go import CannotUnlink, ask_to_unlink_many, let_go_of, link_again
from sync.models import SyncedModel

_UNLINKS = (
    (
        gettext_lazy(
            "Each item's NPD ID is cleared, then the record's sync is turned off. Both sides keep what they have, and "
            "neither changes the other any more; open conflicts close, their values stay in the history."
        )
    ),
    (
        gettext_lazy(
            "The item is not matched with a record, and makes none, until somebody says so. “Link again…” "
            "on the record's "
            "page undoes it: what changed meanwhile then flows, or is asked about."
        )
    ),
)
_NOTHING_TO_UNLINK = gettext_lazy("“{}” has no item on Monday, so there is nothing to unlink.")
_LINKS = (
    gettext_lazy("Each record is linked with the item that was let go of it, and its sync is turned on."),
    (
        gettext_lazy(
            "What changed on one side since flows to the other; what both sides changed differently becomes "
            "a conflict. To "
            "undo it, unlink the record again."
        )
    ),
)


class LinkingMixin:
    """For the admin of a synced model: two actions, on a selection and on the record's page."""

    @admin.action(description=gettext_lazy("Unlink from Monday…"), permissions=["change"])
    def unlink(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Let go of the items of these records, after a page that says what that means."""
        if "confirmed" not in request.POST:
            return confirm(
                self,
                request,
                queryset,
                action="unlink",
                title=_("Unlink from Monday?"),
                sentences=_UNLINKS,
                heads=(_("Record"), _("Item on Monday")),
                cells=[(str(record), record.monday_id or _("none")) for record in queryset[:SHOWN]],
                yes=_("Yes, unlink"),
            )
        linked = list(queryset.exclude(monday_id=None).values_list("pk", flat=True))
        self._warn(request, [_NOTHING_TO_UNLINK.format(record) for record in queryset.filter(monday_id=None)])
        if linked:
            note_many(request.user, queryset.filter(pk__in=linked), _("Unlink from Monday was asked for."))
            ask_to_unlink_many(queryset.model.entity_type(), linked, request.user.get_username())
            self._tell(
                request,
                (_("%(count)s will be unlinked now.") % {"count": words.counted(len(linked), "record")}),
            )
        return None

    @admin.action(description=gettext_lazy("Link again…"), permissions=["change"])
    def link_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Link records with the items that were let go of them, after a page that says which."""
        if "confirmed" not in request.POST:
            return confirm(
                self,
                request,
                queryset,
                action="link_again",
                title=_("Link with their items again?"),
                sentences=_LINKS,
                heads=(_("Record"), _("Item on Monday")),
                cells=[(str(record), _item_of(record)) for record in queryset[:SHOWN]],
                yes=_("Yes, link again"),
            )
        done, refusals = 0, []
        for record in queryset:
            try:
                item_id = link_again(record, request.user.get_username())
                note(request.user, record, (_("Linked with item %(item_id)s again.") % {"item_id": item_id}))
                done += 1
            except CannotUnlink as refused:
                refusals.append(str(refused))
        self._warn(request, refusals)
        if done:
            self._tell(
                request,
                (
                    _("%(count)s linked again. The next look settles the rest.")
                    % {"count": words.counted(done, "record")}
                ),
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
