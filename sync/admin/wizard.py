"""The set-up wizard's pages: connect, boards, map, match, plan, run. Each is a few lines that ask a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from sync import acts_log, registry
from sync.account import is_configured
from sync.admin import wizard_standing, wizard_words
from sync.admin.wizard_board import show_as_it_is
from sync.admin.wizard_changes import PlannedChangesMixin, url_of
from sync.connectors.monday.errors import MondayError
from sync.models import MondayAccount, SetupDraft, SetupState
from sync.wizard import boards, confirming, connecting
from sync.wizard.drafts import (
    answer,
    choose_fields,
    choose_matching,
    draft_of,
    drafts,
    leave_out,
)
from sync.wizard.errors import Begun, Moved, Unfit, WizardError
from sync.wizard.permission import may_set_up

View = Callable[..., HttpResponse]


def _go(step: str, *args: str) -> HttpResponse:
    return HttpResponseRedirect(url_of(step, *args))


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


class WizardMixin(PlannedChangesMixin):
    """Adds the wizard to the admin of board links."""

    admin_site: AdminSite
    opts: Any
    actions_list: tuple[str, ...] = ("set_up",)

    def has_set_up_permission(self, request: HttpRequest) -> bool:
        """Whoever may change boards and their mappings."""
        return may_set_up(request.user)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description=gettext_lazy("Set up…"),
        url_path="begin-set-up",
        permissions=["set_up"],
        icon="auto_fix_high",
    )
    def set_up(self, request: HttpRequest) -> HttpResponse:
        """Lead to the wizard's first page."""
        return _go("connect")

    def get_urls(self) -> list[URLPattern]:
        """Add the wizard's pages."""
        return [
            self._path("", "connect", self.wizard_connect),
            self._path("boards/", "boards", self.wizard_boards),
            self._path("map/<str:entity_type>/", "map", self.wizard_map),
            self._path("change/<str:entity_type>/", "change", require_POST(self.wizard_change)),
            self._path("discard/<str:entity_type>/", "discard", require_POST(self.wizard_discard)),
            self._path("match/", "match", self.wizard_match),
            self._path("match/<str:entity_type>/", "matching", require_POST(self.wizard_matching)),
            self._path("plan/", "plan", self.wizard_plan),
            self._path("run/", "run", require_GET(self.wizard_run)),
            self._path("progress/<str:step>/", "progress", require_GET(self.wizard_progress)),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _path(self, end: str, name: str, view: View) -> URLPattern:
        return path(
            f"set-up/{end}", self.admin_site.admin_view(self._guarded(view)), name=f"sync_wizard_{name}"
        )

    def _guarded(self, view: View) -> View:
        """The view, for those who may; of a type that there is."""

        def checked(request: HttpRequest, **kwargs: str) -> HttpResponse:
            if not may_set_up(request.user):
                raise PermissionDenied
            known = {spec.entity_type for spec in registry.entities()}
            if kwargs.get("entity_type", next(iter(known), "")) not in known:
                raise Http404(_("There are no records of that kind."))
            return view(request, **kwargs)

        return checked

    def _page(self, request: HttpRequest, step: str, context: Mapping[str, Any]) -> HttpResponse:
        found = drafts()
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Set up the sync"),
            "page_name": _("Set up"),
            "steps": wizard_words.steps(step, found, url_of),
            "step": step,
            **context,
        }
        return TemplateResponse(request, f"sync/wizard_{step}.html", common)

    def wizard_connect(self, request: HttpRequest) -> HttpResponse:
        """What is known of the token; on POST, asked of Monday."""
        context = wizard_words.connection()
        if request.method == "POST":
            tested = connecting.test(_person(request))
            acts_log.write(request.user, MondayAccount, tested.words, name="Monday")
            context = {**wizard_words.connection(), "tested": tested}
        return self._page(request, "connect", {**context, "next_url": url_of("boards")})

    def wizard_boards(self, request: HttpRequest) -> HttpResponse:
        """A board for each kind of records."""
        if not is_configured():
            return _go("connect")
        asked = request.POST if "search" in request.POST else request.GET
        term = "" if asked.get("search") == "all" else asked.get("q", "")[:100]
        if request.method == "POST" and "search" not in request.POST:
            choices = {
                spec.entity_type: request.POST.get(spec.entity_type, "") for spec in registry.entities()
            }
            try:
                boards.choose(_person(request), choices, wizard_words.revisions(request.POST))
            except Moved as moved:
                messages.warning(request, str(moved))
                return _go("boards")
            except (WizardError, MondayError) as error:
                messages.error(request, wizard_words.said(error))
            else:
                return _go("map", drafts()[0].entity_type)
        context = wizard_words.board_choices(_person(request), term, request.POST)
        return self._page(request, "boards", {**context, "back_url": url_of("connect"), "term": term})

    def wizard_change(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Begin to change what is set up."""
        try:
            boards.begin_change(_person(request), entity_type)
        except Begun as begun:
            messages.warning(request, str(begun))
        except (WizardError, MondayError) as error:
            messages.error(request, wizard_words.said(error))
            return _go("boards")
        return _go("map", entity_type)

    def wizard_discard(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Forget what was drawn up for one kind of records; what others drew up stays."""
        try:
            leave_out(_person(request), entity_type, _seen(request))
        except Moved as moved:
            messages.warning(request, str(moved))
        else:
            messages.success(request, _("The set-up was discarded. What is synced now stays as it is."))
        return _go("plan") if any(draft.mapped for draft in drafts()) else _go("boards")

    def wizard_map(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """A column, a direction and a rule for each field."""
        draft = draft_of(entity_type)
        if draft is None or draft.state == SetupState.DONE:
            messages.warning(
                request, _("Nothing is drawn up for these records yet. Choose their board first.")
            )
            return _go("boards")
        if draft.state == SetupState.RUNNING:
            return _go("run")
        chosen, wrong, error = wizard_words.choices(draft), {}, ""
        if request.method == "POST":
            chosen = wizard_words.posted(entity_type, request.POST)
            show_as_it_is(request, draft)
            try:
                choose_fields(_person(request), entity_type, _seen(request), chosen, draft.columns)
            except Unfit as unfit:
                error, wrong = str(unfit), dict(unfit.by_field)
            except Moved as moved:
                messages.warning(request, str(moved))
                return _go("map", entity_type)
            else:
                return self._after_mapping(request, entity_type)
        else:
            show_as_it_is(request, draft)
        context = wizard_words.mapping(draft, chosen, wrong)
        return self._page(request, "map", {**context, "error": error, "back_url": self._before(entity_type)})

    def _after_mapping(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        left = [draft for draft in drafts() if not draft.mapped]
        if left:
            return _go("map", left[0].entity_type)
        confirming.compare_where_due(_person(request))
        return _go("match")

    def _before(self, entity_type: str) -> str:
        kinds = [draft.entity_type for draft in drafts()]
        at = kinds.index(entity_type) if entity_type in kinds else 0
        return url_of("map", kinds[at - 1]) if at else url_of("boards")

    def wizard_match(self, request: HttpRequest) -> HttpResponse:
        """Which records and items belong together; on POST, have all compared again."""
        every = drafts()
        found = [draft for draft in every if draft.mapped]
        if not found:
            messages.warning(request, _("Map the fields first; then both sides can be compared."))
            return _go("map", every[0].entity_type) if every else _go("boards")
        if any(draft.state == SetupState.RUNNING for draft in found):
            return _go("run")
        if request.method == "POST":
            confirming.compare_again(_person(request))
            return _go("match")
        context = wizard_words.matching(found)
        back = url_of("map", found[-1].entity_type)
        return self._page(request, "match", {**context, "back_url": back, "next_url": url_of("plan")})

    def wizard_matching(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Store the answers about like names, or how is matched; the latter compares again."""
        try:
            if "threshold" in request.POST:
                choose_matching(
                    _person(request),
                    entity_type,
                    _seen(request),
                    threshold=_number(request.POST.get("threshold", "")),
                    first_match=request.POST.get("first_match", ""),
                    creates_records="creates_records" in request.POST,
                )
                confirming.compare_where_due(_person(request))
            else:
                answer(_person(request), entity_type, _seen(request), wizard_words.answers(request.POST))
                messages.success(request, _("Your answers are kept. Nothing is written yet."))
        except (Moved, WizardError) as error:
            messages.warning(request, str(error))
        return _go("plan") if "next" in request.POST else _go("match")

    def wizard_plan(self, request: HttpRequest) -> HttpResponse:
        """What would be done, and its price; on POST, let it be done."""
        if request.method == "POST":
            try:
                confirming.confirm(_person(request), wizard_words.revisions(request.POST))
            except (Moved, WizardError) as error:
                messages.warning(request, str(error))
                confirming.compare_where_due(_person(request))
            return _go("run") if _running() else _go("plan")
        if not any(draft.mapped for draft in drafts()):
            return _go("match")
        if _running():
            return _go("run")
        confirming.compare_where_due(_person(request))
        context = {**wizard_words.plan(drafts()), "back_url": url_of("match")}
        return self._page(request, "plan", context)

    def wizard_run(self, request: HttpRequest) -> HttpResponse:
        """How far the set-up is, and what came of it."""
        return self._page(request, "run", wizard_standing.run())

    def wizard_progress(self, request: HttpRequest, step: str) -> HttpResponse:
        """How far a worker is, for a page that asks each second; reloads the page at the end."""
        context = wizard_standing.run() if step == "run" else wizard_words.matching(drafts())
        context["progress_url"] = url_of("progress", step)
        answered = TemplateResponse(request, "sync/wizard_progress.html", context)
        if not context["busy"]:
            answered.headers["HX-Refresh"] = "true"
        return answered


def _running() -> bool:
    return SetupDraft.objects.filter(state=SetupState.RUNNING).exists()


def _seen(request: HttpRequest) -> int:
    return _number(request.POST.get("seen", ""))


def _number(text: str) -> int:
    """Return the number in a text; one that no page has sent fits nothing."""
    return int(text) if text.isdecimal() and len(text) < 10 else -1
