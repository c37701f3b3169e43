"""The acts on what waits for a person: their buttons, and how they ask, run and are undone.

Home offers them on rows and groups, the lists of unmatched items and of approvals on selected rows (`EntriesMixin`),
and the pages of a record, a board and an unmatched item as buttons (`act_buttons`). The functions that do them have a
`@does` and stand beside their rows' lists: for jobs in queue_pages.py, for unmatched items and approvals in
items_and_approvals.py, for conflicts and rejected values in conflicts/pages/admin.py. Those without a list are at the
end.

Other acts are elsewhere: on the selected rows of a list in `act_on_rows` of its admin, on one record in
record_pages.py, pauses and the ends of pauses and stops in queue_pages.py.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from sync import attention, choices, permissions, registry
from sync.admin import admin_base, confirmed_action
from sync.admin.activity_pages import deleted_records_link
from sync.admin.confirmed_action import Question, Report
from sync.api import monday_throttle_reason
from sync.attention import Entry, Kind
from sync.boards.availability import wait_sentence
from sync.boards.board_columns import set_create_obstacle
from sync.clock import parse_moment, sync_now
from sync.fields import field_values, lookups
from sync.kernel import as_uuid, grouped, humanize
from sync.kernel.acts import ACTS, Act, ActionError, CountChanged
from sync.limits import api_quota
from sync.models import ActivityLine, ApprovalRequest, BoardLink, FieldMapping
from sync.monday.errors import MondayError
from sync.operations.setup import board_setup
from sync.outbox import enqueue
from sync.records import authors, item_links, tombstones
from sync.state import record_view
from sync.words.message import Message

MAX_TICKED = 300  # an act is done on so many selected rows, at most
LAST_ACT = "home_act"  # the session key of the last act, for its undo
SEEN_PREFIX = "seen:"  # with the entry's key: the form field with the values that its row showed

UNDO_SENTENCE = "You can undo it on Home."

# The undo of the last act is offered this long, because a key pressed later is hardly meant for it.
UNDO_OFFERED = timedelta(minutes=1)

# The values that each row showed, by the entry's key.
Shown = Mapping[str, Any]

Run = Callable[[HttpRequest, Act, Sequence[Entry], Shown], Report]
Ask = Callable[[HttpRequest, Act, Sequence[Entry]], Question]

# By the entries' kind and the act's code: the function that does it, and the one that returns its question.
RUNS: dict[tuple[Kind, str], Run] = {}
QUESTIONS: dict[tuple[Kind, str], Ask] = {}
# By the entries' kind: the function that undoes an act by the `undo` of its report.
UNDOS: dict[Kind, Callable[[HttpRequest, Sequence[str]], Report]] = {}
# By the entries' kind: the function that adds both sides' values to entries, and names the values in their acts.
LOADERS: dict[Kind, Callable[[Sequence[Entry], Sequence[FieldMapping]], Sequence[Entry]]] = {}


def needs_question(code: str, entries: Sequence[Entry], *, is_all: bool) -> bool:
    """Whether a person has to confirm the act; `is_all` if it is on all of a group, shown or not."""
    acts = [entry.act(code) for entry in entries]
    return any(act.asks or (is_all and len(acts) > 1 and act.asks_about_several) for act in acts)


def question_about(request: HttpRequest, act: Act, entries: Sequence[Entry]) -> Question:
    """Return the question before an act: its effects, and a table of the entries."""
    acts = [entry.act(act.code) for entry in entries]
    number = humanize.count_with_noun(len(entries), "entry", "entries")
    label = act.many or f"{act.label}: {{number}}"
    title = attention.filled_label(label, len(entries), attention.common_type(entries), number=number)
    effects = [*(own_act.effect for own_act in acts), act.way_back, UNDO_SENTENCE if act.undo else ""]
    effects = list(dict.fromkeys(filter(None, effects)))
    listed = entries[: confirmed_action.MAX_ROWS_SHOWN]
    # They tell a record from its namesakes.
    details = _details_by_id((entry.entity_type, entry.entity_id) for entry in listed if entry.entity_id)
    is_of_one_board = bool(attention.common_type(listed))
    reasons = {entry.own_detail for entry in listed if not entry.values}
    if len(listed) > 1 and len(reasons) == 1:  # it is said once, not in each row
        effects = [*filter(None, reasons), *effects]
        reasons = set()
    rows = []
    for entry in listed:
        sides = [f"{side.label}: {side.npd or '–'} in NPD, {side.monday or '–'} on Monday" for side in entry.values]
        happened = entry.own_detail if reasons and not sides else ""
        board = "" if is_of_one_board else entry.board
        rows.append((entry.name, board, details.get(entry.entity_id, ""), "; ".join(sides), happened))
    heads = ("Record", "Board", "Details", "Values", "What happened")
    table = confirmed_action.RecordTable(heads, rows, len(entries), entries[0].title).without_empty_columns()
    return Question(f"{title}?", effects, title, [table], deletes=any(own_act.deletes for own_act in acts))


def _details_by_id(keys: Iterable[tuple[str, UUID | None]]) -> dict[Any, str]:
    """Return what tells these records, also deleted ones, from namesakes; a few queries for each type."""
    texts: dict[Any, str] = {}
    registered = (key for key in keys if registry.is_registered(key[0]))
    for entity_type, pairs in grouped(registered, lambda key: key[0]).items():
        model = registry.entity(entity_type).model
        relations = [relation.name for relation in registry.own_relations(model)]
        ids = {pk for _type, pk in pairs if pk is not None}
        records = model.objects.select_related(*relations).in_bulk(ids)
        deleted_keys = ((entity_type, pk) for pk in ids - records.keys())
        deleted = tombstones.rebuild_records(model, list(tombstones.tombstones_of(deleted_keys).values()))
        texts |= {pk: admin_base.details_of(record) for pk, record in (records | deleted).items()}
    return texts


def does(kind: Kind, *codes: str, question: Ask = question_about) -> Callable[[Run], Run]:
    """Make a function the one that does these acts on entries of a kind, after the question if they ask."""

    def register(run: Run) -> Run:
        for code in codes:
            RUNS[kind, code] = run
            QUESTIONS[kind, code] = question
        return run

    return register


def done_sentence(act: Act, entries: Sequence[Entry], number: int) -> str:
    """Return the sentence that reports the act on this number of the entries."""
    subject = entries[0].name if len(entries) == 1 else humanize.count_with_noun(number, "entry", "entries")
    return attention.filled_label(act.done or f"{act.many}.", number, attention.common_type(entries), number=subject)


def report_of(act: Act, entries: Sequence[Entry], number: int, problems: Sequence[str] = ()) -> Report:
    """Report the act on this number of the entries, and when the next sync does it."""
    if not number:
        return Report(problems=problems)
    types = {entry.entity_type for entry in entries}
    then = wait_sentence(number, types) or "The next sync does it, within seconds."
    return Report(f"{done_sentence(act, entries, number)} {then}", problems)


def with_values(entries: Sequence[Entry], wording: attention.Wording) -> list[Entry]:
    """Return the entries with both sides' values."""
    loaded: dict[str, Entry] = {}
    for kind, load in LOADERS.items():
        of_kind = [entry for entry in entries if entry.kind is kind]
        loaded |= {entry.key: entry for entry in load(of_kind, list(wording.mappings.values()))}
    return [loaded.get(entry.key, entry) for entry in entries]


