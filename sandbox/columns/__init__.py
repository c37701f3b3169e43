"""The column types that the sandbox plays, by Monday's names."""

from sandbox import errors
from sandbox.columns.base import ColumnKind, Writing
from sandbox.columns.labels import Dropdown, Status
from sandbox.columns.links import BoardRelation, Subtasks
from sandbox.columns.moments import Hour, Timeline, Week
from sandbox.columns.numbers import Checkbox, Date, Numbers, Rating
from sandbox.columns.people import People, Tags
from sandbox.columns.places import Country, Location
from sandbox.columns.reach import Email, Phone
from sandbox.columns.settings import checked_settings, first_settings, shown_settings
from sandbox.columns.words import Link, LongText, Text

__all__ = [
    "KINDS",
    "ColumnKind",
    "Writing",
    "checked_settings",
    "first_settings",
    "kind_of",
    "shown_settings",
]

KINDS: dict[str, ColumnKind] = {
    kind.type: kind
    for kind in (
        Text(),
        LongText(),
        Email(),
        Phone(),
        Numbers(),
        Status(),
        Dropdown(),
        Date(),
        Link(),
        Checkbox(),
        People(),
        Tags(),
        Country(),
        Location(),
        BoardRelation(),
        Subtasks(),
        Timeline(),
        Week(),
        Hour(),
        Rating(),
    )
}


def kind_of(column_type: str) -> ColumnKind:
    """The column type; a ColumnValueException for one that the sandbox does not play."""
    try:
        return KINDS[column_type]
    except KeyError:
        raise errors.FieldError(
            "This column type is not supported yet in the api",
            "ColumnValueException",
            column_type=column_type,
        ) from None
