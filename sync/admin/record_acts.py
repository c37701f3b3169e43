"""What a person does with one record from its page: pause and resume it, turn its direction, read Monday's side now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from sync.acts_log import note
from sync.admin.record_sides import Sides
from sync.admin.record_words import DIRECTIONS, direction_costs, next_in_words
from sync.admin.status import board_name
from sync.admin.urgent import too_often
from sync.choices import SyncDirection
from sync.models import SyncedModel
from sync.record_reading import Reading, read_now
from sync.record_settings import SetAlready, cleaned, pause, resume, turn

Act = Callable[[HttpRequest, SyncedModel], HttpResponse]


class RecordActsMixin:
    """For the admin of a synced model: the addresses of the panel's buttons; each takes nothing but a POST."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """Add them."""
        acts: dict[str, Act] = {
            "pause": self.pause_record,
            "resume": self.resume_record,
            "direction": self.turn_record,
            "read-monday": self.read_record,
        }
        found = [
            path(f"<uuid:record_id>/{name}/", self._act(act), name=self._plain_name(name))
            for name, act in acts.items()
        ]
        return [*found, *super().get_urls()]  # type: ignore[misc]

    def act_urls(self, record: SyncedModel) -> dict[str, str]:
        """Return the addresses for a record's page."""
        names = ("pause", "resume", "direction", "read-monday")
        return {
            name.replace("-", "_"): reverse(f"admin:{self._plain_name(name)}", args=[record.pk])
            for name in names
        }

    def _plain_name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view.replace('-', '_')}"

    def _act(self, act: Act) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, record_id: UUID) -> HttpResponse:
            record = self.get_queryset(request).filter(pk=record_id).first()  # type: ignore[attr-defined]
            gone = _("There is no %(kind)s %(id)s; it may have been deleted.")
            told = gone % {"kind": self.opts.verbose_name, "id": record_id}
            if record is None:
                raise Http404(told)
            if not self.has_change_permission(request, record):  # type: ignore[attr-defined]
                raise PermissionDenied
            try:
                return act(request, record)
            except type(record).DoesNotExist as gone_meanwhile:
                raise Http404(told) from gone_meanwhile

        wrapped: Callable[..., HttpResponse] = self.admin_site.admin_view(require_POST(view))
        return wrapped

    def _page_of(self, record: SyncedModel) -> str:
        return reverse(f"admin:{self._plain_name('change')}", args=[record.pk])

    def pause_record(self, request: HttpRequest, record: SyncedModel) -> HttpResponse:
        """Turn one record's sync off, with a reason."""
        why = cleaned(request.POST.get("why", ""))
        try:
            with transaction.atomic():
                pause(record, why)
                note(request.user, record, f"Paused. {why}".strip())
        except SetAlready as stale:
            messages.warning(request, str(stale))
        else:
            messages.success(
                request,
                _(
                    "“%(record)s” is paused: nothing is sent and nothing is taken over. Edits on both sides are "
                    "kept; “Resume” goes on from there."
                )
                % {"record": record},
            )
        return HttpResponseRedirect(self._page_of(record))

    def resume_record(self, request: HttpRequest, record: SyncedModel) -> HttpResponse:
        """Turn one record's sync on again."""
        try:
            with transaction.atomic():
                resume(record)
                note(request.user, record, "Resumed.")
        except SetAlready as stale:
            messages.warning(request, str(stale))
        else:
            messages.success(
                request,
                _(
                    "“%(record)s” is resumed. What one side changed meanwhile flows now; what both changed "
                    "differently is asked about."
                )
                % {"record": record},
            )
        return HttpResponseRedirect(self._page_of(record))

    def turn_record(self, request: HttpRequest, record: SyncedModel) -> HttpResponse:
        """Give one record another direction; where that side's edits are going to be replaced, after a page."""
        chosen, shown = request.POST.get("direction", ""), request.POST.get("shown", "")
        if chosen not in SyncDirection.values:
            messages.warning(request, _("Nothing was changed: choose a direction."))
            return HttpResponseRedirect(self._page_of(record))
        direction = SyncDirection(chosen)
        costs = direction_costs(record, direction)
        if costs and record.sync_direction == shown != chosen and "confirmed" not in request.POST:
            return self._confirm_direction(request, record, direction, costs)
        try:
            with transaction.atomic():
                turn(record, direction, shown=shown)
                before = SyncDirection(shown)
                note(request.user, record, f"Direction: from “{before.label}” to “{direction.label}”.")
        except SetAlready as stale:
            messages.warning(request, str(stale))
        else:
            messages.success(
                request,
                _("The direction of “%(record)s” is “%(now)s”; it was “%(before)s”. %(effect)s")
                % {
                    "record": record,
                    "now": direction.label,
                    "before": before.label,
                    "effect": DIRECTIONS[direction],
                },
            )
        return HttpResponseRedirect(self._page_of(record))

    def _confirm_direction(
        self, request: HttpRequest, record: SyncedModel, direction: SyncDirection, costs: list[str]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Change the direction?"),
            "page_name": str(record),
            "opts": self.opts,
            "record": record,
            "direction": direction,
            "effect": DIRECTIONS[direction],
            "costs": costs,
            "target": request.path,
            "shown": record.sync_direction,
            "back": self._page_of(record),
        }
        return TemplateResponse(request, "sync/record_direction.html", context)

    def read_record(self, request: HttpRequest, record: SyncedModel) -> HttpResponse:
        """Read Monday's side in one call and show it beside NPD's; to htmx only the table, else a page."""
        often = too_often(request)
        found = Reading(unread=often) if often else read_now(record)
        note(
            request.user,
            record,
            f"Monday was not read: {found.unread}" if found.unread else "Both sides were read.",
        )
        context = {
            **self.admin_site.each_context(request),
            "title": _("Both sides, read just now"),
            "page_name": str(record),
            "opts": self.opts,
            "sides": Sides(record, found.values).rows(),
            "sides_read": not found.unread,
            "sides_unread": found.unread,
            "sides_next": next_in_words(found),
            "sync_board": board_name(record.entity_type()),
            "sync_may_push": True,
            "sync_enabled": record.sync_enabled,
            "sync_urls": self.act_urls(record),
            "back": self._page_of(record),
        }
        part = request.headers.get("HX-Request") == "true"
        return TemplateResponse(
            request, "sync/record_sides.html" if part else "sync/record_sides_page.html", context
        )
