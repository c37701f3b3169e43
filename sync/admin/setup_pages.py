"""The connection to Monday, and the set-up wizard: token, boards, fields, plan, run.

The wizard also changes the mapping of a board that is set up. A person's choices stay in their session until the
set-up starts; a token is never in it, nor on a page.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from sync import registry
from sync.admin import confirmed_action, home
from sync.admin.admin_base import Button, PageAdmin, records_url, render_admin_page
from sync.admin.setup_forms import BoardsForm, FieldsForm
from sync.api import monday_throttle_reason
from sync.choices import SetupState
from sync.clock import sync_now
from sync.fields import lookups
from sync.kernel import humanize
from sync.kernel.acts import ActionError, NotPossible
from sync.limits import api_quota, credentials
from sync.limits.breaker import monday_account
from sync.limits.metered_client import connector
from sync.models import BoardLink, MondayAccount
from sync.monday.columns.phones import phone_example, phone_regions
from sync.monday.errors import MondayError
from sync.operations.setup import connection, plan, run, selection
from sync.records import authors
from sync.state import record_view
from sync.words.message import Message, of_error

View = Callable[..., HttpResponse]

CONNECTION_TITLE = "Monday connection"
SESSION_KEY = "npd_set_up"

# Records or items of a row of the plan on a page.
ROWS_PER_PAGE = 100

# The form field for the country of phone numbers without a country code.
REGION = "phone_region"


def _step_url(step: str, *args: str) -> str:
    return reverse(f"admin:sync_wizard_{step}", args=args)


def _redirect_to(step: str, *args: str) -> HttpResponse:
    return redirect(f"admin:sync_wizard_{step}", *args)


def _sentence(error: Exception) -> str:
    return humanize.without_request_id(of_error(error)) if isinstance(error, MondayError) else str(error)


def _to_boards_on_error(view: View) -> View:
    """Redirect to the boards with the reason if the view raises an error."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (ActionError, MondayError) as error:
            messages.error(request, _sentence(error))
            return _redirect_to("boards")

    return checked


def choices_in(request: HttpRequest) -> dict[str, selection.Choices]:
    """Return the session's choices by type, in the order of registration."""
    stored = request.session.get(SESSION_KEY, {})
    types = [spec.entity_type for spec in registry.entities()]
    return {key: selection.Choices.parse(stored[key]) for key in types if key in stored}


def _store_choices(request: HttpRequest, choices: Mapping[str, selection.Choices]) -> None:
    request.session[SESSION_KEY] = {key: board_choices.to_json() for key, board_choices in choices.items()}


def _pairs(request: HttpRequest) -> dict[str, str]:
    """Return what namesakes are by a plan's form, by their pair."""
    pairs = [name for name in request.POST if name.startswith("pair-")]
    return {name.removeprefix("pair-"): str(request.POST[name]) for name in pairs}


def _with_pairs(request: HttpRequest, choices: selection.Choices) -> selection.Choices:
    return replace(choices, namesakes={**choices.namesakes, **_pairs(request)})


def _store_region(request: HttpRequest) -> None:
    """Store the country of phone numbers without one, if the form has another and its sender may choose it."""
    chosen = request.POST.get(REGION, "")
    regions = dict(phone_regions())
    current = lookups.phone_region()
    if selection.may_set_up(request.user) and chosen in regions and chosen != current:
        MondayAccount.objects.update_or_create(id=1, defaults={"phone_region": chosen})
        words = {"before": regions.get(current, current), "after": regions[chosen]}
        change = Message("setting", label="Country of phone numbers", **words)
        authors.log_settings_changed(request.user, CONNECTION_TITLE, change)


def _has_boards() -> bool:
    return BoardLink.objects.exclude(board_id="").exists()


