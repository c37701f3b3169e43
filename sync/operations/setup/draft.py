"""The draft of a set-up: which boards it is about, and how every choice in it is checked.

Nothing here writes to Monday, nor to any table but the drafts' own. Whoever may set up works on the same drafts; what a
page sends counts only while the draft is as that page showed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from sync import limits, registry
from sync.boards.board_columns import NAME_TYPE
from sync.boards.sync_filter import SyncFilter
from sync.choices import Rule
from sync.clock import SyncNow
from sync.connectors.base.board import Board, ListedBoard
from sync.connectors.base.board_items import GROUP, Item, MatchColumn
from sync.connectors.base.connector import Connector
from sync.kernel.db import advisory_lock
from sync.kernel.humanize import plural
from sync.kernel.messages import ActionError, Conflict
from sync.models import BoardLink, SetupDraft, SetupState, SyncedModel
from sync.operations.setup.fields import (
    MAX_SAMPLE_LENGTH,
    SETTINGS_KEY,
    DraftColumn,
    FieldChoice,
    MappingChange,
    changes_text,
    choice_problems,
    diff_choices,
    filter_text,
    find_npd_id_column,
    mappable_fields,
    match_text,
    pair_samples,
    parse_choices,
    sampled_records,
    settings_snapshot,
    stored_choices,
    suggest_columns,
)
from sync.records import authors
from sync.registry import EntitySpec, configured_board_id, link_of

REQUIRED_PERMISSIONS = ("sync.change_boardlink", "sync.change_fieldmapping")


def may_set_up(user: Any) -> bool:
    """Whether this user may set up the sync: whoever may change boards and their mappings."""
    return all(user.has_perm(name) for name in REQUIRED_PERMISSIONS)


def log_setup(user: User, entity_type: str, sentence: str) -> None:
    """Write a line in the admin log, under the board's name."""
    authors.log_kind_action(user, BoardLink, sentence, name=registry.entity(entity_type).board_title)


BEGIN_LOCK = 0x53455455
"""Key of the advisory lock by which one draft at a time is begun; any otherwise unused number."""


def open_drafts() -> list[SetupDraft]:
    """Return the set-ups that are not applied yet, in the order in which types are registered."""
    found = {draft.entity_type: draft for draft in SetupDraft.objects.exclude(state=SetupState.DONE)}
    return [found[spec.entity_type] for spec in registry.entities() if spec.entity_type in found]


def draft_of(entity_type: str) -> SetupDraft | None:
    """Return the type's set-up, applied or not; None where there is none."""
    return SetupDraft.objects.filter(entity_type=entity_type).first()


def check_version(draft: SetupDraft, version: str | None) -> None:
    """Raise Conflict where the set-up was changed since that; without a version there is nothing to compare."""
    if version is not None and version != draft.version:
        raise Conflict(CHANGED_MESSAGE)


RUNNING_MESSAGE = "This set-up was confirmed meanwhile, and is being applied."
CHANGED_MESSAGE = (
    "The set-up was changed after this page was shown, so nothing of yours was kept. Check it, then choose again."
)
APPLYING_MESSAGE = "This set-up is being applied. Wait until it is done."


def _lock_draft(entity_type: str) -> SetupDraft:
    """Return the draft, locked in the caller's transaction; raises Conflict where it can't be changed."""
    draft = SetupDraft.objects.select_for_update().filter(entity_type=entity_type).first()
    if draft is None or draft.state == SetupState.DONE:
        raise Conflict("This set-up was applied or discarded meanwhile. Begin again with the boards.")
    if draft.state == SetupState.RUNNING:
        raise Conflict(RUNNING_MESSAGE)
    return draft


# The boards: which each type has. Reads Monday.


NEW_BOARD = "new"
NO_BOARD = ""
SAMPLE_ITEMS = 3


def available_boards(term: str = "") -> tuple[list[ListedBoard], bool]:
    """Return the boards whose name or number holds `term`, and whether all boards were asked; raises ConnectorError."""
    connector = limits.connector(urgent=True)
    found, complete = connector.list_boards()
    query = term.strip().casefold()
    hits = [one for one in found if query in one.name.casefold() or query in one.id]
    is_number = query.isascii() and query.isdecimal()
    if not complete and is_number and query not in {hit.id for hit in hits}:
        # The account has more boards than are listed: any other is found by its number.
        board = connector.read_boards([query]).get(query)
        hits += [ListedBoard(board.id, board.name)] if board is not None and board.is_active else []
    return hits, complete


