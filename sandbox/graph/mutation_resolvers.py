"""Resolvers of mutations, and of what belongs to them: updates, and jobs in the background.

Each mutation is its own transaction: of several in one request, what succeeded stays.
"""

import json
from typing import Any

from sandbox import api_errors
from sandbox.graph.context import Context, Resolver, context_of, number, part, resolvers
from sandbox.graph.query_resolvers import complexity
from sandbox.ingest.bulk_jobs import IngestJob as ImportJob
from sandbox.ingest.bulk_jobs import status_of, upload_url
from sandbox.model import Board, Column, Group, Hook, Item, Update, person
from sandbox.operations import board_changes, item_changes, transfers
from sandbox.operations.board_changes import json_in
from sandbox.webhooks import subscriptions


def change_multiple_column_values(
    context: Context,
    *,
    board_id: str,
    column_values: Any,
    item_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    return item_changes.change_values(
        context.world, context.user.id, item, _values(column_values), create_labels=bool(create_labels_if_missing)
    )


def change_column_value(
    context: Context,
    *,
    board_id: str,
    column_id: str,
    value: Any,
    item_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    return item_changes.change_values(
        context.world, context.user.id, item, {column_id: json_in(value)}, create_labels=bool(create_labels_if_missing)
    )


def change_simple_column_value(
    context: Context,
    *,
    board_id: str,
    column_id: str,
    value: str | None = None,
    item_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    parse = "parse_simple" if value else "parse"
    return item_changes.change_values(
        context.world,
        context.user.id,
        item,
        {column_id: value or None} if column_id != "name" else {"name": value},
        create_labels=bool(create_labels_if_missing),
        parse=parse,
    )


def create_item(
    context: Context,
    *,
    board_id: str,
    item_name: str,
    column_values: Any = None,
    group_id: str | None = None,
    create_labels_if_missing: bool | None = None,
    position_relative_method: str | None = None,
    relative_to: str | None = None,
) -> Item:
    beside = (number(relative_to), position_relative_method != "before_at") if relative_to else None
    return item_changes.create_item(
        context.world,
        context.user.id,
        number(board_id),
        item_name,
        _values(column_values) if column_values is not None else {},
        group_id=group_id,
        create_labels=bool(create_labels_if_missing),
        beside=beside,
    )


def create_subitem(
    context: Context,
    *,
    parent_item_id: str,
    item_name: str,
    column_values: Any = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    return transfers.create_subitem(
        context.world,
        context.user.id,
        number(parent_item_id),
        item_name,
        _values(column_values) if column_values is not None else {},
        create_labels=bool(create_labels_if_missing),
    )


def archive_item(context: Context, item_id: str | None = None) -> Item:
    return item_changes.set_state(context.world, context.user.id, number(item_id), "archived")


def delete_item(context: Context, item_id: str | None = None) -> Item:
    return item_changes.set_state(context.world, context.user.id, number(item_id), "deleted")


def move_item_to_group(context: Context, group_id: str, item_id: str | None = None) -> Item:
    return item_changes.move_item(context.world, context.user.id, number(item_id), group_id)


def move_item_to_board(context: Context, board_id: str, group_id: str, item_id: str, **mapping: Any) -> Item:
    return transfers.move_to_board(
        context.world,
        context.user.id,
        number(item_id),
        number(board_id),
        group_id,
        mapping.get("columns_mapping"),
        mapping.get("subitems_columns_mapping"),
    )


def duplicate_item(
    context: Context, board_id: str, item_id: str | None = None, with_updates: bool | None = None
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    return transfers.duplicate_item(context.world, context.user.id, item.id, with_updates=bool(with_updates))


def create_webhook(context: Context, board_id: str, url: str, event: str, config: Any = None) -> Hook | None:
    """Null, without an error, when the address does not answer the challenge."""
    decoded = json_in(config)
    subscriptions.check_subscription(context.world, number(board_id), url, event, decoded)
    if not context.handshake(url):
        return None
    return subscriptions.subscribe(
        context.world, context.user.id, number(board_id), url=url, event=event, config=decoded
    )


def delete_webhook(context: Context, id: str) -> Hook:  # noqa: A002 -- the argument's name at Monday
    return subscriptions.unsubscribe(context.world, number(id))


def _item_on_board(context: Context, item_id: str | None, board_id: str) -> Item:
    world = context.world
    board = world.board(number(board_id))
    item = world.item(number(item_id))
    if item.board_id != board.id:
        raise api_errors.item_not_on_board(item.id, board.id)
    return item


def _values(given: Any) -> dict[str, Any]:
    """`column_values`: an object, sent as JSON in a string."""
    decoded = json_in(given)
    if not isinstance(given, str) or not isinstance(decoded, dict):
        raise api_errors.not_json(given if isinstance(given, str) else json.dumps(given))
    return decoded


ITEM_MUTATION: dict[str, Resolver] = {"complexity": complexity} | resolvers(
    change_multiple_column_values,
    change_column_value,
    change_simple_column_value,
    create_item,
    create_subitem,
    archive_item,
    delete_item,
    move_item_to_group,
    move_item_to_board,
    duplicate_item,
    create_webhook,
    delete_webhook,
)


# Mutations of boards, groups and columns.


def create_board(context: Context, board_name: str, board_kind: str, **more: Any) -> Board:
    context.limits.take("create_board")
    return board_changes.create_board(
        context.world,
        context.user.id,
        board_name,
        board_kind,
        empty=bool(more.get("empty")),
        description=more.get("description"),
        workspace_id=number(more["workspace_id"]) if more.get("workspace_id") else None,
    )


def archive_board(context: Context, board_id: str) -> Board:
    return board_changes.set_board_state(context.world, number(board_id), "archived", context.user.id)


def delete_board(context: Context, board_id: str) -> Board:
    return board_changes.set_board_state(context.world, number(board_id), "deleted", context.user.id)


def update_board(context: Context, board_id: str, board_attribute: str, new_value: str) -> str:
    """Answers JSON in a string, with what would undo it."""
    if board_attribute not in ("name", "description"):
        raise api_errors.invalid_argument(f"The sandbox changes no {board_attribute} of a board")
    before = getattr(context.world.active_board(number(board_id)), board_attribute)
    board_changes.describe_board(context.world, context.user.id, number(board_id), board_attribute, new_value)
    undo = {"undo_record_id": None, "action_type": f"modify_{board_attribute}", "previous_value": before}
    return json.dumps({"success": True, "undo_data": undo}, ensure_ascii=False)


def create_group(context: Context, board_id: str, group_name: str, **more: Any) -> Group:
    beside = None
    if more.get("relative_to"):
        beside = (more["relative_to"], more.get("position_relative_method") != "before_at")
    return board_changes.create_group(
        context.world, context.user.id, number(board_id), group_name, colour=more.get("group_color"), beside=beside
    )


def update_group(context: Context, board_id: str, group_id: str, group_attribute: str, new_value: str) -> Group:
    return board_changes.change_group(
        context.world, context.user.id, number(board_id), group_id, group_attribute, new_value
    )


def archive_group(context: Context, board_id: str, group_id: str) -> Group:
    return board_changes.remove_group(context.world, context.user.id, number(board_id), group_id, "archive")


def delete_group(context: Context, board_id: str, group_id: str) -> Group:
    return board_changes.remove_group(context.world, context.user.id, number(board_id), group_id, "delete")


def create_column(context: Context, board_id: str, title: str, column_type: str, **more: Any) -> Column:
    return board_changes.create_column(
        context.world,
        context.user.id,
        number(board_id),
        title,
        column_type,
        column_id=more.get("id"),
        defaults=more.get("defaults"),
        description=more.get("description"),
        after=more.get("after_column_id"),
    )


def delete_column(context: Context, board_id: str, column_id: str) -> Column:
    return board_changes.delete_column(context.world, context.user.id, number(board_id), column_id)


def change_column_title(context: Context, board_id: str, column_id: str, title: str) -> Column:
    return board_changes.change_column(context.world, context.user.id, number(board_id), column_id, title=title)


def change_column_metadata(
    context: Context, board_id: str, column_id: str, column_property: str | None = None, value: str | None = None
) -> Column:
    if column_property is None or value is None:
        raise api_errors.invalid_argument("column_property and value are needed", column_id=column_id)
    change = {column_property: value}
    return board_changes.change_column(context.world, context.user.id, number(board_id), column_id, **change)


def update_column(
    context: Context,
    board_id: str,
    id: str,  # noqa: A002 -- the argument's name at Monday
    column_type: str,
    revision: str,
    **more: Any,
) -> Column:
    """Only with the revision that the caller read, so that nobody's change is overwritten unseen."""
    board = context.world.active_board(number(board_id))
    column = board.column(id)
    if column is not None and column.type != column_type:
        raise api_errors.invalid_argument("The column is of another type", column_id=id)
    wanted = {key: more.get(key) for key in ("title", "description", "settings")}
    return board_changes.change_column(context.world, context.user.id, board.id, id, revision=revision, **wanted)


BOARD_MUTATION = resolvers(
    create_board,
    archive_board,
    delete_board,
    update_board,
    create_group,
    update_group,
    archive_group,
    delete_group,
    create_column,
    delete_column,
    change_column_title,
    change_column_metadata,
    update_column,
)


# Updates: what people write under items.


def updates(_: Any, info: Any, **wanted: Any) -> list[Update]:
    """Updates of all active items, newest first."""
    world = context_of(info).world
    found = [one for one in world.updates.values() if not one.deleted and one.parent_id is None]
    found = [one for one in found if world.state_of(world.items[one.item_id]) == "active"]
    return _requested_updates(found, wanted)


def item_updates(item: Item, info: Any, **wanted: Any) -> list[Update]:
    return _requested_updates(context_of(info).world.children.updates(item), wanted)


def board_updates(board: Board, info: Any, **wanted: Any) -> list[Update]:
    """Those under the board's items; nobody writes under a board itself here."""
    if wanted.get("board_updates_only"):
        return []
    world = context_of(info).world
    found = [update for item in world.items_of(board.id) for update in world.children.updates(item)]
    return _requested_updates(found, wanted)


def _requested_updates(found: list[Update], wanted: dict[str, Any]) -> list[Update]:
    ids, first, last = wanted.get("ids"), wanted.get("from_date"), wanted.get("to_date")
    kept = [
        one
        for one in sorted(found, key=lambda one: -one.id)
        if (ids is None or str(one.id) in ids)
        and (first is None or one.created_at[:10] >= str(first)[:10])
        and (last is None or one.created_at[:10] <= str(last)[:10])
    ]
    return part(kept, wanted)


def create_update(
    context: Context, body: str, item_id: str | None = None, parent_id: str | None = None, **_: Any
) -> Update:
    return item_changes.create_update(
        context.world,
        context.user.id,
        body,
        item_id=None if item_id is None else number(item_id),
        parent_id=None if parent_id is None else number(parent_id),
    )


def edit_update(context: Context, id: str, body: str) -> Update:  # noqa: A002 -- the argument's name at Monday
    return item_changes.edit_update(context.world, context.user.id, number(id), body)


def delete_update(context: Context, id: str) -> Update:  # noqa: A002 -- the argument's name at Monday
    return item_changes.delete_update(context.world, context.user.id, number(id))


UPDATE_QUERY: dict[str, Resolver] = {"updates": updates}
UPDATE_MUTATION = resolvers(create_update, edit_update, delete_update)

REPLY: dict[str, Resolver] = {
    "assets": lambda update, info: [],
    "creator": lambda update, info: person(update.creator_id),
    "updated_at": lambda update, info: update.edited_at,
    "kind": lambda update, info: "Reply",
}

UPDATE: dict[str, Resolver] = {
    "assets": lambda update, info: [],
    "creator": lambda update, info: person(update.creator_id),
    "item": lambda update, info: context_of(info).world.items[update.item_id],
    "replies": lambda update, info: context_of(info).world.children.replies(update),
    "updated_at": lambda update, info: update.edited_at,
    "original_creation_date": lambda update, info: None,
}

ITEM_UPDATES: dict[str, Resolver] = {"updates": item_updates}
BOARD_UPDATES: dict[str, Resolver] = {"updates": board_updates}


# Bulk archiving and deleting: jobs to ask about and to undo.


def bulk_archive_items(context: Context, board_id: str, item_ids: list[str]) -> dict[str, str]:
    return _start_bulk(context, board_id, item_ids, "archived")


def bulk_delete_items(context: Context, board_id: str, item_ids: list[str]) -> dict[str, str]:
    return _start_bulk(context, board_id, item_ids, "deleted")


def undo_action(context: Context, job_id: str) -> dict[str, Any]:
    """Restores what the job took away; the second time there is nothing to undo."""
    done = item_changes.undo_bulk(context.world, job_id)
    return {"success": done, "message": None if done else "This action was undone before"}


def job_status(_: Any, info: Any, job_id: str) -> dict[str, Any]:
    job = item_changes.bulk_status(context_of(info).world, job_id)
    finished = job.status in item_changes.FINISHED
    return {
        "id": job.id,
        "status": job.status,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "error": None,
        "result": {
            "total": len(job.item_ids),
            "succeeded": len(job.succeeded),
            "failed": len(job.failed),
            "details": {"failed_ids": [str(one) for one in job.failed]},
        }
        if finished
        else None,
    }


def _start_bulk(context: Context, board_id: str, item_ids: list[str], state: str) -> dict[str, str]:
    ids = [number(one) for one in item_ids]
    job = item_changes.start_bulk(context.world, context.user.id, number(board_id), ids, state)
    return {"job_id": job.id}


BULK_QUERY: dict[str, Resolver] = {"job_status": job_status}
BULK_MUTATION = resolvers(bulk_archive_items, bulk_delete_items, undo_action)


# The API's side of imports: two mutations that start them and the query that asks about one.


def ingest_items(context: Context, board_id: str, group_id: str, on_match: Any = None) -> dict[str, str]:
    return _start_import_response(
        context, context.ingest.start("ingest", context.user.id, number(board_id), group_id, on_match)
    )


def backfill_items(context: Context, board_id: str, group_id: str) -> dict[str, str]:
    return _start_import_response(
        context, context.ingest.start("backfill", context.user.id, number(board_id), group_id)
    )


def fetch_job_status(_: Any, info: Any, job_id: str) -> dict[str, Any]:
    context = context_of(info)
    return status_of(context.world, context.ingest.find(job_id))


def _start_import_response(context: Context, job: ImportJob) -> dict[str, str]:
    return {"job_id": job.id, "upload_url": upload_url(context.world, job)}


IMPORT_QUERY: dict[str, Resolver] = {"fetch_job_status": fetch_job_status}
IMPORT_MUTATION = resolvers(ingest_items, backfill_items)