class SetupWizardMixin(PageAdmin):
    """Adds the set-up wizard to the admin of board links."""

    actions_list: tuple[str, ...] = ("set_up",)

    def has_set_up_permission(self, request: HttpRequest) -> bool:
        return selection.may_set_up(request.user)

    def empty_buttons(self, request: HttpRequest) -> list[Button]:
        return [Button("Set up…", url=_step_url("connect"))] if self.has_set_up_permission(request) else []

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Set up…", url_path="begin-set-up", permissions=["set_up"], icon="auto_fix_high"
    )
    def set_up(self, request: HttpRequest) -> HttpResponse:
        return _redirect_to("boards" if _has_boards() else "connect")

    def get_urls(self) -> list[URLPattern]:
        may_connect = permission_required(connection.MAY_CONNECT, raise_exception=True)
        may_set_up = permission_required(selection.REQUIRED_PERMISSIONS, raise_exception=True)
        steps: list[tuple[str, str, View]] = [
            ("", "connect", self.wizard_connect),
            ("token/", "token", may_connect(sensitive_post_parameters()(require_POST(self.wizard_token)))),
            ("boards/", "boards", may_set_up(_to_boards_on_error(self.wizard_boards))),
            ("fields/<str:entity_type>/", "fields", may_set_up(_to_boards_on_error(self.wizard_fields))),
            ("change/<str:entity_type>/", "change", may_set_up(require_POST(_to_boards_on_error(self.wizard_change)))),
            ("plan/", "plan", may_set_up(self.wizard_plan)),
            ("plan/<str:entity_type>/<str:kind>/", "rows", may_set_up(require_GET(self.wizard_rows))),
            ("run/", "run", may_set_up(require_GET(self.wizard_run))),
        ]
        urls = [
            path(f"set-up/{end}", self.admin_site.admin_view(view), name=f"sync_wizard_{name}")
            for end, name, view in steps
        ]
        return [*urls, *super().get_urls()]

    def _page(self, request: HttpRequest, step: str, context: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        choices_by_type = choices_in(request)
        first = next(iter(choices_by_type), "")
        is_mapped = bool(choices_by_type) and all(choices.is_mapped for choices in choices_by_type.values())
        rows = [
            ("connect", "Token", _step_url("connect"), True),
            ("boards", "Boards", _step_url("boards"), credentials.has_token()),
            ("fields", "Fields", _step_url("fields", first) if first else "", bool(first)),
            ("plan", "Plan", _step_url("plan"), is_mapped),
        ]
        here = "plan" if step in ("run", "rows") else step
        steps = [
            {"label": label, "url": url if is_open and name != step else "", "here": name == here}
            for name, label, url, is_open in rows
        ]
        is_connection = step == "connect"
        frame = {
            "page_name": CONNECTION_TITLE if is_connection else "Set up",
            # Other users see only the connection, which is a page of the settings once a board is set up.
            "steps": steps if selection.may_set_up(request.user) and not (is_connection and _has_boards()) else [],
            "is_set_up_page": True,
        }
        title = CONNECTION_TITLE if is_connection else "Set up the sync"
        template = f"sync/wizard_{step}.html"
        return render_admin_page(self, request, template, title, status=status, **frame, **context)

    def wizard_connect(self, request: HttpRequest) -> HttpResponse:
        """Show the connection; on POST, test it or store the country of phone numbers."""
        may_see = selection.may_see_connection(request.user)
        if not may_see or (request.method == "POST" and not selection.may_set_up(request.user)):
            raise PermissionDenied
        if REGION in request.POST:
            _store_region(request)
            messages.success(request, "Saved. Numbers that NPD already has stay as they are.")
            return _redirect_to("connect")
        result = connection.test_stored_token(cast("User", request.user)) if request.method == "POST" else None
        return self._connect_page(request, result)

    def _connect_page(
        self, request: HttpRequest, tested: connection.ConnectionTest | None, token_error: str = ""
    ) -> HttpResponse:
        account = monday_account()
        region = lookups.phone_region()
        token = credentials.token_state()
        # A limit, or a stop of writes only, ends by itself and says nothing against the connection.
        stop = account.stop
        is_stopped = stop is not None and stop.needs_probe
        waits_until = stop.until if stop and not is_stopped and stop.until > sync_now() else None
        is_connected = token.is_usable and connection.has_answered_token(account) and not is_stopped
        for_administrator = [check.for_administrator for check in tested.checks] if tested else []
        if tested and tested.error:
            for_administrator.append(tested.error.kind.for_administrator)
        if token.is_unreadable:
            for_administrator.append(credentials.RESTORE_KEY)
        context = {
            "tested": tested,
            "token_error": token_error,
            "may_set_up": selection.may_set_up(request.user),
            "token": token,
            "token_problem": credentials.unreadable_reason(),
            "may_connect": request.user.has_perm(connection.MAY_CONNECT),
            "for_administrator": [text for text in for_administrator if text],
            "connected_account": account if is_connected else None,
            "is_stopped": is_stopped and token.is_usable,
            "waits_until": waits_until if token.is_usable else None,
            "stop_reason": humanize.without_request_id(stop.reason if stop else ""),
            "quota_words": api_quota.usage_sentence(api_quota.read_quota()) if is_connected else "",
            "phone_region": region,
            "phone_example": phone_example(region),
            "phone_regions": phone_regions(),
        }
        return self._page(request, "connect", context, status=400 if token_error else 200)

    def wizard_token(self, request: HttpRequest) -> HttpResponse:
        """Store the entered token unless Monday rejects it, or remove the stored token after a question."""
        user = cast("User", request.user)
        if "remove" in request.POST:
            effect = "Nothing is synced until you enter another token."
            if settings.MONDAY_API_KEY:
                effect = "Sync continues with the token that is set on the server."
            title = "Remove the stored token?"
            question = confirmed_action.Question(title, [effect], "Remove token", hidden=[("remove", "1")])
            remove = partial(connection.remove_token, user)
            return confirmed_action.run_action(self, request, remove, _step_url("connect"), lambda: question)
        _store_region(request)
        try:
            result = connection.test_and_store_token(user, request.POST.get("token", ""))
        except ActionError as refusal:
            return self._connect_page(request, None, str(refusal))
        if result.is_ok:
            messages.success(request, f"Connected. {result.message} The token is stored encrypted.")
        else:
            messages.success(request, "The token is stored encrypted.")
            messages.error(request, f"It could not be tested: {result.message} Test it again.")
        return _redirect_to("connect")

    def wizard_boards(self, request: HttpRequest) -> HttpResponse:
        if not credentials.has_token():
            return _redirect_to("connect")
        try:
            # Urgent, because a person waits: the call may use the quota's reserve.
            boards, is_complete = connector(urgent=True).list_boards()
        except MondayError as error:
            return self._page(request, "boards", {"problem": _sentence(error)})
        previous = choices_in(request)
        form = BoardsForm(boards, previous, request.POST or None)
        if not form.is_valid():
            return self._page(request, "boards", {"form": form, "is_complete": is_complete})
        return self._choose_boards(request, form.cleaned_data, previous)

    def wizard_change(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Begin to change the mapping or the filter of a board that is set up."""
        link = lookups.link_of(entity_type) if registry.is_registered(entity_type) else None
        if link is None:
            raise Http404("There are no records of that kind with a board.")
        return self._choose_boards(request, {entity_type: link.board_id}, {})

    @staticmethod
    def _choose_boards(
        request: HttpRequest, selected: Mapping[str, str], previous: Mapping[str, selection.Choices]
    ) -> HttpResponse:
        _store_choices(request, selection.choose_boards(selected, previous))
        return _redirect_to("fields", next(iter(choices_in(request))))

    def wizard_fields(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        choices_by_type = choices_in(request)
        if entity_type not in choices_by_type:
            return _redirect_to("boards")
        boards = {key: other.board_id for key, other in choices_by_type.items()}
        chosen = selection.read_chosen_board(choices_by_type[entity_type], boards)
        form = FieldsForm(chosen, request.POST or None)
        unmapped = (key for key, other in choices_by_type.items() if not other.is_mapped and key != entity_type)
        following = next(unmapped, "")
        if form.is_valid():
            choices_by_type[entity_type] = form.chosen.choices
            _store_choices(request, choices_by_type)
            if following:
                return _redirect_to("fields", following)
            # A plan that was made before is another day's, or another hour's.
            plan.request_plan(selection.plan_key(choices_by_type), choices_by_type.values(), again=True)
            return _redirect_to("plan")
        context = {
            "form": form,
            "chosen": chosen,
            "choices": chosen.choices,
            "next_step": f"Fields of {registry.entity(following).board_title}" if following else "Plan",
            "npd_id": chosen.columns[chosen.npd_id_column].title if chosen.npd_id_column else "",
        }
        return self._page(request, "fields", context)

    def wizard_plan(self, request: HttpRequest) -> HttpResponse:
        """Show the plan and its share of the quota; on POST, start it or plan again."""
        choices = choices_in(request)
        if not choices:
            return _redirect_to("run")
        unmapped = [key for key, board_choices in choices.items() if not board_choices.is_mapped]
        if unmapped:
            return _redirect_to("fields", unmapped[0])
        plan_key = selection.plan_key(choices)
        if request.method != "POST":
            setup_plan = plan.request_plan(plan_key, choices.values())
            return self._page(request, "plan", {"plan": setup_plan, "busy": setup_plan.is_busy})
        if "namesakes" in request.POST:
            return self._choose_namesakes(request, choices)
        if entity_type := request.POST.get("creates_anyway") or request.POST.get("creates_none"):
            if board_choices := choices.get(entity_type):
                board_choices = replace(board_choices, creates_anyway="creates_anyway" in request.POST)
                _store_choices(request, {**choices, entity_type: board_choices})
            return _redirect_to("plan")
        if "anew" in request.POST:
            if throttle_text := monday_throttle_reason(request):
                messages.warning(request, f"Nothing is compared: {throttle_text}")
            else:
                plan.request_plan(plan_key, choices.values(), again=True)
            return _redirect_to("plan")
        try:
            shown_plan = plan.stored_plan(plan_key)
            if shown_plan is None or request.POST.get("plan") != plan_key:
                raise NotPossible(
                    "Nothing was started, because the plan has changed since you opened this page. Check it again."
                )
            namesakes = [each for board in shown_plan.boards for each in board.namesakes]
            if any(_pairs(request).get(each.pair, each.choice) != each.choice for each in namesakes):
                changed = {key: _with_pairs(request, board_choices) for key, board_choices in choices.items()}
                _store_choices(request, changed)
                raise NotPossible(
                    "Nothing was started, because you changed what namesakes are. Check the plan with your answers."
                )
            creating_related = {key for key in choices if f"related-{key}" in request.POST}
            run.start(cast("User", request.user), shown_plan, creating_related)
        except ActionError as refusal:
            messages.warning(request, str(refusal))
            return _redirect_to("plan")
        request.session.pop(SESSION_KEY, None)
        return _redirect_to("run")

    @staticmethod
    def _choose_namesakes(request: HttpRequest, choices: Mapping[str, selection.Choices]) -> HttpResponse:
        """Store what records and items of one name are, each as chosen or all the same, and plan again."""
        entity_type, _, answer = request.POST["namesakes"].partition(" ")
        board_choices = choices.get(entity_type)
        if board_choices is None:
            return _redirect_to("plan")
        if answer == "each":
            board_choices = _with_pairs(request, board_choices)
        else:
            answer = answer if answer in (selection.LINK, selection.APART) else selection.LEAVE
            board_choices = replace(board_choices, namesakes={selection.ALL: answer})
        _store_choices(request, {**choices, entity_type: board_choices})
        return _redirect_to("plan")

    def wizard_rows(self, request: HttpRequest, entity_type: str, kind: str) -> HttpResponse:
        """Show all records or items that a row of the plan counts, or those with one of its reasons, by its place."""
        setup_plan = plan.stored_plan(selection.plan_key(choices_in(request)))
        boards = setup_plan.boards if setup_plan is not None and not setup_plan.is_old else []
        board = next((board for board in boards if board.entity_type == entity_type), None)
        if board is None or kind not in board.groups:
            return _redirect_to("plan")
        row = board.row(kind)
        places = {str(place): place for place in range(len(row["reasons"]))}
        place = places.get(request.GET.get("reason", ""))
        subjects = row["subjects"] if place is None else row["reasons"][place][1]
        page = Paginator(subjects, ROWS_PER_PAGE).get_page(request.GET.get("p"))
        context = {"plan": setup_plan, "board": board, "row": row, "place": place, "page": page}
        return self._page(request, "rows", context)

    def wizard_run(self, request: HttpRequest) -> HttpResponse:
        setups = run.setup_progress()
        if not setups:
            return _redirect_to("boards")
        states = {board_setup["state"] for board_setup in setups}
        for board_setup in setups:
            spec = registry.entity(board_setup["entity_type"])
            [counts] = record_view.state_counts(spec.model.objects.all())
            link = BoardLink.objects.filter(entity_type=spec.entity_type).first()
            board_setup["first_load"] = home.first_load(spec, link, counts, sync_now())
            # Before its end, the records are as on the board before.
            board_setup["records_now"] = board_setup["state"] == SetupState.DONE and [
                (state.label.lower(), counts[state], records_url(spec, state.value)) for state in counts
            ]
        empty = [spec for spec in registry.entities() if not spec.model.objects.exists()]
        context = {
            "setups": setups,
            "busy": SetupState.RUNNING in states,
            "is_comparing": any(each["to_compare"] or each["first_load"] for each in setups),
            "is_done": states == {SetupState.DONE},
            # The lists to which an installation without records adds some.
            "lists": [(spec.board_title, records_url(spec)) for spec in empty],
        }
        return self._page(request, "run", context)