# A message says of at most this many entries what became of them, because each takes a few queries.
MAX_ENDED = 10


def describe_record_now(entity_type: str, entity_id: UUID) -> str:
    """Return a sentence with a record's present state, for a person who acted on an old page."""
    record = registry.entity(entity_type).model.objects.filter(pk=entity_id).first()
    if record is None:
        tombstone = tombstones.tombstones_of([(entity_type, entity_id)]).get((entity_type, entity_id))
        name = field_values.tombstone_name(tombstone) if tombstone else ""
        if not name:
            return f"There is no such {registry.type_name(entity_type)}; it may have been deleted."
        deletion = authors.deletion_authors([(entity_type, entity_id)]).get(entity_id)
        return f"“{name}” was deleted in NPD{f' by {deletion.by}' if deletion else ''}."
    view = record_view.view_of(record)
    if not record.sync_enabled:
        by = authors.who_turned_sync_off([record]).get(record.pk, "")
        return f"{capfirst(by or 'somebody')} has turned sync off for “{record}”."
    words = {
        record_view.RecordState.SYNCED: "is synced now",
        record_view.RecordState.PENDING: "is pending",
        record_view.RecordState.ATTENTION: "needs another answer now",
        record_view.RecordState.OFF: "is not synced",
    }[view.state]
    return f"“{record}” {words}: {view.reason}" if view.reason else f"“{record}” {words}."


