"""How Home, records' pages and lists offer, confirm, run and undo the acts of `sync.kernel.messages`.

A handler does one act with entries of some kinds. The engine's handlers are in `engine_handlers`, those of conflicts in
`conflicts.admin.conflict_handlers`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from sync import attention, registry
from sync.admin import admin_base, confirmed_action
from sync.admin.admin_base import Button, own_address, parse_json, see_other
from sync.attention import Entry, Kind
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ACTS, ActionError, CountChanged
from sync.models import ApprovalRequest, Decision, FieldMapping
from sync.reconcile.field_values import as_uuid
from sync.records import authors, tombstones
from sync.records.availability import wait_sentence
from sync.state import record_view

MAX_TICKED = 300  # an act takes so many selected rows, at most
LAST_ACT = "home_act"  # the session key of the last act, for its undo
SEEN_PREFIX = "seen:"  # with the entry's key: the form field with the values that its row showed

UNDO_SENTENCE = "You can undo it on Home."

# The undo of the last act is offered this long, because a key pressed later is hardly meant for it.
UNDO_OFFERED = timedelta(minutes=1)


class Handler:
    """One act on entries of some kinds; its words are those of the act unless a subclass overrides them."""

    code = ""  # of the act
    kinds: frozenset[Kind] = frozenset()

    @property
    def key(self) -> str:
        return ACTS[self.code].key

    def fits(self, user: Any, entry: Entry) -> bool:
        """Whether this is an act on the entry that this person may do."""
        own = [act for act in entry.acts if act.code == self.code and entry.kind in self.kinds]
        return any(attention.may_do(user, act, entry.kind, entry.entity_type) for act in own)

    def label(self, entry: Entry) -> str:
        return entry.act(self.code).button

    def effect(self, entry: Entry) -> str:
        return entry.act(self.code).effect

    def deletes(self, entry: Entry) -> bool:
        """Whether the act deletes a record, an item or a value; its button is then red and never the first."""
        return entry.act(self.code).deletes

    def title(self, entries: Sequence[Entry]) -> str:
        """Return the act with the number of entries."""
        act = entries[0].act(self.code)
        number = humanize.count_with_noun(len(entries), "entry", "entries")
        label = act.many or f"{act.label}: {{number}}"
        return attention.counted(label, len(entries), attention.common_type(entries), number=number)

    def needs_question(self, entries: Sequence[Entry], *, is_all: bool) -> bool:
        """Whether a person has to confirm the act; `is_all` if it is on all of a group, shown or not."""
        act = entries[0].act(self.code)
        return act.asks or (is_all and len(entries) > 1 and act.asks_about_several)

    def group_button(self, group: attention.Group, entries: Sequence[Entry]) -> Button:
        """Return the button for a whole group; `entries` are those of the group that the page shows."""
        act = entries[0].act(self.code)
        button = Button(self.label(entries[0]), self.code, key=self.key, deletes=any(map(self.deletes, entries)))
        if group.number == 1:
            return button
        label = attention.counted(act.many.replace("{number}", "all {number}"), group.number, group.entity_type)
        if self.needs_question(entries, is_all=True):
            label = f"{label}…"
        words = "the selected"
        selected = act.many.format(number=words, records=words, items=words, fields=words)
        return replace(button, label=label, label_if_selected=f"{selected}…" if act.asks else selected)

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> confirmed_action.Question:
        act = entries[0].act(self.code)
        title = self.title(entries)
        effects = [*map(self.effect, entries), act.way_back, UNDO_SENTENCE if act.undo else ""]
        table = _table(entries).without_empty_columns()
        effects = list(dict.fromkeys(filter(None, effects)))
        return confirmed_action.Question(f"{title}?", effects, title, [table], deletes=act.deletes)

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        """Do the act; `shown` has the values that each row showed, by the entry's key."""
        raise NotImplementedError

    def done_sentence(self, entries: Sequence[Entry], number: int) -> str:
        """Return the sentence that reports the act on this number of the entries."""
        act = entries[0].act(self.code)
        subject = entries[0].name if len(entries) == 1 else humanize.count_with_noun(number, "entry", "entries")
        return attention.counted(act.done or f"{act.many}.", number, attention.common_type(entries), number=subject)

    def report(self, entries: Sequence[Entry], number: int, problems: Sequence[str] = ()) -> confirmed_action.Report:
        """Report what the next sync does, and why that waits."""
        if not number:
            return confirmed_action.Report(problems=problems)
        types = {entry.entity_type for entry in entries}
        then = wait_sentence(number, types) or "The next sync does it, within seconds."
        return confirmed_action.Report(f"{self.done_sentence(entries, number)} {then}", problems)

    def undo(self, request: HttpRequest, tokens: Sequence[str]) -> confirmed_action.Report:
        """Undo the act by the `undo` of its report."""
        raise NotImplementedError


