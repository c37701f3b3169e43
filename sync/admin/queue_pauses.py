"""Pause and resume in the admin: a form above the queue's rows, and a button on each pause."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from sync import pausing, steering_log
from sync.admin import words
from sync.admin.queue_panel import what_is_paused
from sync.clock import sync_now
from sync.models import QueuePause
from sync.queue import QueueError
from sync.queue_permissions import Steering, may

LONGEST_WHY = 500


class PausingMixin:
    """Adds what the panel's Pause and Resume buttons send to."""

    def get_urls(self) -> list[URLPattern]:
        """Add the two addresses, which take nothing but a POST."""
        wrap = self.admin_site.admin_view  # type: ignore[attr-defined]
        return [
            path("pause/", wrap(self.pause_view), name="sync_syncqueue_pause"),
            path("resume/", wrap(self.resume_view), name="sync_syncqueue_resume"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Pause what the form names."""
        refused = _not_for(request)
        if refused:
            return refused
        why = request.POST.get("why", "").replace("\0", "")[:LONGEST_WHY]
        by, now = request.user.get_username(), sync_now()
        try:
            made = pausing.pause(by, **_what(request), why=why)
        except QueueError as error:
            messages.error(request, str(error))
            return _back()
        what = what_is_paused(made)
        if made.paused_at < now:
            messages.warning(
                request,
                (
                    _("%(what)s: already paused by %(paused_by)s, %(made)s.")
                    % {"what": what, "paused_by": made.paused_by, "made": _since(made)}
                ),
            )
            return _back()
        steering_log.note(request.user, f"Paused: {what}. {made.why}".strip())
        messages.success(request, f"{what}: paused. Changes are kept and wait until it is resumed.")
        return _back()

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """End the pause that the button stands on."""
        refused = _not_for(request)
        if refused:
            return refused
        what = what_is_paused(QueuePause(**_what(request)))
        try:
            ended = pausing.resume(request.user.get_username(), **_what(request))
        except QueueError as error:
            messages.error(request, str(error))
            return _back()
        if not ended:
            messages.warning(
                request, (_("%(what)s: not paused any more. Somebody else has resumed it.") % {"what": what})
            )
            return _back()
        steering_log.note(request.user, f"Resumed: {what}.")
        messages.success(request, f"{what}: resumed. What waited is worked now.")
        return _back()


def _not_for(request: HttpRequest) -> HttpResponse | None:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not may(request.user, Steering.PAUSE):
        raise PermissionDenied
    return None


def _what(request: HttpRequest) -> dict[str, str]:
    return {name: request.POST.get(name, "") for name in ("entity_type", "direction")}


def _since(pause: QueuePause) -> str:
    return f"since {words.clock(pause.paused_at)}"


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:sync_syncqueue_changelist"))
