"""The pages of a set-up: connect, boards, map, match, plan, run; and changes of a mapping that are previewed before
they are applied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
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
from sync.admin.board_cards import health_url
from sync.admin.connection_pages import ConnectionPagesMixin, View, may_see_connection, region_context, store_region
from sync.api.callers import monday_throttle_reason
from sync.boards.mapping import deleted_column_label
from sync.boards.sync_filter import MAX_CONDITIONS, FilterOp, FilterSide, SyncFilter
from sync.choices import DeletedRecordPolicy, RemovedItemPolicy, Rule, SyncDirection
from sync.clock import sync_now
from sync.connectors.base.errors import ConnectorError
from sync.kernel import humanize
from sync.kernel.messages import ActionError, Conflict
from sync.limits import credentials
from sync.models import BoardLink, SetupDraft, SetupState
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from sync.operations.setup.draft import draft_of, link_of_draft, npd_id_column_of, open_drafts
from sync.operations.setup.fields import (
    NEW_COLUMN,
    SAMPLED_RECORDS,
    ColumnSuggestion,
    DraftColumn,
    FieldChoice,
    MappableField,
    column_problem,
    find_npd_id_column,
    mappable_fields,
    paired_samples,
    parse_choices,
    record_samples,
    suggest_columns,
    unused_reason,
)
from sync.operations.setup.filter_choice import FilterableField, FilterRow, filter_of_rows, filterable_fields, rows_of
from sync.registry import configured_board_id, link_of
from sync.state.record_view import RecordState


def step_url(step: str, *args: str) -> str:
    return reverse(f"admin:sync_wizard_{step}", args=args)


def _redirect_to(step: str, *args: str) -> HttpResponse:
    return HttpResponseRedirect(step_url(step, *args))


def _request_user(request: HttpRequest) -> User:
    return cast("User", request.user)


def error_sentence(error: Exception) -> str:
    return humanize.without_request_id(error.sentence) if isinstance(error, ConnectorError) else str(error)


def _begun_draft(request: HttpRequest, entity_type: str) -> SetupDraft | HttpResponse:
    """The set-up whose choices are still open, else where to go instead."""
    draft = draft_of(entity_type)
    if draft is None or draft.state == SetupState.DONE:
        messages.warning(request, "There is no set-up of these records yet. Choose their board first.")
        return _redirect_to("boards")
    return _redirect_to("run") if draft.state == SetupState.RUNNING else draft


def _title(draft: SetupDraft) -> str:
    return registry.entity(draft.entity_type).board_title


# What the pages show, as words and rows of tables.


PAIRS_PER_PAGE, MOST_PAIRS = 20, 500
"""Pairs of like names that a page shows at once, answered ones making room for others; and where all are asked for."""

# A worker takes a draft within seconds; after this its page says that none seems to run.
STALLED_SECONDS = 20


def _boards_context(term: str, posted: Mapping[str, str]) -> dict[str, Any]:
    """The boards of the account, for each kind of records; why they can't be told, where they can't."""
    try:
        listed, complete = drafts.available_boards(term)
        problem = ""
    except ConnectorError as error:
        listed, complete, problem = [], True, error_sentence(error)
    kinds = []
    for spec in registry.entities():
        kind, draft, link = spec.entity_type, draft_of(spec.entity_type), link_of(spec.entity_type)
        present, name = link.board_id if link is not None else "", ""
        if draft is not None and draft.state != SetupState.DONE:
            present, name = draft.board_id or drafts.NEW_BOARD, draft.board_name
        present = posted.get(kind, present or configured_board_id(kind) or drafts.NEW_BOARD)
        options = [(one.id, one.name, one.items) for one in listed]
        if present not in {"", drafts.NEW_BOARD, *(one[0] for one in options)}:
            options.insert(0, (present, name or f"board {present}", None))
        kinds.append({
            "kind": kind,
            "title": spec.board_title,
            "present": present,
            "options": options,
            "is_named": bool(configured_board_id(kind)),
            "set_up": link is not None and bool(link.board_id),
        })  # fmt: skip
    return {"kinds": kinds, "complete": complete, "listed": len(listed), "why_none": problem}


def _mapping_context(
    draft: SetupDraft, chosen: Mapping[str, FieldChoice], field_errors: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The fields with what each may have, what both sides say now, and the columns that no field can have."""
    fields, npd_id, link = mappable_fields(draft.entity_type), npd_id_column_of(draft), link_of_draft(draft)
    hints = suggest_columns(fields, draft.columns, npd_id)
    sampled: list[str] = next((details["records"] for details in draft.columns.values() if details.get("records")), [])
    item_names: list[str] = next((details["names"] for details in draft.columns.values() if details.get("names")), [])
    names, pairs = paired_samples(draft.entity_type, fields, sampled)
    samples = {} if sampled else record_samples(draft.entity_type, fields)
    columns = {column: details for column, details in draft.columns.items() if column != npd_id}
    mapped = set(link.mappings.values_list("key", flat=True)) if link is not None else set()
    used = {one.column for one in chosen.values() if one.is_synced}
    useless = {column: unused_reason(fields, details) for column, details in columns.items()}
    rows = []
    for one in fields:
        choice, hint = chosen.get(one.key, FieldChoice()), hints.get(one.key)
        is_suggested = hint is not None and not draft.mapped and one.key not in mapped and hint.column == choice.column
        rows.append({
            "field": one,
            "choice": choice,
            "columns": (fitting := _fitting_columns(one, choice, columns, link)),
            "directions": SyncDirection.choices,
            "rules": [(rule.value, rule.label) for rule in one.rules],
            "monday": (monday := next((texts for column, _t, _k, texts, _ in fitting if column == choice.column), [])),
            "npd": samples.get(one.key, []),
            "pairs": [
                *zip_longest(names, pairs[one.key], item_names if one.is_name else monday, fillvalue="")
            ] if sampled else [],
            "errors": field_errors.get(one.key, []),
            "hint": _hint_text(hint) if hint is not None and is_suggested else "",
        })  # fmt: skip
    return {
        "draft": draft,
        "kind_title": _title(draft),
        "filter_lines": _filter_lines(draft),
        "sampled": names,
        "newest": SAMPLED_RECORDS if draft.board_id and _has_more_than_sampled(draft.entity_type) else 0,
        "match_label": next((one.label for one in fields if one.is_match_key), ""),
        "npd_id": draft.columns[npd_id]["title"] if npd_id else "",
        "rows": rows,
        "useless": [(columns[column]["title"], reason) for column, reason in useless.items() if reason],
        "unused": [columns[c]["title"] for c, reason in useless.items() if c not in used and not reason],
        "wrong": [(one.key, one.label, field_errors[one.key]) for one in fields if one.key in field_errors],
    }


