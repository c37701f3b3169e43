"""The pages of what Monday refuses: the list, the screen of one value, how far an answer is, and its undo."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from conflicts import refused_progress
from conflicts.admin.addresses import refused_url, see_other, walk_from_refused
from conflicts.admin.before import ANSWER, Before, strip_of_answer
from conflicts.admin.filters import mappings_of_all
from conflicts.admin.posted import posted_of
from conflicts.admin.script_words import script_words
from conflicts.choice import Pick
from conflicts.errors import BadResolution, NotWaiting, StaleSeen
from conflicts.presenting import Posted
from conflicts.presenting_refused import row_of
from conflicts.progress import APPLYING
from conflicts.refused_acts import KIND, answer, last_answer, undo
from conflicts.refused_case import Case
from sync import refused, registry
from sync.admin import words
from sync.admin.base import record_url
from sync.clock import sync_now
from sync.models import Decision
from sync.refused import Named

ROWS = 50
"""Values on one page of the list."""


class RefusedMixin:
    """Adds the pages of what Monday refuses to the list of conflicts."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The list, the screen of one value, and what its strip asks and does."""
        view, name = self.admin_site.admin_view, "conflicts_syncconflict_refused"
        undo_view = view(require_POST(self.refused_undo))
        return [
            path("refused/", view(self.refused_list), name=name),
            path("refused/answer/<int:pk>/", view(self.refused_status), name=f"{name}_status"),
            path("refused/answer/<int:pk>/undo/", undo_view, name=f"{name}_undo"),
            path(
                "refused/<slug:entity_type>/<uuid:entity_id>/<slug:key>/",
                view(self.refused_screen),
                name=f"{name}_screen",
            ),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def refused_list(self, request: HttpRequest) -> HttpResponse:
        """Show what Monday refuses, what is stuck longest first."""
        self._must_view(request)
        number = _page(request)
        found = refused.waiting(ROWS + 1, (number - 1) * ROWS)
        labels = {(one.link.entity_type, one.key): one.label for one in mappings_of_all(request)}
        now = sync_now()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Refused by Monday"),
            "opts": self.opts,
            "rows": [
                (one, refused_url(one.named), labels.get((one.entity_type, one.key), one.key),
                 words.plain(one.reason), words.time_tag(one.looked_at, now))
                for one in found[:ROWS]
            ],
            "total": refused.place_of().total,
            "number": number,
            "has_next": len(found) > ROWS,
        }  # fmt: skip
        return TemplateResponse(request, "conflicts/refused_list.html", context)

    def refused_screen(
        self, request: HttpRequest, entity_type: str, entity_id: UUID, key: str
    ) -> HttpResponse:
        """Show one value; on POST carry out what was chosen, or show again what stands in its way."""
        self._must_view(request)
        case = (
            Case.of(entity_type, entity_id, key, mappings_of_all(request)) if _is_known(entity_type) else None
        )
        if case is None:
            raise Http404(_("There is no such record, or no such field on its board."))
        if request.method == "POST":
            return self._answered(request, case, (entity_type, entity_id, key))
        return self._show(request, case)

    def _answered(self, request: HttpRequest, case: Case, named: Named) -> HttpResponse:
        posted = posted_of(request)
        pick, key = posted.picks.get(case.key, Pick("")), case.key
        following = self._walk(case).next_url if "next" in request.POST else ""
        try:
            made = answer(
                named, by=cast("User", request.user), choose=pick.choose, value=pick.value or "",
                seen=posted.seen.get(key, {}),
            )  # fmt: skip
        except BadResolution as error:
            problem = error.problems.get(key, "")
            return self._show(request, case, posted, problem=problem, trouble=error.sentence, status=400)
        except (StaleSeen, NotWaiting) as error:
            now = Case.of(*named, mappings_of_all(request)) or case
            return self._show(request, now, posted, trouble=str(error), status=409)
        except LookupError as gone:
            raise Http404(str(gone)) from gone
        return see_other(f"{following or refused_url(named)}?{ANSWER}={made.pk}")

    def _show(
        self,
        request: HttpRequest,
        case: Case,
        posted: Posted | None = None,
        *,
        problem: str = "",
        trouble: str = "",
        status: int = 200,
    ) -> HttpResponse:
        may = self.has_change_permission(request)  # type: ignore[attr-defined]
        known = mappings_of_all(request)
        before, done = Before(request, known, may_undo=may), _last_of(case, may_undo=may)
        about_this = before.answer is not None and _named(before.answer) == _name_of(case)
        waits = case.waits and not (done and done["progress"].state == APPLYING)
        context = {
            **self.admin_site.each_context(request),
            "title": _("%(field)s of %(name)s, refused by Monday")
            % {"field": case.field.label, "name": case.record},
            "page_name": str(case.record),
            "opts": self.opts,
            "case": case,
            "reason": words.traced(case.reason),
            "waits": waits,
            "row": row_of(case, posted, problem) if waits else None,
            "may_choose": may and waits,
            "trouble": trouble,
            "script_words": script_words(1),
            "posted_kept": bool(posted and posted.picks and waits),
            "done_before": None if about_this else before.strip(case.around),
            "done": None if waits else done,
            "walk": self._walk(case),
            "record_url": record_url(case.around.entity_type, case.record.pk),
            "monday_url": case.around.item_url(case.record.monday_id or ""),
            "list_url": reverse("admin:conflicts_syncconflict_refused"),
        }
        return TemplateResponse(request, "conflicts/refused.html", context, status=status)

    def _walk(self, case: Case) -> Any:
        return walk_from_refused(case.around.ledger.pk if case.around.ledger else 0, case.key)

    def refused_status(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer, as JSON, how far an answer is."""
        self._must_view(request)
        decision = get_object_or_404(Decision, pk=pk, kind=KIND)
        found = refused_progress.progress_of(decision, _case_of(decision))
        return JsonResponse(
            {
                "state": found.state,
                "sentence": found.sentence,
                "waits": found.waits,
                "final": found.is_final,
                "undo": found.is_final,
            },
            headers={"Cache-Control": "no-store"},
        )

    def refused_undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take an answer back, and show the value's screen."""
        decision = get_object_or_404(Decision, pk=pk, kind=KIND)
        try:
            messages.success(request, undo(decision, by=cast("User", request.user)))
        except BadResolution as error:
            messages.error(request, _("Nothing was undone. %(why)s") % {"why": error})
        except LookupError as gone:
            raise Http404(str(gone)) from gone
        assert decision.entity_id is not None
        return see_other(refused_url((decision.entity_type, decision.entity_id, decision.key)))

    def _must_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied


def _case_of(decision: Decision) -> Case | None:
    assert decision.entity_id is not None
    return Case.of(decision.entity_type, decision.entity_id, decision.key)


def _last_of(case: Case, *, may_undo: bool) -> dict[str, Any] | None:
    """The strip of the last answer about this very value, if there is one."""
    last = last_answer(*_name_of(case))
    return strip_of_answer(last, (), may_undo=may_undo, case=case) if last else None


def _name_of(case: Case) -> Named:
    return case.around.entity_type, case.record.pk, case.key


def _named(decision: Decision) -> tuple[str, UUID | None, str]:
    return decision.entity_type, decision.entity_id, decision.key


def _is_known(entity_type: str) -> bool:
    return any(spec.entity_type == entity_type for spec in registry.entities())


def _page(request: HttpRequest) -> int:
    text = request.GET.get("p", "")
    return max(1, int(text[:6])) if text.isdecimal() else 1