def ended_sentences(user: Any, keys: Sequence[str]) -> list[str]:
    """Return why nothing was done with each of the first entries that don't wait any more, by their keys."""
    return [f"Nothing was done. {_ended_sentence(user, key)}" for key in keys[:MAX_ENDED]]


def _ended_sentence(user: Any, key: str) -> str:
    """Say that an entry doesn't wait any more, its record's present state, and its newest activity.

    The key comes from a form, so it may be about nothing, or about what this person may not see.
    """
    sentence = "It doesn't wait any more."
    kind, _, source = key.partition(":")
    if kind not in Kind.values or not permissions.may_view(user, attention.KINDS[Kind(kind)].model):
        return sentence
    # The source is a row's id, or a record's type and id and sometimes a field.
    entity_type, _, rest = source.partition(":")
    entity_id = as_uuid(rest.partition(":")[0])
    model = apps.get_model(attention.KINDS[Kind(kind)].model)
    row = model.objects.filter(pk=source).first() if admin_base.is_valid_key(model, source) else None
    if row is not None:
        entity_type = getattr(row, "entity_type", "")
        entity_id = getattr(row, "entity_id", None)
    if not registry.is_registered(entity_type) or entity_id is None:
        return sentence
    last = ActivityLine.objects.filter(entity_type=entity_type, entity_id=entity_id).order_by("-at", "-id").first()
    latest = f"Latest, by {last.actor or authors.SYNC_ACTOR}: {last.sentence}" if last else ""
    now = describe_record_now(entity_type, entity_id)
    return f"{now} {humanize.without_request_id(latest)}".rstrip()


@require_POST
def act_on_entries(request: HttpRequest) -> HttpResponse:
    """Do an act on one row (`act_and_key`), on the ticked rows (`key`), or on all of a group (`cause`).

    `act_and_key` is the act's code and the row's key; else `action` is the code, and `only` a group's only row.
    """
    code, _, key = request.POST.get("act_and_key", "").partition(" ")
    code = code or request.POST.get("action", "")
    cause = request.POST.get("cause", "")
    # PostgreSQL stores no NUL, so no key has one.
    ticked = request.POST.getlist("key")[:MAX_TICKED] or request.POST.getlist("only")
    keys = [text for text in ([key] if key else ticked) if "\0" not in text]
    back_url = admin_base.back_url(request)
    if not keys and (not cause or "\0" in cause):
        messages.warning(request, "Nothing is selected.")
        return HttpResponseRedirect(back_url)
    return _act(request, code, keys, cause, back_url)


HTMX_STOPS_POLLING = 286


@require_POST
def follow_question(request: HttpRequest) -> HttpResponse:
    """Say on an open question which of its entries don't wait any more, and whether that leaves nothing to do."""
    visible = attention.seen_by(request.user)
    keys = [key for key in request.POST.getlist("key")[:MAX_TICKED] if "\0" not in key]
    cause = request.POST.get("cause", "").replace("\0", "")
    waiting = {row.key for row in attention.with_keys(visible, keys)}
    ended = [key for key in keys if key not in waiting]
    is_over = not waiting if keys else not visible.filter(cause=cause).exists()
    sentences = [_ended_sentence(request.user, key) for key in ended[:MAX_ENDED]]
    context = {"sentences": sentences, "is_over": is_over}
    status = HTMX_STOPS_POLLING if is_over else HTTPStatus.OK
    return render(request, "sync/question_state.html", context, status=status)


class EntriesMixin(admin_base.PageAdmin):
    """A list of the rows behind a kind of Home's entries: its actions are the acts that Home offers on them."""

    kind: Kind

    def acts(self, request: HttpRequest) -> list[Act]:
        types = [spec.entity_type for spec in registry.entities()]
        acts = attention.acts_of(self.kind, "")
        return [act for act in acts if any(attention.may_do(request.user, act, self.kind, name) for name in types)]

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[Any], act: Act) -> HttpResponse:
        keys = [f"{self.kind}:{pk}" for pk in rows.order_by("pk").values_list("pk", flat=True)]
        if len(keys) > MAX_TICKED:
            messages.info(request, f"At most {MAX_TICKED} are done at once, the oldest first. Repeat it for the rest.")
        return _act(request, act.code, keys[:MAX_TICKED], "", request.get_full_path())

    def row_buttons(self, request: HttpRequest, row: Any) -> list[admin_base.Button]:
        """Return the acts on what waits because of the row."""
        waiting = attention.with_keys(attention.waiting(), [f"{self.kind}:{row.pk}"])
        entries = with_values(attention.entries(waiting), attention.Wording.of_boards())
        return [button for entry in entries for button in act_buttons(entry, request.user, request.path)]


