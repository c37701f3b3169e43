"""Laws of the merge that hold for all values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from sync.choices import Rule, SyncDirection
from sync.fields.sync_filter import FilterCondition, FilterOp, SyncFilter, condition_holds, elements_of, verdict_of
from sync.merge import CLOCK_TOLERANCE, Action, EditTimes, Field, Unknown, Values, decide_field

values = st.none() | st.sampled_from(["a", "b", "c"])
bases = st.none() | st.builds(Values, values, values)
rules = st.sampled_from(Rule)
moments = st.none() | st.integers(0, 20).map(lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
fields = st.builds(
    Field,
    local=values,
    remote=values,
    base=bases,
    direction=st.sampled_from(SyncDirection),
    rule=rules,
    first_match=rules,
    edited=st.builds(EditTimes, moments, moments),
)
two_way = st.builds(Field, local=values, remote=values, base=bases)
lists = st.frozensets(st.sampled_from("abcde")).map(lambda members: tuple(sorted(members)) or None)
unions = st.builds(
    Field,
    local=lists,
    remote=lists,
    base=st.none() | st.builds(Values, lists, lists),
    rule=st.just(Rule.UNION),
    first_match=st.just(Rule.UNION),
)


def applied(field: Field) -> Field:
    """Both sides and the base after the decision was carried out."""
    decision = decide_field(field)
    if decision.action is Action.PUSH:
        return replace(field, remote=field.local, base=Values(field.local, field.local))
    if decision.action is Action.PULL:
        return replace(field, local=field.remote, base=Values(field.remote, field.remote))
    if decision.action is Action.BOTH:
        value = decision.value
        return replace(field, local=value, remote=value, base=Values(value, value))
    if decision.action is Action.AGREED:
        return replace(field, base=Values(field.local, field.remote))
    return field


def mirrored(field: Field) -> Field:
    return replace(
        field,
        local=field.remote,
        remote=field.local,
        base=field.base and Values(field.base.remote, field.base.local),
        edited=EditTimes(field.edited.remote, field.edited.local),
    )


@given(fields | unions)
def test_a_merge_carried_out_has_nothing_more_to_do(field: Field) -> None:
    after = applied(field)
    again = decide_field(after)
    assert again.action in (Action.NOTHING, Action.CONFLICT)
    assert applied(after) == after


@given(values, bases, rules)
def test_equal_sides_are_never_written(value: str | None, base: Values | None, rule: Rule) -> None:
    decision = decide_field(Field(value, value, base, rule=rule, first_match=rule))
    assert decision.action in (Action.NOTHING, Action.AGREED)


SWAP = {Action.PUSH: Action.PULL, Action.PULL: Action.PUSH}


@given(two_way)
def test_the_merge_is_symmetric(field: Field) -> None:
    """If a person is asked about clashes, exchanging the sides only exchanges push and pull."""
    action = decide_field(field).action
    assert decide_field(mirrored(field)).action is SWAP.get(action, action)


@given(fields)
def test_nothing_is_written_against_a_direction(field: Field) -> None:
    action = decide_field(field).action
    if field.direction in (SyncDirection.NPD_TO_MONDAY, SyncDirection.NONE):
        assert action not in (Action.PULL, Action.BOTH)
    if field.direction in (SyncDirection.MONDAY_TO_NPD, SyncDirection.NONE):
        assert action not in (Action.PUSH, Action.BOTH)


@given(fields.map(lambda field: replace(field, base=None, emptied_since_old_base=False)))
def test_where_nothing_was_agreed_yet_an_empty_side_clears_nothing(field: Field) -> None:
    """In a new column or a pair just linked nobody emptied the source, even if it syncs one way."""
    assume(None in (field.local, field.remote))
    after = applied(field)
    assert {field.local, field.remote} - {None} <= {after.local, after.remote}


@given(two_way)
def test_a_value_that_only_one_side_wrote_is_never_lost(field: Field) -> None:
    """If people are asked about clashes, a value that left its half of the base is kept or waits in a conflict."""
    before = {field.local} - {field.base.local if field.base else None}
    before |= {field.remote} - {field.base.remote if field.base else None}
    decision, after = decide_field(field), applied(field)
    if decision.action is not Action.CONFLICT:
        assert before - {None} <= {after.local, after.remote}


@given(fields)
def test_a_merge_invents_no_value(field: Field) -> None:
    after = applied(field)
    assert {after.local, after.remote} <= {field.local, field.remote}


@given(values, values, values.map(lambda value: Values(value, value)), st.sampled_from(Rule))
def test_a_rule_decides_clashes_and_nothing_else(
    local: str | None, remote: str | None, base: Values, rule: Rule
) -> None:
    unruled = decide_field(Field(local, remote, base))
    ruled = decide_field(Field(local, remote, base, rule=rule))
    if unruled.action is not Action.CONFLICT:
        assert ruled == unruled


@given(fields)
def test_the_winning_side_stands_on_both_sides_and_the_other_value_is_said_to_be_overridden(field: Field) -> None:
    decision = decide_field(replace(field, direction=SyncDirection.BIDIRECTIONAL))
    if decision.overrides:
        assert decision.action in (Action.PUSH, Action.PULL)
        assert field.local != field.remote


@given(
    fields.map(
        lambda field: replace(field, rule=Rule.NEWEST, first_match=Rule.NEWEST, direction=SyncDirection.BIDIRECTIONAL)
    )
)
def test_newest_takes_the_later_edit_or_asks(field: Field) -> None:
    here, there = field.edited.local, field.edited.remote
    decision = decide_field(field)
    unruled = decide_field(replace(field, rule=Rule.ASK, first_match=Rule.ASK))
    if unruled.action is not Action.CONFLICT:
        assert decision == unruled
    elif here is None or there is None or abs(here - there) <= CLOCK_TOLERANCE:
        assert decision.action is Action.CONFLICT
    else:
        assert decision.action is (Action.PUSH if here > there else Action.PULL)


# --- union ----------------------------------------------------------------------------------------------------------


def elements(value: object) -> set[str]:
    return set(value) if isinstance(value, tuple) else set()


@given(unions)
def test_a_union_loses_nothing_that_was_added_and_keeps_nothing_that_was_removed(field: Field) -> None:
    after = applied(field)
    assert after.local == after.remote or decide_field(field).action is Action.NOTHING
    old = field.base or Values(None, None)
    added = (elements(field.local) - elements(old.local)) | (elements(field.remote) - elements(old.remote))
    removed = (elements(old.local) - elements(field.local)) | (elements(old.remote) - elements(field.remote))
    if decide_field(field).reason.endswith("lists merged"):
        assert added <= elements(after.local)
        assert not (removed - added) & elements(after.local)


@given(unions)
def test_a_union_holds_only_what_one_of_the_sides_holds(field: Field) -> None:
    after = applied(field)
    assert elements(after.local) <= elements(field.local) | elements(field.remote)


@given(unions)
def test_a_union_is_symmetric(field: Field) -> None:
    assert elements(applied(field).local) == elements(applied(mirrored(field)).remote)


@given(unions)
def test_a_union_overrides_nobody_and_never_asks(field: Field) -> None:
    decision = decide_field(field)
    assert not decision.overrides
    assert decision.action is not Action.CONFLICT


TEXTS = st.text(max_size=5)
CANONICAL = st.one_of(st.none(), st.text(min_size=1, max_size=5), st.lists(TEXTS, min_size=1, max_size=3).map(tuple))
SIDES = st.one_of(CANONICAL, st.builds(Unknown))
WANTED = st.frozensets(TEXTS, max_size=3)
ANSWERS = st.dictionaries(TEXTS, st.sampled_from([True, False, None]), max_size=6)
CONDITIONS = st.builds(
    FilterCondition,
    TEXTS,
    st.sampled_from(FilterOp),
    st.lists(TEXTS, max_size=3).map(tuple),
    st.lists(TEXTS, max_size=3).map(tuple),
)


def shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "")


@given(st.sampled_from(FilterOp), SIDES, WANTED)
def test_every_condition_answers_every_known_value(op: FilterOp, value: object, wanted: frozenset[str]) -> None:
    answer = condition_holds(op, value, wanted, shown)  # type: ignore[arg-type]
    assert (answer is None) is isinstance(value, Unknown)


@given(CANONICAL, WANTED)
def test_is_and_filled_have_their_opposites(value: str | tuple[str, ...] | None, wanted: frozenset[str]) -> None:
    def holds(op: FilterOp) -> bool | None:
        return condition_holds(op, value, wanted, shown)

    assert holds(FilterOp.IS) is not holds(FilterOp.IS_NOT)
    assert holds(FilterOp.FILLED) is not holds(FilterOp.EMPTY)
    assert holds(FilterOp.FILLED) is bool(elements_of(value))


@given(ANSWERS)
def test_one_failed_condition_decides_and_an_unknown_one_decides_nothing(answers: dict[str, bool | None]) -> None:
    conditions = [FilterCondition(name, FilterOp.FILLED) for name in answers]
    verdict = verdict_of(conditions, lambda condition: answers[condition.field])
    if False in answers.values():
        assert verdict.holds is False
        assert verdict.because is not None
        assert answers[verdict.because.field] is False
    elif None in answers.values():
        assert verdict.holds is None
    else:
        assert verdict.holds is True


def test_without_a_condition_everything_is_synced() -> None:
    assert verdict_of([], lambda condition: False).holds is True
    assert not SyncFilter.parse({})
    assert SyncFilter.parse(None).to_json() == {}


@given(st.lists(CONDITIONS, max_size=3).map(tuple), st.lists(CONDITIONS, max_size=3).map(tuple))
def test_what_is_stored_is_read(records: tuple[FilterCondition, ...], items: tuple[FilterCondition, ...]) -> None:
    sync_filter = SyncFilter(records, items)
    assert SyncFilter.parse(sync_filter.to_json()) == sync_filter
