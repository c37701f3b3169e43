"""The deleted records, with their restore."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import registry
from sync.admin import admin_base, confirmed_action
from sync.admin.activity import activity_of
from sync.admin.activity_pages import DELETED, KEYS, MOST_UNDONE, activity_tabs
from sync.choices import TombstoneState
from sync.kernel import humanize
from sync.kernel.messages import NotPossible, TombstoneReason
from sync.models import Tombstone
from sync.records import authors, tombstones

_STATES = {
    TombstoneState.WAITING: ("wait", "schedule", "Pending"),
    TombstoneState.ASKED: ("warn", "help", "Needs attention"),
    TombstoneState.PENDING_APPROVAL: ("warn", "front_hand", "Approval"),
    TombstoneState.ARCHIVED: ("off", "inventory_2", "Archived on Monday"),
    TombstoneState.DELETED: ("off", "delete", "Deleted on Monday"),
    TombstoneState.UNLINKED: ("off", "link_off", "Unlinked"),
    TombstoneState.KEPT: ("off", "push_pin", "Kept"),
    TombstoneState.NOTHING_LEFT: ("off", "check", "No item"),
    TombstoneState.RESTORED: ("ok", "undo", "Restored"),
}
_WITHOUT_ITEM = (TombstoneState.DELETED, TombstoneState.NOTHING_LEFT, TombstoneState.RESTORED)


def deleted_records_link(user: Any, label: str = "Deleted records", query: str = "") -> SafeString | str:
    """Return a link to the deleted records; empty for users who may not see them."""
    if not user.has_perm("sync.view_tombstone"):
        return ""
    return admin_base.link_to(f"{reverse(DELETED)}{query}", label)


def restore_link(request: HttpRequest, entity_type: str, keys: Sequence[Any]) -> SafeString | str:
    """Return a link that restores these records; empty for users who may not, and for too many records."""
    user: Any = request.user
    may_restore = user.has_perm("sync.view_tombstone") and registry.may_act(user, "add", entity_type)
    if not may_restore or len(keys) > MOST_UNDONE:
        return ""
    rows = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=keys).order_by("pk")
    pks = ",".join(str(key) for key in rows.values_list("pk", flat=True))
    if not pks:
        return ""
    url = reverse("admin:sync_tombstone_restore", args=[pks])
    return admin_base.link_to(f"{url}?{urlencode({'next': request.path})}", "Undo…")


def restored_item(row: Tombstone) -> str:
    """Return which item a restored record gets; its next sync still links one that is back on the board meanwhile."""
    is_gone = not row.monday_id or row.state in tombstones.REMOVED_TOMBSTONE_STATES
    return "New item" if is_gone else "Linked again"


class DeletedList(admin_base.PageChangeList):
    def get_results(self, request: HttpRequest) -> None:
        self.tabs = activity_tabs(request, DELETED)
        super().get_results(request)


@admin.register(Tombstone)
class TombstoneAdmin(admin_base.ReadOnlyAdmin):
    """The deleted records, with their restore."""

    class Media:
        css = {"all": ["npd/record.css"]}

    changelist = DeletedList
    list_display = ("name", "kind", "deleted", "by", "outcome", "restore")
    list_before_template = "sync/list_tabs.html"
    fields = ("kind", "deleted", "by", "outcome", "what_now", "item", "values_then")
    list_filter = (("state", ChoicesCheckboxFilter), admin_base.EntityFilter)
    search_fields = ("monday_id", "entity_id", "data__name")
    search_help_text = "A record's name, or the number of its item"
    ordering = ("-deleted_at",)
    actions = ("bring_back",)
    change_form_outer_after_template = "sync/record_activity.html"
    empty_title = "Nothing was deleted"
    empty_words = "What is deleted in NPD is listed here, with what became of its item. For 30 days it can be restored."

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = super().get_queryset(request)
        # A restored one is a record again, so it is listed only on request.
        if self.is_list(request) and request.GET.keys().isdisjoint((SEARCH_VAR, "state__exact", "state__in", "state")):
            rows = rows.exclude(state=TombstoneState.RESTORED)
        return rows

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.restore_some)
        return [re_path(rf"^(?P<keys>{KEYS})/restore/$", view, name="sync_tombstone_restore"), *super().get_urls()]

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        links = {entity_type: registry.link_of(entity_type) for entity_type in {row.entity_type for row in rows}}
        deleted_by = authors.deletion_authors((row.entity_type, row.entity_id) for row in rows)
        for row in rows:
            author = deleted_by.get(row.entity_id)
            row.page_link = links[row.entity_type]
            is_gone = row.state != TombstoneState.RESTORED and row.reason_code != TombstoneReason.ERASED
            row.page_may_restore = is_gone and registry.may_act(request.user, "add", row.entity_type)
            row.page_by = author.by if author else ""

    def row_buttons(self, request: HttpRequest, row: Any) -> list[admin_base.Button]:
        url = reverse("admin:sync_tombstone_restore", args=[row.pk])
        return [admin_base.Button("Restore…", url=url)] if row.page_may_restore else []

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Add the record's activity."""
        record = tombstones.rebuild_record(registry.entity(row.entity_type).model, row)
        return super().row_context(request, row) | {"activity": activity_of(record, request)}

    name = admin_base.plain_column("Record", lambda row: tombstones.tombstone_name(row) or str(row.entity_id))
    kind = admin_base.type_column()
    by = admin_base.plain_column("By", lambda row: row.page_by or humanize.DASH)
    item = admin_base.plain_column("Its item's number", lambda row: row.monday_id or humanize.DASH)
    deleted = admin_base.time_column("deleted_at", "Deleted")
    what_now = admin_base.plain_column(
        "What happened", lambda row: row.note or "Deleted in NPD. Its item has not been checked yet."
    )

    @admin.display(description="Restore")
    def restore(self, row: Any) -> SafeString | str:
        if not row.page_may_restore:
            return ""
        return format_html(
            '<a class="npd-button" href="{}" aria-label="Restore {}">Restore…</a>',
            reverse("admin:sync_tombstone_restore", args=[row.pk]),
            self.name(row),
        )

    @admin.display(description="Its item", ordering="state")
    def outcome(self, row: Any) -> SafeString:
        """Return the item's state, with a link if Monday still shows the item (also in its archive)."""
        badge = admin_base.badge(*_STATES[TombstoneState(row.state)])
        if not row.monday_id or row.page_link is None or row.state in _WITHOUT_ITEM:
            return badge
        label = f"Open the item of {self.name(row)} on Monday, in a new tab"
        link = admin_base.external_link(registry.item_url(row.page_link, row.monday_id), "Open", label)
        return format_html("{} {}", badge, link)

    @admin.display(description="Its values")
    def values_then(self, row: Tombstone) -> SafeString | str:
        """Return the deleted record's non-empty values with their labels."""
        if not registry.is_registered(row.entity_type):
            return humanize.DASH
        lines = []
        for field in registry.own_fields(registry.entity(row.entity_type).model):
            value = None if field.is_relation else row.data.get(field.attname)
            if value:
                text = ", ".join(value) if isinstance(value, list) else value
                lines.append((str(field.verbose_name).capitalize(), text))
        return format_html_join(SafeString("<br>"), "{}: {}", lines) or humanize.DASH

    @admin.action(description="Restore…")
    def bring_back(self, request: HttpRequest, queryset: models.QuerySet[Tombstone]) -> HttpResponse:
        """Restore records after a question."""
        return self._ask_and_restore(request, queryset, request.get_full_path())

    def restore_some(self, request: HttpRequest, keys: str) -> HttpResponse:
        """Restore the records of this address after a question."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).exclude(state=TombstoneState.RESTORED).filter(pk__in=keys.split(","))
        back_url = admin_base.own_address(request, request.GET.get("next")) or reverse(DELETED)
        return self._ask_and_restore(request, rows, back_url)

    def _ask_and_restore(
        self, request: HttpRequest, queryset: models.QuerySet[Tombstone], back_url: str
    ) -> HttpResponse:
        types = queryset.order_by().values_list("entity_type", flat=True).distinct()
        may_restore = all(registry.may_act(request.user, "add", entity_type) for entity_type in types)

        def question() -> confirmed_action.Question:
            rows = queryset.order_by("deleted_at")[: confirmed_action.MAX_ROWS_SHOWN]
            cells = [(self.name(row), registry.type_label(row.entity_type), restored_item(row)) for row in rows]
            table = confirmed_action.RecordTable(("Record", "Type", "Its item"), cells, queryset.count())
            if not table.total:
                return confirmed_action.Question("Nothing to restore", ["They are restored already."])
            label = f"Restore {humanize.count_with_noun(table.total, 'deleted record')}"
            title = f"Restore “{cells[0][0]}”?" if table.total == 1 else f"{label}?"
            hidden = confirmed_action.selection(request, "bring_back", table.total)
            return confirmed_action.Question(title, _restore_effects(table.total), label, [table], hidden)

        def run() -> confirmed_action.Report:
            if not may_restore:
                return confirmed_action.Report(problems=["Restoring needs the permission to add such records."])
            restored = 0
            problems = []
            for row in confirmed_action.confirmed_rows(request, queryset).order_by("deleted_at"):
                try:
                    tombstones.restore_by_person(row, request.user.get_username())
                except NotPossible as refused:
                    problems.append(str(refused))
                else:
                    authors.log_action(request.user, row, "Restored.")
                    restored += 1
            sentence = f"{humanize.count_with_noun(restored, 'record')} restored. The next sync updates the items."
            return confirmed_action.Report(sentence if restored else "", problems)

        return confirmed_action.run_action(self, request, run, back_url, question if may_restore else None)


def _restore_effects(number: int) -> list[str]:
    item = "If its item is on the board, or back there, both are linked again; if not, it gets a new item."
    if number > 1:
        item = "One whose item is on the board, or back there, is linked with it again; any other gets a new item."
    subject = humanize.plural(number, "It", "Each")
    return [
        f"{subject} comes back with its id and the values that it had when it was deleted.",
        f"Records that referred to {humanize.plural(number, 'it', 'one')} refer to it again, unless they have another.",
        f"{item} To undo it, delete {humanize.plural(number, 'the record', 'the records')} again.",
    ]
