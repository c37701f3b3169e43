"""What is wrong with a column is said on the board's page, the record's, the first page and by `monday_check`."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from sync.boards.mapping import remap
from sync.models import BoardLink, FieldMapping
from tests.admin import states
from tests.admin.forms import values_of
from tests.drift.conftest import Owner
from tests.drift.test_columns import without_role
from tests.support.rows import queries_of
from tests.support.world import World


@pytest.fixture
def admin(world: World) -> Client:
    return world.browser(world.administrator("lead"))


def html(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def board_page(link: BoardLink) -> str:
    return reverse("admin:sync_boardlink_change", args=[link.pk])


def column_fields(form: dict[str, str], *columns: str) -> list[str]:
    """The names of the form's fields that hold these columns."""
    return [key for key, value in form.items() if re.fullmatch(r"mappings-\d+-column_id", key) and value in columns]


def test_a_missing_column_is_told_on_every_page_that_is_about_it(mapped: Client) -> None:
    contact = states.synced("Ann", "70", role_title="Analyst")
    without_role()
    mapping = FieldMapping.objects.get(key="role_title")
    problem = mapping.problem.split(".")[0]
    assert mapping.problem_code == "missing"
    record = reverse("admin:npd_contact_change", args=[contact.pk])
    for url in (board_page(mapping.link), record, reverse("admin:index")):
        assert problem in unescape(html(mapped, url)), url


def test_a_person_maps_a_field_to_another_column_on_the_boards_page(world: World, owner: Owner, admin: Client) -> None:
    contact = world.linked(role_title="Analyst")
    owner.column("role_title", "delete")
    owner.make("position", "Position")
    owner.make("amount", "Amount", "numbers")
    owner.sweep()
    page = html(admin, board_page(world.link()))
    assert 'value="position"' in page
    assert 'value="amount"' not in page
    form = values_of(admin.get(board_page(world.link())), "boardlink_form")
    (name,) = column_fields(form, "role_title")
    answer = admin.post(board_page(world.link()), form | {name: "position"}, follow=True)
    assert "is in the column Position now" in answer.content.decode()
    world.work()
    assert world.values(contact)["position"] == "Analyst"
    assert world.status(contact) == "synced"


def test_saving_the_page_without_another_column_changes_no_mapping(mapped: Client) -> None:
    link = BoardLink.objects.get()
    before = list(link.mappings.values("key", "column_id", "version", "converter", "options"))
    form: dict[str, Any] = values_of(mapped.get(board_page(link)), "boardlink_form")
    assert mapped.post(board_page(link), form).status_code == 302
    after = list(link.mappings.values("key", "column_id", "version", "converter", "options"))
    assert after == before


def test_a_page_that_was_opened_before_somebody_elses_change_does_not_take_it_back(mapped: Client) -> None:
    link, field = BoardLink.objects.get(), FieldMapping.objects.filter(key="role_title")
    page = board_page(link)
    form = values_of(mapped.get(page), "boardlink_form")
    remap(field.get().pk, "position", by="lead")
    field.update(direction="npd_to_monday", rule="npd_wins")
    BoardLink.objects.update(deleted_record_policy="unlink")
    ids = {str(one.pk): one.key for one in link.mappings.all()}
    rows = {
        ids[value]: name.removesuffix("id") for name, value in form.items() if re.fullmatch(r"mappings-\d+-id", name)
    }
    role, phone = f"{rows['role_title']}rule", f"{rows['phone']}rule"
    changed = {"removed_item_policy": "unlink", role: "monday_wins", phone: "monday_wins"}
    assert "changed meanwhile" in mapped.post(page, form | changed).content.decode()
    assert field.get().rule == "npd_wins"
    assert mapped.post(page, form | changed | {role: form[role]}).status_code == 302
    assert field.values_list("column_id", "direction", "rule").get() == ("position", "npd_to_monday", "npd_wins")
    assert FieldMapping.objects.get(key="phone").rule == "monday_wins"
    link.refresh_from_db()
    assert (link.removed_item_policy, link.deleted_record_policy) == ("unlink", "unlink")


def test_the_queries_of_the_boards_page_do_not_grow_with_the_boards_columns(mapped: Client) -> None:
    link = BoardLink.objects.get()
    html(mapped, board_page(link))
    counts = []
    for number in (1, 30):
        link.shape["columns"] |= {f"c{n}": {"title": f"C{n}", "type": "text"} for n in range(number)}
        link.save()
        counts.append(queries_of(lambda: html(mapped, board_page(link))))
    assert counts[0] == counts[1]
