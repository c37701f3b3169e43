"""The lists of unmatched items, ignored items and approvals with their acts, and the page that links an item."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import addresses, attention, permissions, registry
from sync.admin import admin_base, confirmed_action, home_acts
from sync.admin.confirmed_action import Question, Report
from sync.api import monday_throttle_reason
from sync.attention import Entry, Kind
from sync.boards import availability
from sync.choices import ApprovalState
from sync.fields import lookups, searches
from sync.fields.field_values import Reference
from sync.kernel import humanize
from sync.kernel.acts import ACTS, CREATE_RECORD, Act, ActionError, NotPossible
from sync.models import ApprovalRequest, FieldMapping, IgnoredItem, SyncedModel, SyncQueue, UnmatchedItem
from sync.operations.dry_run import plan_link
from sync.operations.planned_changes import ChangeKind
from sync.records import approvals, authors, item_links

MAX_NAME = 80

# The page “Link to…” lists this many records at most.
MAX_RECORDS = 20
# Before a search, it lists this many that resemble the item.
MAX_NEAR = 5

_SIDES = {
    ChangeKind.PUSH: "Monday",
    ChangeKind.PULL: "NPD",
    ChangeKind.CONFLICT: "You are asked",
    ChangeKind.BLOCKED: "Stays as it is",
}


@admin.register(UnmatchedItem)
class UnmatchedItemAdmin(home_acts.EntriesMixin, admin_base.ReadOnlyAdmin):
    kind = Kind.UNMATCHED
    empty_title = "Every item has its record"
    empty_words = "Items that can't become a record yet are listed, with the reason. Home offers what to do."
    list_display = ("item", "why", "board", "since", "on_monday")
    list_filter = (admin_base.EntityFilter,)
    search_fields = ("name", "item_id")
    search_help_text = "Item's name or number"
    ordering = ("-first_seen", "-id")
    fields = ("item", "why", "board", "item_values", "since", "seen_at", "on_monday")

    item = admin_base.plain_column("Item", lambda row: humanize.shorten(str(row), MAX_NAME), "name")
    on_monday = admin_base.plain_column("On Monday", lambda row: _item_link(row, "Open"))
    board = admin_base.plain_column("Board", lambda row: registry.board_title(row.entity_type), "entity_type")
    since = admin_base.time_column("first_seen", "Since")
    seen_at = admin_base.time_column("last_seen", "Last seen on the board")

    @admin.display(description="Why", ordering="reason_code")
    def why(self, row: Any) -> SafeString:
        return format_html('{}<span class="npd-text">{}</span>', request_badge(row.page_job), row.reason_sentence)

    @admin.display(description="What the item says")
    def item_values(self, row: Any) -> SafeString | str:
        labels = dict(FieldMapping.objects.filter(link__entity_type=row.entity_type).values_list("key", "label"))
        values = [(labels.get(key, key), value) for key, value in row.values.items() if value]
        return format_html_join(SafeString("<br>"), "{}: {}", values) or humanize.DASH

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[UnmatchedItem]:
        """Return the items that nobody has ignored; the ignored ones have their own list."""
        rows: models.QuerySet[UnmatchedItem] = super().get_queryset(request)
        return rows.filter(ignored_at=None)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.link_view)
        return [path("<int:pk>/link/", view, name="sync_unmatcheditem_link"), *super().get_urls()]

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        jobs = item_links.open_jobs(row.item_id for row in rows)
        links = {entity_type: lookups.link_of(entity_type) for entity_type in {row.entity_type for row in rows}}
        for row in rows:
            row.page_link = links[row.entity_type]
            row.page_job = jobs.get((row.entity_type, row.item_id))

    def row_buttons(self, request: HttpRequest, row: Any) -> list[admin_base.Button]:
        """Return the acts on the item; none once a person has asked to link it, or to create a record from it."""
        if request_badge(row.page_job):
            return []
        return [*super().row_buttons(request, row), *link_buttons(request.user, row.entity_type, row.pk)]

    def link_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Search for a record, show what linking would change, and link."""
        row = self.get_object(request, str(pk))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(pk))
        if not permissions.may_act(request.user, "change", row.entity_type) or not self.has_view_permission(request):
            raise PermissionDenied
        self.prepare_page(request, [row])
        model = registry.entity(row.entity_type).model
        key = request.POST.get("record", "")
        record = model.objects.filter(pk=key).first() if admin_base.is_valid_key(model, key) else None
        if record is None:
            return self._search_page(request, row)
        if "confirmed" not in request.POST:
            return confirmed_action.question_page(self, request, _link_question(request, row, record), request.path)

        def run() -> str:
            try:
                with transaction.atomic():
                    item_links.request_link(row, record, request.user.get_username())
                    authors.log_action(request.user, row, f"Asked to link it with the {row.entity_type} {record.pk}.")
            except ActionError as error:
                raise NotPossible(f"Nothing was linked. {error}") from error
            wait = availability.of(row.entity_type, urgent=True).detail
            then = f". It waits: {wait}" if wait else " now."
            return f"“{row}” is linked with “{record}”{then}"

        return confirmed_action.run_action(self, request, run, reverse("admin:index"))

    def _search_page(self, request: HttpRequest, row: UnmatchedItem) -> HttpResponse:
        term = request.GET.get("q", "").replace("\0", "").strip()[:200]
        records = item_links.linkable_records(row.entity_type)
        model = records.model
        # Before a search, the page lists the records that have one of the item's values or words.
        words = [word for word in row.name.split() if len(word) > 2]
        terms = [term] if term else [*filter(None, [row.name.strip(), *row.values.values()]), *words]
        condition = models.Q()
        for text in terms:
            condition |= searches.search_condition(model, searches.searched_fields(model), text)
        records = records.filter(condition if terms else models.Q(pk=None)).order_by(*searches.default_ordering(model))
        return admin_base.render_admin_page(
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
                (record, addresses.record_url(row.entity_type, record.pk), admin_base.details_of(record))
                for record in records[: MAX_RECORDS if term else MAX_NEAR]
            ],
            type=registry.type_label(row.entity_type).lower(),
            back=reverse("admin:index"),
        )


