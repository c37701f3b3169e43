"""Lost updates by docs/reference/merge/after-a-write.md, from facts alone."""

from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from conflicts.reports import ConflictKind, ConflictReport, FieldSelection, OpenConflict
from npd.models import Contact
from sync.fields.field_bases import AS_SENT
from sync.fields.field_values import PassSettings
from sync.merge import Action
from sync.models import Intent, IntentState, WebhookEvent
from sync.monday.conversion import Converter, UnknownValue
from sync.reconcile.change_events import event_value
from sync.reconcile.conflict_reports import report_of_overwritten
from sync.reconcile.facts import PassFacts, RecordFacts
from sync.reconcile.lost_updates import confirm_lost_updates, find_lost_updates, keep_lost_updates, note_lost_updates
from sync.reconcile.missing.deleted_records import take_lines_and_landed_intents
from sync.reconcile.outcomes import Ending, Outcome
from sync.reconcile.pass_plan import FieldPlan, LostUpdate, Plan, RecordPlan, Removal
from sync.reconcile.resolutions import STALE_RESOLUTION
from sync.words.message import Message
from tests.decide import builders
from tests.decide.builders import (
    NOW,
    TOKEN_USER,
    TOM,
    after,
    at,
    base,
    changed,
    contact,
    created,
    deletion,
    draft,
    edit,
    facts,
    field_plan,
    item,
    seen,
    taken,
    wrote,
)
from tests.decide.plan_builders import World

# Events by the user as whom we write.
OURS = {"user_id": TOKEN_USER}
NO_ANSWER = {"state": IntentState.CONFIRMED}
SWALLOWED = {"answer": {"role_title": "Old"}}


def lost(events: list[WebhookEvent], writes: list[Intent], **sync_state: Any) -> list[Any]:
    record_facts = facts(history=builders.history(events=events, intents=writes), sync_state=sync_state)
    return [
        update.value for update in after(note_lost_updates, builders.board(), RecordPlan(record_facts)).lost_updates
    ]


OUR_ECHO = edit("Boss", seconds=-59, **OURS)
# Somebody's edit between our read and our write.
HASTY = edit("Theirs", seconds=-60.5)
OVER_THEIRS = edit("Boss", "Theirs", seconds=-59, **OURS)
FIRST_WRITE = wrote("Boss")
MADE = created("Boss", item_id=builders.ITEM, state=IntentState.APPLIED)


