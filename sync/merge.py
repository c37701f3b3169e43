"""The three-way merge of one field: a pure function of its base, both sides' values and its rules.

The base is the pair of values when both sides last agreed. NPD's value is compared with the base's NPD half, Monday's
with its Monday half. All values here are canonical: monday/columns decides which ones count as equal. The merge gets no
unknown value, but a text that equals no other in place of one that it overwrites; FieldSides also serves callers that
have some.

reconcile/field_plan.py calls it for fields with known values that may have changed. Then it looks at relations that
name the same record, and at values that a side can't take.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sync.choices import Rule, SyncDirection
from sync.words.message import Message

# A value in the form that is compared; None is empty.
Canonical = str | tuple[str, ...] | None

# The reason why a field with the direction “none” is left as it is; “Sync off” is what people choose.
NO_SYNC = Message("direction_off")

# The reason of a conflict about which nothing more is known.
BOTH_CHANGED = Message("changed_on_both")

# The reasons of nearly all decisions, made once.
_CHANGED_IN_NPD = Message("changed_in_npd")
_CHANGED_ON_MONDAY = Message("changed_on_monday")

# NPD's and Monday's clocks may differ by this, so that closer edits have no certain order.
CLOCK_TOLERANCE = timedelta(seconds=5)


@dataclass(frozen=True, eq=False)
class Unknown:
    """A value that isn't known, and why. It is not empty, and equals nothing."""

    reason: str = ""


Side = Canonical | Unknown


@dataclass
class FieldSides:
    """A field's values on both sides, compared with its base.

    Without a base, each side counts as changed if it has a value. A value that isn't known has neither changed nor
    stayed, and is neither equal to another value nor different from it. `unchanged` is False without a base.
    """

    local: Side
    remote: Side
    base: tuple[Side, Side] | None = None

    @property
    def local_changed(self) -> bool:
        """Whether NPD's value differs from its half of the base."""
        return _differ(self.local, self.base[0] if self.base else None)

    @property
    def remote_changed(self) -> bool:
        """Whether Monday's value differs from its half of the base."""
        return _differ(self.remote, self.base[1] if self.base else None)

    @property
    def local_unchanged(self) -> bool:
        return self.base is not None and _are_equal(self.local, self.base[0])

    @property
    def unchanged(self) -> bool:
        return self.local_unchanged and self.base is not None and _are_equal(self.remote, self.base[1])

    @property
    def equal(self) -> bool:
        return _are_equal(self.local, self.remote)

    @property
    def differ(self) -> bool:
        return _differ(self.local, self.remote)


def _are_known(value: Side, other: Side) -> bool:
    return not (isinstance(value, Unknown) or isinstance(other, Unknown))


def _are_equal(value: Side, other: Side) -> bool:
    return _are_known(value, other) and value == other


def _differ(value: Side, other: Side) -> bool:
    return _are_known(value, other) and value != other


class Action(StrEnum):
    """What to do with a field."""

    # Both sides and the base stay as they are.
    NOTHING = "nothing"
    # Neither side is written, and their values become the base.
    AGREED = "agreed"
    # NPD's value is written to Monday.
    PUSH = "push"
    # Monday's value is written to NPD.
    PULL = "pull"
    # A third value is written to both sides: the base, merged lists, or a person's own.
    BOTH = "both"
    # Both sides changed, and a person decides.
    CONFLICT = "conflict"
    # A value or the column can't be read, so there was nothing to compare.
    UNDECIDED = "undecided"


class Values(NamedTuple):
    """A field's values on both sides at one time."""

    local: Canonical
    remote: Canonical


@dataclass(frozen=True)
class EditTimes:
    """When the field got its current value on each side, by that side's clock; None if unknown."""

    local: datetime | None = None
    remote: datetime | None = None


NOT_KNOWN = EditTimes()


@dataclass
class Field(FieldSides):
    """Everything on which the decision about one field depends."""

    local: Canonical
    remote: Canonical
    base: Values | None = None
    direction: SyncDirection = SyncDirection.BIDIRECTIONAL  # which both the record's and the mapping's allow
    rule: Rule = Rule.ASK
    first_match: Rule = Rule.ASK  # the rule if there is no base and both sides have values
    # A person emptied it in NPD after its last sync, which was with a former column or item. The value of the present
    # one must not refill it.
    emptied_since_old_base: bool = False
    choice: str = ""  # a person's, for the current values: npd, monday, base or custom
    chosen_value: Canonical = None  # of the choice “custom”, or the value to restore
    # If set, `chosen_value` is written to both sides even if neither changed, because it was lost on one.
    restore_reason: Message | None = None
    edited: EditTimes = NOT_KNOWN  # for the rule “newest”


@dataclass(frozen=True)
class FieldDecision:
    """What to do with a field, and why."""

    action: Action
    reason: str = ""  # a message, if there is one
    overrides: bool = False  # a person's value is overwritten
    value: Canonical = None  # of BOTH: the value to write
    is_ordinary_pull: bool = False  # only Monday changed, so the activity needs no reason


