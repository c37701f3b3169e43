"""Boards, their field mappings and the account, in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin, TabularInline

from sync import drift
from sync.admin import words
from sync.admin.base import ReadOnlyAdmin
from sync.admin.guide import ConnectMonday
from sync.admin.held import HeldPagesMixin
from sync.admin.loops import LoopPagesMixin
from sync.admin.mapping_form import MappingForm
from sync.admin.since_shown import SinceShownForm
from sync.admin.wizard import WizardMixin
from sync.audit.figures import verified_words
from sync.boards import setting_of
from sync.clock import sync_now
from sync.models import BoardLink, FieldMapping, MondayAccount
from sync.registry import UnknownEntity, kind_words
from sync.standstill import why_not, why_waits
from sync.sweeps import reports


class FieldMappingInline(TabularInline):
    """Which field goes to which column; the way and the rule are a person's to choose."""

    model = FieldMapping
    form = MappingForm
    extra = 0
    can_delete = False
    fields = ("field", "column_id", "converter", "direction", "rule", "needed")
    readonly_fields = ("field", "converter", "needed")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Name each field for screen readers: a table's cells have no labels of their own."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = str(field.label)
        return field

    @admin.display(description=gettext_lazy("Field"))
    def field(self, mapping: FieldMapping) -> SafeString | str:
        """Return the field's name, and what is wrong with its column."""
        if not mapping.problem:
            return mapping.label
        held = words.badge("bad", "view_column", _("Held"))
        return format_html(
            '{} {}<p class="npd-column-problem">{}</p>', mapping.label, held, words.traced(mapping.problem)
        )

    @admin.display(description=gettext_lazy("NPD needs a value"))
    def needed(self, mapping: FieldMapping) -> str:
        """Return whether an emptied column is held instead of emptying the field."""
        return _("yes") if mapping.required else _("no")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Mappings are made by `monday_setup`."""
        return False


_CHOSEN = {
    "creates_records": "",
    "item_gone": gettext_lazy(
        "What becomes of a record that nobody edited since, once its item was archived or deleted on Monday "
        "for some minutes (GONE_QUIET_SECONDS). Where somebody edited it, a person is asked in any case."
    ),
    "record_gone": gettext_lazy(
        "What becomes of an item that nobody edited since, when its record is deleted in NPD. Where "
        "somebody edited it, a person is asked in any case."
    ),
}
"""What a person chooses of a board link, with the words below the field."""


@admin.register(BoardLink)
class BoardLinkAdmin(WizardMixin, HeldPagesMixin, LoopPagesMixin, ModelAdmin):
    """One model and its board."""

    list_display = ("title", "board", "state", "mapped")
    form = SinceShownForm
    inlines = (FieldMappingInline,)
    fields = (
        "title",
        "state",
        "board",
        "id_column",
        "matched_by",
        "creates_records",
        "item_gone",
        "record_gone",
        "webhook_lines",
        "swept",
        "compared_last",
        "sampled",
    )
    readonly_fields = tuple(name for name in fields if name not in _CHOSEN)
    list_per_page = 50
    list_before_template = "sync/held_doors.html"
    empty_title = gettext_lazy("No boards yet")
    empty_words = gettext_lazy(
        "Run `manage.py monday_setup`: it makes the boards, or takes over those that are there."
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Say below a policy what it decides."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and _CHOSEN.get(db_field.name):
            field.help_text = _CHOSEN[db_field.name]
        return field

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Board links are made by `monday_setup`."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A link that goes would orphan every base."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the links with their mappings."""
        return super().get_queryset(request).prefetch_related("mappings")

    @admin.display(description=gettext_lazy("Records"), ordering="entity_type")
    def title(self, link: BoardLink) -> str:
        """Return whose board it is."""
        return kind_words(link.entity_type)

    @admin.display(description=gettext_lazy("Board"))
    def board(self, link: BoardLink) -> str:
        """Return the board's id, and whether the environment names it."""
        try:
            named = setting_of(link.entity_type)
        except UnknownEntity:
            named = ""
        name = f"“{link.shape['name']}” " if link.shape.get("name") else ""
        return (
            (_("%(name)s%(named)s (set in the environment)") % {"name": name, "named": named})
            if named
            else f"{name}{link.board_id}" or words.NOTHING
        )

    @admin.display(description=gettext_lazy("State"))
    def state(self, link: BoardLink) -> SafeString:
        """Return whether the board is worked, and why not."""
        try:
            reason = why_not(link.entity_type)
            gathering = why_waits(link.entity_type)
        except UnknownEntity:
            gathering = reason = _("No application keeps %(entity_type)s records.") % {
                "entity_type": link.entity_type
            }
        if reason:
            return words.badge("bad", "pause_circle", words.plain(reason))
        if gathering:
            return words.badge("wait", "schedule", gathering)
        return words.badge("ok", "check_circle", _("Flowing"))

    @admin.display(description=gettext_lazy("Column of the NPD ID"))
    def id_column(self, link: BoardLink) -> SafeString | str:
        """Return the column that mirrors the record's id."""
        if link.npd_id_problem:
            return format_html(
                '{}<p class="npd-column-problem">{}</p>',
                link.npd_id_column,
                words.traced(link.npd_id_problem),
            )
        return drift.titled(link, link.npd_id_column) or words.NOTHING

    @admin.display(description=gettext_lazy("Matched by"))
    def matched_by(self, link: BoardLink) -> str:
        """Return by what a record and an item that don't know each other are matched."""
        return link.match_key

    @admin.display(description=gettext_lazy("Mapped fields"))
    def mapped(self, link: BoardLink) -> str:
        """Return the labels of what is mapped."""
        return ", ".join(mapping.label for mapping in link.mappings.all()) or words.NOTHING

    def save_model(self, request: HttpRequest, obj: BoardLink, form: Any, change: bool) -> None:
        """Write what the person touched, and nothing that workers write."""
        obj.save(update_fields=form.written)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the mappings, and say what another column led to; what moves values goes through the plan."""
        super().save_formset(request, form, formset, change)
        self.note_planned(request, form.instance.entity_type, formset.forms)
        for one in formset.forms:
            if said := getattr(one, "remapped", ""):
                self.message_user(request, said)
            if refused := getattr(one, "refused", ""):
                self.message_user(request, refused, messages.WARNING)

    @admin.display(description=gettext_lazy("Missed webhooks"))
    def swept(self, link: BoardLink) -> SafeString:
        """Return when the board was last asked what changed, and what is wrong with that."""
        told = [text for text in (link.sweep_problem, link.silence) if text]
        paragraphs = format_html_join(
            "", '<p class="npd-column-problem">{}</p>', ((words.traced(one),) for one in told)
        )
        return format_html("{}{}", reports.swept_line(link), paragraphs)

    @admin.display(description=gettext_lazy("Both sides compared"))
    def compared_last(self, link: BoardLink) -> str:
        """Return what the last nightly comparison found."""
        return reports.compared_line(link)

    @admin.display(description=gettext_lazy("Verified"))
    def sampled(self, link: BoardLink) -> str:
        """Return what the samples of synced records found of late."""
        return verified_words(link.entity_type)

    @admin.display(description=gettext_lazy("Webhooks"))
    def webhook_lines(self, link: BoardLink) -> str:
        """Return how many webhooks the set-up registered; their ids are of no use to a reader."""
        if link.webhooks_problem:
            return link.webhooks_problem
        return words.counted(len(link.webhooks), "webhook") if link.webhooks else _("none")


@admin.register(MondayAccount)
class MondayAccountAdmin(ReadOnlyAdmin):
    """The account's state for all workers, and how a real one is connected."""

    list_display = ("state", "paused", "failures", "version_answered")
    list_before_template = "sync/account_guide.html"
    empty_title = gettext_lazy("Nothing known of the account yet")
    empty_words = gettext_lazy("The first call to Monday writes this row.")

    def get_urls(self) -> list[URLPattern]:
        """Add the page that says how Monday is connected."""
        guide = self.admin_site.admin_view(ConnectMonday.as_view(model_admin=self))
        return [path("connect/", guide, name="connect_monday"), *super().get_urls()]

    @admin.display(description=gettext_lazy("Account"))
    def state(self, account: MondayAccount) -> SafeString:
        """Return whether calls are made."""
        if account.paused_until and account.paused_until > sync_now():
            return words.badge("bad", "pause_circle", words.plain(account.pause_reason) or _("Paused"))
        if account.needs_probe:
            return words.badge("wait", "schedule", _("Will be probed before the next call"))
        return words.badge("ok", "check_circle", _("Calls are made"))

    @admin.display(description=gettext_lazy("Paused until"))
    def paused(self, account: MondayAccount) -> str:
        """Return until when."""
        return words.clock(account.paused_until) or words.NOTHING
