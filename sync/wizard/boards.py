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
from sync.models import BoardLink, SetupDraft
from sync.registry import EntitySpec
from sync.wizard import permission
from sync.wizard.drafts import draft_of, draw_up, forget_columns_gone, leave_out
from sync.wizard.errors import WizardError

MAKE_BOARD = "new"
NO_BOARD = ""
SAMPLES = 3


def offered(user: User, term: str = "") -> tuple[list[ListedBoard], bool]:
    """Return the boards whose name or number holds `term`, and whether all boards were asked; raises MondayError."""
    permission.check(user)
    found, complete = list_boards(account.client(urgent=True))
    wanted = term.strip().casefold()
    return [one for one in found if wanted in one.name.casefold() or wanted in one.id], complete


def choose(user: User, choices: Mapping[str, str]) -> list[SetupDraft]:
    """Draw up a set-up for each type: of a board by its id, of one to be made, or none.

    All are checked before any is kept. Raises WizardError, MondayError.
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
    drawn = []
    for spec, choice in wanted:
        if choice == NO_BOARD:
            leave_out(user, spec.entity_type)
        elif not _stands(spec, choice):
            drawn.append(_draw(user, api, spec, boards.get(choice)))
    return drawn


def begin_change(user: User, entity_type: str) -> SetupDraft:
    """Draw up a change of a board that is set up, beginning with how it is; raises WizardError, MondayError."""
    permission.check(user)
    link = link_of(entity_type)
    if link is None or not link.board_id:
        raise WizardError(_("There is no board yet. Choose one."))
    spec = registry.entity(entity_type)
    if _stands(spec, link.board_id):
        draft = draft_of(entity_type)
        assert draft is not None
        return draft
    api = account.client(urgent=True)
    boards = read_boards(api, [link.board_id])
    _check(spec, link.board_id, boards)
    return _draw(user, api, spec, boards[link.board_id])


def look_again(draft: SetupDraft) -> bool:
    """Read the draft's board anew; return whether that affects what was chosen. Raises WizardError, MondayError."""
    if not draft.board_id:
        return False
    api = account.client(urgent=True)
    board = read_boards(api, [draft.board_id]).get(draft.board_id)
    if board is None or not board.is_active:
        raise WizardError(_gone(draft.board_name, draft.board_id, board))
    return forget_columns_gone(draft, columns_told(api, board), board.name)


def _stands(spec: EntitySpec, choice: str) -> bool:
    """Whether that is drawn up already: going back to this step and on again takes nothing back."""
    draft = draft_of(spec.entity_type)
    if draft is None or draft.state == "done":
        return False
    return draft.board_id == ("" if choice == MAKE_BOARD else choice)


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


def _draw(user: User, api: Api, spec: EntitySpec, board: Board | None) -> SetupDraft:
    if board is None:
        said = _("Set-up begun: a board is to be made. Nothing is written yet.")
        return draw_up(user, spec.entity_type, "", spec.board_title, {}, said)
    said = _("Set-up begun with the board “%(name)s” (%(id)s). Nothing is written yet.")
    columns = columns_told(api, board)
    return draw_up(
        user, spec.entity_type, board.id, board.name, columns, said % {"name": board.name, "id": board.id}
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
