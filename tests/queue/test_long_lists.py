"""A long list in a filter is one parameter, and finds what a short one finds."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import F, Q, Value
from django.test.utils import CaptureQueriesContext

from npd.models import Contact
from sync.kernel.db import SHORT_LIST

pytestmark = pytest.mark.django_db

MANY = SHORT_LIST + 5


@pytest.fixture
def contacts() -> list[Contact]:
    made = [Contact(name=f"{number}, “’\\{{}}", monday_id=str(number) * 25) for number in range(10, 10 + MANY)]
    return Contact.objects.bulk_create([*made, Contact(name="Without an item")])


def names(condition: Q) -> set[str]:
    return set(Contact.objects.filter(condition).values_list("name", flat=True))


def test_it_is_one_parameter_and_a_short_list_is_as_before(contacts: list[Contact]) -> None:
    ids = [contact.pk for contact in contacts]
    with CaptureQueriesContext(connection) as queries:
        assert len(names(Q(pk__in=ids))) == len(ids)
        assert len(names(Q(pk__in=ids[:SHORT_LIST]))) == SHORT_LIST
    assert ["= ANY (" in query["sql"] for query in queries] == [True, False]


def test_texts_and_ids_are_found_whatever_their_signs(contacts: list[Contact]) -> None:
    linked = contacts[:-1]
    wanted = {contact.name for contact in linked}
    strangers: list[UUID] = [uuid4() for _ in range(MANY)]
    assert names(Q(name__in=[*wanted, *map(str, range(MANY))])) == wanted
    assert names(Q(pk__in={*(str(contact.pk) for contact in linked), *strangers})) == wanted
    assert names(Q(monday_id__in=(contact.monday_id for contact in linked))) == wanted
    assert names(~Q(monday_id__in=[contact.monday_id for contact in linked])) == {"Without an item"}


def test_a_longer_text_is_not_cut_to_fit_the_column(contacts: list[Contact]) -> None:
    too_long = [f"{contact.monday_id}and more" for contact in contacts]
    assert names(Q(monday_id__in=too_long)) == set()


def test_expressions_empty_values_and_queries_are_djangos_own(contacts: list[Contact]) -> None:
    everyone = [contact.name for contact in contacts]
    assert names(Q(name__in=[*everyone, None])) == set(everyone)
    assert names(Q(name__in=[F("name"), *[Value(str(number)) for number in range(MANY)]])) == set(everyone)
    assert names(Q(pk__in=Contact.objects.exclude(monday_id=None).values("pk"))) == set(everyone[:-1])
    assert names(Q(pk__in=[])) == set()
