"""The second step: which board each type has. Reads boards from Monday, and writes nothing there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync import account, registry
from sync.boards import link_of, setting_of
from sync.connectors.monday.answers import Api
from sync.connectors.monday.board_list import ListedBoard, list_boards
from sync.connectors.monday.boards import Board, read_boards
from sync.connectors.monday.documents import first_page
from sync.connectors.monday.items import parse_page
from sync.models import BoardLink, SetupDraft, SetupState
from sync.registry import EntitySpec
from sync.wizard import permission
from sync.wizard.differing import as_mapped, changes, in_words
from sync.wizard.drafts import (
    draft_of,
    draw_up,
    fields_of,
    forget_columns_gone,
    leave_out,
)
from sync.wizard.errors import Begun, WizardError
from sync.wizard.fields import chosen_of
from sync.wizard.seen import check_seen, seen_of

MAKE_BOARD = "new"
NO_BOARD = ""
SAMPLES = 3


def offered(user: User, term: str = "") -> tuple[list[ListedBoard], bool]:
    """Return the boards whose name or number holds `term`, and whether all boards were asked; raises MondayError."""
    permission.check(user)
    api = account.client(urgent=True)
    found, complete = list_boards(api)
    wanted = term.strip().casefold()
    hits = [one for one in found if wanted in one.name.casefold() or wanted in one.id]
    is_number = wanted.isascii() and wanted.isdecimal()
    if not complete and is_number and wanted not in {one.id for one in hits}:
        # The account has more boards than are listed: one of the others is found by its number.
        board = read_boards(api, [wanted]).get(wanted)
        hits += [ListedBoard(board.id, board.name)] if board is not None and board.is_active else []
    return hits, complete


def choose(user: User, choices: Mapping[str, str], seen: Mapping[str, int]) -> list[SetupDraft]:
    """Draw up a set-up for each type: of a board by its id, of one to be made, or none.

    `seen` gives the revisions of the set-ups that the page showed: one that changed meanwhile is not replaced. All
    are checked before any is kept. Raises WizardError, Moved, MondayError.
    """
    permission.check(user)
    wanted = [(spec, choices.get(spec.entity_type, NO_BOARD)) for spec in registry.entities()]
    ids = [choice for _spec, choice in wanted if choice not in (NO_BOARD, MAKE_BOARD)]
    if len(ids) != len(set(ids)):
        raise WizardError(
            _(
                "Both kinds of records can't have the same board: each item would be two things. Choose another."
            )
        )
    if not any(choice for _spec, choice in wanted):
        raise WizardError(_("No board was chosen. Choose one for at least one kind of records."))
    api = account.client(urgent=True)
    boards = read_boards(api, ids) if ids else {}
    for spec, choice in wanted:
        _check(spec, choice, boards)
    moving = [(spec, choice) for spec, choice in wanted if not _stands(spec, choice)]
    for spec, _choice in moving:
        check_seen(draft_of(spec.entity_type), seen.get(spec.entity_type, 0))
    drawn = []
    for spec, choice in moving:
        number = seen.get(spec.entity_type, 0)
        if choice == NO_BOARD:
            leave_out(user, spec.entity_type, number)
        else:
            drawn.append(_draw(user, api, spec, boards.get(choice), number))
    return drawn


def begin_change(user: User, entity_type: str) -> SetupDraft:
    """Draw up a change of a board that is set up, beginning with how it is; raises WizardError, MondayError.

    An open set-up that holds more than what is stored is neither added to nor replaced: raises Begun.
    """
    permission.check(user)
    link = link_of(entity_type)
    if link is None or not link.board_id:
        raise WizardError(_("There is no board yet. Choose one."))
    spec = registry.entity(entity_type)
    draft = draft_of(entity_type)
    if draft is not None and draft.state != SetupState.DONE:
        _check_begun(draft, link)
        return draft
    api = account.client(urgent=True)
    boards = read_boards(api, [link.board_id])
    _check(spec, link.board_id, boards)
    return _draw(user, api, spec, boards[link.board_id], seen_of(draft))


def _check_begun(draft: SetupDraft, link: BoardLink) -> None:
    """An open set-up may be gone on with unasked only where it is what is stored; raises Begun."""
    if draft.state == SetupState.RUNNING:
        raise Begun(_("This set-up is being carried out. Wait until it is done."))
    if draft.board_id != link.board_id:
        what = _("the board %(name)s instead of %(board)s") % {
            "name": draft.board_name or draft.board_id,
            "board": link.board_id,
        }
    else:
        stored = as_mapped(link)
        # What nobody has chosen yet are suggestions for fields that aren't mapped.
        fields = [one for one in fields_of(draft.entity_type) if draft.mapped or one.key in stored]
        found = changes(fields, stored, chosen_of(draft.fields), draft.columns)
        if not found and not draft.answers:
            return
        what = in_words(found) if found else _("answers about names that are alike")
    who = draft.changed_by.get_username() if draft.changed_by else _("Somebody")
    said = _(
        "Another change is open, begun by %(who)s: %(what)s. Nothing was added to it. Go on with it here, or discard "
        "it and begin yours again."
    )
    raise Begun(said % {"who": who, "what": what})


def read_columns(draft: SetupDraft) -> tuple[dict[str, dict[str, Any]], str] | None:
    """Return the columns and the name of the draft's board as they are now; None where it is to be made.

    Raises WizardError, MondayError.
    """
    if not draft.board_id:
        return None
    api = account.client(urgent=True)
    board = read_boards(api, [draft.board_id]).get(draft.board_id)
    if board is None or not board.is_active:
        raise WizardError(_gone(draft.board_name, draft.board_id, board))
    return columns_told(api, board), board.name


def look_again(draft: SetupDraft) -> bool:
    """Read the draft's board anew and keep that; return whether it affects what was chosen.

    Raises WizardError, MondayError.
    """
    read = read_columns(draft)
    return forget_columns_gone(draft, *read) if read is not None else False


def _stands(spec: EntitySpec, choice: str) -> bool:
    """Whether that is drawn up already: going back to this step and on again takes nothing back."""
    draft = draft_of(spec.entity_type)
    if draft is None or draft.state == SetupState.DONE:
        return choice == NO_BOARD
    return choice != NO_BOARD and draft.board_id == ("" if choice == MAKE_BOARD else choice)


def _check(spec: EntitySpec, choice: str, boards: Mapping[str, Board]) -> None:
    if choice == NO_BOARD:
        return
    if (named := setting_of(spec.entity_type)) and choice != named:
        raise WizardError(
            _("%(setting)s in the environment names board %(board)s for %(title)s. Choose that one, or take the "
              "variable out and restart.")
            % {"setting": spec.board_setting, "board": named, "title": spec.board_title}
        )  # fmt: skip
    _check_links(spec, choice)
    if choice != MAKE_BOARD and ((board := boards.get(choice)) is None or not board.is_active):
        raise WizardError(_gone("", choice, boards.get(choice)))


def _check_links(spec: EntitySpec, choice: str) -> None:
    """No board of another type's; and none but the present one while records are linked with its items."""
    other = BoardLink.objects.filter(board_id=choice).exclude(entity_type=spec.entity_type).first()
    if other is not None and choice:
        raise WizardError(
            _(
                "That board is the one of the %(other)s records. A board serves one kind of records; choose another."
            )
            % {"other": other.entity_type}
        )
    link = link_of(spec.entity_type)
    if link is None or not link.board_id or link.board_id == choice:
        return
    linked = spec.model._default_manager.exclude(monday_id=None).count()
    if linked:
        said = ngettext(
            "%(count)d record is linked with an item of board %(board)s. Unlink it first, or keep that board.",
            "%(count)d records are linked with items of board %(board)s. Unlink them first, or keep that board.",
            linked,
        )
        raise WizardError(said % {"count": linked, "board": link.board_id})


