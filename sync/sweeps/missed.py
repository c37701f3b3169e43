"""What changed on a board since its last finished sweep: the log's rows, the items touched, webhooks and columns.

The cursor is Monday's own newest time that a finished sweep has seen; each sweep begins an overlap before it, for
rows of the log come late and out of order. What is seen twice is stored once. A sweep that ends half-way moves
nothing, and says why on the board link.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sync import account, drift
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.activity import (
    LOG_PAGE,
    LOG_ROWS,
    Happenings,
    log_page,
    parse_log_page,
    parse_since,
    since,
)
from sync.connectors.monday.errors import (
    CallerEnds,
    DocumentRefused,
    ListingTruncated,
    LogShapeChanged,
    MondayError,
    Scope,
    UnreadableAnswer,
)
from sync.connectors.monday.log_rows import Entry
from sync.models import BoardLink, MondayAccount
from sync.sweeps import hooks
from sync.sweeps.handing import hand_in
from sync.sweeps.timing import boards_to_sweep
from sync.sweeps.touched import touched_since, wake_unexplained

log = structlog.get_logger(__name__)

OVERLAP = timedelta(minutes=10)
FORGET_AFTER = timedelta(days=1)
"""No row of the log is so late, and no clock so wrong."""
GRACE = timedelta(minutes=2)
"""What is newer is left to the next sweep: its webhook may be on its way, its row in the log not shown yet."""


@dataclass(frozen=True)
class Found:
    """What a sweep found: rows of the log whose webhook never came, items touched that nothing told of.

    `items` is how many the board says it has; `problem` why the sweep could not be finished, in words.
    """

    rows: int = 0
    touched: int = 0
    items: int | None = None
    problem: str = ""


def sweep_due() -> list[Found]:
    """Sweep the boards that are due."""
    return [sweep_board(link) for link in boards_to_sweep()]


def sweep_board(link: BoardLink, *, grace: timedelta = GRACE) -> Found:
    """Ask a board what changed and hand it to the inbox; a failure is stored on the link and not raised."""
    try:
        found = _Sweep(link, grace).run()
    except CallerEnds as end:
        # As if it had not begun: it is due at once, and its cursor has not moved.
        BoardLink.objects.filter(pk=link.pk).update(swept_at=link.swept_at)
        return Found(problem=end.sentence)
    except MondayError as error:
        words = f"What changed on the board could not be asked. {error.sentence}"
        BoardLink.objects.filter(pk=link.pk).update(swept_at=SyncNow(), sweep_problem=words)
        _hold(link, error)
        log.warning("sweep not finished", board=link.entity_type, reason=error.sentence)
        return Found(problem=words)
    if found.rows or found.touched:
        log.info("sweep found", board=link.entity_type, rows=found.rows, touched=found.touched)
    return found


def _hold(link: BoardLink, error: MondayError) -> None:
    """A failure of the account or of the board holds it, as that of a look does; a list that is short doesn't."""
    if isinstance(error, ListingTruncated):
        return
    if error.scope in (Scope.ACCOUNT, Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE):
        account.pause(error)
    elif error.scope is Scope.BOARD:
        account.block(link, error)


class _Sweep:
    """One sweep of one board."""

    def __init__(self, link: BoardLink, grace: timedelta) -> None:
        self.link, self.api = link, account.client()
        now = sync_now()
        # A board without a cursor begins here, by our clock; from then on Monday's own times move it.
        self.newest = link.swept_to or now
        self.begin, self.shown_until = self.newest - OVERLAP, now - grace
        self.trouble = ""

    def run(self) -> Found:
        told = self._ask()
        drift.examine(self.link, told.board)
        if told.user_id:
            MondayAccount.objects.filter(id=1).update(user_id=told.user_id)
        rows = sum(self._hand_in(page) for page in self._log(told.log))
        touched = self._touched(told)
        # A board that nobody touches isn't read from the same old moment for ever: what it showed may be forgotten.
        self._saw(sync_now() - FORGET_AFTER)
        BoardLink.objects.filter(pk=self.link.pk).update(
            swept_to=self.newest, swept_at=SyncNow(), sweep_problem=self.trouble
        )
        self.link.swept_to, self.link.sweep_problem = self.newest, self.trouble
        hooks.check(self.link, told.hooks)
        hooks.listen(self.link, told.user_id)
        return Found(rows, touched, told.board.items_count)

    def _ask(self) -> Happenings:
        """Everything in one call; where the log can't be asked for in this form, all but the log."""
        try:
            told = parse_since(self.api.execute(*since(self.link.board_id, self.begin)))
        except DocumentRefused as refused:
            if type(refused) is not DocumentRefused:
                raise
            told = parse_since(self.api.execute(*since(self.link.board_id, self.begin, with_log=False)))
            words = f"Monday doesn't tell the activity log as asked: {refused.message.rstrip(' .')}"
            self.trouble = LogShapeChanged(words).sentence
        self.trouble = self.trouble or told.trouble
        return told

    def _log(self, first: Sequence[Entry] | None) -> Iterator[Sequence[Entry]]:
        """The log's pages, newest first; beyond 10,000 rows it is asked anew up to the oldest time seen."""
        if first is None:
            return
        entries, page, until = first, 1, None
        yield entries
        while len(entries) >= LOG_PAGE:
            if page * LOG_PAGE >= LOG_ROWS:
                until, page = self._earlier(entries[-1].at, until), 0
            page += 1
            entries = parse_log_page(self.api.execute(*log_page(self.link.board_id, self.begin, until, page)))
            yield entries

    def _earlier(self, oldest: datetime, until: datetime | None) -> datetime:
        whole = oldest.replace(microsecond=0)
        if until is not None and whole >= until:
            raise UnreadableAnswer(f"The log holds more rows of one second than can be read ({LOG_ROWS:,})")
        return whole

    def _hand_in(self, entries: Sequence[Entry]) -> int:
        for entry in entries:
            self._saw(entry.at)
        return hand_in(self.link, [entry for entry in entries if entry.at <= self.shown_until])

    def _touched(self, told: Happenings) -> int:
        """Wake what was touched; a shortfall that the last sweep saw too is no truncation but the board's count."""
        woken = 0
        try:
            for items in touched_since(self.api, told.touched, self.begin, told.board.items_count):
                for item in items:
                    self._saw(item.at)
                settled = [item for item in items if item.at and item.at <= self.shown_until]
                woken += wake_unexplained(self.link, settled)
        except ListingTruncated as short:
            if short.message not in self.link.sweep_problem:
                raise
        return woken

    def _saw(self, moment: datetime | None) -> None:
        if moment is not None:
            self.newest = max(self.newest, moment)
