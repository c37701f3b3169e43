"""Set-up of a board for the command and the wizard: link, columns, mappings, webhooks, as the choices say.

It can be repeated, also after a worker was killed: a new board is stored at once, existing columns are adopted. Only
another choice of a person overwrites an administrator's changes.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import structlog
from django.db import transaction

from conflicts.store import end_fields
from sync import registry
from sync.boards import availability, board_columns
from sync.boards.webhooks import delete_former_webhooks, register_webhooks
from sync.choices import Cause, ColumnProblem, Priority, SyncDirection, UnmatchedReason
from sync.fields import lookups
from sync.kernel.acts import ActionError, NotPossible
from sync.kernel.humanize import join_first
from sync.limits import api_quota, breaker, credentials, metered_client, probes
from sync.models import BoardLink, MondayAccount, UnmatchedItem
from sync.models.synced_model import unsynced
from sync.monday import errors
from sync.monday.board_items import NAME_COLUMN, Board, BoardColumn, BoardSetup, Item
from sync.monday.columns import make_converter
from sync.monday.connector import MondayConnector
from sync.monday.conversion import Converter, UnknownValue
from sync.operations.setup import future_board, item_links, selection
from sync.operations.setup.future_board import is_filled
from sync.outbox import enqueue, enqueue_comparison, enqueue_unmatched, wakeups
from sync.outbox.claim import acquire
from sync.records import authors
from sync.records.item_links import UnmatchedFinding, note_unmatched
from sync.registry import EntitySpec
from sync.words.message import Message, worded

log = structlog.get_logger(__name__)

# Longer than a set-up takes: it may list a board's items. A killed worker's lease ends at once.
LEASE_SECONDS = 600

# For commands: the wizard sets up the connection first.
NOT_CONFIGURED = Message("not_configured")


@dataclass
class SetupOutcome:
    """The steps that the set-up of one board took, and the problems that remain, as messages."""

    link: BoardLink
    steps: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def set_up_all(requested: Collection[str] = ()) -> Iterator[SetupOutcome]:
    """Set up every registered model, one after another; raises ActionError, MondayError.

    `requested` names optional fields whose columns are to be made, such as "contact.organization".
    """
    if not credentials.has_token():
        raise ActionError(NOT_CONFIGURED)
    optional = [f"{spec.entity_type}.{m.key}" for spec in registry.entities() for m in spec.mappings if m.optional]
    if unknown := [name for name in requested if name not in optional]:
        raise ActionError(f"There is no optional field “{unknown[0]}”. There are: {', '.join(optional) or 'none'}.")
    probes.refresh_account_info()
    connector = metered_client.connector(urgent=True)
    refresh_users(connector)
    for spec in registry.entities():
        yield set_up(spec, connector, requested)


def refresh_users(connector: MondayConnector) -> errors.MondayError | None:
    """Read and store the account's users; return any refusal by Monday.

    Raises MondayError if Monday can't be reached or a limit stops the call.
    """
    try:
        users = connector.read_users()
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
    # Two first set-ups at once would make two boards, or each column twice.
    is_first = not link.mappings.exists()
    lease = acquire(link, LEASE_SECONDS) if is_first and not link.is_being_set_up else None
    if is_first and lease is None:
        raise ActionError(f"{spec.board_title}: another set-up is running. Run this again when it is done.")
    with lease or nullcontext():
        link.refresh_from_db()
        board_id = registry.configured_board_id(spec.entity_type) or link.board_id
        board = ensure_board(connector, spec, board_id, partial(switch_board, link, created=True))
        chosen = selection.ChosenBoard(selection.suggested_choices(spec, board, requested), board)
        return set_up_board(chosen, connector, is_new=not board_id)


def ensure_board(connector: MondayConnector, spec: EntitySpec, board_id: str, store: Callable[[str], None]) -> Board:
    """Read the board, or create it if there is no id; raises ActionError, MondayError.

    `store` gets the id of a new board before any later step can fail, so that no run creates a second one. A board that
    a person named is never replaced by a new one.
    """
    if not board_id:
        return connector.create_board(spec.board_title, store)
    return selection.read_active_board(connector, board_id)


def set_up_board(
    chosen: selection.ChosenBoard,
    connector: MondayConnector,
    *,
    is_new: bool,
    by: str = "",
    recognized: Collection[str] = (),
) -> SetupOutcome:
    """Create or adopt the columns, store the board and its mappings, then register the missing webhooks.

    `is_new` if this set-up has created the board; `by` is the person who chose, also whose the `recognized` items are.
    A webhook that can't be registered is a problem of the outcome; everything else is done by then. Raises ActionError,
    MondayError.
    """
    board = chosen.board
    assert board is not None
    spec = chosen.spec
    setup = connector.ensure_columns(board.id, spec.board_title, chosen.column_specs())
    obstacle, findings = (None, []) if is_new else _read_unlinked_items(chosen, connector, setup, recognized)
    if chosen.choices.creates_anyway:
        obstacle = None
    with transaction.atomic():
        # Nothing is synced with a new board before this is committed.
        outcome = _store_board(chosen, setup, is_new=is_new, by=by)
        link = outcome.link
        board_columns.set_create_obstacle(link, "creates_held", obstacle or "")
        if obstacle is not None:
            outcome.problems.append(Message("problem_of_board", board=spec.board_title, problem=obstacle))
        _note_all(link, findings)
    if is_new:
        outcome.steps.insert(0, Message("step_board", title=board.name, id=board.id))
    if setup.created and not is_new and chosen.unused:
        outcome.steps.append(Message("step_unused", columns=join_first(chosen.unused_labels)))
    # Otherwise pages would show the board's name and titles only after the first sweep, some minutes later.
    board_columns.inspect_board(link, connector)
    outcome.steps += delete_former_webhooks(link, connector)
    hooks, missing = register_webhooks(spec, link, connector)
    outcome.steps += hooks
    outcome.problems += missing
    return outcome


def _note_all(link: BoardLink, findings: Sequence[UnmatchedFinding]) -> None:
    if not link.creates_records:
        findings = [replace(finding, reason=UnmatchedReason.CREATION_OFF) for finding in findings]
    for start in range(0, len(findings), 1_000):
        note_unmatched(link, findings[start : start + 1_000])


def switch_board(link: BoardLink, board_id: str, *, created: bool, by: str = "") -> None:
    """Store another board for the link, and forget the items of the one that it leaves, which stays as it is.

    Permission to create records doesn't carry over: only a board that the set-up `created` surely holds nothing but
    items meant for NPD.
    """
    with transaction.atomic():
        # Somebody may have paused it, or started a set-up, while Monday was asked.
        link.refresh_from_db(from_queryset=BoardLink.objects.select_for_update())
        for kind in list(link.stops):
            breaker.end_stop(link, kind)
        if link.board_id:
            item_links.forget_items(link, by)
        link.reset_for(board_id)
        link.creates_records = created
        # Ignored items stay, in case the board that is left is chosen again.
        UnmatchedItem.objects.filter(entity_type=link.entity_type).delete()
        link.save()


# Whether items can be recognized.


def _read_unlinked_items(
    chosen: selection.ChosenBoard, connector: MondayConnector, setup: BoardSetup, recognized: Collection[str]
) -> tuple[Message | None, list[UnmatchedFinding]]:
    """Return why nothing new may be created on a board that was there, and its items without an NPD ID.

    The items only if the board or its match column is new to NPD Sync: Monday's search compares texts as written, and
    by these rows a pass finds items whose texts are written differently, and items with a record's name.
    """
    link = chosen.link
    match = next(mapping for mapping in chosen.spec.mappings if mapping.key == chosen.spec.match_key)
    column = setup.columns.get(match.key) or BoardColumn(NAME_COLUMN, match.label, match.new_column_type)
    npd_id = setup.columns[board_columns.NPD_ID_KEY].id
    column_ids = [npd_id, *([] if match.is_name else [column.id])]
    if not future_board.lists_items(link, column):
        return None, []
    unreadable: dict[str, errors.MondayError] = {}
    pages = connector.list_items(setup.board.id, column_ids, sorted({column.type, "text"}), unreadable)
    listed = [item for page in pages for item in page]
    if not chosen.choices.creates_anyway and (
        problem := future_board.listing_problem(chosen.board, len(listed) + len(unreadable))
    ):
        raise ActionError(problem)
    items = [item for item in listed if not is_filled(item, npd_id) and item.id not in recognized]
    findings = _unlinked_findings(items, column, match.key, make_converter(match.types[column.type]))
    return future_board.reason_to_hold(chosen.spec.entity_type, link, column, npd_id, items), findings


def _unlinked_findings(
    items: Iterable[Item], column: BoardColumn, match_key: str, converter: Converter
) -> list[UnmatchedFinding]:
    """Return the findings about items without an NPD ID, each with its match value, unless that can't be read."""
    findings = []
    for item in items:
        with suppress(UnknownValue):
            text = converter.canonical_remote(converter.cell_value(item.reading(column.id)))
            # An empty text replaces the value of another column that was stored.
            values = {match_key: text if isinstance(text, str) else ""}
            findings.append(UnmatchedFinding(item.id, item.name, values=values))
    return findings


