"""The admin of conflicts: their list, and the addresses of their pages and of those of rejected values."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter

from conflicts.admin import case_screen, conflict_acts
from conflicts.case import APPLYING, OPEN, SETTLED
from conflicts.models import BEING_APPLIED, MONDAY, NPD, OPEN_FIRST, SyncConflict
from sync.admin import admin_base, confirmed_action, home_acts
from sync.attention import Kind
from sync.kernel import humanize
from sync.kernel.messages import ACTS, Act, ActionError

LONGEST_VALUE = 80
BADGES = {
    OPEN: ("warn", "call_split", "Open"),
    APPLYING: ("go", "sync", "Saving"),
    SETTLED: ("ok", "check_circle", "Resolved"),
}


def list_state(conflict: SyncConflict) -> str:
    """Return one of three states, so that the filter can be a query; `state_of` of case.py has more."""
    if not conflict.is_open:
        return SETTLED
    return APPLYING if conflict.is_being_applied else OPEN


class StateFilter(RadioFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, label) for state, (_colour, _icon, label) in BADGES.items()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        conditions = {
            OPEN: models.Q(resolved_at=None) & ~BEING_APPLIED,
            APPLYING: BEING_APPLIED,
            SETTLED: models.Q(resolved_at__isnull=False),
        }
        return queryset.filter(conditions.get(self.value() or "", models.Q()))


@admin.register(SyncConflict)
class SyncConflictAdmin(admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    list_display = ("name", "fields_in_conflict", "npd", "monday", "state", "found_at")
    list_filter = (StateFilter, admin_base.EntityFilter, ("kind", ChoicesCheckboxFilter))
    search_fields = ("=monday_item_id",)
    search_help_text = "A record's name, or the number of its item on Monday"
    actions = ("keep_npd", "keep_monday")
    ordering = OPEN_FIRST

    @admin.display(description="Record")
    def name(self, conflict: Any) -> SafeString:
        return _wrapped(self.record_name(conflict))

    fields_in_conflict = admin_base.plain_column(
        "In conflict", lambda conflict: conflict.labels(conflict.conflict_fields) or conflict.get_kind_display()
    )
    npd = admin_base.plain_column("NPD", lambda conflict: _first_value(conflict, NPD))
    monday = admin_base.plain_column("Monday", lambda conflict: _first_value(conflict, MONDAY))
    state = admin_base.plain_column("State", lambda conflict: admin_base.badge(*BADGES[list_state(conflict)]))
    found_at = admin_base.time_column("detected_at", "Found")

    @admin.action(description=ACTS["keep_npd"].label, permissions=["change"])
    def keep_npd(self, request: HttpRequest, queryset: models.QuerySet[SyncConflict]) -> HttpResponse:
        return self._use_side(request, queryset, ACTS["keep_npd"])

    @admin.action(description=ACTS["keep_monday"].label, permissions=["change"])
    def keep_monday(self, request: HttpRequest, queryset: models.QuerySet[SyncConflict]) -> HttpResponse:
        return self._use_side(request, queryset, ACTS["keep_monday"])

    def _use_side(self, request: HttpRequest, queryset: models.QuerySet[SyncConflict], act: Act) -> HttpResponse:
        """Confirm, then resolve the selected conflicts."""
        by = cast("User", request.user)
        list_url = request.get_full_path()

        def question() -> confirmed_action.Question:
            hidden = confirmed_action.selection(request, act.code)
            return conflict_acts.question_about_conflicts(queryset, act, by=by, hidden=hidden)

        def run() -> confirmed_action.Report:
            report = conflict_acts.resolve_all(conflict_acts.shown_digests(request), act, by=by)
            return home_acts.keep_for_undo(request, Kind.CONFLICT, report, list_url)

        return confirmed_action.run_action(self, request, run, list_url, question)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """ReadOnlyAdmin denies this; the bulk actions need it."""
        return request.user.has_perm("conflicts.change_syncconflict")

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Redirect to the side-by-side screen, which replaces the form."""
        conflict = self.get_object(request, object_id)
        if conflict is None:
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return redirect
        return HttpResponseRedirect(case_screen.screen_url(conflict.pk))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "conflicts_syncconflict"
        field = "rejected/<slug:entity_type>/<uuid:entity_id>/<slug:key>/"
        return [
            path("<uuid:pk>/screen/", view(case_screen.ConflictView.as_view(model_admin=self)), name=f"{name}_screen"),
            path(field, view(case_screen.RejectionView.as_view(model_admin=self)), name=f"{name}_rejected_screen"),
            path("chosen/<str:key>/", view(self.choice_status), name=f"{name}_status"),
            path("chosen/<str:key>/undo/", view(require_POST(self.choice_undo)), name=f"{name}_undo"),
            *super().get_urls(),
        ]

    def choice_status(self, request: HttpRequest, key: str) -> HttpResponse:
        """Render a choice's strip, which htmx polls until it is final; then the page of the same case is reloaded."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        strip = _strip_or_404(key)
        reloads = "reload" in request.GET
        context = {"strip": strip, "reloads": reloads, "case": {"may_undo": self.has_change_permission(request)}}
        answer = render(request, "conflicts/done_before.html", context)
        answer.headers["Cache-Control"] = "no-store"
        if reloads and strip["progress"].is_final:
            answer.headers["HX-Refresh"] = "true"
        return answer

    def choice_undo(self, request: HttpRequest, key: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        strip = _strip_or_404(key)
        try:
            case_screen.undo_choice(key, by=cast("User", request.user))
        except (ActionError, ObjectDoesNotExist) as error:
            messages.error(request, f"Nothing was undone. {error}")
        return admin_base.see_other(strip["url"])


def _strip_or_404(key: str) -> dict[str, Any]:
    strip = case_screen.strip_of(key)
    if strip is None:
        raise Http404("There is no such choice.")
    return strip


def _first_value(conflict: SyncConflict, side: str) -> SafeString | str:
    """Return the first field's value and the number of other fields."""
    if not conflict.conflict_fields:
        return humanize.DASH
    value = humanize.shorten(conflict.sides(conflict.conflict_fields[0])[side] or "(empty)", LONGEST_VALUE)
    more = len(conflict.conflict_fields) - 1
    return _wrapped(f"{value} and {more} more" if more else value)


def _wrapped(text: str) -> SafeString:
    """Let a long text wrap, so that the list fits its page."""
    return format_html('<span class="npd-list-value">{}</span>', text)
