"""Waiting for approval: deletes and emptied fields that are too many to be meant, and a person's word on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import registry
from sync.admin import words
from sync.admin.base import ReadOnlyAdmin, RecordLinkMixin, page_now, record_url
from sync.admin.filters import EntityFilter
from sync.admin.guard_words import EFFECTS, SHORT, WHAT, editors, figures_of
from sync.choices import GuardKind, GuardState
from sync.guard.deciding import Waiting, approve, reject, waiting
from sync.models import GuardedAct
from sync.registry import kind_words

HELD = f"state__exact={GuardState.HELD.value}"
EXAMPLES = 5
UPTO = "upto"
"""The newest act that a page had counted, as its form sends it."""
_BADGES = {
    GuardState.HELD: ("warn", "gpp_maybe"),
    GuardState.APPROVED: ("go", "sync"),
    GuardState.REJECTED: ("go", "undo"),
    GuardState.RELEASED: ("off", "check"),
    GuardState.DONE: ("ok", "check_circle"),
    GuardState.KEPT: ("ok", "shield"),
}
_DECIDE = {"approve": approve, "reject": reject}


@dataclass(frozen=True)
class Group:
    """What waits of one board and kind, as its card shows it; `upto` is the newest act that it counts."""

    waiting: Waiting
    title: str
    what: str
    examples: Sequence[tuple[str, str]]
    upto: int

    @property
    def kind(self) -> str:
        """The kind's name, as addresses carry it."""
        return self.waiting.kind.value


