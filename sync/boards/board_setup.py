"""Set-up of a board for the command and the wizard: link, columns, mappings, webhooks.

It can be repeated, also after a worker was killed: a new board is stored at once, existing columns are adopted. Only
another choice of a person overwrites an administrator's changes.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import structlog
from django.db import models, transaction

from sync import limits, registry
from sync.boards import board_columns, field_choices
from sync.boards.webhooks import register_webhooks
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, SyncDirection
from sync.clock import SyncNow
from sync.kernel.humanize import count_with_noun
from sync.kernel.messages import ActionError, UnmatchedReason
from sync.limits import breaker, credentials
from sync.models import BoardLink, FieldMapping, IgnoredItem, MondayAccount, SyncQueue, UnmatchedItem
from sync.models.boards_and_account import ALL_CALLS
from sync.models.synced_model import unsynced
from sync.monday import errors
from sync.monday.board_items import Board, BoardColumn, BoardSetup, ColumnSpec, Item
from sync.monday.columns import make_converter
from sync.monday.connector import MondayConnector
from sync.monday.conversion import UnknownValue
from sync.outbox.queue_rows import enqueue
from sync.records.unmatched_items import UnmatchedFinding, note_unmatched
from sync.registry import EntitySpec, configured_board_id

log = structlog.get_logger(__name__)

# For commands: the wizard sets up the connection first.
NOT_CONFIGURED = (
    "Monday isn't configured. Set MONDAY_API_KEY to an API token (on monday.com: your picture, Developers, "
    "My access tokens) and run `manage.py monday_setup` again; or enter it in the admin under Boards, “Set up…”."
)


@dataclass(frozen=True)
class SetupOutcome:
    """The steps that the set-up of one model took, and the problems that remain, as sentences."""

    entity: EntitySpec
    link: BoardLink
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def set_up_all(requested: Collection[str] = ()) -> Iterator[SetupOutcome]:
    """Set up every registered model, one after another; raises ActionError, MondayError.

    `requested` names optional columns to be created, such as "contact.organization".
    """
    if not credentials.has_token():
        raise ActionError(NOT_CONFIGURED)
    optional = [f"{spec.entity_type}.{m.key}" for spec in registry.entities() for m in spec.mappings if m.optional]
    if unknown := [name for name in requested if name not in optional]:
        raise ActionError(
            f"There is no optional column “{unknown[0]}”. Those that can be made: {', '.join(optional) or 'none'}."
        )
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


@dataclass
class StoredColumns:
    """The result of storing columns: the steps and problems as sentences, and whether records need a pass."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    needs_resync: bool = False
    remapped: dict[str, str] = field(default_factory=dict)  # who remapped fields, for the payload of their jobs


@dataclass(frozen=True)
class BoardToSetUp:
    """A board, and what a set-up makes of it."""

    spec: EntitySpec
    board: Board
    is_new: bool  # whether this set-up has created it
    columns: Sequence[ColumnSpec]  # that it needs
    store: Callable[[BoardLink, BoardSetup], StoredColumns]  # the mappings, in the transaction that stores the link


def set_up(spec: EntitySpec, connector: MondayConnector, requested: Collection[str] = ()) -> SetupOutcome:
    """Set up one model with its registered mappings; raises ActionError, MondayError."""
    link, _ = BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
    for position, mapping in enumerate(spec.mappings):
        # An optional mapping waits until its board has a fitting column, or a person requests one.
        if not mapping.optional:
            # Every board has the name's column.
            is_name = board_columns.column_type(mapping.converter) == board_columns.NAME_TYPE
            make_mapping(link, mapping, position, column_id=board_columns.NAME_TYPE if is_name else "")
    board_id = configured_board_id(spec.entity_type) or link.board_id
    board = open_board(connector, spec, board_id, partial(switch_board, link, created=True))
    if board is None:
        # A board that a person named is never replaced by a new one.
        raise ActionError(
            f"{spec.board_title}: board {board_id} is not on Monday any more, or NPD Sync's user can't see it. Restore "
            "it from Monday's archive or trash, or give the user access, or name another board in "
            f"{spec.board_setting}; then run `manage.py monday_setup` again."
        )
    columns = _registered_columns(link, board, requested)
    target = BoardToSetUp(spec, board, not board_id, columns, partial(store_columns, spec))
    return set_up_board(target, connector)


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


