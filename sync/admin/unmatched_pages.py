"""Unmatched items: the list of what no record has and why, one item's page, and the page on which it is linked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.contrib.filters.admin import RadioFilter

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import EntityFilter, ReadOnlyAdmin, badge, own_page, plain_column
from sync.admin.confirmed_action import Question, RecordTable, Report, confirmed_rows, run_action, selection
from sync.admin.queue_pages import next_pass_text
from sync.api.callers import monday_throttle_reason
from sync.choices import QueueStatus
from sync.kernel import humanize
from sync.kernel.messages import UNMATCHED_LABELS, Conflict, UnmatchedReason
from sync.models import FieldMapping, SyncedModel, SyncQueue, UnmatchedItem
from sync.operations.preview import ChangeKind, PlannedChange, PlannedLink, plan_link
from sync.records import unmatched_items
from sync.records.authors import log_action, log_action_many
from sync.records.availability import wait_sentence
from sync.registry import item_url, link_of, record_url

MAX_NAME = 80
MAX_RECORDS = 20
"""Records that a search of the page “Link to…” lists."""

ATTENTION, IGNORED = "attention", "ignored"

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

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == IGNORED:
            return queryset.exclude(ignored_at=None)
        rows: Any = queryset
        found: QuerySet[Any] = rows.needing_attention() if self.value() == ATTENTION else rows.listed()
        return found


class ReasonFilter(RadioFilter):
    title = "why"
    parameter_name = "why"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every reason, what a person can do something about first."""
        return [(str(code), label) for code, label in UNMATCHED_LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason_code=self.value()) if self.value() else queryset


