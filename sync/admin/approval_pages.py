"""The lists of approvals and of ignored items."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.db import models, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync.admin import admin_base
from sync.choices import ApprovalKind, ApprovalState
from sync.kernel import humanize
from sync.models import ApprovalRequest, IgnoredItem
from sync.records.authors import log_action_many
from sync.records.unmatched_items import consider_again


@dataclass(frozen=True)
class Answer:
    """A person's answer to requests of one kind, in words; {items}, {records} and {fields} are their number."""

    label: str
    effect: str
    outcome: str  # the message after it


ANSWERS = {
    ("approve", ApprovalKind.ITEMS): Answer(
        "Remove {items} on Monday",
        "The items are {removed} on Monday, as the board’s setting says. People can restore them there.",
        "{items} will be removed on Monday",
    ),
    ("approve", ApprovalKind.RECORDS): Answer(
        "Delete {records} in NPD",
        "The records are deleted in NPD. Each can be restored from “Deleted records”.",
        "{records} will be deleted in NPD",
    ),
    ("approve", ApprovalKind.CLEAR_MONDAY): Answer(
        "Empty {fields} on Monday",
        "The cells are emptied on Monday, as they are in NPD.",
        "{fields} will be emptied on Monday",
    ),
    ("approve", ApprovalKind.CLEAR_NPD): Answer(
        "Empty {fields} in NPD",
        "The fields are emptied in NPD, as they are on Monday.",
        "{fields} will be emptied in NPD",
    ),
    ("reject", ApprovalKind.ITEMS): Answer(
        "Keep {items} on Monday",
        "The records stay deleted in NPD. Their items stay on Monday as they are, and no new records are created from "
        "them. To have a record back, restore it from “Deleted records”.",
        "{items} {stay} on Monday",
    ),
    ("reject", ApprovalKind.RECORDS): Answer(
        "Keep {records} in NPD",
        "The records stay in NPD. For each, a conflict asks you what to do with it.",
        "{records} {stay} in NPD",
    ),
    ("reject", ApprovalKind.CLEAR_MONDAY): Answer(
        "Restore {fields} in NPD",
        "NPD gets the values back that are still on Monday.",
        "{fields} will be restored in NPD",
    ),
    ("reject", ApprovalKind.CLEAR_NPD): Answer(
        "Restore {fields} on Monday",
        "Monday gets the values back that are still in NPD.",
        "{fields} will be restored on Monday",
    ),
}


def approvals_link(user: Any) -> SafeString | str:
    """Return a link to the approvals on Home; empty for users who may not see them."""
    if not user.has_perm("sync.view_approvalrequest"):
        return ""
    return admin_base.link_to(reverse("admin:index"), "See what waits for approval")


_BADGES = {
    ApprovalState.PENDING: ("warn", "gpp_maybe"),
    ApprovalState.APPROVED: ("go", "sync"),
    ApprovalState.REJECTED: ("go", "undo"),
    ApprovalState.RELEASED: ("off", "check"),
    ApprovalState.DONE: ("ok", "check_circle"),
    ApprovalState.KEPT: ("ok", "shield"),
}


@admin.register(ApprovalRequest)
class ApprovalAdmin(admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    """Deletions and emptied fields that need, or needed, an approval because they were too many."""

    list_display = ("state_badge", "about", "change", "since", "decided")
    list_display_links = ("state_badge",)
    list_filter = (("state", ChoicesCheckboxFilter), ("kind", ChoicesCheckboxFilter), admin_base.EntityFilter)
    search_fields = ("label", "remote_id", "entity_id")
    search_help_text = "A record's name, or the number of its item"
    ordering = ("-id",)
    fields = ("about", "change", "remote_id", "since", "state_badge", "decided", "decided_at")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ApprovalRequest]:
        """Leave requests that nobody had to decide out of the unfiltered list."""
        rows: models.QuerySet[ApprovalRequest] = super().get_queryset(request).select_related("decided_by")
        if not self.is_list(request) or any("state" in name for name in request.GET):
            return rows
        return rows.exclude(state=ApprovalState.DONE, decided_at=None)

    state_badge = admin_base.badge_column("state", "State", _BADGES)
    change = admin_base.plain_column("What", lambda row: row.get_kind_display(), "kind")
    since = admin_base.time_column("at", "Since")
    decided = admin_base.plain_column(
        "Decided by", lambda row: row.decided_by.get_username() if row.decided_by else humanize.DASH
    )

    @admin.display(description="What would be lost", ordering="label")
    def about(self, row: Any) -> SafeString | str:
        return admin_base.link_to(row.page_record_url, row.label)


@admin.register(IgnoredItem)
class IgnoredItemAdmin(admin_base.ReadOnlyAdmin):
    list_display = ("item_id", "kind", "why", "reason", "moment")
    list_filter = (admin_base.EntityFilter, "unlinked")
    search_fields = ("item_id", "reason", "entity_id")
    search_help_text = "An item's number, or why it is ignored"
    ordering = ("-id",)
    actions = ("consider_again",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[IgnoredItem]:
        """Hide the items of erased persons, who would come back if one were considered again."""
        rows: models.QuerySet[IgnoredItem] = super().get_queryset(request)
        return rows.filter(erased=False)

    def has_consider_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.delete_ignoreditem")

    @admin.action(description="Consider again", permissions=["consider"])
    def consider_again(self, request: HttpRequest, queryset: models.QuerySet[IgnoredItem]) -> None:
        """Check the items again like new ones."""
        with transaction.atomic():
            log_action_many(request.user, queryset, "To be considered again.", flag=DELETION)
            number = consider_again(IgnoredItem.objects.filter(pk__in=queryset.values("pk")))
        self.message_user(request, f"{humanize.count_with_noun(number, 'item')} will be checked again.", messages.INFO)

    kind = admin_base.type_column()

    @admin.display(description="Ignored as")
    def why(self, row: IgnoredItem) -> str:
        if row.unlinked:
            return "Unlinked from its record" if row.entity_id else "Left alone"
        return "Not the item of one record" if row.entity_id else "Never becomes a record"

    moment = admin_base.time_column("at", "Ignored")
