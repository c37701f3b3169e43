"""The admin of a synced model: badges in the list, the sync panel on the record, and its buttons."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesCheckboxFilter

from sync import wake
from sync.acts_log import note
from sync.admin import words
from sync.admin.base import PageAdmin
from sync.admin.deleted import DeletedMeanwhileMixin
from sync.admin.filters import HealthFilter, MomentsFilter
from sync.admin.history import history_of
from sync.admin.linking import LinkingMixin
from sync.admin.record_acts import RecordActsMixin
from sync.admin.record_sides import Sides
from sync.admin.record_words import DIRECTIONS, open_matters, without_item
from sync.admin.stale import StaleSafeForm
from sync.admin.status import SyncView, board_name, item_link, list_cell, refused_url, view_of, views_of
from sync.choices import SyncDirection
from sync.models import SyncedModel
from sync.push import NotConfigured, push_by_name
from sync.record_settings import pause_of

SYNC_FILTERS: list[Any] = [
    HealthFilter,
    ("sync_status", ChoicesCheckboxFilter),
    ("sync_direction", ChoicesCheckboxFilter),
    ("sync_enabled", BooleanRadioFilter),
    ("updated_at", MomentsFilter),
]


class SyncedModelAdmin(RecordActsMixin, LinkingMixin, DeletedMeanwhileMixin, PageAdmin):
    """What every synced model's admin has; a model's own admin adds its columns and fields."""

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["npd/record.css"]}

    form = StaleSafeForm
    actions = ("sync_now", "turn_sync_on", "turn_sync_off", "unlink", "link_again")
    change_form_before_template = "sync/record_shown.html"
    change_form_outer_before_template = "sync/record_state.html"
    change_form_outer_after_template = "sync/record_panel.html"
    delete_confirmation_template = "sync/delete_confirmation.html"
    delete_selected_confirmation_template = "sync/delete_selected_confirmation.html"
    warn_unsaved_form = True

    # --- the list ---

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the sync state on every row of the page."""
        super().prepare_page(rows)
        views = views_of(rows, rows[0].page_now) if rows else {}
        for row in rows:
            row.sync_view = views.get(row.pk)

    @admin.display(description=gettext_lazy("Sync"), ordering="sync_status")
    def sync(self, record: Any) -> SafeString | str:
        """Return the badge, with the reason and the next try."""
        return list_cell(record.sync_view)

    @admin.display(description=gettext_lazy("On Monday"))
    def item(self, record: Any) -> SafeString | str:
        """Return the link to the item."""
        return item_link(record.sync_view and record.sync_view.state, record)

    @admin.display(description=gettext_lazy("Updated"), ordering="updated_at")
    def updated(self, record: Any) -> SafeString | str:
        """Return when the record last changed, in words."""
        return words.time_tag(record.updated_at, record.page_now)

    # --- actions on a selection ---

    @admin.action(description=gettext_lazy("Sync now"), permissions=["change"])
    def sync_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Push the selected records now, also those whose sync is off: a person asked for it by name."""
        refused: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        started = 0
        for record in queryset:
            try:
                answer = push_by_name(record, by=request.user.get_username())
            except NotConfigured as error:
                self.message_user(
                    request, (_("Nothing was sent. %(error)s") % {"error": error}), messages.ERROR
                )
                return
            note(request.user, record, (_("Sync now: %(message)s") % {"message": answer.message}))
            if not answer.triggered:
                refused[answer.message] += 1
            elif answer.waits:
                waiting[answer.waits] += 1
            else:
                started += 1
        if started:
            self.message_user(
                request,
                (_("Sync of %(started)s started.") % {"started": self._counted(started)}),
                messages.SUCCESS,
            )
        for reason, count in waiting.most_common(5):
            self.message_user(
                request,
                (
                    _("Sync of %(count)s waits: %(reason)s")
                    % {"count": self._counted(count), "reason": reason}
                ),
                messages.WARNING,
            )
        for reason, count in refused.most_common(5):
            self.message_user(
                request,
                (_("%(count)s not sent: %(reason)s") % {"count": count, "reason": reason}),
                messages.WARNING,
            )

    def _counted(self, number: int) -> str:
        return words.counted(number, str(self.opts.verbose_name), str(self.opts.verbose_name_plural))

    @admin.action(description=gettext_lazy("Turn sync on"), permissions=["change"])
    def turn_sync_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Let the selected records sync again."""
        self._turn_sync(request, queryset, on=True)

    @admin.action(description=gettext_lazy("Turn sync off"), permissions=["change"])
    def turn_sync_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Stop the sync of the selected records; both sides keep what they have."""
        self._turn_sync(request, queryset, on=False)

    def _turn_sync(self, request: HttpRequest, queryset: QuerySet[Any], *, on: bool) -> None:
        others = queryset.filter(sync_enabled=not on)
        with transaction.atomic():
            records = list(others.select_for_update(no_key=True, of=("self",)).order_by("id"))
            self.model._default_manager.filter(pk__in=[record.pk for record in records]).update(
                sync_enabled=on
            )
            message = [{"changed": {"fields": [str(self.opts.get_field("sync_enabled").verbose_name)]}}]
            for record in records:
                self.log_change(request, record, message)
        wake.board(self.model.entity_type())
        state = "on" if on else "off"
        text = (
            (
                _("Sync turned %(state)s for %(records)s.")
                % {"state": state, "records": self._counted(len(records))}
            )
            if records
            else (_("Sync was %(state)s for all of them already.") % {"state": state})
        )
        self.message_user(request, text, messages.SUCCESS if records else messages.INFO)

    # --- the record's page ---

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the record; when it is about to be saved, read under its lock."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST" or not connection.in_atomic_block:
            return found
        # NO KEY: a contact that is saved meanwhile may still point at this organization.
        locked = self.model._default_manager.select_for_update(no_key=True, of=("self",))
        return locked.filter(pk=found.pk).first()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the sync panel to the record's page."""
        record = kwargs.get("obj")
        if record is not None:
            context.update(self._panel(request, record, view_of(record)))
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def _panel(self, request: HttpRequest, record: SyncedModel, view: SyncView) -> dict[str, Any]:
        labels = {shown.key: shown.label for shown in view.state.fields}
        return {
            "sync_view": view,
            "sides": Sides(record).rows(),
            "sync_item": item_link(view.state, record, _("Open on Monday")) if view.state.item_url else "",
            "sync_board": board_name(record.entity_type()),
            "sync_held": [
                (labels.get(key, key), words.traced(reason), refused_url(record, key, view.state))
                for key, reason in view.state.held.items()
            ],
            "sync_history": history_of(record),
            "sync_page": request.path,
            "sync_last": words.time_tag(record.monday_last_synced, view.now),
            "sync_may_push": self.has_change_permission(request, record),
            "sync_enabled": record.sync_enabled,
            "sync_pause": pause_of(record),
            "sync_without_item": without_item(record),
            "sync_open": open_matters(record, request.user),
            "sync_direction": SyncDirection(record.sync_direction).label,
            "sync_direction_value": record.sync_direction,
            "sync_directions": [(way.value, way.label, text) for way, text in DIRECTIONS.items()],
            "sync_urls": self.act_urls(record),
            **self.linking_context(request, record),
            "sync_now_url": reverse(self._name("sync_now"), args=[record.pk]),
        }

    def _name(self, view: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"

    def get_urls(self) -> list[URLPattern]:
        """Add the button's address."""
        name = self._name("sync_now").removeprefix("admin:")
        view = self.admin_site.admin_view(require_POST(self.sync_now_view))
        return [path("<uuid:record_id>/sync-now/", view, name=name), *super().get_urls()]

    def sync_now_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Push one record by name, then return to its page."""
        record = self.get_queryset(request).filter(pk=record_id).first()
        if record is None:
            raise Http404(f"There is no {self.opts.verbose_name} {record_id}; it may have been deleted.")
        if not self.has_change_permission(request, record):
            raise PermissionDenied
        try:
            answer = push_by_name(record, by=request.user.get_username())
        except NotConfigured as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            note(request.user, record, (_("Sync now: %(message)s") % {"message": answer.message}))
            sent = answer.triggered and not answer.waits
            self.message_user(request, answer.message, messages.SUCCESS if sent else messages.WARNING)
        return HttpResponseRedirect(reverse(self._name("change"), args=[record.pk]))

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Delete, and say what becomes of the item."""
        linked = getattr(obj, "monday_id", None)
        super().delete_model(request, obj)
        if linked:
            self.message_user(
                request,
                (
                    _("“%(value)s” is gone from NPD. %(entity_type)s")
                    % {"value": obj, "entity_type": words.item_follows(self.model.entity_type())}
                ),
                messages.INFO,
            )

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete, and say what becomes of the items."""
        linked = queryset.exclude(monday_id=None).exists()
        super().delete_queryset(request, queryset)
        if linked:
            self.message_user(request, words.items_follow(self.model.entity_type()), messages.INFO)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Tell the page that asks before a deletion what becomes of the items."""
        answer: HttpResponse | None = super().response_action(request, queryset)
        if (
            isinstance(answer, TemplateResponse)
            and answer.context_data is not None
            and not answer.is_rendered
        ):
            answer.context_data["items_follow"] = words.items_follow(self.model.entity_type())
        return answer

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say before the deletion what becomes of the item."""
        record = self.get_object(request, object_id)
        linked = record is not None and record.monday_id
        follows = words.item_follows(self.model.entity_type()) if linked else ""
        answer: HttpResponse = super().delete_view(
            request, object_id, (extra_context or {}) | {"item_stays": follows}
        )
        return answer