def choose_boards(user: User, choices: Mapping[str, str]) -> None:
    """Draft a set-up for each type: with a board by its id, one to be created, or none.

    All are checked before any is stored. Raises ActionError, ConnectorError.
    """
    selected = [(spec, choices.get(spec.entity_type, NO_BOARD)) for spec in registry.entities()]
    ids = [choice for _spec, choice in selected if choice not in (NO_BOARD, NEW_BOARD)]
    if len(ids) != len(set(ids)):
        raise ActionError(
            "Two kinds of records can't have the same board: each item would be two things. Choose another."
        )
    if not any(choice for _spec, choice in selected):
        raise ActionError("No board was chosen. Choose one for at least one kind of records.")
    connector = limits.connector(urgent=True)
    boards = connector.read_boards(ids) if ids else {}
    for spec, choice in selected:
        _check_board(spec, choice, boards)
    for spec, choice in selected:
        draft = draft_of(spec.entity_type)
        # Going back to this step and on again must not discard what is drafted already.
        if draft is None or draft.state == SetupState.DONE:
            changed = choice != NO_BOARD
        elif draft.state == SetupState.RUNNING and choice == NO_BOARD:
            changed = False
        else:
            changed = choice == NO_BOARD or draft.board_id != ("" if choice == NEW_BOARD else choice)
        if changed and choice == NO_BOARD:
            discard_draft(user, spec.entity_type)
        elif changed and _create_draft(user, connector, spec, boards.get(choice), replaces=draft) is None:
            raise Conflict(
                f"The set-up of {spec.board_title} was begun, changed or compared in the same moment, so its board "
                "was not chosen. Check it, then choose again."
            )


def begin_change(user: User, entity_type: str) -> SetupDraft:
    """Draft a change of a board that is set up, starting from what is stored; raises ActionError, ConnectorError.

    Raises Conflict where an open set-up has other changes: it is neither continued nor replaced.
    """
    link, draft = link_of(entity_type), draft_of(entity_type)
    if link is None or not link.board_id:
        raise ActionError("There is no board yet. Choose one.")
    if draft is None or draft.state == SetupState.DONE:
        connector = limits.connector(urgent=True)
        boards = connector.read_boards([link.board_id])
        spec = registry.entity(entity_type)
        _check_board(spec, link.board_id, boards)
        begun = _create_draft(user, connector, spec, boards[link.board_id])
        if begun is not None:
            return begun
    elif draft.state == SetupState.RUNNING:
        raise Conflict(APPLYING_MESSAGE)
    with transaction.atomic():
        # Looked at under the lock: of two changes at once, the second meets the first.
        draft = _lock_draft(entity_type)
        _check_open_change(link, draft)
    return draft


def _check_open_change(link: BoardLink, draft: SetupDraft) -> None:
    """Raise Conflict where the open draft holds a change."""
    if draft.board_id != link.board_id:
        summary = f"the board {draft.board_name or draft.board_id} instead of {link.board_id}"
    else:
        # What nobody has chosen yet are suggestions for fields that aren't mapped.
        stored = stored_choices(link)
        fields = [one for one in mappable_fields(link.entity_type) if draft.mapped or one.key in stored]
        summary = changes_text(diff_choices(fields, stored, parse_choices(draft.fields), draft.columns))
        answered = "answers about names that are alike" if draft.answers else ""
        summary = "; ".join(filter(None, (summary, _settings_text(draft)))) or answered
    if summary:
        raise Conflict(
            f"Another change is open: {summary}. Nothing was added to it. Go on with it here, or discard it and begin "
            "yours again."
        )


def _settings_text(draft: SetupDraft) -> str:
    """Return which filter and matching were chosen in a draft, as a clause; empty where both are as it began."""
    begun, parts = draft.outcome.get(SETTINGS_KEY) or {}, list[str]()
    if draft.sync_filter != begun.get("sync_filter", draft.sync_filter):
        parts.append(f"Filter: {filter_text(draft.sync_filter, mappable_fields(draft.entity_type))}")
    if not has_begun_matching(draft):
        parts.append("how records and items are matched")
    return "; ".join(parts)


