"""Set-up of one board: link, columns, mappings, webhooks; the one way of it, for the command and the wizard.

It can be repeated, also after a worker was killed: a board is stored the moment it is made, columns that are there
are adopted. What an administrator changed is overwritten only by another choice of a person.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from django.db import transaction

from sync import limits, registry
from sync.boards import board_columns, field_choices
from sync.boards.webhooks import register_webhooks
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, SyncDirection
from sync.kernel.messages import ActionError, UnmatchedReason
from sync.limits import breaker, credentials
from sync.models import BoardLink, IgnoredItem, SyncQueue, UnmatchedItem
from sync.models.board_link import EVERYTHING
from sync.models.synced_model import unsynced
from sync.monday.board import Board, BoardSetup, ColumnSpec
from sync.monday.columns import make_converter
from sync.monday.connector import MondayConnector
from sync.monday.conversion import UnknownValue
from sync.outbox.queue_rows import enqueue
from sync.records import authors
from sync.records.unmatched_items import UnmatchedFinding, note_unmatched
from sync.registry import EntitySpec, configured_board_id

# For whoever runs a command: the wizard leads to the connection before this.
NOT_CONFIGURED = (
    "Monday isn't configured. Set MONDAY_API_KEY to an API token (on monday.com: your picture, Developers, "
    "My access tokens) and run `manage.py monday_setup` again; or enter it in the admin under Boards, “Set up…”."
)


@dataclass(frozen=True)
class SetupOutcome:
    """What the set-up of one model did, as sentences, and what is still missing."""

    entity: EntitySpec
    link: BoardLink
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def set_up_all(requested: Collection[str] = ()) -> Iterator[SetupOutcome]:
    """Set up every registered model, one after another; raises ActionError, MondayError.

    `requested` names optional columns to be created, such as "contact.organization".
    """
    if not credentials.is_configured():
        raise ActionError(NOT_CONFIGURED)
    optional = [f"{spec.entity_type}.{m.key}" for spec in registry.entities() for m in spec.mappings if m.optional]
    if unknown := [name for name in requested if name not in optional]:
        raise ActionError(
            f"There is no optional column “{unknown[0]}”. Those that can be made: {', '.join(optional) or 'none'}."
        )
    breaker.fetch_account_info()
    connector = limits.connector(urgent=True)
    authors.refresh_users(connector)
    for spec in registry.entities():
        yield set_up(spec, connector, requested)


class SetupChoices:
    """What a set-up is to come to: here as the application registered it, in the wizard as a person chose it."""

    made_board = False  # whether the set-up made the board itself in an earlier, broken run

    creates_all = False  # whether a person said to create new items also on a board where nobody can be recognised

    def __init__(self, spec: EntitySpec, requested: Collection[str] = ()) -> None:
        self.spec = spec
        self._keys = [name.partition(".")[2] for name in requested if name.partition(".")[0] == spec.entity_type]
        self._link, _ = BoardLink.objects.get_or_create(
            entity_type=spec.entity_type, defaults={"match_key": spec.match_key}
        )
        for position, mapping in enumerate(spec.mappings):
            # An optional one waits until its board has a fitting column, or a person asks for one.
            if not mapping.optional:
                # The name's column needs no set-up: every board has it.
                column_id = (
                    board_columns.NAME_TYPE
                    if board_columns.column_type(mapping.converter) == board_columns.NAME_TYPE
                    else ""
                )
                board_columns.make_mapping(self._link, mapping, position, column_id=column_id)

    def board_id(self) -> str:
        return configured_board_id(self.spec.entity_type) or self._link.board_id

    def board_made(self, board_id: str) -> None:
        """Store a new board at once, before any later step can fail: no run makes a second one."""
        switch_board(self._link, board_id, created=True)

    def board_gone(self, board_id: str) -> str:
        """Say that the board isn't there; one that a person named is never replaced by a new one."""
        return (
            f"{self.spec.board_title}: board {board_id} is not on Monday any more, or NPD Sync's user can't see it. "
            "Restore it from Monday's archive or trash, or give the user access, or name another board in "
            f"{self.spec.board_setting}; then run `manage.py monday_setup` again."
        )

    def columns(self, board: Board) -> Sequence[ColumnSpec]:
        """The columns that the board needs; raises ActionError where it can't have them."""
        likely = self._suggested(board)
        stored = {mapping.key: mapping for mapping in self._link.mappings.all()}
        columns = []
        for mappable in field_choices.mappable_fields(self.spec):
            mapping = stored.get(mappable.key)
            # A person switched the field off, so its column is no longer needed.
            if mappable.is_name or (mapping is not None and mapping.direction == SyncDirection.NONE):
                continue
            # The stored column comes first, so that a repeated set-up finds the same one.
            own = mapping.column_id if mapping is not None else ""
            preferred = likely.get(mappable.key) or own or mappable.column_id
            is_optional = mappable.optional and mappable.key not in self._keys
            columns.append(mappable.column_spec(preferred, optional=is_optional))
        # Every board gets the NPD ID column, by which items are matched with records.
        return [*columns, board_columns.npd_id_spec(self._link.npd_id_column)]

    def _suggested(self, board: Board) -> dict[str, str]:
        """Return the likely columns of the fields that have none on this board."""
        link = self._link if self._link.board_id == board.id else None
        stored = field_choices.stored_choices(link)
        used = {choice.column for choice in stored.values() if choice.is_synced}
        free = [column for column in board.columns if column.id not in used]
        # One whose column was deleted gets a new one: another column of its type holds something else.
        unset = {key for key, choice in stored.items() if not choice.column}
        fields = [
            field for field in field_choices.mappable_fields(self.spec) if field.key in unset or field.key not in stored
        ]
        likely = field_choices.suggest_columns(fields, free, field_choices.find_npd_id_column(link, board.columns))
        made_or_name = (field_choices.NEW_COLUMN, board_columns.NAME_TYPE)
        return {key: column for key, column in likely.items() if column not in made_or_name}

    def check(self, link: BoardLink) -> None:
        """Raise ActionError where the link, locked and as it was, is not what was chosen for: nothing is stored."""

    def store(self, link: BoardLink, setup: BoardSetup) -> board_columns.StoredColumns:
        """Store the mappings and what comes with them, in the transaction that stores the link."""
        return board_columns.store_columns(self.spec, link, setup)


