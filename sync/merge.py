"""The three-way merge: (base, local, remote, rules) → one decision a field. Pure: no Django, no I/O.

`base` is the pair that stood on both sides when they last agreed; the local value is compared with its
NPD half, the remote one with its Monday half. All values here are canonical; None is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sync.merge_lists import NotLists, united

Canonical = str | tuple[str, ...] | None
APART = timedelta(seconds=5)
"""Two clocks, NPD's and Monday's: edits that are no further apart than this have no order."""


class Way(StrEnum):
    """Which ways a field may flow: what the record's and the mapping's direction both allow."""

    BOTH = "both"
    TO_MONDAY = "to_monday"
    TO_NPD = "to_npd"
    NONE = "none"


class FieldRule(StrEnum):
    """What decides a field that both sides changed differently."""

    ASK = "ask"
    NPD_WINS = "npd_wins"
    MONDAY_WINS = "monday_wins"
    NEWEST = "newest"
    UNION = "union"


class Action(StrEnum):
    """What is to be done with a field."""

    NOTHING = "nothing"
    AGREED = "agreed"
    PUSH = "push"
    PULL = "pull"
    BOTH = "both"
    CONFLICT = "conflict"
    HOLD = "hold"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Base:
    """The two halves of a pair, each canonical."""

    local: Canonical
    remote: Canonical


@dataclass(frozen=True)
class Picked:
    """A person's choice that is still valid for the values present: npd, monday, base or custom.

    `anew` is a value for both sides whatever the base says, as one that was lost and is taken back.
    """

    choose: str
    value: Canonical = None
    anew: bool = False


@dataclass(frozen=True)
class Edited:
    """When the field got its present value on each side, by that side's clock; None where nobody can tell."""

    local: datetime | None = None
    remote: datetime | None = None


@dataclass(frozen=True)
class Field:
    """Everything that the decision on one field rests on.

    `unknown` says why the remote value is not known (empty when it is). `left_base` is the NPD half of an
    earlier base that no longer counts, where there was one: a local value that left it while the field
    was held is a person's and is never overwritten silently. `edited` is what the rule “newest” goes by.
    """

    key: str
    local: Canonical
    remote: Canonical
    base: Base | None = None
    way: Way = Way.BOTH
    rule: FieldRule = FieldRule.ASK
    first_match: FieldRule = FieldRule.ASK
    required: bool = False
    unknown: str = ""
    left_base: Base | None = None
    picked: Picked | None = None
    edited: Edited = Edited()


@dataclass(frozen=True)
class Decision:
    """What is to be done with a field, why, and whether a value that a person wrote gives way."""

    key: str
    action: Action
    reason: str = ""
    overrides: bool = False
    value: Canonical = None


def merge(fields: list[Field]) -> dict[str, Decision]:
    """Decide every field by the tables; each by itself."""
    return {field.key: decide(field) for field in fields}


def decide(field: Field) -> Decision:
    """Decide one field."""
    if field.way is Way.NONE:
        return Decision(field.key, Action.NOTHING, "its direction lets nothing flow")
    if field.unknown:
        return Decision(field.key, Action.UNDECIDED, field.unknown)
    return _not_below_required(field, _decide_known(field))


def _decide_known(field: Field) -> Decision:
    if field.picked and field.picked.anew and field.way is Way.BOTH:
        return _anew(field, field.picked.value)
    if _stands(field):
        return Decision(field.key, Action.NOTHING)
    if field.local == field.remote:
        return Decision(field.key, Action.AGREED)
    if field.way is Way.TO_MONDAY:
        return _mirror(field, Action.PUSH)
    if field.way is Way.TO_NPD:
        return _mirror(field, Action.PULL)
    return _as_picked(field, field.picked) if field.picked else _both_ways(field)


def _stands(field: Field) -> bool:
    """Whether neither side left its half of the base."""
    return field.base is not None and field.base == Base(field.local, field.remote)


def _mirror(field: Field, action: Action) -> Decision:
    """One way: the target's own edit gives way to the source, and goes to the history."""
    before = (
        field.base.remote
        if field.base and action is Action.PUSH
        else field.base.local
        if field.base
        else None
    )
    target = field.remote if action is Action.PUSH else field.local
    return Decision(field.key, action, "mirrored one way", overrides=target not in (None, before))