def _registered_columns(link: BoardLink, board: Board, requested: Collection[str]) -> list[ColumnSpec]:
    """Return the columns that the registered mappings need on the board."""
    present = link if link.board_id == board.id else None
    choices = field_choices.stored_choices(present)
    used = {choice.column for choice in choices.values() if choice.is_synced}
    free = [column for column in board.columns if column.id not in used]
    fields = field_choices.mappable_fields(registry.entity(link.entity_type))
    # A field whose column was deleted gets a new one: another column of its type holds something else.
    with_column = {key for key, choice in choices.items() if choice.column}
    unmapped = [mappable for mappable in fields if mappable.key not in with_column]
    npd_id = field_choices.find_npd_id_column(present, board.columns)
    suggested = field_choices.suggest_columns(unmapped, free, npd_id)
    new_or_name = (field_choices.NEW_COLUMN, board_columns.NAME_TYPE)
    likely = {key: column for key, column in suggested.items() if column not in new_or_name}
    stored = {mapping.key: mapping for mapping in link.mappings.all()}
    columns = []
    for mappable in fields:
        mapping = stored.get(mappable.key)
        # A person switched the field off, so its column is no longer needed.
        if mappable.is_name or (mapping is not None and mapping.direction == SyncDirection.NONE):
            continue
        # `likely` has only fields without a column, so a repeated set-up keeps the stored ones.
        stored_column = mapping.column_id if mapping is not None else ""
        preferred = likely.get(mappable.key) or stored_column or mappable.column_id
        is_optional = mappable.optional and f"{link.entity_type}.{mappable.key}" not in requested
        columns.append(mappable.column_spec(preferred, optional=is_optional))
    # Every board gets the NPD ID column, by which items are matched with records.
    return [*columns, board_columns.npd_id_spec(link.npd_id_column)]


def set_up_board(target: BoardToSetUp, connector: MondayConnector) -> SetupOutcome:
    """Create or adopt the columns, store the board and its mappings, then register the missing webhooks.

    A webhook that can't be registered is a problem of the outcome; everything else is done by then. Raises MondayError.
    """
    spec = target.spec
    board = target.board
    setup = connector.ensure_columns(board.id, spec.board_title, target.columns)
    obstacle = "" if target.is_new else _create_obstacle(spec, connector, setup)
    findings = [] if target.is_new else _unmatched_items(spec, connector, setup)
    with transaction.atomic():
        # Nothing is synced with a new board before this is committed.
        link, steps, problems = _store_board(target, setup)
        board_columns.set_create_obstacle(link, "creates_held", obstacle)
        if obstacle:
            problems.append(f"{spec.board_title}: {obstacle}")
        for start in range(0, len(findings), 1_000):
            note_unmatched(link, findings[start : start + 1_000])
    if target.is_new:
        steps.insert(0, f"made the board “{board.name}” ({board.id})")
    used_ids = {column.id for column in setup.columns.values()}
    unused = [column for column in board.columns if column.id not in used_ids]
    old_ids = {column.id for column in board.columns}
    for key, column in setup.columns.items():
        if column.id not in old_ids and key != board_columns.NPD_ID_KEY:
            steps += filter(None, [field_choices.second_column_text(column.title, column.type, unused)])
    # Otherwise pages would show the board's name and titles only after the first sweep, some minutes later.
    board_columns.inspect_board(link, connector)
    hooks, missing = register_webhooks(spec, link, connector)
    return SetupOutcome(spec, link, [*steps, *hooks], [*problems, *missing])


def make_mapping(
    link: BoardLink, proposal: registry.MappingSpec, position: int, *, column_id: str, **values: Any
) -> tuple[FieldMapping, bool]:
    """Get or create the field's mapping; new ones get the registered values, then `values`."""
    defaults = {
        "label": proposal.label,
        "fields": list(proposal.fields),
        "converter": proposal.converter,
        "required": proposal.required,
        "position": position,
        "column_id": column_id,
    }
    return FieldMapping.objects.get_or_create(link=link, key=proposal.key, defaults=defaults | values)


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


def _create_obstacle(spec: EntitySpec, connector: MondayConnector, setup: BoardSetup) -> str:
    """Return why nothing new may be created on the board; checked only if its match column changed."""
    match = setup.columns.get(spec.match_key)
    if match is None:  # the item's name, which every item has
        return ""
    # Read the row, not link_of(): the board named in the environment isn't stored yet.
    link = BoardLink.objects.filter(entity_type=spec.entity_type).first()
    if link is not None and link.board_id == setup.board.id and is_matched_by(link, match.id):
        return ""
    types = field_choices.match_field(field_choices.mappable_fields(spec)).types
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    return ask_reason_to_hold(connector, setup.board, npd_id, match, types)


def is_matched_by(link: BoardLink, column_id: str) -> bool:
    """Whether records and items are matched by this column already, and creates aren't held."""
    return not link.creates_held and link.mappings.filter(key=link.match_key, column_id=column_id).exists()


