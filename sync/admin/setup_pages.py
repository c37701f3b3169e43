"""The set-up wizard: token, boards, fields, plan, run; it also changes the mapping of a board that is set up.

A person's choices stay in their session until the set-up starts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from sync import registry
from sync.admin import connection_pages
from sync.admin.admin_base import PageAdmin
from sync.admin.confirmed_action import run_action
from sync.api.callers import monday_throttle_reason
from sync.boards import field_choices, sync_filter
from sync.choices import SyncDirection
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import FORMER_KEY, ActionError, Conflict
from sync.limits import api_quota, breaker, connector, credentials, monday_account, urgent_calls
from sync.models import MondayAccount
from sync.monday.errors import NOT_AUTHENTICATED, MondayError
from sync.operations.setup import plan, planned_board, run, selection
from sync.records import authors

View = Callable[..., HttpResponse]

CONNECTION_TITLE = "Monday connection"
SESSION_KEY = "npd_set_up"

# The step of the wizard that these pages belong to.
_SHOWN_AS = {"filter": "fields", "run": "plan"}


def step_url(step: str, *args: str) -> str:
    return reverse(f"admin:sync_wizard_{step}", args=args)


def _redirect_to(step: str, *args: str) -> HttpResponse:
    return HttpResponseRedirect(step_url(step, *args))


def _back_to_boards(request: HttpRequest, error: Exception) -> HttpResponse:
    messages.error(request, _sentence(error))
    return _redirect_to("boards")


def _sentence(error: Exception) -> str:
    return humanize.without_request_id(error.sentence) if isinstance(error, MondayError) else str(error)


def choices_in(request: HttpRequest) -> dict[str, selection.Choices]:
    """Return the session's choices by type, in the order of registration."""
    stored = request.session.get(SESSION_KEY, {})
    types = [spec.entity_type for spec in registry.entities()]
    return {key: selection.Choices.parse(stored[key]) for key in types if key in stored}


def keep_choices(request: HttpRequest, choices: Mapping[str, selection.Choices]) -> None:
    request.session[SESSION_KEY] = {key: board_choices.to_json() for key, board_choices in choices.items()}


def _keep(request: HttpRequest, choices: selection.Choices) -> None:
    keep_choices(request, choices_in(request) | {choices.entity_type: choices})


def _read(request: HttpRequest, choices: selection.Choices) -> selection.ChosenBoard:
    return selection.read_board(choices, {key: other.board_id for key, other in choices_in(request).items()})


def _boards_context(request: HttpRequest) -> dict[str, Any]:
    """Return the account's boards for each type of records, or why they can't be listed."""
    problem = ""
    try:
        # Urgent, because a person waits: the call may use the quota's reserve.
        listed, is_complete = connector(urgent=True).list_boards()
    except MondayError as error:
        listed = []
        is_complete = True
        problem = _sentence(error)
    present = choices_in(request)
    kinds = []
    for spec in registry.entities():
        link = registry.link_of(spec.entity_type)
        configured = registry.configured_board_id(spec.entity_type)
        board_id = (link.board_id if link is not None else "") or configured or selection.NEW_BOARD
        if spec.entity_type in present:
            board_id = present[spec.entity_type].board_id or selection.NEW_BOARD
        elif present:
            board_id = selection.NO_BOARD
        selected = request.POST.get(spec.entity_type, board_id)
        options: list[tuple[str, str, int | None]] = [(board.id, board.name, board.items) for board in listed]
        if selected not in {selection.NO_BOARD, selection.NEW_BOARD, *(board.id for board in listed)}:
            options.insert(0, (selected, f"board {selected}", None))
        kind = {
            "kind": spec.entity_type,
            "title": spec.board_title,
            "present": selected,
            "options": options,
            "is_named": bool(configured),
            "set_up": link is not None and bool(link.board_id),
        }
        kinds.append(kind)
    return {"kinds": kinds, "is_complete": is_complete, "why_none": problem}


