"""The inbox: all that needs attention in one list by cause, what is done with it, and the undo of the last act."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from sync import attention, registry
from sync.admin.admin_base import badge, own_address, see_other
from sync.admin.confirmed_action import (
    MAX_ROWS_SHOWN,
    Choice,
    Question,
    RecordTable,
    Report,
    expected_count,
    run_action,
)
from sync.admin.inbox_offers import ACTIONS, CREATE_RECORD, LEADS, ActionResult, GroupLead, InboxAction, with_values
from sync.admin.queue_pages import next_attempt
from sync.admin.record_panel import may_change_mapping, rejection_act
from sync.admin.unmatched_pages import request_badge
from sync.attention import OF_BOARDS, Entry, Group, Kind, Scope, Tally, Wording
from sync.choices import BlockedCode, QueueStatus
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError, CountChanged
from sync.models import ApprovalRequest, BoardLink, SyncQueue
from sync.records.availability import overview
from sync.records.unmatched_items import open_requests

CAUSES_ON_A_PAGE = 30
ENTRIES_OF_A_CAUSE = 10
"""Entries that a cause shows on the page of all; the rest is on its own page."""

ENTRIES_ON_A_PAGE = 50
OPEN_CAUSE = 5
"""A cause with more entries than this is folded, unless it is alone."""

LAST_ACT = "inbox_act"
"""In the session: what the last act did, for the one undo that is offered, and for how far its jobs are."""

SEEN_PREFIX = "seen:"
"""Before an entry's key: the form's field with the values that its row showed."""


_FULL_LISTS = {
    Kind.FAILED: ("sync_syncqueue_changelist", "status__exact=failed"),
    Kind.APPROVAL: ("sync_approvalrequest_changelist", "state__exact=pending"),
    Kind.CONFLICT: ("conflicts_syncconflict_changelist", ""),
    Kind.DUPLICATE: ("conflicts_syncconflict_changelist", "kind__exact=identity"),
    Kind.UNMATCHED: ("sync_unmatcheditem_changelist", "show=attention"),
}
"""The list of each kind by itself, with filters and what was done before; the inbox alone lists what was removed."""


def tallies_of(request: HttpRequest) -> dict[Kind, Tally]:
    """Return how much of each kind this person is shown; asked once a request."""
    if not hasattr(request, "attention_tallies"):
        request.attention_tallies = attention.tallies(listed_scope(request.user))  # type: ignore[attr-defined]
    found: dict[Kind, Tally] = request.attention_tallies  # type: ignore[attr-defined]
    return found


def listed_scope(user: Any) -> Scope:
    """What this person is shown here: without what concerns a board, which stands with the boards."""
    return attention.scope_of(user, [kind for kind in Kind if kind not in OF_BOARDS])


# The list.


@dataclass(frozen=True)
class InboxRow:
    """An entry with what its row offers; `seen` is what it shows, as its form sends it back.

    `badge` says what comes next by itself, or that somebody has asked for it already: then nothing is offered. `fix` is
    what the door to its page is called.
    """

    entry: Entry
    actions: Sequence[InboxAction] = ()
    may_act: bool = False
    may_link: bool = False
    seen: str = ""
    badge: str = ""
    fix: str = "Fix"

    @property
    def _own_actions(self) -> list[InboxAction]:
        return [action for action in self.actions if not action.of_cause]

    @property
    def buttons(self) -> list[tuple[InboxAction, str, str, bool]]:
        """What can be done with it, what that is called here and what it does; last, and red, what takes something
        away.
        """
        entry = self.entry
        found = [(one, one.deletes or bool(one.empties(entry))) for one in self._own_actions]
        return [
            (one, one.label_for(entry), "" if one.empties(entry) else one.effect_for(entry), takes_away)
            for one, takes_away in sorted(found, key=lambda each: each[1])
        ]

    @property
    def emptied_by(self) -> str:
        """The names of the acts that would empty something of it."""
        return " ".join(one.name for one in self.actions if one.empties(self.entry))

    @property
    def bulk(self) -> str:
        """The names of the acts that it can be selected for."""
        return " ".join(action.name for action in self._own_actions)

    @property
    def doors(self) -> list[tuple[str, str, str]]:
        """The pages on which it is done: what each is called, its address, and its key."""
        entry, doors = self.entry, list[tuple[str, str, str]]()
        if self.may_act and entry.kind in (Kind.REJECTED, Kind.NOTIFICATION) and entry.url:
            doors.append((self.fix, entry.url, "f"))
        if self.may_act and entry.kind is Kind.DUPLICATE and entry.url:
            doors.append(("Decide", entry.url, ""))
        if entry.cause_code == BlockedCode.THROTTLED and entry.record_url:
            doors.append(("Turn sync off…", f"{entry.record_url}#npd-sync-off", ""))
        if self.may_link:
            doors.append(("Link to…", reverse("admin:sync_unmatcheditem_link", args=[entry.row_id]), "l"))
        return doors


@dataclass
class InboxGroup:
    """The entries of one cause that the page shows; `lead` says what happens with them, and where else to act.

    `mapping_url` is the board's page, where the field of the cause gets another column, direction or rule.
    """

    cause: Group
    is_open: bool
    rows: list[InboxRow] = field(default_factory=list)
    lead: GroupLead | None = None
    mapping_url: str = ""

    @property
    def buttons(self) -> list[tuple[InboxAction, str, bool]]:
        """What can be done with all of it at once, with its number; last what takes something away."""
        rows, is_one = [row for row in self.rows if row.actions], self.cause.number == 1
        acts = [one for one in ACTIONS.values() if one.of_cause or (one.many and not is_one)]
        offered = [one for one in acts if rows and all(one in row.actions for row in rows)]
        found = []
        for one in offered:
            emptied = [row.entry for row in rows if one.empties(row.entry)]
            # Of those that the page doesn't show the question says it.
            is_all = bool(emptied) and len(emptied) == self.cause.number
            label = f"{one.emptying_label(emptied)}…" if is_all else one.label_for_all(self.cause)
            found.append((one, label, one.deletes or bool(emptied)))
        return sorted(found, key=lambda each: (each[2], each[0].of_cause, not each[0].many))

    @property
    def rest(self) -> int:
        return self.cause.number - len(self.rows)

    @property
    def on_its_page(self) -> int:
        """How many of them the first page of this cause alone shows."""
        return min(self.cause.number, ENTRIES_ON_A_PAGE)


@dataclass(frozen=True)
class InboxAddress:
    """What an address of the inbox asks for: all kinds, or one, or a cause."""

    scope: Scope
    kind: str
    cause: str
    page: int

    @classmethod
    def of(cls, user: Any, params: Mapping[str, str]) -> InboxAddress:
        """Of a kind on which others act, that alone, and only where it is asked for."""
        kind, cause, text = params.get("kind", ""), params.get("cause", ""), params.get("p", "")
        scope, asked = listed_scope(user), cause.partition(":")[0] or kind
        if asked in scope.others:
            scope = replace(scope, kinds=frozenset({Kind(asked)}), reads_only=True)
        page = max(1, int(text[:6])) if text.isdecimal() and text.isascii() else 1
        return cls(scope, kind, cause, page)

    @property
    def kinds(self) -> list[Kind] | None:
        return [Kind(self.kind)] if self.kind in Kind.values else None

    @property
    def causes(self) -> list[str]:
        return [self.cause] if self.cause else []

    def url(self, **changed: object) -> str:
        asked = {"kind": self.kind, "cause": self.cause} | changed
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"{reverse('npd-inbox')}{'?' + query if query else ''}"


def inbox_page(request: HttpRequest) -> HttpResponse:
    """Show what needs attention, by cause: all kinds, or one."""
    asked, wording, now = InboxAddress.of(request.user, request.GET), Wording.of_boards(), sync_now()
    groups, has_next = _groups(asked, wording)
    if asked.page > 1 and not groups:
        # What it had was done meanwhile, and what is left stands on the pages before it.
        asked = replace(asked, page=_last_page(asked, wording))
        groups, has_next = _groups(asked, wording)
    scope, kind, kinds = asked.scope, asked.kind, asked.kinds
    rows = _with_values(request, groups, wording, now)
    _add_leads(groups, now, request.user)
    if may_change_mapping(request.user):
        _add_mapping_urls(groups, wording)
    tallies = attention.tallies(scope) if scope.kinds <= scope.others else tallies_of(request)
    listed = sum(tallies[one].entries for one in kinds or tallies)
    may_act = any(row.may_act for row in rows)
    may_see_activity = request.user.has_perm("sync.view_decision")
    context = {
        **admin.site.each_context(request),
        "title": "Inbox",
        "groups": groups,
        "tabs": _tabs(asked, tallies),
        "all_url": asked.url(kind="", cause=""),
        "total": sum(one.causes for one in tallies.values()),
        "matching": sum(group.cause.number for group in groups) if asked.cause else listed,
        "kind": kind,
        "cause": asked.cause,
        "list_url": _full_list(kinds[0]) if kinds else "",
        "sees_nothing": not scope.kinds,
        "is_set_up": bool(groups) or BoardLink.objects.exclude(board_id="").exists(),
        "reads_only": scope.reads_only and not any(row.actions for row in rows),
        "may_act": may_act,
        "bulk_actions": _bulk_actions(rows),
        "nouns": _nouns(rows),
        **last_act(request),
        "activity_url": registry.page_url("sync_decision_changelist") if may_see_activity else "",
        "back": request.get_full_path(),
        "earlier": asked.url(p=asked.page - 1) if asked.page > 1 else "",
        "later": asked.url(p=asked.page + 1) if has_next else "",
        "now": now,
    }
    return TemplateResponse(request, "sync/inbox.html", context)


def _all_seen(user: Any) -> Scope:
    """What this person may see, also what others act on."""
    scope = listed_scope(user)
    return replace(scope, kinds=scope.kinds | scope.others)


def _groups(asked: InboxAddress, wording: Wording) -> tuple[list[InboxGroup], bool]:
    """What the page shows, and whether another follows."""
    return _one_cause(asked, wording) if asked.cause else _all_causes(asked, wording)


def _all_causes(asked: InboxAddress, wording: Wording) -> tuple[list[InboxGroup], bool]:
    scope, offset = asked.scope, (asked.page - 1) * CAUSES_ON_A_PAGE
    found = attention.groups(scope, kinds=asked.kinds, limit=CAUSES_ON_A_PAGE + 1, offset=offset, wording=wording)
    shown = found[:CAUSES_ON_A_PAGE]
    entries = (
        attention.entries(
            scope,
            of_causes=[cause.cause for cause in shown],
            first_of_each=ENTRIES_OF_A_CAUSE,
            limit=CAUSES_ON_A_PAGE * ENTRIES_OF_A_CAUSE,
            wording=wording,
        )
        if shown
        else []
    )
    groups = {cause.cause: InboxGroup(cause, _is_open(cause, len(shown))) for cause in shown}
    for entry in entries:
        if entry.cause in groups:
            groups[entry.cause].rows.append(InboxRow(entry))
    return list(groups.values()), len(found) > CAUSES_ON_A_PAGE


def _is_open(cause: Group, shown: int) -> bool:
    # What somebody removed can be undone for some minutes only: nobody should have to unfold it.
    return cause.number <= OPEN_CAUSE or shown == 1 or cause.kind is Kind.REMOVED


def _one_cause(asked: InboxAddress, wording: Wording) -> tuple[list[InboxGroup], bool]:
    scope, of_causes, offset = asked.scope, asked.causes, (asked.page - 1) * ENTRIES_ON_A_PAGE
    found = attention.entries(scope, of_causes=of_causes, limit=ENTRIES_ON_A_PAGE + 1, offset=offset, wording=wording)
    described = attention.groups(scope, of_causes=of_causes, wording=wording) if found else []
    if not described:
        return [], False
    rows = [InboxRow(entry) for entry in found[:ENTRIES_ON_A_PAGE]]
    return [InboxGroup(described[0], True, rows)], len(found) > ENTRIES_ON_A_PAGE


def _last_page(asked: InboxAddress, wording: Wording) -> int:
    """Return the number of the last page that has something, where the one asked for is empty; 1 without any."""
    if asked.cause:
        described = attention.groups(asked.scope, of_causes=asked.causes, wording=wording)
        return max(1, math.ceil(sum(one.number for one in described) / ENTRIES_ON_A_PAGE))
    most = (asked.page - 1) * CAUSES_ON_A_PAGE
    found = attention.groups(asked.scope, kinds=asked.kinds, limit=most, wording=wording)
    return max(1, math.ceil(len(found) / CAUSES_ON_A_PAGE))


def _with_values(request: HttpRequest, groups: Sequence[InboxGroup], wording: Wording, now: datetime) -> list[InboxRow]:
    """Put on the rows what each side has, and what this person may do; return all of them."""
    shown = {entry.key: entry for entry in with_values([row.entry for group in groups for row in group.rows], wording)}
    rows = dict(zip(shown, _rows(request, shown.values(), now), strict=True))
    for group in groups:
        group.rows = [rows[row.entry.key] for row in group.rows]
    return [row for group in groups for row in group.rows]


def _add_leads(groups: Sequence[InboxGroup], now: datetime, user: Any) -> None:
    """Say above each cause what happens with it; to who may act on it, also where else something is done."""
    for kind, load in LEADS.items():
        of_kind = [group for group in groups if group.cause.kind is kind]
        leads = load([group.cause for group in of_kind], now, user)
        for group in of_kind:
            lead, may_act = leads.get(group.cause.cause), any(row.may_act for row in group.rows)
            group.lead = lead if may_act or lead is None else GroupLead(lead.sentence)


def _add_mapping_urls(groups: Sequence[InboxGroup], wording: Wording) -> None:
    links = {mapping.link.entity_type: mapping.link_id for mapping in wording.mappings.values()}
    for group in groups:
        cause = group.cause
        is_mapping = cause.kind is Kind.BLOCKED and cause.code in (BlockedCode.COLUMN, BlockedCode.THROTTLED)
        if (is_mapping or cause.kind is Kind.REJECTED) and cause.entity_type in links:
            group.mapping_url = reverse("admin:sync_boardlink_change", args=[links[cause.entity_type]])


def _bulk_actions(rows: Sequence[InboxRow]) -> list[tuple[InboxAction, str]]:
    """What the selected rows are offered, and what that is called; what takes something away comes last everywhere."""
    acts = [action for action in ACTIONS.values() if not action.of_cause]
    offered = [action for action in acts if any(action in row.actions for row in rows)]
    return [(one, _bulk_label(one, rows)) for one in sorted(offered, key=lambda one: one.deletes)]


def _bulk_label(action: InboxAction, rows: Sequence[InboxRow]) -> str:
    """What an act is called for those that are selected: as on the rows, where it has one name there."""
    found = {action.label_for(row.entry) for row in rows if action in row.actions and not action.empties(row.entry)}
    return found.pop() if action.act.code == CREATE_RECORD and len(found) == 1 else action.label


def _nouns(rows: Sequence[InboxRow]) -> list[str]:
    """What one record of the list is called, and several: by their type where all have the same."""
    types = {row.entry.entity_type for row in rows}
    of_type = types.pop() if len(types) == 1 else ""
    return [registry.count_of_type(number, of_type).partition(" ")[2] for number in (1, 2)]


def _retried_jobs(found: Iterable[Entry], now: datetime) -> dict[str, SyncQueue]:
    """The failed jobs among them that are tried again, by key, as their own page has them."""
    jobs = {one.job: one.key for one in found if one.failures}
    rows: Iterable[Any] = SyncQueue.objects.filter(pk__in=jobs) if jobs else ()
    boards, retried = SimpleLazyObject(lambda: overview().by_type), dict[str, SyncQueue]()
    for row in rows:
        row.page_boards, row.page_now, retried[jobs[row.pk]] = boards, now, row
    return retried


def _rows(request: HttpRequest, found: Collection[Entry], now: datetime) -> list[InboxRow]:
    asked = open_requests(one.item_id for one in found if one.kind is Kind.UNMATCHED)
    retried = _retried_jobs(found, now)
    return [_row(request, entry, asked, retried.get(entry.key)) for entry in found]


def _row(
    request: HttpRequest, entry: Entry, asked: Mapping[tuple[str, str], SyncQueue], retried: SyncQueue | None
) -> InboxRow:
    user, is_item = request.user, entry.kind is Kind.UNMATCHED
    may_act = attention.may_act_on(user, entry.kind, entry.entity_type)
    if progress := request_badge(asked.get((entry.entity_type, entry.item_id)) if is_item else None):
        return InboxRow(entry, may_act=may_act, badge=progress)
    seen = json.dumps({one.key: [one.npd, one.monday] for one in entry.values}) if entry.values else ""
    actions = [action for action in ACTIONS.values() if action.is_for(user, entry)]
    may_link = is_item and registry.may_act(user, "change", entry.entity_type)
    fix = rejection_act(user, entry.entity_type) if entry.kind is Kind.REJECTED else "Fix"
    attempt = ""
    if retried is not None and retried.status == QueueStatus.IN_PROGRESS:
        actions, attempt = [], badge("wait", "sync", "In progress")
    elif retried is not None:
        attempt = badge("wait", "sync", f"Next attempt {next_attempt(retried)}")
    return InboxRow(entry, actions, may_act, may_link, seen, attempt, fix)


def _tabs(asked: InboxAddress, tallies: Mapping[Kind, Tally]) -> list[tuple[str, int, str, bool]]:
    """The kinds of which there is something: label, number of entries, address, and whether it is the one shown."""
    return [
        (str(one.label), tallies[one].entries, asked.url(kind=one.value, cause=""), one == asked.kind)
        for one in Kind
        if one in asked.scope.kinds and (tallies[one].causes or one == asked.kind)
    ]


def _full_list(kind: Kind) -> str:
    name, query = _FULL_LISTS.get(kind, ("", ""))
    return registry.page_url(name, query=query) if name else ""


# The acts.


@require_POST
def act_on_entries(request: HttpRequest) -> HttpResponse:
    """Do one act with one row or the selected ones: only with what is still in the inbox, and where this person may."""
    name, _, single = request.POST.get("one", "").partition(" ")
    of_cause, _, cause = request.POST.get("of", "").partition(" ")
    name, cause = name or of_cause or request.POST.get("action", ""), cause or request.POST.get("cause", "")
    back_url = _back_url(request, request.POST)
    if (cause or "all" in request.POST) and not single:
        return _act_on_all(request, name, cause, back_url)
    limit = CAUSES_ON_A_PAGE * ENTRIES_OF_A_CAUSE
    # The database knows no NUL, so nothing is called so.
    keys = [key for key in ([single] if single else request.POST.getlist("key")[:limit]) if "\0" not in key]
    action = ACTIONS.get(name)
    if action is None or not keys:
        messages.warning(request, "Nothing is selected." if action else "Nothing was done.")
        return see_other(back_url)
    found = attention.entries(_all_seen(request.user), keys=keys, limit=limit)
    fitting = _fitting(request, action, found)
    left, seen = len(keys) - len(fitting), _seen(request)
    if action.run is None:
        return _to_page(request, action, fitting, left, back_url)
    empties = any(action.empties(entry) for entry in fitting)

    def question() -> Question:
        asked = _emptying_question(action, fitting) if empties else action.question(request, fitting)  # type: ignore[misc]  # asked only where there is one
        hidden = [("action", name), ("back", back_url), *(("key", entry.key) for entry in fitting)]
        shown = [(f"{SEEN_PREFIX}{one.key}", json.dumps(seen[one.key])) for one in fitting if one.key in seen]
        return replace(asked, hidden=[*asked.hidden, *hidden, *shown])

    ask = question if (action.question or empties) and fitting else None
    chosen = _chosen_part(request, action, fitting)
    return _run(request, partial(_report, request, action, chosen, left, seen), back_url, ask)


def _fitting(request: HttpRequest, action: InboxAction, found: Sequence[Entry]) -> list[Entry]:
    """Those with which this person may do it, with what each side has."""
    whole = with_values(found, Wording.of_boards())
    return [entry for entry in whole if action.is_for(request.user, entry)]


VALUES, EMPTIED = "values", "emptied"
"""The parts of an act on values, as its question sends them: nobody empties by a button that speaks of values."""


def _chosen_part(request: HttpRequest, action: InboxAction, fitting: Sequence[Entry]) -> Sequence[Entry]:
    """Those that the pressed button was about: what empties something only where that was asked."""
    only = request.POST.get("only", VALUES)
    return [one for one in fitting if (EMPTIED if action.empties(one) else VALUES) == only]


def _emptying_question(action: InboxAction, fitting: Sequence[Entry]) -> Question:
    """Ask about entries of which the act empties some; each kind has a button of its own."""
    emptied = [one for one in fitting if action.empties(one)]
    label, rest = action.emptying_label(emptied), [one for one in fitting if not action.empties(one)]
    use = f"{action.label} in {humanize.count_with_noun(len(rest), 'other entry', 'other entries')}"
    choices = [*([Choice(use, VALUES)] if rest else []), Choice(label, EMPTIED, deletes=True)]
    rows = [
        (one.name, value.label, value.npd, value.monday)
        for one in [*emptied, *rest][:MAX_ROWS_SHOWN]
        for value in (action.empties(one) or one.values)
    ]
    effects = ["The other side is empty, so what is there now is removed. You can undo it in the inbox."]
    table = RecordTable(("Record", "Field", "NPD", "Monday"), rows, max(len(rows), len(fitting)))
    return Question(f"{label}?", effects, label, [table], choices=choices)


def _act_on_all(request: HttpRequest, name: str, of_cause: str, back_url: str) -> HttpResponse:
    """Do one act with all of a cause, else all that match the page from which it was sent, also what isn't shown.

    The question counts them, and comes again where they are more or fewer by then.
    """
    action, page = ACTIONS.get(name), QueryDict(urlsplit(back_url).query).dict()
    asked = InboxAddress.of(request.user, page | ({"cause": of_cause, "kind": ""} if of_cause else {}))
    number = sum(attention.counts(asked.scope).values())
    chosen: dict[str, Any] = {"kinds": asked.kinds, "of_causes": asked.causes}
    found = attention.entries(asked.scope, limit=number, **chosen) if number else []
    if action is None:
        messages.warning(request, "Nothing was done.")
        return see_other(back_url)
    fitting = _fitting(request, action, found)
    left = len(found) - len(fitting)
    if action.run is None or (action.page and any(entry.kind is Kind.CONFLICT for entry in fitting)):
        return _to_page(request, action, fitting, left, back_url)
    # With the only one of a cause it is what the row's own button does: nothing that needs a page of its own.
    asks = not (of_cause and len(fitting) == 1 and action.question is None and not action.empties(fitting[0]))
    # What the page didn't show is done for what it is now: the question has listed it.
    shown = {entry.key: {one.key: [one.npd, one.monday] for one in entry.values} for entry in fitting if entry.values}

    def run() -> Report:
        if asks and (expected := expected_count(request)) != len(fitting):
            raise CountChanged(expected, len(fitting))
        return _report(request, action, _chosen_part(request, action, fitting), left, {**shown, **_seen(request)})

    def question() -> Question:
        if any(action.empties(entry) for entry in fitting):
            asked = _emptying_question(action, fitting)
        else:
            asked = action.question(request, fitting) if action.question else _question_of_all(action, fitting)
        hidden = [("action", name), ("back", back_url), ("all", "1"), ("expect", len(fitting)), ("cause", of_cause)]
        return replace(asked, hidden=[*asked.hidden, *hidden])

    return _run(request, run, back_url, question if fitting and asks else None)


def _question_of_all(action: InboxAction, fitting: Sequence[Entry]) -> Question:
    labels = {action.label_for(entry) for entry in fitting}
    label = labels.pop() if len(labels) == 1 else action.label
    number = humanize.count_with_noun(len(fitting), "entry", "entries")
    effects = list(dict.fromkeys(effect for entry in fitting if (effect := action.effect_for(entry))))
    rows = []
    for entry in fitting[:MAX_ROWS_SHOWN]:
        sides = "; ".join(f"{one.label}: {one.npd or '–'} | {one.monday or '–'}" for one in entry.values)
        rows.append((entry.name, entry.board, sides or entry.detail))
    table = RecordTable(("Entry", "Board", "NPD | Monday, or what is wrong"), rows, len(fitting))
    return Question(f"{label}: {number}?", effects, f"{label}: {number}", [table], deletes=action.deletes)


def _to_page(
    request: HttpRequest, action: InboxAction, fitting: Sequence[Entry], left: int, back_url: str
) -> HttpResponse:
    if left:
        messages.warning(request, _left_sentence(action, left))
    url = action.page(request, fitting, back_url) if action.page and fitting else ""
    return see_other(url or back_url)


def _left_sentence(action: InboxAction, left: int) -> str:
    noun = humanize.count_with_noun(left, "entry", "entries")
    return f"{noun} left alone: done meanwhile, or “{action.label}” is not possible there."


def _report(
    request: HttpRequest, action: InboxAction, fitting: Sequence[Entry], left: int, seen: Mapping[str, Any]
) -> Report:
    result = action.run(request, fitting, seen) if action.run and fitting else ActionResult(0)
    problems = [*result.problems, *([_left_sentence(action, left)] if left else [])]
    request.session.pop(LAST_ACT, None)
    is_here = _back_url(request, request.POST).startswith(reverse("npd-inbox"))
    if result.done and (result.undo or is_here):
        said: dict[str, Any] = {}
        if is_here and result.outcome:
            ids = sorted({str(entry.entity_id) for entry in fitting if entry.entity_id})
            types = sorted({entry.entity_type for entry in fitting})
            jobs: dict[str, Any] = {"types": types, "ids": ids, "items": list(result.items)}
            jobs |= {"outcome": result.outcome, "at": sync_now().isoformat()}
            if total := _open_jobs(jobs):
                said["jobs"] = jobs | {"total": total}
        keep_last_act(request, action.name, result.undo, result.sentence, **said)
        return Report(problems=problems)
    return Report(result.sentence if result.done else "", problems)


UNDO_OFFERED = timedelta(minutes=1)
"""For so long the undo of the last act is offered: later nobody who presses a key means that one."""


def keep_last_act(
    request: HttpRequest, action: str, tokens: Sequence[Any], sentence: SafeString | str, **more: Any
) -> None:
    """Have the next pages of this browser session say what was done, and offer its undo where it has tokens."""
    is_html = isinstance(sentence, SafeString)
    said = {"action": action, "tokens": list(tokens), "sentence": str(sentence), "is_html": is_html}
    request.session[LAST_ACT] = {**said, "at": sync_now().isoformat(), **more}


def last_act(request: HttpRequest) -> dict[str, Any]:
    """What the last act did, and how far it is; with nothing to undo or wait for it is told once.

    `leaves`: it goes by itself, unless somebody rests on it. What was done stands in Activity.
    """
    if not (last := request.session.get(LAST_ACT)):
        return {}
    progress, is_old = _progress(last.get("jobs")), sync_now() - datetime.fromisoformat(last["at"]) > UNDO_OFFERED
    is_running = bool(progress and (progress["waiting"] or (progress["failed"] and not is_old)))
    tokens = [] if is_old else last["tokens"]
    if not tokens and not is_running:
        del request.session[LAST_ACT]
        if is_old and not progress:
            return {}
    sentence = SafeString(last["sentence"]) if last["is_html"] else last["sentence"]
    last = {**last, "tokens": tokens, "sentence": sentence}
    return {"last": last, "progress": progress, "leaves": not is_running}


def _jobs_of(jobs: Mapping[str, Any]) -> QuerySet[SyncQueue]:
    rows = SyncQueue.objects.filter(entity_type__in=jobs["types"])
    if jobs["items"]:
        return rows.filter(entity_id=None, remote_id__in=jobs["items"])
    return rows.filter(entity_id__in=jobs["ids"]) if jobs["ids"] else rows.exclude(entity_id=None)


def _open_jobs(jobs: Mapping[str, Any]) -> int:
    rows = _jobs_of(jobs).filter(status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS))
    number: int = rows.values("remote_id" if jobs["items"] else "entity_id").distinct().count()
    return number


def _progress(jobs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How far the jobs of the last act are, by records; what joined them since is not counted as theirs."""
    if not jobs:
        return None
    failed = _jobs_of(jobs).filter(status=QueueStatus.FAILED, last_attempt__gte=jobs["at"]).count()
    waiting = min(_open_jobs(jobs), jobs["total"])
    return {**jobs, "waiting": waiting, "failed": failed, "done": max(jobs["total"] - waiting - failed, 0)}


