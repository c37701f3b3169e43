"""Held fields: each with its cause, what it means, and a button for each way out. And what each button does."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync import registry
from sync.acts_log import note
from sync.admin import words
from sync.admin.field_pages import Asked, addresses, confirm_field, linked, may_change_records, may_map
from sync.admin.held_reading import held_url, trouble
from sync.admin.status import refused_list_url
from sync.admin.urgent import too_often
from sync.boards import link_of
from sync.choices import SyncDirection
from sync.connectors.monday.errors import MondayError
from sync.drift_titles import NothingToNote, take_note
from sync.field_ways import NoWayOut, check_board, held_records, try_again, turn_field
from sync.models import BoardLink
from sync.remapping import CannotRemap, choices, remap


class HeldPagesMixin:
    """For the admin of board links: the page, and the addresses of its buttons."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """Add them."""
        acts = {
            "note": self.note_title,
            "check": self.check_columns,
            "column": self.change_column,
            "stop": self.stop_field,
            "again": self.try_values_again,
        }
        inherited = super().get_urls()  # type: ignore[misc]
        return addresses(self.admin_site, "held", self.held_page, acts, inherited)

    def held_page(self, request: HttpRequest) -> HttpResponse:
        """Show what is held and why."""
        if not request.user.has_perm("sync.view_boardlink") or not request.user.has_perm(
            "sync.view_syncmetadata"
        ):
            raise PermissionDenied
        kinds = [spec.entity_type for spec in registry.entities()]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Held fields"),
            "opts": self.opts,
            "trouble": trouble(lambda kind: may_change_records(request, kind, "view")),
            "may_map": may_map(request),
            "refused_url": refused_list_url(),
            "may_send": {kind for kind in kinds if may_change_records(request, kind)},
        }
        return TemplateResponse(request, "sync/held_page.html", context)

    def note_title(self, request: HttpRequest) -> HttpResponse:
        """Take note of a column's new title."""
        link = self._link(request)
        column, title = request.POST.get("column", ""), request.POST.get("title", "")
        try:
            with transaction.atomic():
                found = take_note(link, column, title)
                note(
                    request.user,
                    link,
                    f"Took note: “{found.before}” on “{found.board}” is now “{found.now}”.",
                )
        except NothingToNote as why:
            messages.warning(request, str(why))
        else:
            messages.success(
                request, _("Noted: the column is known as “%(title)s” from now on.") % {"title": found.now}
            )
        return HttpResponseRedirect(held_url())

    def check_columns(self, request: HttpRequest) -> HttpResponse:
        """Ask Monday for the board now."""
        link = self._link(request)
        if why := too_often(request):
            messages.warning(request, _("Monday was not asked: %(why)s") % {"why": why})
            return HttpResponseRedirect(held_url())
        note(request.user, link, "Asked Monday for the board's columns.")
        try:
            told = check_board(link_of(link.entity_type) or link)
        except (MondayError, NoWayOut) as error:
            messages.error(request, error.sentence if isinstance(error, MondayError) else str(error))
        else:
            messages.success(request, told)
        return HttpResponseRedirect(held_url())

    def change_column(self, request: HttpRequest) -> HttpResponse:
        """Map a field to another column, after a page that says what that means."""
        asked = Asked(request)
        mapping, column = asked.mapping, request.POST.get("column", "")
        title = dict(choices(mapping)).get(column)
        if mapping.column_id != asked.shown or title is None or column == mapping.column_id:
            messages.warning(
                request,
                _(
                    "Nothing was done: the column of “%(field)s” was changed meanwhile, or none was chosen. Look again."
                )
                % {"field": mapping.label},
            )
            return HttpResponseRedirect(held_url())
        if not asked.confirmed:
            return confirm_field(
                self,
                request,
                asked,
                title=_("Use the column “%(title)s” for “%(field)s”?")
                % {"title": title, "field": mapping.label},
                effects=[
                    linked(mapping),
                    _("A side that is empty takes the other's value; two different values are asked about."),
                ],
                yes=_("Yes, use this column"),
                back=held_url(),
                more={"column": column},
            )
        try:
            with transaction.atomic():
                told = remap(mapping.pk, column, shown=asked.shown)
                note(request.user, mapping, f"Column: from {asked.shown or 'none'} to {title}.")
        except CannotRemap as why:
            messages.error(request, _("Nothing was done. %(why)s") % {"why": why})
        else:
            messages.success(request, told)
        return HttpResponseRedirect(held_url())

    def stop_field(self, request: HttpRequest) -> HttpResponse:
        """Leave a field alone on all records, after a page that says what that means."""
        asked = Asked(request)
        mapping = asked.mapping
        if not asked.confirmed and mapping.direction == asked.shown:
            return confirm_field(
                self,
                request,
                asked,
                title=_("Stop syncing “%(field)s”?") % {"field": mapping.label},
                effects=[
                    linked(mapping),
                    _(
                        "Both sides keep what they have, and neither changes the other any more. What was held is "
                        "let go."
                    ),
                    _("To undo it, choose another direction for the field on the board's page."),
                ],
                yes=_("Yes, stop syncing it"),
                back=held_url(),
            )
        try:
            with transaction.atomic():
                turn_field(mapping, SyncDirection.NONE, shown=asked.shown, by=request.user.get_username())
                before = SyncDirection(asked.shown).label
                note(request.user, mapping, f"Direction: from “{before}” to “No sync”.")
        except NoWayOut as why:
            messages.warning(request, str(why))
        else:
            messages.success(
                request,
                _("“%(field)s” isn't synced any more; both sides keep what they have.")
                % {"field": mapping.label},
            )
        return HttpResponseRedirect(held_url())

    def try_values_again(self, request: HttpRequest) -> HttpResponse:
        """Send what is held for one reason once more, on all its records."""
        asked = Asked(request, needs_map=False)
        mapping = asked.mapping
        try:
            with transaction.atomic():
                ids = held_records(mapping, request.POST.get("reason", ""))
                number = try_again(mapping, ids, request.user.get_username())
                note(request.user, mapping, f"Tried again on {words.counted(number, 'record')}.")
        except NoWayOut as why:
            messages.warning(request, str(why))
        else:
            messages.success(
                request,
                ngettext(
                    "“%(field)s” of %(n)s record is tried again now.",
                    "“%(field)s” of %(n)s records is tried again now.",
                    number,
                )
                % {"field": mapping.label, "n": f"{number:,}"},
            )
        return HttpResponseRedirect(held_url())

    def _link(self, request: HttpRequest) -> BoardLink:
        if not may_map(request):
            raise PermissionDenied
        return Asked.link_of_form(request)
