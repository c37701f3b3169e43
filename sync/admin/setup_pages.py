"""The set-up: token, boards, fields, plan, start; also later changes of a mapping, by the same plan.

What a person chooses stays in the person's session until it is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from sync import registry
from sync.admin.board_cards import records_url
from sync.admin.connection_pages import ConnectionPagesMixin, View, may_see_connection, region_context, store_region
from sync.api.callers import monday_throttle_reason
from sync.boards.field_choices import (
    NEW_COLUMN,
    FieldChoice,
    MappableField,
    Suggestion,
    column_problem,
    suggest_columns,
    unused_reason,
)
from sync.boards.sync_filter import MAX_CONDITIONS, FilterOp, FilterSide, SyncFilter
from sync.choices import DeletedRecordPolicy, RemovedItemPolicy, SyncDirection
from sync.kernel import humanize
from sync.kernel.messages import ActionError, Conflict
from sync.limits import credentials
from sync.models import BoardLink
from sync.monday.errors import MondayError
from sync.operations.setup import run
from sync.operations.setup import selection as setup
from sync.operations.setup.filter_choice import FilterableField, FilterRow, filter_of_rows, filterable_fields, rows_of
from sync.operations.setup.plan import (
    ASKED_ROWS,
    DONE_ROWS,
    LEFT_ROWS,
    BoardPlan,
    SetupPlan,
    first_match_text,
    request_plan,
    second_column_note,
    stored_plan,
)
from sync.operations.setup.plan import rows_of as plan_rows
from sync.operations.setup.selection import FIRST_MATCH_RULES, Choices, ChosenBoard, may_set_up, plan_token
from sync.registry import configured_board_id, link_of
from sync.state.record_view import RecordState

SESSION_KEY = "npd_set_up"
SHOWN_PLAN = "plan"
"""Names the field of the plan's form with the token of the choices whose plan its page showed."""

ADD, BACK, FILTER = "add", "back", "filter"
"""Names of buttons: one more row of a filter's side, the page before, the filter's page."""

_SHOWN_AS = {"filter": "fields"}
"""Pages that are part of another step."""


def step_url(step: str, *args: str) -> str:
    return reverse(f"admin:sync_wizard_{step}", args=args)


def _redirect_to(step: str, *args: str) -> HttpResponse:
    return HttpResponseRedirect(step_url(step, *args))


def _request_user(request: HttpRequest) -> User:
    return cast("User", request.user)


def error_sentence(error: Exception) -> str:
    return humanize.without_request_id(error.sentence) if isinstance(error, MondayError) else str(error)


# The choices in the session.


def chosen_in(request: HttpRequest) -> dict[str, Choices]:
    """Return what this person has chosen so far, by type, in the order in which types are registered."""
    stored = request.session.get(SESSION_KEY, {})
    types = [spec.entity_type for spec in registry.entities()]
    return {key: Choices.parse(stored[key]) for key in types if key in stored}


def keep_choices(request: HttpRequest, choices: Mapping[str, Choices]) -> None:
    request.session[SESSION_KEY] = {key: one.to_json() for key, one in choices.items()}


def _keep(request: HttpRequest, choices: Choices) -> None:
    keep_choices(request, chosen_in(request) | {choices.entity_type: choices})


def _others(request: HttpRequest) -> dict[str, str]:
    return {key: one.board_id for key, one in chosen_in(request).items()}


def _read(request: HttpRequest, choices: Choices) -> ChosenBoard:
    return setup.read_board(choices, _others(request))


# What the pages show.


