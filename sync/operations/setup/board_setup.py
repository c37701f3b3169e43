"""Set-up of a board for the command and the wizard: link, columns, mappings, webhooks, as the choices say.

It can be repeated, also after a worker was killed: a new board is stored at once, existing columns are adopted. Only
another choice of a person overwrites an administrator's changes.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import structlog
from django.db import models, transaction
from django.db.models import Q, QuerySet

from sync import limits, registry
from sync.boards import board_columns
from sync.boards.webhooks import register_webhooks
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, SyncDirection
from sync.clock import SyncNow
from sync.kernel.humanize import count_with_noun
from sync.kernel.messages import ActionError, UnmatchedReason
from sync.limits import breaker, credentials
from sync.models import (
    BoardLink,
    FieldMapping,
    IgnoredItem,
    MondayAccount,
    SyncMetadata,
    SyncQueue,
    UnmatchedItem,
    WriteLoop,
)
from sync.models.boards_and_account import ALL_CALLS
from sync.models.synced_model import unsynced
from sync.monday import errors
from sync.monday.board_items import NAME_COLUMN, Board, BoardColumn, BoardSetup, Item
from sync.monday.columns import make_converter
from sync.monday.connector import MondayConnector
from sync.monday.conversion import UnknownValue
from sync.operations.setup import selection
from sync.outbox.queue_rows import enqueue, enqueue_unmatched
from sync.records.item_links import UnmatchedFinding, note_unmatched
from sync.registry import EntitySpec

log = structlog.get_logger(__name__)

# For commands: the wizard sets up the connection first.
NOT_CONFIGURED = (
    "Monday isn't configured. Set MONDAY_API_KEY to an API token (on monday.com: your picture, Developers, "
    "My access tokens) and run `manage.py monday_setup` again; or enter it in the admin under Boards, “Set up…”."
)


@dataclass
class SetupOutcome:
    """The steps that the set-up of one board took, and the problems that remain, as sentences."""

    entity: EntitySpec
    link: BoardLink
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    needs_pass: bool = False  # whether every record with an item needs a pass


def set_up_all(requested: Collection[str] = ()) -> Iterator[SetupOutcome]:
    """Set up every registered model, one after another; raises ActionError, MondayError.

    `requested` names optional fields whose columns are to be made, such as "contact.organization".
    """
    if not credentials.has_token():
        raise ActionError(NOT_CONFIGURED)
    optional = [f"{spec.entity_type}.{m.key}" for spec in registry.entities() for m in spec.mappings if m.optional]
    if unknown := [name for name in requested if name not in optional]:
        raise ActionError(f"There is no optional field “{unknown[0]}”. There are: {', '.join(optional) or 'none'}.")
    breaker.refresh_account_info()
    connector = limits.connector(urgent=True)
    refresh_users(connector)
    for spec in registry.entities():
        yield set_up(spec, connector, requested)


def refresh_users(connector: MondayConnector) -> errors.MondayError | None:
    """Read and store the account's users; return any refusal by Monday.

    Raises MondayError if Monday can't be reached or a limit stops the call.
    """
    try:
        users = connector.users()
    except errors.MondayError as error:
        if error.scope in errors.PASSING_SCOPES:
            raise
        log.info("the account's users can't be read", reason=error.sentence)
        return error
    MondayAccount.objects.update_or_create(id=1, defaults={"users": users})
    return None


def set_up(spec: EntitySpec, connector: MondayConnector, requested: Collection[str] = ()) -> SetupOutcome:
    """Set up one model as stored, or else as suggested; raises ActionError, MondayError."""
    link, _ = BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
    board_id = registry.configured_board_id(spec.entity_type) or link.board_id
    board = open_board(connector, spec, board_id, partial(switch_board, link, created=True))
    if board is None:
        # A board that a person named is never replaced by a new one.
        raise ActionError(
            f"{spec.board_title}: board {board_id} is not on Monday any more, or NPD Sync's user can't see it. Restore "
            "it from Monday's archive or trash, or give the user access, or name another board in "
            f"{spec.board_setting}; then run `manage.py monday_setup` again."
        )
    chosen = selection.ChosenBoard(selection.suggested_choices(spec, board, requested), board)
    return set_up_board(chosen, board, connector, is_new=not board_id)


def open_board(
    connector: MondayConnector, spec: EntitySpec, board_id: str, store: Callable[[str], None]
) -> Board | None:
    """Read the board, or create it if there is no id; None if it is not active. Raises MondayError.

    `store` gets the id of a new board before any later step can fail, so that no run creates a second one.
    """
    if not board_id:
        return connector.create_board(spec.board_title, store)
    board = connector.read_boards([board_id]).get(board_id)
    return board if board is not None and board.is_active else None


def set_up_board(
    chosen: selection.ChosenBoard, board: Board, connector: MondayConnector, *, is_new: bool, by: str = ""
) -> SetupOutcome:
    """Create or adopt the columns, store the board and its mappings, then register the missing webhooks.

    `is_new` if this set-up has created the board; `by` is the person who chose. A webhook that can't be registered is a
    problem of the outcome; everything else is done by then. Raises ActionError, MondayError.
    """
    spec = chosen.choices.spec
    setup = connector.ensure_columns(board.id, spec.board_title, chosen.column_specs())
    obstacle = "" if is_new else _create_obstacle(chosen, connector, setup)
    findings = [] if is_new else _unmatched_items(chosen, connector, setup)
    with transaction.atomic():
        # Nothing is synced with a new board before this is committed.
        outcome = _store_board(chosen, setup, is_new=is_new, by=by)
        link = outcome.link
        board_columns.set_create_obstacle(link, "creates_held", obstacle)
        if obstacle:
            outcome.problems.append(f"{spec.board_title}: {obstacle}")
        for start in range(0, len(findings), 1_000):
            note_unmatched(link, findings[start : start + 1_000])
    if is_new:
        outcome.done.insert(0, f"made the board “{board.name}” ({board.id})")
    used_ids = {column.id for column in setup.columns.values()}
    unused = [column for column in board.columns if column.id not in used_ids]
    old_ids = {column.id for column in board.columns}
    for key, column in setup.columns.items():
        if column.id not in old_ids and key != board_columns.NPD_ID_KEY:
            outcome.done += filter(None, [selection.second_column_text(column.title, column.type, unused)])
    # Otherwise pages would show the board's name and titles only after the first sweep, some minutes later.
    board_columns.inspect_board(link, connector)
    hooks, missing = register_webhooks(spec, link, connector)
    outcome.done += hooks
    outcome.problems += missing
    return outcome


def switch_board(link: BoardLink, board_id: str, *, created: bool) -> None:
    """Store another board for the link.

    Permission to create records doesn't carry over: only a board that the set-up `created` surely holds nothing but
    items meant for NPD.
    """
    with transaction.atomic():
        # Somebody may have paused it, or started a set-up, while Monday was asked.
        link.refresh_from_db(from_queryset=BoardLink.objects.select_for_update())
        link.reset_for(board_id)
        link.creates_records = created
        UnmatchedItem.objects.filter(entity_type=link.entity_type).delete()
        # Keep items ignored because their person was erased, in case the old board returns.
        IgnoredItem.objects.filter(entity_type=link.entity_type, erased=False).delete()
        link.save()


def _create_obstacle(chosen: selection.ChosenBoard, connector: MondayConnector, setup: BoardSetup) -> str:
    """Return why nothing new may be created on the board; checked only if its match column changed."""
    match = setup.columns.get(chosen.match_field.key)
    if match is None:  # the item's name, which every item has
        return ""
    link = chosen.choices.link
    if link is not None and is_matched_by(link, match.id):
        return ""
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    return reason_to_hold(match, npd_id, connector.list_items(setup.board.id, [match.id, npd_id]))


def is_matched_by(link: BoardLink, column_id: str) -> bool:
    """Whether records and items are matched by this column already, and creates aren't held."""
    return not link.creates_held and link.mappings.filter(key=link.match_key, column_id=column_id).exists()


