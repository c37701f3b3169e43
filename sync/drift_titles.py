"""Columns that were renamed: still mapped by their id, and told until a person has taken note of the new title.

`known_titles` of a board link has, for each mapped column, the title under which people know it: the one that the
board showed first, and after that the one that somebody has called fine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from sync.models import BoardLink


class NothingToNote(ValueError):
    """That column bears no new title of which note could be taken; the message says why."""


@dataclass(frozen=True)
class Renamed:
    """A mapped column whose title is another now than people know."""

    column_id: str
    before: str
    now: str
    board: str

    @property
    def words(self) -> str:
        """What happened, and what it means, in two sentences."""
        told = {"before": self.before, "board": self.board, "now": self.now}
        return _("“%(before)s” on “%(board)s” is now “%(now)s”. Still mapped by its id.") % told


def renamed(link: BoardLink) -> list[Renamed]:
    """Return the link's renamed columns, as far as the board was seen; one that is gone is told by its problem."""
    shown = _titles(link.shape.get("columns", {}))
    board = str(link.shape.get("name") or link.entity_type)
    return [
        Renamed(column_id, known, shown[column_id], board)
        for column_id, known in sorted(link.known_titles.items())
        if column_id in shown and shown[column_id] != known
    ]


def take_note(link: BoardLink, column_id: str, title: str) -> Renamed:
    """Let a column be known by the title that a person was shown; raises NothingToNote where it isn't its title."""
    with transaction.atomic():
        now = BoardLink.objects.select_for_update().get(pk=link.pk)
        found = next((one for one in renamed(now) if one.column_id == column_id), None)
        if found is None:
            raise NothingToNote(
                _(
                    "Nothing is left to do: somebody has taken note of “%(title)s”, or the column has its old title."
                )
                % {"title": title}
            )
        if found.now != title:
            raise NothingToNote(
                _("Nothing was done: the column was renamed again, to “%(now)s”. Look once more.")
                % {"now": found.now}
            )
        now.known_titles = now.known_titles | {column_id: title}
        now.save(update_fields=["known_titles"])
    return found


def remember(link: BoardLink, mapped: Collection[str], before: Mapping[str, Any]) -> None:
    """Know every mapped column by a title: by the one `before`, the columns as seen before this, else by today's.

    What is mapped no more is forgotten.
    """
    if known_after(link, mapped, before) == link.known_titles:
        return
    with transaction.atomic():
        # Somebody may have called a title fine since the link was read.
        now = BoardLink.objects.select_for_update().get(pk=link.pk)
        link.known_titles = now.known_titles = known_after(now, mapped, before)
        now.save(update_fields=["known_titles"])


def known_after(link: BoardLink, mapped: Collection[str], before: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known once these columns were seen; of one that is gone, what was known of it."""
    first = _titles(link.shape.get("columns", {})) | _titles(before)
    return {
        column_id: link.known_titles.get(column_id) or first[column_id]
        for column_id in mapped
        if column_id in link.known_titles or column_id in first
    }


def _titles(columns: Mapping[str, Any]) -> dict[str, str]:
    """The titles of columns that are on the board, by id."""
    return {
        key: str(told["title"]) for key, told in columns.items() if told.get("title") and not told.get("gone")
    }