def _fields_context(chosen: selection.ChosenBoard, problems: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the fields with the columns that each may have, and the unused columns."""
    rows = []
    for mappable in chosen.fields:
        choice = chosen.choices.choice_of(mappable)
        row = {
            "field": mappable,
            "choice": choice,
            "columns": _fitting_columns(chosen, mappable, choice),
            "directions": SyncDirection.choices,
            "rules": [(rule.value, rule.label) for rule in mappable.rules],
            "errors": problems.get(mappable.key, []),
            "note": chosen.second_column_note(mappable) if choice.column == field_choices.NEW_COLUMN else "",
        }
        rows.append(row)
    return {
        "chosen": chosen,
        "choices": chosen.choices,
        "npd_id": chosen.columns[chosen.npd_id].title if chosen.npd_id else "",
        "rows": rows,
        "leftover": [(column.title, field_choices.unused_reason(chosen.fields, column)) for column in chosen.unused],
        "wrong": bool(problems),
        "first_rules": [(rule.value, rule.label) for rule in selection.FIRST_MATCH_RULES],
    }


def _fitting_columns(
    chosen: selection.ChosenBoard, mappable: field_choices.MappableField, choice: field_choices.FieldChoice
) -> list[tuple[str, str]]:
    """Return the columns that the field may have, with the chosen one, as id and label: “Work phone (Phone)”."""
    fitting = []
    for column in chosen.columns.values():
        is_chosen = column.id == choice.column
        if is_chosen or (column.id != chosen.npd_id and not field_choices.column_problem(mappable, column)):
            kind = column.type.replace("_", " ").capitalize()
            fitting.append((column.id, f"{column.title} ({kind})"))
    if choice.column not in {"", field_choices.NEW_COLUMN, "name", *chosen.columns}:
        fitting.insert(0, (choice.column, f"{choice.column}, deleted on the board"))
    return fitting


def _filter_context(
    chosen: selection.ChosenBoard, rows: Mapping[sync_filter.FilterSide, Sequence[planned_board.Row]]
) -> dict[str, Any]:
    titles = {
        sync_filter.FilterSide.RECORD: ("Records in NPD", "record"),
        sync_filter.FilterSide.ITEM: ("Items on Monday", "item"),
    }
    sides = []
    for side, (title, noun) in titles.items():
        filled = [row for row in rows[side] if not planned_board.is_empty(row)]
        side_context = {
            "name": side.value,
            "title": title,
            "noun": noun,
            "fields": list(planned_board.filterable_fields(chosen, side).items()),
            "ops": [(op.value, op.label) for op in sync_filter.FilterOp],
            "rows": [*filled, {}],
        }
        sides.append(side_context)
    return {
        "kind_title": chosen.choices.spec.board_title,
        "sides": sides,
        "wrong": any("error" in row for side in sides for row in side["rows"]),
    }


def _board_plan_context(board: plan.BoardPlan) -> dict[str, Any]:
    return {
        "plan": board,
        "chosen": board.chosen,
        "done": plan.rows_of(board, plan.DONE_ROWS),
        "asked": plan.rows_of(board, plan.ASKED_ROWS),
        "left": plan.rows_of(board, plan.LEFT_ROWS),
        "missing": [registry.count_of_type(len(names), kind) for kind, names in board.missing.items() if names],
        "missing_names": [name for names in board.missing.values() for name in names[:3]],
    }


class SetupWizardMixin(PageAdmin):
    """Adds the set-up wizard to the admin of board links."""

    actions_list: tuple[str, ...] = ("set_up",)

    def has_set_up_permission(self, request: HttpRequest) -> bool:
        return selection.may_set_up(request.user)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Set up…", url_path="begin-set-up", permissions=["set_up"], icon="auto_fix_high"
    )
    def set_up(self, request: HttpRequest) -> HttpResponse:
        return _redirect_to("connect" if connection_pages.may_see_connection(request.user) else "boards")

    def get_urls(self) -> list[URLPattern]:
        steps: list[tuple[str, str, View]] = [
            ("", "connect", self.wizard_connect),
            ("token/", "token", sensitive_post_parameters()(require_POST(self.wizard_token))),
            ("boards/", "boards", self.wizard_boards),
            ("fields/<str:entity_type>/", "fields", self.wizard_fields),
            ("filter/<str:entity_type>/", "filter", self.wizard_filter),
            ("change/<str:entity_type>/", "change", require_POST(self.wizard_change)),
            ("discard/", "discard", require_POST(self.wizard_discard)),
            ("plan/", "plan", self.wizard_plan),
            ("run/", "run", require_GET(self.wizard_run)),
        ]
        return [
            *(
                path(f"set-up/{end}", self.admin_site.admin_view(self._guard(name, view)), name=f"sync_wizard_{name}")
                for end, name, view in steps
            ),
            *super().get_urls(),
        ]

    def _guard(self, step: str, view: View) -> View:
        """Check the step's permission and the type of records before the view."""

        def guarded(request: HttpRequest, **kwargs: str) -> HttpResponse:
            is_allowed = selection.may_set_up(request.user)
            if step == "token":
                is_allowed = connection_pages.may_connect(request.user)
            elif step == "connect":
                # Users who may only see the account may open the page.
                is_allowed = connection_pages.may_see_connection(request.user) and (
                    is_allowed or request.method != "POST"
                )
            if not is_allowed:
                raise PermissionDenied
            entity_type = kwargs.get("entity_type")
            if entity_type is not None and not registry.is_registered(entity_type):
                raise Http404("There are no records of that kind.")
            return view(request, **kwargs)

        return guarded

    def _page(self, request: HttpRequest, step: str, context: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        choices_by_type = choices_in(request)
        first = next(iter(choices_by_type), "")
        is_mapped = bool(choices_by_type) and all(choices.is_mapped for choices in choices_by_type.values())
        rows = [
            ("connect", "Token", step_url("connect"), connection_pages.may_see_connection(request.user)),
            ("boards", "Boards", step_url("boards"), credentials.is_configured()),
            ("fields", "Fields", step_url("fields", first) if first else "", bool(first)),
            ("plan", "Plan", step_url("plan"), is_mapped),
        ]
        here = _SHOWN_AS.get(step, step)
        steps = [
            {"label": label, "url": url if is_open and name != step else "", "here": name == here}
            for name, label, url, is_open in rows
        ]
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Set up the sync",
            "page_name": "Set up",
            "steps": steps if selection.may_set_up(request.user) else [],  # other users see only the connection
            **context,
        }
        return TemplateResponse(request, f"sync/wizard_{step}.html", common, status=status)

    def wizard_connect(self, request: HttpRequest) -> HttpResponse:
        """Show the connection; on POST, test it or store the country of phone numbers."""
        if connection_pages.REGION in request.POST:
            connection_pages.store_region(request)
            messages.success(request, "Saved. Numbers that are stored already stay as they are written.")
            return _redirect_to("connect")
        result = connection_pages.examine_connection(cast("User", request.user)) if request.method == "POST" else None
        return self._connect_page(request, result)

    def _connect_page(
        self, request: HttpRequest, tested: connection_pages.ConnectionTest | None, wrong: str = ""
    ) -> HttpResponse:
        account = monday_account()
        token = credentials.token_state()
        is_stopped = account.needs_probe or account.waits_at(sync_now())
        is_known = token.is_usable and connection_pages.is_token_answered(account) and not is_stopped
        on_server = [text for text in (tested.for_administrator if tested else ()) if text]
        if token.is_unreadable:
            on_server.append(FORMER_KEY)
        context = {
            "title": CONNECTION_TITLE,
            "page_name": CONNECTION_TITLE,
            "tested": tested,
            "wrong": wrong,
            "configured": token.is_usable,
            "token": token,
            "token_problem": credentials.unusable_reason(),
            "may_connect": connection_pages.may_connect(request.user),
            "may_set_up": selection.may_set_up(request.user),
            "on_server": on_server,
            "known": account if is_known else None,
            "is_stopped": is_stopped and token.is_usable,
            "stop_reason": humanize.without_request_id(account.stop_reason),
            "allowance": api_quota.forecast().words if is_known else "",
            **connection_pages.region_context(request.user),
        }
        return self._page(request, "connect", context, status=400 if wrong else 200)

    def wizard_token(self, request: HttpRequest) -> HttpResponse:
        """Store the entered token unless Monday rejects it, or remove the stored token after a question."""
        user = cast("User", request.user)
        if "remove" in request.POST:

            @transaction.atomic
            def remove() -> str:
                credentials.remove_token()
                nothing = "" if settings.MONDAY_API_KEY else " Without one nothing is synced."
                sentence = f"The stored token was removed.{nothing}"
                authors.log_model_action(user, MondayAccount, sentence, name="Monday")
                return sentence

            return run_action(self, request, remove, step_url("connect"), connection_pages.removal_question)
        try:
            token = credentials.check_secret(request.POST.get("token", ""), "API token")
        except ActionError as error:
            return self._connect_page(request, None, str(error))
        with urgent_calls(token):
            # `read_account_info` stores nothing, so a rejected token doesn't affect the current one.
            result = connection_pages.try_connection(breaker.read_account_info)
        if result.is_refused and result.error is not None:
            is_unknown = result.error.kind is NOT_AUTHENTICATED
            why = "It is wrong or was revoked: copy it from Monday again." if is_unknown else result.message
            return self._connect_page(request, None, f"Monday rejects this token, so it was not kept. {why}")
        credentials.store_token(token, user)
        if result.account is not None:
            breaker.store_account_info(result.account)
        connection_pages.apply_test(result)
        about = (
            f"Connected. {result.message} It is stored encrypted." if result.is_ok else "The token is stored encrypted."
        )
        authors.log_model_action(user, MondayAccount, about, name="Monday")
        messages.success(request, about)
        if result.is_ok:
            breaker.ask_again()  # the former token may not have seen all boards
        else:
            messages.error(request, f"It could not be tested: {result.message} Test it again.")
        return _redirect_to("connect")

    def wizard_boards(self, request: HttpRequest) -> HttpResponse:
        if not credentials.is_configured():
            return _redirect_to("connect")
        if request.method == "POST":
            selected = {spec.entity_type: request.POST.get(spec.entity_type, "") for spec in registry.entities()}
            try:
                chosen = selection.choose_boards(selected, choices_in(request))
            except (ActionError, MondayError) as error:
                messages.error(request, _sentence(error))
            else:
                keep_choices(request, chosen)
                return _redirect_to("fields", next(iter(choices_in(request))))
        return self._page(request, "boards", _boards_context(request))

    def wizard_change(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        try:
            keep_choices(request, {entity_type: selection.begin_change(entity_type)})
        except (ActionError, MondayError) as error:
            return _back_to_boards(request, error)
        return _redirect_to("fields", entity_type)

    def wizard_discard(self, request: HttpRequest) -> HttpResponse:
        request.session.pop(SESSION_KEY, None)
        messages.success(request, "What you had chosen is discarded. What is synced now stays as it is.")
        return _redirect_to("boards")

    def wizard_fields(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        choices = choices_in(request).get(entity_type)
        if choices is None:
            messages.warning(request, "Choose the board of these records first.")
            return _redirect_to("boards")
        problems: Mapping[str, Sequence[str]] = {}
        if request.method == "POST":
            choices = _sent_choices(request, choices)
            connection_pages.store_region(request)
            if "back" in request.POST:
                _keep(request, choices)
                kinds = list(choices_in(request))
                place = kinds.index(entity_type)
                return _redirect_to("fields", kinds[place - 1]) if place else _redirect_to("boards")
        try:
            board = _read(request, choices)
            if request.method == "POST":
                problems = board.problems()
                if not problems:
                    _keep(request, replace(board.choices, is_mapped=True))
                    return _redirect_to("filter", entity_type) if "filter" in request.POST else _after_fields(request)
            context = _fields_context(board, problems) | connection_pages.region_context(request.user)
        except (ActionError, MondayError) as error:
            return _back_to_boards(request, error)
        return self._page(request, "fields", context)

    def wizard_filter(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Edit the filter's conditions; on POST, keep them or show one more row."""
        choices = choices_in(request).get(entity_type)
        if choices is None or not choices.is_mapped:
            return _redirect_to("fields", entity_type)
        try:
            board = _read(request, choices)
        except (ActionError, MondayError) as error:
            return _back_to_boards(request, error)
        if request.method != "POST":
            rows = {side: planned_board.rows_of(board, side) for side in sync_filter.FilterSide}
            return self._page(request, "filter", _filter_context(board, rows))
        rows = {side: _sent_rows(request, side) for side in sync_filter.FilterSide}
        if "add" not in request.POST:
            records, items = (planned_board.conditions_of(board, side, rows[side]) for side in sync_filter.FilterSide)
            if not any("error" in row for side in sync_filter.FilterSide for row in rows[side]):
                _keep(request, replace(choices, sync_filter=sync_filter.SyncFilter(records, items).to_json()))
                return _redirect_to("fields", entity_type) if "back" in request.POST else _after_fields(request)
        return self._page(request, "filter", _filter_context(board, rows))

    def wizard_plan(self, request: HttpRequest) -> HttpResponse:
        """Show the plan and its share of the quota; on POST, start it or plan again."""
        choices = choices_in(request)
        if not choices:
            return _redirect_to("run")
        unmapped = [key for key, board_choices in choices.items() if not board_choices.is_mapped]
        if unmapped:
            return _redirect_to("fields", unmapped[0])
        if request.method == "POST":
            return self._plan_sent(request, choices)
        setup_plan = plan.request_plan(selection.plan_token(choices), choices.values())
        share = setup_plan.share_of_day
        context = {
            "plan": setup_plan,
            "busy": setup_plan.is_busy,
            "plans": [_board_plan_context(board) for board in setup_plan.boards],
            "share": f" ({share:.1%} of the day's quota)" if share is not None else "",
        }
        return self._page(request, "plan", context)

    @staticmethod
    def _plan_sent(request: HttpRequest, choices: Mapping[str, selection.Choices]) -> HttpResponse:
        if "anew" in request.POST:
            if throttle_text := monday_throttle_reason(request):
                messages.warning(request, f"Nothing is compared: {throttle_text}")
            else:
                choices = _rebased(choices)
                keep_choices(request, choices)
                plan.request_plan(selection.plan_token(choices), choices.values(), again=True)
            return _redirect_to("plan")
        if (kind := request.POST.get("create_all", "")) in choices:
            _keep(request, replace(choices[kind], creates_all=True))
            return _redirect_to("plan")
        try:
            token = selection.plan_token(choices)
            setup_plan = plan.stored_plan(token)
            if setup_plan is None or request.POST.get("plan") != token:
                raise Conflict(
                    "The plan has changed since your page was opened, so nothing was begun. Look at it again."
                )
            final_choices = [
                replace(board_choices, makes_related=f"related-{key}" in request.POST)
                for key, board_choices in choices.items()
            ]
            boards = [_read(request, board_choices) for board_choices in final_choices]
            run.start(cast("User", request.user), boards, setup_plan)
        except (ActionError, MondayError) as error:
            messages.warning(request, _sentence(error))
            keep_choices(request, _rebased(choices))
            return _redirect_to("plan")
        request.session.pop(SESSION_KEY, None)
        return _redirect_to("run")

    def wizard_run(self, request: HttpRequest) -> HttpResponse:
        kinds = run.setup_progress()
        states = {kind["state"] for kind in kinds}
        context = {"kinds": kinds, "busy": selection.RUNNING in states, "is_done": states == {selection.DONE}}
        return self._page(request, "run", context)


def _rebased(choices: Mapping[str, selection.Choices]) -> dict[str, selection.Choices]:
    """Return the choices based on the boards' present settings, so that the plan compares with those."""
    return {
        key: replace(board_choices, settings_at_start=selection.board_settings(board_choices.link))
        for key, board_choices in choices.items()
    }


def _after_fields(request: HttpRequest) -> HttpResponse:
    """Go to the next type of records without a mapping, or to the plan."""
    unmapped = [key for key, choices in choices_in(request).items() if not choices.is_mapped]
    return _redirect_to("fields", unmapped[0]) if unmapped else _redirect_to("plan")


def _sent_choices(request: HttpRequest, choices: selection.Choices) -> selection.Choices:
    """Return the choices with those of the form; `ChosenBoard.problems` checks them."""
    fields = {}
    for mapping in choices.spec.mappings:
        column = "name" if mapping.converter == "name" else request.POST.get(f"column-{mapping.key}", "")
        direction = request.POST.get(f"direction-{mapping.key}", "")
        rule = request.POST.get(f"rule-{mapping.key}", "")
        # Cut to the lengths of the model's fields, because they are kept in the session before they are checked.
        choice = field_choices.FieldChoice(column[:50], direction[:20], rule[:20])
        fields[mapping.key] = choice.with_implied_direction()
    choices = replace(choices, fields=fields)
    first_match = request.POST.get("first_match")
    if first_match is None:
        return choices
    allowed = {rule.value for rule in selection.FIRST_MATCH_RULES}
    return replace(
        choices,
        first_match=first_match if first_match in allowed else selection.FIRST_MATCH_RULES[0],
        creates_records="creates_records" in request.POST,
    )


def _sent_rows(request: HttpRequest, side: sync_filter.FilterSide) -> list[planned_board.Row]:
    lists = [
        request.POST.getlist(f"{side}-{part}")[: sync_filter.MAX_CONDITIONS + 1] for part in ("field", "op", "text")
    ]
    return [
        {"field": field[:50], "op": op[:20], "text": text[:20_000]} for field, op, text in zip(*lists, strict=False)
    ]
