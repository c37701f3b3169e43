"""What was deleted in NPD, with what became of each item; and items that are not to become records."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import registry
from sync.acts_log import DELETION, note, note_many
from sync.admin import words
from sync.admin.base import PageAdmin, ReadOnlyAdmin, page_now
from sync.admin.confirming import SHOWN, confirm
from sync.admin.filters import EntityFilter
from sync.boards import item_url, link_of
from sync.choices import Cause, Priority, TombstoneState
from sync.graveyard import REMOVED, CannotBringBack, bring_back_by_hand
from sync.models import RefusedItem, Tombstone
from sync.queue import SyncQueueService
from sync.registry import kind_words

_STATES = {
    TombstoneState.WAITING: ("wait", "schedule"),
    TombstoneState.ASKED: ("warn", "help"),
    TombstoneState.HELD: ("warn", "front_hand"),
    TombstoneState.ARCHIVED: ("off", "inventory_2"),
    TombstoneState.DELETED: ("off", "delete"),
    TombstoneState.UNLINKED: ("off", "link_off"),
    TombstoneState.KEPT: ("off", "push_pin"),
    TombstoneState.GONE: ("off", "check"),
    TombstoneState.RESTORED: ("ok", "undo"),
}

_COMES_BACK = (
    (
        gettext_lazy(
            "Each comes back under its own id, with the values that it had when it was deleted. What "
            "pointed at it then "
            "doesn't point at it again by itself."
        )
    ),
    (
        gettext_lazy(
            "One whose item is still on the board is linked with it again; one whose item has left the "
            "board gets a new "
            "item. To undo it, delete the record again."
        )
    ),
)


def name_of(row: Tombstone) -> str:
    """Return what the deleted record was called."""
    return str(row.data.get("name") or row.entity_id)


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnlyAdmin):
    """Records that were deleted in NPD."""

    list_display = ("name", "kind", "item", "deleted", "outcome", "what_now")
    list_filter = (("state", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("monday_id", "entity_id", "data__name")
    ordering = ("-deleted_at",)
    json_fields = ("data",)
    actions = ("bring_back",)
    change_form_outer_before_template = "sync/tombstone_buttons.html"
    empty_title = gettext_lazy("Nothing was deleted")
    empty_words = gettext_lazy(
        "A record that is deleted in NPD is remembered here, with what became of its item."
    )

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the boards of the page's types on its rows."""
        super().prepare_page(rows)
        links = {kind: link_of(kind) for kind in {row.entity_type for row in rows}}
        for row in rows:
            row.page_link = links[row.entity_type]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say first what became of the item."""
        first = ["outcome", "what_now", "item"]
        return [
            *first,
            *(name for name in super().get_fields(request, obj) if name not in {*first, "note", "state"}),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer to bring the record back, to those who may."""
        row = kwargs.get("obj")
        may = row is not None and row.state != TombstoneState.RESTORED and _may(request, row.entity_type)
        more = {"may_bring_back": may, "deleted_records": reverse("admin:sync_tombstone_changelist")}
        answer: HttpResponse = super().render_change_form(request, context | more, *args, **kwargs)
        return answer

    @admin.display(description=gettext_lazy("Record"))
    def name(self, row: Tombstone) -> str:
        """Return what it was called."""
        return name_of(row)

    @admin.display(description=gettext_lazy("Type"), ordering="entity_type")
    def kind(self, row: Tombstone) -> str:
        """Return the record's type."""
        return kind_words(row.entity_type)

    @admin.display(description=gettext_lazy("Item on Monday"), ordering="monday_id")
    def item(self, row: Tombstone) -> SafeString | str:
        """Return a link to the item that it had."""
        link = row.page_link if hasattr(row, "page_link") else link_of(row.entity_type)
        if not row.monday_id or link is None:
            return row.monday_id or words.NOTHING
        label = _("Item %(monday_id)s, on Monday, in a new tab") % {"monday_id": row.monday_id}
        return words.external(item_url(link, row.monday_id), row.monday_id, label)

    @admin.display(description=gettext_lazy("Deleted"), ordering="deleted_at")
    def deleted(self, row: Tombstone) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.deleted_at, page_now(row))

    @admin.display(description=gettext_lazy("Its item"), ordering="state")
    def outcome(self, row: Tombstone) -> SafeString:
        """Return what became of the item."""
        kind, symbol = _STATES[TombstoneState(row.state)]
        return words.badge(kind, symbol, row.get_state_display())

    @admin.display(description=gettext_lazy("In words"))
    def what_now(self, row: Tombstone) -> str:
        """Return the same as a sentence."""
        return row.note or _("Deleted in NPD. Its item has not been looked at yet.")

    @admin.action(description=gettext_lazy("Bring back…"))
    def bring_back(self, request: HttpRequest, queryset: QuerySet[Tombstone]) -> HttpResponse | None:
        """Make records again as they were, after a page that says what that means."""
        kinds = queryset.order_by().values_list("entity_type", flat=True).distinct()
        if not all(_may(request, kind) for kind in kinds):
            self.message_user(
                request, _("Bringing back needs the permission to add such records."), messages.ERROR
            )
            return None
        if "confirmed" not in request.POST:
            return self._confirm(request, queryset, list(queryset.order_by("deleted_at")[:SHOWN]))
        back, refusals = [], []
        for row in queryset.order_by("deleted_at"):
            try:
                bring_back_by_hand(row, request.user.get_username())
                note(request.user, row, _("Brought back."))
                back.append(row)
            except CannotBringBack as refused:
                refusals.append(str(refused))
        for text in words.first_few(refusals):
            self.message_user(request, text, messages.WARNING)
        if back:
            text = _("%(count)s brought back. The next look settles the items.") % {
                "count": words.counted(len(back), "record")
            }
            self.message_user(request, text, messages.SUCCESS)
        return None

    def _confirm(
        self, request: HttpRequest, queryset: QuerySet[Tombstone], rows: list[Tombstone]
    ) -> HttpResponse:
        return confirm(
            self,
            request,
            queryset,
            action="bring_back",
            title=_("Bring deleted records back?"),
            sentences=_COMES_BACK,
            heads=(_("Record"), _("Type"), _("Its item")),
            cells=[(name_of(row), kind_words(row.entity_type), _comes_back_with(row)) for row in rows],
            yes=_("Yes, bring back"),
        )


