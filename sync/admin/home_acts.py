"""What is done from Home with one thing, with ticked ones, or with all of a group, and the undo of the last act."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from sync import attention, registry
from sync.admin.admin_base import own_address, see_other
from sync.admin.confirmed_action import (
    MAX_ROWS_SHOWN,
    Choice,
    Question,
    RecordTable,
    Report,
    expected_count,
    run_action,
)
from sync.admin.inbox_offers import ACTIONS, ActionResult, InboxAction, with_values
from sync.attention import Entry, Kind, Scope, Wording
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError, CountChanged
from sync.models import ApprovalRequest

MOST_TICKED = 300
UNASKED = {"retry", "retry_rejected", "ignore", "check_column"}
"""Acts that take nothing away and make nothing: with however many, nobody is asked."""

LAST_ACT = "home_act"
"""In the session: what the last act did, for the one undo that is offered."""

SEEN_PREFIX = "seen:"
"""Before an entry's key: the form's field with the values that its row showed."""

VALUES, EMPTIED = "values", "emptied"
"""The parts of an act on values, as its question sends them: nobody empties by a button that speaks of values."""

UNDO_OFFERED = timedelta(minutes=1)
"""For so long the undo of the last act is offered: later nobody who presses a key means that one."""


@require_POST
def act_on_entries(request: HttpRequest) -> HttpResponse:
    """Do one act: with one row (`one`), the ticked ones (`key`), else all of a group (`of`).

    Only with what still waits, and where this person may.
    """
    code, _, single = request.POST.get("one", "").partition(" ")
    group_code, _, cause = request.POST.get("of", "").partition(" ")
    code = code or group_code or request.POST.get("action", "")
    cause = cause or request.POST.get("cause", "")
    ticked = [single] if single else request.POST.getlist("key")[:MOST_TICKED]
    back_url = _back_url(request)
    action = ACTIONS.get(code)
    # The database knows no NUL, so nothing is called so.
    ticked = [key for key in ticked if "\0" not in key]
    if action is None or "\0" in cause or not (ticked or cause):
        messages.warning(request, "Nothing was done." if action is None or cause else "Nothing is selected.")
        return see_other(back_url)
    if ticked:
        entries = attention.entries(_all_seen(request.user), keys=ticked, limit=MOST_TICKED)
        number = len(ticked)
    else:
        scope = attention.scope_of(request.user)
        number = sum(attention.counts(scope).values())
        entries = attention.entries(scope, of_causes=[cause], limit=number) if number else []
        number = len(entries)
    whole = with_values(entries, Wording.of_boards())
    fitting = [entry for entry in whole if action.is_for(request.user, entry)]
    left = number - len(fitting)
    is_on_a_page = action.run is None or (
        not ticked and len(fitting) > 1 and action.page and any(entry.kind is Kind.CONFLICT for entry in fitting)
    )
    if is_on_a_page:
        if left:
            messages.warning(request, _left_sentence(action, left))
        url = action.page(request, fitting, back_url) if action.page and fitting else ""
        return see_other(url or back_url)
    hidden = [("action", code), ("back", back_url), ("expect", len(fitting))]
    hidden += [("key", entry.key) for entry in fitting] if ticked else [("cause", cause)]
    seen = _seen(request)
    if not ticked:
        # What the page didn't show is done for what it is now: the question has listed it.
        shown = {entry.key: {one.key: [one.npd, one.monday] for one in entry.values} for entry in fitting}
        seen = {key: values for key, values in shown.items() if values} | seen
    hidden += [(f"{SEEN_PREFIX}{entry.key}", json.dumps(seen[entry.key])) for entry in fitting if entry.key in seen]
    asks = _asks(action, fitting, is_all=not ticked)

    def question() -> Question:
        asked = _question(request, action, fitting)
        return replace(asked, hidden=[*asked.hidden, *hidden])

    def run() -> Report:
        if asks and not ticked and (expected := expected_count(request)) != len(fitting):
            raise CountChanged(expected, len(fitting))
        return _report(request, action, _chosen_part(request, action, fitting), left, seen)

    model_admin = admin.site.get_model_admin(ApprovalRequest)
    return run_action(model_admin, request, run, back_url=back_url, question=question if asks else None, atomic=False)


def _all_seen(user: Any) -> Scope:
    """What this person may see, also what others act on."""
    scope = attention.scope_of(user, list(Kind))
    return replace(scope, kinds=scope.kinds | scope.others)


def _asks(action: InboxAction, fitting: Sequence[Entry], *, is_all: bool) -> bool:
    """Whether the act is asked about: where it says so, empties something, or is done with all of several."""
    if not fitting:
        return False
    if action.question is not None or any(action.empties(entry) for entry in fitting):
        return True
    return is_all and len(fitting) > 1 and action.name not in UNASKED


def _question(request: HttpRequest, action: InboxAction, fitting: Sequence[Entry]) -> Question:
    if any(action.empties(entry) for entry in fitting):
        return _emptying_question(action, fitting)
    if action.question is not None:
        return action.question(request, fitting)
    labels = {action.label_for(entry) for entry in fitting}
    label = labels.pop() if len(labels) == 1 else action.label
    number = humanize.count_with_noun(len(fitting), "entry", "entries")
    effects = list(dict.fromkeys(effect for entry in fitting if (effect := action.effect_for(entry))))
    rows = []
    for entry in fitting[:MAX_ROWS_SHOWN]:
        sides = "; ".join(f"{side.label}: {side.npd or '–'} | {side.monday or '–'}" for side in entry.values)
        rows.append((entry.name, entry.board, sides or entry.detail))
    table = RecordTable(("Entry", "Board", "NPD | Monday, or what is wrong"), rows, len(fitting))
    return Question(f"{label}: {number}?", effects, f"{label}: {number}", [table], deletes=action.deletes)


def _emptying_question(action: InboxAction, fitting: Sequence[Entry]) -> Question:
    """Ask about entries of which the act empties some; each kind has a button of its own."""
    emptied = [entry for entry in fitting if action.empties(entry)]
    rest = [entry for entry in fitting if not action.empties(entry)]
    label = action.emptying_label(emptied)
    use = f"{action.label} in {humanize.count_with_noun(len(rest), 'other entry', 'other entries')}"
    choices = [*([Choice(use, VALUES)] if rest else []), Choice(label, EMPTIED, deletes=True)]
    rows = [
        (entry.name, value.label, value.npd, value.monday)
        for entry in [*emptied, *rest][:MAX_ROWS_SHOWN]
        for value in (action.empties(entry) or entry.values)
    ]
    effects = ["The other side is empty, so what is there now is removed. You can undo it on Home."]
    table = RecordTable(("Record", "Field", "NPD", "Monday"), rows, max(len(rows), len(fitting)))
    return Question(f"{label}?", effects, label, [table], choices=choices)


def _chosen_part(request: HttpRequest, action: InboxAction, fitting: Sequence[Entry]) -> Sequence[Entry]:
    """Those that the pressed button was about: what empties something only where that was asked."""
    only = request.POST.get("only", VALUES)
    return [entry for entry in fitting if (EMPTIED if action.empties(entry) else VALUES) == only]


def _left_sentence(action: InboxAction, left: int) -> str:
    noun = humanize.count_with_noun(left, "entry", "entries")
    return f"{noun} left alone: done meanwhile, or “{action.label}” is not possible there."


def _report(
    request: HttpRequest, action: InboxAction, fitting: Sequence[Entry], left: int, seen: Mapping[str, Any]
) -> Report:
    result = action.run(request, fitting, seen) if action.run and fitting else ActionResult(0)
    problems = [*result.problems, *([_left_sentence(action, left)] if left else [])]
    request.session.pop(LAST_ACT, None)
    if result.done and result.undo:
        keep_last_act(request, action.name, result.undo, result.sentence)
        return Report(problems=problems)
    return Report(result.sentence if result.done else "", problems)


def _seen(request: HttpRequest) -> dict[str, Any]:
    """The values that the rows showed, by key; what can't be read equals nothing stored, so that the act is refused."""
    seen = {}
    for name, text in request.POST.items():
        if name.startswith(SEEN_PREFIX):
            try:
                seen[name.removeprefix(SEEN_PREFIX)] = json.loads(str(text))
            except (ValueError, RecursionError):
                continue
    return seen


