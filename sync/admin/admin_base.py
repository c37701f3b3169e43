"""The base of the admin's lists and pages, with shared columns, filters, badges and links."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RadioFilter
from unfold.views import ChangeList

from sync import addresses, attention, registry
from sync.boards import availability
from sync.clock import SyncNow
from sync.fields import field_values, lookups, searches
from sync.kernel import humanize
from sync.kernel.acts import Act
from sync.kernel.humanize import DASH, icon
from sync.limits.board_limits import BoardAvailability
from sync.models import FieldMapping, SyncedModel
from sync.records import authors
from sync.records.tombstones import tombstones_of
from sync.words.message import Message


def time_tag(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return a moment in words, with the exact time as a tooltip."""
    return DASH if moment is None else humanize.time_element(moment, humanize.relative_time(moment, now))


def with_request_id(text: str) -> SafeString:
    """Return a sentence with the folded ids of Monday's requests, which its support asks for."""
    ids = humanize.request_ids(text)
    fold = '<details class="npd-trace"><summary>Technical details</summary>{}</details>'
    return format_html("{}{}", humanize.without_request_id(text), format_html(fold, " ".join(ids)) if ids else "")


def details_of(record: SyncedModel) -> str:
    """Return the record's first values besides its name, to tell it from namesakes."""
    fields = [field for field in registry.own_fields(type(record)) if field.name != registry.name_field(type(record))]
    values = [field_values.field_text(field, getattr(record, field.name)) for field in fields[:3]]
    return " · ".join(humanize.shorten(value, 60) for value in values if value)


def plain_column(description: str, value: Callable[[Any], Any], ordering: str = "") -> Any:
    """Return a column with what `value` returns for the row."""

    @admin.display(description=description, ordering=ordering or None)
    def column(model_admin: Any, row: Any) -> Any:
        return value(row)

    return column


def phone_column(field: Any) -> Any:
    """Return a column or read-only field with a phone number in the one form that pages show, named as the field."""

    @admin.display(description=field.verbose_name, ordering=field.name)
    def column(row: Any) -> str | None:
        return field_values.field_text(field, getattr(row, field.name)) or None

    column.__name__ = field.name
    return column


def time_column(name: str, description: str) -> Any:
    """Return a column with a moment of the row in words, seen from `page_now` (see PageAdmin)."""
    return plain_column(description, lambda row: time_tag(getattr(row, name), row.page_now), name)


def type_column() -> Any:
    return plain_column("Type", lambda row: registry.type_label(row.entity_type), "entity_type")


def badge_column(name: str, description: str, badges: Mapping[Any, tuple[str, str]]) -> Any:
    """Return a column with the row's state as a badge; `badges` has each state's colour and icon."""

    def value(row: Any) -> SafeString:
        return humanize.badge(*badges[getattr(row, name)], getattr(row, f"get_{name}_display")())

    return plain_column(description, value, name)


def external_link(url: str, text: str, label: str) -> SafeString:
    """Return a link that leaves the admin; `label` is for screen readers."""
    tag = '<a class="npd-link" href="{}" target="_blank" rel="noopener" aria-label="{}">{} {}</a>'
    return format_html(tag, url, label, text, icon("open_in_new"))


def link_to(url: str, text: Any) -> SafeString | str:
    """Return a link to a page of the admin, or the text alone without an address."""
    return format_html('<a class="npd-link" href="{}">{}</a>', url, text) if url else str(text)


def path_on_site(request: HttpRequest, *addresses: str | None) -> str:
    """Return the path of the first of these addresses on this site; empty if none is."""
    site = {request.get_host()}
    for address in addresses:
        if address and url_has_allowed_host_and_scheme(address, site, require_https=request.is_secure()):
            # Checked again, because a path that begins with slashes would name another site.
            inner = urlsplit(address)._replace(scheme="", netloc="").geturl()
            if url_has_allowed_host_and_scheme(inner, None):
                return inner
    return ""


def back_url(request: HttpRequest, otherwise: str = "") -> str:
    """Return the page of this site to which an act leads back, as its form or its address says; by default Home."""
    return (
        path_on_site(request, request.POST.get("back"), request.GET.get("back")) or otherwise or reverse("admin:index")
    )


def parse_json(text: str) -> Any:
    """Return the JSON of a form, or None if it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def render_admin_page(
    model_admin: Any, request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any
) -> TemplateResponse:
    """Render an admin's page other than its list and forms."""
    shared = {**model_admin.admin_site.each_context(request), "title": title, "opts": model_admin.opts}
    return TemplateResponse(request, template, shared | context, status=status)