def _may(request: HttpRequest, entity_type: str) -> bool:
    opts = registry.entity(entity_type).model._meta
    return bool(request.user.has_perm(f"{opts.app_label}.add_{opts.model_name}"))


def _comes_back_with(row: Tombstone) -> str:
    if not row.monday_id:
        return _("It had none and gets one.")
    if row.state in REMOVED:
        return _("It has left the board; a new one is made.")
    return f"Item {row.monday_id}"


@admin.register(RefusedItem)
class RefusedItemAdmin(PageAdmin):
    """Items that are not to become records; considering one again, or deleting its row, asks again."""

    list_display = ("item_id", "kind", "why", "reason", "moment")
    list_filter = (EntityFilter, "let_go")
    search_fields = ("item_id", "reason", "entity_id")
    ordering = ("-id",)
    actions = ("consider_again",)
    readonly_fields = ("entity_type", "item_id", "reason", "let_go", "entity_id", "at")
    empty_title = gettext_lazy("No item was refused")
    empty_words = gettext_lazy(
        "An item that is neither matched nor made into a record is listed here. Consider it again to ask."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are written by the engine alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A reason is a fact."""
        return False

    @admin.action(description=gettext_lazy("Consider again"), permissions=["delete"])
    def consider_again(self, request: HttpRequest, queryset: QuerySet[RefusedItem]) -> None:
        """Forget the refusals and look at the items as at new ones."""
        self.delete_queryset(request, queryset)

    def delete_model(self, request: HttpRequest, obj: RefusedItem) -> None:
        """Forget the refusal and look at the item again."""
        with transaction.atomic():
            self._ask_again(request, [obj])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RefusedItem]) -> None:
        """Forget the refusals and look at the items again: both or neither, or a look would come too early."""
        with transaction.atomic():
            note_many(request.user, queryset, _("To be considered again."), flag=DELETION)
            self._ask_again(request, list(queryset))
            super().delete_queryset(request, queryset)

    def _ask_again(self, request: HttpRequest, rows: list[RefusedItem]) -> None:
        for row in rows:
            SyncQueueService().enqueue_item(
                row.entity_type, row.item_id, cause=Cause.PERSON, priority=Priority.PERSON, due_in_seconds=0
            )
        self.message_user(
            request, f"{words.counted(len(rows), 'item')} will be looked at again.", messages.INFO
        )

    @admin.display(description=gettext_lazy("Type"), ordering="entity_type")
    def kind(self, row: RefusedItem) -> str:
        """Return the type of record that it would have become."""
        return kind_words(row.entity_type)

    @admin.display(description=gettext_lazy("What it is"))
    def why(self, row: RefusedItem) -> str:
        """Return whether it was let go, belongs to nobody, or is only not a certain record's."""
        if row.let_go:
            return _("Let go") if row.entity_id else _("Left alone")
        return _("Not a certain record's") if row.entity_id else _("Makes no record")

    @admin.display(description=gettext_lazy("Refused"), ordering="at")
    def moment(self, row: RefusedItem) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.at, page_now(row))