def act_buttons(entry: Entry, user: Any, page_url: str) -> list[admin_base.Button]:
    """Return the acts on an entry that this person may do, for the page at `page_url`; those that delete come last."""
    url = reverse("npd-home-act")
    return [
        admin_base.Button(
            act.button,
            act.code,
            post_to=url,
            hidden={"act_and_key": f"{act.code} {entry.key}", "back": page_url},
            deletes=act.deletes,
        )
        for act in sorted(attention.offered_acts(user, entry), key=lambda act: act.deletes)
    ]


def _act(request: HttpRequest, code: str, keys: Sequence[str], cause: str, back_url: str) -> HttpResponse:
    """Do an act on the entries with these keys, or without any on all of a cause.

    Leaves alone, and says why, entries that no longer wait, and those that this person may not act on.
    """
    visible = attention.seen_by(request.user)
    rows = attention.with_keys(visible, keys) if keys else visible.filter(cause=cause)
    entries = attention.entries(rows, limit=None)
    if not keys:  # a cause may have entries of two kinds, each with acts of its own
        entries = [entry for entry in entries if (entry.kind, code) in RUNS] or entries
    ended = sorted(set(keys) - {entry.key for entry in entries})
    if all((entry.kind, code) not in RUNS for entry in entries):
        why = ": it is not possible for what you chose" if entries else ", because nothing of this group waits any more"
        for sentence in confirmed_action.first_few(ended_sentences(request.user, ended)) or [f"Nothing was done{why}."]:
            messages.warning(request, sentence)
        return HttpResponseRedirect(back_url)
    entries = with_values(entries, attention.Wording.of_boards())
    fitting, left_alone = _fitting(request.user, code, entries)
    number_waiting = len(fitting)
    fitting = fitting[: ACTS[code].max_per_request or None]
    # The question about a whole group lists the entries that the page didn't show, so their present values are shown.
    shown = _shown_values(request, () if keys else fitting)
    digest = confirmed_action.digest_of_rows(entry.key for entry in fitting)
    hidden: list[tuple[str, object]] = [("action", code), ("back", back_url), ("expect", len(fitting))]
    hidden += [("key", entry.key) for entry in fitting] if keys else [("cause", cause), ("asked", digest)]
    hidden += [(f"{SEEN_PREFIX}{entry.key}", json.dumps(shown[entry.key])) for entry in fitting if entry.key in shown]
    asks = needs_question(code, fitting, is_all=not keys)

    def question() -> Question:
        page = QUESTIONS[fitting[0].kind, code](request, fitting[0].act(code), fitting)
        effects = [*page.effects, *confirmed_action.first_few(left_alone)]
        if number_waiting > len(fitting):
            limit = f"At most {len(fitting)} are done at once, the oldest first. Repeat it for the rest."
            effects.insert(0, f"{number_waiting:,} wait. {limit}")
        hidden_fields = [*page.hidden, *hidden]
        return replace(page, effects=effects, hidden=hidden_fields, target=reverse("npd-home-act"))

    def run() -> Report:
        # The group has changed since the question listed its entries.
        if asks and not keys and request.POST.get("asked") != digest:
            raise CountChanged(confirmed_action.expected_count(request), len(fitting))
        report = Report()
        if fitting:
            report = RUNS[fitting[0].kind, code](request, fitting[0].act(code), fitting, shown)
        problems = [*report.problems, *left_alone, *ended_sentences(request.user, ended)]
        if not report.sentence and not problems:
            # Somebody was faster by a moment.
            problems = ended_sentences(request.user, [entry.key for entry in fitting])
        return keep_for_undo(request, (fitting or entries)[0].kind, replace(report, problems=problems), back_url)

    return confirmed_action.run_action(_page_admin(), request, run, back_url, question if asks else None)