def _back_url(request: HttpRequest) -> str:
    """Home, or a record's page or list from which the act was sent."""
    back = own_address(request, str(request.POST.get("back", "")))
    opts = [spec.model._meta for spec in registry.entities()]
    lists = [registry.page_url(f"{one.app_label}_{one.model_name}_changelist") for one in opts]
    return back if any(page and back.startswith(page) for page in lists) else reverse("admin:index")


# The undo.


def keep_last_act(request: HttpRequest, action: str, tokens: Sequence[Any], sentence: SafeString | str) -> None:
    """Have the next page of Home say what was done, and offer its undo."""
    request.session[LAST_ACT] = {
        "action": action,
        "tokens": list(tokens),
        "sentence": str(sentence),
        "is_html": isinstance(sentence, SafeString),
        "at": sync_now().isoformat(),
    }


def last_act(request: HttpRequest) -> dict[str, Any]:
    """Return what the last act did, as long as its undo is offered."""
    if not (last := request.session.get(LAST_ACT)):
        return {}
    if sync_now() - datetime.fromisoformat(last["at"]) > UNDO_OFFERED:
        del request.session[LAST_ACT]
        return {}
    sentence = SafeString(last["sentence"]) if last["is_html"] else last["sentence"]
    return {"last": {**last, "sentence": sentence}}


@require_POST
def undo_last_act(request: HttpRequest) -> HttpResponse:
    """Take back what the last act of this person did."""
    last = request.session.pop(LAST_ACT, None)
    back_url = _back_url(request)
    if "dismiss" in request.POST:
        return see_other(back_url)
    if not last:
        messages.warning(request, "There is nothing to undo.")
        return see_other(back_url)
    action = ACTIONS[last["action"]]
    # Their kinds' rights are none of a type of records, and may have been taken away since.
    if action.undo is None or not all(attention.may_act_on(request.user, kind, "") for kind in action.kinds):
        raise PermissionDenied
    try:
        result = action.undo(request, last["tokens"])
    except ActionError as error:
        result = ActionResult(0, problems=[f"Nothing was undone. {error}"])
    for text in humanize.first_few(result.problems):
        messages.warning(request, text)
    if result.done:
        messages.success(request, result.sentence)
    return see_other(back_url)
