"""`/_control/*`: what a test or the page does behind Monday's back. JSON in, JSON out."""

from collections.abc import Callable
from typing import Any

from sandbox.actions import act, check_item
from sandbox.api import Api
from sandbox.asking import fault_from
from sandbox.columns import kind_of
from sandbox.given import guarded, number
from sandbox.model import Board, Item
from sandbox.operations import boards, items
from sandbox.people import API_USER, PEOPLE
from sandbox.web import BadRequestError, Request, Response, Route, json_response, route, whole
from sandbox.webhooks.deliveries import Deliveries
from sandbox.world import World

LONGEST_LATENCY = 600_000  # milliseconds
LARGEST_AMOUNT = 1e15  # what no clock and no pause needs


class Control:
    """The handlers."""

    def __init__(
        self, world: World, api: Api, deliveries: Deliveries, reset_done: Callable[[], None]
    ) -> None:
        self._world = world
        self._api = api
        self._deliveries = deliveries
        self._reset_done = reset_done

    def routes(self) -> list[Route]:
        changing = {
            "reset": self.reset,
            "faults": self.add_faults,
            "latency": self.set_latency,
            "clock": self.set_clock,
            "items": self.load_items,
            "boards": self.change_board,
            "actions": self.act,
            "activity": self.delay_activity,
        }
        reading = {
            "boards": self.boards,
            "faults": self.faults,
            "latency": self.latency,
            "clock": self.clock,
            "calls": self.calls,
        }
        found = [route("POST", f"/_control/{name}", guarded(handler)) for name, handler in changing.items()]
        found += [route("GET", f"/_control/{name}", handler) for name, handler in reading.items()]
        return [*found, route("DELETE", "/_control/faults", guarded(self.clear_faults))]

    def boards(self, request: Request) -> Response:
        """All boards with their items and the texts of their cells."""
        with self._world.reading():
            return json_response([self._board(board) for board in self._world.boards.values()])

    def _board(self, board: Board) -> dict[str, Any]:
        states = ("active", "archived", "deleted")
        return {
            "id": str(board.id),
            "name": board.name,
            "state": board.state,
            "columns": [{"id": c.id, "title": c.title, "type": c.type} for c in board.visible_columns()],
            "items": [self._item(board, item) for item in self._world.items_of(board.id, states)],
        }

    def _item(self, board: Board, item: Item) -> dict[str, Any]:
        columns = [column for column in board.visible_columns() if column.type != "name"]
        values = {c.id: kind_of(c.type).text(c, item.raw(c.id)) for c in columns}
        return {"id": str(item.id), "name": item.name, "state": item.state, "values": values}

    def change_board(self, request: Request) -> Response:
        """`{board_id, items_limit?, state?}`: how many items a board may hold; archived, deleted or active."""
        given = request.object()
        with self._world.transaction():
            board = self._world.board(number(given, "board_id"))
            if given.get("state") not in (None, "active", "archived", "deleted"):
                raise BadRequestError("state is active, archived or deleted")
            board.items_limit = number(given, "items_limit", board.items_limit)
            self._world.put_board(board)
            if "state" in given and given["state"] != board.state:
                boards.set_board_state(self._world, board.id, given["state"], PEOPLE[0].id)
        return json_response({"id": str(board.id), "items_limit": board.items_limit, "state": board.state})

    def delay_activity(self, request: Request) -> Response:
        """`{late_seconds}`: how long after an event its row shows in activity logs."""
        late = _amount(request.object(), "late_seconds")
        if not 0 <= late <= LONGEST_LATENCY:
            raise BadRequestError(f"late_seconds is from 0 to {LONGEST_LATENCY:,}")
        self._world.log_delay_seconds = late
        return json_response({"late_seconds": late})

    def reset(self, request: Request) -> Response:
        """Forget boards, webhooks, logs, faults, latency and kept answers; the clock is real time again."""
        self._world.reset()
        self._deliveries.clear()
        self._api.calls.clear()
        self._api.faults.clear()
        self._api.idempotency.clear()
        self._api.limits.reset()
        self._api.cursors.clear()
        self._api.past.clear()
        self._api.latency.call_ms = self._api.latency.mutation_ms = 0.0
        self._world.clock.set_offset(0.0)
        self._reset_done()
        return json_response({"reset": True})

    def faults(self, request: Request) -> Response:
        return json_response(self._api.faults.left())

    def add_faults(self, request: Request) -> Response:
        """One fault or a list of them, put at the end of the queue."""
        given = request.json()
        self._api.faults.add([fault_from(one) for one in (given if isinstance(given, list) else [given])])
        return json_response(self._api.faults.left())

    def clear_faults(self, request: Request) -> Response:
        self._api.faults.clear()
        self._api.past.clear()
        return json_response([])

    def latency(self, request: Request) -> Response:
        return json_response(vars(self._api.latency))

    def set_latency(self, request: Request) -> Response:
        """`{call_ms, mutation_ms}`; what is left out stays."""
        given = request.object()
        wanted = {key: _latency(given, key) for key in ("call_ms", "mutation_ms") if key in given}
        for key, milliseconds in wanted.items():
            setattr(self._api.latency, key, milliseconds)
        return self.latency(request)

    def clock(self, request: Request) -> Response:
        clock = self._world.clock
        return json_response({"offset_seconds": clock.offset_seconds, "now": clock.stamp()})

    def set_clock(self, request: Request) -> Response:
        """`{offset_seconds}`: the sandbox's time is real time plus this."""
        seconds = _amount(request.object(), "offset_seconds")
        try:
            self._world.clock.set_offset(seconds)
        except ValueError as bad:
            raise BadRequestError(str(bad)) from None
        self._deliveries.clock_moved()
        return self.clock(request)

    def calls(self, request: Request) -> Response:
        """The API calls, oldest first; `?since=ID` leaves out those up to this id."""
        return json_response(self._api.calls.since(whole(request.query.get("since", "")) or 0))

    def load_items(self, request: Request) -> Response:
        """`{board_id, items: [{name, values, group_id?}], webhooks: false}`: the new ids, in order."""
        given = request.object()
        board_id, rows = number(given, "board_id"), given.get("items")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadRequestError("items is a list of objects with name and values")
        for row in rows:
            check_item(row)
        if not given.get("webhooks", False):
            return json_response([str(one) for one in items.load_items(self._world, board_id, rows)])
        with self._world.transaction():
            made = [
                items.create_item(
                    self._world,
                    API_USER.id,
                    board_id,
                    row["name"],
                    row.get("values") or {},
                    group_id=row.get("group_id"),
                    create_labels=True,
                )
                for row in rows
            ]
        return json_response([str(item.id) for item in made])

    def act(self, request: Request) -> Response:
        """What a person does on the page: `{action, user_id, …}`; `sandbox.actions` names what there is to do."""
        given = request.object()
        item = act(self._world, given)
        with self._world.reading():
            return json_response(self._item(self._world.boards[item.board_id], item))


def _amount(given: dict[str, Any], key: str) -> float:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_AMOUNT:
        raise BadRequestError(f"{key} must be a number")
    return float(value)


def _latency(given: dict[str, Any], key: str) -> float:
    milliseconds = _amount(given, key)
    if not 0 <= milliseconds <= LONGEST_LATENCY:
        raise BadRequestError(f"{key} is from 0 to {LONGEST_LATENCY:,} milliseconds")
    return milliseconds
