"""Fields that are rewritten again and again by docs/reference/merge/after-a-write.md, from facts alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from conflicts.reports import FieldSelection
from sync.choices import BlockedCode, Cause
from sync.fields.field_values import PassSettings
from sync.models import Intent, WebhookEvent, WriteLoop
from sync.reconcile.facts import PassFacts, RecordFacts
from sync.reconcile.pass_plan import RecordPlan
from sync.reconcile.restraints import THROTTLE_TIME, throttle_write_loops
from tests.decide import builders
from tests.decide.builders import NOW, TOM, after, at, contact, edit, facts, field_plan, history, item, plain, wrote

LIMIT = 3
WRITE = wrote("Boss")


def rewritten(*seconds: float) -> list[dict[str, str]]:
    return [{"at": at(second).isoformat(), "write": f"write {second}"} for second in seconds]


def loop(*seconds: float, **differs: Any) -> WriteLoop:
    """A field that was rewritten at these times."""
    values = {"times": rewritten(*seconds), "by": "Tom"} | differs
    return plain(WriteLoop, entity_type="contact", key="role_title", **values)


def before(
    stored: WriteLoop | None = None, write: Intent | None = WRITE, events: Sequence[WebhookEvent] = (), **differs: Any
) -> RecordFacts:
    loops = {"role_title": stored} if stored else {}
    past = history(loops=loops, intents=[write] if write else [], events=list(events))
    return facts(history=past, **differs)


def throttled(record_facts: RecordFacts, read: str = "AUTOMATIC", limit: int = LIMIT, **differs: Any) -> RecordPlan:
    plans = {"role_title": field_plan(contact(), read, **differs)}
    on = replace(builders.board(), settings=PassSettings(loop_times=limit, people={TOM: {"name": "Tom"}}))
    plan = RecordPlan(record_facts, item(contact(), role_title=read), fields=plans)
    return after(throttle_write_loops, PassFacts(on, NOW), plan)


def planned(*arguments: Any, **differs: Any) -> WriteLoop | None:
    return throttled(*arguments, **differs).fields["role_title"].loop


def is_blocked(plan: RecordPlan) -> bool:
    return plan.fields["role_title"].blocked_code is BlockedCode.THROTTLED


def words(plan: RecordPlan) -> list[str]:
    return [line.sentence for line in plan.log]


def test_nothing_is_made_of_a_field_that_nobody_rewrote() -> None:
    assert planned(before()) is not None
    assert planned(before(write=None)) is None
    assert planned(before(), read="Boss") is None
    assert planned(before(), base=None) is None
    assert planned(before(), base=builders.base("Older")) is None, "the base is not what the write left"


def test_each_of_our_writes_counts_once() -> None:
    counted = loop(times=[{"at": at(-60).isoformat(), "write": str(WRITE.pk)}])
    assert planned(before(counted)) is None


def test_a_rewrite_within_the_hour_is_counted_with_who_did_it() -> None:
    plan = throttled(before(loop(-4_000, -600, by="Ann"), events=(edit("AUTOMATIC"),)))
    counted = plan.fields["role_title"].loop
    assert [entry["write"] for entry in counted.times] == ["write -600", str(WRITE.pk)]
    assert (counted.by, counted.throttled_until, is_blocked(plan), words(plan)) == ("Tom on Monday", None, False, [])
    unheard = planned(before(loop(-600, by="Ann"), events=(edit("AUTOMATIC", column_id="notes"),)))
    assert unheard
    assert unheard.by == "Ann"


@pytest.mark.parametrize(
    ("stored", "limit", "waits"),
    [
        pytest.param(loop(-600), LIMIT, None, id="too seldom"),
        pytest.param(loop(-600, -300), LIMIT, THROTTLE_TIME, id="the third time within an hour: a day"),
        pytest.param(loop(-600, -300), 0, None, id="switched off"),
        pytest.param(loop(throttled_until=at(-60)), LIMIT, THROTTLE_TIME, id="once more after that: another day"),
    ],
)
def test_a_loop_is_throttled_for_a_day(stored: WriteLoop, limit: int, waits: timedelta | None) -> None:
    plan = throttled(before(stored), limit=limit)
    counted = plan.fields["role_title"].loop
    assert counted.throttled_until == (None if waits is None else NOW + waits)
    assert is_blocked(plan) is bool(words(plan)) is (waits is not None)


def test_what_is_throttled_is_not_sent_and_everything_else_goes_on() -> None:
    waits = loop(-600, throttled_until=at(60))
    waiting = throttled(before(waits, write=None))
    assert (waiting.fields["role_title"].loop is waits, words(waiting), is_blocked(waiting)) == (True, [], True)
    assert planned(before(waits, write=None), send_raw=None) is None, "nothing would be sent"
    over = loop(-600, throttled_until=at(-60))
    assert planned(before(over, write=None)) is None, "its pause is over"


RESOLVED = {"resolved_conflict": builders.chosen("role_title", FieldSelection("npd"))}


@pytest.mark.parametrize(
    ("record_facts", "read", "differs"),
    [
        pytest.param(before(loop(-60), cause=Cause.PERSON), "AUTO", {}, id="a person asked"),
        pytest.param(before(loop(-60)), "AUTO", RESOLVED, id="a person resolved a conflict"),
        pytest.param(before(loop(-3_700)), "Boss", {}, id="it was quiet for an hour"),
    ],
)
def test_it_ends(record_facts: RecordFacts, read: str, differs: dict[str, Any]) -> None:
    plan = throttled(record_facts, read, **differs)
    assert (plan.fields["role_title"].loop.times, is_blocked(plan), words(plan)) == ([], False, [])
    assert planned(before(loop(-3_500)), read="Boss") is None, "not yet"