def _fitting(user: Any, code: str, entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Return the entries on which one act is done together, and why the others are left alone."""
    fitting: list[Entry] = []
    left_alone = []
    for entry in entries:
        if code not in [act.code for act in attention.offered_acts(user, entry)]:
            left_alone.append(f"“{ACTS[code].button}” is not possible for “{entry.name}”: {entry.sentence}")
        elif fitting and (entry.kind, entry.act(code).many) != (fitting[0].kind, fitting[0].act(code).many):
            # One button never does both deletions and emptied fields.
            left_alone.append(f"“{entry.name}” is left alone: it asks something else. Choose it by itself.")
        else:
            fitting.append(entry)
    return fitting, left_alone


def _shown_values(request: HttpRequest, listed: Sequence[Entry]) -> dict[str, Any]:
    """Return the values that the rows showed, by key, without those that can't be parsed, and the listed entries'."""
    values_now = {entry.key: {value.key: [value.npd, value.monday] for value in entry.values} for entry in listed}
    sent = {
        name: admin_base.parse_json(str(text)) for name, text in request.POST.items() if name.startswith(SEEN_PREFIX)
    }
    shown = {name.removeprefix(SEEN_PREFIX): values for name, values in sent.items() if values is not None}
    return {key: values for key, values in values_now.items() if values} | shown


def last_act(request: HttpRequest) -> dict[str, Any]:
    """Return the last act for the page's context, as long as its undo is offered."""
    if not (last := request.session.get(LAST_ACT)):
        return {}
    if sync_now() - datetime.fromisoformat(last["at"]) > UNDO_OFFERED:
        del request.session[LAST_ACT]
        return {}
    return {"last": last}


def keep_for_undo(request: HttpRequest, kind: Kind, report: Report, back_url: str) -> Report:
    """Keep an act on entries of a kind for Home's “Undo”; return its report for the page that it leads back to."""
    request.session.pop(LAST_ACT, None)
    if not report.sentence or not report.undo:
        return report
    request.session[LAST_ACT] = {
        "kind": kind.value,
        "tokens": list(report.undo),
        "sentence": report.sentence,
        "at": sync_now().isoformat(),
    }
    is_home = back_url.partition("?")[0] == reverse("admin:index")  # which shows it beside the button “Undo”
    return replace(report, sentence="" if is_home else f"{report.sentence} {UNDO_SENTENCE}")


@require_POST
def undo_last_act(request: HttpRequest) -> HttpResponse:
    last = request.session.pop(LAST_ACT, None)
    back_url = admin_base.back_url(request)
    if "dismiss" in request.POST:
        return HttpResponseRedirect(back_url)
    if not last:
        messages.warning(request, "There is nothing to undo.")
        return HttpResponseRedirect(back_url)
    kind = Kind(last["kind"])
    # The rights may have been withdrawn since the act.
    if not attention.may_act_on(request.user, kind, ""):
        raise PermissionDenied

    def run() -> Report:
        try:
            return UNDOS[kind](request, last["tokens"])
        except ActionError as error:
            raise ActionError(f"Nothing was undone. {error}") from error

    return confirmed_action.run_action(_page_admin(), request, run, back_url)


def _page_admin() -> Any:
    """Return an admin for the questions of acts, which need one for their page."""
    return admin.site.get_model_admin(ApprovalRequest)


# The acts on fields, columns and removed items.


@does(Kind.BLOCKED, "retry_field")
@does(Kind.REJECTED, "retry_field")
def _retry_fields(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Shown) -> Report:
    """Try blocked fields and rejected values again."""
    tried = 0
    problems: list[str] = []
    by_field = grouped(entries, lambda entry: (entry.entity_type, entry.field))
    for mapping in FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in by_field}):
        field_entries = by_field.get((mapping.link.entity_type, mapping.key), ())
        ids = [entry.entity_id for entry in field_entries if entry.entity_id]
        if not ids:
            continue
        records = registry.entity(mapping.link.entity_type).model.objects
        synced = records.filter(pk__in=ids).exclude(sync_status=choices.RecordSyncStatus.DISABLED)
        ids = list(synced.order_by("pk").values_list("pk", flat=True))
        if not ids:
            problems.append("Nothing was done: the sync of its records is off.")
            continue
        payload = {"by": request.user.get_username()}
        enqueue(mapping.link.entity_type, ids, cause=choices.Cause.PERSON, payload=payload)
        tried += len(ids)
        number = humanize.count_with_noun(len(ids), "record")
        authors.log_action(request.user, mapping, f"Tried again on {number}.")
    return report_of(act, entries, tried, problems)


