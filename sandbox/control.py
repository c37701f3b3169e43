"""`/_control/*`: what a test or the page does behind Monday's back. JSON in, JSON out.

Items and columns as a person at the board changes them, the clock, faults, the plan, webhooks and their deliveries.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sandbox import api_limits, http, model, operations
from sandbox.api import Api
from sandbox.api_errors import FieldError
from sandbox.columns import initial_settings, kind_of
from sandbox.faults import fault_from
from sandbox.operations import delete_column, log_board
from sandbox.webhooks.deliveries import RELEASES, Deliveries
from sandbox.world import STATES, Snapshot, World


def json_errors(handler: Callable[..., http.Response]) -> Callable[..., http.Response]:
    """Only JSON may change anything, which no form of another site can send; refusals become 400."""

    def answer(request: http.Request, *ids: int) -> http.Response:
        if request.method != "DELETE" and not request.is_json():
            return http.json_response({"error": "Send this as application/json"}, 415)
        try:
            return handler(request, *ids)
        except FieldError as refused:
            return http.json_response({"error": str(refused), "code": refused.extensions["code"]}, 400)

    return answer


# `POST /_control/actions`: what a person does on the board page.


ControlInput = dict[str, Any]
Action = Callable[[World, int, ControlInput], model.Item]


def act(world: World, body: ControlInput) -> model.Item:
    """Do `{action, user_id, …}`; `ITEM_ACTIONS` has the actions. Raises BadRequestError and FieldError."""
    user_id = http.number(body, "user_id", model.PEOPLE[0].id)
    if not model.is_person(user_id):
        raise http.BadRequestError("user_id is nobody here")
    return ITEM_ACTIONS[http.one_of(ITEM_ACTIONS)(body.get("action"), "action")](world, user_id, body)


def _edit(world: World, user_id: int, body: ControlInput) -> model.Item:
    """`text` is a simple string, `value` what the API's column_values would hold."""
    item = world.item(http.number(body, "item_id"))
    column_id = http.text(body, "column_id")
    content = body.get("value")
    if "value" not in body:
        content = http.text(body, "text").strip() or None
    return operations.change_values(world, user_id, item, {column_id: content}, create_labels=True)


def _add(world: World, user_id: int, body: ControlInput) -> model.Item:
    check_item(body)
    return operations.create_item(
        world,
        user_id,
        http.number(body, "board_id"),
        body["name"].strip(),
        body.get("values") or {},
        group_id=body.get("group_id"),
        create_labels=True,
    )


def check_item(row: ControlInput) -> None:
    """Refuse what is no item: `{name, values?, group_id?}`."""
    http.text(row, "name")
    if not isinstance(row.get("values") or {}, dict):
        raise http.BadRequestError("values is an object of values by column id")
    if not isinstance(row.get("group_id"), str | None):
        raise http.BadRequestError("group_id must be a string")


def _state(state: str) -> Action:
    return lambda world, user_id, body: operations.set_state(world, user_id, http.number(body, "item_id"), state)


ITEM_ACTIONS: dict[str, Action] = {
    "edit": _edit,
    "rename": lambda world, user_id, body: operations.change_values(
        world, user_id, world.item(http.number(body, "item_id")), {"name": http.text(body, "name").strip()}
    ),
    "add": _add,
    "archive": _state("archived"),
    "delete": _state("deleted"),
    "restore": _state("active"),
    "move": lambda world, user_id, body: operations.move_item(
        world, user_id, http.number(body, "item_id"), http.text(body, "group_id")
    ),
    "move_to_board": lambda world, user_id, body: operations.move_to_board(
        world, user_id, http.number(body, "item_id"), http.number(body, "board_id"), http.text(body, "group_id")
    ),
    "duplicate": lambda world, user_id, body: operations.duplicate_item(world, user_id, http.number(body, "item_id")),
}


LONGEST_LATENCY = 600_000  # milliseconds
LARGEST_AMOUNT = 1e15  # what no clock and no pause needs