def _gone(name: str, board_id: str, board: Board | None) -> str:
    said = _("The board %(board)s is %(state)s. Restore it on Monday, or choose another board.")
    called = name or (board.name if board is not None else "")
    what = f"“{called}” ({board_id})" if called else board_id
    state = board.state if board is not None else _("not on Monday, or hidden from the token's user")
    return said % {"board": what, "state": state}


def _draw(user: User, api: Api, spec: EntitySpec, board: Board | None, seen: int) -> SetupDraft:
    if board is None:
        said = _("Set-up begun: a board is to be made. Nothing is written yet.")
        return draw_up(user, spec.entity_type, "", spec.board_title, {}, said, seen)
    said = _("Set-up begun with the board “%(name)s” (%(id)s). Nothing is written yet.")
    columns = columns_told(api, board)
    return draw_up(
        user,
        spec.entity_type,
        board.id,
        board.name,
        columns,
        said % {"name": board.name, "id": board.id},
        seen,
    )


def columns_told(api: Api, board: Board) -> dict[str, dict[str, Any]]:
    """Return the board's columns as a draft keeps them, each with what a few items say in it. Raises MondayError."""
    ids = [column.id for column in board.columns if column.type not in ("name", "subtasks")]
    items = parse_page(api.execute(*first_page(board.id, ids, limit=SAMPLES)), ids).items if ids else []
    found: dict[str, dict[str, Any]] = {}
    for column in board.columns:
        if column.type in ("name", "subtasks"):
            continue
        texts = [item.reading(column.id).text or "" for item in items]
        found[column.id] = {
            "title": column.title,
            "type": column.type,
            "settings": dict(column.settings),
            "samples": [text[:120] for text in texts if text],
        }
    return found
