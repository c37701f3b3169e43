"""How one board is, at a glance, and where its records are listed."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from sync.kernel import humanize
from sync.records.availability import BoardAvailability, Overview
from sync.registry import EntitySpec, page_url
from sync.state.record_view import RecordState


@dataclass(frozen=True)
class Badge:
    """A state as colour, icon and words."""

    kind: str
    icon: str
    words: str


@dataclass(frozen=True)
class BoardStatus:
    """What is known of a board at one moment, and how that is said."""

    spec: EntitySpec
    availability: BoardAvailability
    overview: Overview

    @property
    def title(self) -> str:
        return self.spec.board_title

    @property
    def slowed_until(self) -> str:
        """Until when the quota makes it wait, where that is long; empty where it doesn't."""
        until = self.overview.slowed_until(self.availability)
        return humanize.due_time(until, self.overview.now) if until else ""

    @property
    def badge(self) -> Badge:
        """Which of the four states of a board it is in."""
        board = self.availability
        if not board.has_board:
            return Badge("off", "link_off", "Not set up")
        if board.is_paused:
            return Badge("warn", "pause_circle", "Paused")
        if board.is_stopped:
            return Badge("bad", "block", "Stopped")
        return Badge("ok", "check_circle", "Syncing")

    @property
    def reason(self) -> str:
        """Why it stands still; who paused it, and since when, stands above all pages, with the button that resumes."""
        if not self.availability.has_board:
            return "Choose its board under Boards, Set up."
        return "" if self.availability.is_paused else humanize.without_request_id(self.availability.detail)


STATE_BADGES = {
    RecordState.SYNCED: ("check_circle", "ok"),
    RecordState.PENDING: ("schedule", "wait"),
    RecordState.ATTENTION: ("front_hand", "warn"),
    RecordState.OFF: ("sync_disabled", "off"),
    RecordState.PAUSED: ("pause_circle", "warn"),
}


def records_url(spec: EntitySpec, health: str = "") -> str:
    """Return the list of this type's records, of those that are in a state; empty where the admin has none."""
    opts = spec.model._meta
    query = urlencode({"health": health}) if health else ""
    return page_url(f"{opts.app_label}_{opts.model_name}_changelist", query=query)