@pytest.mark.parametrize(
    ("events", "writes", "expected"),
    [
        pytest.param([OUR_ECHO], [FIRST_WRITE], [], id="our own echo replaced what we had read"),
        pytest.param([OVER_THEIRS], [FIRST_WRITE], ["Theirs"], id="our own event replaced what we had not read"),
        pytest.param([HASTY], [FIRST_WRITE], ["Theirs"], id="somebody's value that no pass saw, just before our write"),
        pytest.param([HASTY, OVER_THEIRS], [FIRST_WRITE], ["Theirs"], id="both events tell of one lost value"),
        pytest.param(
            [edit("First", seconds=-60.8), edit("Second", "First", seconds=-60.5)],
            [FIRST_WRITE],
            ["Second"],
            id="replaced before our write",
        ),
        pytest.param([edit("Theirs", seconds=-700)], [FIRST_WRITE], [], id="our read came long after the edit"),
        pytest.param(
            [edit("Theirs", seconds=-300)],
            [wrote("Boss", entry={"read_at": at(-301).isoformat()})],
            ["Theirs"],
            id="read before the edit",
        ),
        pytest.param([edit("Theirs", "Boss", seconds=-30)], [FIRST_WRITE], [], id="the edit came after our write"),
        pytest.param(
            [edit("Theirs", "Boss", seconds=-59.5)], [FIRST_WRITE], [], id="it replaced our write, whose event is late"
        ),
        pytest.param(
            [edit("Theirs", "Boss", seconds=-60.5)],
            [wrote("Boss", seconds=-63), FIRST_WRITE],
            ["Theirs"],
            id="it replaced our first write, and our second one, of the same value, went over it",
        ),
        pytest.param([edit("Theirs", seconds=-58)], [MADE], [], id="the item was edited seconds after we had made it"),
        pytest.param([edit("Theirs", seconds=-60.5, is_new=False)], [FIRST_WRITE], [], id="it was checked before"),
        pytest.param([HASTY], [wrote("Boss", "Theirs")], [], id="our pass had read the value"),
        pytest.param(
            [edit("Boss", "First", seconds=-59, **OURS)],
            [wrote("First", seconds=-400, **NO_ANSWER), FIRST_WRITE],
            [],
            id="what we replaced was a late landing of our own",
        ),
        pytest.param(
            [edit("First", seconds=-60.5), edit("Boss", "First", seconds=-59, **OURS)],
            [wrote("First", seconds=-400, state=IntentState.VOID), FIRST_WRITE],
            ["First"],
            id="another user wrote what a write of ours, found void, had sent",
        ),
        pytest.param(
            [edit("Boss", "?", seconds=-59, **OURS), HASTY], [FIRST_WRITE], ["Theirs"], id="nothing before told"
        ),
        pytest.param([edit("Theirs", seconds=-60.5, column_id="other")], [FIRST_WRITE], [], id="another column"),
        pytest.param(
            [edit(None, "Boss", seconds=-1_500), edit("Boss", None, seconds=-59, **OURS)],
            [wrote("Boss", None, entry={"refilled_since": at(-3_600).isoformat()})],
            [None],
            id="we had filled in what nobody was known to have emptied",
        ),
        pytest.param(
            [edit("Old", "Boss", seconds=-70)],
            [wrote("Boss", seconds=-80, **SWALLOWED), FIRST_WRITE],
            [],
            id="somebody put back what our next write had read, and the activity says so",
        ),
        pytest.param(
            [
                edit("Boss", seconds=-59, is_new=False, **OURS),
                edit("Theirs", "Boss", seconds=-30, **OURS),
                edit("Boss", "Theirs", seconds=-20, **OURS),
            ],
            [FIRST_WRITE],
            [],
            id="a person with the token's account set our value again: our one write has its own event already",
        ),
        pytest.param([WebhookEvent(pk=1, body={}, received_at=NOW)], [FIRST_WRITE], [], id="it can't be read"),
    ],
)
def test_what_our_writes_went_over(events: list[WebhookEvent], writes: list[Intent], expected: list[Any]) -> None:
    assert lost(events, writes) == expected


@pytest.mark.parametrize("token_user", ["", TOKEN_USER])
def test_the_token_s_user_need_not_be_known(token_user: str) -> None:
    for events, expected in ([OUR_ECHO], []), ([OVER_THEIRS], ["Theirs"]), ([HASTY], ["Theirs"]):
        before = builders.history(events=events, intents=[FIRST_WRITE], token_user=token_user)
        updates = after(note_lost_updates, builders.board(), draft(history=before)).lost_updates
        assert [update.value for update in updates] == expected


def test_two_lost_fields_are_two_values() -> None:
    notes = wrote("Our notes", "n")
    entry = notes.values.pop("role_title")
    notes.values = {"notes": entry | {"local": {"notes": "Our notes"}, "column": "notes"}}
    events = [HASTY, edit("Their notes", "n", seconds=-60.5, column_id="notes")]
    record_facts = facts(history=builders.history(events=events, intents=[FIRST_WRITE, notes]))
    lost_updates = after(note_lost_updates, builders.board(), RecordPlan(record_facts)).lost_updates
    assert {update.key: update.value for update in lost_updates} == {"role_title": "Theirs", "notes": "Their notes"}


def test_a_value_that_a_pass_saw_or_reported_is_not_lost_again() -> None:
    assert lost([HASTY], [FIRST_WRITE], seen=seen(("Theirs", -58))) == []
    assert lost([HASTY], [FIRST_WRITE], seen=seen(("Theirs", -400))) == ["Theirs"]
    assert lost([HASTY], [FIRST_WRITE], seen=seen(losses=[("Theirs", -400, FIRST_WRITE.pk)])) == []