def set_up(spec: EntitySpec, connector: MondayConnector, requested: Collection[str] = ()) -> SetupOutcome:
    """Set up one model as it is registered; raises ActionError, MondayError."""
    return apply_choices(SetupChoices(spec, requested), connector)


def apply_choices(choices: SetupChoices, connector: MondayConnector) -> SetupOutcome:
    """Create or adopt the board and its columns, store the mappings, then register the missing webhooks.

    A webhook that can't be registered is a problem of the outcome; everything else is done by then.
    Raises ActionError for a board that was deleted or doesn't fit, MondayError.
    """
    spec = choices.spec
    steps = list[str]()
    board_id = choices.board_id()
    made_board = choices.made_board
    if not board_id:
        board = connector.create_board(spec.board_title, choices.board_made)
        made_board = True
        steps.append(f"made the board “{spec.board_title}” ({board.id})")
    elif (existing := connector.read_boards([board_id]).get(board_id)) and existing.is_active:
        board = existing
    else:
        raise ActionError(choices.board_gone(board_id))
    setup = connector.ensure_columns(board.id, spec.board_title, choices.columns(board))
    held = "" if made_board or choices.creates_all else _reason_to_hold(spec, connector, setup)
    strangers = [] if made_board else _strangers(spec, connector, setup)
    link, messages, problems = _store_board(choices, setup, held, strangers, made_board=made_board)
    messages += _second_columns(board, setup)
    # Otherwise the board's name and titles would be shown only after the first sweep, some minutes later.
    board_columns.inspect_board(link, connector)
    hooks, missing = register_webhooks(spec, link, connector)
    return SetupOutcome(spec, link, [*steps, *messages, *hooks], [*problems, *missing])


def switch_board(link: BoardLink, board_id: str, *, created: bool) -> None:
    """Another board than before: permissions given for the old one don't hold for it.

    Only a board that the set-up created is certain to hold nothing but what people put there for NPD.
    """
    # The old board's group, webhooks, sweeps and titles say nothing about another board.
    link.board_id = board_id
    link.group_id = ""
    link.webhooks = {}
    link.creates_records = created
    link.swept_to = link.swept_at = link.compared_at = link.webhooks_checked_at = link.verified_at = None
    link.verified_records = link.differed_records = 0
    link.differences = []
    link.sweep_problem = link.webhooks_problem = link.silence = link.compared = link.npd_id_problem = ""
    link.shape = {}
    link.sweep_shortfall = 0
    link.sync_filter = {}
    link.creates_held = ""
    with transaction.atomic():
        # Ignored and unmatched items are of the old board; whose person was erased stays so, should that one come back.
        UnmatchedItem.objects.filter(entity_type=link.entity_type).delete()
        IgnoredItem.objects.filter(entity_type=link.entity_type, erased=False).delete()
        # Somebody may have paused it while Monday was asked.
        link.refresh_from_db(fields=["pause"])
        link.save()


def _reason_to_hold(spec: EntitySpec, connector: MondayConnector, setup: BoardSetup) -> str:
    """Return why nothing new may be created on the board; asked where its match column is another than before."""
    match = setup.columns.get(spec.match_key)
    if match is None:  # the item's name, which every item has
        return ""
    # The row itself: another board that the environment names isn't set up before this.
    link = BoardLink.objects.filter(entity_type=spec.entity_type).first()
    if link is not None and link.board_id == setup.board.id and board_columns.is_matched_by(link, match.id):
        return ""
    types = next(set(mappable.types) for mappable in field_choices.mappable_fields(spec) if mappable.is_match_key)
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    return board_columns.ask_reason_to_hold(connector, setup.board, npd_id, match, types)