def _filter_lines(draft: SetupDraft) -> list[str]:
    labels = {one.key: one.label for one in registry.entity(draft.entity_type).mappings}
    return SyncFilter.parse(draft.sync_filter).lines(labels)


def _has_more_than_sampled(entity_type: str) -> bool:
    return registry.entity(entity_type).model._default_manager.order_by()[SAMPLED_RECORDS:].exists()


def _fitting_columns(
    one: MappableField, choice: FieldChoice, columns: Mapping[str, DraftColumn], link: BoardLink | None
) -> list[tuple[str, str, str, list[str], str]]:
    """The columns that the field may have, with title, type and samples; first the present one, where it is gone."""
    fitting = [
        (column, details["title"], details["type"], details["samples"], json.dumps(details["samples"]))
        for column, details in columns.items()
        if not column_problem(one, details)
    ]
    if choice.column not in {"", NEW_COLUMN, "name", *(column for column, *_ in fitting)}:
        unfit = columns.get(choice.column, {"title": deleted_column_label(link, choice.column), "type": ""})
        fitting.insert(0, (choice.column, unfit["title"], unfit["type"], [], "[]"))
    return fitting


def _hint_text(hint: ColumnSuggestion) -> str:
    if hint.column in (NEW_COLUMN, "name"):
        return ""
    if hint.alike is None:
        return "Suggested: the only column of its type."
    if hint.has_other_title:
        return "Suggested: the title is another name for it."
    return f"Suggested: the titles are {'the same' if hint.alike == 100 else 'nearly the same'}."


