"""Unmatched items: the list of what no record has and why, one item's page, and the page on which it is linked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import RadioFilter

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import EntityFilter, PageChangeList, ReaderMixin, ReadOnlyAdmin, badge
from sync.admin.confirmed_action import Question, RecordTable, Report, confirmed_rows, run_action, selection
from sync.admin.queue_actions import next_pass_text
from sync.api.request_limits import monday_throttle_reason
from sync.choices import QueueStatus
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.action_errors import Conflict
from sync.kernel.messages import UNMATCHED_LABELS, UnmatchedReason
from sync.models import FieldMapping, SyncedModel, SyncQueue, UnmatchedItem
from sync.operations.preview.planned_pass import ChangeKind, PlannedChange, PlannedLink, plan_link
from sync.records.authors import log_action, log_action_many
from sync.records.unmatched_items import (
    LINK_TO,
    REQUEST_KEYS,
    check_linkable,
    ignore_unmatched,
    linkable_records,
    open_requests,
    recent_requests,
    records_alike,
    request_creation,
    request_link,
    request_wait_text,
    undo_ignore,
)
from sync.registry import item_url, link_of, record_url

MAX_RECORDS = 20
"""Records that a search of the page “Link to…” lists."""

ATTENTION, IGNORED = "attention", "ignored"

_SIDES = {
    ChangeKind.PUSH: "Monday",
    ChangeKind.PULL: "NPD",
    ChangeKind.CONFLICT: "You are asked",
    ChangeKind.BLOCKED: "Stays as it is",
}


def _reason_text(row: UnmatchedItem) -> str:
    return row.reason_to(getattr(row, "page_types", ()))


class ShownFilter(RadioFilter):
    """Which of them: all that are not ignored unless asked otherwise."""

    title = "show"
    parameter_name = "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the other two."""
        return [(ATTENTION, "Needs attention"), (IGNORED, "Ignored")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen kind."""
        if self.value() == IGNORED:
            return queryset.exclude(ignored_at=None)
        rows: Any = queryset
        found: QuerySet[Any] = rows.needing_attention() if self.value() == ATTENTION else rows.listed()
        return found


class ReasonFilter(RadioFilter):
    """By why no record has them."""

    title = "why"
    parameter_name = "why"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every reason, what a person can do something about first."""
        return [(str(code), label) for code, label in UNMATCHED_LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the chosen reason."""
        return queryset.filter(reason_code=self.value()) if self.value() else queryset


class UnmatchedChangeList(PageChangeList):
    """The list; what can be done with a row depends on who asks."""

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page."""
        super().get_results(request)
        for row in self.result_list:
            row.page_doors, row.page_path = self.model_admin.doors_of(request, row), request.get_full_path()


@admin.register(UnmatchedItem)
class UnmatchedItemAdmin(ReaderMixin, ReadOnlyAdmin):
    """Items of the boards that no record has."""

    list_display = ("item", "board", "why", "since", "what_now")
    list_display_links = None
    list_filter = (ShownFilter, ReasonFilter, EntityFilter)
    search_fields = ("name", "item_id")
    search_help_text = "An item’s name or number"
    ordering = ("-first_seen", "-id")
    show_facets = admin.ShowFacets.NEVER
    actions = ("create_selected", "ignore_selected", "undo_selected")
    list_before_template = "sync/unmatched_recent.html"
    change_form_outer_before_template = "sync/unmatched_item.html"
    empty_title = "Every item has its record"
    empty_words = "An item on a board that no contact or organization has is listed here, with the reason."

    def get_urls(self) -> list[URLPattern]:
        """Add what the buttons of a row lead to."""
        view = self.admin_site.admin_view
        posts: tuple[tuple[str, Callable[..., HttpResponse]], ...] = (
            ("create", self.create_one),
            ("ignore", self.ignore_one),
            ("restore", self.undo_one),
        )
        return [
            *(
                path(f"<int:pk>/{name}/", view(require_POST(method)), name=f"sync_unmatcheditem_{name}")
                for name, method in posts
            ),
            path("<int:pk>/link/", view(self.link_view), name="sync_unmatcheditem_link"),
            path("undo/", view(require_POST(self.undo_batch)), name="sync_unmatcheditem_undo"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Say above the list what this person asked for in the last minutes, and what came of it."""
        now = sync_now()
        requests = recent_requests(request.user.get_username(), now)
        more = {"recent": [_recent_line(one) for one in requests], "recent_page": request.get_full_path()}
        response: HttpResponse = super().changelist_view(request, more | (extra_context or {}))
        return response

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[UnmatchedChangeList]:
        """Return the list that knows who asks."""
        return UnmatchedChangeList

    def prepare_page(self, rows: list[Any]) -> None:
        """Put on the rows what their cells show: their boards, and what is asked for and not done."""
        super().prepare_page(rows)
        jobs, kinds = open_requests(row.item_id for row in rows), {row.entity_type for row in rows}
        links = {kind: link_of(kind) for kind in kinds}
        for row in rows:
            row.page_link, row.page_job = links[row.entity_type], jobs.get((row.entity_type, row.item_id))

    @admin.display(description="Item", ordering="name")
    def item(self, row: UnmatchedItem) -> SafeString | str:
        return _item_link(row)

    kind_of_record = admin_base.type_column()

    @admin.display(description="Board", ordering="entity_type")
    def board(self, row: UnmatchedItem) -> str:
        return registry.board_title(row.entity_type)

    @admin.display(description="Why", ordering="reason_code")
    def why(self, row: UnmatchedItem) -> SafeString:
        return format_html('{}<span class="npd-text">{}</span>', request_badge(_job_of(row)), _reason_text(row))

    since = admin_base.time_column("first_seen", "Since")
    seen = admin_base.time_column("last_seen", "Last seen on the board")

    @admin.display(description="What now")
    def what_now(self, row: UnmatchedItem) -> SafeString:
        context = {"row": row, "doors": row.page_doors, "page": row.page_path}  # type: ignore[attr-defined]
        return SafeString(render_to_string("sync/unmatched_doors.html", context))

    @admin.display(description="Next check")
    def next_check(self, row: UnmatchedItem) -> str:
        job = _job_of(row)
        later = f", latest {next_pass_text(job)}" if job else ", and with the nightly comparison"
        return f"as soon as it is edited on Monday{later}"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say since when it is known; why, and its values, stand above."""
        ignored = ["ignored_at", "ignored_by"] if obj is not None and obj.ignored_at else []
        return ["kind_of_record", "since", "seen", "next_check", *ignored, "item_id"]

    def row_context(self, request: HttpRequest, row: UnmatchedItem) -> dict[str, Any]:
        """Show what the item says, and what can be done with it."""
        labels = dict(FieldMapping.objects.filter(link__entity_type=row.entity_type).values_list("key", "label"))
        return super().row_context(request, row) | {
            "page_name": str(row),
            "doors": self.doors_of(request, row),
            "reason": _reason_text(row),
            "item_link": _item_link(row),
            "item_badge": request_badge(_job_of(row)),
            "item_values": [(labels.get(key, key), value) for key, value in row.values.items() if value],
            "list_url": _list_url(),
        }

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        self.message_user(
            request, "The item isn't unmatched any more: a record has it now, or it has left the board.", "warning"
        )
        return HttpResponseRedirect(_list_url())

    def doors_of(self, request: HttpRequest, row: UnmatchedItem) -> list[tuple[str, str, bool]]:
        """Return what this person can do with an item: the label, the address, and whether it is only a link.

        A request about it that waits can only be taken back, by *Ignore*; one that has begun not even that.
        """
        may_ignore, doors = self.has_ignore_permission(request), list[tuple[str, str, bool]]()
        if row.ignored_at is not None:
            return [("List it again", _door_url("restore", row), False)] if may_ignore else []
        job = _job_of(row)
        if job is not None and request_badge(job):
            may_cancel = may_ignore and job.status == QueueStatus.PENDING
            return [("Ignore", _door_url("ignore", row), False)] if may_cancel else []
        if row.reason_code == UnmatchedReason.AMBIGUOUS and (
            question := registry.page_url("conflicts_syncconflict_changelist", query=f"q={row.item_id}")
        ):
            doors.append(("Answer", question, True))
        if registry.may_act(request.user, "add", row.entity_type):
            doors.append((f"Create {registry.type_label(row.entity_type).lower()}", _door_url("create", row), False))
        if registry.may_act(request.user, "change", row.entity_type):
            doors.append(("Link to…", _door_url("link", row), True))
        if may_ignore:
            doors.append(("Ignore", _door_url("ignore", row), False))
        return doors

    def has_ignore_permission(self, request: HttpRequest) -> bool:
        """Whether this user may have items left alone."""
        return request.user.has_perm("sync.change_unmatcheditem")

    def has_create_permission(self, request: HttpRequest) -> bool:
        """Whether this user may make records of any type of items; of each it is asked once more."""
        return any(registry.may_act(request.user, "add", spec.entity_type) for spec in registry.entities())

    # One item.

    def create_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Have one item become a record."""
        row = self._row(pk)
        may = row is None or (
            registry.may_act(request.user, "add", row.entity_type) and self.has_view_permission(request)
        )

        def run() -> Report:
            return self._create(request, UnmatchedItem.objects.listed().filter(pk=pk))

        return self._run(request, run, allowed=may)

    def ignore_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Leave one item alone; the list offers to undo it."""
        rows = UnmatchedItem.objects.filter(pk=pk)
        return self._run(request, lambda: self._ignore(request, rows), allowed=self.has_ignore_permission(request))

    def undo_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """List an ignored item again."""
        rows = UnmatchedItem.objects.filter(pk=pk)
        return self._run(request, lambda: self._undo(request, rows), allowed=self.has_ignore_permission(request))

    def undo_batch(self, request: HttpRequest) -> HttpResponse:
        """List again what this person ignored at one moment."""
        at, by = _moment(request.POST.get("at", "")), request.user.get_username()
        rows = UnmatchedItem.objects.filter(ignored_at=at, ignored_by=by) if at else UnmatchedItem.objects.none()
        return self._run(request, lambda: self._undo(request, rows), allowed=self.has_ignore_permission(request))

    # Ticked ones.

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
            cells = [(str(row), registry.type_label(row.entity_type), _reason_text(row)) for row in rows[:20]]
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
            lambda: self._create(request, confirmed_rows(request, rows)),
            allowed=all(registry.may_act(request.user, "add", kind) for kind in kinds),
            question=question,
        )

    @admin.action(description="Ignore", permissions=["ignore"])
    def ignore_selected(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> HttpResponse:
        """Leave items alone; the list offers to undo it."""
        return self._run(request, lambda: self._ignore(request, queryset))

    @admin.action(description="List again", permissions=["ignore"])
    def undo_selected(self, request: HttpRequest, queryset: QuerySet[UnmatchedItem]) -> HttpResponse:
        """List ignored items again."""
        return self._run(request, lambda: self._undo(request, queryset))

    def _run(self, request: HttpRequest, run: Callable[[], Report], **more: Any) -> HttpResponse:
        return run_action(self, request, run, back_url=_back_url(request), **more)

    def _row(self, pk: int) -> UnmatchedItem | None:
        return UnmatchedItem.objects.filter(pk=pk).first()

    def _create(self, request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> Report:
        found = request_creation(rows, request.user.get_username())
        if not found:
            return Report(problems=[_NONE_LEFT])
        log_action_many(request.user, found, "Asked to create a record from it.")
        kinds = sorted({row.entity_type for row in found})
        waits = " ".join(filter(None, (request_wait_text(kind) for kind in kinds)))
        if len(found) == 1 and not waits:
            return Report()  # the list itself says what becomes of it
        return Report(f"{_items_text(len(found))} to become records.{' They wait: ' if waits else ''}{waits}")

    def _ignore(self, request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> Report:
        keys = list(rows.filter(ignored_at=None).values_list("pk", flat=True))
        number = ignore_unmatched(UnmatchedItem.objects.filter(pk__in=keys), request.user.get_username())
        log_action_many(request.user, UnmatchedItem.objects.filter(pk__in=keys), "Ignored.")
        return Report() if number else Report(problems=[_NONE_LEFT])  # the list itself says it, with the undo

    def _undo(self, request: HttpRequest, rows: QuerySet[UnmatchedItem]) -> Report:
        found = list(rows)
        number = undo_ignore(UnmatchedItem.objects.filter(pk__in=[row.pk for row in found]), "")
        log_action_many(request.user, found, "Listed again.")
        return Report(f"{_items_text(number)} listed again.") if number else Report(problems=[_NONE_LEFT])

    # The page on which an item is linked with a record.

    def link_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Search a record, show what linking would change, and link."""
        row = self._row(pk)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(pk))
        if not registry.may_act(request.user, "change", row.entity_type) or not self.has_view_permission(request):
            raise PermissionDenied
        params = request.POST if request.method == "POST" else request.GET
        record = _record(row, params.get("record", ""))
        if request.method == "POST" and record is not None and "confirmed" in request.POST:

            def run() -> Report:
                with transaction.atomic():
                    request_link(row, record, request.user.get_username())
                    log_action(request.user, row, f"Asked to link it with “{record}”.")
                wait = request_wait_text(row.entity_type)
                return Report(f"“{row}” is linked with “{record}”{f'. It waits: {wait}' if wait else ' now.'}")

            return run_action(self, request, run, back_url=_list_url(), atomic=False, failed="Nothing was linked.")
        planned = _plan(request, row, record) if request.method == "POST" and record is not None else None
        return self._link_page(request, row, record, planned)

    def _link_page(
        self, request: HttpRequest, row: UnmatchedItem, record: SyncedModel | None, planned: PlannedLink | None
    ) -> HttpResponse:
        term = request.GET.get("q", row.name).replace("\0", "").strip()[:200]
        records = _found_records(row, term) if planned is None else []
        context = {
            **self.admin_site.each_context(request),
            "title": "Link an item with a record",
            "page_name": str(row),
            "opts": self.opts,
            "row": row,
            "item_link": _item_link(row),
            "item_values": [value for key, value in row.values.items() if value and key != "name"],
            "term": term,
            "records": [
                (found, record_url(row.entity_type, found.pk), admin_base.describe(found)) for found in records
            ],
            "type": registry.type_label(row.entity_type).lower(),
            "record": record,
            "planned": planned,
            "changes": [_change_line(change) for change in planned.changes] if planned else [],
            "back": _list_url(),
        }
        return TemplateResponse(request, "sync/unmatched_link.html", context)


_NONE_LEFT = "Nothing was done: none of them is unmatched any more. Somebody else, or the sync, was faster."


def _items_text(number: int) -> str:
    return f"{humanize.count_with_noun(number, 'item')} {humanize.plural(number, 'is', 'are')}"


def _list_url() -> str:
    return reverse("admin:sync_unmatcheditem_changelist")


def _back_url(request: HttpRequest) -> str:
    """The list with the filters from which the button was pressed."""
    given = request.POST.get("next", "") or request.get_full_path()
    return given if given.split("?")[0] == _list_url() else _list_url()


def _door_url(name: str, row: UnmatchedItem) -> str:
    return reverse(f"admin:sync_unmatcheditem_{name}", args=[row.pk])


def _item_link(row: UnmatchedItem) -> SafeString | str:
    link = row.page_link if hasattr(row, "page_link") else link_of(row.entity_type)
    name = humanize.shorten(str(row), 80)
    return (
        admin_base.external_link(item_url(link, row.item_id), name, f"{name}, on Monday, in a new tab")
        if link
        else name
    )


def _job_of(row: UnmatchedItem) -> SyncQueue | None:
    if hasattr(row, "page_job"):
        return row.page_job  # type: ignore[no-any-return]
    return open_requests([row.item_id]).get((row.entity_type, row.item_id))


def request_badge(job: SyncQueue | None) -> SafeString | str:
    """Return that a person has asked for something that is not done yet; nothing otherwise."""
    if job is None or not any(key in job.payload for key in REQUEST_KEYS):
        return ""
    return badge("go", "sync", "Being linked" if LINK_TO in job.payload else "Being created")


def _moment(text: str) -> Any:
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def _recent_line(request: Any) -> Mapping[str, Any]:
    """Return what a person asked for and what came of it, as the line above the list says it."""
    if request.row is None:
        what = f"“{request.name}”" if request.ignored == 1 else humanize.count_with_noun(request.ignored, "item")
        return {"text": f"Ignored {what}.", "undo": request.at.isoformat(), "kind": "ok", "icon": "check"}
    row: SyncQueue = request.row
    wanted = "link" if LINK_TO in row.payload else "create"
    if request.record is not None:
        done = f"is {'linked with' if wanted == 'link' else 'now'} the {type(request.record)._meta.verbose_name}"
        return {
            "text": f"“{request.name}” {done}",
            "url": record_url(row.entity_type, request.record.pk),
            "link": str(request.record),
            "kind": "ok",
            "icon": "check",
        }
    if row.status == QueueStatus.COMPLETED:
        return {"text": f"“{request.name}”: {row.error_message}", "kind": "warn", "icon": "warning"}
    verb = "linked" if wanted == "link" else "created"
    # Why the item waited until now, `row.reason`, is no reason any more.
    error = humanize.without_request_id(row.error_message)
    return {"text": f"“{request.name}” is being {verb}. {error}".strip(), "kind": "go", "icon": "sync"}


def _record(row: UnmatchedItem, key: str) -> SyncedModel | None:
    try:
        found: SyncedModel | None = registry.entity(row.entity_type).model._default_manager.filter(pk=key).first()
    except (ValidationError, ValueError):
        return None
    return found if key else None


def _found_records(row: UnmatchedItem, term: str) -> list[SyncedModel]:
    """Return records without an item in which each word of the search is found, the name before other texts.

    Above them stand those that a set-up left out because their names are like the item's.
    """
    model = registry.entity(row.entity_type).model
    records, alike = linkable_records(row.entity_type), list(records_alike(row)[:MAX_RECORDS])
    for word in term.split()[:5]:
        records = records.filter(registry.containing(model, registry.searched_fields(model), word))
    return [*alike, *records.order_by(*registry.default_ordering(model))[: MAX_RECORDS - len(alike)]]


def _plan(request: HttpRequest, row: UnmatchedItem, record: SyncedModel) -> PlannedLink:
    try:
        check_linkable(row, record)
    except Conflict as why:
        return PlannedLink(problem=str(why))
    throttled = monday_throttle_reason(request)
    return PlannedLink(problem=throttled) if throttled else plan_link(record, row.item_id)


def _change_line(change: PlannedChange) -> tuple[str, str, str, str]:
    """Return a change as a row: which side, which field, what stands there, and what will."""
    before, after = change.before or "(empty)", change.after or "(empty)"
    if change.kind is ChangeKind.CONFLICT:
        before, after = f"NPD: {before}", f"Monday: {after}"
    elif change.kind not in _SIDES or not change.field or change.kind is ChangeKind.BLOCKED:
        before, after = "", change.reason
    return _SIDES.get(change.kind, ""), change.field, before, after