def ask_reason_to_hold(
    connector: MondayConnector, board: Board, npd_id_column: str, match: BoardColumn, types: Collection[str]
) -> str:
    """Return why creates are held, as in `reason_to_hold`; usually one call. Raises MondayError.

    `types` are the types of columns that can hold the match key.
    """
    others = [column for column in board.columns if column.type in types and column.id not in (match.id, npd_id_column)]
    columns = [match.id, npd_id_column, *(column.id for column in others)]
    return reason_to_hold(match, others, npd_id_column, connector.list_items(board.id, columns))


def reason_to_hold(
    match: BoardColumn, others: Sequence[BoardColumn], npd_id_column: str, pages: Iterable[Iterable[Item]]
) -> str:
    """Return why creates are held as a sentence; empty if an item can be matched, or none needs to be.

    They are held on a board where no item can be matched, because everybody might be created twice.
    Reads pages until an item without an NPD ID has a value in the match column.
    """
    unknown = 0
    filled = Counter[str]()
    for items in pages:
        without_id = [item for item in items if not is_filled(item, npd_id_column)]
        if any(is_filled(item, match.id) for item in without_id):
            return ""
        unknown += len(without_id)
        filled.update(column.title for column in others for item in without_id if is_filled(item, column.id))
    if not unknown:
        return ""
    candidates = [f"“{column.title}”" for column in others if filled[column.title]]
    choose = f"choose {' or '.join(candidates)}, which has values, instead" if candidates else "choose another column"
    have = "has" if unknown == 1 else "have"
    return (
        f"{count_with_noun(unknown, 'item')} on the board {have} no NPD ID, and “{match.title}”, by which NPD Sync "
        "recognizes records, is empty for all of them. So it creates nothing new on either side: everybody could be "
        f"there twice. Fill in “{match.title}” on Monday, or {choose} (Boards, “Set up…”), or press “Create new ones "
        "anyway” on the board's page."
    )


def is_filled(item: Item, column_id: str) -> bool:
    """Whether a cell has a value, or can't be read."""
    reading = item.reading(column_id)
    return not reading.known or bool((reading.text or "").strip())


def _unmatched_items(spec: EntitySpec, connector: MondayConnector, setup: BoardSetup) -> list[UnmatchedFinding]:
    """Return the items without an NPD ID on a board new to NPD Sync, with the values they are matched by.

    Monday's search compares texts as written. These rows let a pass find items whose texts are written differently.
    """
    link = BoardLink.objects.filter(entity_type=spec.entity_type).first()
    if link is not None and link.board_id == setup.board.id and link.npd_id_column:
        return []
    column = setup.columns.get(spec.match_key)
    column_id = column.id if column else board_columns.NAME_TYPE
    kind = column.type if column else board_columns.NAME_TYPE
    convert = make_converter(field_choices.match_field(field_choices.mappable_fields(spec)).types[kind])
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    columns = [npd_id] if column is None else [npd_id, column_id]
    findings = []
    for item in chain.from_iterable(connector.list_items(setup.board.id, columns, sorted({kind, "text"}))):
        if not is_filled(item, npd_id):
            with suppress(UnknownValue):
                text = convert.canonical_remote(convert.stored_value(item.reading(column_id)))
                values = {spec.match_key: text} if isinstance(text, str) else {}
                findings.append(UnmatchedFinding(item.id, item.name, UnmatchedReason.CREATION_OFF, values=values))
    return findings


def _store_board(target: BoardToSetUp, setup: BoardSetup) -> tuple[BoardLink, list[str], list[str]]:
    """Store the board and its columns; return the link, the steps, and the problems, as sentences."""
    spec = target.spec
    BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
    link = BoardLink.objects.select_for_update().get(entity_type=spec.entity_type)
    steps = [f"made the {message}" for message in setup.created]
    if link.board_id != setup.board.id:
        switch_board(link, setup.board.id, created=target.is_new)
        if not target.is_new:
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
    link.npd_id_column = setup.columns[board_columns.NPD_ID_KEY].id
    # Set-up has just read the board, so its earlier stop is over.
    link.stops.pop(ALL_CALLS, None)
    link.save(update_fields=["group_id", "npd_id_column", "stops"])
    board_columns.set_create_obstacle(link, "npd_id_problem", "")
    stored = target.store(link, setup)
    steps += stored.done
    is_resynced = stored.needs_resync or column_before not in ("", link.npd_id_column)
    if is_resynced and (number := _enqueue_linked_records(spec, stored.remapped)):
        steps.append(f"{registry.count_of_type(number, spec.entity_type)} will be synced again")
    if not column_before:
        # Saves older than the board get this cause too, so that metrics don't count their wait as sync latency.
        saves = SyncQueue.objects.filter(entity_type=spec.entity_type, direction=QueueDirection.TO_MONDAY)
        waiting = saves.filter(entity_id__isnull=False, status=QueueStatus.PENDING)
        ids = [pk for pk in waiting.values_list("entity_id", flat=True) if pk]
        enqueue(spec.entity_type, ids, cause=Cause.SETUP, priority=Priority.LOAD)
    return link, steps, stored.problems


