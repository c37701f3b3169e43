"""Unmatched items: what no record has and why, made into records, ignored, or linked with a record."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.contrib.filters.admin import RadioFilter

from sync import registry
from sync.admin import admin_base, confirmed_action
from sync.api.callers import monday_throttle_reason
from sync.kernel import humanize
from sync.kernel.messages import Conflict, UnmatchedReason
from sync.models import FieldMapping, SyncedModel, SyncQueue, UnmatchedItem
from sync.operations.preview.planned_changes import ChangeKind, PlannedChange, plan_link
from sync.records import unmatched_items
from sync.records.authors import log_action, log_action_many
from sync.records.availability import wait_sentence
from sync.registry import item_url, link_of, record_url

MAX_NAME = 80
MAX_RECORDS = 20
"""Records that a search of the page “Link to…” lists."""

ATTENTION = "attention"
IGNORED = "ignored"
NONE_LEFT = "Nothing was done: none of them is unmatched any more. Somebody else, or the sync, was faster."

_SIDES = {
    ChangeKind.PUSH: "Monday",
    ChangeKind.PULL: "NPD",
    ChangeKind.CONFLICT: "You are asked",
    ChangeKind.BLOCKED: "Stays as it is",
}


class ShownFilter(RadioFilter):
    """Which of them: all that are not ignored unless asked otherwise."""

    title = "show"
    parameter_name = "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(ATTENTION, "Needs attention"), (IGNORED, "Ignored")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == IGNORED:
            return queryset.exclude(ignored_at=None)
        return queryset.needing_attention() if self.value() == ATTENTION else queryset.listed()


class ReasonFilter(RadioFilter):
    title = "why"
    parameter_name = "why"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return UnmatchedReason.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason_code=self.value()) if self.value() else queryset


@admin.register(UnmatchedItem)
class UnmatchedItemAdmin(admin_base.ReadOnlyAdmin):
    list_display: Sequence[str] = ("item", "why", "board", "since", "on_monday")
    list_filter = (ShownFilter, ReasonFilter, admin_base.EntityFilter)
    search_fields = ("name", "item_id")
    search_help_text = "An item's name or number"
    ordering = ("-first_seen", "-id")
    show_facets = admin.ShowFacets.NEVER
    actions = ("create_records", "ignore", "list_again")
    fields = ("item", "why", "board", "item_values", "since", "seen", "on_monday")
    empty_title = "Every item has its record"
    empty_words = "An item on a board that no contact or organization has is listed here, with the reason."

    item = admin_base.plain_column("Item", lambda row: humanize.shorten(str(row), MAX_NAME), "name")
    on_monday = admin_base.plain_column("On Monday", lambda row: _item_link(row, ""))
    board = admin_base.plain_column("Board", lambda row: registry.board_title(row.entity_type), "entity_type")
    since = admin_base.time_column("first_seen", "Since")
    seen = admin_base.time_column("last_seen", "Last seen on the board")

    @admin.display(description="Why", ordering="reason_code")
    def why(self, row: Any) -> SafeString:
        return format_html('{}<span class="npd-text">{}</span>', request_badge(row.page_job), row.reason_sentence)

    @admin.display(description="What the item says")
    def item_values(self, row: Any) -> SafeString | str:
        labels = dict(FieldMapping.objects.filter(link__entity_type=row.entity_type).values_list("key", "label"))
        values = [(labels.get(key, key), value) for key, value in row.values.items() if value]
        return format_html_join(SafeString("<br>"), "{}: {}", values) or humanize.DASH

    @admin.display(description="Link")
    def link_door(self, row: Any) -> SafeString:
        url = reverse("admin:sync_unmatcheditem_link", args=[row.pk])
        return format_html('<a class="npd-link" href="{}" aria-label="Link {} to a record">Link to…</a>', url, row)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.link_view)
        return [path("<int:pk>/link/", view, name="sync_unmatcheditem_link"), *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.fields, *(["link_door"] if may_link(request) else [])]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        return [*self.list_display, *(["link_door"] if may_link(request) else [])]

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Put on the rows what their cells show: their boards, and what is asked for and not done."""
        super().prepare_page(request, rows)
        jobs = unmatched_items.open_requests(row.item_id for row in rows)
        links = {entity_type: link_of(entity_type) for entity_type in {row.entity_type for row in rows}}
        for row in rows:
            row.page_link = links[row.entity_type]
            row.page_job = jobs.get((row.entity_type, row.item_id))

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        self.message_user(
            request, "The item isn't unmatched any more: a record has it now, or it has left the board.", "warning"
        )
        return HttpResponseRedirect(_list_url())

    def has_ignore_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_unmatcheditem")

    def has_create_permission(self, request: HttpRequest) -> bool:
        """Whether this user may make records of any type of items; of each it is asked once more."""
        return any(registry.may_act(request.user, "add", spec.entity_type) for spec in registry.entities())

    @admin.action(description="Create records…", permissions=["create"])
    def create_records(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> HttpResponse:
        """Have items become records, after a page that says what that means."""
        rows = queryset.filter(ignored_at=None)
        kinds = set(queryset.order_by().values_list("entity_type", flat=True).distinct())
        return confirmed_action.run_action(
            self,
            request,
            lambda: create_records(request, confirmed_action.confirmed_rows(request, rows)),
            back_url=request.get_full_path(),
            question=lambda: creation_question(
                rows, confirmed_action.selection(request, "create_records", rows.count())
            ),
            allowed=all(registry.may_act(request.user, "add", kind) for kind in kinds),
        )

    @admin.action(description="Ignore", permissions=["ignore"])
    def ignore(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> None:
        """Leave items alone; the list of these undoes it."""
        keys, sentence = ignore_items(request, queryset)
        undo = admin_base.link_to(f"{_list_url()}?show={IGNORED}", "List them again")
        self._say(request, len(keys), format_html("{} {}", sentence, undo))

    @admin.action(description="List again", permissions=["ignore"])
    def list_again(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> None:
        self._say(request, *list_again(request, queryset))

    def _say(self, request: HttpRequest, number: int, sentence: str) -> None:
        if number:
            self.message_user(request, sentence, messages.SUCCESS)
        else:
            self.message_user(request, NONE_LEFT, messages.WARNING)

    # The page on which an item is linked with a record.

    def link_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Search a record, show what linking would change, and link."""
        row = self.get_object(request, str(pk))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(pk))
        if not registry.may_act(request.user, "change", row.entity_type) or not self.has_view_permission(request):
            raise PermissionDenied
        model = registry.entity(row.entity_type).model
        key = request.POST.get("record", "")
        record = model._default_manager.filter(pk=key).first() if admin_base.is_valid_key(model, key) else None
        if record is None:
            return self._search_page(request, row)
        if "confirmed" not in request.POST:
            return confirmed_action.question_page(self, request, _link_question(request, row, record), request.path)

        def run() -> confirmed_action.Report:
            with transaction.atomic():
                unmatched_items.request_link(row, record, request.user.get_username())
                log_action(request.user, row, f"Asked to link it with the {row.entity_type} {record.pk}.")
            wait = unmatched_items.request_wait_text(row.entity_type)
            return confirmed_action.Report(
                f"“{row}” is linked with “{record}”{f'. It waits: {wait}' if wait else ' now.'}"
            )

        return confirmed_action.run_action(
            self, request, run, back_url=_list_url(), atomic=False, failed="Nothing was linked."
        )

    def _search_page(self, request: HttpRequest, row: UnmatchedItem) -> HttpResponse:
        term = request.GET.get("q", row.name).replace("\0", "").strip()[:200]
        free = _found(unmatched_items.linkable_records(row.entity_type), term)
        return admin_base.own_page(
            self,
            request,
            "sync/unmatched_link.html",
            "Link an item with a record",
            page_name=str(row),
            row=row,
            item_link=_item_link(row, humanize.shorten(str(row), MAX_NAME)),
            item_values=[value for key, value in row.values.items() if value and key != "name"],
            term=term,
            records=[
                (record, record_url(row.entity_type, record.pk), admin_base.describe(record))
                for record in free[:MAX_RECORDS]
            ],
            type=registry.type_label(row.entity_type).lower(),
            back=_list_url(),
        )


def may_link(request: HttpRequest) -> bool:
    return any(registry.may_act(request.user, "change", spec.entity_type) for spec in registry.entities())


def creation_question(rows: QuerySet[UnmatchedItem], hidden: Sequence[tuple[str, object]]) -> confirmed_action.Question:
    """Ask whether these items are to become records."""
    kinds = set(rows.order_by().values_list("entity_type", flat=True).distinct())
    cells = [
        (str(row), registry.type_label(row.entity_type), row.reason_sentence)
        for row in rows[: confirmed_action.MAX_ROWS_SHOWN]
    ]
    table = confirmed_action.RecordTable(("Item", "Type", "Why it has no record"), cells, rows.count())
    effects = [
        "Each becomes a record, with the values of the item.",
        "If exactly one record without an item matches, the item is linked with it instead.",
        "To undo it, delete the records: what happens to their items is a setting of the board.",
    ]
    count = registry.count_of_type(table.total, kinds.pop() if len(kinds) == 1 else "")
    return confirmed_action.Question(f"Create {count}?", effects, f"Create {count}", [table], hidden)


def create_records(request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> confirmed_action.Report:
    items = unmatched_items.request_creation(rows, request.user.get_username())
    if not items:
        return confirmed_action.Report(problems=[NONE_LEFT])
    log_action_many(request.user, items, "Asked to create a record from it.")
    wait = wait_sentence(len(items), [item.entity_type for item in items])
    are = humanize.plural(len(items), "is", "are")
    return confirmed_action.Report(f"{created_words(items)} {are} created with the next sync. {wait}".rstrip())


def created_words(items: Sequence[UnmatchedItem]) -> str:
    """What is created from these items: one record by its name, more by their number."""
    types = {item.entity_type for item in items}
    if len(items) == 1:
        return f"{capfirst(registry.type_name(types.pop()))} “{items[0]}”"
    return registry.count_of_type(len(items), types.pop() if len(types) == 1 else "")


def ignore_items(request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> tuple[list[str], str]:
    """Leave items alone; return the keys of those that were not left alone before, and what to say."""
    items = list(rows.filter(ignored_at=None))
    number = unmatched_items.ignore_unmatched(
        rows.filter(pk__in=[item.pk for item in items]), request.user.get_username()
    )
    log_action_many(request.user, items, "Ignored.")
    return [str(item.pk) for item in items] if number else [], f"{humanize.count_with_noun(number, 'item')} ignored."


def list_again(request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> tuple[int, str]:
    items = list(rows.exclude(ignored_at=None))
    number = unmatched_items.undo_ignore(
        UnmatchedItem.objects.filter(pk__in=[item.pk for item in items]), request.user.get_username()
    )
    log_action_many(request.user, items, "Listed again.")
    return number, f"{humanize.count_with_noun(number, 'item')} will be checked again."


def _list_url() -> str:
    return reverse("admin:sync_unmatcheditem_changelist")


def _item_link(row: Any, text: str) -> SafeString | str:
    if row.page_link is None:
        return text
    label = f"{humanize.shorten(str(row), MAX_NAME)}, on Monday, in a new tab"
    return admin_base.external_link(item_url(row.page_link, row.item_id), text, label)


def request_badge(job: SyncQueue | None) -> SafeString | str:
    """Return that a person has asked for something that is not done yet; nothing otherwise."""
    if job is None or not any(key in job.payload for key in unmatched_items.REQUEST_KEYS):
        return ""
    return admin_base.badge("go", "sync", "Being linked" if unmatched_items.LINK_TO in job.payload else "Being created")


def _found(records: QuerySet[SyncedModel], term: str) -> QuerySet[SyncedModel]:
    names = registry.searched_fields(records.model)
    matching = records.filter(registry.searching(records.model, names, term))
    return matching.order_by(*registry.default_ordering(records.model))


def _link_question(request: HttpRequest, row: UnmatchedItem, record: SyncedModel) -> confirmed_action.Question:
    """Show what linking would change."""
    title = f"Link “{humanize.shorten(str(row), MAX_NAME)}” with “{record}”?"
    try:
        unmatched_items.check_linkable(row, record)
        problem = monday_throttle_reason(request)
    except Conflict as why:
        problem = str(why)
    if not problem:
        planned, problem = plan_link(record, row.item_id)
    if problem:
        return confirmed_action.Question(title, warning=problem)
    changes = [_change_line(change) for change in planned]
    if not changes:
        effects = ["Both say the same. The item gets the record's NPD ID; nothing else changes."]
        return confirmed_action.Question(title, effects, "Link them", hidden=[("record", record.pk)])
    effects = ["The item gets the record's NPD ID. “Unlink” on the record's page undoes the link."]
    table = confirmed_action.RecordTable(("Changes in", "Field", "Now", "Then"), changes, len(changes))
    return confirmed_action.Question(title, effects, "Link them", [table], [("record", record.pk)])


def _change_line(change: PlannedChange) -> tuple[str, str, str, str]:
    before = change.before or "(empty)"
    after = change.after or "(empty)"
    if change.kind is ChangeKind.CONFLICT:
        before = f"NPD: {before}"
        after = f"Monday: {after}"
    elif change.kind not in _SIDES or not change.field or change.kind is ChangeKind.BLOCKED:
        before = ""
        after = change.reason
    return _SIDES.get(change.kind, ""), change.field, before, after