def _run(
    request: HttpRequest, run: Callable[[], Report], back_url: str, question: Callable[[], Question] | None
) -> HttpResponse:
    model_admin = admin.site.get_model_admin(ApprovalRequest)
    return run_action(model_admin, request, run, back_url=back_url, question=question, atomic=False)


@require_POST
def undo_last_act(request: HttpRequest) -> HttpResponse:
    """Take back what the last act of this person did."""
    back_url, last = _back_url(request, request.POST), request.session.pop(LAST_ACT, None)
    if "dismiss" in request.POST:
        return see_other(back_url)
    if not last or not last["tokens"]:
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


def _seen(request: HttpRequest) -> dict[str, Any]:
    """The values that the rows showed, by key; what can't be read equals nothing stored, so that the act is refused."""
    found = {}
    for name, text in request.POST.items():
        if name.startswith(SEEN_PREFIX):
            try:
                found[name.removeprefix(SEEN_PREFIX)] = json.loads(str(text))
            except (ValueError, RecursionError):
                continue
    return found


def _back_url(request: HttpRequest, params: Mapping[str, Any]) -> str:
    back, inbox = own_address(request, str(params.get("back", ""))), reverse("npd-inbox")
    opts = [spec.model._meta for spec in registry.entities()]
    pages = [inbox, *(registry.page_url(f"{one.app_label}_{one.model_name}_changelist") for one in opts)]
    return back if any(page and back.startswith(page) for page in pages) else inbox