def _boards_context(request: HttpRequest, term: str) -> dict[str, Any]:
    """The boards of the account, for each kind of records; why they can't be listed, where they can't."""
    try:
        listed, complete = setup.available_boards(term)
        problem = ""
    except MondayError as error:
        listed, complete, problem = [], True, error_sentence(error)
    present = chosen_in(request)
    kinds = []
    for spec in registry.entities():
        kind, link, choices = spec.entity_type, link_of(spec.entity_type), present.get(spec.entity_type)
        board_id = link.board_id if link is not None else ""
        name = ""
        if choices is not None:
            board_id, name = choices.board_id or setup.NEW_BOARD, choices.board_name
        elif present:
            board_id = setup.NO_BOARD
        fallback = board_id if present else board_id or configured_board_id(kind) or setup.NEW_BOARD
        selected = request.POST.get(kind, fallback)
        options = [(one.id, one.name, one.items) for one in listed]
        if selected not in {"", setup.NEW_BOARD, *(one[0] for one in options)}:
            options.insert(0, (selected, name or f"board {selected}", None))
        kinds.append({
            "kind": kind,
            "title": spec.board_title,
            "present": selected,
            "options": options,
            "is_named": bool(configured_board_id(kind)),
            "set_up": link is not None and bool(link.board_id),
        })  # fmt: skip
    return {"kinds": kinds, "complete": complete, "listed": len(listed), "why_none": problem}


