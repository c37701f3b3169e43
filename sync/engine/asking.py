"""What a person is asked about an item whose record was deleted in NPD, and what the answers are."""

from __future__ import annotations

from sync.choices import RecordGone, TombstoneState
from sync.engine.graves import Grave
from sync.hooks import KIND_DELETE, Choice, Finding, Option

CAME_BACK = "restored"
"""The ledger's word for an item that somebody restored after it had left the board."""
UNLINK = "unlink"
"""The value of the choice that lets the item go."""


def removal_of(policy: RecordGone) -> RecordGone:
    """Return how an item leaves the board when a person lets the deletion stand."""
    return RecordGone.DELETE if policy is RecordGone.DELETE else RecordGone.ARCHIVE


def ask(grave: Grave, policy: RecordGone) -> None:
    """Ask what becomes of the item; the grave's look ends."""
    what = _what(grave)
    options = [option.to_json() for option in _options(grave, policy)]
    stone = grave.stone
    if grave.choice is None and not grave.rejected:
        grave.rejected = "The record was deleted in NPD since you chose. Choose anew."
    rejected = {"record": grave.rejected} if grave.rejected else {}
    grave.question = Finding(
        stone.entity_type,
        stone.entity_id,
        stone.monday_id or "",
        KIND_DELETE,
        fields=grave.edited,
        rejected=rejected,
        data={"what": what, "options": options},
    )
    grave.rest(TombstoneState.ASKED, what, kind="conflict_delete")


def still_seen(grave: Grave, choice: Choice) -> bool:
    """Whether the item still says what the author of a choice saw."""
    now = {edit.key: (edit.npd or None, edit.monday or None) for edit in grave.edited}
    then = {key: (npd or None, monday or None) for key, (npd, monday) in choice.seen.items()}
    return now == then


def _what(grave: Grave) -> str:
    item = grave.subject.item
    called = f"“{item.name}”" if item else "its item"
    if grave.subject.ledger.remote_state == CAME_BACK:
        return (
            f"“{grave.name}” was deleted in NPD and its item left the board, but somebody restored the item {called}. "
            "Should the record come back too?"
        )
    if grave.edited:
        return f"“{grave.name}” was deleted in NPD, but its item {called} was edited on Monday since both sides agreed."
    return f"“{grave.name}” was deleted in NPD. What should become of its item {called}?"


def _options(grave: Grave, policy: RecordGone) -> list[Option]:
    deletes = removal_of(policy) is RecordGone.DELETE
    again = " again" if grave.subject.ledger.remote_state == CAME_BACK else ""
    return [
        Option(
            "npd",
            f"{'Delete' if deletes else 'Archive'} the item{again}",
            "The deletion stands. The item leaves the board; people can restore it on Monday"
            + (" for 30 days." if deletes else "."),
        ),
        Option(
            "monday",
            "Bring the record back",
            "The record comes back as it was, linked with its item, and takes over what was edited on Monday.",
        ),
        Option(
            "custom",
            "Let the item go",
            "The record stays deleted; the item stays on the board without an NPD ID, and makes no new record.",
            UNLINK,
        ),
    ]
