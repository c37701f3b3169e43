"""What people and automations do on Monday's boards."""

from typing import Any

from sandbox.model import API_USER
from tests.chaos.arena import ELSEWHERE
from tests.chaos.journal import FIELDS, MONDAY, TOKEN
from tests.chaos.stage import SKIPPED, Stage, event_value, remote_value

AUTOMATIONS_USER = -4


def add(stage: Stage, handle: str, entity: str, keys: list[str], number: int, email: int = 0) -> None:
    """Add an item; `email` is the number of an address that another step may also use."""
    stage.journal.types[handle] = entity
    values = {key: stage.text(handle, key, number) for key in keys if key != "name"}
    if email:
        values["email"] = stage.text(handle, "email", email)
    cells: dict[str, Any] = {stage.column(handle, key): _cell(key, value) for key, value in values.items()}
    name = stage.text(handle, "name", number)
    item = stage.sandbox.act("add", board_id=int(stage.link(entity).board_id), name=name, values=cells)
    stage.journal.items[handle] = item["id"]
    for key, value in [("name", name), *sorted(values.items())]:
        stage.wrote("erik", MONDAY, handle, key, value)


def _cell(key: str, value: str) -> Any:
    if key == "email":
        return {"email": value, "text": value}
    if key == "phone":
        return {"phone": value, "countryShortName": "SE"}
    return {"text": value} if key == "notes" else value


def edit(stage: Stage, handle: str, key: str, number: int, by: str = "erik", user_id: int | None = None) -> str | None:
    """Type into a cell or rename the item; number 0 empties the cell."""
    item = stage.item(handle)
    if item is None or item["state"] != "active" or (key == "name" and not number):
        return SKIPPED
    column, value = stage.column(handle, key), stage.text(handle, key, number) if number else ""
    if column != "name" and column not in item["values"]:
        return SKIPPED  # it was moved to a board without that column
    since = _last_delivery(stage)
    who = {} if user_id is None else {"user_id": user_id}
    if column == "name":
        stage.sandbox.act("rename", item_id=int(item["id"]), name=value, **who)
    else:
        stage.sandbox.act("edit", item_id=int(item["id"]), column_id=column, text=value, **who)
    before = _replaced(stage, since, item["id"], column, key, item)
    # Nobody can see what a move has dropped, and who empties such a cell changes nothing.
    dropped = stage.journal.dropped.get((handle, key)) if value else None
    stage.wrote(by, MONDAY, handle, key, value, (before, dropped))
    return None


def _last_delivery(stage: Stage) -> int:
    deliveries = stage.arena.webhooks()["deliveries"]
    return int(deliveries[-1]["id"]) if deliveries else 0


def _replaced(stage: Stage, since: int, item_id: str, column: str, key: str, item: dict[str, Any]) -> str:
    """What the edit replaced: by Monday's own event, or without one by what was read before."""
    for delivery in stage.arena.webhooks(since)["deliveries"]:
        event = delivery["body"]["event"]
        if str(event.get("pulseId")) != item_id or delivery["user_id"] == API_USER.id:
            continue
        if event.get("columnId", "name" if delivery["event"] == "change_name" else None) == column:
            return event_value(key, event.get("previousValue"))
    return str(item["name"] if column == "name" else item["values"].get(column) or "")


def move_state(stage: Stage, handle: str, action: str) -> str | None:
    item = stage.item(handle)
    wanted = {"archive": ("active",), "delete": ("active",), "restore": ("archived", "deleted")}[action]
    if item is None or item["state"] not in wanted:
        return SKIPPED
    stage.sandbox.act(action, item_id=int(item["id"]))
    if action == "restore":
        stage.journal.removed.pop(handle, None)
    else:
        stage.journal.removed[handle] = stage.at
    return None


