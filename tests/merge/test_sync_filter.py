"""A filter decides by its conditions alone: the same in any order, and nothing where nothing can be known."""

from hypothesis import given
from hypothesis import strategies as st

from sync.boards.sync_filter import FilterCondition, FilterOp, SyncFilter, condition_holds, elements_of, verdict_of
from sync.merge import Unknown

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
def test_every_condition_has_an_answer_of_every_value_and_none_of_an_unknown_one(
    op: FilterOp, value: object, wanted: frozenset[str]
) -> None:
    found = condition_holds(op, value, wanted, shown)  # type: ignore[arg-type]
    assert (found is None) is isinstance(value, Unknown)


@given(CANONICAL, WANTED)
def test_is_and_is_not_are_opposites_and_so_are_filled_and_empty(
    value: str | tuple[str, ...] | None, wanted: frozenset[str]
) -> None:
    def holds(op: FilterOp) -> bool | None:
        return condition_holds(op, value, wanted, shown)

    assert holds(FilterOp.IS) is not holds(FilterOp.IS_NOT)
    assert holds(FilterOp.FILLED) is not holds(FilterOp.EMPTY)
    assert holds(FilterOp.FILLED) is bool(elements_of(value))


@given(ANSWERS, st.randoms())
def test_the_order_of_conditions_changes_nothing(answers: dict[str, bool | None], chance: object) -> None:
    conditions = [FilterCondition(name, FilterOp.FILLED) for name in answers]
    mixed = list(conditions)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = (verdict_of(found, lambda asked: answers[asked.field]) for found in (conditions, mixed))
    assert one.holds is other.holds


@given(ANSWERS)
def test_one_condition_that_surely_fails_decides_and_what_is_unknown_decides_nothing(
    answers: dict[str, bool | None],
) -> None:
    conditions = [FilterCondition(name, FilterOp.FILLED) for name in answers]
    found = verdict_of(conditions, lambda asked: answers[asked.field])
    if False in answers.values():
        assert found.holds is False
        assert found.because is not None
        assert answers[found.because.field] is False
    elif None in answers.values():
        assert found.holds is None
    else:
        assert found.holds is True


def test_without_a_condition_everything_is_synced() -> None:
    assert verdict_of([], lambda asked: False).holds is True
    assert not SyncFilter.parse({})
    assert SyncFilter.parse(None).to_json() == {}


@given(st.lists(CONDITIONS, max_size=3).map(tuple), st.lists(CONDITIONS, max_size=3).map(tuple))
def test_what_is_stored_is_what_is_read(
    records: tuple[FilterCondition, ...], items: tuple[FilterCondition, ...]
) -> None:
    found = SyncFilter(records, items)
    assert SyncFilter.parse(found.to_json()) == found


def test_a_filter_reads_as_sentences() -> None:
    found = SyncFilter(
        (FilterCondition("role", FilterOp.IS, ("a", "b", "c"), ("A", "B", "C")),),
        (FilterCondition("mail", FilterOp.EMPTY), FilterCondition("group", FilterOp.IS_NOT, ("g",), ("Archive",))),
    )
    assert found.lines({"role": "Role", "mail": "Email"}) == [
        "Records where Role is “A”, “B” or “C”.",
        "Items on Monday where Email is empty and Group is not “Archive”.",
    ]
    assert found.records[0].failure("Role") == "Role is not “A”, “B” or “C”"
