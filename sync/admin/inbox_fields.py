"""What the inbox offers for a blocked field: its column again, a new one or another; another direction or rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from sync import registry
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable
from sync.admin.inbox_offers import ActionResult, GroupLead, InboxAction, register_action, register_lead
from sync.admin.record_panel import CHECK_LABEL, DIRECTION_EFFECTS, may_change_mapping
from sync.api.callers import count_request, monday_throttle_reason
from sync.boards.mapping import (
    check_board,
    column_choices,
    create_column,
    needs_column,
    remap,
    set_field_direction,
    set_field_rule,
)
from sync.choices import BlockedCode, Rule, SyncDirection
from sync.connectors.base.errors import ConnectorError
from sync.kernel import humanize
from sync.kernel.conflict_store import KIND_UNDO, current_store
from sync.kernel.messages import ActionError, Conflict
from sync.limits import quota
from sync.merge import FieldSelection
from sync.models import BoardLink, FieldMapping, SyncMetadata
from sync.operations import attention
from sync.operations.attention import AttentionCause, AttentionEntry, AttentionKind
from sync.records.authors import log_action
from sync.records.blocked_fields import ThrottledField, without_where, write_loops
from sync.registry import link_of, may_view, record_names


def _mappings_of(found: Sequence[AttentionEntry]) -> list[FieldMapping]:
    keys = {(one.entity_type, one.field) for one in found}
    rows = FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in keys})
    return [row for row in rows if (row.link.entity_type, row.key) in keys]


def _reach_text(mapping: FieldMapping) -> str:
    """Say for how many records a change of a field's mapping counts."""
    spec = registry.entity(mapping.link.entity_type)
    number = registry.linked_records(mapping.link.entity_type).count()
    has = humanize.plural(number, "has", "have")
    return f"It applies to all records on “{spec.board_title}”; {number:,} {has} an item."


def _count_call(request: HttpRequest) -> None:
    if throttle_text := monday_throttle_reason(request):
        raise Conflict(f"Monday was not asked: {throttle_text}")


# What is said above them.


_RESTORED = (
    "Restored on the board (undo, or the board's trash), it is synced as before. A new column gets NPD's values, where "
    "they are synced to Monday."
)


def _leads(causes: Sequence[AttentionCause], _now: datetime, _user: Any) -> dict[str, GroupLead]:
    """Return where a column that was deleted can be restored, and what an update loop is."""
    missing = [cause for cause in causes if cause.code == BlockedCode.COLUMN]
    rows = BoardLink.objects.filter(entity_type__in={cause.entity_type for cause in missing}) if missing else ()
    urls = {row.entity_type: registry.board_url(registry.with_configured_board(row)) for row in rows}
    found = {
        cause.cause: GroupLead(_RESTORED, "Open the board", urls[cause.entity_type])
        for cause in missing
        if cause.entity_type in urls
    }
    loops = write_loops() if any(cause.code == BlockedCode.THROTTLED for cause in causes) else []
    for loop in loops:
        name = f"{AttentionKind.BLOCKED}:{loop.mapping.link.entity_type}:{loop.mapping.key}:{BlockedCode.THROTTLED}"
        found[name] = GroupLead(_loop_sentence(loop))
    return found


def _loop_sentence(loop: ThrottledField) -> str:
    until = humanize.day_and_time(loop.until) if loop.until else ""
    is_pulled = loop.mapping.direction in (SyncDirection.BIDIRECTIONAL, SyncDirection.MONDAY_TO_NPD)
    return (
        f"After each of our writes, {loop.by} writes another value on the board, so nothing is sent to this field of "
        f"these records until {until}; then it is tried once. Their other fields are synced. "
        f"{'What the board shows still updates NPD. ' if is_pulled else ''}Once that is stopped, retry."
    )


register_lead(AttentionKind.BLOCKED, _leads)


# The field's own column, and a new one.