def reason_to_hold(match: BoardColumn, npd_id_column: str, pages: Iterable[Iterable[Item]]) -> str:
    """Return why creates are held as a sentence; empty if an item can be matched, or none needs to be.

    They are held on a board where no item can be matched, because everybody might be created twice.
    Reads pages until an item without an NPD ID has a value in the match column: usually one call.
    """
    unknown = 0
    for items in pages:
        without_id = [item for item in items if not is_filled(item, npd_id_column)]
        if any(is_filled(item, match.id) for item in without_id):
            return ""
        unknown += len(without_id)
    if not unknown:
        return ""
    have = "has" if unknown == 1 else "have"
    return (
        f"{count_with_noun(unknown, 'item')} on the board {have} no NPD ID, and “{match.title}”, by which NPD Sync "
        "recognizes records, is empty for all of them. So it creates nothing new on either side: everybody could be "
        f"there twice. Fill in “{match.title}” on Monday, or choose another column (Boards, “Set up…”), or press "
        "“Create new ones anyway” on the board's page."
    )


def is_filled(item: Item, column_id: str) -> bool:
    """Whether a cell has a value, or can't be read."""
    reading = item.reading(column_id)
    return not reading.known or bool((reading.text or "").strip())


def _unmatched_items(
    chosen: selection.ChosenBoard, connector: MondayConnector, setup: BoardSetup
) -> list[UnmatchedFinding]:
    """Return the items without an NPD ID on a board new to NPD Sync, with the values they are matched by.

    Monday's search compares texts as written. These rows let a pass find items whose texts are written differently.
    """
    link = chosen.choices.link
    if link is not None and link.npd_id_column:
        return []
    match = chosen.match_field
    column = setup.columns.get(match.key)
    column_id = column.id if column else NAME_COLUMN
    kind = column.type if column else board_columns.NAME_TYPE
    convert = make_converter(match.types[kind])
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    columns = [npd_id] if column is None else [npd_id, column_id]
    findings = []
    for item in chain.from_iterable(connector.list_items(setup.board.id, columns, sorted({kind, "text"}))):
        if not is_filled(item, npd_id):
            with suppress(UnknownValue):
                text = convert.canonical_remote(convert.stored_value(item.reading(column_id)))
                values = {match.key: text} if isinstance(text, str) else {}
                findings.append(UnmatchedFinding(item.id, item.name, UnmatchedReason.CREATION_OFF, values=values))
    return findings


