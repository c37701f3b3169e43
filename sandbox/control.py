"""`/_control/*`: what a test or the page does behind Monday's back. JSON in, JSON out."""

from collections.abc import Callable
from typing import Any

from sandbox.api import Api
from sandbox.columns import kind_of
from sandbox.errors import FieldError
from sandbox.faults import FaultError, fault_from
from sandbox.model import Board, Item
from sandbox.operations import items
from sandbox.people import API_USER, PEOPLE, is_person
from sandbox.web import BadRequestError, Request, Response, Route, json_response, route, whole
from sandbox.webhooks.deliveries import Deliveries
from sandbox.world import World

LONGEST_LATENCY = 600_000  # milliseconds
LARGEST_AMOUNT = 1e15  # what no clock and no pause needs


def guarded(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Only JSON may change anything, which no form of another site can send; refusals become 400."""

    def answer(request: Request, *ids: int) -> Response:
        if request.method != "DELETE" and not request.is_json():
            return json_response({"error": "Send this as application/json"}, 415)
        try:
            return handler(request, *ids)
        except FieldError as refused:
            return json_response({"error": str(refused), "code": refused.extensions["code"]}, 400)
        except FaultError as bad:
            return json_response({"error": str(bad)}, 400)

    return answer


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
        }
        reading = {
            "boards": self.boards,
            "faults": self.faults,
            "latency": self.latency,
            "clock": self.clock,
            "calls": self.calls,
            "webhooks": self.webhooks,
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
        """`{board_id, items_limit}`: how many items a board may hold."""
        given = request.object()
        with self._world.transaction():
            board = self._world.board(_number(given, "board_id"))
            board.items_limit = _number(given, "items_limit")
            self._world.put_board(board)
        return json_response({"id": str(board.id), "items_limit": board.items_limit})

    def reset(self, request: Request) -> Response:
        """Forget boards, webhooks, logs, faults, latency and kept answers; the clock is real time again."""
        self._world.reset()
        self._deliveries.clear()
        self._api.calls.clear()
        self._api.faults.clear()
        self._api.idempotency.clear()
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

    def webhooks(self, request: Request) -> Response:
        """The delivery log, and who subscribed to what."""
        hooks = [
            {"id": str(hook.id), "board_id": str(hook.board_id), "event": hook.event, "config": hook.config}
            for hook in self._world.hooks.values()
            if not hook.deleted
        ]
        return json_response({"webhooks": hooks, "deliveries": self._deliveries.log()})

    def load_items(self, request: Request) -> Response:
        """`{board_id, items: [{name, values, group_id?}], webhooks: false}`: the new ids, in order."""
        given = request.object()
        board_id, rows = _number(given, "board_id"), given.get("items")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadRequestError("items is a list of objects with name and values")
        for row in rows:
            _check_item(row)
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
        """What a person does on the page: `{action, user_id, …}`; `ACTIONS` names what there is to do."""
        given = request.object()
        user_id = _number(given, "user_id", PEOPLE[0].id)
        if not is_person(user_id):
            raise BadRequestError("user_id is nobody here")
        name = given.get("action")
        action = ACTIONS.get(name) if isinstance(name, str) else None
        if action is None:
            raise BadRequestError(f"action is one of {', '.join(ACTIONS)}")
        item = action(self._world, user_id, given)
        with self._world.reading():
            return json_response(self._item(self._world.boards[item.board_id], item))


def _number(given: dict[str, Any], key: str, default: int | None = None) -> int:
    try:
        return int(given.get(key, default))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(f"{key} must be a whole number") from None


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


def _check_item(row: dict[str, Any]) -> None:
    _words(row, "name")
    if not isinstance(row.get("values") or {}, dict):
        raise BadRequestError("values is an object of values by column id")
    if not isinstance(row.get("group_id"), str | None):
        raise BadRequestError("group_id must be a string")


def _words(given: dict[str, Any], key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        raise BadRequestError(f"{key} must be a string")
    return value


def _edit(world: World, user_id: int, given: dict[str, Any]) -> Item:
    """`text` is what a person types; `value` is what the API's column_values would hold."""
    item = world.item(_number(given, "item_id"))
    parse, content = ("parse", given["value"]) if "value" in given else ("parse_edit", _words(given, "text"))
    column_id = _words(given, "column_id")
    return items.change_values(world, user_id, item, {column_id: content}, create_labels=True, parse=parse)


def _rename(world: World, user_id: int, given: dict[str, Any]) -> Item:
    item = world.item(_number(given, "item_id"))
    return items.change_values(world, user_id, item, {"name": _words(given, "name").strip()})


def _add(world: World, user_id: int, given: dict[str, Any]) -> Item:
    _check_item(given)
    return items.create_item(
        world,
        user_id,
        _number(given, "board_id"),
        given["name"].strip(),
        given.get("values") or {},
        group_id=given.get("group_id"),
        create_labels=True,
    )


def _state(state: str) -> Callable[[World, int, dict[str, Any]], Item]:
    return lambda world, user_id, given: items.set_state(world, user_id, _number(given, "item_id"), state)


def _move(world: World, user_id: int, given: dict[str, Any]) -> Item:
    return items.move_item(world, user_id, _number(given, "item_id"), _words(given, "group_id"))


ACTIONS: dict[Any, Callable[[World, int, dict[str, Any]], Item]] = {
    "edit": _edit,
    "rename": _rename,
    "add": _add,
    "archive": _state("archived"),
    "delete": _state("deleted"),
    "restore": _state("active"),
    "move": _move,
}
