"""Columns that are only welcome: adopted where a board has them, made on request, and never taken for others."""

from collections.abc import Callable

import pytest
import responses
from django.core.management.base import CommandError

from sync.models import BoardLink, FieldMapping
from tests.setup.test_monday_setup import columns_of
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.django_db

Run = Callable[..., str]


def link_of(entity_type: str) -> BoardLink:
    return BoardLink.objects.get(entity_type=entity_type)


def mapping(entity_type: str, key: str) -> FieldMapping:
    return FieldMapping.objects.get(link__entity_type=entity_type, key=key)


def test_without_such_columns_nothing_more_is_synced_and_it_is_said_how_to_have_it(monday: Sandbox, run: Run) -> None:
    output = run("monday_setup")
    assert not FieldMapping.objects.filter(key__in=["aliases", "organization", "inventory_url"]).exists()
    assert "organization.aliases, organization.inventory_url, contact.organization" in output
    assert "--with organization.aliases" in output


def test_one_that_was_asked_for_is_made_and_leads_to_the_other_board(monday: Sandbox, run: Run) -> None:
    output = run("monday_setup", "--with", "contact.organization", "--with", "organization.aliases")
    contacts = link_of("contact")
    assert columns_of(monday, contacts.board_id)["organization"] == "board_relation"
    related = mapping("contact", "organization")
    assert [str(board) for board in related.options["settings"]["boardIds"]] == [link_of("organization").board_id]
    assert mapping("organization", "aliases").converter == "list_text"
    assert "contact.organization" not in output
    assert run("monday_setup").count("nothing to do") == 2
    assert "ok" in run("monday_check")


@responses.activate
def test_a_name_that_is_none_is_refused_with_those_that_are_before_monday_is_asked(run: Run) -> None:
    with pytest.raises(CommandError, match=r"no optional column “contact.shoe_size”.*contact\.organization"):
        run("monday_setup", "--with", "contact.shoe_size")
    assert not responses.calls


def test_one_that_is_deleted_later_is_a_problem_until_it_is_made_anew_or_let_go(monday: Sandbox, run: Run) -> None:
    run("monday_setup", "--with", "organization.aliases")
    aliases = mapping("organization", "aliases")
    monday.delete_column(aliases.link.board_id, aliases.column_id)
    with pytest.raises(CommandError, match="Aliases can't be synced any more"):
        run("monday_setup")
    with pytest.raises(CommandError):
        run("monday_check")
    run("monday_setup", "--with", "organization.aliases")
    anew = mapping("organization", "aliases")
    assert (anew.column_id != aliases.column_id, anew.version) == (True, 2)
    FieldMapping.objects.filter(pk=anew.pk).update(column_id="gone", direction="none")
    assert "nothing to do" in run("monday_setup")
    assert "Everything is well." in run("monday_check")


def test_a_column_replaced_by_another_fitting_type_is_read_by_it(monday: Sandbox, run: Run) -> None:
    run("monday_setup", "--with", "organization.aliases")
    aliases = mapping("organization", "aliases")
    monday.delete_column(aliases.link.board_id, aliases.column_id)
    monday.add_column(aliases.link.board_id, "names", "Aliases", "dropdown")
    run("monday_setup")
    anew = mapping("organization", "aliases")
    assert (anew.column_id, anew.converter, anew.version) == ("names", "dropdown", 2)
