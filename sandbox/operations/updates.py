"""What people write under items: updates and replies."""

import html
import re

from sandbox import errors
from sandbox.events import Posted
from sandbox.model import Item, Update
from sandbox.operations.items import check_active
from sandbox.operations.telling import log, tell
from sandbox.world import World

TAG = re.compile(r"<[^>]*>")
BREAK = re.compile(r"<br\s*/?>|</p>|</li>|</div>", re.IGNORECASE)


def create_update(
    world: World, user_id: int, body: str, *, item_id: int | None = None, parent_id: int | None = None
) -> Update:
    """Write under an item, or answer the update `parent_id`."""
    with world.transaction():
        parent = None if parent_id is None else live_update(world, parent_id)
        item = world.item(parent.item_id if parent is not None else item_id)
        check_active(world, item)
        stamp = world.clock.stamp()
        made = Update(
            world.next_id("update"), item.id, body, plain_text(body), user_id, stamp, stamp,
            parent_id=None if parent is None else parent.id,
        )  # fmt: skip
        _say(world, "create_update", made, item, user_id)
        return made


def edit_update(world: World, user_id: int, update_id: int, body: str) -> Update:
    """Write an update anew."""
    with world.transaction():
        update = live_update(world, update_id)
        update.body, update.text_body, update.edited_at = body, plain_text(body), world.clock.stamp()
        _say(world, "edit_update", update, world.items[update.item_id], user_id)
        return update


def delete_update(world: World, user_id: int, update_id: int) -> Update:
    """Take an update away, and its replies with it."""
    with world.transaction():
        update = live_update(world, update_id)
        update.deleted = True
        _say(world, "delete_update", update, world.items[update.item_id], user_id)
        return update


def live_update(world: World, update_id: int) -> Update:
    """The update; ResourceNotFoundException when there is none, or no more."""
    found = world.updates.get(update_id)
    if found is None or found.deleted:
        raise errors.FieldError("Update not found", "ResourceNotFoundException", 404, update_id=update_id)
    return found


def plain_text(body: str) -> str:
    """An update's HTML without its tags."""
    return html.unescape(TAG.sub("", BREAK.sub("\n", body))).strip()


def _say(world: World, kind: str, update: Update, item: Item, user_id: int) -> None:
    world.put_update(update)
    log(world, kind, item, user_id, update_id=update.id, body=update.body)
    posted = Posted(update.id, update.body, update.text_body, update.parent_id)
    tell(world, kind, item, user_id, update=posted)