def _table(entries: Sequence[Entry]) -> confirmed_action.RecordTable:
    """Return the entries of a question, which have one cause, with what tells their records from namesakes."""
    listed = entries[: confirmed_action.MAX_ROWS_SHOWN]
    details = admin_base.descriptions((entry.entity_type, entry.entity_id) for entry in listed if entry.entity_id)
    is_of_one_board = bool(attention.common_type(listed))
    rows = []
    for entry in listed:
        sides = [f"{side.label}: {side.npd or '–'} in NPD, {side.monday or '–'} on Monday" for side in entry.values]
        happened = "" if sides else entry.own_detail
        board = "" if is_of_one_board else entry.board
        rows.append((entry.name, board, details.get(entry.entity_id, ""), "; ".join(sides), happened))
    heads = ("Record", "Board", "Details", "Values", "What happened")
    return confirmed_action.RecordTable(heads, rows, len(entries), entries[0].title)


# By the entry's kind and the act's code.
HANDLERS: dict[tuple[Kind, str], Handler] = {}


def register(*handlers: Handler) -> None:
    for handler in handlers:
        HANDLERS.update({(kind, handler.code): handler for kind in handler.kinds})


def handlers_of(kind: Kind, code: str) -> list[Handler]:
    """Return the handlers of a cause's acts, the main act first."""
    return [HANDLERS[kind, act.code] for act in attention.acts_of(kind, code) if (kind, act.code) in HANDLERS]


def offered_to(user: Any, entry: Entry) -> list[Handler]:
    return [handler for handler in handlers_of(entry.kind, entry.cause_code) if handler.fits(user, entry)]


ValuesLoader = Callable[[Sequence[Entry], Sequence[FieldMapping]], Mapping[str, Sequence[attention.SideValues]]]
# For some kinds, the function that loads both sides' values of entries, by their keys.
VALUE_LOADERS: dict[Kind, ValuesLoader] = {}


def with_values(entries: Sequence[Entry], wording: attention.Wording) -> list[Entry]:
    """Return the entries with both sides' values."""
    values: dict[str, Sequence[attention.SideValues]] = {}
    for kind, load in VALUE_LOADERS.items():
        values |= load([entry for entry in entries if entry.kind is kind], list(wording.mappings.values()))
    return [replace(entry, values=tuple(values.get(entry.key, entry.values))) for entry in entries]


# An answer says of this many entries what became of them, since each takes a few queries.
MAX_ENDED = 10


def describe_record_now(entity_type: str, entity_id: UUID) -> str:
    """Say how a record stands, where something of it doesn't wait any more."""
    record = registry.entity(entity_type).model._default_manager.filter(pk=entity_id).first()
    if record is None:
        stones = tombstones.tombstones_of([entity_type], [entity_id])
        if not (name := next(map(registry.tombstone_name, stones), "")):
            return f"There is no such {registry.type_name(entity_type)}; it may have been deleted."
        deletion = authors.deletion_authors([(entity_type, entity_id)]).get(entity_id)
        return f"“{name}” was deleted in NPD{f' by {deletion.by}' if deletion else ''}."
    view = record_view.describe_one(record)
    if not record.sync_enabled:
        by = authors.turned_sync_off(record)
        return f"{capfirst(by or 'somebody')} has turned sync off for “{record}”."
    words = {
        record_view.RecordState.SYNCED: "is synced now",
        record_view.RecordState.PENDING: "is pending",
        record_view.RecordState.ATTENTION: "needs another answer now",
        record_view.RecordState.OFF: "is not synced",
    }[view.state]
    return f"“{record}” {words}: {view.reason}" if view.reason else f"“{record}” {words}."


def ended_sentences(user: Any, keys: Sequence[str]) -> list[str]:
    """Return a sentence for each of the first entries that don't wait any more, by their keys."""
    return [_ended_sentence(user, key) for key in keys[:MAX_ENDED]]