def overview_of(request: HttpRequest) -> availability.Overview:
    """Return the boards' overview, read once a request."""
    if not hasattr(request, "page_overview"):
        request.page_overview = availability.Overview()  # type: ignore[attr-defined]
    overview: availability.Overview = request.page_overview  # type: ignore[attr-defined]
    return overview


def kinds_on_home(user: Any) -> attention.ShownKinds:
    """Return the kinds that Home lists for this person; stops are in the banner."""
    return attention.kinds_shown_to(user, [kind for kind in attention.Kind if kind is not attention.Kind.STOP])


def counts_of(request: HttpRequest) -> dict[attention.Kind, int]:
    """Return the numbers of stops and of the groups that Home lists for this person, counted once a request."""
    if not hasattr(request, "attention_counts"):
        kinds = kinds_on_home(request.user).kinds | {attention.Kind.STOP}
        request.attention_counts = attention.group_counts(attention.ShownKinds(kinds))  # type: ignore[attr-defined]
    counts: dict[attention.Kind, int] = request.attention_counts  # type: ignore[attr-defined]
    return counts


@dataclass(frozen=True)
class Button:
    """A button that does an act, or leads to a page."""

    label: str
    code: str = ""  # of the act, or a word for the page that it leads to
    url: str = ""  # of the page, if it leads to one
    post_to: str = ""  # where it posts `hidden`, if it has a form of its own
    hidden: Mapping[str, object] = field(default_factory=dict)
    icon: str = ""
    key: str = ""  # its keyboard shortcut
    deletes: bool = False  # whether its act deletes something
    is_on_monday: bool = False  # whether the page opens in a new tab
    label_if_selected: str = ""  # instead of `label` while rows are selected; empty if that is the same


@dataclass(frozen=True)
class ListTab:
    """A tab above a list: a filter, or another list."""

    label: str
    url: str
    is_current: bool
    count: int = 0


class PageChangeList(ChangeList):
    """The rows that a page of a PageAdmin's list shows."""

    @property
    def active_filter_count(self) -> int:
        """The number of the panel's filters that are set, without what the tabs choose."""
        chosen = {name for name, values in self.filter_params.items() if any(values)}
        in_panel = [spec for spec in self.filter_specs if not getattr(spec, "is_chosen_by_tabs", False)]
        return sum(not chosen.isdisjoint(spec.expected_parameters()) for spec in in_panel)

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = self.page_rows()
        self.model_admin.prepare_page(request, self.result_list)
        self.empty_buttons = [] if self.result_list else self.model_admin.empty_buttons(request)

    def page_rows(self) -> list[Any]:
        """Return the rows of the page; a subclass may add unsaved ones."""
        return list(self.result_list)


def is_valid_key(model: type[models.Model], text: str) -> bool:
    """Whether a row of this model could have this primary key."""
    try:
        model._meta.pk.clean(text, None)
    except ValidationError:
        return False
    # PostgreSQL refuses NUL in a text.
    return "\0" not in text


