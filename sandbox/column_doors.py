"""`/_control/columns`: what a person does to a column that Monday's API can't do, or only the owner of a board may.

Monday's undo brings a deleted column back with its values; a column can be turned into another type; and its values
can be hidden from some users, of which the API's answers then say nothing
(support.monday.com, "Column permissions" and "Changing the column type").
"""

from sandbox.columns import first_settings, kind_of
from sandbox.given import guarded, number, words
from sandbox.model import Board, Column
from sandbox.operations.columns import delete_column
from sandbox.operations.telling import log_board, tell_board
from sandbox.people import PEOPLE
from sandbox.web import BadRequestError, Request, Response, Route, json_response, route
from sandbox.world import World

ACTIONS = ("delete", "restore", "hide", "show", "retype")
ALL_STATES = ("active", "archived", "deleted")


class ColumnDoors:
    """The handler."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        return [route("POST", "/_control/columns", guarded(self.change))]

    def change(self, request: Request) -> Response:
        """`{board_id, column_id, action, type?}`: delete, restore, hide, show, or retype into `type`."""
        given = request.object()
        action, column_id = words(given, "action"), words(given, "column_id")
        if action not in ACTIONS:
            raise BadRequestError(f"action is one of {', '.join(ACTIONS)}")
        with self._world.transaction():
            board = self._world.board(number(given, "board_id"))
            column = next((one for one in board.columns if one.id == column_id), None)
            if column is None:
                raise BadRequestError("there is no such column")
            if action == "delete":
                delete_column(self._world, PEOPLE[0].id, board.id, column_id)
            elif action == "retype":
                self._retype(board, column, words(given, "type"))
            else:
                column.archived = column.archived and action != "restore"
                column.hidden = action == "hide" or (column.hidden and action != "show")
            self._tell(board, column, action)
        return json_response({"id": column.id, "type": column.type, "archived": column.archived})

    def _retype(self, board: Board, column: Column, new: str) -> None:
        """The values of the former type are kept aside, for a change back."""
        kind_of(new)
        items = self._world.items_of(board.id, ALL_STATES)
        for item in items:
            if (cell := item.cells.pop(column.id, None)) is not None:
                item.cells[f"{column.id} as {column.type}"] = cell
            if (kept := item.cells.pop(f"{column.id} as {new}", None)) is not None:
                item.cells[column.id] = kept
        column.type, column.settings = new, first_settings(new, None)
        self._world.put_items(items)

    def _tell(self, board: Board, column: Column, action: str) -> None:
        self._world.put_board(board)
        if action == "restore":
            about = {"column_id": column.id, "column_title": column.title}
            log_board(self._world, "restore_column", board, PEOPLE[0].id, **about)
        tell_board(self._world, board.id)
