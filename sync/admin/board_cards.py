"""How one board is, at a glance: its badge and the reason, its counts with the lists behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from sync.attention import Group
from sync.kernel import humanize
from sync.models.jobs import FAILING_ATTEMPTS
from sync.operations.detect.comparison import VerificationResult
from sync.records.availability import BACKOFF, DEFERRED, READY, BoardAvailability, JobCount, Overview, number_of
from sync.registry import EntitySpec, page_url
from sync.state.record_view import PARTS, Part, RecordState


@dataclass(frozen=True)
class Tile:
    """One count with the list behind it; `below` says more, `parts` add up to it and say why."""

    label: str
    count: int
    url: str
    icon: str = ""
    kind: str = ""
    below: str = ""
    parts: Sequence[Tile] = ()


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
    def now(self) -> datetime:
        return self.overview.now

    def jobs(self, *phases: str) -> list[JobCount]:
        return self.overview.jobs(self.spec.entity_type, *phases)

    @property
    def pending(self) -> int:
        """Jobs that wait, for whatever reason."""
        return number_of(self.jobs(READY, BACKOFF, DEFERRED))

    @property
    def pending_of_items(self) -> int:
        """Those of them that are about items which no record has: no record is pending for them."""
        return sum(one.of_items for one in self.jobs(READY, BACKOFF, DEFERRED))

    @property
    def due_since(self) -> datetime | None:
        """Since when the oldest due job could have been worked."""
        return self.overview.due_since(self.availability)

    @property
    def slowed_until(self) -> str:
        """Until when the quota makes it wait, where that is long; empty where it doesn't."""
        until = self.overview.slowed_until(self.availability)
        return humanize.due_time(until, self.now) if until else ""

    @property
    def badge(self) -> Badge:
        """Whether the board syncs."""
        found = self.availability
        cases = (
            (not found.has_board, "off", "link_off", "Not set up"),
            (found.is_paused, "warn", "pause_circle", "Paused"),
            (self.slowed_until, "warn", "hourglass", f"Slowed until {self.slowed_until}"),
            (found.is_temporary, "wait", "hourglass", "A short wait"),
            (not found.is_available, "bad", "block", "Stopped"),
            (self.failing, "warn", "error", "Syncing; some changes fail"),
            (True, "ok", "check_circle", "Syncing"),
        )
        return next(Badge(*badge) for holds, *badge in cases if holds)

    @property
    def failing(self) -> int:
        """Pending jobs that have failed again, with nothing else in their way."""
        return sum(one.number for one in self.jobs(READY, BACKOFF) if one.attempts >= FAILING_ATTEMPTS)

    @property
    def reason(self) -> str:
        """Why it stands still; who paused it, and since when, stands above all cards, with the button that resumes."""
        if not self.availability.has_board:
            return "Choose its board under Boards, Set up."
        return "" if self.availability.is_paused else humanize.without_request_id(self.availability.detail)


# One board on the first page: how many of its records stand how, each number with the list behind
# it.


STATE_BADGES = {
    RecordState.SYNCED: ("check_circle", "ok"),
    RecordState.PENDING: ("schedule", "wait"),
    RecordState.ATTENTION: ("front_hand", "warn"),
    RecordState.OFF: ("sync_disabled", "off"),
    RecordState.PAUSED: ("pause_circle", "warn"),
}


@dataclass(frozen=True)
class Fact:
    """One thing that is so now, in a few words; `is_calm` where it needs nobody. `check_url` has it found out anew."""

    label: str
    words: str
    url: str = ""
    is_calm: bool = True
    check_url: str = ""