def check_board(link: BoardLink) -> str:
    """Check the columns, and whether creates are still held; return a sentence. Raises MondayError, NotPossible."""
    wait = availability.of(link.entity_type, urgent=True)
    # A stop of the board's own is no reason: its problem may have been fixed.
    if wait.detail and wait.reason_code is not api_quota.WaitKind.BOARD:
        raise NotPossible(f"NPD Sync didn't ask Monday: {wait.detail}")
    before = _problem_labels(link)
    # A person waits for the answer, so it may use the reserve.
    with metered_client.urgent_calls():
        board = board_columns.inspect_board(link)
        if board is not None and link.creates_held:  # a reason, which may be over
            match = link.mappings.get(key=link.match_key)
            column = board.column(match.column_id)
            if column is not None:
                columns = [column.id, link.npd_id_column]
                pages = metered_client.connector().list_items(link.board_id, columns, sorted({column.type, "text"}))
                items = [item for page in pages for item in page if not is_filled(item, link.npd_id_column)]
                obstacle = future_board.reason_to_hold(link.entity_type, link, column, link.npd_id_column, items)
                findings = _unlinked_findings(items, column, match.key, make_converter(match.converter))
                with transaction.atomic():
                    _note_all(link, findings)
                    board_columns.set_create_obstacle(link, "creates_held", obstacle or "")
    if board is None:
        raise NotPossible(
            f"The board {link.board_id} isn't shown by Monday: it is archived, deleted, or hidden "
            "from NPD Sync's user on Monday."
        )
    after = _problem_labels(link)
    for mapping in link.mappings.filter(problem_code=ColumnProblem.HIDDEN):
        # Only an item's values show that a hidden column is visible again.
        blocked = board_columns.blocked_sync_states(link, mapping)[:1]
        enqueue_comparison(link.entity_type, [UUID(row.entity_id) for row in blocked])
    wakeups.wake_board(link.entity_type)
    if fixed := sorted(before - after):
        return Message("columns_are_back", fields=", ".join(fixed))
    if lost := sorted(after - before):
        return Message("columns_are_lost", fields=", ".join(lost))
    if after:
        return Message("columns_still_lost", fields=", ".join(sorted(after)))
    if link.creates_held:
        return Message("still_held", why=link.creates_held)
    return Message("columns_are_there")