_DONE_ICONS = {"linked": "link", "link": "add_link", "create": "add_circle", "from_items": "person_add"}
"""Of what the comparison found and the run does; all else needs a look."""


def _matching_context(found: Sequence[SetupDraft], all_pairs: bool = False) -> dict[str, Any]:
    kinds = []
    for draft in found:
        pairs, open_ = draft.found.get("near", []), plan.unanswered_pairs(draft)
        kinds.append({
            "draft": draft,
            "title": _title(draft),
            "rows": [(row, _DONE_ICONS.get(row.code, "")) for row in plan.rows_of(draft, plan.MATCH_ROWS)],
            "near": [
                {**one, "answer": plan.answer_of(draft, one) or drafts.ANSWER_OUT}
                for one in (pairs[:MOST_PAIRS] if all_pairs else open_[:PAIRS_PER_PAGE] or pairs[:PAIRS_PER_PAGE])
            ],
            "near_count": len(pairs),
            "open": len(open_),
            "free": plan.unmatched_count(draft),
            "keyless": plan.keyless_count(draft),
            "rules": [(rule.value, rule.label) for rule in drafts.FIRST_MATCH_RULES],
            "least": drafts.MIN_NAME_SCORE,
            "most": drafts.MAX_NAME_SCORE,
            "NEW": drafts.ANSWER_NEW,
            "OUT": drafts.ANSWER_OUT,
        })  # fmt: skip
    return {
        "kinds": kinds,
        "busy": any(draft.state == SetupState.COMPARING for draft in found),
        "compared": any(draft.state == SetupState.COMPARED for draft in found),
        "stalled": _is_stalled(found),
    }


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
    deleted_record_policy = (
        DeletedRecordPolicy(link.deleted_record_policy) if link is not None else DeletedRecordPolicy.ARCHIVE
    )
    removed_item_policy = RemovedItemPolicy(link.removed_item_policy) if link is not None else RemovedItemPolicy.ASK
    return [
        f"If a record is deleted in NPD later, {_AFTER_RECORD_DELETED[deleted_record_policy]}.",
        f"If an item is deleted on Monday later, {_AFTER_ITEM_REMOVED[removed_item_policy]}.",
    ]


def _plan_context() -> dict[str, Any]:
    """What would be done, with its price; of set-ups whose fields nobody has mapped yet, that."""
    all_drafts = open_drafts()
    found = [draft for draft in all_drafts if draft.mapped]
    cost = plan.plan_cost([draft for draft in found if draft.state == SetupState.COMPARED])
    plans = []
    for draft in found:
        chosen, fields, link = parse_choices(draft.fields), mappable_fields(draft.entity_type), link_of_draft(draft)
        npd_id = find_npd_id_column(link, draft.columns)
        made = [one for one in fields if (choice := chosen.get(one.key)) is not None
                and choice.is_synced and choice.column == NEW_COLUMN]  # fmt: skip
        plans.append({
            "draft": draft,
            "title": _title(draft),
            "does": (does := plan.plan_of(draft, fields, npd_id)),
            "leaves": [
                (code, humanize.count_with_noun(len(names), *nouns), names)
                for code, nouns, names in (
                    ("unsynced", ("field isn't synced", "fields aren't synced"), does.unsynced),
                    ("columns", ("column isn't synced", "columns aren't synced"), does.columns),
                    ("to_monday", ("field goes to Monday only", "fields go to Monday only"), does.to_monday),
                    ("to_npd", ("field comes from Monday only", "fields come from Monday only"), does.to_npd),
                )
                if names
            ],
            "policies": _policy_sentences(link),
            "made": [one.label for one in made] + ([] if npd_id else ["NPD ID"]),
            "changes": drafts.mapping_changes_of(draft),
            "filter_lines": _filter_lines(draft),
            "new": link is None,
            "first_match": "you are asked" if draft.first_match == Rule.ASK else Rule(draft.first_match).label,
        })  # fmt: skip
    return {
        **_matching_context(found),
        "unmapped": [{"draft": draft, "title": _title(draft)} for draft in all_drafts if not draft.mapped],
        "several": len(found) > 1,
        "plans": plans,
        "price": cost,
        "share": f" ({cost.share_of_day:.1%} of the day's quota)" if cost.share_of_day is not None else "",
    }


