"""Why a board creates nothing new: it has items that nobody can recognize, so people might be there twice.

The hold begins with a set-up, and ends once no item without a record lacks a match value, or by a person. Passes count
these items among the stored ones, without a call.
"""

from collections.abc import Iterable

from django.db.models import Q, QuerySet

from sync import registry
from sync.boards.board_columns import column_title, set_create_obstacle
from sync.choices import UnmatchedReason
from sync.kernel.humanize import count_with_noun
from sync.models import BoardLink, IgnoredItem, UnmatchedItem

# Items with the NPD ID of a record, or whose match value can't be read, so that their columns have to be looked at.
_NOT_COUNTED = (UnmatchedReason.DUPLICATE, UnmatchedReason.SYNC_OFF, UnmatchedReason.KEY_UNREADABLE)


def hold_reason(number: int, title: str) -> str:
    """Return why creates are held, for this number of items with nothing in the match column; empty for none."""
    if not number:
        return ""
    have = "has" if number == 1 else "have"
    return (
        f"{count_with_noun(number, 'item')} on the board {have} no NPD ID, and “{title}”, by which NPD Sync "
        "recognizes records, is empty for all of them. So it creates nothing new on either side: everybody could be "
        f"there twice. Fill in “{title}” on Monday, or choose another column (Boards, “Set up…”), or press "
        "“Create new ones anyway” on the board's page."
    )


def known_items(entity_type: str, item_ids: Iterable[str]) -> set[str]:
    """Return those of these items that need not be recognized: a record has them, or a person ignores them."""
    ids = list(item_ids)
    ignored = IgnoredItem.objects.filter(entity_type=entity_type, item_id__any_of=ids, left_alone=True)
    linked = registry.entity(entity_type).model.objects.filter(monday_id__any_of=ids)
    return {*ignored.values_list("item_id", flat=True), *map(str, linked.values_list("monday_id", flat=True))}


def _unrecognized_items(link: BoardLink) -> QuerySet[UnmatchedItem]:
    rows = UnmatchedItem.objects.filter(entity_type=link.entity_type, board_id=link.board_id, ignored_at=None)
    has_no_value = Q(**{f"values__{link.match_key}": ""}) | ~Q(values__has_key=link.match_key)
    return rows.exclude(reason_code__in=_NOT_COUNTED).filter(has_no_value)


def recheck_hold(link: BoardLink) -> None:
    """Count the items again that hold creates, and end the hold if there is none; in the caller's transaction."""
    match = link.mappings.filter(key=link.match_key).first()
    if link.creates_held and match is not None:
        title = column_title(link, match.column_id) or match.label
        set_create_obstacle(link, "creates_held", hold_reason(_unrecognized_items(link).count(), title))