def _problem_labels(link: BoardLink) -> set[str]:
    # Read again, because the caller's link doesn't have the problems that the check has just stored.
    fresh = BoardLink.objects.get(pk=link.pk)
    labels = fresh.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE)
    return {*labels.values_list("label", flat=True), *(["NPD ID"] if fresh.npd_id_problem else [])}


# What is stored.


def _store_board(chosen: selection.ChosenBoard, setup: BoardSetup, *, is_new: bool, by: str) -> SetupOutcome:
    """Store the board, its settings and its mappings as chosen; enqueue the records that need a pass."""
    spec = chosen.spec
    link = BoardLink.objects.select_for_update().get(entity_type=spec.entity_type)
    outcome = SetupOutcome(link, worded(setup.created))
    is_switched = link.board_id != setup.board.id
    if by or (is_switched and not is_new):
        _log_changes(chosen, link, by)
    if is_switched:
        switch_board(link, setup.board.id, created=is_new, by=by)
        if not is_new:
            outcome.steps.insert(0, Message("step_other_board", board=setup.board.id))
    column_before = link.npd_id_column
    if not column_before:
        outcome.steps += worded(setup.adopted)
    _choose_group(outcome, setup.board)
    filter_before = link.sync_filter
    creates_before = link.creates_records
    if by:
        _choose_settings(link, chosen.choices)
    else:
        # For the command, the directions and rules that somebody may have changed meanwhile.
        fields = dict(chosen.choices.fields)
        for mapping in link.mappings.filter(key__in=fields):
            fields[mapping.key] = replace(fields[mapping.key], direction=mapping.direction, rule=mapping.rule)
        chosen = replace(chosen, choices=replace(chosen.choices, fields=fields))
    link.npd_id_column = setup.columns[board_columns.NPD_ID_KEY].id
    # Set-up has just read the board, so its earlier stop is over.
    breaker.end_stop(link)
    link.save(update_fields=["group_id", "npd_id_column", "creates_records", "sync_filter"])
    board_columns.set_create_obstacle(link, "npd_id_problem", "")
    needs_pass = _store_mappings(outcome, chosen, setup, by, is_first=not column_before)
    if filter_before != link.sync_filter:
        # In the transaction that stores the filter, so that no record that it leaves out stays `synced`.
        outcome.steps.append(Message("step_filter"))
        needs_pass = True
    if needs_pass or creates_before != link.creates_records:
        check_unmatched_again(link)
    if needs_pass or column_before not in ("", link.npd_id_column):
        records = lookups.linked_records(spec.entity_type).exclude(unsynced())
        # In the order of ids, as passes lock them. NO KEY, so that rows pointing at these records can still be saved.
        locked = records.order_by("id").select_for_update(no_key=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True))
        enqueue_comparison(spec.entity_type, ids)
        if ids:
            number = registry.count_of_type(len(ids), spec.entity_type)
            outcome.steps.append(Message("step_records", records=number))
    if by or is_switched or not column_before:
        without_item = spec.model.objects.exclude(unsynced()).filter(monday_id=None)
        ids = list(without_item.order_by("created_at", "pk").values_list("pk", flat=True))
        enqueue(spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.LOAD)
    return outcome


