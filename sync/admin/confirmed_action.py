"""One way for whatever a person does from a page: permission, freshness, a question, one service call, a report."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect

from sync.admin.admin_base import own_page
from sync.kernel import humanize
from sync.kernel.messages import ActionError, CountChanged, NotAllowed

# Rows that a question lists; of more it says how many.
MAX_ROWS_SHOWN = 200


@dataclass(frozen=True)
class RecordTable:
    """The records of a question; `total` counts those, too, that are not listed."""

    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    total: int
    title: str = ""

    def without_empty_columns(self) -> "RecordTable":
        """Return the table without the columns that say nothing of any record."""
        if not self.rows:
            return self
        filled = [place for place, cells in enumerate(zip(*self.rows, strict=True)) if any(cells)]
        heads = [self.heads[place] for place in filled]
        return replace(self, heads=heads, rows=[[row[place] for place in filled] for row in self.rows])

    @property
    def cells(self) -> list[list[tuple[str, object]]]:
        return [list(zip(self.heads, row, strict=True)) for row in self.rows]

    @property
    def rest_text(self) -> str:
        """How many of how many are listed; empty where all are."""
        return f"The first {len(self.rows):,} of {self.total:,}." if self.total > len(self.rows) else ""


@dataclass(frozen=True)
class Question:
    """What is asked before an act: what happens to which records, and the button that does it.

    `hidden` comes back with the button. Without a `button` there is nothing to do any more. One that `deletes` is red.
    """

    title: str
    effects: Sequence[str] = ()
    button: str = ""
    tables: Sequence[RecordTable] = ()
    hidden: Sequence[tuple[str, object]] = ()
    warning: str = ""
    page_name: str = ""
    deletes: bool = False
    # The name and label of a text that may be added.
    text: tuple[str, str] | None = None


@dataclass(frozen=True)
class Report:
    """What came of an act on several records."""

    done: str = ""  # what was done, in a sentence; empty where nothing was
    problems: Sequence[str] = ()  # why some were left as they are
    undo: Sequence[str] = ()  # a text for each, with which the act's handler takes it back


def run_action(
    model_admin: Any,
    request: HttpRequest,
    run: Callable[[], Report | str],
    *,
    back_url: str,
    question: Callable[[], Question] | None = None,
    allowed: bool = True,
    is_fresh: bool = True,
    asked_by_get: bool = False,
    atomic: bool = True,
    failed: str = "",
) -> HttpResponse:
    """Ask, then run one service call, say what came of it, and lead back; raises PermissionDenied.

    Where things are not as the page had shown them (`is_fresh`), a POST asks nothing: the call finds that out under its
    locks, and says so. A GET asks, and never acts. An ActionError, of the question too, is told behind `failed`;
    `atomic` undoes the call with its line in the log. A CountChanged asks anew, with the number of now.
    """
    if not allowed:
        raise PermissionDenied
    is_confirmed = asked_by_get or not is_fresh or not question or "confirmed" in request.POST
    try:
        if request.method != "POST" or not is_confirmed:
            if question is None:
                return HttpResponseNotAllowed(["POST"])
            return question_page(model_admin, request, question(), back_url)
        with transaction.atomic() if atomic else nullcontext():
            result = run()
    except NotAllowed:
        raise
    except ActionError as why:
        if question and isinstance(why, CountChanged):
            repeated = replace(question(), warning=str(why))
            return question_page(model_admin, request, repeated, back_url, status=409)
        messages.warning(request, f"{failed} {why}".strip())
    else:
        report = result if isinstance(result, Report) else Report(result)
        for text in humanize.first_few(report.problems):
            messages.warning(request, text)
        if report.done:
            messages.success(request, report.done)
    return HttpResponseRedirect(back_url)


def question_page(
    model_admin: Any, request: HttpRequest, question: Question, back_url: str, *, status: int = 200
) -> HttpResponse:
    """Ask; the answer comes back to this address as a POST with `confirmed`."""
    return own_page(
        model_admin,
        request,
        "sync/question.html",
        question.title,
        status=status,
        page_name=question.page_name,
        question=question,
        hidden=[(name, str(value)) for name, value in (*question.hidden, ("confirmed", "yes"))],
        # With the filters: “all” of a list is read from its address.
        target=request.get_full_path(),
        back=back_url,
    )


def selection(request: HttpRequest, action: str, total: int | None = None) -> list[tuple[str, object]]:
    """Return the ticked rows of a list and its action, as its form sends them; of “all” how many the question counts.

    `total` comes back for `confirmed_rows`.
    """
    ticked = [(ACTION_CHECKBOX_NAME, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)]
    all_rows = request.POST.get("select_across", "0")
    expect = [("expect", total)] if all_rows == "1" and total is not None else []
    return [*ticked, ("action", action), ("select_across", all_rows), *expect]


def confirmed_rows(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the rows of a confirmed selection, held fast by their keys: what comes later is not among them.

    Raises CountChanged where “all” are another number than the question had counted.
    """
    keys = list(rows.values_list("pk", flat=True))
    if request.POST.get("select_across") == "1":
        expect = expected_count(request)
        if expect != len(keys):
            raise CountChanged(expect, len(keys))
    return rows.filter(pk__in=keys)


def expected_count(request: HttpRequest) -> int:
    """Return how many rows the question had counted; -1, which fits nothing, where no page has sent a number."""
    text = request.POST.get("expect", "")
    return int(text) if text.isdecimal() and len(text) < 19 else -1
