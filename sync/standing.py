"""How all boards stand at one moment, read in a handful of queries however many boards there are.

It says of each board what `workable` and `free_since` (sync/standstill.py) say of one; /metrics and /readyz ask for all
of them every few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache, cached_property

from sync import account, budget, registry
from sync.boards import with_setting
from sync.budget import boards, gate, store, usage
from sync.budget.boards import Demand, Learned
from sync.budget.gate import Facts
from sync.budget.usage import LastHour
from sync.choices import QueueDirection
from sync.models import BoardLink, MondayAccount, QueuePause


class Why(StrEnum):
    """For what kind of reason a board is not worked."""

    NOT_CONFIGURED = "not_configured"
    NO_BOARD = "no_board"
    PAUSED = "paused"
    ACCOUNT = "account"
    BLOCKED = "blocked"
    ALLOWANCE = "allowance"
    GATHERING = "gathering"


@dataclass(frozen=True)
class Standing:
    """One board: why it is not worked now (None: it can be), and since when it could be, where that is known."""

    link: BoardLink
    why: Why | None
    free_since: datetime | None

    @property
    def entity_type(self) -> str:
        """Whose board it is."""
        return self.link.entity_type


@dataclass
class Overview:
    """What was read at `now`: the board links, the account's row, people's pauses, the budget."""

    now: datetime
    links: Sequence[BoardLink]
    account: MondayAccount
    pauses: Sequence[QueuePause]
    books: store.Books
    limited: bool
    _facts: Facts = field(init=False)

    def __post_init__(self) -> None:
        longer = cache(boards.all_needed_by_longer_waiting)
        window = cache(lambda: budget.window_of(self.books, lambda: self.last_hour))
        self._facts = Facts(lambda link_id: longer().get(link_id, 0), lambda _: window())

    @cached_property
    def boards(self) -> list[Standing]:
        """Every board of a registered type that has a link."""
        learned = {link.pk: boards.learned_by(link, self.account.batch_limit) for link in self.links}
        return [
            Standing(link, self._why(link, learned), self._free_since(link, learned[link.pk]))
            for link in self.links
        ]

    @cached_property
    def last_hour(self) -> LastHour:
        """What the last hour took of the allowance; one query, made where it is asked for."""
        return usage.last_hour()

    @property
    def window_seconds(self) -> float:
        """For how long boards gather changes now."""
        return self._facts.window(self.books)

    @cached_property
    def _demands(self) -> dict[str, Demand]:
        sizes = {
            link.entity_type: boards.learned_by(link, self.account.batch_limit).size for link in self.links
        }
        return boards.demands_of(sizes)

    def _why(self, link: BoardLink, learned: dict[int, Learned]) -> Why | None:
        if not account.is_configured():
            return Why.NOT_CONFIGURED
        if not link.board_id or not link.npd_id_column:
            return Why.NO_BOARD
        if self.paused(link.entity_type) == set(QueueDirection.values):
            return Why.PAUSED
        if self._is_ahead(self.account.paused_until):
            return Why.ACCOUNT
        if self._is_ahead(link.blocked_until):
            return Why.BLOCKED
        return self._held(link, learned[link.pk]) if self.limited else None

    def _is_ahead(self, moment: datetime | None) -> bool:
        return moment is not None and moment > self.now

    def paused(self, entity_type: str) -> set[str]:
        """The directions of a board that people have paused."""
        found: set[str] = set()
        for pause in self.pauses:
            if pause.entity_type in ("", entity_type):
                found |= {pause.direction} if pause.direction else set(QueueDirection.values)
        return found

    def _held(self, link: BoardLink, known: Learned) -> Why | None:
        held = gate.held_by(self.books, known, self._demands[link.entity_type], self._facts)
        if held is None:
            return None
        return Why.GATHERING if held.passing else Why.ALLOWANCE

    def _free_since(self, link: BoardLink, known: Learned) -> datetime | None:
        allowed = gate.free_since_by(self.books, known, self._facts) if self.limited else None
        moments = (self.account.paused_until, link.blocked_until, allowed)
        return max((moment for moment in moments if moment is not None), default=None)


def overview() -> Overview:
    """Read how everything stands now: at most five queries, and two more where an allowance is tight."""
    types = [spec.entity_type for spec in registry.entities()]
    rows = BoardLink.objects.filter(entity_type__in=types).select_related("lease")
    links = [with_setting(link) for link in rows]
    books = store.read()
    row = MondayAccount.objects.filter(id=1).first() or MondayAccount(
        id=1, paused_until=None, needs_probe=False, failures=0, batch_limit=None
    )
    return Overview(
        now=books.now,
        links=sorted(links, key=lambda link: types.index(link.entity_type)),
        account=row,
        pauses=list(QueuePause.objects.order_by("id")),
        books=books,
        limited=books.budget.allowance.known,
    )