def _choose_settings(link: BoardLink, choices: selection.Choices) -> None:
    if choices.creates_records and not link.creates_records:
        # Whoever turns new records on says so of all items; those of another board are marked by its plan.
        UnmatchedItem.objects.filter(entity_type=link.entity_type).update(is_unplanned=False)
    link.creates_records = choices.creates_records
    link.sync_filter = dict(choices.sync_filter)


def _log_changes(chosen: selection.ChosenBoard, link: BoardLink, by: str) -> None:
    """Log what a person's choices change of the stored settings; of another board its columns, too.

    The command, which is nobody's choice, keeps the other settings.
    """
    assert chosen.board is not None
    after = chosen.choices
    before = selection.stored_choices(link) or selection.Choices(link.entity_type, "", "", {})

    def words_of(choices: selection.Choices) -> dict[str, str]:
        return {
            "What is synced": " ".join(chosen.lines_of(choices)).rstrip(".") or "everything",
            "Create records from new items": "on" if choices.creates_records else "off",
            "When first linked and different": choices.first_match_text,
        }

    words_before = words_of(before)
    changes: list[str] = []
    if before.board_id != chosen.board.id:
        name_before = f"{link.shape.get('name', '')} ({link.board_id})".strip() if link.board_id else ""
        name = f"{chosen.board.name} ({chosen.board.id})"
        changes.append(Message("setting", label="Board", before=name_before, after=name))
        mappings = link.mappings.all() if link.board_id else ()
        titles = {mapping.key: board_columns.column_title(link, mapping.column_id) for mapping in mappings}
        changes += chosen.columns_in_words(titles)
    for label, words in words_of(after).items() if by else ():
        if words != words_before[label]:
            changes.append(Message("setting", label=label, before=words_before[label], after=words))
    changes += chosen.mapping_changes if by else ()
    if after.creates_anyway:
        changes.append(Message("creates_anyway"))
    if changes:
        authors.log_settings_changed(by or "manage.py monday_setup", link, *changes)