def _strangers(spec: EntitySpec, connector: MondayConnector, setup: BoardSetup) -> list[UnmatchedFinding]:
    """Return the items without an NPD ID of a board that is new to NPD Sync, with what they are matched by.

    Monday finds a text as it is written: what is in another form there, a record's pass finds by its match key here.
    """
    link = BoardLink.objects.filter(entity_type=spec.entity_type).first()
    if link is not None and link.board_id == setup.board.id and link.npd_id_column:
        return []
    column = setup.columns.get(spec.match_key)
    column_id, kind = (
        (column.id, column.type) if column is not None else (board_columns.NAME_TYPE, board_columns.NAME_TYPE)
    )
    convert = make_converter(
        next(field.types[kind] for field in field_choices.mappable_fields(spec) if field.is_match_key)
    )
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    columns = [npd_id] if column is None else [npd_id, column_id]
    findings = []
    for item in chain.from_iterable(connector.list_items(setup.board.id, columns, sorted({kind, "text"}))):
        if not board_columns.is_filled(item, npd_id):
            with suppress(UnknownValue):
                text = convert.remote(convert.stored_value(item.reading(column_id)))
                values = {spec.match_key: text} if isinstance(text, str) else {}
                findings.append(UnmatchedFinding(item.id, item.name, UnmatchedReason.CREATION_OFF, values=values))
    return findings


def _second_columns(before: Board, setup: BoardSetup) -> list[str]:
    """Say of each column that was made beside others of its type that it is a second one."""
    earlier = {column.id for column in before.columns}
    used = {column.id for column in setup.columns.values()}
    unused = [column for column in before.columns if column.id not in used]
    made = [
        column for key, column in setup.columns.items() if column.id not in earlier and key != board_columns.NPD_ID_KEY
    ]
    sentences = (field_choices.second_column_text(column.title, column.type, unused) for column in made)
    return list(filter(None, sentences))


@transaction.atomic
def _store_board(
    choices: SetupChoices, setup: BoardSetup, held: str, strangers: Sequence[UnmatchedFinding], *, made_board: bool
) -> tuple[BoardLink, list[str], list[str]]:
    """Store what is on Monday now; return the link, what was done and what is wrong, as sentences.

    Nothing is synced with a new board before this is committed.
    """
    spec = choices.spec
    BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
    link = BoardLink.objects.select_for_update().get(entity_type=spec.entity_type)
    choices.check(link)
    steps = [f"made the {message}" for message in setup.created]
    if link.board_id != setup.board.id:
        switch_board(link, setup.board.id, created=made_board)
        if not made_board:
            steps.insert(0, f"now works with board {setup.board.id}")
    if not link.npd_id_column:
        steps += [f"uses the {message} that was there" for message in setup.adopted]
    steps += _choose_group(link, setup.board)
    column = setup.columns[board_columns.NPD_ID_KEY].id
    before = link.npd_id_column
    moved = before not in ("", column)
    link.npd_id_column = column
    # Set-up has just read the board, so its earlier stop is over.
    link.stops.pop(EVERYTHING, None)
    link.save(update_fields=["group_id", "npd_id_column", "stops"])
    board_columns.set_create_obstacle(link, "npd_id_problem", "")
    stored = choices.store(link, setup)
    requeued = resync_records(spec, stored.remapped) if stored.needs_resync or moved else []
    steps += [*stored.done, *requeued]
    board_columns.set_create_obstacle(link, "creates_held", held)
    for start in range(0, len(strangers), 1_000):
        note_unmatched(link, strangers[start : start + 1_000])
    if held:
        stored.problems.append(f"{spec.board_title}: {held}")
    if not before:
        # Saves from before the board was there have waited for it: no figure may call them edits that took so long.
        waiting = SyncQueue.objects.filter(
            entity_type=spec.entity_type, entity_id__isnull=False,
            direction=QueueDirection.TO_MONDAY, status=QueueStatus.PENDING,
        )  # fmt: skip
        ids = [pk for pk in waiting.values_list("entity_id", flat=True) if pk]
        enqueue(spec.entity_type, ids, cause=Cause.SETUP, priority=Priority.LOAD)
    return link, steps, stored.problems


def _choose_group(link: BoardLink, board: Board) -> list[str]:
    """New items go to the topmost group, unless a person chose another that still takes items."""
    before = link.group_id
    group_id = board.group_id or ""
    if before in board.groups:
        return []
    link.group_id = group_id
    if not before:
        return []
    title = board.groups.get(group_id, group_id)
    return [f"new items go to the group “{title}” now, for the group {before} is archived or deleted"]


def resync_records(spec: EntitySpec, payload: Mapping[str, str] | None = None) -> list[str]:
    records = spec.model._default_manager.filter(monday_id__isnull=False).exclude(unsynced())
    # In the order of ids, as passes lock them. NO KEY, so that rows pointing at these records can still be saved.
    locked = records.order_by("id").select_for_update(no_key=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True))
    if not ids:
        return []
    enqueue(
        spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.SWEEP, payload=payload,
        direction=QueueDirection.TO_NPD,
    )  # fmt: skip
    return [f"{registry.count_of_type(len(ids), spec.entity_type)} will be synced again"]