def _run_context() -> dict[str, Any]:
    """How far everything is that was confirmed, and what came of the last run; also of one that stopped."""
    order = [spec.entity_type for spec in registry.entities()]
    rows = [
        draft
        for draft in SetupDraft.objects.filter(entity_type__in=order)
        if draft.state in (SetupState.RUNNING, SetupState.DONE)
        or (draft.state == SetupState.DRAFT and draft.problem and "by" in draft.outcome)
    ]
    kinds = [
        replace(
            plan.setup_progress(draft), out_url=health_url(registry.entity(draft.entity_type), RecordState.OFF.value)
        )
        for draft in sorted(rows, key=lambda draft: order.index(draft.entity_type))
    ]
    return {
        "kinds": kinds,
        "busy": any(one.busy for one in kinds),
        "running": any(draft.state == SetupState.RUNNING for draft in rows),
        "is_done": bool(kinds) and not any(one.busy or one.is_stopped for one in kinds),
        "stalled": _is_stalled(rows),
    }


def _is_stalled(found: Sequence[SetupDraft]) -> bool:
    waiting = [d for d in found if d.state in (SetupState.COMPARING, SetupState.RUNNING) and d.token is None]
    now = sync_now()
    return any((now - d.changed_at).total_seconds() > STALLED_SECONDS for d in waiting)


def _show_current_columns(request: HttpRequest, draft: SetupDraft) -> None:
    """Put the board's present columns on the draft in memory: renamed, gone, of another type. Keeps nothing."""
    try:
        read = drafts.read_columns(draft)
    except (ActionError, ConnectorError) as error:
        messages.warning(request, f"The columns are those that were read last: {error_sentence(error)}")
        return
    if read is None:
        return
    affected = drafts.has_column_changes(draft, read[0])
    draft.columns, draft.board_name, draft.groups = read
    if affected and request.method == "GET":
        messages.warning(
            request, "The board has changed: a column that was chosen was deleted or has another type. Choose again."
        )


ADD = "add"
"""The button that shows one more row of a side, which is its value; nothing is stored then."""

_TITLES = {FilterSide.RECORD: "Records in NPD", FilterSide.ITEM: "Items on Monday"}
_INTROS = {
    FilterSide.RECORD: "A record is synced if it meets all these conditions. Without a condition, every record is.",
    FilterSide.ITEM: "An item is synced if it meets all these conditions. Without a condition, every item is.",
}

BACK = "back"
"""The button that leads to the page before; what the form holds is stored as by the one that leads on."""

GO = "go"
"""Names the buttons of the match page's one form, by where they lead; without one it is only stored."""

RUNNING_PARAM, ALL_PAIRS = "running", "pairs"
VERSION = "version"
"""Names the field of a form with the version of the set-up that its page showed."""

_SHOWN_AS = {"filter": "map"}
"""Pages that are part of another step."""


