"""How Home and records' pages offer, confirm, run and undo the acts of `sync.kernel.messages`.

A handler does one act with entries of some kinds. The engine's handlers are in `engine_handlers`, those of conflicts in
`conflicts.admin.conflict_handlers`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from sync import attention, registry
from sync.admin import confirmed_action
from sync.admin.admin_base import own_address, parse_json, records_url, see_other
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ACTS, Act, ActionError, CountChanged
from sync.models import ApprovalRequest, FieldMapping
from sync.operations import person_requests
from sync.records import authors, tombstones
from sync.state import record_view

# An act takes this many ticked rows at most.
MOST_TICKED = 300

# The session key of the last act, for its undo.
LAST_ACT = "home_act"

# The form field with the values that a row showed: this prefix and the entry's key.
SEEN_PREFIX = "seen:"

UNDO_SENTENCE = "You can undo it on Home."

# The undo of the last act is offered this long, because a key pressed later is hardly meant for it.
UNDO_OFFERED = timedelta(minutes=1)


class Handler:
    """One act on entries of some kinds; its words are those of the act unless a subclass overrides them."""

    code = ""  # of the act
    kinds: frozenset[attention.Kind] = frozenset()
    asks_about_several = True  # whether acting on a whole group needs a question

    @property
    def act(self) -> Act:
        return ACTS[self.code]

    def fits(self, user: Any, entry: attention.Entry) -> bool:
        """Whether this person may do an act that the entry has."""
        return attention.may_do(user, self.act, entry.kind, entry.entity_type)

    def is_for(self, user: Any, entry: attention.Entry) -> bool:
        return entry.kind in self.kinds and self.act in entry.acts and self.fits(user, entry)

    def label(self, entry: attention.Entry) -> str:
        return self.act.button

    def effect(self, entry: attention.Entry) -> str:
        return self.act.effect

    def takes_away(self, entry: attention.Entry) -> bool:
        """Whether the act deletes a record, an item or a value; its button is then red and never the first."""
        return self.act.deletes

    def group_label(self, group: attention.Group, entries: Sequence[attention.Entry]) -> str:
        """Return the button's label for a whole group; `entries` are those of the group that the page shows."""
        if group.number == 1:
            return self.label(entries[0])
        label = counted(self.act.many.replace("{number}", "all {number}"), group.number, group.entity_type)
        return f"{label}…" if self.is_asked(entries, is_all=True) else label

    def title(self, entries: Sequence[attention.Entry]) -> str:
        number = humanize.count_with_noun(len(entries), "entry", "entries")
        label = self.act.many or f"{self.act.label}: {{number}}"
        return counted(label, len(entries), common_type(entries), number=number)

    def is_asked(self, entries: Sequence[attention.Entry], *, is_all: bool) -> bool:
        return self.act.asks or (is_all and len(entries) > 1 and self.asks_about_several)

    def question(self, request: HttpRequest, entries: Sequence[attention.Entry]) -> confirmed_action.Question:
        title = self.title(entries)
        effects = [*dict.fromkeys(self.effect(entry) for entry in entries), self.act.way_back]
        return confirmed_action.Question(
            f"{title}?",
            [effect for effect in [*effects, UNDO_SENTENCE if self.act.undo else ""] if effect],
            title,
            [self.table(entries).without_empty_columns()],
            deletes=self.act.deletes,
        )

    def table(self, entries: Sequence[attention.Entry]) -> confirmed_action.RecordTable:
        """Return the entries that the question shows."""
        rows = []
        for entry in entries[: confirmed_action.MAX_ROWS_SHOWN]:
            sides = [f"{side.label}: {side.npd or '–'} in NPD, {side.monday or '–'} on Monday" for side in entry.values]
            rows.append((entry.name, entry.board, "; ".join(sides), "" if sides else entry.detail))
        return confirmed_action.RecordTable(("Record", "Board", "Details", "What happened"), rows, len(entries))

    def run(
        self, request: HttpRequest, entries: Sequence[attention.Entry], shown: Mapping[str, Any]
    ) -> confirmed_action.Report:
        """Do the act; `shown` has the values that each row showed, by the entry's key."""
        raise NotImplementedError

    def undo(self, request: HttpRequest, tokens: Sequence[str]) -> confirmed_action.Report:
        """Undo the act by the `undo` of its report."""
        raise NotImplementedError


