"""The set-up's page on which a person says which records and items are synced, as conditions in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from sync import registry
from sync.boards.sync_filter import MAX_CONDITIONS, FilterOp, FilterSide, SyncFilter
from sync.kernel.messages import Conflict
from sync.models import SetupDraft, SetupState
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from sync.operations.setup.filter_choice import FilterableField, FilterRow, filter_of_rows, filterable_fields, rows_of

ADD = "add"
"""The button that shows one more row of a side, which is its value; nothing is stored then."""

_TITLES = {FilterSide.RECORD: "Records in NPD", FilterSide.ITEM: "Items on Monday"}
_INTROS = {
    FilterSide.RECORD: "A record is synced if it meets all these conditions. Without a condition, every record is.",
    FilterSide.ITEM: "An item is synced if it meets all these conditions. Without a condition, every item is.",
}


class FilterPageMixin:
    """Adds the filter's page to the wizard."""

    def wizard_filter(self, request: HttpRequest, entity_type: str) -> HttpResponse:
        """Show the conditions of both sides; on POST, store them, or show one more row."""
        draft = drafts.draft_of(entity_type)
        if draft is None or draft.state == SetupState.DONE:
            messages.warning(request, "There is no set-up of these records yet. Choose their board first.")
            return HttpResponseRedirect(reverse("admin:sync_wizard_boards"))
        if draft.state == SetupState.RUNNING or not draft.mapped:
            step = "run" if draft.state == SetupState.RUNNING else "map"
            return HttpResponseRedirect(reverse(f"admin:sync_wizard_{step}", args=[entity_type][: step == "map"]))
        rows: Mapping[FilterSide, Sequence[FilterRow]] | None = None
        problems: Mapping[FilterSide, Mapping[int, str]] = {}
        if request.method == "POST":
            rows = {side: _sent_rows(request, side) for side in FilterSide}
            if ADD not in request.POST:
                chosen, problems = filter_of_rows(draft, rows)
                if "back" in request.POST and problems:
                    for sentences in problems.values():
                        messages.warning(request, f"Not saved: {' '.join(sentences.values())}")
                    return HttpResponseRedirect(reverse("admin:sync_wizard_map", args=[entity_type]))
                if not problems:
                    return _store(request, draft, chosen)
        offered = filterable_fields(draft)
        shown = rows_of(draft, offered) if rows is None else rows
        context = {
            "draft": draft,
            "kind_title": registry.entity(entity_type).board_title,
            "version": request.POST.get("version") or draft.version,
            "sides": [_side_context(side, offered[side], shown[side], problems.get(side, {})) for side in FilterSide],
            "wrong": bool(problems),
        }
        answered: HttpResponse = self._page(request, "filter", context)  # type: ignore[attr-defined]
        return answered


def _store(request: HttpRequest, draft: SetupDraft, chosen: SyncFilter) -> HttpResponse:
    try:
        drafts.choose_filter(cast("User", request.user), draft.entity_type, chosen, version=request.POST.get("version"))
    except Conflict as changed:
        messages.warning(request, str(changed))
        return HttpResponseRedirect(request.path)
    if "back" in request.POST:
        return HttpResponseRedirect(reverse("admin:sync_wizard_map", args=[draft.entity_type]))
    return next_after_map()


def next_after_map() -> HttpResponse:
    """Lead to the next kind of records that isn't mapped; after the last, have both sides compared."""
    if unmapped := [one for one in drafts.open_drafts() if not one.mapped]:
        return HttpResponseRedirect(reverse("admin:sync_wizard_map", args=[unmapped[0].entity_type]))
    plan.compare_if_due()
    return HttpResponseRedirect(reverse("admin:sync_wizard_match"))


def _sent_rows(request: HttpRequest, side: FilterSide) -> list[FilterRow]:
    sent = [request.POST.getlist(f"{side}-{part}")[: MAX_CONDITIONS + 1] for part in ("field", "op", "text")]
    return [FilterRow(field[:50], op[:20], text[:20_000]) for field, op, text in zip(*sent, strict=False)]


def _side_context(
    side: FilterSide, offered: Sequence[FilterableField], rows: Sequence[FilterRow], problems: Mapping[int, str]
) -> dict[str, Any]:
    filled = [row for row in rows if not row.is_empty]
    numbers = [number for number, row in enumerate(rows) if not row.is_empty]
    return {
        "name": side.value,
        "title": _TITLES[side],
        "intro": _INTROS[side],
        "fields": offered,
        "ops": [(op.value, op.label) for op in FilterOp],
        "rows": [
            {"row": row, "error": problems.get(number, "")} for number, row in zip(numbers, filled, strict=True)
        ] + [{"row": FilterRow(), "error": ""}],
    }  # fmt: skip


def draft_filter_lines(draft: SetupDraft) -> list[str]:
    labels = {one.key: one.label for one in registry.entity(draft.entity_type).mappings}
    return SyncFilter.parse(draft.sync_filter).lines(labels)
