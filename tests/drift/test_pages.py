"""A column's problem is shown on the board's page, the record's, the first page and by `monday_check`."""

from html import unescape

from django.test import Client
from django.urls import reverse

from sync.models import BoardLink, FieldMapping
from tests.admin import states
from tests.admin.forms import values_of
from tests.admin.test_records import words_of
from tests.drift.conftest import Owner
from tests.drift.test_columns import lose_role
from tests.engine.conftest import clash
from tests.support.world import World


def html(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def board_page(link: BoardLink) -> str:
    return reverse("admin:sync_boardlink_change", args=[link.pk])


def test_a_missing_column_is_told_on_every_page_that_is_about_it(mapped: Client) -> None:
    contact = states.synced("Ann", "70", role_title="Analyst")
    lose_role()
    mapping = FieldMapping.objects.get(key="role_title")
    problem = mapping.problem.split(".")[0]
    assert mapping.problem_code == "missing"
    record = reverse("admin:npd_contact_change", args=[contact.pk])
    state = "Syncing; 1 column can't be used"
    expected = {board_page(mapping.link): state, record: "Fix the column", reverse("admin:index"): state}
    for url, words in expected.items():
        page = unescape(html(mapped, url))
        assert (problem in page, words in page) == (True, True), url
    assert words_of(html(mapped, record)).count(problem) == 1, "below its field alone"


def test_another_rule_settles_what_it_was_asked_about(world: World, owner: Owner, admin: Client) -> None:
    contact, _ = clash(world)
    assert world.status(contact) == "conflict"
    owner.choose("lead", rule="monday_wins")
    world.work(contact)
    assert (contact.role_title, world.status(contact)) == ("Monday's", "synced")


def test_a_policy_is_saved_and_no_page_that_is_open_longer_takes_it_back(mapped: Client) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    page = board_page(link)
    form = values_of(mapped.get(page), "boardlink_form")
    BoardLink.objects.update(deleted_record_policy="unlink")
    before = list(link.mappings.values())
    assert mapped.post(page, form | {"removed_item_policy": "unlink"}).status_code == 302
    link.refresh_from_db()
    assert (link.removed_item_policy, link.deleted_record_policy) == ("unlink", "unlink")
    assert list(link.mappings.values()) == before