def test_a_write_whose_outcome_is_open_lost_something_only_perhaps() -> None:
    write = wrote("Boss", state=IntentState.OPEN, settled_at=None)
    record_facts = facts(history=builders.history(events=[HASTY], intents=[write]))
    [lost_update] = after(note_lost_updates, builders.board(), RecordPlan(record_facts)).lost_updates
    assert (lost_update.is_outcome_open, lost_update.sent, lost_update.writes) == (True, "Boss", (str(write.pk),))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([edit("Theirs", "Boss", seconds=-59)], ("role_title",), id="its event names somebody"),
        pytest.param([OUR_ECHO], (), id="no event tells the answered value"),
        pytest.param([edit("Theirs", "Boss", seconds=-59, is_new=False)], (), id="its event was checked before"),
    ],
)
def test_an_answer_that_equals_an_event_is_an_edit(events: list[WebhookEvent], expected: tuple[str, ...]) -> None:
    write = wrote("Boss", answer={"role_title": "Theirs"})
    sync_state = {"base": {"role_title": base("Boss", "Theirs")}, "altered": {"role_title": {"reason": "…"}}}
    record_facts = facts(history=builders.history(events=events, intents=[write]), sync_state=sync_state)
    bases = after(note_lost_updates, builders.board(), RecordPlan(record_facts)).sync_state.base
    assert tuple(key for key, entry in bases.items() if entry.get(AS_SENT)) == expected


# Somebody brought back the value that our write had replaced.
UNDONE = edit("Old", "Boss", seconds=-30)
OPEN, VOID = {"state": IntentState.OPEN, "settled_at": None}, {"state": IntentState.VOID}


@pytest.mark.parametrize(
    ("event", "writes", "has_landed"),
    [
        pytest.param(UNDONE, [wrote("Boss", **OPEN)], True, id="somebody brought back the old value"),
        pytest.param(UNDONE, [wrote("Boss", **VOID)], True, id="a pass had thought it void"),
        pytest.param(UNDONE, [wrote("Boss", **VOID), wrote("Boss", seconds=-10, **OPEN)], True, id="and sent it again"),
        pytest.param(UNDONE, [wrote("Boss", **SWALLOWED)], True, id="its answer showed the value before"),
        pytest.param(UNDONE, [wrote("Boss", **VOID), wrote("Boss", seconds=-10)], False, id="which was answered since"),
        pytest.param(edit("Boss", **OURS), [wrote("Boss", **OPEN)], False, id="its own event says nothing of an edit"),
        pytest.param(edit("Old", "Boss", seconds=-90), [wrote("Boss", **OPEN)], False, id="the edit was before it"),
        pytest.param(edit("Old", "?", seconds=-30), [wrote("Boss", **OPEN)], False, id="previous value not told"),
        pytest.param(edit("Old", "Boss", seconds=-30, is_new=False), [wrote("Boss", **OPEN)], False, id="checked"),
        pytest.param(UNDONE, [wrote("Boss", entry={"united": True}, **OPEN)], False, id="a united list is merged"),
        pytest.param(UNDONE, [wrote("Boss", item_id="8", **OPEN)], False, id="it was about another item"),
    ],
)
def test_a_replaced_write_has_landed(event: WebhookEvent, writes: list[Intent], has_landed: bool) -> None:
    record_facts = facts(
        sync_state={"base": {"role_title": base("Old")}}, history=builders.history(events=[event], intents=writes)
    )
    pass_facts = PassFacts(builders.board(), NOW, records=(record_facts,))
    [plan] = after(find_lost_updates, pass_facts, Plan({record_facts.id: RecordPlan(record_facts)})).records.values()
    agreed = plan.sync_state.base["role_title"]
    assert (agreed["local"]["role_title"], AS_SENT in agreed) == (("Boss", True) if has_landed else ("Old", False))


# --- which values are really gone, and how that is said -------------------------------------------------------------


def lost_update(value: Any = "Theirs", seconds: float = -60, **differs: Any) -> LostUpdate:
    values = {"key": "role_title", "user_id": TOM, "at": at(seconds), "writes": ("w",)} | differs
    return LostUpdate(value=value, **values)


OUTCOME_OPEN = {"is_outcome_open": True, "sent": "Boss"}
DELETION = Removal("It was deleted.", act="delete_record")


@pytest.mark.parametrize(
    ("local", "remote", "update", "is_lost"),
    [
        pytest.param("Boss", "Boss", lost_update(), True, id="it stands on neither side"),
        pytest.param("Boss", "Theirs", lost_update(), False, id="it stands on Monday again"),
        pytest.param("Theirs", "Boss", lost_update(), False, id="it stands in NPD"),
        pytest.param("Boss", "Old", lost_update(**OUTCOME_OPEN), False, id="perhaps nothing went over it"),
        pytest.param("Boss", "Boss", lost_update(**OUTCOME_OPEN), True, id="the write turned out to be so"),
    ],
)
def test_a_suspect_on_neither_side_is_lost(local: str, remote: str, update: LostUpdate, is_lost: bool) -> None:
    record = contact(role_title=local)
    plan = changed(draft(record, item=item(record, role_title=remote)), lost_updates=[update])
    assert bool(after(confirm_lost_updates, builders.board(), plan).lost_updates) is is_lost


