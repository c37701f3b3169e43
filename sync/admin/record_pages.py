"""The admin of a synced model: its list with sync states, its form, and the actions on one or many records."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.db import connection, models, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold import widgets
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesCheckboxFilter
from unfold.dataclasses import SearchResult

from sync import addresses, choices, queue, registry
from sync.admin import activity_pages, admin_base, concurrent_edits, confirmed_action, home_acts, record_panel
from sync.admin.activity import activity_of
from sync.admin.deletion_consequence import DeletionConsequence, deletion_consequence
from sync.admin.import_and_export import RecordFilesMixin
from sync.fields import field_values, searches
from sync.kernel.acts import ACTS, Act, NotPossible
from sync.kernel.db import limit_lock_waits, match_key_sql
from sync.models import ActivityLine, SyncedModel, Tombstone
from sync.monday.text_forms import match_key, unix_lines
from sync.outbox import wakeups
from sync.records import authors, item_links
from sync.state import record_view

# Results of a list in unfold's command search, which has no limit of its own.
COMMAND_RESULTS = 20


class SyncStateFilter(admin.SimpleListFilter):
    """Filters records by the states of a list's tabs, which set its parameter; the panel of filters only keeps it."""

    title = "sync state"
    parameter_name = "sync_state"
    template = "sync/state_filter.html"
    is_chosen_by_tabs = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in record_view.RecordState]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        state = self.value()
        return record_view.filter_by_state(queryset, state) if state in record_view.RecordState.values else queryset


SYNC_FILTERS: list[Any] = [
    SyncStateFilter,
    ("sync_direction", ChoicesCheckboxFilter),
    ("updated_at", admin_base.DateFilter),
]

# A list has this many mapped fields beside the name.
MAX_FIELD_COLUMNS = 5

# The states with a tab above the list, if any record has them.
TABS = (record_view.RecordState.ATTENTION, record_view.RecordState.PENDING, record_view.RecordState.OFF)


class RecordChangeList(admin_base.PageChangeList):
    """A list of records with tabs for their states, which keep the search and the other filters."""

    has_state_tabs = True  # for sync/list_tabs.html

    def get_results(self, request: HttpRequest) -> None:
        """Count the records of each tab."""
        self._state = request.GET.get(SyncStateFilter.parameter_name, "")
        records = self.queryset
        if self._state in record_view.RecordState.values:
            # All tabs count with this list's search and its other filters.
            records = self.get_queryset(request, [SyncStateFilter.parameter_name])
        [self._counts] = record_view.state_counts(records)
        # The paginator would count the same rows again.
        total = self._counts.total() if records is self.queryset else self._counts[record_view.RecordState(self._state)]
        request.list_total = total  # type: ignore[attr-defined]
        self.queryset: models.QuerySet[Any] = record_view.with_states(self.queryset)
        super().get_results(request)
        is_searched = self.query and not self.result_count
        self.near_names = searches.near_names(self.model, self.query) if is_searched else []

    def get_ordering_field(self, field_name: str) -> Any:
        """Return what a click on a column's title sorts by."""
        field = super().get_ordering_field(field_name)
        return searches.sort_expression(self.model, field) if isinstance(field, str) else field

    @cached_property
    def tabs(self) -> list[admin_base.ListTab]:
        """A tab for all records, and one for each state that is current or that a record has; in a search, for each."""
        counts = self._counts
        name = SyncStateFilter.parameter_name
        tabs = [admin_base.ListTab("All", self.get_query_string(remove=[PAGE_VAR, name]), not self._state)]
        # Home's number of synced records leads to a list without a tab of its own.
        states = [state for state in (*TABS, record_view.RecordState.SYNCED) if state in TABS or state == self._state]
        for state in [state for state in states if counts[state] or state == self._state or self.query]:
            url = self.get_query_string({name: state.value}, remove=[PAGE_VAR])
            tabs.append(admin_base.ListTab(str(state.label), url, state == self._state, counts[state]))
        return tabs