def _check(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    said, problems = list[str](), list[str]()
    for link in BoardLink.objects.filter(entity_type__in={one.entity_type for one in found}).order_by("pk"):
        try:
            said.append(ask_for_columns(request, link))
        except ActionError as error:
            problems.append(str(error))
    return ActionResult(len(said), " ".join(said), problems)


def _creation_question(request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    """Ask before columns are created for fields whose own can't be used."""
    mappings = [mapping for mapping in _mappings_of(found) if needs_column(mapping)]
    if not mappings:
        return Question("No column is missing any more", ["It was restored, or another was chosen meanwhile."])
    boards = {mapping.link.entity_type: mapping for mapping in mappings}
    rows = [(one.label, registry.board_title(one.link.entity_type), without_where(one.problem)) for one in mappings]
    number = humanize.count_with_noun(len(mappings), "new column")
    title = f"Create {number}?" if len(mappings) > 1 else f"Create a new column for “{mappings[0].label}”?"
    return Question(
        title,
        [
            *(_reach_text(mapping) for mapping in boards.values()),
            *_filling_sentences(mappings),
            "What was only in the old one is lost with it: if you can, restore it on the board instead.",
            "If the board has a column of the same title that fits, that one is used.",
            *filter(None, [_filling_cost(boards.values(), len(mappings))]),
        ],
        f"Create {number}" if len(mappings) > 1 else "Create the column",
        [
            *_open_conflicts(request, mappings),
            *_answered_conflicts(request, mappings),
            RecordTable(("Field", "Board", "What is wrong"), rows, len(rows)),
        ],
    )


def _open_conflicts(request: HttpRequest, mappings: Sequence[FieldMapping]) -> list[RecordTable]:
    """The open conflicts on these fields: Monday's values were in the old columns, and are asked about still."""
    fields, scope = {(one.link.entity_type, one.key) for one in mappings}, attention.scope_of(request.user)
    total = attention.counts(scope)[AttentionKind.CONFLICT]
    found = attention.entries(scope, kinds=[AttentionKind.CONFLICT], limit=total) if total else []
    rows = [
        (one.name, value.label, value.npd, value.monday)
        for one in found
        for value in one.values
        if (one.entity_type, value.key) in fields
    ]
    number = humanize.count_with_noun(len(rows), "conflict is open", "conflicts are open")
    title = f"{number} here. NPD's value goes into the new column, and you may still choose Monday's from the old one."
    return [RecordTable(("Record", "Field", "NPD", "Monday"), rows[:MAX_ROWS_SHOWN], len(rows), title)] if rows else []


def _answered_conflicts(request: HttpRequest, mappings: Sequence[FieldMapping]) -> Iterator[RecordTable]:
    """The conflicts on these fields that are answered, and wait for a column: what was chosen is written into it."""
    labels = {(one.link.entity_type, one.key): one.label for one in mappings}
    types = registry.visible_types(request.user) if may_view(request.user, "conflicts.syncconflict") else ()
    rows: list[tuple[str, str, str]] = []
    for entity_type in {kind for kind, _ in labels}.intersection(types):
        ledgers = SyncMetadata.objects.filter(entity_type=entity_type).exclude(conflicts={})
        found = current_store().open_conflicts(entity_type, ledgers.values_list("entity_id", flat=True))  # type: ignore[arg-type]
        names = record_names((entity_type, record_id) for record_id in found)
        rows += [
            (names.get((entity_type, record_id), ""), labels[entity_type, key], _chosen_text(chosen))
            for record_id, conflicts in found.items()
            for conflict in conflicts
            if conflict.kind != KIND_UNDO
            for key, chosen in conflict.resolutions.items()
            if (entity_type, key) in labels
        ]
    if rows:
        number = humanize.count_with_noun(len(rows), "conflict is answered", "conflicts are answered")
        title = f"{number} here. What was chosen goes into the new column."
        yield RecordTable(("Record", "Field", "Chosen"), rows[:MAX_ROWS_SHOWN], len(rows), title)


def _chosen_text(chosen: FieldSelection) -> str:
    texts = {"npd": chosen.npd, "monday": chosen.monday, "custom": chosen.value, "base": "The last synced value"}
    return texts.get(chosen.choose) or "(empty)"


def _filling_sentences(mappings: Sequence[FieldMapping]) -> Iterator[str]:
    kept = [one.label for one in mappings if one.direction == SyncDirection.MONDAY_TO_NPD]
    if len(kept) < len(mappings):
        yield "The new column gets what NPD holds."
    if kept:
        yield f"{', '.join(kept)}: comes from Monday only. NPD keeps its values until somebody fills the new column."


def _filling_cost(boards: Iterable[FieldMapping], columns: int) -> str:
    """What it takes of the day's calls to read these boards, create columns, and sync each board's records once."""
    records = {one.link_id: registry.linked_records(one.link.entity_type).count() for one in boards}
    return quota.cost_sentence(records, columns + len(records))


def ask_for_columns(request: HttpRequest, link: BoardLink) -> str:
    """Ask Monday whether the board's columns are back, and say what came of it. Raises ActionError."""
    _count_call(request)
    log_action(request.user, link, "Asked Monday for the board's columns.")
    try:
        return check_board(link_of(link.entity_type) or link)
    except ConnectorError as error:
        raise ActionError(error.sentence) from error


_COLUMN_OUTCOME = "The records are synced with the new column."


def _create_columns(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    """Create the columns of these fields. Raises ActionError, also for what Monday answers: those made before stay."""
    done = list[str]()
    for mapping in _mappings_of(found):
        if not needs_column(mapping):
            continue
        _count_call(request)
        # Of two people at once one asks: until Monday has answered, the other can't know of the column.
        asked = count_request("new-column", f"{mapping.pk}:{mapping.version}", 1, settings.MONDAY_TIMEOUT_SECONDS)
        if asked.is_used_up:
            raise Conflict(
                f"Monday was asked for a new column for “{mapping.label}” just now, and no second one was. "
                f"See what came of it; try again in {humanize.time_span(asked.reset)}."
            )
        log_action(request.user, mapping, f"Asked for a new column in place of {mapping.column_id or 'none'}.")
        try:
            done.append(create_column(mapping, by=request.user.get_username(), expected=mapping.column_id))
        except ConnectorError as error:
            raise ActionError(error.sentence) from error
    return ActionResult(len(done), " ".join(done), outcome=_COLUMN_OUTCOME)


# Another column, chosen on the row of the one that can't be used; another direction or rule. Each is done together
# with its line in the log, or not at all.


COLUMN_PREFIX = "column:"
"""Before an entry's key: the form's field with the column that was chosen for it."""

_SHOWN = "shown"
"""In the question's form: what the field had when it was asked."""


_CHANGED = "The field was changed meanwhile, or no column was chosen. Choose again."


def _chosen_column(request: HttpRequest, found: Sequence[AttentionEntry]) -> tuple[FieldMapping, str, str]:
    """The field, the column chosen for it, and that one's title. Raises Conflict where it is none of its choices."""
    mapping, column = _field_of(found), request.POST.get(f"{COLUMN_PREFIX}{found[0].key}", "")
    titles = dict(column_choices(mapping)[1:])
    if column not in titles:
        raise Conflict(_CHANGED)
    return mapping, column, titles[column]


def _use_column(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    mapping, column, title = _chosen_column(request, found)
    shown = request.POST.get(_SHOWN, "")
    with transaction.atomic():
        message = remap(mapping.pk, column, by=request.user.get_username(), expected=shown)
        log_action(request.user, mapping, f"Column: from {shown or 'none'} to {title}.")
    return ActionResult(1, message, outcome=_COLUMN_OUTCOME)


def _use_column_question(request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    mapping, column, title = _chosen_column(request, found)
    return Question(
        f"Use the column “{title}” for “{mapping.label}”?",
        [_reach_text(mapping), "A side that is empty takes the other's value; two different values are asked about."],
        "Yes, use this column",
        _open_conflicts(request, [mapping]),
        [(f"{COLUMN_PREFIX}{found[0].key}", column), (_SHOWN, mapping.column_id)],
    )


def _field_of(found: Sequence[AttentionEntry]) -> FieldMapping:
    if not (mappings := _mappings_of(found[:1])):
        raise Conflict(_CHANGED)
    return mappings[0]


def _because(found: Sequence[AttentionEntry]) -> str:
    return ", because of an update loop" if found[0].cause_code == BlockedCode.THROTTLED else ""


_DIRECTION_QUESTIONS = {
    SyncDirection.MONDAY_TO_NPD: ("Let Monday decide “{}”?", "Yes, let Monday decide"),
    SyncDirection.NONE: ("Stop syncing “{}”?", "Yes, stop syncing it"),
}


def _direction_question(direction: SyncDirection, _request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    mapping, (title, button) = _field_of(found), _DIRECTION_QUESTIONS[direction]
    released = " Nothing is blocked on it any more." if direction is SyncDirection.NONE else ""
    undo = f"To undo it, choose “{SyncDirection(mapping.direction).label}” for the field on the board's page."
    effects = [_reach_text(mapping), f"{DIRECTION_EFFECTS[direction]}{released}", undo]
    return Question(title.format(mapping.label), effects, button, hidden=[(_SHOWN, mapping.direction)])


def _set_direction(
    direction: SyncDirection, request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]
) -> ActionResult:
    mapping, shown = _field_of(found), request.POST.get(_SHOWN, "")
    with transaction.atomic():
        set_field_direction(mapping, direction, expected=shown, by=request.user.get_username())
        before = SyncDirection(shown).label
        said = f"Direction: from “{before}” to “{direction.label}”{_because(found)}."
        log_action(request.user, mapping, said)
    return ActionResult(1, f"“{mapping.label}” is “{direction.label}” now; it was “{before}”.")


def _monday_wins_question(_request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    mapping = _field_of(found)
    effects = [
        _reach_text(mapping),
        "Where both sides changed it differently, Monday's value is taken; NPD's stays in history.",
        "What only NPD changes is still sent.",
        f"To undo it, choose “{Rule(mapping.rule).label}” on the board's page.",
    ]
    return Question(
        f"Let Monday win on “{mapping.label}”?", effects, "Yes, Monday wins", hidden=[(_SHOWN, mapping.rule)]
    )


def _let_monday_win(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    mapping, shown = _field_of(found), request.POST.get(_SHOWN, "")
    with transaction.atomic():
        set_field_rule(mapping, Rule.MONDAY_WINS, expected=shown, by=request.user.get_username())
        log_action(request.user, mapping, f"Rule: from “{Rule(shown).label}” to “Monday wins”{_because(found)}.")
    return ActionResult(1, f"“{mapping.label}”: Monday wins from now on.")


def _is_column(entry: AttentionEntry) -> bool:
    return entry.cause_code == BlockedCode.COLUMN


_FieldAction = partial(
    InboxAction, kinds=frozenset({AttentionKind.BLOCKED}), may=lambda user, entry: may_change_mapping(user)
)

register_action(
    _FieldAction(
        "check_column",
        CHECK_LABEL,
        run=_check,
        effects={AttentionKind.BLOCKED: "Asks Monday whether the column is back; nothing is written."},
        fits=_is_column,
    ),
    _FieldAction(
        "create_column",
        "Create a new column…",
        run=_create_columns,
        shortcut="c",
        effects={AttentionKind.BLOCKED: "Creates a column with NPD's values, where they are synced to Monday."},
        question=_creation_question,
        by_entry=True,
    ),
    _FieldAction(
        "use_column",
        "Use this column…",
        run=_use_column,
        question=_use_column_question,
        by_choice=True,
        fits=_is_column,
    ),
    _FieldAction(
        "monday_wins", "Monday wins…", run=_let_monday_win, question=_monday_wins_question, of_cause=True, by_entry=True
    ),
    _FieldAction(
        "monday_decides",
        "Let Monday decide…",
        run=partial(_set_direction, SyncDirection.MONDAY_TO_NPD),
        question=partial(_direction_question, SyncDirection.MONDAY_TO_NPD),
        of_cause=True,
        fits=lambda entry: entry.cause_code == BlockedCode.THROTTLED,
    ),
    _FieldAction(
        "stop_syncing",
        "Stop syncing it…",
        kinds=frozenset({AttentionKind.BLOCKED, AttentionKind.REJECTED}),
        run=partial(_set_direction, SyncDirection.NONE),
        question=partial(_direction_question, SyncDirection.NONE),
        of_cause=True,
        fits=lambda entry: (
            entry.kind is AttentionKind.REJECTED or entry.cause_code in (BlockedCode.COLUMN, BlockedCode.THROTTLED)
        ),
    ),
)
