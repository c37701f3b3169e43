"""Each person's edit of each field is found in the activity by that person, that field and that day."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Coalesce
from django.test import Client

from conflicts.models import SyncConflict
from npd.models import Contact
from sandbox.model import API_USER
from sync.clock import sync_now
from sync.models import ActivityLine, FieldMapping, MondayAccount
from sync.models.activity_lines import HAPPENED_AT
from sync.outbox import pauses
from tests.support.people import api_of
from tests.support.world import TOM, World

BEA = 67210013
ON_MONDAY = {TOM: "Tom Board", BEA: "Bea Bond"}


@pytest.fixture
def olga(world: World) -> User:
    return world.administrator("olga", first_name="Olga", last_name="Petrova")


@pytest.fixture
def ann(world: World) -> User:
    return world.administrator("ann", first_name="Ann", last_name="Lee")


class Week:
    """Edits of one contact in a pause of several days, and what the activity finds of them."""

    def __init__(self, world: World, reader: User) -> None:
        self.world = world
        self.contact = world.linked(role_title="Boss", phone="+46 8 123 45 67")
        self.browser: Client = world.browser(reader)
        self.edits: list[tuple[str, str, str]] = []

    def in_npd(self, person: User, **values: Any) -> None:
        response = api_of(person).patch(f"/api/v1/contacts/{self.contact.pk}/", values)
        assert response.status_code == 200, response.content
        self.note(person.get_full_name(), *values)

    def on_monday(self, person: int, column: str, text: str) -> None:
        item = self.contact.monday_id
        self.world.sandbox.act("edit", item_id=item, column_id=column, text=text, user_id=person)
        self.world.deliver()
        self.note(ON_MONDAY[person], column)

    def note(self, name: str, *fields: str) -> None:
        today = f"{sync_now():%Y-%m-%d}"
        self.edits += [(name, field, today) for field in fields]

    def next_day(self) -> None:
        self.world.pass_time(days=1)

    def lost(self) -> list[tuple[str, str, str]]:
        """The edits that the activity doesn't find."""
        return [edit for edit in self.edits if not self.rows(*edit)]

    def rows(self, person: str, field: str, day: str) -> list[Any]:
        query = {"person": person, "field": field, "at_from": day, "at_to": day}
        response = self.browser.get("/admin/sync/activityline/", query)
        assert response.status_code == 200
        return list(response.context["cl"].result_list)


@pytest.fixture
def week(world: World, olga: User) -> Week:
    week = Week(world, olga)
    people = {str(key): {"name": name} for key, name in ON_MONDAY.items()}
    MondayAccount.objects.update(users=people, user_id=str(API_USER.id))
    return week


def role_edited(*edits: tuple[str | int, str], **settings: str) -> Callable[[Week, User, User], None]:
    """A day after the other, somebody edits the role in NPD (by name) or on Monday (by number)."""

    def happen(week: Week, olga: User, ann: User) -> None:
        FieldMapping.objects.filter(key="role_title").update(**settings)
        for who, role in edits:
            if isinstance(who, int):
                week.on_monday(who, "role_title", role)
            else:
                week.in_npd({"olga": olga, "ann": ann}[who], role_title=role)
            week.next_day()

    return happen


TWO_IN_NPD = (("olga", "Chair"), ("ann", "Head"), ("ann", "Head of all"))
BOTH_SIDES = (("olga", "Chair"), (BEA, "Head"))


def sync_is_off_for_the_record(week: Week, olga: User, ann: User) -> None:
    week.in_npd(olga, sync_enabled=False)
    role_edited(*TWO_IN_NPD)(week, olga, ann)


def the_record_is_deleted_later(week: Week, olga: User, ann: User) -> None:
    week.in_npd(olga, role_title="Chair", phone="+46 8 765 43 21")
    week.next_day()
    assert api_of(ann).delete(f"/api/v1/contacts/{week.contact.pk}/").status_code == 204


def different_fields(week: Week, olga: User, ann: User) -> None:
    week.in_npd(olga, role_title="Chair", notes="met in May")
    week.next_day()
    week.in_npd(ann, phone="+46 8 765 43 21")


def a_new_record_is_edited(week: Week, olga: User, ann: User) -> None:
    answer = api_of(olga).post("/api/v1/contacts/", {"name": "New"})
    assert answer.status_code == 201, answer.content
    week.contact = Contact.objects.get(name="New")
    week.next_day()
    week.in_npd(ann, role_title="Chair")
    week.next_day()
    week.in_npd(olga, phone="+46 8 765 43 21")


def many_edits_follow(week: Week, olga: User, ann: User) -> None:
    week.in_npd(olga, role_title="Chair")
    week.next_day()
    for number in range(25):
        week.in_npd(ann, role_title=f"Head {number}")


@pytest.mark.parametrize(
    "happens",
    [
        role_edited(*TWO_IN_NPD),
        role_edited(("olga", "Chair"), ("ann", "Boss")),
        role_edited((TOM, "Chair"), (BEA, "Head")),
        role_edited((TOM, "Chair"), (BEA, "Boss")),
        *(role_edited(*BOTH_SIDES, rule=rule) for rule in ("ask", "monday_wins", "npd_wins")),
        role_edited(*TWO_IN_NPD, direction="none"),
        *(sync_is_off_for_the_record, the_record_is_deleted_later, different_fields, many_edits_follow),
        a_new_record_is_edited,
    ],
)
def test_no_edit_of_a_pause_is_lost(
    world: World, week: Week, olga: User, ann: User, happens: Callable[[Week, User, User], None]
) -> None:
    pauses.pause("ann")
    happens(week, olga, ann)
    on_monday = set(ON_MONDAY.values())
    assert {edit for edit in week.lost() if edit[0] not in on_monday} == set()
    pauses.resume("ann")
    world.settle()
    world.hear()
    world.settle()
    assert week.lost() == []
    # A later pass tells of nothing twice.
    number = ActivityLine.objects.count()
    if Contact.objects.filter(pk=week.contact.pk).exists():
        world.run_pass(week.contact)
        world.save(week.contact, updated_at=sync_now())
    assert ActivityLine.objects.filter(kind="edit").count() <= len(week.edits)
    assert ActivityLine.objects.count() == number
    lines = ActivityLine.objects.annotate(by_query=Coalesce(HAPPENED_AT, "at"))
    assert [line for line in lines if line.by_query != line.happened_at] == []


def test_a_choice_stays_on_its_day_though_it_is_applied_on_another(
    world: World, week: Week, olga: User, ann: User
) -> None:
    week.in_npd(olga, role_title="Chair")
    week.on_monday(BEA, "role_title", "Head")
    world.settle()
    conflict = SyncConflict.objects.get(entity_id=week.contact.pk)
    pauses.pause("ann")
    seen = {"role_title": {"npd": "Chair", "monday": "Head"}}
    choice = {"resolution_type": "merge", "selections": {"role_title": {"choose": "npd"}}, "seen": seen}
    answer = api_of(ann).post(f"/api/v1/sync/conflicts/{conflict.pk}/resolve/", choice, format="json")
    assert answer.status_code == 200, answer.content
    week.note("Ann Lee", "role_title")
    week.next_day()
    pauses.resume("ann")
    world.settle()
    assert week.lost() == []
