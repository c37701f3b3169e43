"""The verdict after a fault: every committed change has arrived once and in order, and nothing is left over.

People write ever larger numbers into the roles of contacts. So a value shows when it was committed, and the board's
activity log shows whether the values came in that order.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import count

from npd.models import Contact
from sync.kernel.db import fetch_rows
from sync.models import BoardLink
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

_LOG = """query ($board: ID!) {
  boards(ids: [$board]) { activity_logs(limit: 10000, page: 1) { event data created_at } }
}"""
_UNREST = """
    SELECT 'queue row ' || id || ' ' || entity_type || ' ' || status || ': ' || error_message || ' ' || reason
    FROM sync_queue WHERE status IN ('in_progress', 'failed')
        OR (status = 'pending' AND (entity_id IS NOT NULL OR next_retry <= sync_now() OR remote_id IN (
            SELECT monday_id FROM contacts UNION ALL SELECT monday_id FROM organizations)))
    UNION ALL
    SELECT 'the lease of board ' || link_id FROM sync_board_leases WHERE token IS NOT NULL AND expires > sync_now()
    UNION ALL
    SELECT 'an open intent of ' || entity_type || ' ' || entity_id FROM sync_intents WHERE state = 'open'
    UNION ALL
    SELECT 'the account waits: ' || (stop ->> 'reason') FROM sync_monday_account, jsonb_each(stops) AS call (kind, stop)
    WHERE (stop ->> 'until')::timestamptz > sync_now()
"""


class Writers:
    """People in NPD; each value that they commit is larger than all before it."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def new(self, names: Iterable[str]) -> None:
        """Create contacts in one statement and without a wake-up, as an import does."""
        Contact.objects.bulk_create([Contact(name=name, role_title=self.number()) for name in names])

    def change(self, names: Collection[str]) -> None:
        """Give each of these contacts the next number, each in its own transaction."""
        for name in names:
            assert Contact.objects.filter(name=name).update(role_title=self.number()) == 1, name

    def number(self) -> str:
        return f"{next(self._numbers):05}"


def all_arrived(sandbox: Sandbox, landed_late: Collection[str] = ()) -> None:
    """Wait until the queue is at rest, then compare both sides and fail with all that is wrong.

    `landed_late`: values that a stopped worker sent after another took the board; they may be out of order.
    """
    try:
        wait_for("the queue is at rest", lambda: not unrest(), 30)
    except AssertionError:
        raise AssertionError("The queue is not at rest:\n" + "\n".join(unrest())) from None
    differences = list(_differences(sandbox, landed_late))
    assert not differences, "\n".join(differences)
    creates = sum(
        call["fields"].count("create_item")
        for call in sandbox.calls()
        if not (call["replayed"] or call["errors"] or call["fault"])
    )
    items = len(sandbox.all_items())
    assert creates == items, f"Monday has {items} items, and {creates} creates took effect"


def unrest() -> list[str]:
    """Return rows that are in progress, wait, failed or have an unknown outcome; an item without a record may wait."""
    return [row[0] for row in fetch_rows(_UNREST)]


def _differences(sandbox: Sandbox, landed_late: Collection[str]) -> Iterator[str]:
    """Yield what is wrong between NPD and the board, in words."""
    link = BoardLink.objects.get(entity_type="contact")
    (board,) = [board for board in sandbox.boards() if board["id"] == link.board_id]
    owners = Counter(item["values"][link.npd_id_column] for item in board["items"])
    items = {item["id"]: item for item in board["items"]}
    contacts = list(Contact.objects.all())
    if owners != Counter(str(contact.pk) for contact in contacts):
        yield f"{len(contacts)} contacts have {len(items)} items, by NPD ID {owners}"
    for contact in contacts:
        if contact.sync_status != "synced":
            yield f"{contact.name} is {contact.sync_status}"
        item = items.get(contact.monday_id or "")
        if item is None or item["state"] != "active":
            yield f"{contact.name} has no item on its board"
            continue
        in_npd = (contact.name, contact.role_title)
        on_monday = (item["name"], item["values"]["role_title"])
        if in_npd != on_monday:
            yield f"{contact.name}: NPD holds {in_npd}, Monday {on_monday}"
    for item_id, values in _history(sandbox, link.board_id).items():
        in_order = [value for value in values if value not in landed_late]
        if in_order != sorted(in_order):
            yield f"on item {item_id} values came in the order {values}"


def _history(sandbox: Sandbox, board_id: str) -> dict[str, list[str]]:
    """Return the roles of each item in the order of Monday's activity log."""
    answer = sandbox.query(_LOG, board=board_id)
    rows = answer["data"]["boards"][0]["activity_logs"]
    history: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: int(row["created_at"])):
        data = json.loads(row["data"])
        if row["event"] == "update_column_value" and data["column_id"] == "role_title":
            value = data["value"] or {}
            history.setdefault(str(data["pulse_id"]), []).append(str(value.get("value", value.get("text", ""))))
    return history