@admin.register(UnmatchedItem)
class UnmatchedItemAdmin(ReadOnlyAdmin):
    list_display = ("item", "why", "board", "since", "on_monday")
    list_filter = (ShownFilter, ReasonFilter, EntityFilter)
    search_fields = ("name", "item_id")
    search_help_text = "An item's name or number"
    ordering = ("-first_seen", "-id")
    show_facets = admin.ShowFacets.NEVER
    actions = ("create_selected", "ignore_selected", "undo_selected")
    change_form_outer_before_template = "sync/unmatched_item.html"
    empty_title = "Every item has its record"
    empty_words = "An item on a board that no contact or organization has is listed here, with the reason."

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.link_view)
        return [path("<int:pk>/link/", view, name="sync_unmatcheditem_link"), *super().get_urls()]

    def prepare_page(self, rows: list[Any]) -> None:
        """Put on the rows what their cells show: their boards, and what is asked for and not done."""
        super().prepare_page(rows)
        jobs, kinds = unmatched_items.open_requests(row.item_id for row in rows), {row.entity_type for row in rows}
        links = {kind: link_of(kind) for kind in kinds}
        for row in rows:
            row.page_link, row.page_job = links[row.entity_type], jobs.get((row.entity_type, row.item_id))

    item = plain_column("Item", lambda row: humanize.shorten(str(row), MAX_NAME), "name")
    on_monday = plain_column("On Monday", lambda row: _item_link(row, ""))
    kind_of_record = admin_base.type_column()
    board = plain_column("Board", lambda row: registry.board_title(row.entity_type), "entity_type")

    @admin.display(description="Why", ordering="reason_code")
    def why(self, row: Any) -> SafeString:
        return format_html('{}<span class="npd-text">{}</span>', request_badge(row.page_job), row.reason_sentence)

    since = admin_base.time_column("first_seen", "Since")
    seen = admin_base.time_column("last_seen", "Last seen on the board")

    @admin.display(description="Next check")
    def next_check(self, row: Any) -> str:
        job = row.page_job
        later = f", latest {next_pass_text(job)}" if job else ", and with the nightly comparison"
        return f"as soon as it is edited on Monday{later}"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say since when it is known; why, and its values, stand above."""
        ignored = ["ignored_at", "ignored_by"] if obj is not None and obj.ignored_at else []
        return ["kind_of_record", "since", "seen", "next_check", *ignored, "item_id"]

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Show what the item says, and what can be done with it."""
        labels = dict(FieldMapping.objects.filter(link__entity_type=row.entity_type).values_list("key", "label"))
        return super().row_context(request, row) | {
            "page_name": str(row),
            "doors": self.doors_of(request, row),
            "reason": row.reason_sentence,
            "item_link": _item_link(row, humanize.shorten(str(row), MAX_NAME)),
            "item_badge": request_badge(row.page_job),
            "item_values": [(labels.get(key, key), value) for key, value in row.values.items() if value],
            "list_url": _list_url(),
        }

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        self.message_user(
            request, "The item isn't unmatched any more: a record has it now, or it has left the board.", "warning"
        )
        return HttpResponseRedirect(_list_url())

    def doors_of(self, request: HttpRequest, row: Any) -> Iterator[tuple[str, str, str]]:
        """Return what this person can do with an item: the label, and the list's action, or else an address.

        A request about it that waits can only be taken back, by *Ignore*; one that has begun not even that.
        """
        may_ignore, job = self.has_ignore_permission(request), row.page_job
        is_asked = job is not None and bool(request_badge(job))
        if row.ignored_at is None and not is_asked:
            if row.reason_code == UnmatchedReason.AMBIGUOUS and (
                question := registry.page_url("conflicts_syncconflict_changelist", query=f"q={row.item_id}")
            ):
                yield "Answer", "", question
            if registry.may_act(request.user, "add", row.entity_type):
                yield f"Create {registry.type_label(row.entity_type).lower()}…", "create_selected", ""
            if registry.may_act(request.user, "change", row.entity_type):
                yield "Link to…", "", reverse("admin:sync_unmatcheditem_link", args=[row.pk])
        if may_ignore and row.ignored_at is not None:
            yield "List it again", "undo_selected", ""
        elif may_ignore and not (is_asked and job and job.status != QueueStatus.PENDING):
            yield "Ignore", "ignore_selected", ""

    def has_ignore_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_unmatcheditem")

    def has_create_permission(self, request: HttpRequest) -> bool:
        """Whether this user may make records of any type of items; of each it is asked once more."""
        return any(registry.may_act(request.user, "add", spec.entity_type) for spec in registry.entities())

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Name what is created where the list has one type alone."""
        found: dict[str, Any] = super().get_actions(request)
        kind = request.GET.get(str(EntityFilter.parameter_name), "")
        if registry.is_registered(kind) and "create_selected" in found:
            run, name, _ = found["create_selected"]
            found["create_selected"] = run, name, f"Create {registry.entity(kind).model._meta.verbose_name_plural}…"
        return found

    @admin.action(description="Create records…", permissions=["create"])
    def create_selected(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> HttpResponse:
        """Have items become records, after a page that says what that means."""
        kinds = set(queryset.order_by().values_list("entity_type", flat=True).distinct())
        rows = queryset.filter(ignored_at=None)

        def question() -> Question:
            cells = [(str(row), registry.type_label(row.entity_type), row.reason_sentence) for row in rows[:20]]
            table = RecordTable(("Item", "Type", "Why it has no record"), cells, rows.count())
            effects = [
                "Each becomes a record, with the values of the item.",
                "If exactly one record without an item matches, the item is linked with it instead.",
                "To undo it, delete the records: what happens to their items is a setting of the board.",
            ]
            count = registry.count_of_type(table.total, next(iter(kinds)) if len(kinds) == 1 else "")
            hidden = selection(request, "create_selected", table.total)
            return Question(f"Create {count}?", effects, f"Yes, create {count}", [table], hidden)

        return self._run(
            request,
            lambda: create_records(request, confirmed_rows(request, rows))[1],
            allowed=all(registry.may_act(request.user, "add", kind) for kind in kinds),
            question=question,
        )

    @admin.action(description="Ignore", permissions=["ignore"])
    def ignore_selected(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> HttpResponse:
        """Leave items alone; the list of these undoes it."""

        def run() -> Report:
            keys, said = ignore_items(request, queryset)
            undo = format_html('<a class="npd-link" href="{}?show={}">List them again</a>', _list_url(), IGNORED)
            return Report(format_html("{} {}", said, undo)) if keys else Report(problems=[_NONE_LEFT])

        return self._run(request, run)

    @admin.action(description="List again", permissions=["ignore"])
    def undo_selected(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> HttpResponse:
        def run() -> Report:
            done, said = list_again(request, queryset)
            return Report(said) if done else Report(problems=[_NONE_LEFT])

        return self._run(request, run)

    def _run(self, request: HttpRequest, run: Callable[[], Report], **more: Any) -> HttpResponse:
        return run_action(self, request, run, back_url=_back_url(request), **more)

    # The page on which an item is linked with a record.

    def link_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Search a record, show what linking would change, and link."""
        row = self.get_object(request, str(pk))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(pk))
        if not registry.may_act(request.user, "change", row.entity_type) or not self.has_view_permission(request):
            raise PermissionDenied
        params = request.POST if request.method == "POST" else request.GET
        record = _record(row, params.get("record", ""))
        if request.method == "POST" and record is not None and "confirmed" in request.POST:

            def run() -> Report:
                with transaction.atomic():
                    unmatched_items.request_link(row, record, request.user.get_username())
                    log_action(request.user, row, f"Asked to link it with the {row.entity_type} {record.pk}.")
                wait = unmatched_items.request_wait_text(row.entity_type)
                return Report(f"“{row}” is linked with “{record}”{f'. It waits: {wait}' if wait else ' now.'}")

            return run_action(self, request, run, back_url=_list_url(), atomic=False, failed="Nothing was linked.")
        planned = _plan(request, row, record) if request.method == "POST" and record is not None else None
        return self._link_page(request, row, record, planned)

    def _link_page(
        self, request: HttpRequest, row: UnmatchedItem, record: SyncedModel | None, planned: PlannedLink | None
    ) -> HttpResponse:
        term = request.GET.get("q", row.name).replace("\0", "").strip()[:200]
        records = _found_records(row, term) if planned is None else []
        # Without a word these would be nearly all there are.
        is_search = planned is None and bool(term)
        linked = _containing(registry.linked_records(row.entity_type), term)[:MAX_RECORDS] if is_search else []

        def described(found: Iterable[SyncedModel]) -> list[tuple[SyncedModel, str, str]]:
            return [(one, record_url(row.entity_type, one.pk), admin_base.describe(one)) for one in found]

        return own_page(
            self,
            request,
            "sync/unmatched_link.html",
            "Link an item with a record",
            page_name=str(row),
            row=row,
            item_link=_item_link(row, humanize.shorten(str(row), MAX_NAME)),
            item_values=[value for key, value in row.values.items() if value and key != "name"],
            term=term,
            records=described(records),
            linked=described(linked),
            type=registry.type_label(row.entity_type).lower(),
            record=record,
            planned=planned,
            changes=[_change_line(change) for change in planned.changes] if planned else [],
            back=_list_url(),
        )