MOST_CALLS = 1_000_000
LONGEST_LAG = api_limits.KEPT_DAYS * 86_400  # seconds; older calls are forgotten
PLAN: dict[str, http.Check] = {
    "plan": http.optional(http.one_of(api_limits.PLANS)),
    "used": http.whole(0, MOST_CALLS),
    "others": http.whole(0, MOST_CALLS),
    "lag": http.whole(0, LONGEST_LAG),
    "headers": http.flag,
    **dict.fromkeys(api_limits.LIMIT_NAMES, http.whole(1, api_limits.LARGEST_LIMIT)),
}
LARGEST_SEED = 2**63
COLUMN_ACTIONS = ("delete", "restore", "hide", "show", "retype")


class Control:
    def __init__(self, world: World, api: Api, deliveries: Deliveries) -> None:
        self._world = world
        self._api = api
        self._deliveries = deliveries
        self._kept: dict[str, tuple[float, Snapshot]] = {}

    def routes(self) -> list[http.Route]:
        changing = {
            "reset": self.reset,
            "snapshot": self.snapshot,
            "restore": self.restore,
            "faults": self.add_faults,
            "latency": self.set_latency,
            "clock": self.set_clock,
            "items": self.load_items,
            "boards": self.change_board,
            "actions": self.act,
            "activity": self.delay_activity,
            "columns": self.change_column,
            "plan": self.change_plan,
            "webhooks": self.add_rules,
            "webhooks/release": self.release,
        }
        reading = {
            "boards": self.boards,
            "faults": self.faults,
            "latency": self.latency,
            "clock": self.clock,
            "calls": self.calls,
            "plan": self.plan,
            "webhooks": self.webhooks,
        }
        ending = {"faults": self.clear_faults, "webhooks": self.clear_rules}
        return [
            *(http.route("POST", f"/_control/{name}", json_errors(handler)) for name, handler in changing.items()),
            *(http.route("GET", f"/_control/{name}", handler) for name, handler in reading.items()),
            *(http.route("DELETE", f"/_control/{name}", handler) for name, handler in ending.items()),
        ]

    def boards(self, request: http.Request) -> http.Response:
        """All boards with their items and the texts of their cells."""
        with self._world.read_lock():
            shown = [
                {
                    "id": str(board.id),
                    "name": board.name,
                    "state": board.state,
                    "columns": [{"id": c.id, "title": c.title, "type": c.type} for c in board.visible_columns()],
                    "items": [self._item(board, item) for item in self._world.items_of(board.id, STATES)],
                }
                for board in self._world.boards.values()
            ]
        return http.json_response(shown)

    def _item(self, board: model.Board, item: model.Item) -> dict[str, Any]:
        columns = [column for column in board.visible_columns() if column.type != "name"]
        values = {c.id: kind_of(c.type).text(c, item.raw(c.id)) for c in columns}
        return {"id": str(item.id), "name": item.name, "state": item.state, "values": values}

    def change_board(self, request: http.Request) -> http.Response:
        """`{board_id, items_limit?, state?}`: how many items a board may hold; archived, deleted or active."""
        body = request.object()
        with self._world.transaction():
            board = self._world.board(http.number(body, "board_id"))
            state = http.one_of(STATES)(body.get("state", board.state), "state")
            items_limit = http.number(body, "items_limit", board.items_limit)
            if state != board.state:
                operations.set_board_state(self._world, model.PEOPLE[0].id, board.id, state)
            board.items_limit = items_limit
            self._world.put_board(board)
        return http.json_response({"id": str(board.id), "items_limit": board.items_limit, "state": board.state})

    def delay_activity(self, request: http.Request) -> http.Response:
        """`{late_seconds}`: how long after an event its row shows in activity logs."""
        late = http.amount(LONGEST_LATENCY)(request.object().get("late_seconds"), "late_seconds")
        self._world.log_delay_seconds = late
        return http.json_response({"late_seconds": late})

    def reset(self, request: http.Request) -> http.Response:
        """Forget boards, webhooks, logs, faults, latency and kept answers; the clock is real time again."""
        self.forget()
        return http.json_response({"reset": True})

    def forget(self) -> None:
        self._world.reset()
        self._deliveries.clear()
        self._api.calls.clear()
        self._api.faults.clear()
        self._api.idempotency.clear()
        self._api.limits.reset()
        self._api.cursors.clear()
        self._api.history.clear()
        self._api.latency.call_ms = self._api.latency.mutation_ms = 0.0
        self._world.clock.set_offset(0.0)

    def snapshot(self, request: http.Request) -> http.Response:
        """`{name}`: keep boards, items, webhooks and activity logs for `restore`; another of this name goes."""
        kept = self._world.snapshot()
        # By a clock that no test moves, and that a reset doesn't set back.
        self._kept[http.text(request.object(), "name")] = time.monotonic(), kept
        return http.json_response({"kept": {table: len(rows) for table, rows in kept.items()}})

    def restore(self, request: http.Request) -> http.Response:
        """`{name}`: as `reset`, and then everything that the snapshot holds; as often as one likes."""
        pair = self._kept.get(http.text(request.object(), "name"))
        if pair is None:
            raise http.BadRequestError("there is no snapshot of this name: POST /_control/snapshot first")
        then, kept = pair
        self.forget()
        self._world.restore(kept, time.monotonic() - then)
        return http.json_response({"restored": True})

    def faults(self, request: http.Request) -> http.Response:
        return http.json_response(self._api.faults.remaining())

    def add_faults(self, request: http.Request) -> http.Response:
        """One fault or a list of them, put at the end of the queue."""
        body = request.json()
        self._api.faults.add([fault_from(entry) for entry in (body if isinstance(body, list) else [body])])
        return http.json_response(self._api.faults.remaining())

    def clear_faults(self, request: http.Request) -> http.Response:
        self._api.faults.clear()
        self._api.history.clear()
        return http.json_response([])

    def latency(self, request: http.Request) -> http.Response:
        return http.json_response(vars(self._api.latency))

    def set_latency(self, request: http.Request) -> http.Response:
        """`{call_ms, mutation_ms}`; what is left out stays."""
        most = http.amount(LONGEST_LATENCY)
        wanted = http.checked(request.json(), {"call_ms": most, "mutation_ms": most}, "a latency")
        for key, milliseconds in wanted.items():
            setattr(self._api.latency, key, milliseconds)
        return self.latency(request)

    def clock(self, request: http.Request) -> http.Response:
        clock = self._world.clock
        return http.json_response({"offset_seconds": clock.offset_seconds, "now": clock.stamp()})

    def set_clock(self, request: http.Request) -> http.Response:
        """`{offset_seconds}`: the sandbox's time is real time plus this."""
        seconds = http.amount(LARGEST_AMOUNT, -LARGEST_AMOUNT)(request.object().get("offset_seconds"), "offset_seconds")
        try:
            self._world.clock.set_offset(seconds)
        except ValueError as bad:
            raise http.BadRequestError(str(bad)) from None
        self._deliveries.clock_moved()
        return self.clock(request)

    def calls(self, request: http.Request) -> http.Response:
        """The API calls, oldest first; `?since=ID` leaves out those up to this id."""
        return http.json_response(self._api.calls.since(http.parse_int(request.query.get("since", "")) or 0))

    def load_items(self, request: http.Request) -> http.Response:
        """`{board_id, items: [{name, values, group_id?}]}`: the new ids, in order."""
        body = request.object()
        rows = http.of_type(list, "a list of objects with name and values")(body.get("items"), "items")
        for row in rows:
            check_item(http.of_type(dict, "an object with name and values")(row, "an item"))
        ids = operations.load_items(self._world, http.number(body, "board_id"), rows)
        return http.json_response([str(item_id) for item_id in ids])

    def act(self, request: http.Request) -> http.Response:
        """What a person does on the page: `{action, user_id, …}`; `sandbox.control` names what there is to do."""
        body = request.object()
        item = act(self._world, body)
        with self._world.read_lock():
            return http.json_response(self._item(self._world.boards[item.board_id], item))

    # What a person does to a column that Monday's API can't do, or only the owner of a board may: its undo brings a
    # deleted column back with its values, a column can be turned into another type, and its values can be hidden from
    # some users (support.monday.com, "Column permissions" and "Changing the column type").

    def change_column(self, request: http.Request) -> http.Response:
        """`{board_id, column_id, action, type?}`: delete, restore, hide, show, or retype into `type`."""
        body = request.object()
        action = http.one_of(COLUMN_ACTIONS)(body.get("action"), "action")
        column_id = http.text(body, "column_id")
        with self._world.transaction():
            board = self._world.board(http.number(body, "board_id"))
            column = next((each for each in board.columns if each.id == column_id), None)
            if column is None:
                raise http.BadRequestError("there is no such column")
            if action == "delete":
                delete_column(self._world, model.PEOPLE[0].id, board.id, column_id)
            elif action == "retype":
                # The values of the former type are kept aside, for a change back.
                new = http.text(body, "type")
                kind_of(new)
                items = self._world.items_of(board.id, STATES)
                for item in items:
                    if (cell := item.cells.pop(column.id, None)) is not None:
                        item.cells[f"{column.id} as {column.type}"] = cell
                    if (kept := item.cells.pop(f"{column.id} as {new}", None)) is not None:
                        item.cells[column.id] = kept
                column.type = new
                column.settings = initial_settings(new, None)
                self._world.put_items(items)
            else:
                column.archived = column.archived and action != "restore"
                column.hidden = action == "hide" or (column.hidden and action != "show")
            self._world.put_board(board)
            if action == "restore":
                about = {"column_id": column.id, "column_title": column.title}
                log_board(self._world, "restore_column", board, model.PEOPLE[0].id, **about)
        return http.json_response({"id": column.id, "type": column.type, "archived": column.archived})

    def plan(self, request: http.Request) -> http.Response:
        return http.json_response(self._api.limits.to_json())

    def change_plan(self, request: http.Request) -> http.Response:
        """`{plan?, day?, minute?, concurrent?, points?, used?, others?, lag?, headers?}`; all or nothing.

        `plan` null lets everything through; single limits stand in for the plan's own. `used` are the calls
        of today so far; `others` are calls that the account's other tokens make now; `lag` is how many seconds old
        `platform_api`'s figures are; `headers` whether answers carry RateLimit headers.
        """
        chosen = http.checked(request.json(), PLAN, "the plan")
        limits = self._api.limits
        own = {key: chosen[key] for key in api_limits.LIMIT_NAMES if key in chosen}
        if own or "plan" in chosen:
            kept = limits.plan.name if limits.plan else None
            limits.set_plan(api_limits.plan_from(chosen.get("plan", kept), own))
        limits.shows_headers = chosen.get("headers", limits.shows_headers)
        if "lag" in chosen:
            limits.set_lag(chosen["lag"])
        if "used" in chosen:
            limits.set_used(chosen["used"])
        limits.use_by_others(chosen.get("others", 0))
        return self.plan(request)

    def webhooks(self, request: http.Request) -> http.Response:
        """Who subscribed to what, the delivery log (`?since=ID` leaves out those up to it), and the rules."""
        hooks = [
            {"id": str(hook.id), "board_id": str(hook.board_id), "event": hook.event, "config": hook.config}
            for hook in list(self._world.hooks.values())
            if not hook.deleted
        ]
        since = http.parse_int(request.query.get("since", "")) or 0
        log = [entry.to_json() for entry in self._deliveries.log() if entry.id > since]
        return http.json_response({"webhooks": hooks, "deliveries": log, "rules": self._rules()})

    def add_rules(self, request: http.Request) -> http.Response:
        """`{rule: drop|double|delay|reorder|hold, …}` or a list of them; `webhooks.rules` says what each takes."""
        body = request.json()
        self._deliveries.rules.add(body if isinstance(body, list) else [body])
        return http.json_response(self._rules())

    def clear_rules(self, request: http.Request) -> http.Response:
        """End all rules. What they hold stays held until it is released."""
        self._deliveries.rules.clear()
        return http.json_response([])

    def release(self, request: http.Request) -> http.Response:
        """`{how: send|double|drop|shuffle, seed?}`: let held deliveries go, and end the rules that hold."""
        chosen = http.checked(
            request.json(), {"how": http.one_of(RELEASES), "seed": http.whole(0, LARGEST_SEED)}, "a release"
        )
        count = self._deliveries.release(chosen.get("how", "send"), chosen.get("seed", 0))
        return http.json_response({"released": count, "rules": self._rules()})

    def _rules(self) -> list[dict[str, Any]]:
        return [asdict(rule) | {"words": rule.description()} for rule in self._deliveries.rules.all()]
