"""Loops: fields that somebody on Monday rewrites after each of our writes, with a button for each way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync import registry
from sync.acts_log import note
from sync.admin import words
from sync.admin.base import names_of, record_url
from sync.admin.field_pages import Asked, addresses, confirm_field, linked, may_change_records, may_map
from sync.choices import Rule, SyncDirection
from sync.field_ways import NoWayOut, let_rule, try_again, turn_field
from sync.loops_now import LoopingField, looping_fields, records_of
from sync.models import FieldLoop


@dataclass(frozen=True)
class LoopRecord:
    """A record on which the field is rewritten, with its page."""

    name: str
    url: str
    loop: FieldLoop


@dataclass(frozen=True)
class LoopCard:
    """A field as its card shows it."""

    field: LoopingField
    board: str
    records: Sequence[LoopRecord]
    may_send: bool

    @property
    def takes_over(self) -> bool:
        """Whether what the board shows is taken over into NPD meanwhile."""
        ways = (SyncDirection.BIDIRECTIONAL, SyncDirection.MONDAY_TO_NPD)
        return self.field.mapping.direction in ways

    @property
    def asks_by_rule(self) -> bool:
        """Whether the rule “Monday wins” would change anything."""
        mapping = self.field.mapping
        return mapping.direction == SyncDirection.BIDIRECTIONAL and mapping.rule != Rule.MONDAY_WINS


class LoopPagesMixin:
    """For the admin of board links: the page, and the addresses of its buttons."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """Add them."""
        acts = {
            "again": self.send_again,
            "to-npd": self.let_monday_decide,
            "rule": self.let_monday_win,
            "leave": self.leave_alone,
        }
        inherited = super().get_urls()  # type: ignore[misc]
        return addresses(self.admin_site, "loops", self.loops_page, acts, inherited)

    def loops_page(self, request: HttpRequest) -> HttpResponse:
        """Show which fields are rewritten now."""
        if not request.user.has_perm("sync.view_syncmetadata"):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Fields rewritten again and again"),
            "opts": self.opts,
            "cards": _cards(request, looping_fields()),
            "may_map": may_map(request),
        }
        return TemplateResponse(request, "sync/loops_page.html", context)

    def send_again(self, request: HttpRequest) -> HttpResponse:
        """Count what was written there as no loop any more, and send NPD's values now."""
        asked = Asked(request, needs_map=False)
        try:
            with transaction.atomic():
                number = try_again(asked.mapping, records_of(asked.mapping), request.user.get_username())
                told = f"Sent again on {words.counted(number, 'record')} after a loop."
                note(request.user, asked.mapping, told)
        except NoWayOut as why:
            messages.warning(request, str(why))
        else:
            messages.success(
                request,
                ngettext(
                    "“%(field)s” of %(n)s record is sent again now. Rewritten once more, it is told here again.",
                    "“%(field)s” of %(n)s records is sent again now. Rewritten once more, it is told here again.",
                    number,
                )
                % {"field": asked.mapping.label, "n": f"{number:,}"},
            )
        return _back()

    def let_monday_decide(self, request: HttpRequest) -> HttpResponse:
        """Turn the field to “Monday to NPD only”, after a page that says what that means."""
        return self._turn(
            request,
            SyncDirection.MONDAY_TO_NPD,
            _("Let Monday decide “%(field)s”?"),
            _(
                "What the board shows is taken over; an edit in NPD is overwritten at the next look, and kept in the "
                "history."
            ),
            _("Yes, let Monday decide"),
        )

    def leave_alone(self, request: HttpRequest) -> HttpResponse:
        """Turn the field to “No sync”, after a page that says what that means."""
        return self._turn(
            request,
            SyncDirection.NONE,
            _("Stop syncing “%(field)s”?"),
            _("Both sides keep what they have, and neither changes the other any more."),
            _("Yes, stop syncing it"),
        )

    def _turn(
        self, request: HttpRequest, direction: SyncDirection, title: str, effect: str, yes: str
    ) -> HttpResponse:
        asked = Asked(request)
        mapping = asked.mapping
        if not asked.confirmed and mapping.direction == asked.shown:
            undo = _("To undo it, choose “%(before)s” for the field on the board's page.") % {
                "before": SyncDirection(mapping.direction).label
            }
            return confirm_field(
                self, request, asked, title=title % {"field": mapping.label}, effects=[linked(mapping), effect, undo],
                yes=yes, back=reverse("admin:sync_boardlink_loops"),
            )  # fmt: skip
        try:
            with transaction.atomic():
                turn_field(mapping, direction, shown=asked.shown, by=request.user.get_username())
                before = SyncDirection(asked.shown).label
                told = f"Direction: from “{before}” to “{direction.label}”, because of a loop."
                note(request.user, mapping, told)
        except NoWayOut as why:
            messages.warning(request, str(why))
        else:
            messages.success(
                request,
                _("“%(field)s” is “%(now)s” now; it was “%(before)s”.")
                % {"field": mapping.label, "now": direction.label, "before": before},
            )
        return _back()

    def let_monday_win(self, request: HttpRequest) -> HttpResponse:
        """Give the field the rule “Monday wins”, after a page that says what that means."""
        asked = Asked(request)
        mapping = asked.mapping
        if not asked.confirmed and mapping.rule == asked.shown:
            return confirm_field(
                self, request, asked, title=_("Let Monday win on “%(field)s”?") % {"field": mapping.label},
                effects=[
                    linked(mapping),
                    _(
                        "Where both sides changed it differently, Monday's value is taken over; NPD's stays in the "
                        "history."
                    ),
                    _("What only NPD changes is still sent. To undo it, choose “%(before)s” on the board's page.")
                    % {"before": Rule(mapping.rule).label},
                ],
                yes=_("Yes, Monday wins"), back=reverse("admin:sync_boardlink_loops"),
            )  # fmt: skip
        try:
            with transaction.atomic():
                let_rule(mapping, Rule.MONDAY_WINS, shown=asked.shown, by=request.user.get_username())
                before = Rule(asked.shown).label
                note(request.user, mapping, f"Rule: from “{before}” to “Monday wins”, because of a loop.")
        except NoWayOut as why:
            messages.warning(request, str(why))
        else:
            messages.success(request, _("“%(field)s”: Monday wins from now on.") % {"field": mapping.label})
        return _back()


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:sync_boardlink_loops"))


def _cards(request: HttpRequest, fields: Sequence[LoopingField]) -> list[LoopCard]:
    kinds = {one.mapping.link.entity_type for one in fields}
    visible = {kind for kind in kinds if may_change_records(request, kind, "view")}
    names = names_of(
        (loop.entity_type, loop.entity_id)
        for one in fields
        for loop in one.shown
        if loop.entity_type in visible
    )
    return [
        LoopCard(
            one,
            registry.entity(one.mapping.link.entity_type).board_title,
            [
                LoopRecord(name, record_url(loop.entity_type, loop.entity_id), loop)
                for loop in one.shown
                if (name := names.get((loop.entity_type, loop.entity_id)))
            ],
            may_change_records(request, one.mapping.link.entity_type),
        )
        for one in fields
    ]