@does(Kind.BLOCKED, "check_column")
@does(Kind.BOARD, "check_column")
def _check_columns(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Shown) -> Report:
    """Ask Monday whether the boards' columns are back."""
    answers = []
    problems = []
    for link in BoardLink.objects.filter(entity_type__in={entry.entity_type for entry in entries}).order_by("pk"):
        if throttle_text := monday_throttle_reason(request):
            problems.append(f"NPD Sync didn't ask Monday: {throttle_text}")
            break
        authors.log_action(request.user, link, "Asked Monday for the board's columns.")
        try:
            answers.append(board_setup.check_board(lookups.with_configured_board(link)))
        except MondayError as error:
            problems.append(error.sentence)
        except ActionError as error:
            problems.append(str(error))
    return Report(" ".join(answers), problems)


@does(Kind.BOARD, "create_anyway")
@transaction.atomic
def _create_anyway(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Shown) -> Report:
    for link in BoardLink.objects.filter(entity_type__in={entry.entity_type for entry in entries}):
        set_create_obstacle(link, "creates_held", "")
        authors.log_settings_changed(request.user, link, Message("creates_anyway"))
    return Report("New items and records are created now.")


# Removed items are answered as on their records' pages, so it doesn't matter whether a conflict was stored yet.


def _ids_by_type(entries: Iterable[Entry]) -> dict[str, list[Any]]:
    by_type = grouped(entries, lambda entry: entry.entity_type)
    return {entity_type: [entry.entity_id for entry in group] for entity_type, group in by_type.items()}


def _log_on_records(request: HttpRequest, entity_type: str, ids: Sequence[Any], sentence: str) -> None:
    records = registry.entity(entity_type).model.objects.filter(pk__in=ids)
    authors.log_action_many(request.user, records, sentence)


def _question_before_creates(request: HttpRequest, act: Act, entries: Sequence[Entry]) -> Question:
    """Ask, and name the day's calls that the creates use."""
    question = question_about(request, act, entries)
    ids = _ids_by_type(entries)
    links = BoardLink.objects.filter(entity_type__in=ids)
    cost = api_quota.cost_sentence({link.pk: len(ids[link.entity_type]) for link in links})
    return replace(question, effects=[*question.effects, cost]) if cost else question


@does(Kind.REMOVED, "create_item", question=_question_before_creates)
def _create_items(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Shown) -> Report:
    problems: list[str] = []
    for entity_type, ids in _ids_by_type(entries).items():
        _log_on_records(request, entity_type, ids, "Asked to create its item again.")
        problems += item_links.request_recreation(entity_type, ids, request.user.get_username())
    # Each problem is about one record.
    return report_of(act, entries, len(entries) - len(problems), problems)


@does(Kind.REMOVED, "unlink")
def _unlink(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Shown) -> Report:
    for entity_type, ids in _ids_by_type(entries).items():
        _log_on_records(request, entity_type, ids, "Asked to unlink it from Monday.")
        item_links.request_unlink(entity_type, ids, request.user.get_username())
    return report_of(act, entries, len(entries))


# The form field with the time of the question.
_ASKED_AT = "asked_at"


def _question_before_deletions(request: HttpRequest, act: Act, entries: Sequence[Entry]) -> Question:
    """Ask, and send the time along, so that records edited later are left alone."""
    return replace(question_about(request, act, entries), hidden=[(_ASKED_AT, sync_now().isoformat())])


@does(Kind.REMOVED, "delete_record", question=_question_before_deletions)
def _delete_records(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Shown) -> Report:
    """Delete the records that nobody has edited since the question."""
    asked_at = parse_moment(request.POST.get(_ASKED_AT))
    deleted = 0
    problems = []
    for entity_type, ids in _ids_by_type(entries).items():
        manager = registry.entity(entity_type).model.objects
        rows = manager.filter(pk__in=ids, updated_at__lte=asked_at) if asked_at else manager.none()
        if edited := len(ids) - rows.count():
            records = registry.count_of_type(edited, entity_type)
            problems.append(f"{records} not deleted: somebody has edited or deleted them meanwhile. Check them again.")
        # All of them, or none if another record needs one.
        row_ids = list(rows.order_by("pk").values_list("pk", flat=True))
        try:
            with transaction.atomic():
                admin.site.get_model_admin(rows.model).log_deletions(request, rows)
                manager.filter(pk__in=row_ids).delete()
        except (models.ProtectedError, models.RestrictedError) as error:
            raise ActionError("Nothing was deleted: other records in NPD need one of these.") from error
        deleted += len(row_ids)
    if not deleted:
        return Report(problems=problems)
    # No undo: a restored record gets a new item on Monday, which is asked about there.
    link = deleted_records_link(request.user, "Restore under Deleted records")
    return Report(format_html("{} {}", done_sentence(act, entries, deleted), link), problems)