@pytest.mark.parametrize(
    ("mapping", "differs", "expected"),
    [
        pytest.param({}, {}, [True, False], id="of several values of a field the newest is asked about"),
        pytest.param({"direction": "npd_to_monday"}, {}, [False, False], id="one way: the history keeps it"),
        pytest.param({"rule": "npd_wins"}, {}, [False, False], id="where NPD wins the history keeps it"),
        pytest.param({}, {"unlink_reason": "pat unlinked it"}, [False, False], id="nor of one that is unlinked"),
        pytest.param({}, {"removal": DELETION}, [False, False], id="nor of one that goes with its item"),
    ],
)
def test_a_lost_values_question(mapping: dict[str, str], differs: dict[str, Any], expected: list[bool]) -> None:
    updates = [lost_update("First", -90), lost_update("Second", -60)]
    board = replace(builders.board(builders.mapping(**mapping)), settings=PassSettings(people={TOM: {"name": "Tom"}}))
    plan = ended(facts(), reports=updates, **differs)
    kept = after(keep_lost_updates, PassFacts(board, NOW), Plan({plan.id: plan})).records[plan.id]
    assert [(update.value, update.is_asked) for update in kept.lost_updates] == list(
        zip(["Second", "First"], expected, strict=True)
    )
    reports = kept.lost_update_lines
    assert reports[0].sentence.startswith("Tom wrote “Second” into Role on Monday while “Boss”")
    values = reports[0].values
    assert (values["raw_before"], values["raw_after"]) == ({"role_title": "Second"}, {"role_title": "Boss"})


def test_nothing_is_asked_of_a_pair_that_the_filter_leaves_out_after_the_pass() -> None:
    plan = ended(facts(), reports=[lost_update("Lost")])
    for role, is_asked in (("Theirs", True), ("Boss", False)):  # the item says “Theirs”
        kept = after(keep_lost_updates, PassFacts(builders.filtered("items", role), NOW), Plan({plan.id: plan}))
        assert [update.is_asked for update in kept.records[plan.id].lost_updates] == [is_asked]


def test_what_stands_is_what_npd_holds_after_the_pass() -> None:
    record = contact()
    plans = {"role_title": field_plan(record, "Later", Action.PULL, pull_raw={"role_title": "Later"})}
    plan = ended(facts(record), reports=[lost_update("Mine")], fields=plans)
    [report] = after(confirm_lost_updates, builders.board(), plan).lost_update_lines
    assert report.sentence.startswith(f"Monday user {TOM} wrote “Mine” into Role on Monday while “Later”")


@pytest.mark.parametrize(
    ("cell", "outcome", "expected"),
    [
        pytest.param("Boss", Outcome.DONE, ["Theirs"], id="the history keeps it, and nobody is asked"),
        pytest.param("Theirs", Outcome.DONE, [], id="it stands on the item still"),
        pytest.param("Boss", Outcome.FAILED, [], id="a pass that came to nothing tells nothing"),
    ],
)
def test_what_our_write_went_over_before_the_record_was_deleted(
    cell: str, outcome: Outcome, expected: list[str]
) -> None:
    gone = deletion(role=cell, history=builders.history(events=[HASTY], intents=[FIRST_WRITE]))
    world = World(context=builders.board(), deleted=[gone.facts], items={builders.ITEM: gone.item} if gone.item else {})
    [plan] = world.plan().deleted.values()
    plan = taken(take_lines_and_landed_intents, changed(plan, ending=Ending(outcome)))
    lines = [line for line in plan.log if line.kind == "overwritten"]
    assert [line.values["before"] for line in lines] == expected
    assert not any(update.is_asked for update in plan.lost_updates)


# --- the conflict ---------------------------------------------------------------------------------------------------


STANDS = {"role_title": field_plan(contact(), "Boss", Action.NOTHING)}
OFF, WITHOUT_ITEM = {"record": contact(sync_enabled=False)}, {"record": contact(monday_id=None)}
CAME_TO_NOTHING = {"ending": Ending(Outcome.FAILED)}


