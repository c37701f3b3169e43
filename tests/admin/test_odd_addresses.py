"""Addresses that nobody clicks: what can't be is refused with 400 or 404, never a failure of ours."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import DateField
from django.test import Client


@pytest.fixture
def patient(client: Client, person: User) -> Client:
    """An administrator who gets the answer that a browser would get, also to a failure of ours."""
    client.raise_request_exception = False
    client.force_login(person)
    return client


def test_every_list_refuses_nul_and_dates_of_no_calendar(patient: Client) -> None:
    answers: dict[str, int] = {}
    for model in admin.site._registry:
        address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        dates = [field.name for field in model._meta.concrete_fields if isinstance(field, DateField)]
        asked = [f"?{name}__year=99999" for name in dates]
        asked += [f"?{model._meta.concrete_fields[1].name}__exact=%00", "%00/change/"]
        answers |= {address + one: patient.get(address + one).status_code for one in asked}
    assert {one: code for one, code in answers.items() if code != 400} == {}


def test_a_refused_address_is_answered_with_a_page_of_ours(patient: Client, settings: Any) -> None:
    settings.DEBUG = False
    page = patient.get("/admin/sync/syncqueue/?status__exact=%00")
    assert page.status_code == 400
    assert "<h1>" in page.content.decode()


def test_what_is_no_text_is_refused_in_a_query_and_in_a_form(patient: Client) -> None:
    odd = {"Content-Type": "text/plain; charset=unicode_escape"}
    assert patient.get("/admin/npd/contact/?q=%5Cud800", headers=odd).status_code == 400
    boundary = 'multipart/form-data; boundary="b"; charset=unicode_escape'
    form = '--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--b--\r\n'
    assert patient.post("/admin/npd/contact/add/", form, content_type=boundary).status_code == 400


def test_the_door_from_any_row_to_its_own_page_is_closed(patient: Client) -> None:
    for content_type in ContentType.objects.all():
        for key in ("1", str(uuid.uuid4()), "%00"):
            assert patient.get(f"/admin/r/{content_type.pk}/{key}/").status_code in (400, 404)
