"""Board links as they count now: the database's row, with the settings' board id where one is set."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings

from sync import registry
from sync.models import BoardLink, FieldMapping


def setting_of(entity_type: str) -> str:
    """Return the board id that the environment names for this type, or an empty text."""
    return str(getattr(settings, registry.entity(entity_type).board_setting, "") or "")


def link_of(entity_type: str) -> BoardLink | None:
    """Return the type's board link with the board id that counts, or None where no set-up has run."""
    link = BoardLink.objects.filter(entity_type=entity_type).first()
    return None if link is None else with_setting(link)


def with_setting(link: BoardLink) -> BoardLink:
    """Return the link with the board id that counts: the environment's, where that names one."""
    link.board_id = setting_of(link.entity_type) or link.board_id
    return link


def mappings_of(link: BoardLink) -> Sequence[FieldMapping]:
    """Return the link's mappings in their order."""
    return list(link.mappings.all())


def columns_of(link: BoardLink, mappings: Sequence[FieldMapping]) -> list[str]:
    """Return the column ids that a look reads, the NPD ID column included; the name is no column."""
    found = [m.column_id for m in mappings if m.column_id and m.column_id != "name"]
    return [*dict.fromkeys([*found, *([link.npd_id_column] if link.npd_id_column else [])])]


def item_url(link: BoardLink, item_id: str) -> str:
    """Return the address of an item for a person: Monday's own, or the sandbox's board page."""
    parts = urlsplit(settings.MONDAY_API_URL)
    if parts.hostname == "api.monday.com":
        return f"https://app.monday.com/boards/{link.board_id}/pulses/{item_id}"
    return f"{parts.scheme}://{parts.netloc}/board/{link.board_id}/pulses/{item_id}"