def _ended_sentence(user: Any, key: str) -> str:
    """Say that an entry doesn't wait any more, how its record stands, and the last that its activity says of it.

    The key comes from a form, so it may be about nothing, or about what this person may not see.
    """
    sentence = "Nothing was done, because it doesn't wait any more."
    kind, _, source = key.partition(":")
    if kind not in Kind.values or not registry.may_view(user, attention.KINDS[Kind(kind)].model):
        return sentence
    # The source is a row's id, or a record's type and id and sometimes a field.
    entity_type, _, rest = source.partition(":")
    entity_id = as_uuid(rest.partition(":")[0])
    model = apps.get_model(attention.KINDS[Kind(kind)].model)
    row = model._default_manager.filter(pk=source).first() if admin_base.is_valid_key(model, source) else None
    if row is not None:
        entity_type = getattr(row, "entity_type", "")
        entity_id = getattr(row, "entity_id", None)
    if not registry.is_registered(entity_type) or entity_id is None:
        return sentence
    last = Decision.objects.filter(entity_type=entity_type, entity_id=entity_id).order_by("-at", "-id").first()
    latest = f"Latest, by {last.actor or authors.SYNC_ACTOR}: {last.sentence}" if last else ""
    now = describe_record_now(entity_type, entity_id)
    return f"Nothing was done. {now} {humanize.without_request_id(latest)}".rstrip()


@require_POST
def act_on_entries(request: HttpRequest) -> HttpResponse:
    """Do an act on one row (`one`), on the ticked rows (`key`), or on all of a group (`cause`).

    `one` is the act's code and the row's key; else `action` is the code, and `only` the row of a group that has one.
    """
    code, _, key = request.POST.get("one", "").partition(" ")
    code = code or request.POST.get("action", "")
    cause = request.POST.get("cause", "")
    # PostgreSQL stores no NUL, so no key has one.
    ticked = request.POST.getlist("key")[:MAX_TICKED] or request.POST.getlist("only")
    keys = [text for text in ([key] if key else ticked) if "\0" not in text]
    back_url = _back_url(request)
    if not keys and (not cause or "\0" in cause):
        messages.warning(request, "Nothing is selected.")
        return see_other(back_url)
    return _act(request, code, keys, cause, back_url)


def act_on_rows(request: HttpRequest, code: str, kind: Kind, rows: QuerySet[Any]) -> HttpResponse:
    """Do an act on the rows that somebody selected in the list of what is behind a kind of entries."""
    keys = [f"{kind}:{pk}" for pk in rows.order_by("pk").values_list("pk", flat=True)]
    if len(keys) > MAX_TICKED:
        messages.info(request, f"At most {MAX_TICKED} are done at once, the oldest first. Repeat it for the rest.")
    return _act(request, code, keys[:MAX_TICKED], "", request.get_full_path())


