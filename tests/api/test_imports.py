"""Imports by API: the steps of the admin's pages, for a program."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from npd.imports.import_jobs import run_all
from npd.imports.models import ImportJob
from npd.models import Contact, Organization
from tests.api.conftest import user_who_may, with_token

PEOPLE = "/api/v1/contacts/imports"
FILE = b"Name,E-mail,Company\nAda,ada@x.test,Navy\nGrace,grace@navy.test,\nBob,no address,\n"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-up leaves the test."""
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)


def send(api: APIClient, content: bytes = FILE, url: str = PEOPLE, name: str = "p.csv", **form: Any) -> Any:
    headers = form.pop("headers", {})
    return api.post(url, {"file": SimpleUploadedFile(name, content), **form}, format="multipart", headers=headers)


def test_a_file_is_read_planned_applied_and_undone(api: APIClient, contact: Contact) -> None:
    sent = send(api, make_organizations="true")
    assert (sent.status_code, sent.json()["state"]) == (202, "reading")
    url = sent.headers["Location"]
    run_all()
    plan = api.get(url).json()
    assert (plan["state"], plan["to_write"], plan["organizations"]) == ("shown", 2, ["Navy"])
    assert {name: plan["plan"][name] for name in ("new", "changed", "invalid")} == {
        "new": 1,
        "changed": 1,
        "invalid": 1,
    }
    assert [column["field"] for column in plan["columns"]] == ["name", "email", "organization"]
    refused = api.get(f"{url}rows/?refused=true").json()["results"]
    assert [row["number"] for row in refused] == [4]
    assert "no address" in refused[0]["reason"]
    [changed] = api.get(f"{url}rows/?outcome=changed").json()["results"]
    assert (changed["before"], changed["after"]) == ({"name": "Grace Hopper"}, {"name": "Grace"})
    assert Contact.objects.count() == 1
    assert api.post(f"{url}apply").json()["state"] == "running"
    assert api.post(f"{url}apply").status_code == 409
    run_all()
    done = api.get(url).json()
    assert (done["state"], done["results"]) == ("done", {"written": 2})
    assert Contact.objects.get(name="Ada").organization == Organization.objects.get(name="Navy")
    assert api.delete(url).status_code == 409
    assert api.post(f"{url}undo").status_code == 202
    run_all()
    assert list(Contact.objects.values_list("name", flat=True)) == ["Grace Hopper"]


def test_a_file_that_cannot_be_read_says_why(api: APIClient) -> None:
    url = send(api, b"Colour\nred\n").headers["Location"]
    run_all()
    said = api.get(url).json()
    assert (said["state"], said["problem"]["code"]) == ("failed", "no_known_column")
    assert api.post(f"{url}apply").status_code == 409
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_what_is_no_file_or_not_for_this_type_is_refused_by_name(api: APIClient) -> None:
    for answer, pointer in (
        (send(api, b""), "/file"),
        (send(api, encoding="klingon"), "/encoding"),
        (send(api, colour="red"), "/colour"),
        (send(api, url="/api/v1/organizations/imports", make_organizations="true"), "/make_organizations"),
        (api.post(PEOPLE, {}, format="multipart"), "/file"),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    assert api.post(PEOPLE, {"file": "x"}).status_code == 415
    assert not ImportJob.objects.exists()


def test_a_file_sent_twice_under_one_key_is_one_import(api: APIClient) -> None:
    answers = [send(api, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert ImportJob.objects.count() == 1
    other = send(api, FILE + b"Eve,eve@x.test,\n", headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    run_all()
    assert ImportJob.objects.get().counts["new"] == 1


def test_only_who_may_add_and_change_such_records_imports_them(api: APIClient) -> None:
    url = send(api).headers["Location"]
    run_all()
    adder = with_token(user_who_may("add_contact"))
    assert send(adder).status_code == 403
    assert [adder.get(url).status_code, adder.post(f"{url}apply").status_code] == [403, 403]
    both = with_token(user_who_may("add_contact", "change_contact", name="both"))
    assert send(both, make_organizations="true").status_code == 403
    assert both.get(url).status_code == 200


def test_ones_own_imports_are_listed_the_newest_first(api: APIClient) -> None:
    sent = [send(api).json()["id"], send(api, url="/api/v1/organizations/imports").json()["id"], send(api).json()["id"]]
    clerk = with_token(user_who_may("add_contact", "change_contact"))
    assert clerk.get(IMPORTS).json()["results"] == []
    own = send(clerk).json()["id"]
    run_all()

    def ids(**query: str) -> list[str]:
        answer = api.get(IMPORTS, query)
        assert answer.status_code == 200, answer.content
        return [one["id"] for one in answer.json()["results"]]

    assert ids() == ids(pagination="cursor") == ids(state="shown") == sent[::-1]
    assert ids(entity_type="organization") == [sent[1]]
    assert ids(ordering="created_at", created_since="2020-01-01T00:00:00Z", fields="id") == sent
    assert ids(created_before="2020-01-01T00:00:00Z") == ids(state="running") == []
    assert api.get(IMPORTS).json()["results"][0] == api.get(f"{IMPORTS}{sent[2]}/").json()
    assert [one["id"] for one in clerk.get(IMPORTS).json()["results"]] == [own]
    assert api.get(IMPORTS, {"state": "nonsense"}).status_code == 400


def test_a_list_of_imports_costs_as_many_queries_however_long_it_is(api: APIClient) -> None:
    counts = []
    for _ in range(2):
        send(api), send(api)
        run_all()
        with CaptureQueriesContext(connection) as captured:
            assert api.get(IMPORTS).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_an_import_of_what_one_may_not_import_any_more_is_not_listed(api: APIClient) -> None:
    user = user_who_may("add_contact", "change_contact")
    send(with_token(user))
    user.user_permissions.set(Permission.objects.filter(codename__in=("add_organization", "change_organization")))
    assert with_token(User.objects.get(pk=user.pk)).get(IMPORTS).json()["results"] == []
    user.user_permissions.clear()
    assert with_token(User.objects.get(pk=user.pk)).get(IMPORTS).status_code == 403


IMPORTS = "/api/v1/imports/"
