"""Unanswered intents by docs/reference/merge/after-a-write.md, from facts alone."""

from typing import Any

import pytest

from sync.fields.field_bases import AS_SENT
from sync.models import Intent, IntentState, WebhookEvent
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_plan import decide_fields
from sync.reconcile.our_writes import bases_of_creates, bases_of_late_writes, take_bases
from tests.decide import builders
from tests.decide.builders import (
    NPD_ID_COLUMN,
    TOKEN_USER,
    after,
    at,
    base,
    contact,
    created,
    draft,
    edit,
    history,
    item,
    roles,
    values_of,
    wrote,
)

# --- late writes ------------------------------------------------------------------------------------------


def void(sent: str, **differs: Any) -> Intent:
    return wrote(sent, seconds=-7_200, **{"state": IntentState.VOID, "settled_at": at(-7_000)} | differs)


OURS = {"user_id": TOKEN_USER}
DONE = {"state": IntentState.APPLIED, "answer": {"role_title": "First"}}
SWALLOWED = void("First", state=IntentState.APPLIED, answer={"role_title": "Old"})
OTHER_ITEM, OTHER_COLUMN, UNITED = {"item_id": "8"}, {"entry": {"column": "old"}}, {"entry": {"united": True}}


@pytest.mark.parametrize(
    ("intents", "local", "remote", "agreed", "expected"),
    [
        pytest.param([void("First")], "Second", "First", "Second", {"role_title": "First"}, id="it landed hours later"),
        pytest.param([void("First")], "Second", "Second", "Second", {}, id="it never landed"),
        pytest.param([void("First")], "Second", "Theirs", "Second", {}, id="somebody wrote another value"),
        pytest.param([void("First")], "First", "First", "Old", {}, id="NPD says so, too: they agree"),
        pytest.param([void("First")], "Second", "First", "First", {}, id="it stood when both agreed"),
        pytest.param([void("First")], "Second", "First", None, {}, id="without a base nothing is known"),
        pytest.param([SWALLOWED], "Second", "First", "Second", {"role_title": "First"}, id="its answer said it hadn't"),
        pytest.param([SWALLOWED], "Second", "First", None, {"role_title": "First"}, id="a create's answer, without it"),
        pytest.param([void("First", **DONE)], "Second", "First", "Second", {}, id="its answer showed it"),
        pytest.param([void("First", **OTHER_ITEM)], "Second", "First", "Second", {}, id="it was about another item"),
        pytest.param([void("First", **OTHER_COLUMN)], "Second", "First", "Second", {}, id="it was another column"),
        pytest.param([void("First", **UNITED)], "Second", "First", "Second", {}, id="a united list is merged"),
    ],
)
def test_a_write_thought_to_have_come_to_nothing_is_known_as_ours(
    intents: list[Intent], local: str, remote: str, agreed: str | None, expected: dict[str, str]
) -> None:
    record = contact(role_title=local)
    sync_state = {"base": {"role_title": base(agreed)} if agreed else {}}
    past = history(intents=intents)
    before = draft(record, item=item(record, role_title=remote), sync_state=sync_state, history=past)
    plan = after(take_bases, PassFacts(builders.board(), builders.NOW), before)
    new_bases = {key: new for key, new in plan.sync_state.base.items() if new != before.sync_state.base.get(key)}
    assert values_of(new_bases) == expected


@pytest.mark.parametrize(
    ("events", "user", "is_ours"),
    [
        pytest.param([], TOKEN_USER, True, id="nobody told of it"),
        pytest.param([edit("First", user_id=None)], TOKEN_USER, True, id="its event names nobody"),
        pytest.param([edit("First")], TOKEN_USER, False, id="its event names another user"),
        pytest.param([edit("First")], "", True, id="as whom we write isn't known"),
        pytest.param([edit("Other")], TOKEN_USER, True, id="another value's event says nothing of it"),
        pytest.param(
            [edit("First", **OURS, seconds=-10), edit("First", seconds=-20)], TOKEN_USER, True, id="the newest counts"
        ),
    ],
)
def test_unless_an_event_names_another_user(events: list[WebhookEvent], user: str, is_ours: bool) -> None:
    record = contact(role_title="Second")
    before = history(intents=[void("First")], events=events, token_user=user)
    sync_state = {"base": {"role_title": base("Second")}}
    plan = draft(record, item=item(record, role_title="First"), sync_state=sync_state, history=before)
    assert bool(bases_of_late_writes(builders.board(), plan)) is is_ours