_NONE_LEFT = "Nothing was done: none of them is unmatched any more. Somebody else, or the sync, was faster."


def create_records(request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> tuple[int, Report]:
    items = unmatched_items.request_creation(rows, request.user.get_username())
    if not items:
        return 0, Report(problems=[_NONE_LEFT])
    log_action_many(request.user, items, "Asked to create a record from it.")
    wait = wait_sentence(len(items), [item.entity_type for item in items])
    what, are = created_words(items), humanize.plural(len(items), "is", "are")
    return len(items), Report(f"{what} {are} created with the next sync. {wait}".rstrip())


def created_words(items: Sequence[UnmatchedItem]) -> str:
    """What is created from these items: one record by its name, more by their number."""
    types = {item.entity_type for item in items}
    if len(items) == 1:
        return f"{capfirst(registry.type_name(types.pop()))} “{items[0]}”"
    return registry.count_of_type(len(items), types.pop() if len(types) == 1 else "")


def ignore_items(request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> tuple[list[str], str]:
    """Leave items alone; return the keys of those that were not left alone before, and what to say."""
    items = list(rows.filter(ignored_at=None))
    done = unmatched_items.ignore_unmatched(
        rows.filter(pk__in=[item.pk for item in items]), request.user.get_username()
    )
    log_action_many(request.user, items, "Ignored.")
    return [str(item.pk) for item in items] if done else [], f"{humanize.count_with_noun(done, 'item')} ignored."


def list_again(request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> tuple[int, str]:
    items = list(rows.exclude(ignored_at=None))
    done = unmatched_items.undo_ignore(
        UnmatchedItem.objects.filter(pk__in=[item.pk for item in items]), request.user.get_username()
    )
    log_action_many(request.user, items, "Listed again.")
    return done, f"{humanize.count_with_noun(done, 'item')} will be checked again."


def _list_url() -> str:
    return reverse("admin:sync_unmatcheditem_changelist")


def _back_url(request: HttpRequest) -> str:
    """The list with the filters from which the button was pressed."""
    given = request.get_full_path()
    return given if given.split("?")[0] == _list_url() else _list_url()


def _item_link(row: Any, text: str) -> SafeString | str:
    if row.page_link is None:
        return text
    label = f"{humanize.shorten(str(row), MAX_NAME)}, on Monday, in a new tab"
    return admin_base.external_link(item_url(row.page_link, row.item_id), text, label)


def request_badge(job: SyncQueue | None) -> SafeString | str:
    """Return that a person has asked for something that is not done yet; nothing otherwise."""
    if job is None or not any(key in job.payload for key in unmatched_items.REQUEST_KEYS):
        return ""
    return badge("go", "sync", "Being linked" if unmatched_items.LINK_TO in job.payload else "Being created")


def _record(row: UnmatchedItem, key: str) -> SyncedModel | None:
    try:
        found: SyncedModel | None = registry.entity(row.entity_type).model._default_manager.filter(pk=key).first()
    except (ValidationError, ValueError):
        return None
    return found if key else None


def _found_records(row: UnmatchedItem, term: str) -> list[SyncedModel]:
    """Return records without an item in which each word of the search is found, the name before other texts."""
    return list(_containing(unmatched_items.linkable_records(row.entity_type), term)[:MAX_RECORDS])


def _containing(records: QuerySet[SyncedModel], term: str) -> QuerySet[SyncedModel]:
    for word in term.split()[:5]:
        records = records.filter(registry.containing(records.model, registry.searched_fields(records.model), word))
    return records.order_by(*registry.default_ordering(records.model))


def _plan(request: HttpRequest, row: UnmatchedItem, record: SyncedModel) -> PlannedLink:
    try:
        unmatched_items.check_linkable(row, record)
    except Conflict as why:
        return PlannedLink(problem=str(why))
    throttled = monday_throttle_reason(request)
    return PlannedLink(problem=throttled) if throttled else plan_link(record, row.item_id)


def _change_line(change: PlannedChange) -> tuple[str, str, str, str]:
    before, after = change.before or "(empty)", change.after or "(empty)"
    if change.kind is ChangeKind.CONFLICT:
        before, after = f"NPD: {before}", f"Monday: {after}"
    elif change.kind not in _SIDES or not change.field or change.kind is ChangeKind.BLOCKED:
        before, after = "", change.reason
    return _SIDES.get(change.kind, ""), change.field, before, after