def move_to_other_board(stage: Stage, handle: str, elsewhere: bool = False) -> str | None:
    """Move an item to the other synced board, or to one without columns."""
    item = stage.item(handle)
    other = stage.link("organization" if stage.type_of(handle) == "contact" else "contact")
    if item is None or item["state"] != "active" or _board_of(stage, item) == other.board_id:
        return SKIPPED
    board = next(board["id"] for board in stage.sandbox.boards() if board["name"] == ELSEWHERE)
    group = "topics" if elsewhere else other.group_id
    _move(stage, handle, item, board if elsewhere else other.board_id, group)
    stage.journal.removed[handle] = stage.at
    stage.journal.moved |= set(TOKEN.findall(str([item["name"], item["values"]])))
    return None


def move_back(stage: Stage, handle: str) -> str | None:
    """Move an item back to its board, without the cells that the other one had no column for."""
    item, home = stage.item(handle), stage.link(stage.type_of(handle))
    if item is None or item["state"] != "active" or _board_of(stage, item) == home.board_id:
        return SKIPPED
    _move(stage, handle, item, home.board_id, home.group_id)
    stage.journal.removed.pop(handle, None)
    return None


def _move(stage: Stage, handle: str, item: dict[str, Any], board_id: str, group_id: str) -> None:
    stage.sandbox.act("move_to_board", item_id=int(item["id"]), board_id=int(board_id), group_id=group_id)
    moved = stage.item(handle)
    for key in FIELDS[stage.type_of(handle)]:
        column = stage.column(handle, key)
        before = remote_value(item, column)
        if before and moved and not remote_value(moved, column):
            stage.journal.dropped[handle, key] = before


def _board_of(stage: Stage, item: dict[str, Any]) -> str:
    return next(str(board["id"]) for board in stage.sandbox.boards() if item in board["items"])


def duplicate(stage: Stage, handle: str) -> str | None:
    """“Duplicate item”: the copy has the same NPD ID."""
    item = stage.item(handle)
    if item is None or item["state"] != "active":
        return SKIPPED
    copy = stage.sandbox.act("duplicate", item_id=int(item["id"]))
    stage.journal.copied.add(copy["id"])
    stage.wrote("Monday's copy", MONDAY, handle, "name", copy["name"])
    return None


def edit_copy(stage: Stage, handle: str, key: str, number: int) -> str | None:
    """Type into a cell of the newest copy of an item."""
    copies = [item for item in stage.sandbox.all_items() if item["id"] in stage.journal.copied]
    if not copies or copies[-1]["state"] != "active":
        return SKIPPED
    column, value = stage.column(handle, key), stage.text(handle, key, number)
    stage.sandbox.act("edit", item_id=int(copies[-1]["id"]), column_id=column, text=value)
    stage.wrote("erik", MONDAY, handle, key, value, (remote_value(copies[-1], column),))
    return None


def automation(stage: Stage, handle: str, key: str, number: int, times: int = 1) -> str | None:
    """From now on Monday rewrites this field after our writes, this many times."""
    if key not in FIELDS[stage.type_of(handle)]:
        return SKIPPED
    stage.automations.append({"handle": handle, "key": key, "number": number, "left": times})
    stage.heard = _last_delivery(stage)
    return None


def run_automations(stage: Stage) -> None:
    """Run after each step: rewrite the fields that we wrote since."""
    if not stage.automations:
        return
    new = stage.arena.webhooks(stage.heard)["deliveries"]
    for delivery in new:
        stage.heard = max(stage.heard, int(delivery["id"]))
    for rule in stage.automations:
        if rule["left"] and any(_is_ours(stage, delivery, rule) for delivery in new):
            rule["left"] -= 1
            edit(stage, rule["handle"], rule["key"], rule["number"] + rule["left"], "robot", AUTOMATIONS_USER)
            stage.journal.counts["automation rewrote our value"] += 1


def _is_ours(stage: Stage, delivery: dict[str, Any], rule: dict[str, Any]) -> bool:
    event = delivery["body"]["event"]
    column = event.get("columnId", "name" if delivery["event"] == "change_name" else None)
    return (
        delivery["user_id"] == API_USER.id
        and str(event.get("pulseId")) == stage.item_id(rule["handle"])
        and column == stage.column(rule["handle"], rule["key"])
    )
