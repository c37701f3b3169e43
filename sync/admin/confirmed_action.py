"""How an act from a page runs: a question, one service call, a report."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from sync.admin import admin_base
from sync.kernel import acts, humanize

# A question lists this many rows at most and counts the rest.
MAX_ROWS_SHOWN = 200


@dataclass(frozen=True)
class RecordTable:
    """The records that a question is about."""

    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    total: int  # including the records that are not listed
    title: str = ""

    def without_empty_columns(self) -> "RecordTable":
        if not self.rows:
            return self
        columns = [place for place, cells in enumerate(zip(*self.rows, strict=True)) if any(cells)]
        heads = [self.heads[place] for place in columns]
        return replace(self, heads=heads, rows=[[row[place] for place in columns] for row in self.rows])

    @property
    def cells(self) -> list[list[tuple[str, object]]]:
        return [list(zip(self.heads, row, strict=True)) for row in self.rows]

    @property
    def rest_text(self) -> str:
        """How many rows are listed; empty if all are."""
        return f"The first {len(self.rows):,} of {self.total:,}." if self.total > len(self.rows) else ""


@dataclass(frozen=True)
class Question:
    """The page that asks before an act: what happens to which records, and the button that does it."""

    title: str
    effects: Sequence[str] = ()
    button: str = ""  # empty if there is nothing left to do
    tables: Sequence[RecordTable] = ()
    hidden: Sequence[tuple[str, object]] = ()  # the fields that the form sends back
    warning: str = ""
    page_name: str = ""  # the record's, if the page before is about one
    deletes: bool = False  # makes the button red
    inputs: Sequence[tuple[str, str, str, str]] = ()  # name, label, type and value of each further field
    radio: tuple[str, str, Sequence[tuple[str, str, str]]] | None = None  # name, chosen value; value, label, effect
    target: str = ""  # the address that the button posts to, if it is not the question's own


@dataclass(frozen=True)
class Report:
    """The result of an act."""

    sentence: str = ""  # empty if nothing was changed
    problems: Sequence[str] = ()  # why some records were left alone
    undo: Sequence[str] = ()  # what the function of its kind in `home_acts.UNDOS` needs


def run_action(
    model_admin: Any,
    request: HttpRequest,
    run: Callable[[], Report | str],
    back_url: str,
    question: Callable[[], Question] | None = None,
) -> HttpResponse:
    """Ask the question, then run one service call, report the result, and go back.

    A GET never acts. An ActionError becomes a warning; a CountChanged asks again with the current number.
    """
    try:
        if question and (request.method != "POST" or "confirmed" not in request.POST):
            return question_page(model_admin, request, question(), back_url)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        result = run()
    except acts.NotAllowed:
        raise
    except acts.ActionError as error:
        if question and isinstance(error, acts.CountChanged):
            repeated = replace(question(), warning=str(error))
            return question_page(model_admin, request, repeated, back_url, status=409)
        messages.warning(request, str(error))
    else:
        report = result if isinstance(result, Report) else Report(result)
        for text in first_few(report.problems):
            messages.warning(request, text)
        if report.sentence:
            messages.success(request, report.sentence)
    return HttpResponseRedirect(back_url)


def first_few(messages: Sequence[str]) -> list[str]:
    """Return the first ten messages, and one about the number of others; a selection may have thousands."""
    rest = len(messages) - 10
    more = [f"The same or alike for {humanize.count_with_noun(rest, 'more record')}."] if rest > 0 else []
    return [*messages[:10], *more]


def question_page(
    model_admin: Any, request: HttpRequest, question: Question, back_url: str, *, status: int = 200
) -> HttpResponse:
    """Show a question, whose button posts to the same address with `confirmed`."""
    hidden = [(name, str(value)) for name, value in (*question.hidden, ("confirmed", "yes"))]
    return admin_base.render_admin_page(
        model_admin,
        request,
        "sync/question.html",
        question.title,
        status=status,
        page_name=question.page_name,
        question=question,
        hidden=hidden,
        # Entries of Home that somebody else may answer meanwhile.
        follows=any(name in ("key", "cause") for name, _value in hidden),
        # With its filters, because they say which rows “all” are.
        target=question.target or request.get_full_path(),
        back=back_url,
    )


def selection_fields(
    request: HttpRequest, action: str, rows: models.QuerySet[Any] | None = None, *shown_fields: str
) -> list[tuple[str, object]]:
    """Return a list's ticked rows and its action as hidden fields; for “all”, also which `rows` they are.

    If the question depends on values of ticked rows, `shown_fields` names them. Call it before the question reads its
    rows, so that a change in between is asked about again.
    """
    fields: list[tuple[str, object]] = [
        (ACTION_CHECKBOX_NAME, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)
    ]
    all_rows = request.POST.get("select_across", "0")
    fields += [("action", action), ("select_across", all_rows), ("back", request.POST.get("back", ""))]
    if rows is not None and (all_rows == "1" or shown_fields):
        shown = list(rows.values_list("pk", *shown_fields))
        fields += [("expect", len(shown)), ("asked", digest_of_rows(shown))]
    return fields


def list_button(row: models.Model, code: str, back_url: str = "") -> admin_base.Button:
    """Return the button that does an act of the rows' list to this one, and then leads to `back_url`."""
    hidden = {"action": code, ACTION_CHECKBOX_NAME: row.pk, "index": 0, "back": back_url}
    list_url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    return admin_base.Button(acts.ACTS[code].button, code, post_to=list_url, hidden=hidden)


def confirmed_rows(request: HttpRequest, rows: models.QuerySet[Any], *shown_fields: str) -> models.QuerySet[Any]:
    """Return the rows of a confirmed selection by their keys, so that rows which appear later are not included.

    Raises CountChanged if “all”, or the fields of ticked rows in `shown_fields`, are others than in the question.
    """
    current_rows = list(rows.values_list("pk", *shown_fields))
    is_same = request.POST.get("asked") == digest_of_rows(current_rows)
    if not is_same and (shown_fields or request.POST.get("select_across") == "1"):
        raise acts.CountChanged(expected_count(request), len(current_rows))
    return rows.filter(pk__in=[key for key, *_ in current_rows])


def digest_of_rows(rows: Iterable[object]) -> str:
    """Return a hash that tells later whether the rows are still those of the question."""
    return hashlib.sha256("\n".join(sorted(map(str, rows))).encode()).hexdigest()[:32]


def expected_count(request: HttpRequest) -> int:
    """Return the number of rows in the question, or -1, which matches nothing, if the page sent no number."""
    text = request.POST.get("expect", "")
    return int(text) if text.isdecimal() and len(text) < 19 else -1