def has_begun_matching(draft: SetupDraft) -> bool:
    """Whether records and items are matched as when the draft began."""
    begun = draft.outcome.get(SETTINGS_KEY) or {}
    default = SetupDraft._meta.get_field("threshold").db_default
    return (draft.threshold, draft.first_match, draft.creates_records) == (
        getattr(default, "value", default),
        begun.get("first_match", draft.first_match) or Rule.ASK,
        begun.get("creates_records", draft.creates_records),
    )


def draft_changes(user: User, entity_type: str, requested: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Draft new columns and directions of some fields; raises ActionError, ConnectorError.

    `requested` gives the new `column_id` and `direction` by the field's key; all else is as stored. Returns what is
    wrong with it, as `choose_fields` does. Raises Conflict where an open set-up has other changes.
    """
    begin_change(user, entity_type)
    chosen = stored_choices(link_of(entity_type))
    for key, change in requested.items():
        before = chosen.get(key, FieldChoice())
        column, direction = change.get("column_id", before.column), change.get("direction", before.direction)
        chosen[key] = FieldChoice(column, direction, before.rule)
    return choose_fields(user, entity_type, chosen)


def _check_board(spec: EntitySpec, choice: str, boards: Mapping[str, Board]) -> None:
    """Refuse another type's board, one that isn't there, and any new one while records are linked."""
    if choice == NO_BOARD:
        return
    if (named := configured_board_id(spec.entity_type)) and choice != named:
        raise ActionError(
            f"Your administrator has set board {named} for {spec.board_title} on the server. Choose that one."
        )
    other = BoardLink.objects.filter(board_id=choice).exclude(entity_type=spec.entity_type).first()
    if other is not None:
        raise ActionError(
            f"That board is the one of the {other.entity_type} records. A board serves one kind of records; choose "
            "another."
        )
    link = link_of(spec.entity_type)
    if link is not None and link.board_id not in ("", choice):
        linked = registry.linked_records(spec.entity_type).count()
        if linked:
            message = plural(
                linked,
                "%(count)d record is linked with an item of board %(board)s. Unlink it first, or keep that board.",
                "%(count)d records are linked with items of board %(board)s. Unlink them first, or keep that board.",
            )
            raise ActionError(message % {"count": linked, "board": link.board_id})
    if choice != NEW_BOARD and ((board := boards.get(choice)) is None or not board.is_active):
        raise ActionError(_removed_board_text("", choice, boards.get(choice)))


def _removed_board_text(name: str, board_id: str, board: Board | None) -> str:
    label = name or (board.name if board is not None else "")
    label_text = f"“{label}” ({board_id})" if label else board_id
    state = board.state if board is not None else "not on Monday, or hidden from NPD Sync's user on Monday"
    return f"The board {label_text} is {state}. Restore it on Monday, or choose another board."


def read_columns(draft: SetupDraft) -> tuple[dict[str, dict[str, Any]], str, dict[str, str]] | None:
    """Return the columns, the name and the groups of the draft's board as they are now; None where it is to be created.

    Raises ActionError, ConnectorError.
    """
    if not draft.board_id:
        return None
    connector = limits.connector(urgent=True)
    board = connector.read_boards([draft.board_id]).get(draft.board_id)
    if board is None or not board.is_active:
        raise ActionError(_removed_board_text(draft.board_name, draft.board_id, board))
    match = parse_choices(draft.fields).get(registry.entity(draft.entity_type).match_key, FieldChoice())
    columns = _describe_columns(connector, board, draft.entity_type, match.column)
    return columns, board.name, dict(board.groups)


def _describe_columns(
    connector: Connector, board: Board, entity_type: str, match_column: str = ""
) -> dict[str, dict[str, Any]]:
    """Return the board's columns as a draft stores them, with sample values: of items whose records are found here.

    `match_column` is the one by which records and items are matched; where none is chosen, the likeliest.
    """
    columns: dict[str, dict[str, Any]] = {
        column.id: {"title": column.title, "type": column.type, "settings": dict(column.settings), "samples": []}
        for column in board.columns
        if column.type not in ("name", "subtasks")
    }
    if not columns:
        return columns
    pairs = _sample_pairs(connector, board, entity_type, columns, match_column)
    items = [item for _, item in pairs] or next(connector.list_items(board.id, [*columns], limit=SAMPLE_ITEMS))
    for column_id, details in columns.items():
        texts = [(item.reading(column_id).text or "")[:MAX_SAMPLE_LENGTH] for item in items]
        # Of the same records on both sides each has its place, also an empty one.
        details["samples"] = texts if pairs else [text for text in texts if text]
        if pairs:
            details["records"] = [str(record.pk) for record, _ in pairs]
            details["names"] = [item.name[:MAX_SAMPLE_LENGTH] for item in items]
    return columns


def _sample_pairs(
    connector: Connector, board: Board, entity_type: str, columns: Mapping[str, DraftColumn], match_column: str
) -> list[tuple[SyncedModel, Item]]:
    """Return some records with their items, in one call; none where no record is found on both sides."""
    spec, fields = registry.entity(entity_type), mappable_fields(entity_type)
    npd_id = find_npd_id_column(link_of(entity_type), columns)
    key = next(field for field in fields if field.key == spec.match_key)
    if key.is_name:
        match_column, kind = NAME_TYPE, NAME_TYPE
    else:
        suggested = suggest_columns(fields, columns, npd_id).get(key.key)
        match_column = match_column if match_column in columns else suggested.column if suggested else ""
        kind = str(columns[match_column]["type"]) if match_column in columns else ""
    records = sampled_records(entity_type)
    if kind not in key.types or not records:
        return []
    linked = [record.monday_id for record in records if record.monday_id]
    texts = sorted({text for record in records if (text := match_text(record, key, kind))})
    if not (linked or npd_id or texts):
        return []
    found = connector.read_batch(
        board.id,
        linked,
        [*columns],
        npd_id,
        [str(record.pk) for record in records] if npd_id else [],
        MatchColumn(match_column, kind),
        texts,
        {str(details["type"]) for details in columns.values()},
    )
    items = {item.id: item for item in [*found.linked.values(), *found.by_npd_id, *found.by_match]}
    on_board = [item for item in items.values() if item.board_id == board.id and item.state == "active"]
    return pair_samples(key, match_column, kind, records, on_board, npd_id)


def has_column_changes(draft: SetupDraft, columns: Mapping[str, DraftColumn]) -> bool:
    """Whether a chosen column is missing from these, or has another type."""
    return any(
        column in draft.columns and (column not in columns or columns[column]["type"] != draft.columns[column]["type"])
        for column in (one.column for one in parse_choices(draft.fields).values())
    )


def _create_draft(
    user: User, connector: Connector, spec: EntitySpec, board: Board | None, *, replaces: SetupDraft | None = None
) -> SetupDraft | None:
    """Begin a type's set-up with a board (none: one is to be created), what is stored and what its columns suggest.

    Returns None, and begins nothing, where one is open that isn't the one to replace, or was changed since.
    """
    entity_type = spec.entity_type
    columns = _describe_columns(connector, board, entity_type) if board is not None else {}
    link = link_of(entity_type)
    # Of another board than the present one, nothing is taken over.
    link = link if link is not None and board is not None and link.board_id == board.id else None
    first_match = link.mappings.values_list("first_match", flat=True).first() if link is not None else None
    try:
        with transaction.atomic():
            advisory_lock(BEGIN_LOCK)
            before = SetupDraft.objects.select_for_update().filter(entity_type=entity_type).first()
            if before is not None and before.state == SetupState.RUNNING:
                raise Conflict(APPLYING_MESSAGE)
            is_as_seen = replaces is not None and before is not None and replaces.changed_at == before.changed_at
            if before is not None and before.state != SetupState.DONE and not is_as_seen:
                return None
            SetupDraft.objects.filter(entity_type=entity_type).delete()
            draft = SetupDraft.objects.create(
                entity_type=entity_type,
                board_id=board.id if board is not None else "",
                board_name=(board.name if board is not None else spec.board_title)[:255],
                columns=columns,
                creates_records=link.creates_records if link is not None else board is None,
                sync_filter=link.sync_filter if link is not None else {},
                groups=dict(board.groups) if board is not None else {},
                first_match=first_match or Rule.ASK,
                outcome={SETTINGS_KEY: settings_snapshot(link)},
            )
            begun = f" with the board “{board.name}” ({board.id})" if board is not None else ": a board is to be made"
            log_setup(user, entity_type, f"Set-up begun{begun}. Nothing is written yet.")
            begun_choices = {key: choice.to_json() for key, choice in _begun_choices(draft, link).items()}
            SetupDraft.objects.filter(pk=entity_type).update(fields=begun_choices)
    except IntegrityError as taken:
        raise ActionError(
            "Another set-up uses that board already. A board serves one kind of records; choose another."
        ) from taken
    draft.refresh_from_db()
    return draft


def _begun_choices(draft: SetupDraft, link: BoardLink | None) -> dict[str, FieldChoice]:
    """Return what is mapped already, and of the other fields what the columns suggest."""
    fields, stored = mappable_fields(draft.entity_type), stored_choices(link)
    used = {choice.column for choice in stored.values()}
    free = {column: details for column, details in draft.columns.items() if column not in used}
    found = suggest_columns([field for field in fields if field.key not in stored], free, npd_id_column_of(draft))
    return {
        field.key: stored.get(field.key) or FieldChoice(found[field.key].column if field.key in found else "")
        for field in fields
    }


# The choices of a person, each checked and logged.


ANSWER_NEW, ANSWER_OUT = "new", "out"
"""Answers: the record gets an item of its own; the record stays out of the sync."""

MIN_NAME_SCORE, MAX_NAME_SCORE = 60, 100
FIRST_MATCH_RULES = (Rule.ASK, Rule.NPD_WINS, Rule.MONDAY_WINS)


def link_of_draft(draft: SetupDraft) -> BoardLink | None:
    """Return the type's board link, where it is about the draft's board."""
    link = link_of(draft.entity_type)
    return link if link is not None and draft.board_id and link.board_id == draft.board_id else None


def npd_id_column_of(draft: SetupDraft) -> str:
    """Return the column that holds the NPD ID; empty where it is to be created."""
    return find_npd_id_column(link_of_draft(draft), draft.columns)


def mapping_changes_of(draft: SetupDraft) -> list[MappingChange]:
    stored, chosen = stored_choices(link_of_draft(draft)), parse_choices(draft.fields)
    return diff_choices(mappable_fields(draft.entity_type), stored, chosen, draft.columns)


def choose_fields(
    user: User,
    entity_type: str,
    chosen: Mapping[str, FieldChoice],
    columns: Mapping[str, DraftColumn] | None = None,
    *,
    version: str | None = None,
    is_done: bool = True,
) -> dict[str, list[str]]:
    """Store which column each field has, its direction and rule; or return what is wrong, by field, and store nothing.

    Unless `is_done`, a person goes on with it later: fields that nobody has mapped so far still aren't.
    `columns` are the board's as they were read just now; without, those that were read last count. Raises Conflict,
    also where the draft has another version.
    """
    with transaction.atomic():
        draft = _lock_draft(entity_type)
        draft.columns = columns if columns is not None else draft.columns
        fields = mappable_fields(entity_type)
        chosen = {key: choice.with_implied_direction() for key, choice in chosen.items()}
        problems = choice_problems(fields, chosen, draft.columns, npd_id_column_of(draft))
        stored = parse_choices(draft.fields)
        asked = SyncFilter.parse(draft.sync_filter)
        for key in {condition.field for condition in (*asked.records, *asked.items)} - {GROUP}:
            if not chosen.get(key, FieldChoice()).is_synced:
                problems.setdefault(key, []).append(
                    "The filter uses this field. Keep it synced, or remove it from the filter first."
                )
        if problems:
            return problems
        before = parse_choices(draft.fields) if draft.mapped else stored_choices(link_of_draft(draft))
        summary = changes_text(diff_choices(fields, before, chosen, draft.columns))
        if not is_done and not diff_choices(fields, stored, chosen, draft.columns):
            return {}
        check_version(draft, version)
        draft.fields = {field.key: chosen.get(field.key, FieldChoice()).to_json() for field in fields}
        draft.mapped = draft.mapped or is_done
        _save_change(draft)
        summary = summary or "no field is mapped otherwise than before"
        log_setup(user, entity_type, f"Set-up: fields mapped: {summary}. Nothing is written yet.")
    return {}


def choose_matching(
    user: User,
    entity_type: str,
    answers: Mapping[str, str],
    *,
    options: tuple[int, str, bool] | None = None,
    version: str | None = None,
) -> None:
    """Store which records are which items of a like name, and how both sides are matched; raises ActionError.

    `options` are from which likeness names are alike, the rule where both sides differ at first, and whether items
    become records. Another likeness or rule makes a new comparison necessary; what is stored already changes nothing.
    Raises Conflict where the draft has another version.
    """
    with transaction.atomic():
        draft = _lock_draft(entity_type)
        before = draft.threshold, draft.first_match, draft.creates_records
        threshold, first_match, creates_records = chosen = options or before
        if not MIN_NAME_SCORE <= threshold <= MAX_NAME_SCORE or first_match not in FIRST_MATCH_RULES:
            raise ActionError(
                f"Choose a similarity between {MIN_NAME_SCORE:d} and {MAX_NAME_SCORE:d} per cent, and one of the rules."
            )
        items = {one["record"]: one["item"] for one in draft.found.get("near", ())}
        changed = {
            record: one
            for record, one in answers.items()
            if record in items and one in (items[record], ANSWER_NEW, ANSWER_OUT) and one != draft.answers.get(record)
        }
        if answers or chosen != before:
            check_version(draft, version)
        if not changed and chosen == before:
            return
        draft.answers = {**draft.answers, **changed}
        draft.threshold, draft.first_match, draft.creates_records = chosen
        if before[:2] == chosen[:2]:
            draft.changed_at = SyncNow()
            draft.save(update_fields=["answers", "creates_records", "changed_at"])
        else:
            _save_change(draft)
        if changed:
            log_setup(user, entity_type, "Set-up: similar names answered. Nothing is written yet.")
        if chosen != before:
            log_setup(
                user,
                entity_type,
                f"Set-up: names are like each other from {threshold:d} %; where both sides differ at first: "
                f"{Rule(first_match).label}; items become records: {'yes' if creates_records else 'no'}. "
                "Nothing is written yet.",
            )


def choose_filter(user: User, entity_type: str, chosen: SyncFilter, *, version: str | None = None) -> None:
    """Store which records and items are synced, which makes a new comparison necessary.

    Raises Conflict where the draft has another version.
    """
    with transaction.atomic():
        draft = _lock_draft(entity_type)
        if draft.sync_filter == chosen.to_json():
            return
        check_version(draft, version)
        draft.sync_filter = chosen.to_json()
        _save_change(draft)
        text = filter_text(draft.sync_filter, mappable_fields(entity_type))
        log_setup(user, entity_type, f"Set-up: filter: {text}. Nothing is written yet.")


def discard_draft(user: User, entity_type: str, *, version: str | None = None) -> None:
    """Delete a set-up that is neither being applied nor was; raises Conflict, also where it has another version."""
    with transaction.atomic():
        draft = SetupDraft.objects.select_for_update().filter(entity_type=entity_type).first()
        if draft is None:
            return
        if draft.state == SetupState.RUNNING:
            raise Conflict(RUNNING_MESSAGE)
        if draft.state == SetupState.DONE:
            raise Conflict("This set-up was applied meanwhile; there is nothing to discard.")
        check_version(draft, version)
        draft.delete()
        made = "what its run had made on the board stays" if draft.outcome.get("by") else "nothing was written"
        log_setup(user, entity_type, f"Set-up left out; {made}.")


def _save_change(draft: SetupDraft) -> None:
    # The comparison is based on these values, so its result is dropped, and a worker that compares now loses the draft.
    draft.state, draft.found, draft.found_at = SetupState.DRAFT, {}, None
    draft.token = draft.claimed_until = None
    draft.problem = draft.progress = ""
    draft.changed_at = SyncNow()
    draft.save()