def _item_link(row: Any, text: str) -> SafeString | str:
    if row.page_link is None:
        return text
    label = f"{humanize.shorten(str(row), MAX_NAME)}, on Monday, in a new tab"
    return admin_base.external_link(addresses.item_url(row.page_link, row.item_id), text, label)


def link_buttons(user: Any, entity_type: str, pk: int | str) -> list[admin_base.Button]:
    """Return the button to the page that links an item with a record, if this person may."""
    url = reverse("admin:sync_unmatcheditem_link", args=[pk])
    may_link = attention.may_do(user, ACTS["link"], Kind.UNMATCHED, entity_type)
    return [admin_base.Button(ACTS["link"].button, url=url)] if may_link else []


def request_badge(job: SyncQueue | None) -> SafeString | str:
    """Return a badge for an item that a person has asked to link or create; empty without such a request."""
    if job is None or not any(key in job.payload for key in item_links.REQUEST_KEYS):
        return ""
    return humanize.badge("go", "sync", "Being linked" if item_links.LINK_TO_KEY in job.payload else "Being created")


def _link_question(request: HttpRequest, row: UnmatchedItem, record: SyncedModel) -> Question:
    title = f"Link “{humanize.shorten(str(row), MAX_NAME)}” with “{record}”?"
    try:
        item_links.check_linkable(row, record)
        problem = monday_throttle_reason(request)
    except NotPossible as error:
        problem = str(error)
    if not problem and not record.may_sync:
        effects = [f"The sync of “{record}” stays off: nothing else changes until you turn it on."]
        return Question(title, effects, "Link them", hidden=[("record", record.pk)])
    if not problem:
        planned, problem = plan_link(record, row.item_id)
    if problem:
        return Question(title, warning=problem)
    changes = []
    for change in planned:
        before = change.before or "(empty)"
        after = change.after or "(empty)"
        if change.kind is ChangeKind.CONFLICT:
            before = f"NPD: {before}"
            after = f"Monday: {after}"
        elif change.kind not in _SIDES or not change.field or change.kind is ChangeKind.BLOCKED:
            before = ""
            after = change.reason
        changes.append((_SIDES.get(change.kind, ""), change.field, before, after))
    if not changes:
        effects = ["Both say the same. The item gets the record's NPD ID; nothing else changes."]
        return Question(title, effects, "Link them", hidden=[("record", record.pk)])
    effects = ["The item gets the record's NPD ID. “Unlink” on the record's page undoes the link."]
    table = confirmed_action.RecordTable(("Changes in", "Field", "Now", "After"), changes, len(changes))
    return Question(title, effects, "Link them", [table], [("record", record.pk)])