@dataclass(frozen=True)
class BoardHealth(BoardStatus):
    """One model and its board, on the first page: how many of its records stand how, and what is known beside them.

    It says since when an edit waits or is rejected, when the last webhook came in, and which `columns` block some;
    `check_url` is where who may has Monday asked for its columns.
    """

    counts: Mapping[Part, int]
    verification: VerificationResult
    edited_at: datetime | None = None
    rejected_at: datetime | None = None
    webhook_at: datetime | None = None
    columns: Sequence[Group] = ()
    check_url: str = ""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def number(self, state: RecordState) -> int:
        return sum(self.counts.get(part, 0) for part in PARTS[state])

    @property
    def wait_reason(self) -> str:
        """Why changes wait though nothing is wrong."""
        return "" if self.availability.blocked_reason else self.availability.detail

    @property
    def tiles(self) -> list[Tile]:
        """A tile for each state that records are in."""
        since = self.due_since
        oldest = f"oldest due for {humanize.time_span((self.now - since).total_seconds())}" if since else ""
        return build_tiles(self.spec, self.counts, oldest, self.columns)

    @property
    def facts(self) -> list[Fact]:
        """What is so of it now, each in a few words; what waits where there is any."""

        def ago(at: datetime) -> str:
            return humanize.time_span((self.now - at).total_seconds())

        facts = list[Fact]()
        waits = [(self.edited_at, "", ""), (self.rejected_at, ", rejected", f"{reverse('npd-inbox')}?kind=rejected")]
        oldest, why, url = min(
            (one for one in waits if one[0]), key=lambda one: one[0] or self.now, default=(None, "", "")
        )
        if oldest:
            facts.append(Fact("Oldest edit not synced", f"{ago(oldest)}{why}", url))
        link = self.availability.link
        if link and link.webhooks:
            words = f"{ago(self.webhook_at)} ago" if self.webhook_at else "none yet"
            facts.append(Fact("Last heard from Monday", words))
        if checked := link and link.shape.get("checked_at"):
            at = humanize.time_or_day(datetime.fromisoformat(checked), self.now)
            facts.append(Fact("Columns checked", at, check_url=self.check_url))
        verified, words = self.verification, "not yet; it is done every night"
        if verified.at is not None and verified.compared:
            checked, differed = f"{verified.compared:,}", verified.differed
            result = f"{differed:,} of {checked} differed" if differed else f"{checked} of {checked} the same"
            words = f"{ago(verified.at)} ago, {result}"
        return [*facts, Fact("Verified", words, is_calm=not verified.differed)]


def build_tiles(
    spec: EntitySpec, counts: Mapping[Part, int], oldest: str = "", columns: Sequence[Group] = ()
) -> list[Tile]:
    """Return a tile for each state that records are in; `oldest` says since when a change waits.

    A record with several reasons counts for the first, so of `columns` the tile says what else they block.
    """
    total = {state: sum(counts.get(part, 0) for part in parts) for state, parts in PARTS.items()}
    blocks = [f"{one.column_of} is blocked for {one.records:,}" for one in columns]
    only = columns[0] if len(columns) == 1 and columns[0].records == counts.get(Part.COLUMN) else None
    notes = {
        RecordState.SYNCED: in_sync_text(total),
        RecordState.PENDING: oldest if total[RecordState.PENDING] else "",
        RecordState.ATTENTION: f"{', '.join(blocks)} in all." if blocks and not only else "",
    }
    tiles = [_tile(spec, state, number, counts, notes.get(state, "")) for state in PARTS if (number := total[state])]
    if only is None:
        return tiles
    named = f"{only.column_of} blocked", f"{reverse('npd-inbox')}?{urlencode({'cause': only.cause})}"
    return [replace(one, parts=[_named_column(part, *named) for part in one.parts]) for one in tiles]


def _named_column(part: Tile, label: str, url: str) -> Tile:
    return replace(part, label=label, url=url) if part.label == Part.COLUMN.label else part


def in_sync_text(total: Mapping[RecordState, int]) -> str:
    """Return how much of what is to be synced is so, without what is off; rounded down, for 100 % is a claim."""
    expected = sum(total.values()) - total[RecordState.OFF]
    if not expected:
        return ""
    tenths = total[RecordState.SYNCED] * 1000 // expected
    share = f"{tenths / 10:.1f}".removesuffix(".0")
    return f"{share} % of {expected:,}{' with sync on' if total[RecordState.OFF] else ''}"


def _tile(spec: EntitySpec, state: RecordState, number: int, counts: Mapping[Part, int], below: str) -> Tile:
    icon, kind = STATE_BADGES[state]
    parts = PARTS[state]
    shares = [
        Tile(str(part.label), counts[part], health_url(spec, part.value))
        for part in parts
        # Of those that are synced there is no more to say.
        if len(parts) > 1 and counts.get(part) and state is not RecordState.SYNCED
    ]
    return Tile(str(state.label), number, health_url(spec, state.value), icon, kind, below, shares)


def list_url(spec: EntitySpec) -> str:
    """Return the address of the list of this type's records; empty where the admin has none."""
    opts = spec.model._meta
    return page_url(f"{opts.app_label}_{opts.model_name}_changelist")


def health_url(spec: EntitySpec, health: str) -> str:
    """Return the address of the list of those that stand so, a state or a part of one; empty where there is none."""
    url = list_url(spec)
    return f"{url}?{urlencode({'health': health})}" if url else ""
