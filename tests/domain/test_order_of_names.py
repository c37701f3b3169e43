"""Lists sort names as people do, whatever the server's locales are."""

import re

import pytest
from django.db import connection
from django.test import Client

from npd.models import Contact, Organization

IN_ORDER = ["Ångström", "anna", "Anna B", "Ärzte", "de Vries", "Doe", "Østby", "Owens", "Straße", "Strasser", "Zoë"]
NAMES = sorted(IN_ORDER)


@pytest.fixture
def named(db: None) -> None:
    for name in NAMES:
        Contact.objects.create(name=name, role_title=name, organization=Organization.objects.create(name=name))


def listed(browser: Client, query: str) -> list[str]:
    html = browser.get(f"/admin/npd/contact/{query}").content.decode()
    names = re.findall(r'<th[^>]*>\s*<a[^>]*href="/admin/npd/contact/[^"]+"[^>]*>([^<]+)</a>', html)
    return [name.strip() for name in names]


def test_models_sort_names_as_people_do(named: None) -> None:
    assert list(Contact.objects.values_list("name", flat=True)) == IN_ORDER
    assert list(Organization.objects.values_list("name", flat=True)) == IN_ORDER
    assert list(Contact.objects.order_by("-organization").values_list("name", flat=True)) == IN_ORDER[::-1]


def test_the_list_in_the_admin_sorts_by_name_and_by_clicked_texts(named: None, admin_client: Client) -> None:
    assert listed(admin_client, "") == IN_ORDER
    # Columns: the box, then name, email, phone, organization and role.
    for column in (1, 4, 5):
        assert listed(admin_client, f"?o={column}") == IN_ORDER
        assert listed(admin_client, f"?o=-{column}") == IN_ORDER[::-1]


def test_the_list_in_its_order_reads_an_index(named: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    assert "contacts_by_name" in Contact.objects.all()[:5].explain()
