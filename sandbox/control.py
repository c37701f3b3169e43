"""`/_control/*`: what tests and the pages do behind Monday's back. JSON in, JSON out.

Changes of items and columns by a person at the board, the clock, faults, the plan, webhooks and their deliveries.
The parameters of a handler are the fields of its JSON.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from sandbox import model, operations, web
from sandbox.api import Api
from sandbox.api_errors import FieldError
from sandbox.columns import initial_settings, kind_of
from sandbox.faults import fault_from
from sandbox.model import STATES, Snapshot, World
from sandbox.webhooks import RELEASES, Deliveries, rule_from

JsonHandler = Callable[..., Any]  # returns JSON


def _edit(world: World, user_id: int, item_id: int, column_id: str, text: str = "", value: Any = None) -> model.Item:  # noqa: PLR0913, PLR0917 - the fields of a request
    """Write `text`, a simple string, or `value`, as in the API's column_values; neither empties the cell."""
    content = text.strip() or value
    return operations.change_values(world, user_id, world.item(item_id), {column_id: content}, create_labels=True)


def _rename(world: World, user_id: int, item_id: int, name: str) -> model.Item:
    return operations.change_values(world, user_id, world.item(item_id), {"name": name.strip()})


def _add(  # noqa: PLR0913, PLR0917 - the fields of a request
    world: World,
    user_id: int,
    board_id: int,
    name: str,
    values: dict[str, Any] | None = None,
    group_id: str | None = None,
) -> model.Item:
    row = {"name": name.strip(), "values": values, "group_id": group_id}
    return operations.create_item(world, user_id, board_id, row, create_labels=True)


# What `POST /_control/actions` can do, by its `action`.
ITEM_ACTIONS: dict[str, Callable[..., model.Item]] = {
    "edit": _edit,
    "rename": _rename,
    "add": _add,
    "archive": partial(operations.set_state, state="archived"),
    "delete": partial(operations.set_state, state="deleted"),
    "restore": partial(operations.set_state, state="active"),
    "move": operations.move_item,
    "move_to_board": operations.move_to_board,
    "duplicate": operations.duplicate_item,
}