# --- what a create without an answer left ---------------------------------------------------------------------------


LINKED = {"state": IntentState.OPEN, "item_id": builders.ITEM}
BY_TOM = {"events": [edit("x", type="create_pulse")]}
TYPED = {"events": [edit("x", column_id=NPD_ID_COLUMN)]}
BY_US = {"events": [edit("x", type="create_pulse", **OURS)]}


@pytest.mark.parametrize(
    ("creates", "remote", "before", "expected"),
    [
        pytest.param([created("Boss")], "Boss", {}, "Boss", id="the cell says what was sent"),
        pytest.param([created("Boss")], "Theirs", {}, "Boss as sent", id="somebody edited it since"),
        pytest.param([created("First"), created("Boss")], "Theirs", {}, None, id="which of two made it isn't known"),
        pytest.param([wrote("Boss", state=IntentState.VOID, item_id="")], "Boss", {}, None, id="it was no create"),
        pytest.param([created("Boss", **LINKED)], "Boss", BY_TOM, "Boss", id="it was linked with this item"),
        pytest.param([created("Boss", **LINKED | {"item_id": "8"})], "Boss", {}, None, id="it was linked with another"),
        pytest.param([created("Boss")], "Boss", BY_TOM, None, id="somebody else made the item"),
        pytest.param([created("Boss")], "Boss", BY_US, "Boss", id="we made the item"),
        pytest.param([created("Boss")], "Boss", BY_TOM | {"token_user": ""}, "Boss", id="who we are isn't known"),
        pytest.param([created("Boss")], "Boss", TYPED, None, id="its NPD ID was typed into it"),
        pytest.param([created("Boss")], "Boss", {"intents": [wrote("x")]}, None, id="a change met it without a base"),
        pytest.param(
            [created("Boss")],
            "Boss",
            {"intents": [wrote("x", entry={"base": {"local": {}}})]},
            "Boss",
            id="with its base",
        ),
        pytest.param([created("Boss", entry={"version": 0})], "Boss", {}, None, id="it has another column since"),
    ],
)
def test_what_a_create_gave_its_item(
    creates: list[Intent], remote: str, before: dict[str, Any], expected: str | None
) -> None:
    record = contact()
    intents = [*creates, *before.get("intents", ())]
    events = before.get("events", ())
    before = {key: value for key, value in before.items() if key != "events"}
    plan = draft(record, item=item(record, role_title=remote), history=history(**before | {"intents": intents}))
    facts = PassFacts(builders.board(only=["role_title"]), builders.NOW, events={builders.ITEM: events})
    bases = {
        key: values_of({key: entry})[key] + " as sent" * (AS_SENT in entry)
        for key, entry in bases_of_creates(facts, plan).items()
    }
    assert bases == ({"role_title": expected} if expected else {})


def test_who_made_the_item_changes_nothing_of_whose_a_late_write_is() -> None:
    """The creator, read only for fields without a base, may be unknown; the user as whom we write is known."""
    record = contact(role_title="Second")
    plan = draft(
        record,
        item=item(record, role_title="First"),
        sync_state={"base": {"role_title": base("Second")}},
        history=history(intents=[void("First"), created("First")], events=[edit("First")]),
    )
    on = builders.board(only=["role_title"])
    pass_facts = PassFacts(on, builders.NOW, records=(plan.facts,))
    assert after(take_bases, pass_facts, plan).sync_state.base == plan.sync_state.base, "Tom wrote it"


@pytest.mark.parametrize(("agreed", "is_sent"), [("before that", False), ("since", True)])
def test_what_monday_took_twice_without_storing_it_is_sent_again_once_both_sides_have_agreed_since(
    agreed: str, is_sent: bool
) -> None:
    agreed_at = at(-10 if is_sent else -7_200).isoformat()
    in_vain = [wrote("Boss", seconds=seconds, answer={"role_title": "Old"}) for seconds in (-90, -80)]
    state = {"base": {"role_title": base("Old", at=agreed_at)}}
    case = roles("Boss", "Old", sync_state=state, history=history(intents=in_vain))
    assert bool(decide_fields(case.of_pass, case.plan)["role_title"].send_raw) is is_sent, agreed