def _both_ways(field: Field) -> Decision:
    if field.base is None:
        return _first_match(field)
    local_moved = field.local != field.base.local
    remote_moved = field.remote != field.base.remote
    if local_moved and remote_moved:
        return _by_rule(field, field.rule, "changed on both sides")
    if local_moved:
        return Decision(field.key, Action.PUSH, "changed in NPD")
    return Decision(field.key, Action.PULL, "changed on Monday")


def _first_match(field: Field) -> Decision:
    """No base yet: an empty side takes the other's value; two values are a matter of the rule."""
    emptied = field.left_base is not None and field.local != field.left_base.local
    if field.local is None and not emptied:
        return Decision(field.key, Action.PULL, "empty in NPD")
    if field.remote is None and field.local is not None:
        return Decision(field.key, Action.PUSH, "empty on Monday")
    return _by_rule(field, field.first_match, "different when first matched")


def _by_rule(field: Field, rule: FieldRule, reason: str) -> Decision:
    if rule is FieldRule.NPD_WINS:
        return Decision(field.key, Action.PUSH, f"{reason}; NPD wins", overrides=True)
    if rule is FieldRule.MONDAY_WINS:
        return Decision(field.key, Action.PULL, f"{reason}; Monday wins", overrides=True)
    if rule is FieldRule.NEWEST:
        return _by_time(field, reason)
    if rule is FieldRule.UNION:
        return _by_union(field, reason)
    return Decision(field.key, Action.CONFLICT, reason)


def _by_time(field: Field, reason: str) -> Decision:
    """The newer edit wins, where both times are known and far enough apart to be told apart."""
    here, there = field.edited.local, field.edited.remote
    if here is None or there is None:
        side = "in NPD" if here is None else "on Monday"
        return Decision(
            field.key,
            Action.CONFLICT,
            f"{reason}; when it was edited {side} is not known, so a person is asked",
        )
    if abs(here - there) <= APART:
        return Decision(
            field.key, Action.CONFLICT, f"{reason}, within {APART.seconds} seconds, so a person is asked"
        )
    if here > there:
        return Decision(field.key, Action.PUSH, f"{reason}; NPD's edit is the newer one", overrides=True)
    return Decision(field.key, Action.PULL, f"{reason}; Monday's edit is the newer one", overrides=True)


def _by_union(field: Field, reason: str) -> Decision:
    """Lists are united: nothing that a person added gives way; what either side removed goes."""
    try:
        base = (field.base.local, field.base.remote) if field.base else None
        value = united(field.local, field.remote, base)
    except NotLists:
        return Decision(
            field.key, Action.CONFLICT, f"{reason}; only lists can be united, so a person is asked"
        )
    return _write_both(field, value, f"{reason}; united", overrides=False)


def _as_picked(field: Field, picked: Picked) -> Decision:
    if picked.choose == "npd":
        return Decision(field.key, Action.PUSH, "a person chose NPD's value", overrides=True)
    if picked.choose == "monday":
        return Decision(field.key, Action.PULL, "a person chose Monday's value", overrides=True)
    if picked.choose == "base":
        if field.base is None:
            return Decision(field.key, Action.CONFLICT, "no value was ever agreed on")
        return _write_both(field, field.base.local, "a person chose the last agreed value")
    return _write_both(field, picked.value, "a person typed a value")


def _anew(field: Field, value: Canonical) -> Decision:
    if value == field.local == field.remote:
        return Decision(field.key, Action.AGREED, "a person took back a value that stands there again")
    return _write_both(field, value, "a person took back an overwritten value")


def _write_both(field: Field, value: Canonical, reason: str, *, overrides: bool = True) -> Decision:
    if value == field.local:
        return Decision(field.key, Action.PUSH, reason, overrides=overrides)
    if value == field.remote:
        return Decision(field.key, Action.PULL, reason, overrides=overrides)
    return Decision(field.key, Action.BOTH, reason, overrides=overrides, value=value)


def _not_below_required(field: Field, decision: Decision) -> Decision:
    emptied = decision.action is Action.PULL and field.remote is None
    if field.required and (emptied or (decision.action is Action.BOTH and decision.value is None)):
        return Decision(
            field.key,
            Action.HOLD,
            "It was emptied on Monday, but NPD needs a value. Fill it in on either side.",
        )
    return decision