class PageAdmin(ModelAdmin):
    """The base of all our lists and of their rows' pages.

    `prepare_page` reads what a page shows of all its rows together, so that their cells need no queries, and puts it
    on the rows, as attributes that begin with `page_`; `page_now` is the database's time. The change list calls it for
    a page of the list, `render_change_form` for the one row of a form, whose template then gets `row_context`.
    """

    list_per_page = 50
    # Django would count the whole table on every page.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_filter_submit = True
    delete_selected_confirmation_template = "admin/delete_confirmation.html"  # for one row and for many
    # Empty cells have this class, because the cards of a phone hide them (static/npd/npd.css).
    empty_value_display = f'<span class="npd-none">{DASH}</span>'
    changelist: type[ChangeList] = PageChangeList
    saves_and_continues = True  # whether a form has the button “Save and continue editing”
    # Of an empty list (templates/unfold/helpers/empty_results.html).
    empty_title: str = ""
    empty_words: str = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return self.changelist

    def empty_buttons(self, request: HttpRequest) -> list[Button]:
        """Hook: return what fills an empty list, the main button first."""
        if not self.has_add_permission(request):
            return []
        return [
            Button(
                f"Add {self.opts.verbose_name}",
                url=addresses.page_url(f"{self.opts.app_label}_{self.opts.model_name}_add"),
            )
        ]

    def acts(self, request: HttpRequest) -> Sequence[Act]:
        """Return the acts that are actions of the list, for this person."""
        return ()

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[Any], act: Act) -> HttpResponse:
        """Do an act on the selected rows."""
        raise NotImplementedError

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        act_on_rows = type(self).act_on_rows
        return actions | {act.code: (partial(act_on_rows, act=act), act.code, act.button) for act in self.acts(request)}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Prepare the row, add its context, and drop the button *Save and add another*."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": self.saves_and_continues}
        row = kwargs.get("obj")
        if row is not None:
            self.prepare_page(request, [row])
            context |= self.row_context(request, row)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Go to the list, with a message in our words."""
        self.message_user(request, self.missing_words(request, object_id), messages.WARNING)
        return redirect(f"admin:{opts.app_label}_{opts.model_name}_changelist")

    def missing_words(self, request: HttpRequest, object_id: str) -> SafeString | str:
        """Return the list's message for a person who opened the address of a row that doesn't exist."""
        return f"There is no such {self.opts.verbose_name} any more: it was deleted, or the address was cut off."

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Hook: return the context of a row's page besides its fields."""
        return {}

    def is_list(self, request: HttpRequest) -> bool:
        """Whether the request is for the list, not for a row's page or act."""
        match = request.resolver_match
        return match is not None and match.url_name == f"{self.opts.app_label}_{self.opts.model_name}_changelist"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Annotate the rows with the database's time."""
        rows: models.QuerySet[Any] = super().get_queryset(request).annotate(page_now=SyncNow())
        return rows

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Hook: set the values of the cells on each row of the page."""


class SettingsAdmin(PageAdmin):
    """An admin of settings or users: what people change is in the activity, with the old and the new value."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Return the changes of the model's fields; other fields of a form may be secrets."""
        fields = {field.name: field for field in (*self.opts.fields, *self.opts.many_to_many)}
        names = [name for name in form.changed_data if name in fields]
        changes = [_setting_change(form, fields[name], is_new=add) for name in names]
        # A new row is called by its name already.
        return [change for change in changes if not add or change.params["after"] != str(form.instance)]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        sentence = Message("settings_added", about=authors.setting_name(obj), changes=message)
        authors.log_setting(request.user, sentence, obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        if message:
            authors.log_settings_changed(request.user, obj, *message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            sentence = Message("settings_deleted", about=authors.setting_name(row))
            authors.log_setting(request.user, sentence, row)


def _setting_change(form: Any, field: Any, *, is_new: bool) -> Message:
    if field.name not in form.fields:  # Django's form for a password, which names only the column
        return Message("setting_new_secret", label=str(field.verbose_name))
    label = str(form[field.name].label)
    before = form.initial.get(field.name)
    after = form.cleaned_data[field.name]
    if field.many_to_many and not is_new:
        added = _setting_text(field, set(after) - set(before))
        removed = _setting_text(field, set(before) - set(after))
        return Message("setting_of_list", label=label, added=added, removed=removed)
    if is_new:
        return Message("setting_of_new", label=label, after=_setting_text(field, after))
    return Message("setting", label=label, before=_setting_text(field, before), after=_setting_text(field, after))


def _setting_text(field: Any, value: Any) -> str:
    """Return a value of a form as text; the initial value of a relation is a key."""
    if field.many_to_many:
        return ", ".join(sorted(row.name for row in value))  # groups or permissions
    if field.is_relation:
        value = field.related_model._default_manager.filter(pk=getattr(value, "pk", value)).first()
    elif isinstance(value, bool):
        return "on" if value else "off"
    return str(dict(field.flatchoices).get(value, "" if value is None else value))


class DateFilter(admin.DateFieldListFilter):
    """Filters by a time: by Django's links, such as “Today”, or from one day to another, each included."""

    title = "date of the change"
    template = "sync/date_filter.html"
    column = ""  # that is compared, if it isn't the field itself

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = type(self).title
        # A link replaces the days, too.
        self.field_generic = f"{self.field_path}_"
        parameters: dict[str, Any] = self.used_parameters
        self.days = {label: (name, str(parameters.pop(name, [""])[-1])) for label, name in self._day_parameters.items()}
        self.date_params |= {name: text for name, text in self.days.values() if text}

    @property
    def _day_parameters(self) -> dict[str, str]:
        return {"From": f"{self.field_path}_from", "To": f"{self.field_path}_to"}

    def expected_parameters(self) -> list[str | None]:
        return [*super().expected_parameters(), *self._day_parameters.values()]

    def conditions(self) -> dict[str, datetime]:
        """Return the moments that the time is compared with, by the lookup; raises IncorrectLookupParameters."""
        try:
            parameters: dict[str, Any] = self.used_parameters
            moments = {
                name.removeprefix(f"{self.field_path}__"): self.field.to_python(values[-1])
                for name, values in parameters.items()
            }
            for label, lookup, further_days in (("From", "gte", 0), ("To", "lt", 1)):
                if text := self.days[label][1]:
                    day = date.fromisoformat(text) + timedelta(days=further_days)
                    moments[lookup] = timezone.make_aware(datetime.combine(day, time.min))
        except (ValueError, OverflowError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error
        return moments

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        column = self.column or self.field_path
        return queryset.filter(**{f"{column}__{lookup}": moment for lookup, moment in self.conditions().items()})


class ReadOnlyAdmin(PageAdmin):
    """An admin of rows without a form to change them; a subclass may allow adding or deleting."""

    change_form_outer_before_template = "sync/row_buttons.html"

    def row_buttons(self, request: HttpRequest, row: Any) -> Sequence[Button]:
        """Return the buttons above a row's page, the main one first."""
        return []

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return super().row_context(request, row) | {"row_buttons": self.row_buttons(request, row)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


def record_ids_by_name(term: str) -> list[UUID]:
    """Return the ids of at most a thousand records of each type whose name contains `term`, by one query."""
    if not term:
        return []
    queries: list[models.QuerySet[Any, UUID]] = []
    for spec in registry.entities():
        if spec.name_field:
            condition = searches.search_condition(spec.model, [spec.name_field], term)
            records = spec.model.objects.filter(condition).order_by()
            queries.append(records.values_list("id", flat=True)[:1000])
    return list(queries[0].union(*queries[1:], all=True)) if queries else []


def _record_key(row: Any) -> tuple[str, Any]:
    # A sync state has the id as text.
    record_id = row.entity_id
    return row.entity_type, UUID(record_id) if isinstance(record_id, str) else record_id


class RecordLinkMixin(PageAdmin):
    """A list of rows about records: adds a column with a link to each record, or to a deleted record's page.

    Its search finds the rows by their record's name, too.
    """

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        keys = {_record_key(row) for row in rows}
        names = lookups.record_names(keys)
        tombstones = tombstones_of(key for key in keys - names.keys() if key[1] is not None)
        may_see_deleted = request.user.has_perm("sync.view_tombstone")
        for row in rows:
            key = _record_key(row)
            row.page_lacks_record = key not in names  # it was deleted, or the row is about none
            if not row.page_lacks_record:
                row.page_record = names[key]
                row.page_record_url = addresses.record_url(*key)
                continue
            tombstone = tombstones.get(key)
            name = field_values.tombstone_name(tombstone) if tombstone else ""
            row.page_record = name or registry.type_label(row.entity_type)
            # A pruned tombstone is replaced by an unsaved one, which has no page.
            page_id = tombstone.pk if tombstone and may_see_deleted else None
            row.page_record_url = reverse("admin:sync_tombstone_change", args=[page_id]) if page_id else ""

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Name the row's page after its record."""
        return super().row_context(request, row) | {"page_name": self.record_name(row)}

    def record_name(self, row: Any) -> str:
        if row.entity_id is None:
            return str(row)
        return f"{row.page_record}, deleted" if row.page_lacks_record else row.page_record

    @admin.display(description="Record")
    def record(self, row: Any) -> SafeString | str | None:
        if row.entity_id is None:
            return None
        link = link_to(row.page_record_url, row.page_record)
        return format_html("{} {}", link, humanize.badge("off", "delete", "Deleted")) if row.page_lacks_record else link

    record_type = type_column()

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find the rows with each of the words, whether in a text of theirs or in their record's name."""
        for word in searches.words_of(search_term):
            quoted = f'"{word}"' if " " in word else word
            rows, _may_have_duplicates = super().get_search_results(request, queryset, quoted)
            queryset = rows | queryset.filter(self.is_found_by(word))
        return queryset, False

    def is_found_by(self, word: str) -> models.Q:
        """Hook: return the condition that a row is found by a word that none of its own texts has."""
        return models.Q(entity_id__in=record_ids_by_name(word))


class EntityFilter(RadioFilter):
    title = "type"
    parameter_name = "entity_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(spec.entity_type, spec.board_title) for spec in registry.entities()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(entity_type=self.value()) if self.value() else queryset


def board_badge(board: BoardAvailability, blocked: Sequence[FieldMapping] = ()) -> SafeString:
    """Return the board's state; `blocked` are its fields whose columns can't be used."""
    if not board.is_chosen:
        return humanize.badge("off", "link_off", "Not set up")
    if board.is_paused:
        return humanize.badge("warn", "pause_circle", "Paused")
    if board.blocked_reason:
        return humanize.badge("bad", "block", "Stopped")
    if blocked:
        columns = humanize.count_with_noun(len(blocked), "column")
        return humanize.badge("warn", "view_column", f"Syncing; {columns} can't be used")
    return humanize.badge("ok", "check_circle", "Syncing")


def records_url(spec: registry.EntitySpec, sync_state: str = "") -> str:
    """Return the address of this type's list, filtered by a state; empty without an admin."""
    opts = spec.model._meta
    query = {"sync_state": sync_state} if sync_state else None
    return addresses.page_url(f"{opts.app_label}_{opts.model_name}_changelist", query=query)