def common_type(rows: Iterable[Any]) -> str:
    """Return the one type of records that all rows are about; empty if there are several."""
    types = {row.entity_type for row in rows}
    return types.pop() if len(types) == 1 else ""


def counted(label: str, count: int, entity_type: str, *, number: str = "") -> str:
    """Fill the placeholders {number}, {records}, {items} and {fields} of a label."""
    return label.format(
        number=number or f"{count:,}",
        records=registry.count_of_type(count, entity_type),
        items=humanize.count_with_noun(count, "item"),
        fields=humanize.count_with_noun(count, "field"),
    )


# By the entry's kind and the act's code.
HANDLERS: dict[tuple[attention.Kind, str], Handler] = {}


def register(*handlers: Handler) -> None:
    for handler in handlers:
        HANDLERS.update({(kind, handler.code): handler for kind in handler.kinds})


def handlers_of(kind: attention.Kind, code: str) -> list[Handler]:
    """Return the handlers of a cause's acts, the main act first."""
    return [HANDLERS[kind, act.code] for act in attention.acts_of(kind, code) if (kind, act.code) in HANDLERS]


def offered_to(user: Any, entry: attention.Entry) -> list[Handler]:
    return [handler for handler in handlers_of(entry.kind, entry.cause_code) if handler.is_for(user, entry)]


ValuesLoader = Callable[
    [Sequence[attention.Entry], Sequence[FieldMapping]], Mapping[str, Sequence[attention.SideValues]]
]
# For some kinds, the function that loads both sides' values of entries, by their keys.
VALUES: dict[attention.Kind, ValuesLoader] = {}


def with_values(entries: Sequence[attention.Entry], wording: attention.Wording) -> list[attention.Entry]:
    """Return the entries with both sides' values."""
    values: dict[str, Sequence[attention.SideValues]] = {}
    for kind, load in VALUES.items():
        values |= load([entry for entry in entries if entry.kind is kind], list(wording.mappings.values()))
    return [replace(entry, values=tuple(values.get(entry.key, entry.values))) for entry in entries]


# For each kind, the function that says what became of an entry that doesn't wait any more, by its row's id; the text
# comes from a form, and an answer about something unknown is empty.
ENDED: dict[attention.Kind, Callable[[str], str]] = {}

# An answer says of this many entries what became of them, since each takes a few queries.
MOST_ENDED = 10


def record_now(entity_type: str, entity_id: UUID) -> str:
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
        by = person_requests.sync_turned_off(record).get("by")
        return f"{capfirst(by or 'somebody')} has turned sync off for “{record}”."
    words = {
        record_view.RecordState.SYNCED: "is synced now",
        record_view.RecordState.PENDING: "is pending",
        record_view.RecordState.ATTENTION: "needs another answer now",
        record_view.RecordState.OFF: "is not synced",
    }[view.state]
    return f"“{record}” {words}: {view.reason}" if view.reason else f"“{record}” {words}."


def ended_sentences(user: Any, keys: Sequence[str]) -> list[str]:
    """Return a sentence for each entry that doesn't wait any more, by its key, with what became of it."""
    sentences = ["Nothing was done, because it doesn't wait any more."] * len(keys)
    for place, key in enumerate(keys[:MOST_ENDED]):
        kind, _, source = key.partition(":")
        # The keys come from a form, so they may be about what this person may not see.
        if kind not in ENDED or not registry.may_view(user, attention.KINDS[attention.Kind(kind)].model):
            continue
        if now := ENDED[attention.Kind(kind)](source):
            sentences[place] = f"Nothing was done. {now}"
    return sentences


