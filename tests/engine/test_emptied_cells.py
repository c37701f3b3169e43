"""A cell that nobody emptied empties nothing: NPD's value is sent again, or a person is asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.choices import ApprovalState
from sync.models import ActivityLine, ApprovalRequest, BoardLink
from sync.operations.comparison import compare_board
from sync.operations.sweep import sweep_due_boards
from sync.records.approvals import approve, reject
from tests.reports.test_odd_answers import changing_answers, objects_in
from tests.support.cases import each_once
from tests.support.world import World, staged

VALUES = {"role_title": "Boss", "notes": "hello", "phone": "+442079460018"}


@contextmanager
def shown_empty(world: World, *columns: str) -> Iterator[None]:
    """Have all reads show these cells as empty."""
    blanked = set(columns)

    def blank(query: str, data: Any) -> None:
        for node in objects_in(data):
            if node.get("id") in blanked and "value" in node:
                node.update(value=None, text=None)

    changing_answers(world, blank)
    yield
    blanked.clear()


def hours_go_by(world: World, *records: Any, steps: int = 4) -> None:
    for _ in range(steps):
        world.hear(*records, minutes=8)
        sweep_due_boards()
        world.work(*records)


@staged
def linked_for_hours(world: World) -> Contact:
    ann = world.linked("Ann", **VALUES)
    hours_go_by(world, steps=2)
    return ann


def nothing_is_lost(*people: Contact) -> None:
    for person in people:
        person.refresh_from_db()
        assert {key: getattr(person, key) for key in VALUES} == VALUES
    assert not SyncConflict.objects.exists()


def move_away_and_back(world: World, *people: Contact, pause: Callable[[], Any] = lambda: None) -> None:
    other = world.sandbox.add_board("Elsewhere")
    for person in people:
        world.sandbox.act("move_to_board", item_id=person.monday_id, board_id=other, group_id="topics")
    pause()
    for person in people:
        world.sandbox.act("move_to_board", item_id=person.monday_id, board_id=world.board_id(), group_id="topics")


@pytest.mark.parametrize(("number", "stays"), [(12, False), (1, True)])
def test_an_item_that_was_on_another_board_gets_its_values_again(world: World, number: int, stays: bool) -> None:
    people = world.linked_together(number, **VALUES)
    hours_go_by(world, steps=2)
    move_away_and_back(world, *people, pause=lambda: hours_go_by(world, steps=1) if stays else None)
    hours_go_by(world, *people)
    nothing_is_lost(*people)
    assert {(world.status(person), world.values(person)["role_title"]) for person in people} == {("synced", "Boss")}
    refilled = ActivityLine.objects.filter(values__reason="unreported")
    assert (refilled.count(), refilled.filter(folded=False).count()) == (3 * number, 1)


def move_away(world: World, person: Contact) -> None:
    other = world.sandbox.add_board("Elsewhere")
    world.sandbox.act("move_to_board", item_id=person.monday_id, board_id=other, group_id="topics")


def move_back_and_archive(world: World, person: Contact) -> None:
    move_away_and_back(world, person)
    world.sandbox.act("archive", item_id=person.monday_id)


def have_hidden(world: World, person: Contact) -> None:
    """Have no read return the item."""

    def hide(query: str, data: Any) -> None:
        for node in objects_in(data):
            for key, value in node.items():
                if isinstance(value, list):
                    node[key] = [part for part in value if not is_item(part)]

    def is_item(part: Any) -> bool:
        return isinstance(part, dict) and part.get("id") == person.monday_id

    changing_answers(world, hide)


@pytest.mark.parametrize(
    ("act", "is_deleted"), each_once([move_away_and_back, move_away, move_back_and_archive, have_hidden], [False, True])
)
def test_an_edit_that_an_item_lost_unread_is_in_the_history(
    world: World, act: Callable[[World, Contact], None], is_deleted: bool
) -> None:
    ann = world.linked("Ann", role_title="Boss" if is_deleted else "")
    hours_go_by(world, steps=2)
    world.edit(ann, "role_title", "Theirs")
    act(world, ann)
    pk = ann.pk
    if is_deleted:
        ann.delete()
    hours_go_by(world, steps=8)
    line = ActivityLine.objects.get(entity_id=pk, kind="overwritten")
    assert (line.values["before"], line.values["raw_before"]) == ("Theirs", {"role_title": "Theirs"})
    for question in SyncConflict.objects.filter(entity_id=pk):
        assert "Nothing was edited since" not in question.question


def test_beyond_the_guards_number_they_wait_as_one_approval(world: World, settings: Any) -> None:
    settings.GUARD_RECORDS = 2
    people = world.linked_together(4, **VALUES)
    move_away_and_back(world, *people)
    hours_go_by(world, *people)
    nothing_is_lost(*people)
    requests = ApprovalRequest.objects.filter(state=ApprovalState.PENDING)
    assert (requests.count(), {world.values(person)["role_title"] for person in people}) == (12, {""})
    lead = world.administrator("lead")
    home = world.browser(lead).get("/admin/").content.decode()
    assert all(text in home for text in ("nobody is known to have emptied them", "Fill in again", "Empty in NPD too"))
    reject(requests.filter(entity_id__in=[person.pk for person in people[:2]]), lead)
    approve(requests.filter(entity_id__in=[person.pk for person in people[2:]]), lead)
    hours_go_by(world, *people, steps=1)
    nothing_is_lost(*people[:2])
    assert {world.values(person)["role_title"] for person in people[:2]} == {"Boss"}
    assert {person.role_title for person in people[2:]} == {""}
    assert {world.status(person) for person in people} == {"synced"}
    assert not ApprovalRequest.objects.filter(state__in=["pending", "approved", "rejected"]).exists()


@pytest.mark.parametrize("minutes", [5, 60])
def test_cells_that_are_shown_as_empty_without_a_word_empty_nothing(world: World, minutes: int) -> None:
    ann = linked_for_hours(world)
    with shown_empty(world, "role_title", "notes"):
        world.run_pass(ann)
        assert world.status(ann) == "pending"
        assert "nobody is known to have emptied it" in world.sync_state(ann).note
        nothing_is_lost(ann)
        hours_go_by(world, ann, steps=minutes // 5)
        nothing_is_lost(ann)
    world.run_pass(ann)
    hours_go_by(world, ann)
    nothing_is_lost(ann)
    assert (world.status(ann), world.sync_state(ann).emptied, ann.role_title) == ("synced", {}, "Boss")


def empty(world: World, person: Contact) -> None:
    for column in ("role_title", "notes"):
        world.edit(person, column, "" if column == "role_title" else {"text": ""})
    world.sandbox.control("webhooks", "DELETE")


@pytest.mark.parametrize("case", ["at once", "compared first", "after a pause", "after a fortnight"])
def test_what_people_empty_arrives_with_every_webhook_lost(world: World, case: str) -> None:
    ann = linked_for_hours(world)
    world.sandbox.control("webhooks", rule="drop", count=None)
    empty(world, ann)
    if case == "compared first":
        compare_board(world.link())
        world.work(ann)
        assert ann.role_title == "Boss"
    if case.startswith("after"):
        world.pass_time(days=3 if case == "after a pause" else 14)
        compare_board(world.link())
    hours_go_by(world, ann)
    assert (ann.role_title, ann.notes, ann.phone, world.status(ann)) == ("", "", VALUES["phone"], "synced")


@pytest.mark.parametrize("is_quiet", [False, True])
def test_what_people_empty_arrives_though_the_log_is_always_empty_and_webhooks_are_lost(
    world: World, is_quiet: bool
) -> None:
    world.sandbox.faults({"late_rows": [1e9]})
    world.sandbox.control("webhooks", rule="drop", count=None)
    ann = world.contact("Ann", **VALUES)
    world.work(minutes=5)
    if not is_quiet:
        hours_go_by(world, ann)
    empty(world, ann)
    compare_board(world.link())
    hours_go_by(world, ann)
    assert (ann.role_title, ann.notes, ann.phone, world.status(ann)) == ("", "", VALUES["phone"], "synced")


@pytest.mark.parametrize("is_emptied", [False, True])
def test_a_save_over_a_cell_that_reads_do_not_show_as_empty_yet_asks_only_if_somebody_emptied_it(
    world: World, is_emptied: bool
) -> None:
    ann = linked_for_hours(world)
    world.sandbox.faults({"lag": "all", "edits": 5, "writes": 5})
    if is_emptied:
        empty(world, ann)
    else:
        move_away_and_back(world, ann)
    world.save(ann, role_title="New")
    hours_go_by(world, ann)
    assert (world.values(ann)["role_title"], ann.role_title) == ("New", "New")
    asked = SyncConflict.objects.filter(kind="overwritten", monday_data={"role_title": None})
    assert asked.exists() is is_emptied


@pytest.mark.parametrize("is_emptied", [False, True])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_cell_that_nobody_emptied_is_no_edit_of_an_archived_item_or_a_deleted_record(
    world: World, is_deleted: bool, is_emptied: bool
) -> None:
    ann = linked_for_hours(world)
    BoardLink.objects.filter(entity_type="contact").update(removed_item_policy="delete_record")
    item_id = str(ann.monday_id)
    if is_emptied:
        world.edit(ann, "role_title", "")
    move_away_and_back(world, ann)
    if is_deleted:
        ann.delete()
    else:
        world.sandbox.act("archive", item_id=item_id)
    hours_go_by(world)
    is_kept = (Contact.objects.exists(), world.sandbox.item(item_id)["state"] == "active")
    assert is_kept == (is_emptied and not is_deleted, is_emptied and is_deleted)
    questions = SyncConflict.objects.filter(resolved_at=None)
    assert [question.monday_data for question in questions] == ([{"role_title": None}] if is_emptied else [])


@pytest.mark.parametrize("is_read_before", [True, False])
def test_what_a_person_writes_into_a_cell_that_is_shown_as_empty_arrives(world: World, is_read_before: bool) -> None:
    ann = linked_for_hours(world)
    with shown_empty(world, "role_title"):
        if is_read_before:
            world.run_pass(ann)
        world.pass_time(minutes=9)  # so that a sweep ends while it is shown as empty
        world.edit(ann, "role_title", "Theirs")
        hours_go_by(world, ann, steps=1)
        assert (ann.role_title, world.status(ann)) == ("Boss", "pending")
    hours_go_by(world, ann, steps=2)
    assert (ann.role_title, world.values(ann)["role_title"], world.status(ann)) == ("Theirs", "Theirs", "synced")
    assert not SyncConflict.objects.exists()