@admin.register(GuardedAct)
class GuardedActAdmin(RecordLinkMixin, ReadOnlyAdmin):
    """What the guard holds and has held."""

    list_display = ("standing", "about", "what", "since", "decided")
    list_display_links = ("standing",)
    list_filter = (("state", ChoicesCheckboxFilter), ("kind", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("label", "remote_id", "entity_id")
    ordering = ("-id",)
    actions = ("approve_selected", "reject_selected")
    json_fields = ("values",)
    list_before_template = "sync/guard_groups.html"
    empty_title = gettext_lazy("Nothing waits for approval")
    empty_words = gettext_lazy(
        "When many records at once would be deleted or lose a value, nothing is deleted or emptied on the other side "
        "until a person approves it here."
    )

    def get_urls(self) -> list[URLPattern]:
        """Add the page on which all of a board and kind are decided."""
        view = self.admin_site.admin_view(self.decide_group)
        return [path("decide/", view, name="sync_guardedact_decide"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[GuardedAct]:
        """With who decided."""
        acts: QuerySet[GuardedAct] = super().get_queryset(request)
        return acts.select_related("decided_by")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a card for each board and kind above the list."""
        groups = [_group(found) for found in waiting()]
        more = {"guard_groups": groups, "may_decide": self.has_steer_permission(request)}
        response: HttpResponse = super().changelist_view(request, more | (extra_context or {}))
        return response

    @admin.display(description=gettext_lazy("State"), ordering="state")
    def standing(self, act: GuardedAct) -> SafeString:
        """Return what became of it."""
        kind, symbol = _BADGES[GuardState(act.state)]
        return words.badge(kind, symbol, act.get_state_display())

    @admin.display(description=gettext_lazy("What"), ordering="kind")
    def what(self, act: GuardedAct) -> str:
        """Return what would be done."""
        return str(SHORT[GuardKind(act.kind)])

    @admin.display(description=gettext_lazy("What would be lost"), ordering="label")
    def about(self, act: GuardedAct) -> SafeString | str:
        """Return what would be deleted or emptied, with a link to its record where that is still there."""
        names = getattr(act, "page_names", {})
        if (act.entity_type, act.entity_id) not in names:
            return act.label
        return format_html(
            '<a class="npd-link" href="{}">{}</a>', record_url(act.entity_type, act.entity_id), act.label
        )

    @admin.display(description=gettext_lazy("Since"), ordering="at")
    def since(self, act: GuardedAct) -> SafeString | str:
        """Return when it came, or ended."""
        return words.time_tag(act.at, page_now(act))

    @admin.display(description=gettext_lazy("Decided by"))
    def decided(self, act: GuardedAct) -> str:
        """Return who decided, if anybody has."""
        return act.decided_by.get_username() if act.decided_by else words.NOTHING

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether this user may approve and reject."""
        return request.user.has_perm("sync.change_guardedact")

    @admin.action(description=gettext_lazy("Approve…"), permissions=["steer"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[GuardedAct]) -> HttpResponse | None:
        """Let these go, after a page that says what that means."""
        return self._selected(request, queryset, "approve")

    @admin.action(description=gettext_lazy("Reject…"), permissions=["steer"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[GuardedAct]) -> HttpResponse | None:
        """Keep what these would delete or empty, after a page that says what that means."""
        return self._selected(request, queryset, "reject")

    def _selected(
        self, request: HttpRequest, queryset: QuerySet[GuardedAct], how: str
    ) -> HttpResponse | None:
        held = queryset.filter(state=GuardState.HELD)
        if "confirmed" not in request.POST:
            hidden = [(ACTION_CHECKBOX_NAME, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)]
            across, newest = request.POST.get("select_across", "0"), held.aggregate(pk=Max("pk"))["pk"]
            hidden += [("action", f"{how}_selected"), ("select_across", across), (UPTO, str(newest or 0))]
            return self._confirm(request, held, how, hidden)
        upto = _number(request.POST.get(UPTO, ""))
        # All of a list means what the page had counted: what came since nobody has seen.
        self._carry_out(request, held.filter(pk__lte=upto or 0), how)
        return None

    def decide_group(self, request: HttpRequest) -> HttpResponse:
        """Approve or reject all that waits of one board and kind, up to what the page had counted."""
        if not self.has_steer_permission(request):
            raise PermissionDenied
        asked = request.POST if request.method == "POST" else request.GET
        how, upto = asked.get("how", ""), _number(asked.get(UPTO, ""))
        listed = f"{reverse('admin:sync_guardedact_changelist')}?{HELD}"
        kind, entity_type = asked.get("kind", ""), asked.get("entity_type", "")
        known = kind in GuardKind.values and any(entity_type == s.entity_type for s in registry.entities())
        if how not in _DECIDE or upto is None or not known:
            return HttpResponseRedirect(listed)
        held = GuardedAct.objects.filter(
            state=GuardState.HELD,
            entity_type=entity_type,
            kind=kind,
            pk__lte=upto,
        )
        if request.method == "POST":
            self._carry_out(request, held, how)
            return HttpResponseRedirect(listed)
        names = ("how", UPTO, "entity_type", "kind")
        return self._confirm(request, held, how, [(name, asked.get(name, "")) for name in names])

    def _confirm(
        self,
        request: HttpRequest,
        held: QuerySet[GuardedAct],
        how: str,
        hidden: Sequence[tuple[str, str]],
    ) -> HttpResponse:
        kinds = [GuardKind(kind) for kind in held.order_by("kind").values_list("kind", flat=True).distinct()]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Approve what waits") if how == "approve" else _("Reject what waits"),
            "opts": self.opts,
            "how": how,
            "total": held.count(),
            "records": held.values("entity_type", "entity_id").distinct().count(),
            "effects": [EFFECTS[how][kind] for kind in kinds],
            "rows": [(act, kind_words(act.entity_type)) for act in held.order_by("pk")[:20]],
            "hidden": hidden,
            "back": f"{reverse('admin:sync_guardedact_changelist')}?{HELD}",
        }
        return TemplateResponse(request, "sync/guard_confirm.html", context)

    def _carry_out(self, request: HttpRequest, held: QuerySet[GuardedAct], how: str) -> None:
        number = _DECIDE[how](held, request.user)  # type: ignore[arg-type]  # nobody anonymous gets here
        if not number:
            self.message_user(
                request,
                _("Nothing of that waits any more: it was decided, or its cause is gone."),
                messages.WARNING,
            )
            return
        done = {"approve": "approved", "reject": "rejected; what it would have taken is kept"}[how]
        self.message_user(
            request,
            f"{words.counted(number, 'change')} {done}. Each is carried out within seconds.",
            messages.SUCCESS,
        )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _group(found: Waiting) -> Group:
    acts = GuardedAct.objects.filter(
        state=GuardState.HELD, entity_type=found.entity_type, kind=found.kind
    ).order_by("-pk")
    shown = list(acts[:EXAMPLES])
    who = editors(shown)
    title = registry.entity(found.entity_type).board_title
    return Group(
        found,
        title,
        WHAT[found.kind].format(**figures_of(found)),
        [(act.label, who.get(act.pk, "")) for act in shown],
        shown[0].pk if shown else 0,
    )