@require_POST
def act_on_entries(request: HttpRequest) -> HttpResponse:
    """Do an act on one row (`one`), on the ticked rows (`key`), or on all of a group (`cause`).

    Leaves alone, and says why, entries that no longer wait, and those that this person may not act on.
    """
    code, _, key = request.POST.get("one", "").partition(" ")
    code = code or request.POST.get("action", "")
    cause = request.POST.get("cause", "")
    # PostgreSQL stores no NUL, so no key has one.
    ticked = request.POST.getlist("key")[:MOST_TICKED] or request.POST.getlist("only")
    keys = [text for text in ([key] if key else ticked) if "\0" not in text]
    back_url = _back_url(request)
    if not keys and (not cause or "\0" in cause):
        messages.warning(request, "Nothing is selected.")
        return see_other(back_url)
    visible = attention.seen_by(request.user)
    rows = attention.with_keys(visible, keys) if keys else visible.filter(cause=cause)
    entries = attention.entries(rows, limit=None)
    waiting_keys = {entry.key for entry in entries}
    ended = [key for key in keys if key not in waiting_keys]
    handler = next((HANDLERS[entry.kind, code] for entry in entries if (entry.kind, code) in HANDLERS), None)
    if handler is None:
        is_over = "Nothing was done, because nothing of this group waits any more."
        otherwise = "Nothing was done: it is not possible for what you chose." if entries else is_over
        for sentence in humanize.first_few(ended_sentences(request.user, ended)) or [otherwise]:
            messages.warning(request, sentence)
        return see_other(back_url)
    with_sides = with_values(entries, attention.Wording.of_boards())
    fitting = [entry for entry in with_sides if handler.is_for(request.user, entry)]
    left_alone = [
        f"“{handler.act.button}” is not possible for “{entry.name}”: {entry.sentence}"
        for entry in with_sides
        if entry not in fitting
    ]
    waiting = len(fitting)
    fitting = fitting[: handler.act.max_per_request or None]
    # The question about a whole group lists the entries that the page didn't show, so their present values are shown.
    shown = _shown_values(request, () if keys else fitting)
    digest = confirmed_action.digest_of_rows(entry.key for entry in fitting)
    hidden: list[tuple[str, object]] = [("action", code), ("back", back_url), ("expect", len(fitting))]
    hidden += [("key", entry.key) for entry in fitting] if keys else [("cause", cause), ("asked", digest)]
    hidden += [(f"{SEEN_PREFIX}{entry.key}", json.dumps(shown[entry.key])) for entry in fitting if entry.key in shown]
    asks = bool(fitting) and handler.is_asked(fitting, is_all=not keys)

    def question() -> confirmed_action.Question:
        page = handler.question(request, fitting)
        effects = list(page.effects)
        if waiting > len(fitting):
            limit = f"At most {len(fitting)} are done at once, the oldest first. Repeat it for the rest."
            effects.insert(0, f"{waiting:,} wait. {limit}")
        return replace(page, effects=effects, hidden=[*page.hidden, *hidden])

    def run() -> confirmed_action.Report:
        if asks and not keys and request.POST.get("asked") != digest:
            raise CountChanged(confirmed_action.expected_count(request), len(fitting))
        report = handler.run(request, fitting, shown) if fitting else confirmed_action.Report()
        problems = [*report.problems, *left_alone, *ended_sentences(request.user, ended)]
        if not report.sentence and not problems:
            # Somebody was faster by a moment.
            problems = ended_sentences(request.user, [entry.key for entry in fitting])
        request.session.pop(LAST_ACT, None)
        if report.sentence and report.undo:
            request.session[LAST_ACT] = {
                "kind": fitting[0].kind.value,
                "action": code,
                "tokens": list(report.undo),
                "sentence": report.sentence,
                "at": sync_now().isoformat(),
            }
            return confirmed_action.Report(problems=problems)
        return confirmed_action.Report(report.sentence, problems)

    return confirmed_action.run_action(_page_admin(), request, run, back_url, question if asks else None)


def _shown_values(request: HttpRequest, listed: Sequence[attention.Entry]) -> dict[str, Any]:
    """Return the values that the rows showed, by key, without those that can't be parsed, and the listed entries'."""
    present = {entry.key: {value.key: [value.npd, value.monday] for value in entry.values} for entry in listed}
    sent = {name: parse_json(str(text)) for name, text in request.POST.items() if name.startswith(SEEN_PREFIX)}
    shown = {name.removeprefix(SEEN_PREFIX): values for name, values in sent.items() if values is not None}
    return {key: values for key, values in present.items() if values} | shown


def _back_url(request: HttpRequest) -> str:
    """Return the record's page or list that sent the act, or Home."""
    back = own_address(request, str(request.POST.get("back", "")))
    lists = [records_url(spec) for spec in registry.entities()]
    return back if any(page and back.startswith(page) for page in lists) else reverse("admin:index")


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
    handler = HANDLERS[attention.Kind(last["kind"]), last["action"]]
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