def _items_of(keys: Iterable[str]) -> models.QuerySet[UnmatchedItem]:
    return UnmatchedItem.objects.filter(pk__in=[int(key) for key in keys])


def _name_namesakes(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> Sequence[Entry]:
    """Say which records have an item's name already, and ask before another one is created from it."""
    references = [Reference(registry.entity(entry.entity_type).model, "name", entry.name) for entry in entries]
    related = lookups.read_related(references)
    named = []
    for entry, reference in zip(entries, references, strict=True):
        records = related[reference]
        if not records:
            named.append(entry)
            continue
        has_name = f"NPD has {registry.count_of_type(len(records), entry.entity_type)} of this name already"
        first = " · ".join(filter(None, [str(records[0]), admin_base.details_of(records[0])]))
        acts = tuple(replace(act, asks=True) if act.code == CREATE_RECORD else act for act in entry.acts)
        named.append(replace(entry, detail=f"{has_name}: {first}. {entry.detail}".rstrip(), acts=acts))
    return named


home_acts.LOADERS[Kind.UNMATCHED] = _name_namesakes


@home_acts.does(Kind.UNMATCHED, "create_record")
def _create_records(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: home_acts.Shown) -> Report:
    items = item_links.request_creation(_items_of(entry.source for entry in entries), request.user.get_username())
    authors.log_action_many(request.user, items, "Asked to create a record from it.")
    return home_acts.report_of(act, entries, len(items))


@home_acts.does(Kind.UNMATCHED, "ignore")
def _ignore(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: home_acts.Shown) -> Report:
    """Ignore the items for which nobody has asked meanwhile to link them or to create records from them."""
    listed = list(_items_of(entry.source for entry in entries).filter(ignored_at=None))
    jobs = item_links.open_jobs(item.item_id for item in listed)
    items = []
    problems = []
    for item in listed:
        job = jobs.get((item.entity_type, item.item_id))
        if job and any(key in job.payload for key in item_links.REQUEST_KEYS):
            problems.append(f"“{item}” was not ignored: {job.payload['by']} asked to create or link its record.")
        else:
            items.append(item)
    keys = [str(item.pk) for item in items]
    number = item_links.ignore_unmatched(_items_of(keys), request.user.get_username())
    authors.log_action_many(request.user, items, "Ignored.")
    return Report(home_acts.done_sentence(act, entries, number) if number else "", problems, undo=keys)


def _list_again(request: HttpRequest, tokens: Sequence[str]) -> Report:
    items = list(_items_of(tokens).exclude(ignored_at=None))
    number = item_links.undo_ignore(_items_of(tokens), request.user.get_username())
    authors.log_action_many(request.user, items, "Listed again.")
    sentence = f"Undone: {humanize.count_with_noun(number, 'item')} will be checked again."
    return Report(sentence if number else "")


home_acts.UNDOS[Kind.UNMATCHED] = _list_again


@admin.register(IgnoredItem)
class IgnoredItemAdmin(admin_base.ReadOnlyAdmin):
    empty_title = "No item is ignored"
    empty_words = "“Ignore” on Home and “Unlink from Monday” put items here. “Consider again” brings one back."
    list_display = ("item_id", "record_type", "why", "reason", "moment")
    list_filter = (admin_base.EntityFilter, "left_alone")
    search_fields = ("item_id", "reason__says", "entity_id")
    search_help_text = "Item's number, reason"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[IgnoredItem]:
        """Hide the items of erased persons, who would come back if one were considered again."""
        rows: models.QuerySet[IgnoredItem] = super().get_queryset(request)
        return rows.filter(erased=False)

    def acts(self, request: HttpRequest) -> list[Act]:
        act = ACTS["consider_again"]
        return [act] if act.is_allowed(request.user) else []

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[IgnoredItem], act: Act) -> HttpResponse:
        def question() -> Question:
            hidden = confirmed_action.selection_fields(request, act.code, rows)
            listed = rows[: confirmed_action.MAX_ROWS_SHOWN]
            cells = [(f"Item {row.item_id}", registry.board_title(row.entity_type), row.reason) for row in listed]
            table = confirmed_action.RecordTable(("Item", "Board", "Why it is ignored"), cells, rows.count())
            title = attention.filled_label(act.many, table.total, "")
            return Question(f"{title}?", [act.effect], title, [table], hidden)

        @transaction.atomic
        def run() -> str:
            chosen = confirmed_action.confirmed_rows(request, rows)
            authors.log_action_many(request.user, chosen, "To be considered again.", flag=DELETION)
            number = item_links.consider_again(IgnoredItem.objects.filter(pk__in=chosen.values("pk")))
            return attention.filled_label(act.done, number, "")

        return confirmed_action.run_action(self, request, run, request.get_full_path(), question)

    record_type = admin_base.type_column()

    @admin.display(description="Ignored as")
    def why(self, row: IgnoredItem) -> str:
        if row.left_alone:
            return "Unlinked from its record" if row.entity_id else "Left alone"
        return "Not the item of one record" if row.entity_id else "Never becomes a record"

    moment = admin_base.time_column("at", "Ignored")