class Control:
    def __init__(self, world: World, api: Api, deliveries: Deliveries) -> None:
        self.world = world
        self.api = api
        self.deliveries = deliveries
        self._snapshots: dict[str, tuple[float, Snapshot]] = {}  # by name, with the time of `time.monotonic`

    def routes(self) -> list[web.Route]:
        handlers: dict[tuple[str, str], JsonHandler] = {
            ("GET", "boards"): self.boards,
            ("POST", "boards"): self.change_board,
            ("POST", "columns"): self.change_column,
            ("POST", "items"): self.load_items,
            ("POST", "actions"): self.act,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.add_faults,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "latency"): self.set_latency,
            ("GET", "clock"): self.clock,
            ("POST", "clock"): self.set_clock,
            ("GET", "plan"): self.plan,
            ("POST", "plan"): self.change_plan,
            ("GET", "calls"): self.calls,
            ("GET", "webhooks"): self.webhooks,
            ("POST", "webhooks"): self.add_rules,
            ("DELETE", "webhooks"): self.clear_rules,
            ("POST", "webhooks/release"): self.release,
            ("POST", "reset"): self.reset,
            ("POST", "snapshot"): self.snapshot,
            ("POST", "restore"): self.restore,
        }
        return [web.route(method, f"/_control/{name}", _view(handler)) for (method, name), handler in handlers.items()]

    def boards(self) -> list[dict[str, Any]]:
        """Return all boards with their items and the texts of their cells."""
        with self.world.lock:
            return [
                {
                    "id": str(board.id),
                    "name": board.name,
                    "state": board.state,
                    "columns": [{"id": c.id, "title": c.title, "type": c.type} for c in board.active_columns()],
                    "items": [_shown_item(board, item) for item in self.world.items_of(board.id, STATES)],
                }
                for board in self.world.boards.values()
            ]

    def change_board(
        self, board_id: int, items_limit: int | None = None, state: str | None = None, name: str = ""
    ) -> dict[str, str | int]:
        """Set how many items a board may hold, its name, or whether it is archived, deleted or active."""
        with self.world.transaction():
            board = self.world.board(int(board_id))
            if state is not None and state != board.state:
                operations.set_board_state(self.world, model.MAYA_ID, board.id, web.one_of(STATES, state))
            if name:
                operations.rename_board(self.world, model.MAYA_ID, board.id, name)
            if items_limit is not None:
                board.items_limit = items_limit
                self.world.put_board(board)
        return {"id": str(board.id), "items_limit": board.items_limit, "state": board.state}

    def reset(self) -> dict[str, bool]:
        """Delete boards, webhooks, logs, faults, latency and stored answers; the clock is real time again."""
        self.world.restore({}, 0)
        self.deliveries.clear()
        self.api.reset()
        self.world.clock.offset_seconds = 0.0
        return {"reset": True}

    def snapshot(self, name: str) -> dict[str, dict[str, int]]:
        """Keep boards, items, webhooks and activity logs in memory for `restore`."""
        snapshot = self.world.snapshot()
        # Not by the sandbox's clock, which tests move and a reset sets back.
        self._snapshots[name] = time.monotonic(), snapshot
        return {"kept": {table: len(documents) for table, documents in snapshot.items()}}

    def restore(self, name: str) -> dict[str, bool]:
        """Reset, then restore the snapshot; it stays available."""
        if name not in self._snapshots:
            raise web.BadRequestError("there is no snapshot of this name: POST /_control/snapshot first")
        created_at, snapshot = self._snapshots[name]
        self.reset()
        self.world.restore(snapshot, time.monotonic() - created_at)
        return {"restored": True}

    def faults(self) -> list[dict[str, Any]]:
        return [fault.to_json() for fault in self.api.faults.all()]

    def add_faults(self, entries: list[Any] | None = None, **fault: Any) -> list[dict[str, Any]]:
        """Add a fault, or all of a list or none, to the end of the queue."""
        faults = [web.call(fault_from, entry) for entry in ([fault] if entries is None else entries)]
        self.api.faults.add(faults)
        with self.world.lock:
            if any(fault.makes_reads_lag() for fault in faults):
                self.api.history.begin()
        return self.faults()

    def clear_faults(self) -> list[Any]:
        self.api.faults.clear()
        with self.world.lock:
            self.api.history.end()
        return []

    def set_latency(self, call_ms: float | None = None, mutation_ms: float | None = None) -> dict[str, float]:
        given = {"call_ms": call_ms, "mutation_ms": mutation_ms}
        self.api.latency |= {name: value for name, value in given.items() if value is not None}
        return self.api.latency

    def clock(self) -> dict[str, Any]:
        clock = self.world.clock
        return {"offset_seconds": clock.offset_seconds, "now": clock.stamp()}

    def set_clock(self, offset_seconds: float) -> dict[str, Any]:
        """Set the sandbox's time to real time plus this."""
        self.world.clock.offset_seconds = offset_seconds
        self.deliveries.clock_moved()
        return self.clock()

    def calls(self, since: str = "0") -> list[dict[str, Any]]:
        """Return the API calls after the id `since`, oldest first."""
        return [asdict(call) for call in list(self.api.calls) if call.id > int(since)]

    def load_items(self, board_id: int, items: list[dict[str, Any]]) -> list[str]:
        """Create items `{name, values?, group_id?}` as if they had always existed; return their ids, in order.

        Without logs and webhooks, so a bench fills a board with 100,000 items in seconds.
        """
        return [str(item_id) for item_id in operations.load_items(self.world, int(board_id), items)]

    def act(self, action: str, user_id: int = model.MAYA_ID, **fields: Any) -> dict[str, Any]:
        """Do what a person does on a board; `ITEM_ACTIONS` lists the actions with their fields."""
        if user_id not in model.PEOPLE_BY_ID:
            raise web.BadRequestError("user_id is nobody here")
        perform = ITEM_ACTIONS[web.one_of(ITEM_ACTIONS, action)]
        numbers = {name: int(fields[name]) for name in ("item_id", "board_id") if name in fields}
        item = web.call(perform, {"world": self.world, "user_id": user_id} | fields | numbers)
        with self.world.lock:
            return _shown_item(self.world.boards[item.board_id], item)

    def change_column(
        self,
        board_id: int,
        column_id: str,
        action: str,
        type: str = "",  # noqa: A002
        title: str = "",
    ) -> dict[str, Any]:
        """Rename, delete, restore, hide or show a column, or change its type, as a person does it.

        Monday's undo brings a deleted column back with its values (support.monday.com, "Column permissions" and
        "Changing the column type").
        """
        with self.world.transaction():
            board = self.world.board(int(board_id))
            column = next((column for column in board.columns if column.id == column_id), None)
            if column is None:
                raise web.BadRequestError("there is no such column")
            match action:
                case "rename":
                    operations.rename_column(self.world, model.MAYA_ID, board.id, column_id, title)
                case "delete":
                    operations.delete_column(self.world, model.MAYA_ID, board.id, column_id)
                case "restore":
                    column.archived = False
                    details = {"column_id": column.id, "column_title": column.title}
                    self.world.save_board("restore_column", board, model.MAYA_ID, **details)
                # As by the column's permission to view: its values are missing from answers, but the board lists it.
                case "hide" | "show":
                    column.hidden = action == "hide"
                case "retype":
                    self._retype(board, column, type)
                case _:
                    raise web.BadRequestError("action is one of rename, delete, restore, hide, show, retype")
            self.world.put_board(board)
        return {"id": column.id, "type": column.type, "archived": column.archived}

    def _retype(self, board: model.Board, column: model.Column, column_type: str) -> None:
        """Give a column another type; the values of the former type are kept for a change back."""
        kind_of(column_type)
        items = self.world.items_of(board.id, STATES)
        for item in items:
            # Stored under a name that no column can have, so that nothing else reads it.
            item.cells[f"{column.id} as {column.type}"] = item.raw(column.id)
            item.cells[column.id] = item.cells.pop(f"{column.id} as {column_type}", None)
        column.type = column_type
        column.settings = initial_settings(column_type, None)
        self.world.put_items(items)
        # No read could show a value of the former type.
        self.api.history.forget()

    def plan(self) -> dict[str, Any]:
        return self.api.limits.to_json()

    def change_plan(self, used: int | None = None, lag: int | None = None, **plan: Any) -> dict[str, Any]:
        """Change `{plan?, day?, minute?, concurrent?, points?, used?, lag?}`.

        Without a `plan` (null) nothing is refused; single limits replace the plan's own. `used` sets the calls of
        today; `lag` is the age of `platform_api`'s figures in seconds.
        """
        limits = self.api.limits
        if plan:
            limits.set_plan(plan.pop("plan", limits.plan.name if limits.plan else None), plan)
        with limits.locked_usage() as usage:
            if lag is not None:
                usage.lag = float(lag)
            if used is not None:
                usage.set_calls(used)
        return self.plan()

    def webhooks(self, since: str = "0") -> dict[str, Any]:
        """Return the subscriptions, the deliveries after the id `since`, and the rules."""
        hooks = [
            {"id": str(hook.id), "board_id": str(hook.board_id), "event": hook.event}
            for hook in list(self.world.hooks.values())
            if not hook.deleted
        ]
        log = [delivery.to_json() for delivery in self.deliveries.log() if delivery.id > int(since)]
        return {"webhooks": hooks, "deliveries": log, "rules": self._rules()}

    def add_rules(self, entries: list[Any] | None = None, **rule: Any) -> list[dict[str, Any]]:
        """Add a rule `{rule: drop|double|delay|hold, …}`, whose other fields are those of `Rule`; or a list of them."""
        self.deliveries.add_rules([web.call(rule_from, entry) for entry in ([rule] if entries is None else entries)])
        return self._rules()

    def clear_rules(self) -> list[Any]:
        """End all rules; held deliveries stay held until they are released."""
        self.deliveries.clear_rules()
        return []

    def release(self, order: str = "send", seed: int = 0) -> dict[str, Any]:
        """Release held deliveries, and end the rules that hold."""
        count = self.deliveries.release(web.one_of(RELEASES, order), seed)
        return {"released": count, "rules": self._rules()}

    def _rules(self) -> list[dict[str, Any]]:
        return [asdict(rule) | {"words": rule.description()} for rule in self.deliveries.rules()]


def _shown_item(board: model.Board, item: model.Item) -> dict[str, Any]:
    columns = [column for column in board.active_columns() if column.type != "name"]
    values = {c.id: kind_of(c.type).text(c, item.raw(c.id)) for c in columns}
    return {"id": str(item.id), "name": item.name, "state": item.state, "values": values}


def _view(handler: JsonHandler) -> web.Handler:
    """Return a view that calls a handler with the fields of a request, and answers with its JSON.

    A list, as of faults, is the handler's `entries`. Changes are accepted only as JSON, which no form of another site
    can send.
    """

    def respond(request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.json_response(web.call(handler, request.query))
        if not request.is_json():
            return web.json_response({"error": "Send this as application/json"}, 415)
        content = request.json()
        try:
            answer = web.call(handler, {"entries": content} if isinstance(content, list) else content)
        except FieldError as error:
            return web.json_response({"error": str(error), "code": error.extensions["code"]}, 400)
        return web.json_response(answer)

    return respond
