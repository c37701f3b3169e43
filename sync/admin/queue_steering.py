"""Retry, cancel and discard in the admin: for one row, for ticked ones, and for all that match the list's filters."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import steering_log
from sync.admin import words
from sync.admin.queue_acts import (
    ACTS,
    CANCEL,
    DISCARD,
    RETRY,
    Act,
    carry_out,
    in_states,
    reach,
    sentences,
)
from sync.admin.queue_match import address, filters_in_words, matching
from sync.admin.queue_paging import LIVE
from sync.admin.queue_words import why
from sync.models import SyncQueue
from sync.queue import CountChanged, QueueError, Steered, SyncQueueService

SHOWN = 20
"""Rows that a confirming page shows as examples."""
LISTED = "admin:sync_syncqueue_changelist"


class SteeringMixin:
    """Adds the acts to the queue's list; all but the retry of ticked rows are confirmed with the number of rows."""

    actions = ("retry", "cancel", "discard")
    # "Select all" would act on a number that nobody confirmed: the buttons for all that match take its place.
    list_disable_select_all = True

    def get_urls(self) -> list[URLPattern]:
        """Add the page that confirms an act on all that match."""
        view = self.admin_site.admin_view(self.all_that_match)  # type: ignore[attr-defined]
        return [path("all/<slug:name>/", view, name="sync_syncqueue_all"), *super().get_urls()]  # type: ignore[misc]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether this user may retry."""
        return RETRY.may(request.user)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether this user may cancel."""
        return CANCEL.may(request.user)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Whether this user may discard."""
        return DISCARD.may(request.user)

    @admin.action(description=gettext_lazy("Retry"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse | None:
        """Let rows be tried again now."""
        return self._ticked(request, RETRY, queryset, confirmed=True)

    @admin.action(description=gettext_lazy("Cancel…"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse | None:
        """Close waiting rows without a look, after a page that says what that means."""
        return self._ticked(request, CANCEL, queryset, confirmed="confirmed" in request.POST)

    @admin.action(description=gettext_lazy("Discard…"), permissions=["discard"])
    def discard(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse | None:
        """Throw dead letters away, after a page that says what that means."""
        return self._ticked(request, DISCARD, queryset, confirmed="confirmed" in request.POST)

    def _ticked(
        self, request: HttpRequest, act: Act, queryset: QuerySet[SyncQueue], *, confirmed: bool
    ) -> HttpResponse | None:
        if request.POST.get("select_across") == "1":
            return HttpResponseRedirect(_all_url(act, request))
        keys = sorted({int(key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)})
        rows = SyncQueue.objects.filter(pk__in=keys)
        if not confirmed:
            hidden = [("action", act.name), *((ACTION_CHECKBOX_NAME, key) for key in keys)]
            return self._confirm(request, act, rows, hidden)
        if len(keys) == 1:
            self._one(request, act, keys[0])
        else:
            self._many(request, act, rows, len(keys))
        return None

    def _one(self, request: HttpRequest, act: Act, key: int) -> None:
        try:
            with transaction.atomic():
                row = act.run_one(SyncQueueService(), key, request.user.get_username())
                self._note(request, act, 1, row)
        except QueueError as error:
            messages.warning(request, str(error))
            return
        messages.success(
            request, _("%(count)s %(done)s.") % {"count": words.counted(1, "row"), "done": act.done}
        )

    def _many(self, request: HttpRequest, act: Act, rows: QuerySet[SyncQueue], asked: int) -> None:
        try:
            steered = act.run(SyncQueueService(), rows, request.user.get_username())
        except QueueError as error:
            messages.warning(request, str(error))
            return
        if steered.done:
            self._note(request, act, steered.done)
        gone = asked - steered.done - steered.in_flight - steered.left
        level = messages.SUCCESS if steered.done else messages.WARNING
        messages.add_message(request, level, " ".join(sentences(act, steered, gone=gone)))

    def _note(
        self, request: HttpRequest, act: Act, rows: int, row: SyncQueue | None = None, which: str = ""
    ) -> None:
        steering_log.note(request.user, f"{act.verb}: {words.counted(rows, 'row')}{which}.", row)

    def all_that_match(self, request: HttpRequest, name: str) -> HttpResponse:
        """Confirm an act on all that match the filters in the address, then do it to exactly as many."""
        act = ACTS.get(name)
        if act is None:
            raise Http404(f"The queue knows no act “{name}”.")
        if not (act.may(request.user) and self.has_view_permission(request)):  # type: ignore[attr-defined]
            raise PermissionDenied
        rows, matches = in_states(matching(self, request), LIVE), filters_in_words(request.GET)
        if request.method != "POST":
            return self._confirm(request, act, rows, [], matches=matches)
        seen = reach(act, rows)
        try:
            done = carry_out(act, rows, request.user.get_username(), expect=_confirmed(request)).done
        except CountChanged as changed:
            return self._confirm(request, act, rows, [], matches=matches, changed=changed)
        except QueueError as error:
            messages.error(request, (_("Nothing was done. %(error)s") % {"error": error}))
            return HttpResponseRedirect(f"{reverse(LISTED)}?{address(request.GET)}")
        self._note(request, act, done, which=f", all that matched: {matches}")
        messages.success(request, " ".join(sentences(act, Steered(done, seen.in_flight, seen.left))))
        return HttpResponseRedirect(f"{reverse(LISTED)}?{address(request.GET)}")

    def _confirm(
        self,
        request: HttpRequest,
        act: Act,
        rows: QuerySet[SyncQueue],
        hidden: list[tuple[str, object]],
        *,
        matches: str = "",
        changed: CountChanged | None = None,
    ) -> HttpResponse:
        found = reach(act, rows)
        shown = list(in_states(rows, act.fits).order_by("-id")[:SHOWN])
        self.prepare_page(shown)  # type: ignore[attr-defined]
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": f"{act.verb} rows",
            "opts": self.opts,  # type: ignore[attr-defined]
            "act": act,
            "reach": found,
            "rows": [
                (self.record_or_item(row), row.get_status_display(), words.plain(why(row)))  # type: ignore[attr-defined]
                for row in shown
            ],
            "matches": matches,
            "changed": changed,
            "confirmed": _confirmed(request),
            "hidden": hidden,
            "back": f"{reverse(LISTED)}?{address(request.GET)}",
        }
        return TemplateResponse(request, "sync/queue_confirm.html", context, status=409 if changed else 200)


def _all_url(act: Act, request: HttpRequest) -> str:
    return f"{reverse('admin:sync_syncqueue_all', args=[act.name])}?{address(request.GET)}"


def _confirmed(request: HttpRequest) -> int:
    """Return the number of rows that a person confirmed; one that no page has sent fits nothing."""
    text = request.POST.get("expect", "")
    return int(text) if text.isdecimal() and len(text) < 19 else -1