def _store_board(chosen: selection.ChosenBoard, setup: BoardSetup, *, is_new: bool, by: str) -> SetupOutcome:
    """Store the board, its settings and its mappings as chosen."""
    choices = chosen.choices
    spec = choices.spec
    link = BoardLink.objects.select_for_update().get(entity_type=spec.entity_type)
    steps = [f"made the {message}" for message in setup.created]
    if link.board_id != setup.board.id:
        switch_board(link, setup.board.id, created=is_new)
        if not is_new:
            steps.insert(0, f"now works with board {setup.board.id}")
    if not link.npd_id_column:
        steps += [f"uses the {message} that was there" for message in setup.adopted]
    group_before = link.group_id
    groups = setup.board.groups
    if group_before not in groups:
        # New items go to the topmost group, unless a person chose another that still takes items.
        link.group_id = setup.board.group_id or ""
        if group_before:
            title = groups.get(link.group_id, link.group_id)
            steps.append(
                f"new items go to the group “{title}” now, for the group {group_before} is archived or deleted"
            )
    column_before = link.npd_id_column
    filter_before = link.sync_filter
    link.npd_id_column = setup.columns[board_columns.NPD_ID_KEY].id
    if not by:
        choices = _with_stored_settings(choices, link)
        chosen = replace(chosen, choices=choices)
    link.creates_records = choices.creates_records
    link.sync_filter = dict(choices.sync_filter)
    # Set-up has just read the board, so its earlier stop is over.
    link.stops.pop(ALL_CALLS, None)
    link.save(update_fields=["group_id", "npd_id_column", "creates_records", "sync_filter", "stops"])
    board_columns.set_create_obstacle(link, "npd_id_problem", "")
    outcome = SetupOutcome(spec, link, steps, needs_pass=column_before not in ("", link.npd_id_column))
    _store_mappings(outcome, chosen, setup, by, is_first=not column_before)
    if filter_before != link.sync_filter:
        # In the transaction that stores the filter, so that no record that it leaves out stays `synced`.
        outcome.done.append("changed the filter")
        outcome.needs_pass = True
        # The new filter may leave listed items out, or let them in.
        unmatched = UnmatchedItem.objects.filter(entity_type=link.entity_type, ignored_at=None).order_by("id")
        items = unmatched.values_list("item_id", flat=True)
        enqueue_unmatched(link.entity_type, items, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)
    if outcome.needs_pass and (number := _enqueue_linked_records(spec)):
        outcome.done.append(f"{registry.count_of_type(number, spec.entity_type)} will be synced again")
    if not column_before:
        # Saves older than the board get this cause too, so that metrics don't count their wait as sync latency.
        saves = SyncQueue.objects.filter(entity_type=spec.entity_type, direction=QueueDirection.TO_MONDAY)
        waiting = saves.filter(entity_id__isnull=False, status=QueueStatus.PENDING)
        ids = [pk for pk in waiting.values_list("entity_id", flat=True) if pk]
        enqueue(spec.entity_type, ids, cause=Cause.SETUP, priority=Priority.LOAD)
    return outcome


def _with_stored_settings(choices: selection.Choices, link: BoardLink) -> selection.Choices:
    """Return the choices of the command with the settings that somebody may have changed while Monday was asked."""
    fields = dict(choices.fields)
    for mapping in link.mappings.filter(key__in=fields):
        fields[mapping.key] = replace(fields[mapping.key], direction=mapping.direction, rule=mapping.rule)
    return replace(choices, fields=fields, creates_records=link.creates_records, sync_filter=link.sync_filter)