def ended(record_facts: RecordFacts, record: Contact | None = None, **differs: Any) -> RecordPlan:
    """A finished pass; `reports` are the lost values it tells of."""
    record_facts = replace(record_facts, record=record or record_facts.record)
    lost = list(differs.pop("reports", ()))
    shown = item(record_facts.record, role_title="Theirs")
    values = {"ending": Ending(Outcome.DONE), "lost_updates": lost, "fields": STANDS} | differs
    return RecordPlan(record_facts, shown, **values)


def report_of(plan: RecordPlan) -> ConflictReport | None:
    return report_of_overwritten(plan)


def chosen(**kinds: Any) -> dict[str, FieldPlan]:
    """The role, with the results of choices about its lost value."""
    results = {name: {ConflictKind.OVERWRITTEN: result} for name, result in kinds.items()}
    return {"role_title": replace(STANDS["role_title"], **results)}


def open_conflict(*keys: str, **resolutions: FieldSelection) -> OpenConflict:
    return OpenConflict(builders.contact().pk, ConflictKind.OVERWRITTEN, builders.ITEM, keys, resolutions)


NEWER = {"role_title": "Newer"}
STALE = Message(STALE_RESOLUTION)
WAITS = facts(conflicts=(open_conflict("role_title"),))
NOTES_ALONE = {"notes": STANDS["role_title"]}
OVERWRITTEN = changed(draft(item=item(contact())), lost_updates=[lost_update()])
REPORT = after(confirm_lost_updates, builders.board(), OVERWRITTEN, ["role_title"]).lost_updates


@pytest.mark.parametrize(
    ("record_facts", "differs", "said"),
    [
        pytest.param(facts(), {}, None, id="nothing was lost"),
        pytest.param(WAITS, {}, None, id="it waits until a person settles it"),
        pytest.param(facts(), {"reports": REPORT}, "opens", id="a lost value joins"),
        pytest.param(facts(), {"reports": REPORT, **CAME_TO_NOTHING}, None, id="a failed pass says nothing"),
        pytest.param(WAITS, CAME_TO_NOTHING, None, id="and leaves what waits"),
        pytest.param(WAITS, {"fields": chosen(applied="Boss")}, "applied", id="a choice was carried out"),
        pytest.param(WAITS, OFF, "closes", id="sync off closes it"),
        pytest.param(WAITS, WITHOUT_ITEM, "closes", id="a record without an item closes it"),
        pytest.param(WAITS, {"fields": NOTES_ALONE}, "closes", id="a field that is not mapped any more closes it"),
    ],
)
def test_what_is_reported_about_a_lost_value(record_facts: RecordFacts, differs: Any, said: str | None) -> None:
    report = report_of_overwritten(ended(record_facts, **differs))
    reported = report and {"opens": report.fields, "applied": report.applied, "closes": report.closing_reason}
    assert [name for name, content in (reported or {}).items() if content] == ([said] if said else [])


def test_a_choice_whose_values_changed_stays_with_what_stands_now() -> None:
    waits = facts(
        conflicts=(open_conflict("role_title", role_title=FieldSelection("monday", npd="Boss", monday="Theirs")),)
    )
    stale = chosen(rejected=STALE)["role_title"]
    rejections = {"role_title": replace(stale, local_raw=NEWER)}
    report = report_of(ended(waits, fields=rejections))
    assert report
    assert [(field.npd, field.monday) for field in report.fields] == [("Newer", "Theirs")]
    assert report.rejected == {"role_title": STALE}


# --- what a pass saw ------------------------------------------------------------------------------------------------


class Broken:
    """A converter that raises an error of our own."""

    column_type = "text"

    def from_event(self, value: Any, column_type: str) -> Any:
        raise OverflowError


def test_an_error_of_ours_on_what_an_event_says_tells_nothing_and_stops_nothing() -> None:
    with pytest.raises(UnknownValue):
        event_value(cast("Converter", Broken()), {"value": "x"}, "text")
    assert HASTY.event is not None
    at_the_first_moment = replace(HASTY.event, happened_at=datetime.min.replace(tzinfo=UTC), changed_at=None)
    hasty = copy(HASTY)
    hasty.event = at_the_first_moment
    history = builders.history(events=[hasty], intents=[wrote("Boss", "Theirs")])
    plan = draft(history=history)
    [(_, fault)] = note_lost_updates(builders.board(), plan)
    assert (plan.lost_updates, type(fault)) == ([], OverflowError)
