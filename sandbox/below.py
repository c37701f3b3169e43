"""What stands below items: subitems, and what people wrote."""

from sandbox.model import Item, Update


class Below:
    """Ids by what they stand below. `items` and `updates` are the world's own tables."""

    def __init__(self, items: dict[int, Item], updates: dict[int, Update]) -> None:
        self._items = items
        self._updates = updates
        self._children: dict[int, list[int]] = {}
        self._posted: dict[int, list[int]] = {}
        self._replies: dict[int, list[int]] = {}

    def children(self, item: Item) -> list[Item]:
        """An item's subitems in whatever state, oldest first."""
        return [self._items[one] for one in self._children.get(item.id, ())]

    def updates(self, item: Item) -> list[Update]:
        """What was written under an item, replies left out, newest first."""
        ids = self._posted.get(item.id, [])
        return [one for one in (self._updates[i] for i in reversed(ids)) if not one.deleted]

    def replies(self, update: Update) -> list[Update]:
        """Replies to an update, oldest first."""
        ids = self._replies.get(update.id, [])
        return [one for one in (self._updates[i] for i in ids) if not one.deleted]

    def add_item(self, item: Item) -> None:
        """A new item; one that is no subitem stands below nothing."""
        if item.parent_id is not None:
            self._children.setdefault(item.parent_id, []).append(item.id)

    def drop_item(self, item: Item) -> None:
        """An item that never was."""
        if item.parent_id is not None:
            self._children[item.parent_id].remove(item.id)

    def move(self, item: Item, parent: Item) -> None:
        """Put a subitem below another item; the caller writes the item."""
        self.drop_item(item)
        item.parent_id = parent.id
        self.add_item(item)

    def add_update(self, update: Update) -> None:
        """A new update or reply."""
        if update.parent_id is None:
            self._posted.setdefault(update.item_id, []).append(update.id)
        else:
            self._replies.setdefault(update.parent_id, []).append(update.id)

    def drop_update(self, update: Update) -> None:
        """An update that never was."""
        if update.parent_id is None:
            self._posted[update.item_id].remove(update.id)
        else:
            self._replies[update.parent_id].remove(update.id)

    def clear(self) -> None:
        for table in (self._children, self._posted, self._replies):
            table.clear()
