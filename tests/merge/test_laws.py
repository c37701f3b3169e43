"""Laws of the merge that hold for all values."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sync.merge import Action, Base, Field, FieldRule, Way, decide, merge

values = st.none() | st.sampled_from(["a", "b", "c"])
bases = st.none() | st.builds(Base, values, values)
rules = st.sampled_from(FieldRule)
fields = st.builds(
    Field,
    key=st.just("f"),
    local=values,
    remote=values,
    base=bases,
    way=st.sampled_from(Way),
    rule=rules,
    first_match=rules,
)
two_way = st.builds(Field, key=st.just("f"), local=values, remote=values, base=bases)


def applied(field: Field) -> Field:
    """Both sides and the base after the decision has been carried out."""
    decision = decide(field)
    if decision.action is Action.PUSH:
        return replace(field, remote=field.local, base=Base(field.local, field.local))
    if decision.action is Action.PULL:
        return replace(field, local=field.remote, base=Base(field.remote, field.remote))
    if decision.action is Action.AGREED:
        return replace(field, base=Base(field.local, field.remote))
    return field


@given(fields)
def test_a_merge_carried_out_has_nothing_more_to_do(field: Field) -> None:
    after = applied(field)
    again = decide(after)
    assert again.action in (Action.NOTHING, Action.CONFLICT, Action.HOLD)
    assert applied(after) == after


@given(values, bases, rules)
def test_equal_sides_are_never_written(value: str | None, base: Base | None, rule: FieldRule) -> None:
    decision = decide(Field("f", value, value, base, rule=rule, first_match=rule))
    assert decision.action in (Action.NOTHING, Action.AGREED)


@given(two_way)
def test_the_merge_is_symmetric(field: Field) -> None:
    """Where a person is asked about clashes, exchanging the sides exchanges push and pull, and nothing else."""
    mirrored = replace(
        field,
        local=field.remote,
        remote=field.local,
        base=field.base and Base(field.base.remote, field.base.local),
    )
    swap = {Action.PUSH: Action.PULL, Action.PULL: Action.PUSH}
    action = decide(field).action
    assert decide(mirrored).action is swap.get(action, action)


@given(fields)
def test_nothing_is_written_against_a_direction(field: Field) -> None:
    action = decide(field).action
    if field.way in (Way.TO_MONDAY, Way.NONE):
        assert action not in (Action.PULL, Action.BOTH)
    if field.way in (Way.TO_NPD, Way.NONE):
        assert action not in (Action.PUSH, Action.BOTH)


@given(two_way)
def test_a_value_that_only_one_side_wrote_is_never_lost(field: Field) -> None:
    """Asked about clashes, a value that left its half of the base stands afterwards, or waits in a conflict."""
    before = {field.local} - {field.base.local if field.base else None}
    before |= {field.remote} - {field.base.remote if field.base else None}
    decision, after = decide(field), applied(field)
    if decision.action is not Action.CONFLICT:
        assert before - {None} <= {after.local, after.remote}


@given(fields)
def test_a_merge_invents_no_value(field: Field) -> None:
    after = applied(field)
    assert {after.local, after.remote} <= {field.local, field.remote}


@given(st.lists(values, min_size=2, max_size=2), bases)
def test_fields_are_decided_each_by_itself(sides: list[str | None], base: Base | None) -> None:
    one, other = Field("one", sides[0], sides[1], base), Field("other", sides[1], sides[0], base)
    assert merge([one, other]) == merge([other, one])
