"""What each resolution strategy decides of a conflict, field by field: the merge's own rules under their stored
names. Pure: no Django, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.merge import Action, Base, EditTimes, Field, FieldSides, Rule, Unknown, decide_field

SYSTEM_OF_STRATEGY = {"jira_wins": "jira", "monday_wins": "monday"}
"""The system that a strategy names; it says nothing about rows of another one."""

UNKNOWN_TIMES = EditTimes()

_RULES = {
    "manual": Rule.ASK,
    "local_wins": Rule.NPD_WINS,
    "jira_wins": Rule.MONDAY_WINS,
    "monday_wins": Rule.MONDAY_WINS,
    "auto": Rule.NEWEST,
}
"""Of the two sides the merge calls the other system's Monday."""


@dataclass(frozen=True)
class FieldChoice:
    """What becomes of one field: `value` is to stand on both sides, unless the field is still `open`.

    `is_disputed` is whether both sides had changed it differently, so that the strategy was asked at all.
    """

    value: Any
    action: Action
    is_disputed: bool

    @property
    def open(self) -> bool:
        """Whether a person has to decide."""
        return self.action is Action.CONFLICT


def choose(
    strategy: str, conflicts: Mapping[str, FieldSides], edited: EditTimes = UNKNOWN_TIMES
) -> dict[str, FieldChoice]:
    """Decide each field: what only one side changed is that side's under every strategy, as is what both agree on.

    Where both changed it differently, *local_wins*, *jira_wins* and *monday_wins* take that side; *auto* unites lists
    of texts, and otherwise takes the side that was `edited` later, if both times are known and more than five seconds
    apart; *manual*, and *auto* where it can't tell, leave it open. So does every strategy where a side isn't known.
    """
    return {key: _choose(strategy, key, sides, edited) for key, sides in conflicts.items()}


def _choose(strategy: str, key: str, sides: FieldSides, edited: EditTimes) -> FieldChoice:
    if isinstance(sides.local, Unknown) or isinstance(sides.remote, Unknown):
        return FieldChoice(None, Action.CONFLICT, True)
    # The merge knows lists as tuples; JSON brings lists.
    local, remote = _canonical(sides.local), _canonical(sides.remote)
    base = Base(*map(_canonical, sides.base)) if sides.base else None
    are_lists = all(map(_is_texts, (local, remote, *((base.local, base.remote) if base else ()))))
    rule = Rule.UNION if strategy == "auto" and are_lists else _RULES[strategy]
    decision = decide_field(Field(key, local, remote, base, rule=rule, first_match=rule, edited=edited))
    found = {Action.PULL: remote, Action.BOTH: decision.value, Action.CONFLICT: None}.get(decision.action, local)
    one_sided = base is None and None in (local, remote)
    has_moved = base is None or (local != base.local and remote != base.remote)
    is_disputed = local != remote and has_moved and not one_sided
    return FieldChoice(list(found) if isinstance(found, tuple) else found, decision.action, is_disputed)


def _canonical(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_texts(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and all(isinstance(one, str) for one in value))