def _store_mappings(
    outcome: SetupOutcome, chosen: selection.ChosenBoard, setup: BoardSetup, by: str, *, is_first: bool
) -> None:
    """Store the column, direction and rule of each chosen field; a field that wasn't chosen stays as it is.

    `is_first` if the board wasn't set up before.
    """
    choices = chosen.choices
    stored = {mapping.key: mapping for mapping in outcome.link.mappings.all()}
    for position, proposal in enumerate(choices.spec.mappings):
        choice = choices.fields.get(proposal.key)
        mapping = stored.get(proposal.key)
        if choice is None:
            if mapping is not None and mapping.column_id and mapping.direction != SyncDirection.NONE:
                outcome.problems.append(
                    f"{choices.spec.board_title}: {mapping.label} can't be synced any more: its column "
                    f"{mapping.column_id} was deleted from the board, or doesn't fit. Restore the column, or create a "
                    "new one or choose “Sync off” in the set-up (Boards, “Set up…”)."
                )
            continue
        # A field that isn't synced keeps its row, so that later set-ups don't count it as new.
        values: dict[str, Any] = {"direction": SyncDirection.NONE, **board_columns.NO_PROBLEM}
        if choice.is_synced:
            values = {"direction": choice.direction, "rule": choice.rule, "first_match": choices.first_match}
        direction_before = mapping.direction if mapping is not None else SyncDirection.NONE
        is_rule_changed = mapping is not None and mapping.rule != values.get("rule", mapping.rule)
        outcome.needs_pass |= direction_before != values["direction"]
        column = setup.columns.get(proposal.key)  # none for the name, and for a field that isn't synced
        if direction_before == SyncDirection.NONE and column is not None and not is_first:
            outcome.done.append(
                f"{proposal.label} is synced now, with the column “{column.title}” ({column.id}, {column.type})"
            )
        if mapping is None:
            is_name = choice.column == NAME_COLUMN
            mapping = FieldMapping(
                link=outcome.link,
                key=proposal.key,
                label=proposal.label,
                fields=list(proposal.fields),
                converter=proposal.converter,
                required=proposal.required,
                position=position,
                column_id=NAME_COLUMN if is_name else "",
                **board_columns.NO_PROBLEM,
            )
        if column is not None:
            values |= _column_values(outcome, mapping, column)
        for name, value in values.items():
            setattr(mapping, name, value)
        mapping.save()
        if is_rule_changed:
            _enqueue_affected(mapping, by)


def _column_values(outcome: SetupOutcome, mapping: FieldMapping, column: BoardColumn) -> dict[str, Any]:
    """Return what changes of a mapping with this column; with another column or converter it gets a new version."""
    spec = board_columns.mapping_spec(mapping)
    converter = (spec.converter_for(column.type) if spec else None) or mapping.converter
    changed: dict[str, Any] = {"options": {"column_type": column.type, "settings": dict(column.settings)}}
    is_moved = column.id != mapping.column_id
    is_converted = converter != mapping.converter
    if is_moved:
        changed["column_id"] = column.id
    if is_converted:
        changed["converter"] = converter
    # The base belongs to the old column, and another converter stores different values in it.
    if mapping.column_id and (is_moved or is_converted):
        changed["version"] = models.F("version") + 1
    if mapping.column_id and is_moved:
        outcome.done.append(f"{mapping.label} is now in the column {column.id} (it was {mapping.column_id})")
    elif mapping.column_id and is_converted:
        outcome.done.append(f"{mapping.label}: the column “{column.title}” is of type {column.type} now and read so")
    # With a usable column again, the blocked records need a pass.
    if mapping.problem:
        changed |= board_columns.NO_PROBLEM
    outcome.needs_pass |= is_moved or is_converted or bool(mapping.problem)
    return changed


def _enqueue_affected(mapping: FieldMapping, by: str) -> None:
    """After its rule changed, enqueue records where a field is blocked, kept different, throttled or in conflict."""
    entity_type = mapping.link.entity_type
    in_conflict = SyncMetadata.objects.of(entity_type).filter(
        Q(conflicts__fields__contains=[mapping.key]) | Q(conflicts__overwritten__contains=[mapping.key])
    )
    affected: tuple[QuerySet[SyncMetadata], ...] = (
        board_columns.blocked_sync_states(mapping.link, mapping),
        in_conflict.exclude(conflicts={}),
    )
    ids = {UUID(entity_id) for rows in affected for entity_id in rows.values_list("entity_id", flat=True)}
    loops = WriteLoop.objects.filter(entity_type=entity_type, key=mapping.key, throttled_until__gt=SyncNow())
    ids |= set(loops.values_list("entity_id", flat=True))
    enqueue(entity_type, sorted(ids), cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by})


def _enqueue_linked_records(spec: EntitySpec) -> int:
    """Enqueue every record that has an item and may sync; return how many."""
    records = spec.model._default_manager.filter(monday_id__isnull=False).exclude(unsynced())
    # In the order of ids, as passes lock them. NO KEY, so that rows pointing at these records can still be saved.
    locked = records.order_by("id").select_for_update(no_key=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True))
    direction = QueueDirection.TO_NPD
    enqueue(spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.SWEEP, direction=direction)
    return len(ids)