class SyncedModelAdmin(RecordFilesMixin, admin_base.PageAdmin):
    """A synced model's admin, generated from its registration; an application may subclass it."""

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["npd/record.css"]}

    changelist = RecordChangeList
    empty_words = "Add them here, import a file, or set up the sync with a board on Monday, which brings its items."
    list_before_template = "sync/list_tabs.html"
    form = concurrent_edits.ConcurrentForm
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.EmailField: {"form_class": concurrent_edits.EmailAddressField},
        models.URLField: {
            "form_class": concurrent_edits.WebAddressField,
            "assume_scheme": "https",  # as Django 6 does
            "widget": forms.URLInput({"class": " ".join(widgets.INPUT_CLASSES)}),
        },
        models.TextField: {"widget": widgets.UnfoldAdminExpandableTextareaWidget()},
        # Edit a moment in one input, not two.
        models.DateTimeField: {
            "form_class": forms.DateTimeField,
            "widget": forms.DateTimeInput(attrs={"class": " ".join(widgets.DATETIME_CLASSES)}),
        },
    }
    change_form_before_template = "sync/concurrent_form.html"
    change_form_outer_before_template = "sync/record_state.html"
    change_form_outer_after_template = "sync/record_panel.html"
    warn_unsaved_form = True

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        paginator = super().get_paginator(request, *args, **kwargs)
        if hasattr(request, "list_total"):
            paginator.count = request.list_total
        return paginator

    # Cached properties, because an admin may be created before all applications have registered their models.

    @cached_property
    def list_display(self) -> tuple[str, ...]:
        spec = registry.entity(self.model.entity_type())
        mapped = [name for mapping in spec.mappings for name in mapping.fields if name != spec.name_field]
        short = [name for name in mapped if not isinstance(self.opts.get_field(name), (models.TextField, ArrayField))]
        return (spec.name_field or "__str__", *short[:MAX_FIELD_COLUMNS], "sync", "item", "updated")

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        return self._with_shown_phones(super().get_list_display(request))

    def _with_shown_phones(self, names: Iterable[Any]) -> Sequence[Any]:
        """Have phone numbers shown in one form, however they are stored."""
        phones = {field.name: field for field in registry.own_fields(self.model) if field_values.is_phone(field)}
        return [admin_base.phone_column(phones[name]) if name in phones else name for name in names]

    @cached_property
    def list_select_related(self) -> tuple[str, ...]:
        own = registry.own_fields(self.model)
        return tuple(field.name for field in own if field.is_relation and field.name in self.list_display)

    @cached_property
    def list_filter(self) -> list[Any]:
        related = [(field.name, AutocompleteSelectFilter) for field in registry.own_relations(self.model)]
        return [SYNC_FILTERS[0], *related, *SYNC_FILTERS[1:]]

    @cached_property
    def ordering(self) -> tuple[Any, ...]:
        return () if self.opts.ordering else searches.default_ordering(self.model)

    @cached_property
    def search_fields(self) -> tuple[str, ...]:
        return (*searches.searched_fields(self.model), "monday_id")

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Return records with every word of the term in any order, or with the phone number."""
        names = self.get_search_fields(request)
        return queryset.filter(searches.search_condition(self.model, names, search_term)), False

    @cached_property
    def search_help_text(self) -> str:
        fields = [self.opts.get_field(name.partition("__")[0]) for name in self.search_fields if name != "monday_id"]
        # The first ones, because more don't fit into the box.
        return f"{capfirst(', '.join(str(field.verbose_name) for field in fields[:3]))} …"

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        views = record_view.views_of(rows, admin_base.overview_of(request))
        for row in rows:
            row.page_view = views[row.pk]

    sync = admin_base.plain_column("Sync", lambda record: record_panel.list_cell(record.page_view), "sync_status")
    item = admin_base.plain_column("On Monday", lambda record: record_panel.record_item_link(record.page_view))
    updated = admin_base.time_column("updated_at", "Updated")

    # A record's page, in the order in which Django makes it.

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the record, locked if it is about to be saved, which Django does in a transaction."""
        record = super().get_object(request, object_id, from_field)
        if record is None or request.method != "POST" or not connection.in_atomic_block:
            return record
        limit_lock_waits()
        # NO KEY lets a contact that is saved meanwhile point at this organization.
        locked = self.model.objects.select_for_update(no_key=True, of=("self",))
        return locked.filter(pk=record.pk).first()

    def missing_words(self, request: HttpRequest, object_id: str) -> SafeString | str:
        """Return who deleted the record, if known, what a person typed in its form, and where deleted records are."""
        words = super().missing_words(request, object_id)
        if admin_base.is_valid_key(self.model, object_id):
            words = home_acts.describe_record_now(self.model.entity_type(), UUID(object_id))
        shown = admin_base.parse_json(request.POST.get(concurrent_edits.SHOWN_KEY, ""))
        typed_texts = []
        for field in registry.own_fields(self.model) if isinstance(shown, dict) else ():
            before = str(shown.get(field.name, ""))
            typed = unix_lines(request.POST.get(field.name, before))
            if typed.strip() != before.strip() and not field.is_relation:
                typed_texts.append(f"{capfirst(str(field.verbose_name))} “{typed}”")
        if typed_texts:
            words = f"{words} What you typed was not saved: {', '.join(typed_texts)}."
        link = activity_pages.deleted_records_link(request.user, "Look under Deleted records")
        return format_html("{} {}", words, link)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        """Return the model's own fields, and of a new record also the sync's, for which an existing one has a panel."""
        names = [field.name for field in registry.own_fields(self.model)]
        if obj is None:
            return [*names, "sync_enabled", "sync_direction"]
        # A form has what is stored, because saving it must not rewrite that.
        return names if self.has_change_permission(request, obj) else self._with_shown_phones(names)

    def get_autocomplete_fields(self, request: HttpRequest) -> Sequence[str]:
        # Not an attribute, because Django may check it before the other model's admin is generated.
        return self.autocomplete_fields or [field.name for field in registry.own_relations(self.model)]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Edit a list of texts line by line, because a text may contain a comma."""
        if isinstance(db_field, models.DateTimeField):
            kwargs["help_text"] = db_field.help_text or "As 2026-12-31 23:59:00."
        is_array = isinstance(db_field, ArrayField)
        if not is_array or not isinstance(db_field.base_field, (models.CharField, models.TextField)):
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return concurrent_edits.LinesField(
            label=capfirst(db_field.verbose_name),
            required=not db_field.blank,
            max_length=db_field.base_field.max_length,
            widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            help_text=db_field.help_text or "One on each line.",
        )

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        """Save with a bound on lock waits, because a new record may wait for one that it points at."""
        limit_lock_waits()
        super().save_model(request, obj, form, change)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Mark in the form, which is rendered later, which fields are not in sync, and why."""
        response = super().render_change_form(request, context, *args, **kwargs)
        record = kwargs.get("obj")
        if record is not None:
            record_panel.mark_fields(context["adminform"].form, record, record.page_view, request.user)
        return response

    def row_context(self, request: HttpRequest, row: SyncedModel) -> dict[str, Any]:
        """Return what is shown above the form (record_state.html) and below it (record_panel.html)."""
        record: Any = row
        view: record_view.RecordView = record.page_view
        may_change = self.has_change_permission(request, record)
        page_url = self._page_url(record)
        other_entries = [
            (entry, list(record_panel.buttons_of_entry(entry, request.user, page_url))) for entry in view.other_entries
        ]
        sides = record_panel.differing_sides(record, view, request.user)
        return super().row_context(request, record) | {
            "sync_view": view,
            "sync_badge": record_panel.state_badge(view),
            "sync_reason": record_panel.reason_of(view),
            "sync_tone": record_panel.colour_of(view),
            "sync_removal": record_panel.record_removal_sentence(record, view),
            "turned_off_by": authors.who_turned_sync_off([] if record.sync_enabled else [record]).get(record.pk, ""),
            "sync_unlinked_item": None if record.monday_id else item_links.unlinked_item(record),
            "sync_buttons": record_panel.buttons_of(record, view, request.user, may_change=may_change),
            "sync_menu": record_panel.menu_buttons(record) if may_change else [],
            "sync_last": admin_base.time_tag(record.monday_last_synced, view.now),
            "sync_item": record_panel.record_item_link(view, "Open on Monday") if view.item_url else "",
            "sync_other_entries": other_entries,
            "sides": sides,
            "sides_read_at": min((side["field"].read_at for side in sides if side["field"].read_at), default=None),
            "is_monday_read": view.state is not record_view.RecordState.OFF,
            "activity": activity_of(record, request),
        }

    # Acts on one record.

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        acts = {"direction": self.change_direction, "sync_now": self.sync_now, "link_again": self.link_again}
        return [
            *(path(f"<uuid:record_id>/{name}/", view(act), name=self._url_name(name)) for name, act in acts.items()),
            path("unlinked/<uuid:fold_id>/", view(self.link_act_again), name=self._url_name("link_act_again")),
            *super().get_urls(),
        ]

    def _url_name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view}"

    def _page_url(self, record: SyncedModel) -> str:
        return reverse(f"admin:{self._url_name('change')}", args=[record.pk])

    def _record_to_change(self, request: HttpRequest, record_id: UUID) -> SyncedModel:
        if not self.has_change_permission(request):
            raise PermissionDenied
        record = self.get_queryset(request).filter(pk=record_id).first()
        if record is None:
            raise Http404(f"Nothing was done. {home_acts.describe_record_now(self.model.entity_type(), record_id)}")
        return cast("SyncedModel", record)

    def change_direction(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Ask for one record's direction, beside the values that it may overwrite; then change it."""
        record = self._record_to_change(request, record_id)
        if "direction" not in request.POST:
            # “Turn sync off” is an act of its own.
            directions = [
                (direction.value, str(direction.label), text)
                for direction, text in record_panel.DIRECTION_EFFECTS.items()
                if direction != choices.SyncDirection.NONE
            ]
            differing = record_panel.values_to_overwrite(record)
            question = confirmed_action.Question(
                f"Which way are changes of “{record}” synced?",
                button="Change direction",
                tables=[differing] if differing.rows else [],
                hidden=[("shown", record.sync_direction)],
                page_name=str(record),
                radio=("direction", record.sync_direction, directions),
            )
            return confirmed_action.question_page(self, request, question, self._page_url(record))

        @transaction.atomic
        def run() -> str:
            chosen = request.POST["direction"]
            if chosen not in choices.SyncDirection.values:
                raise NotPossible("Nothing was changed: choose a direction.")
            direction = choices.SyncDirection(chosen)
            rows = self.model.objects.filter(pk=record.pk)
            # NO KEY: a contact saved meanwhile may still point at this organization.
            current = choices.SyncDirection(rows.select_for_update(no_key=True, of=("self",)).get().sync_direction)
            if current != request.POST.get("shown", "") or current == direction:
                raise NotPossible(
                    f"Nothing was changed: the direction of “{record}” is now “{current.label}”. Check again."
                )
            rows.update(sync_direction=direction.value)
            wakeups.wake_on_commit(record.entity_type())
            authors.log_action(request.user, record, f"Direction: from “{current.label}” to “{direction.label}”.")
            effect = record_panel.DIRECTION_EFFECTS[direction]
            return f"The direction of “{record}” is “{direction.label}”; it was “{current.label}”. {effect}"

        return confirmed_action.run_action(self, request, run, self._page_url(record))

    def sync_now(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        record = self._record_to_change(request, record_id)

        def run() -> confirmed_action.Report:
            answer = queue.push_record(record, by=request.user.get_username())
            authors.log_action(request.user, record, f"Sync now: {answer.message}")
            if answer.triggered and not answer.reason_code:
                return confirmed_action.Report(answer.message)
            return confirmed_action.Report(problems=[answer.message])

        return confirmed_action.run_action(self, request, run, self._page_url(record))

    def link_again(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Link a record with the item from which it was unlinked, after a question."""
        record = self._record_to_change(request, record_id)

        def question() -> confirmed_action.Question:
            item = item_links.unlinked_item(record)
            item_name = f"item {item.item_id}" if item else "its item"
            act = ACTS["link_again"]
            return confirmed_action.Question(
                f"Link “{record}” with {item_name} again?", [act.effect, act.way_back], act.label, page_name=str(record)
            )

        back_url = admin_base.back_url(request, self._page_url(record))
        return confirmed_action.run_action(self, request, lambda: self._relink(request, [record]), back_url, question)

    def link_act_again(self, request: HttpRequest, fold_id: UUID) -> HttpResponse:
        """Link the records that one act of the activity unlinked with their items again, after a question."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        ids = ActivityLine.objects.filter(fold_id=fold_id, kind=choices.ActivityKind.UNLINKED).values("entity_id")
        records = self.get_queryset(request).filter(pk__in=ids, monday_id=None)
        act = ACTS["link_again"]

        def question() -> confirmed_action.Question:
            if not (number := records.count()):
                return confirmed_action.Question("Nothing to link again", ["They have items, or were deleted."])
            label = act.many.format(records=registry.count_of_type(number, self.model.entity_type()))
            cells = [(str(record),) for record in records[: confirmed_action.MAX_ROWS_SHOWN]]
            table = confirmed_action.RecordTable(("Record",), cells, number)
            return confirmed_action.Question(f"{label}?", [act.effect], label, [table])

        back_url = admin_base.back_url(request, reverse(activity_pages.ACTIVITY))
        return confirmed_action.run_action(self, request, lambda: self._relink(request, records), back_url, question)

    def _relink(self, request: HttpRequest, records: Iterable[SyncedModel]) -> confirmed_action.Report:
        linked: list[SyncedModel] = []
        problems = []
        for record in records:
            try:
                item_id = item_links.relink(record, request.user.get_username())
            except NotPossible as refused:
                problems.append(str(refused))
            else:
                authors.log_action(request.user, record, f"Linked with item {item_id} again.")
                linked.append(record)
        subject = f"“{linked[0]}” is" if len(linked) == 1 else f"{len(linked):,} {self.opts.verbose_name_plural} are"
        sentence = f"{subject} linked again. The next sync does the rest." if linked else ""
        return confirmed_action.Report(sentence, problems)

    # Acts on the selected records of the list.

    def acts(self, request: HttpRequest) -> list[Act]:
        codes = ("turn_sync_on", "turn_sync_off", "unlink", "link_again")
        return [ACTS[code] for code in codes] if self.has_change_permission(request) else []

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[Any], act: Act) -> HttpResponse:
        """Turn sync on or off, or unlink records from Monday."""
        shown_fields = ("monday_id",) if act.code == "unlink" else ()  # as in `selection_fields`

        def question() -> confirmed_action.Question:
            hidden = confirmed_action.selection_fields(request, act.code, rows, *shown_fields)
            listed = rows[: confirmed_action.MAX_ROWS_SHOWN]
            items = {record.pk: record.monday_id for record in listed}
            if act.code == "link_again":
                former = item_links.unlinked_items(self.model.entity_type(), list(items))
                items |= {record_id: row.item_id for record_id, row in former.items()}
            cells = [(each, f"Item {items[each.pk]}" if items[each.pk] else "No item") for each in listed]
            table = confirmed_action.RecordTable(("Record", "On Monday"), cells, rows.count())
            subject = self._subject(rows)
            label = act.many.format(records=subject)
            page_name = subject if request.POST.get("back") else ""
            effects = [act.effect, act.way_back]
            return confirmed_action.Question(f"{label}?", effects, label, [table], hidden, page_name=page_name)

        def run() -> confirmed_action.Report | str:
            records = confirmed_action.confirmed_rows(request, rows, *shown_fields) if act.asks else rows
            if act.code == "link_again":
                return self._relink(request, records)
            if act.code != "unlink":
                return self._turn_sync(request, records, on=act.code == "turn_sync_on")
            linked = records.exclude(monday_id=None)
            ids = list(linked.values_list("pk", flat=True))
            if not ids:
                raise NotPossible("Nothing was changed: none of them has an item on Monday.")
            authors.log_action_many(request.user, linked, "Asked to unlink it from Monday.")
            item_links.request_unlink(self.model.entity_type(), ids, request.user.get_username())
            return f"Unlinking {self._subject(linked)} from Monday."

        page_before = admin_base.back_url(request, request.get_full_path())
        return confirmed_action.run_action(self, request, run, page_before, question if act.asks else None)

    def _turn_sync(self, request: HttpRequest, queryset: models.QuerySet[Any], *, on: bool) -> str:
        """Turn sync on or off for these records, log each change, and report it."""
        state = "on" if on else "off"
        with transaction.atomic():
            limit_lock_waits()
            # A pass locks records in the same order, so they can't deadlock. NO KEY lets other rows point at these.
            to_change = queryset.filter(sync_enabled=not on)
            records = list(to_change.select_for_update(no_key=True, of=("self",)).order_by("id"))
            if not records:
                raise NotPossible(f"Nothing was changed: sync was {state} already, or somebody deleted them meanwhile.")
            self.model.objects.filter(pk__in=[record.pk for record in records]).update(sync_enabled=on)
            message = [{"changed": {"fields": [str(self.opts.get_field("sync_enabled").verbose_name)]}}]
            for record in records:
                self.log_change(request, record, message)
        wakeups.wake_board(self.model.entity_type())
        then = f" {ACTS['turn_sync_on'].effect}" if on else ""
        return f"Sync turned {state} for {registry.count_of_type(len(records), self.model.entity_type())}.{then}"

    def _subject(self, records: models.QuerySet[Any]) -> str:
        """Return the name of the only record, or the number of records."""
        number = records.count()
        return str(records.get()) if number == 1 else registry.count_of_type(number, self.model.entity_type())

    # Deletions, of one record and of selected ones.

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Also find out what becomes of the records' items, for the question and the message."""
        request.deletion_consequence = deletion_consequence(list(objs))  # type: ignore[attr-defined]
        return super().get_deleted_objects(objs, request)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        key = obj.pk
        super().delete_model(request, obj)
        self._report_deletion(request, [key])

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        super().delete_queryset(request, queryset)
        self._report_deletion(request, keys)

    def _report_deletion(self, request: HttpRequest, keys: Sequence[Any]) -> None:
        """Say how the deleted records are restored, and whether their items wait; Django says what was deleted."""
        consequence: DeletionConsequence = request.deletion_consequence  # type: ignore[attr-defined]
        waiting: list[SafeString | str] = []
        if consequence.waits:
            waiting.extend(consequence.items)
            if request.user.has_perm("sync.view_approvalrequest"):
                waiting.append(admin_base.link_to(reverse("admin:index"), "See what waits for approval"))
        back_url = reverse(f"admin:{self._url_name('changelist')}")
        deleted = Tombstone.objects.filter(entity_type=self.model.entity_type(), entity_id__in=keys)
        undo_url = activity_pages.restore_url(request.user, deleted, back_url)
        undo = format_html("Deleted by mistake? {}", admin_base.link_to(undo_url, "Undo…")) if undo_url else ""
        restore = undo or activity_pages.deleted_records_link(request.user, "Restore under Deleted records")
        if parts := [(part,) for part in (*waiting, restore) if part]:
            self.message_user(request, format_html_join(" ", "{}", parts), messages.SUCCESS)


def search_records(request: HttpRequest, term: str) -> list[tuple[int, int, SearchResult]]:
    """Return the records that Ctrl+K finds, with what tells namesakes apart.

    Each has a rank before it, 0 if its name is the term, 3 if only something else matches, and its type's place.
    """
    results = []
    key = match_key(term)
    for place, spec in enumerate(registry.entities()):
        model_admin = admin.site.get_model_admin(spec.model)
        if not model_admin.has_view_permission(request):
            continue
        rows, _may_have_duplicates = model_admin.get_search_results(request, model_admin.get_queryset(request), term)
        rank: models.Expression = models.Value(3)
        if spec.name_field:
            # A company matches by name; its many people, who match by it, must not crowd it out.
            by_name = searches.search_condition(spec.model, [spec.name_field], term)
            rows = rows.alias(name_key=match_key_sql(spec.name_field))
            begins = models.When(name_key__startswith=key, then=1)
            rank = models.Case(models.When(name_key=key, then=0), begins, models.When(by_name, then=2), default=3)
        ordering = model_admin.get_ordering(request) or spec.model._meta.ordering or ()
        rows = rows.annotate(name_rank=rank).order_by("name_rank", *ordering)
        relations = [field.name for field in registry.own_relations(spec.model)]
        for record in rows.select_related(*relations)[:COMMAND_RESULTS]:
            about = " · ".join(filter(None, [registry.type_label(spec.entity_type), admin_base.details_of(record)]))
            result = SearchResult(str(record), about, addresses.record_url(spec.entity_type, record.pk), None)
            results.append((record.name_rank, place, result))
    return results


def near_records(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return searches for names that a term may have meant, for Ctrl+K where it finds nothing."""
    results = []
    for spec in registry.entities():
        if admin.site.get_model_admin(spec.model).has_view_permission(request):
            page = f"{spec.model._meta.app_label}_{spec.model._meta.model_name}_changelist"
            for name in searches.near_names(spec.model, term):
                about = f"{registry.type_label(spec.entity_type)} · Did you mean this name?"
                results.append(SearchResult(name, about, addresses.page_url(page, query={SEARCH_VAR: name}), None))
    return results


def register_generated(site: admin.AdminSite) -> None:
    """Register an admin for each registered model whose application has none."""
    for spec in registry.entities():
        if not site.is_registered(spec.model):
            site.register(spec.model, SyncedModelAdmin)