_BADGES = {
    ApprovalState.PENDING: ("warn", "gpp_maybe"),
    ApprovalState.APPROVED: ("go", "sync"),
    ApprovalState.REJECTED: ("go", "undo"),
    ApprovalState.RELEASED: ("off", "check"),
    ApprovalState.DONE: ("ok", "check_circle"),
    ApprovalState.KEPT: ("ok", "shield"),
    ApprovalState.REFILLED: ("ok", "shield"),
}


@admin.register(ApprovalRequest)
class ApprovalAdmin(home_acts.EntriesMixin, admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    """Deletions and emptied fields that need, or needed, an approval because they were too many."""

    kind = Kind.APPROVAL
    empty_title = "Nothing waits for approval"
    empty_words = "If more is deleted or emptied at once than usual, it waits here and on Home."
    list_display = ("state_badge", "about", "change", "since", "decided")
    list_display_links = ("state_badge",)
    list_filter = (("state", ChoicesCheckboxFilter), ("kind", ChoicesCheckboxFilter), admin_base.EntityFilter)
    search_fields = ("label__says", "remote_id", "entity_id")
    search_help_text = "Name, item's number"
    ordering = ("-id",)
    fields = ("about", "change", "remote_id", "since", "state_badge", "decided", "decided_at")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ApprovalRequest]:
        """Leave requests that nobody had to decide out of the unfiltered list."""
        rows: models.QuerySet[ApprovalRequest] = super().get_queryset(request).select_related("decided_by")
        if not self.is_list(request) or any("state" in name for name in request.GET):
            return rows
        return rows.exclude(state__in=(ApprovalState.DONE, ApprovalState.REFILLED), decided_at=None)

    state_badge = admin_base.badge_column("state", "State", _BADGES)
    change = admin_base.plain_column("What would happen", lambda row: row.get_kind_display(), "kind")
    since = admin_base.time_column("at", "Since")
    decided = admin_base.plain_column(
        "Decided by", lambda row: row.decided_by.get_username() if row.decided_by else humanize.DASH
    )

    about = admin_base.plain_column(
        "What would be lost", lambda row: admin_base.link_to(row.page_record_url, row.label), "label"
    )


@home_acts.does(Kind.APPROVAL, "approve", "reject")
def _decide_approvals(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: home_acts.Shown) -> Report:
    requests = ApprovalRequest.objects.filter(pk__in=[int(entry.source) for entry in entries])
    decide = approvals.approve if act.code == "approve" else approvals.reject
    return home_acts.report_of(act, entries, decide(requests, cast("User", request.user)))