def _choose_group(outcome: SetupOutcome, board: Board) -> None:
    """Let new items go to the group that was the topmost one at the first set-up, as long as the board has it."""
    group_before = outcome.link.group_id
    if group_before in board.groups:
        return
    outcome.link.group_id = board.group_id or ""
    if group_before:
        outcome.steps.append(Message("step_other_group", title=board.groups.get(outcome.link.group_id, "")))


def check_unmatched_again(link: BoardLink) -> None:
    """Look again at the listed items after a change of the settings; until then they have no reason."""
    rows = UnmatchedItem.objects.filter(entity_type=link.entity_type, ignored_at=None)
    items = list(rows.order_by("id").values_list("item_id", flat=True))
    rows.update(reason_code=UnmatchedReason.QUEUED, details={})
    enqueue_unmatched(link.entity_type, items, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)


def _store_mappings(
    outcome: SetupOutcome, chosen: selection.ChosenBoard, setup: BoardSetup, by: str, *, is_first: bool
) -> bool:
    """Store the mappings as chosen, and what changes by them; return whether every record with an item needs a pass.

    `is_first` if the board wasn't set up before.
    """
    stored = {mapping.key: mapping for mapping in outcome.link.mappings.all()}
    for mapping in stored.values():
        is_synced = mapping.column_id and mapping.direction != SyncDirection.NONE
        if is_synced and mapping.key not in chosen.choices.fields:
            lost = {"board": chosen.spec.board_title, "label": mapping.label, "column": mapping.column_id}
            outcome.problems.append(Message("field_lost_its_column", **lost))
    needs_pass = False
    mappings = future_board.mappings_after(chosen, outcome.link, setup.columns)
    remapped = future_board.remapped_keys(outcome.link, mappings)
    end_fields(chosen.spec.entity_type, remapped, Message("column_replaced"), by=by)
    for mapping in mappings:
        mapping.save()
        before = stored.get(mapping.key)
        column = setup.columns.get(mapping.key)
        direction_before = before.direction if before is not None else SyncDirection.NONE
        is_moved = before is not None and (
            (before.column_id, before.converter) != (mapping.column_id, mapping.converter)
        )
        # With a usable column again, the blocked records need a pass.
        is_changed = before is not None and (before.rule, before.problem) != (mapping.rule, mapping.problem)
        needs_pass |= is_moved or is_changed or direction_before != mapping.direction
        if column is not None and not is_first and (is_moved or direction_before == SyncDirection.NONE):
            values = {"label": mapping.label, "title": column.title, "id": column.id, "type": column.type}
            outcome.steps.append(Message("step_field", **values))
    return needs_pass