def _fields_context(
    chosen: ChosenBoard, fields: Mapping[str, FieldChoice], field_errors: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The fields with the columns that each may have and what both sides say now, and the columns left over."""
    choices = chosen.choices
    stored = {mapping.key for mapping in choices.link.mappings.all()} if choices.link is not None else set()
    hints = suggest_columns(chosen.fields, chosen.columns.values(), chosen.npd_id)
    on_board = setup.item_samples(chosen)
    in_npd = setup.record_samples(chosen)
    rows = []
    for mappable in chosen.fields:
        choice = fields.get(mappable.key, FieldChoice())
        is_new_hint = not choices.is_mapped and mappable.key not in stored
        rows.append({
            "field": mappable,
            "choice": choice,
            "columns": _fitting_columns(chosen, mappable, choice, on_board),
            "directions": SyncDirection.choices,
            "rules": [(rule.value, rule.label) for rule in mappable.rules],
            "npd": in_npd.get(mappable.key, []),
            "errors": field_errors.get(mappable.key, []),
            "hint": _hint_text(chosen, mappable, choice, hints.get(mappable.key)) if is_new_hint else "",
            "no_target": mappable.lacks_target,
        })  # fmt: skip
    used = {choice.column for choice in fields.values() if choice.is_synced}
    left = [column for column in chosen.columns.values() if column.id not in {chosen.npd_id, *used}]
    return {
        "chosen": chosen,
        "choices": choices,
        "kind_title": choices.spec.board_title,
        "filter_lines": SyncFilter.parse(choices.sync_filter).lines({one.key: one.label for one in chosen.fields}),
        "npd_id": chosen.columns[chosen.npd_id].title if chosen.npd_id else "",
        "rows": rows,
        "leftover": [(column.title, unused_reason(chosen.fields, column)) for column in left],
        "wrong": [(one.key, one.label, field_errors[one.key]) for one in chosen.fields if one.key in field_errors],
        "first_rules": [(rule.value, rule.label) for rule in FIRST_MATCH_RULES],
    }


def _fitting_columns(
    chosen: ChosenBoard, mappable: MappableField, choice: FieldChoice, samples: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    """The columns that the field may have, as id and label; first the present one, where it is gone."""
    fitting = [
        (column.id, _column_label(column.title, column.type, samples.get(column.id, [])))
        for column in chosen.columns.values()
        if column.id != chosen.npd_id and not column_problem(mappable, column)
    ]
    if choice.column not in {"", NEW_COLUMN, "name", *(column for column, _ in fitting)}:
        column = chosen.columns.get(choice.column)
        title = column.title if column is not None else f"{choice.column}, deleted on the board"
        fitting.insert(0, (choice.column, _column_label(title, column.type if column is not None else "", [])))
    return fitting


def _column_label(title: str, column_type: str, samples: Sequence[str]) -> str:
    """A column by its title, its type and a value: “Work phone (Phone): +49 40 123”."""
    kind = f" ({column_type.replace('_', ' ').capitalize()})" if column_type else ""
    return f"{title}{kind}{f': {samples[0]}' if samples else ''}"


def _hint_text(chosen: ChosenBoard, mappable: MappableField, choice: FieldChoice, hint: Suggestion | None) -> str:
    if choice.column == NEW_COLUMN:
        return second_column_note(chosen, mappable)
    return hint.reason if hint is not None and hint.column == choice.column else ""


_AFTER_RECORD_DELETED = {
    DeletedRecordPolicy.ARCHIVE: "its item is archived",
    DeletedRecordPolicy.DELETE: "its item is deleted",
    DeletedRecordPolicy.UNLINK: "its item stays",
    DeletedRecordPolicy.ASK: "you are asked what becomes of its item",
}
_AFTER_ITEM_REMOVED = {
    RemovedItemPolicy.ASK: "you are asked what becomes of its record",
    RemovedItemPolicy.UNLINK: "its record stays",
    RemovedItemPolicy.DELETE: "its record is deleted",
    RemovedItemPolicy.CREATE: "it is created again",
}


def _policy_sentences(link: BoardLink | None) -> list[str]:
    """What becomes of deletions later, by the policies that the board has or will have."""
    after_record = DeletedRecordPolicy(link.deleted_record_policy) if link is not None else DeletedRecordPolicy.ARCHIVE
    after_item = RemovedItemPolicy(link.removed_item_policy) if link is not None else RemovedItemPolicy.ASK
    return [
        f"If a record is deleted in NPD later, {_AFTER_RECORD_DELETED[after_record]}.",
        f"If an item is deleted on Monday later, {_AFTER_ITEM_REMOVED[after_item]}.",
    ]


def _plan_context(plan: SetupPlan, choices: Mapping[str, Choices]) -> dict[str, Any]:
    share = plan.share_of_day
    return {
        "plan": plan,
        "busy": plan.is_busy,
        "token": plan.token,
        "plans": [_board_plan_context(board, choices[board.entity_type]) for board in plan.plans],
        "share": f" ({share:.1%} of the day's quota)" if share is not None else "",
        "may_start": plan.state == "done" and not any(board.settings_changed for board in plan.plans),
    }


def _board_plan_context(plan: BoardPlan, choices: Choices) -> dict[str, Any]:
    link = choices.link
    leaves = [
        ("unsynced", ("field isn't synced", "fields aren't synced"), plan.unsynced),
        ("columns", ("column isn't synced", "columns aren't synced"), plan.unused),
        *(
            (way, (f"field {where}", f"fields {where.replace('goes', 'go').replace('comes', 'come')}"), labels)
            for way, where in ((SyncDirection.NPD_TO_MONDAY, "goes to Monday only"),
                               (SyncDirection.MONDAY_TO_NPD, "comes from Monday only"))
            if (labels := plan.one_way.get(way))
        ),
    ]  # fmt: skip
    done = plan_rows(plan, DONE_ROWS)
    asked = plan_rows(plan, ASKED_ROWS)
    left = plan_rows(plan, LEFT_ROWS)
    return {
        "plan": plan,
        "done": done,
        "asked": asked,
        "left": left,
        "leaves": [
            (code, humanize.count_with_noun(len(names), *nouns), names) for code, nouns, names in leaves if names
        ],
        "is_same": not (done or asked or left or plan.unsynced or plan.unused),
        "policies": _policy_sentences(link),
        "is_new": link is None,
        "missing": [registry.count_of_type(len(names), kind) for kind, names in plan.missing.items() if names],
        "missing_names": [name for names in plan.missing.values() for name in names[:3]],
        "first_match": first_match_text(choices.first_match),
    }


def _run_context() -> dict[str, Any]:
    """How far everything is that was started."""
    kinds = run.setup_progress()
    return {
        "kinds": [
            {"progress": one, "out_url": records_url(registry.entity(one.entity_type), RecordState.OFF.value)}
            for one in kinds
        ],
        "busy": any(one.is_busy for one in kinds),
        "running": any(one.state == run.RUNNING for one in kinds),
        "is_done": bool(kinds) and not any(one.is_busy or one.state == run.STOPPED for one in kinds),
        "stalled": any(one.is_stalled for one in kinds),
    }


_TITLES = {FilterSide.RECORD: "Records in NPD", FilterSide.ITEM: "Items on Monday"}
_INTROS = {
    FilterSide.RECORD: "A record is synced if it meets all these conditions. Without a condition, every record is.",
    FilterSide.ITEM: "An item is synced if it meets all these conditions. Without a condition, every item is.",
}


def _side_context(
    side: FilterSide, offered: Sequence[FilterableField], rows: Sequence[FilterRow], problems: Mapping[int, str]
) -> dict[str, Any]:
    filled = [(row, problems.get(number, "")) for number, row in enumerate(rows) if not row.is_empty]
    return {
        "name": side.value,
        "title": _TITLES[side],
        "intro": _INTROS[side],
        "fields": offered,
        "ops": [(op.value, op.label) for op in FilterOp],
        "rows": [{"row": row, "error": error} for row, error in (*filled, (FilterRow(), ""))],
    }


# The pages.


class SetupWizardMixin(ConnectionPagesMixin):
    """Adds the set-up to the admin of board links."""

    actions_list: tuple[str, ...] = ("set_up",)

    def has_set_up_permission(self, request: HttpRequest) -> bool:
        """Whoever may change boards and their mappings."""
        return may_set_up(request.user)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Set up…", url_path="begin-set-up", permissions=["set_up"], icon="auto_fix_high"
    )
    def set_up(self, request: HttpRequest) -> HttpResponse:
        """Lead to the first page."""
        return _redirect_to("connect" if may_see_connection(request.user) else "boards")

    def get_urls(self) -> list[URLPattern]:
        steps: list[tuple[str, str, View]] = [
            ("", "connect", self.wizard_connect),
            ("boards/", "boards", self.wizard_boards),
            ("fields/<str:entity_type>/", "fields", self.wizard_fields),
            ("filter/<str:entity_type>/", "filter", self.wizard_filter),
            ("change/<str:entity_type>/", "change", require_POST(self.wizard_change)),
            ("discard/", "discard", require_POST(self.wizard_discard)),
            ("plan/", "plan", self.wizard_plan),
            ("run/", "run", require_GET(self.wizard_run)),
            ("progress/<str:step>/", "progress", require_GET(self.wizard_progress)),
        ]
        return [
            *(
                path(f"set-up/{end}", self.admin_site.admin_view(self._guard(name, view)), name=f"sync_wizard_{name}")
                for end, name, view in steps
            ),
            *super().get_urls(),
        ]

    def _guard(self, step: str, view: View) -> View:
        """The view, for those who may."""

        def guarded(request: HttpRequest, **kwargs: str) -> HttpResponse:
            is_connection = step == "connect"
            if is_connection and not may_see_connection(request.user):
                raise PermissionDenied
            if not (is_connection and request.method != "POST") and not may_set_up(request.user):
                raise PermissionDenied
            entity_type = kwargs.get("entity_type")
            if entity_type is not None and not registry.is_registered(entity_type):
                raise Http404("There are no records of that kind.")
            return view(request, **kwargs)

        return guarded

    def _page(self, request: HttpRequest, step: str, context: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        chosen = chosen_in(request)
        first = next(iter(chosen), "")
        is_mapped = bool(chosen) and all(one.is_mapped for one in chosen.values())
        rows = [
            ("connect", "Token", step_url("connect"), may_see_connection(request.user)),
            ("boards", "Boards", step_url("boards"), credentials.is_configured()),
            ("fields", "Fields", step_url("fields", first) if first else "", bool(first)),
            ("plan", "Plan", step_url("plan"), is_mapped),
        ]
        here = "plan" if step == "run" else _SHOWN_AS.get(step, step)
        is_for_steps = may_set_up(request.user)  # others see the connection alone
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Set up the sync",
            "page_name": "Set up",
            "steps": [
                {"label": label, "url": url if is_open and name != step else "", "here": name == here}
                for name, label, url, is_open in (rows if is_for_steps else ())
            ],
            **context,
        }
        return TemplateResponse(request, f"sync/wizard_{step}.html", common, status=status)

    def wizard_boards(self, request: HttpRequest) -> HttpResponse:
        """A board for each kind of records."""
        if not credentials.is_configured():
            return _redirect_to("connect")
        params = request.POST if "search" in request.POST else request.GET
        term = "" if params.get("search") == "all" else params.get("q", "")[:100]
        if request.method == "POST" and "search" not in request.POST:
            selected = {spec.entity_type: request.POST.get(spec.entity_type, "") for spec in registry.entities()}
            try:
                chosen = setup.choose_boards(selected, chosen_in(request))
            except (ActionError, MondayError) as error:
                messages.error(request, error_sentence(error))
            else:
                keep_choices(request, chosen)
                return _redirect_to("fields", next(iter(chosen_in(request))))
        return self._page(request, "boards", {**_boards_context(request, term), "term": term})

    def wizard_change(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Begin a change of a board that is set up."""
        try:
            keep_choices(request, {entity_type: setup.begin_change(entity_type)})
        except (ActionError, MondayError) as error:
            messages.error(request, error_sentence(error))
            return _redirect_to("boards")
        return _redirect_to("fields", entity_type)

    def wizard_discard(self, request: HttpRequest) -> HttpResponse:
        request.session.pop(SESSION_KEY, None)
        messages.success(request, "What you had chosen is discarded. What is synced now stays as it is.")
        return _redirect_to("boards")

    def wizard_fields(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """A column, a direction and a rule for each field."""
        choices = chosen_in(request).get(entity_type)
        if choices is None:
            messages.warning(request, "Choose the board of these records first.")
            return _redirect_to("boards")
        fields = dict(choices.fields)
        problems: Mapping[str, Sequence[str]] = {}
        if request.method == "POST":
            fields = _sent_fields(request, choices)
            store_region(request)
            choices = replace(choices, fields=fields, **_sent_options(request))
            if BACK in request.POST:
                _keep(request, choices)
                return _back_from_fields(request, entity_type)
        try:
            chosen = _read(request, choices)
            if request.method == "POST":
                problems = chosen.problems(fields)
                if not problems:
                    _keep(request, replace(choices, is_mapped=True, board_name=chosen.choices.board_name))
                    return _redirect_to("filter", entity_type) if FILTER in request.POST else _after_fields(request)
            context = _fields_context(chosen, fields, problems) | region_context(request.user)
        except (ActionError, MondayError) as error:
            messages.error(request, error_sentence(error))
            return _redirect_to("boards")
        return self._page(request, "fields", context)

    def wizard_filter(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Show the conditions of both sides; on POST, keep them, or show one more row."""
        choices = chosen_in(request).get(entity_type)
        if choices is None or not choices.is_mapped:
            return _redirect_to("fields", entity_type)
        try:
            chosen = _read(request, choices)
        except (ActionError, MondayError) as error:
            messages.error(request, error_sentence(error))
            return _redirect_to("boards")
        rows: Mapping[FilterSide, Sequence[FilterRow]] | None = None
        problems: Mapping[FilterSide, Mapping[int, str]] = {}
        if request.method == "POST":
            rows = {side: _sent_rows(request, side) for side in FilterSide}
            if ADD not in request.POST:
                sync_filter, problems = filter_of_rows(chosen, rows)
                if not problems:
                    _keep(request, replace(choices, sync_filter=sync_filter.to_json()))
                    return _redirect_to("fields", entity_type) if BACK in request.POST else _after_fields(request)
        offered = filterable_fields(chosen)
        shown = rows_of(chosen, offered) if rows is None else rows
        context = {
            "kind_title": choices.spec.board_title,
            "sides": [_side_context(side, offered[side], shown[side], problems.get(side, {})) for side in FilterSide],
            "wrong": bool(problems),
        }
        return self._page(request, "filter", context)

    def wizard_plan(self, request: HttpRequest) -> HttpResponse:
        """What would be done, and its price; on POST, let it be done."""
        choices = chosen_in(request)
        if not choices:
            return _redirect_to("run")
        unmapped = [key for key, one in choices.items() if not one.is_mapped]
        if unmapped:
            return _redirect_to("fields", unmapped[0])
        if request.method == "POST":
            return self._plan_sent(request, choices)
        plan = request_plan(plan_token(choices), choices.values())
        return self._page(request, "plan", _plan_context(plan, choices))

    @staticmethod
    def _plan_sent(request: HttpRequest, choices: Mapping[str, Choices]) -> HttpResponse:
        """Make the plan again, with new ones created all the same, or start it as it was shown."""
        token = plan_token(choices)
        if "anew" in request.POST:
            if throttle_text := monday_throttle_reason(request):
                messages.warning(request, f"Nothing is compared: {throttle_text}")
            else:
                choices = _begun_anew(choices)
                keep_choices(request, choices)
                request_plan(plan_token(choices), choices.values(), anew=True)
            return _redirect_to("plan")
        if (kind := request.POST.get("create_all", "")) in choices:
            _keep(request, replace(choices[kind], creates_all=True))
            return _redirect_to("plan")
        try:
            plan = stored_plan(token)
            if plan is None or request.POST.get(SHOWN_PLAN) != token:
                raise Conflict(
                    "The plan has changed since your page was opened, so nothing was begun. Look at it again."
                )
            wanted = [replace(one, makes_related=f"related-{key}" in request.POST) for key, one in choices.items()]
            run.start(_request_user(request), [_read(request, one) for one in wanted], plan)
        except (ActionError, MondayError) as error:
            messages.warning(request, error_sentence(error))
            keep_choices(request, _begun_anew(choices))
            return _redirect_to("plan")
        request.session.pop(SESSION_KEY, None)
        return _redirect_to("run")

    def wizard_run(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, "run", {**_run_context(), "progress_url": step_url("progress", "run")})

    def wizard_progress(self, request: HttpRequest, step: str) -> HttpResponse:
        """How far a worker is, for a page that asks each second; reloads the page once it is done."""
        if step == "plan":
            choices = chosen_in(request)
            plan = request_plan(plan_token(choices), choices.values()) if choices else None
            context = {"plan": plan, "busy": plan is not None and plan.is_busy}
        else:
            context = _run_context()
        answered = TemplateResponse(
            request, "sync/wizard_progress.html", context | {"progress_url": request.get_full_path()}
        )
        if not context["busy"] or (step == "run" and not context["running"] and "applying" in request.GET):
            answered.headers["HX-Refresh"] = "true"
        return answered


def _begun_anew(choices: Mapping[str, Choices]) -> dict[str, Choices]:
    """The choices on top of the boards' settings as they are now: the plan says what it would change of them."""
    return {key: replace(one, begun=setup.board_settings(one.link)) for key, one in choices.items()}


def _after_fields(request: HttpRequest) -> HttpResponse:
    """Lead to the next kind of records that isn't mapped; after the last, to the plan."""
    unmapped = [key for key, one in chosen_in(request).items() if not one.is_mapped]
    return _redirect_to("fields", unmapped[0]) if unmapped else _redirect_to("plan")


def _back_from_fields(request: HttpRequest, entity_type: str) -> HttpResponse:
    kinds = list(chosen_in(request))
    place = kinds.index(entity_type)
    return _redirect_to("fields", kinds[place - 1]) if place else _redirect_to("boards")


def _sent_fields(request: HttpRequest, choices: Choices) -> dict[str, FieldChoice]:
    sent = {
        mapping.key: FieldChoice(
            "name" if mapping.converter == "name" else request.POST.get(f"column-{mapping.key}", "")[:50],
            request.POST.get(f"direction-{mapping.key}", "")[:20],
            request.POST.get(f"rule-{mapping.key}", "")[:20],
        )
        for mapping in choices.spec.mappings
    }
    return {key: choice.with_implied_direction() for key, choice in sent.items()}


def _sent_options(request: HttpRequest) -> dict[str, Any]:
    if "first_match" not in request.POST:
        return {}
    first_match = request.POST["first_match"]
    allowed = {rule.value for rule in FIRST_MATCH_RULES}
    return {
        "first_match": first_match if first_match in allowed else FIRST_MATCH_RULES[0],
        "creates_records": "creates_records" in request.POST,
    }


def _sent_rows(request: HttpRequest, side: FilterSide) -> list[FilterRow]:
    sent = [request.POST.getlist(f"{side}-{part}")[: MAX_CONDITIONS + 1] for part in ("field", "op", "text")]
    return [FilterRow(field[:50], op[:20], text[:20_000]) for field, op, text in zip(*sent, strict=False)]