def store_columns(spec: registry.EntitySpec, link: BoardLink, setup: BoardSetup, reason: str = "") -> StoredColumns:
    """Store the column of each mapping; `reason` explains why a field got another column.

    A mapping with another column or converter gets a new version.
    """
    result = StoredColumns()
    mappings = {mapping.key: mapping for mapping in link.mappings.all()}
    proposed = {proposal.key for proposal in spec.mappings}
    for position, proposal in enumerate(spec.mappings):
        column = setup.columns.get(proposal.key)
        if proposal.key not in mappings and column is not None:
            # An optional field is synced from when it has a column.
            converter = proposal.converter_for(column.type) or proposal.converter
            options = _options(column)
            make_mapping(link, proposal, position, column_id=column.id, converter=converter, options=options)
            where = f"“{column.title}” ({column.id}, {column.type})"
            result.done.append(f"{proposal.label} is synced now, with the column {where}")
            result.needs_resync = True
    for mapping in mappings.values():
        column = setup.columns.get(mapping.key)
        if column is not None:
            _update_mapping(result, mapping, column, setup.unfit.get(mapping.key, reason))
        # Nobody misses a field that is no longer registered.
        elif (
            mapping.key in proposed
            and mapping.column_id not in ("", board_columns.NAME_TYPE)
            and mapping.direction != SyncDirection.NONE
        ):
            why = setup.unfit.get(mapping.key) or f"its column {mapping.column_id} was deleted from the board"
            result.problems.append(
                f"{spec.board_title}: {mapping.label} can't be synced any more: {why}. Restore the column, or create "
                "a new one or choose “Sync off” in the set-up (Boards, “Set up…”)."
            )
    unused = [proposal for proposal in spec.mappings if proposal.key not in mappings and proposal.key in setup.unfit]
    result.done += [f"{proposal.label} is not synced: {setup.unfit[proposal.key]}" for proposal in unused]
    return result


def _update_mapping(result: StoredColumns, mapping: FieldMapping, column: BoardColumn, reason: str) -> None:
    spec = board_columns.mapping_spec(mapping)
    converter = (spec.converter_for(column.type) if spec else None) or mapping.converter
    changed: dict[str, Any] = {}
    if column.id != mapping.column_id:
        changed |= {"column_id": column.id, "mapped_at": SyncNow()}
        # A new version invalidates the base, which belongs to the old column.
        if mapping.column_id:
            changed["version"] = models.F("version") + 1
            why = reason or f"it was {mapping.column_id}, which is gone"
            result.done.append(f"{mapping.label} is now in the column {column.id} ({why})")
        result.needs_resync = True
    if converter != mapping.converter:
        changed["converter"] = converter
        result.needs_resync = True
        # Another converter stores different values in the base.
        if mapping.column_id:
            changed["version"] = models.F("version") + 1
            result.done.append(f"{mapping.label}: the column “{column.title}” is of type {column.type} now and read so")
    # The column is usable again, so the blocked records need a pass.
    if mapping.problem:
        changed |= board_columns.NO_PROBLEM
        result.needs_resync = True
    # Labels and settings change without a new version, because the column is the same.
    if mapping.column_id != board_columns.NAME_TYPE and (options := _options(column)) != mapping.options:
        changed["options"] = options
    if changed:
        FieldMapping.objects.filter(pk=mapping.pk).update(**changed)


def _options(column: BoardColumn) -> dict[str, Any]:
    return {"column_type": column.type, "settings": dict(column.settings)}


def _enqueue_linked_records(spec: EntitySpec, payload: Mapping[str, str]) -> int:
    """Enqueue every record that has an item and may sync; return how many."""
    records = spec.model._default_manager.filter(monday_id__isnull=False).exclude(unsynced())
    # In the order of ids, as passes lock them. NO KEY, so that rows pointing at these records can still be saved.
    locked = records.order_by("id").select_for_update(no_key=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True))
    enqueue(
        spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.SWEEP, payload=payload,
        direction=QueueDirection.TO_NPD,
    )  # fmt: skip
    return len(ids)


def missing_columns(spec: registry.EntitySpec, link: BoardLink) -> Iterator[str]:
    """Yield the optional fields that have no column, as `--with` names them."""
    mapped = set(link.mappings.values_list("key", flat=True))
    yield from (f"{spec.entity_type}.{m.key}" for m in spec.mappings if m.optional and m.key not in mapped)