def _act(request: HttpRequest, code: str, keys: Sequence[str], cause: str, back_url: str) -> HttpResponse:
    """Do an act on the entries with these keys, or without any on all of a cause.

    Leaves alone, and says why, entries that no longer wait, and those that this person may not act on.
    """
    visible = attention.seen_by(request.user)
    rows = attention.with_keys(visible, keys) if keys else visible.filter(cause=cause)
    entries = attention.entries(rows, limit=None)
    ended = sorted(set(keys) - {entry.key for entry in entries})
    handler = next((HANDLERS[entry.kind, code] for entry in entries if (entry.kind, code) in HANDLERS), None)
    if handler is None:
        default = "Nothing was done, because nothing of this group waits any more."
        if entries:
            default = "Nothing was done: it is not possible for what you chose."
        for sentence in humanize.first_few(ended_sentences(request.user, ended)) or [default]:
            messages.warning(request, sentence)
        return see_other(back_url)
    entries = with_values(entries, attention.Wording.of_boards())
    fitting = [entry for entry in entries if handler.fits(request.user, entry)]
    left_alone = [
        f"“{ACTS[code].button}” is not possible for “{entry.name}”: {entry.sentence}"
        for entry in entries
        if entry not in fitting
    ]
    # One button never does both deletions and emptied fields.
    others = [entry for entry in fitting if entry.act(code) != fitting[0].act(code)]
    left_alone += [f"“{entry.name}” is left alone: it asks something else. Choose it by itself." for entry in others]
    fitting = [entry for entry in fitting if entry not in others]
    number_waiting = len(fitting)
    fitting = fitting[: ACTS[code].max_per_request or None]
    # The question about a whole group lists the entries that the page didn't show, so their present values are shown.
    shown = _shown_values(request, () if keys else fitting)
    digest = confirmed_action.digest_of_rows(entry.key for entry in fitting)
    hidden: list[tuple[str, object]] = [("action", code), ("back", back_url), ("expect", len(fitting))]
    hidden += [("key", entry.key) for entry in fitting] if keys else [("cause", cause), ("asked", digest)]
    hidden += [(f"{SEEN_PREFIX}{entry.key}", json.dumps(shown[entry.key])) for entry in fitting if entry.key in shown]
    needs_question = bool(fitting) and handler.needs_question(fitting, is_all=not keys)

    def question() -> confirmed_action.Question:
        page = handler.question(request, fitting)
        effects = [*page.effects, *humanize.first_few(left_alone)]
        if number_waiting > len(fitting):
            limit = f"At most {len(fitting)} are done at once, the oldest first. Repeat it for the rest."
            effects.insert(0, f"{number_waiting:,} wait. {limit}")
        hidden_fields = [*page.hidden, *hidden]
        return replace(page, effects=effects, hidden=hidden_fields, target=reverse("npd-home-act"))

    def run() -> confirmed_action.Report:
        # The group has changed since the question listed its entries.
        if needs_question and not keys and request.POST.get("asked") != digest:
            raise CountChanged(confirmed_action.expected_count(request), len(fitting))
        report = handler.run(request, fitting, shown) if fitting else confirmed_action.Report()
        problems = [*report.problems, *left_alone, *ended_sentences(request.user, ended)]
        if not report.sentence and not problems:
            # Somebody was faster by a moment.
            problems = ended_sentences(request.user, [entry.key for entry in fitting])
        request.session.pop(LAST_ACT, None)
        if not report.sentence or not report.undo:
            return confirmed_action.Report(report.sentence, problems)
        request.session[LAST_ACT] = {
            "kind": fitting[0].kind.value,
            "action": code,
            "tokens": list(report.undo),
            "sentence": report.sentence,
            "at": sync_now().isoformat(),
        }
        is_home = back_url == reverse("admin:index")  # which shows it beside the button “Undo”
        return confirmed_action.Report("" if is_home else f"{report.sentence} {UNDO_SENTENCE}", problems)

    return confirmed_action.run_action(_page_admin(), request, run, back_url, question if needs_question else None)


def _shown_values(request: HttpRequest, listed: Sequence[Entry]) -> dict[str, Any]:
    """Return the values that the rows showed, by key, without those that can't be parsed, and the listed entries'."""
    values_now = {entry.key: {value.key: [value.npd, value.monday] for value in entry.values} for entry in listed}
    sent = {name: parse_json(str(text)) for name, text in request.POST.items() if name.startswith(SEEN_PREFIX)}
    shown = {name.removeprefix(SEEN_PREFIX): values for name, values in sent.items() if values is not None}
    return {key: values for key, values in values_now.items() if values} | shown


def _back_url(request: HttpRequest) -> str:
    """Return the page of the admin that sent the act, or Home."""
    back = own_address(request, str(request.POST.get("back", "")))
    return back if back.startswith(reverse("admin:index")) else reverse("admin:index")


def last_act(request: HttpRequest) -> dict[str, Any]:
    """Return the last act for the page's context, as long as its undo is offered."""
    if not (last := request.session.get(LAST_ACT)):
        return {}
    if sync_now() - datetime.fromisoformat(last["at"]) > UNDO_OFFERED:
        del request.session[LAST_ACT]
        return {}
    return {"last": last}


@require_POST
def undo_last_act(request: HttpRequest) -> HttpResponse:
    last = request.session.pop(LAST_ACT, None)
    back_url = _back_url(request)
    if "dismiss" in request.POST:
        return see_other(back_url)
    if not last:
        messages.warning(request, "There is nothing to undo.")
        return see_other(back_url)
    handler = HANDLERS[Kind(last["kind"]), last["action"]]
    # The rights may have been withdrawn since the act.
    if not all(attention.may_act_on(request.user, kind, "") for kind in handler.kinds):
        raise PermissionDenied

    def run() -> confirmed_action.Report:
        try:
            return handler.undo(request, last["tokens"])
        except ActionError as error:
            return confirmed_action.Report(problems=[f"Nothing was undone. {error}"])

    return confirmed_action.run_action(_page_admin(), request, run, back_url)


def _page_admin() -> Any:
    """Return an admin for the questions of acts, which need one for their page."""
    return admin.site.get_model_admin(ApprovalRequest)