class SetupWizardMixin(ConnectionPagesMixin):
    """Adds the wizard to the admin of board links."""

    actions_list: tuple[str, ...] = ("set_up",)

    def has_set_up_permission(self, request: HttpRequest) -> bool:
        """Whoever may change boards and their mappings."""
        return drafts.may_set_up(request.user)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Set up…", url_path="begin-set-up", permissions=["set_up"], icon="auto_fix_high"
    )
    def set_up(self, request: HttpRequest) -> HttpResponse:
        """Lead to the wizard's first page."""
        return _redirect_to("connect" if may_see_connection(request.user) else "boards")

    def get_urls(self) -> list[URLPattern]:
        steps: list[tuple[str, str, View]] = [
            ("", "connect", self.wizard_connect),
            ("boards/", "boards", self.wizard_boards),
            ("map/<str:entity_type>/", "map", self.wizard_map),
            ("filter/<str:entity_type>/", "filter", self.wizard_filter),
            ("change/<str:entity_type>/", "change", require_POST(self.wizard_change)),
            ("discard/<str:entity_type>/", "discard", require_POST(self.wizard_discard)),
            ("match/", "match", self.wizard_match),
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
            if not (is_connection and request.method != "POST") and not drafts.may_set_up(request.user):
                raise PermissionDenied
            entity_type = kwargs.get("entity_type")
            if entity_type is not None and entity_type not in {spec.entity_type for spec in registry.entities()}:
                raise Http404("There are no records of that kind.")
            return view(request, **kwargs)

        return guarded

    def _page(self, request: HttpRequest, step: str, context: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        found = open_drafts()
        mapped = any(draft.mapped for draft in found)
        running = any(draft.state == SetupState.RUNNING for draft in found)
        first = found[0].entity_type if found else ""
        has_run = running or SetupDraft.objects.filter(state=SetupState.DONE).exists()
        is_for_steps = drafts.may_set_up(request.user)  # others see the connection alone
        rows = [
            ("connect", "Connect", step_url("connect"), may_see_connection(request.user)),
            ("boards", "Boards", step_url("boards"), credentials.is_configured() and not running),
            ("map", "Map", step_url("map", first) if first else "", bool(first) and not running),
            ("match", "Match", step_url("match"), mapped and not running),
            ("plan", "Plan", step_url("plan"), mapped and not running),
            ("run", "Run", step_url("run"), has_run),
        ]
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Set up the sync",
            "page_name": "Set up",
            "steps": [
                {
                    "label": label,
                    "url": url if open_ and name != step else "",
                    "here": name == _SHOWN_AS.get(step, step),
                }
                for name, label, url, open_ in (rows if is_for_steps else ())
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
            choices = {spec.entity_type: request.POST.get(spec.entity_type, "") for spec in registry.entities()}
            try:
                drafts.choose_boards(_request_user(request), choices)
            except (ActionError, ConnectorError) as error:
                messages.error(request, error_sentence(error))
            else:
                return _redirect_to("map", open_drafts()[0].entity_type)
        return self._page(request, "boards", {**_boards_context(term, request.POST), "term": term})

    def wizard_change(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        try:
            drafts.begin_change(_request_user(request), entity_type)
        except Conflict as begun:
            messages.warning(request, str(begun))
        except (ActionError, ConnectorError) as error:
            messages.error(request, error_sentence(error))
            return _redirect_to("boards")
        return _redirect_to("map", entity_type)

    def wizard_discard(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        try:
            drafts.discard_draft(_request_user(request), entity_type, version=request.POST.get(VERSION))
        except Conflict as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, "The set-up was discarded. What is synced now stays as it is.")
        return _redirect_to("plan") if any(draft.mapped for draft in open_drafts()) else _redirect_to("boards")

    def wizard_map(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """A column, a direction and a rule for each field."""
        draft = _begun_draft(request, entity_type)
        if isinstance(draft, HttpResponse):
            return draft
        chosen, problems = parse_choices(draft.fields), {}
        _show_current_columns(request, draft)
        if request.method == "POST":
            chosen, is_back = _sent_choices(request, entity_type), BACK in request.POST
            store_region(request)
            try:
                problems = drafts.choose_fields(
                    _request_user(request), entity_type, chosen, draft.columns,
                    version=request.POST.get(VERSION), is_done=not is_back,
                )  # fmt: skip
            except Conflict as moved:
                messages.warning(request, str(moved))
                return _redirect_to("map", entity_type)
            if is_back:
                kinds = [draft.entity_type for draft in open_drafts()]
                at = kinds.index(entity_type) if entity_type in kinds else 0
                for sentences in problems.values():
                    messages.warning(request, f"Not saved: {' '.join(sentences)}")
                return _redirect_to("map", kinds[at - 1]) if at else _redirect_to("boards")
            if not problems:
                return _redirect_to("filter", entity_type) if "filter" in request.POST else _next_after_map()
        context = _mapping_context(draft, chosen, problems) | region_context(request.user)
        return self._page(request, "map", context)

    def wizard_filter(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Show the conditions of both sides; on POST, store them, or show one more row."""
        draft = _begun_draft(request, entity_type)
        if isinstance(draft, HttpResponse):
            return draft
        if not draft.mapped:
            return _redirect_to("map", entity_type)
        rows: Mapping[FilterSide, Sequence[FilterRow]] | None = None
        problems: Mapping[FilterSide, Mapping[int, str]] = {}
        if request.method == "POST":
            rows = {side: _sent_rows(request, side) for side in FilterSide}
            if ADD not in request.POST:
                chosen, problems = filter_of_rows(draft, rows)
                if BACK in request.POST and problems:
                    for sentences in problems.values():
                        messages.warning(request, f"Not saved: {' '.join(sentences.values())}")
                    return _redirect_to("map", entity_type)
                if not problems:
                    return _store_filter(request, draft, chosen)
        offered = filterable_fields(draft)
        shown = rows_of(draft, offered) if rows is None else rows
        context = {
            "draft": draft,
            "kind_title": _title(draft),
            "version": request.POST.get(VERSION) or draft.version,
            "sides": [_side_context(side, offered[side], shown[side], problems.get(side, {})) for side in FilterSide],
            "wrong": bool(problems),
        }
        return self._page(request, "filter", context)

    def wizard_match(self, request: HttpRequest) -> HttpResponse:
        """Which records and items belong together; on POST, store what was chosen."""
        all_drafts = open_drafts()
        found = [draft for draft in all_drafts if draft.mapped]
        if not found:
            messages.warning(request, "Map the fields first; then both sides can be compared.")
            return _redirect_to("map", all_drafts[0].entity_type) if all_drafts else _redirect_to("boards")
        if any(draft.state == SetupState.RUNNING for draft in found):
            return _redirect_to("run")
        if request.method == "POST":
            return self._matching_sent(request, found)
        return self._page(request, "match", _matching_context(found, ALL_PAIRS in request.GET))

    def _matching_sent(self, request: HttpRequest, found: Sequence[SetupDraft]) -> HttpResponse:
        """Store all that the match page's form holds, and lead where its button says."""
        asked = request.POST.get(GO, "")
        is_stored = _store_matching(request, found)
        if asked == BACK:
            return _redirect_to("map", found[-1].entity_type)
        if asked == "compare" and is_stored:
            try:
                if throttle_text := monday_throttle_reason(request):
                    raise Conflict(f"Nothing is compared: {throttle_text}")
                plan.compare_again(_request_user(request))
            except Conflict as error:
                messages.warning(request, str(error))
        else:
            plan.compare_if_due()
        return _redirect_to("plan" if asked == "plan" and is_stored else "match")

    def wizard_plan(self, request: HttpRequest) -> HttpResponse:
        """What would be done, and its price; on POST, let it be done."""
        if request.method == "POST":
            form: Mapping[str, str] = request.POST
            seen = {key.removeprefix("plan-"): one for key, one in form.items() if key.startswith("plan-")}
            try:
                plan.confirm_setup(_request_user(request), seen)
            except ActionError as error:
                messages.warning(request, str(error))
                plan.compare_if_due()
            return _redirect_to("run") if _has_running_setup() else _redirect_to("plan")
        if not any(draft.mapped for draft in open_drafts()):
            return _redirect_to("match")
        if _has_running_setup():
            return _redirect_to("run")
        plan.compare_if_due()
        return self._page(request, "plan", _plan_context())

    def wizard_run(self, request: HttpRequest) -> HttpResponse:
        context = _run_context()
        return self._page(request, "run", {**context, "progress_url": _progress_url("run", context)})

    def wizard_progress(self, request: HttpRequest, step: str) -> HttpResponse:
        """How far a worker is, for a page that asks each second; reloads the page where its heading would be wrong."""
        context = _run_context() if step == "run" else _matching_context(open_drafts())
        context["progress_url"] = _progress_url(step, context)
        answered = TemplateResponse(request, "sync/wizard_progress.html", context)
        was_running = RUNNING_PARAM in request.GET
        if not context["busy"] or was_running != bool(context.get("running")):
            answered.headers["HX-Refresh"] = "true"
        return answered


def _store_filter(request: HttpRequest, draft: SetupDraft, chosen: SyncFilter) -> HttpResponse:
    try:
        drafts.choose_filter(_request_user(request), draft.entity_type, chosen, version=request.POST.get(VERSION))
    except Conflict as changed:
        messages.warning(request, str(changed))
        return HttpResponseRedirect(request.path)
    return _redirect_to("map", draft.entity_type) if BACK in request.POST else _next_after_map()


def _next_after_map() -> HttpResponse:
    """Lead to the next kind of records that isn't mapped; after the last, have both sides compared."""
    if unmapped := [one for one in open_drafts() if not one.mapped]:
        return _redirect_to("map", unmapped[0].entity_type)
    plan.compare_if_due()
    return _redirect_to("match")


def _sent_rows(request: HttpRequest, side: FilterSide) -> list[FilterRow]:
    sent = [request.POST.getlist(f"{side}-{part}")[: MAX_CONDITIONS + 1] for part in ("field", "op", "text")]
    return [FilterRow(field[:50], op[:20], text[:20_000]) for field, op, text in zip(*sent, strict=False)]


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


def _progress_url(step: str, context: Mapping[str, Any]) -> str:
    """Where a page asks how far it is; it says whether it was shown while a set-up was still being applied."""
    return step_url("progress", step) + (f"?{RUNNING_PARAM}=1" if context.get("running") else "")


def _has_running_setup() -> bool:
    return SetupDraft.objects.filter(state=SetupState.RUNNING).exists()


def _store_matching(request: HttpRequest, found: Sequence[SetupDraft]) -> bool:
    """Store how each kind is matched and the answers about like names; whether nothing of it was refused.

    "Not now" about a pair that nobody has answered is no answer, unless a button was for the answers.
    """
    form: Mapping[str, str] = request.POST
    is_stored, of_answers = True, form.get(GO) == "answers"
    for draft in found:
        kind = draft.entity_type
        # One button answers for all pairs of its kind that were shown.
        is_for_all = kind in (form.get("same"), form.get("different"))
        prefix = "item-" if is_for_all else "answer-"
        answers = {key.removeprefix(prefix): one for key, one in form.items() if key.startswith(prefix)}
        if form.get("different") == kind:
            answers = dict.fromkeys(answers, drafts.ANSWER_NEW)
        if not (of_answers or is_for_all):
            answers = {key: one for key, one in answers.items() if one != draft.answers.get(key, drafts.ANSWER_OUT)}
        options, threshold = None, form.get(f"{kind}-threshold", "")
        if f"{kind}-threshold" in form:
            alike = int(threshold) if threshold.isdecimal() and len(threshold) < 10 else -1
            options = alike, form.get(f"{kind}-first_match", ""), f"{kind}-creates_records" in form
        try:
            drafts.choose_matching(
                _request_user(request), kind, answers, options=options, version=form.get(f"{kind}-{VERSION}")
            )
        except ActionError as error:
            messages.warning(request, f"{_title(draft)}: {error}")
            is_stored = False
    if is_stored and (of_answers or {"same", "different"} & form.keys()):
        messages.success(request, "Your answers are saved. Nothing is written yet.")
    return is_stored


def _sent_choices(request: HttpRequest, entity_type: str) -> dict[str, FieldChoice]:
    return {
        one.key: FieldChoice(
            "name" if one.is_name else request.POST.get(f"column-{one.key}", "")[:50],
            request.POST.get(f"direction-{one.key}", "")[:20],
            request.POST.get(f"rule-{one.key}", "")[:20],
        )
        for one in mappable_fields(entity_type)
    }