def decide_field(field: Field) -> FieldDecision:
    """Return what to do with a field, if both sides can take the values."""
    if field.direction is SyncDirection.NONE:
        return FieldDecision(Action.NOTHING, NO_SYNC)
    # Before the base is compared, because both sides may lack the restored value and be unchanged.
    if field.restore_reason and field.direction is SyncDirection.BIDIRECTIONAL:
        if field.chosen_value == field.local == field.remote:
            return FieldDecision(Action.AGREED, Message("both_have_it_again", reason=field.restore_reason))
        return _give_both_sides(field, field.chosen_value, field.restore_reason)
    if field.unchanged:
        return FieldDecision(Action.NOTHING)
    # Both sides have the same value, so only the base changes.
    if field.local == field.remote:
        return FieldDecision(Action.AGREED)
    # A one-way field ignores a person's choice: its source always wins.
    if field.direction is not SyncDirection.BIDIRECTIONAL:
        return _decide_one_way(field)
    return _apply_choice(field) if field.choice else _decide_both_ways(field)


def _decide_one_way(field: Field) -> FieldDecision:
    """Overwrite the target by the source; the target's own edit is kept in the history."""
    base = field.base or Values(None, None)
    if field.direction is SyncDirection.NPD_TO_MONDAY:
        action = Action.PUSH
        source = field.local
        target = field.remote
        target_before = base.remote
        was_emptied = field.emptied_since_old_base
    else:
        action = Action.PULL
        source = field.remote
        target = field.local
        target_before = base.local
        was_emptied = False
    # With a new column or a new link, an empty source is one that nobody emptied, so it clears nothing.
    if source is None and field.base is None and not was_emptied:
        return FieldDecision(Action.AGREED, Message("source_never_had_value"))
    # The target's edit is reported as overwritten, unless it emptied the target: then no value is lost.
    overrides = target is not None and target != target_before
    return FieldDecision(action, Message("mirrored_one_way"), overrides=overrides)


def _decide_both_ways(field: Field) -> FieldDecision:
    """Decide by the rule if both sides changed; without a base an empty side takes the other's value."""
    if field.base is not None:
        if field.local_changed and field.remote_changed:
            return _decide_by_rule(field, field.rule, BOTH_CHANGED)
        if field.local_changed:
            return FieldDecision(Action.PUSH, _CHANGED_IN_NPD)
        return FieldDecision(Action.PULL, _CHANGED_ON_MONDAY, is_ordinary_pull=True)
    if field.local is None and not field.emptied_since_old_base:
        return FieldDecision(Action.PULL, Message("empty_in_npd"))
    if field.remote is None:
        return FieldDecision(Action.PUSH, Message("empty_on_monday"))
    return _decide_by_rule(field, field.first_match, Message("different_when_matched"))


def _decide_by_rule(field: Field, rule: Rule, reason: Message) -> FieldDecision:
    if rule is Rule.NPD_WINS:
        return FieldDecision(Action.PUSH, Message("npd_wins_by_rule", reason=reason), overrides=True)
    if rule is Rule.MONDAY_WINS:
        return FieldDecision(Action.PULL, Message("monday_wins_by_rule", reason=reason), overrides=True)
    if rule is Rule.NEWEST:
        return _decide_by_time(field, reason)
    if rule is Rule.UNION:
        base = field.base or Values(None, None)
        values = (field.local, field.remote, base.local, base.remote)
        if any(isinstance(value, str) for value in values):
            return FieldDecision(Action.CONFLICT, Message("only_lists_merged", reason=reason))
        # All elements of both sides, without what either removed from its half of the base.
        local, remote, base_local, base_remote = (frozenset(value or ()) for value in values)
        added = (local - base_local) | (remote - base_remote)
        removed = (base_local - local) | (base_remote - remote)
        # An element that was added on one side and removed on the other stays.
        united = tuple(sorted(((local | remote) - removed) | added)) or None
        return _give_both_sides(field, united, Message("lists_merged", reason=reason), overrides=False)
    return FieldDecision(Action.CONFLICT, reason)


def _decide_by_time(field: Field, reason: Message) -> FieldDecision:
    """Let the newer edit win if both times are known and far enough apart."""
    local_time = field.edited.local
    remote_time = field.edited.remote
    if local_time is None or remote_time is None:
        side = Message("in_npd" if local_time is None else "on_monday")
        return FieldDecision(Action.CONFLICT, Message("edit_time_unknown", reason=reason, side=side))
    if abs(local_time - remote_time) <= CLOCK_TOLERANCE:
        why = Message("edited_too_close", reason=reason, seconds=CLOCK_TOLERANCE.seconds)
        return FieldDecision(Action.CONFLICT, why)
    if local_time > remote_time:
        return FieldDecision(Action.PUSH, Message("npd_edit_newer", reason=reason), overrides=True)
    return FieldDecision(Action.PULL, Message("monday_edit_newer", reason=reason), overrides=True)


def _apply_choice(field: Field) -> FieldDecision:
    if field.choice == "npd":
        return FieldDecision(Action.PUSH, Message("person_chose_npd"), overrides=True)
    if field.choice == "monday":
        return FieldDecision(Action.PULL, Message("person_chose_monday"), overrides=True)
    if field.choice == "base":
        assert field.base is not None, "resolutions.py rejects this choice without a base"
        return _give_both_sides(field, field.base.local, Message("person_chose_base"))
    return _give_both_sides(field, field.chosen_value, Message("person_typed"))


def _give_both_sides(field: Field, value: Canonical, reason: Message, *, overrides: bool = True) -> FieldDecision:
    """Decide to write the value to each side that doesn't have it yet."""
    if value == field.local:
        return FieldDecision(Action.PUSH, reason, overrides=overrides)
    if value == field.remote:
        return FieldDecision(Action.PULL, reason, overrides=overrides)
    return FieldDecision(Action.BOTH, reason, overrides=overrides, value=value)
