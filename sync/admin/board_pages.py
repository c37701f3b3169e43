"""Boards in the admin: their settings, their field mappings, and the last verification."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from sync import addresses, attention, registry
from sync.admin import admin_base, home_acts, queue_pages
from sync.admin.concurrent_edits import ConcurrentForm
from sync.admin.setup_pages import SetupWizardMixin
from sync.boards.board_columns import column_label
from sync.fields import lookups
from sync.fields.sync_filter import SyncFilter
from sync.kernel import humanize
from sync.models import BoardLink, FieldMapping
from sync.operations.comparison import last_comparison_text
from sync.operations.setup.board_setup import check_unmatched_again
from sync.operations.setup.selection import may_set_up
from sync.operations.verification import verification_sentence


class FieldMappingInline(TabularInline):
    """The field mappings, read-only because the set-up changes them."""

    model = FieldMapping
    extra = 0
    can_delete = False
    hide_title = True
    fields = ("field", "column", "flow", "if_both_changed")
    readonly_fields = fields

    @admin.display(description="Column")
    def column(self, mapping: FieldMapping) -> str:
        if not mapping.column_id:
            return humanize.DASH
        label = column_label(mapping.link, mapping.column_id)
        is_deleted = mapping.link.shape.get("columns", {}).get(mapping.column_id, {}).get("gone")
        return f"{label}, deleted on the board" if is_deleted else label

    flow = admin_base.plain_column("Direction", lambda mapping: mapping.get_direction_display())
    if_both_changed = admin_base.plain_column("If both changed", lambda mapping: mapping.get_rule_display())

    @admin.display(description="Field")
    def field(self, mapping: FieldMapping) -> SafeString | str:
        """Return the field's label, and whether its column can't be used; a card above the mappings says why."""
        if not mapping.problem:
            return mapping.label
        return format_html("{} {}", mapping.label, humanize.badge("warn", "view_column", "Blocked"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class BoardForm(ConcurrentForm):
    class Meta:
        help_texts: ClassVar[dict[str, str]] = {
            "removed_item_policy": (
                "What happens to the record ten minutes after its item was archived or deleted on Monday. If somebody "
                "has edited the record since the last sync, you are asked in any case."
            ),
            "deleted_record_policy": (
                "What happens to the item when its record is deleted in NPD. If somebody has edited the item since the "
                "last sync, you are asked in any case."
            ),
        }


def _page_url(link: BoardLink) -> str:
    return reverse("admin:sync_boardlink_change", args=[link.pk])


@admin.register(BoardLink)
class BoardLinkAdmin(SetupWizardMixin, admin_base.SettingsAdmin):
    list_display = ("name", "state", "checked_ago", "verified_ago", "on_monday")
    form = BoardForm
    change_form_before_template = "sync/concurrent_form.html"
    inlines = (FieldMappingInline,)
    fields = ("creates_records", "filter_text", "removed_item_policy", "deleted_record_policy", "verified")
    readonly_fields = ("filter_text", "verified")
    empty_title = "No boards yet"
    empty_words = "“Set up…” connects boards on Monday: you see a plan before anything is written."

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The set-up creates board links."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deleting a link would orphan every base."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the boards of registered models."""
        types = [spec.entity_type for spec in registry.entities()]
        return super().get_queryset(request).filter(entity_type__in=types).prefetch_related("mappings")

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        overview = admin_base.overview_of(request)
        for link in rows:
            link.page_board = overview.displayed_by_type[link.entity_type]
            link.page_blocked = [mapping for mapping in link.mappings.all() if mapping.is_blocked]

    def row_context(self, request: HttpRequest, link: Any) -> dict[str, Any]:
        """Name the page after its board, and add the board's state and problems."""
        board = link.page_board
        may_pause = board.is_chosen and not board.is_paused
        # What waits about the board itself, also because of its columns.
        waiting = attention.waiting(kinds=(attention.Kind.BOARD, attention.Kind.BLOCKED))
        rows = waiting.filter(entity_type=link.entity_type, entity_id=None).order_by(*attention.IN_ORDER)
        problems = []
        for entry in attention.as_entries(list(rows)):
            buttons = home_acts.act_buttons(entry, request.user, _page_url(link))
            if entry.code.startswith("refused_"):  # Monday refuses a kind of call, such as creates
                buttons = [*filter(None, [queue_pages.go_on_button(request, "try_again")])]
            problems.append((entry, attention.cause_of(entry.kind, entry.code).sentence, buttons))
        return super().row_context(request, link) | {
            "page_name": self.name(link),
            # The banner above says who paused it, and why.
            "board_state": admin_base.board_badge(board) if board.is_paused else self.state(link),
            "board_on_monday": self._board_link(link, "Open on Monday"),
            "pause_button": queue_pages.pause_button(request, link.entity_type) if may_pause else None,
            "problems": problems,
            "may_map": may_set_up(request.user),
        }

    @admin.display(description="What is synced")
    def filter_text(self, link: BoardLink) -> str:
        lines = SyncFilter.parse(link.sync_filter).lines(
            {mapping.key: mapping.label for mapping in link.mappings.all()}
        )
        return " ".join(["Only:", *lines]) if lines else "Every record and every item"

    name = admin_base.plain_column(
        "Board", lambda link: link.shape.get("name") or registry.type_label(link.entity_type), "entity_type"
    )

    @admin.display(description="On Monday")
    def on_monday(self, link: BoardLink) -> SafeString | str:
        return self._board_link(link, "")

    def _board_link(self, link: BoardLink, text: str) -> SafeString | str:
        configured = registry.configured_board_id(link.entity_type)
        link = lookups.with_configured_board(link) if configured else link
        if not link.board_id:
            return humanize.DASH
        label = f"Board {self.name(link)}, on Monday, in a new tab"
        board_link = admin_base.external_link(addresses.board_url(link), text, label)
        return format_html("{}{}", board_link, " (set in the environment)" if configured else "")

    @admin.display(description="State")
    def state(self, link: Any) -> SafeString:
        reason = humanize.without_request_id(link.page_board.detail)
        badge = admin_base.board_badge(link.page_board, link.page_blocked)
        return format_html('{}<span class="npd-why">{}</span>', badge, reason)

    checked_ago = admin_base.time_column("last_pass_at", "Last checked")
    verified_ago = admin_base.time_column("verified_at", "Verified")

    def save_model(self, request: HttpRequest, obj: BoardLink, form: Any, change: bool) -> None:
        """Write only the fields that the person changed, because workers write the others."""
        obj.save(update_fields=form.changed_data)
        if "creates_records" in form.changed_data:
            check_unmatched_again(obj)

    def response_change(self, request: HttpRequest, obj: BoardLink) -> HttpResponse:
        messages.success(request, f"{self.name(obj)}: saved.")
        return redirect(_page_url(obj) if "_continue" in request.POST else "admin:sync_boardlink_changelist")

    @admin.display(description="Verified")
    def verified(self, link: BoardLink) -> SafeString:
        """Return the results of the last verification and of the last nightly comparison."""
        result = verification_sentence([link])
        lines = ((record["name"], field["words"]) for record in link.differences for field in record["fields"])
        differences = format_html_join("", "<li>{}: {}</li>", lines)
        return format_html("{} {}<ul>{}</ul>", result, last_comparison_text(link), differences)
