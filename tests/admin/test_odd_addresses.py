"""Addresses that nobody clicks: invalid ones get 400 or 404, never a server error."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import FieldError, ValidationError
from django.db import DataError, ProgrammingError, connection
from django.db.models import DateField
from django.http import HttpResponse
from django.test import Client, RequestFactory
from structlog.testing import capture_logs

from config.middleware import ImpossibleValueMiddleware
from npd.models import Contact
from sync.admin.admin_base import path_on_site
from sync.admin.confirmed_action import Question, run_action


def test_every_list_refuses_nul_dates_of_no_calendar_and_endless_searches(patient: Client) -> None:
    answers: dict[str, int] = {}
    for model in admin.site._registry:
        address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        dates = [field.name for field in model._meta.concrete_fields if isinstance(field, DateField)][:1]
        queries = [f"?{name}__year=99999" for name in dates]
        queries += [f"?{model._meta.concrete_fields[1].name}__exact=%00", "%00/change/", f"?q={'e+' * 500}"]
        answers |= {address + query: patient.get(address + query).status_code for query in queries}
    assert {address: code for address, code in answers.items() if code != 400} == {}


def test_an_action_on_rows_that_no_list_has_is_refused_and_logged_without_their_names(patient: Client) -> None:
    key = "jane@example.org"
    act = {"action": "delete_selected", "_selected_action": key, "post": "yes"}
    with capture_logs() as lines:
        answers = [patient.post(f"/admin/{place}/", act).status_code for place in ("npd/contact", "auth/user")]
    assert answers == [400, 400]
    assert key not in str(lines)


@pytest.mark.parametrize(
    "address",
    [
        "/admin/npd/contact/nobody/personal-data/",
        "/admin/auth/group/?name__range=1",
        "/admin/npd/contact/?created_at__range=2026-11-23",
        "/admin/npd/contact/export/?name__range=csv",
        "/admin/auth/user/?events__isnull=1",
        "/admin/auth/user/?events__contains=a",
        "/admin/npd/contact/{}/delete/?_to_field=",
    ],
)
def test_an_odd_query_is_no_failure_of_ours(patient: Client, address: str) -> None:
    record = Contact.objects.create(name="Ann")
    assert patient.get(address.format(record.pk)).status_code < 500


@pytest.mark.parametrize("address", ["/", "/?q=ann", "/?name__exact=ann", "/{}/change/"])
def test_a_database_behind_the_code_is_a_failure_of_ours_with_its_trace(
    patient: Client, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    record = Contact.objects.create(name="Ann")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contacts RENAME COLUMN notes TO remarks")
    assert patient.get("/admin/npd/contact" + address.format(record.pk)).status_code == 500
    assert [line.exc_info[0] for line in caplog.records if line.exc_info] == [ProgrammingError]


@pytest.mark.parametrize(
    ("address", "error", "is_ours"),
    [
        ("/admin/npd/contact/?q=a", FieldError(), True),
        ("/admin/npd/contact/", FieldError(), True),
        ("/admin/npd/contact/", DataError(), True),
        ("/admin/npd/contact/", ValueError(), True),
        ("/admin/npd/contact/?q=a", ValueError(), False),
        ("/admin/", ValidationError(""), True),
    ],
)
def test_only_values_that_came_with_the_request_are_its_mistake(
    rf: RequestFactory, address: str, error: Exception, is_ours: bool
) -> None:
    answer = ImpossibleValueMiddleware(lambda request: HttpResponse()).process_exception(rf.get(address), error)
    assert (answer is None) is is_ours


@pytest.mark.parametrize("question", [lambda: Question("Really?"), None])
def test_to_get_a_page_never_acts(rf: RequestFactory, person: User, question: object) -> None:
    request, calls = rf.get("/admin/"), []
    request.user = person
    run_action(
        admin.site.get_model_admin(Contact),
        request,
        lambda: calls.append("done") or "Done.",  # type: ignore[func-returns-value]
        back_url="/admin/",
        question=question,  # type: ignore[arg-type]
    )
    assert not calls


@pytest.mark.parametrize(
    ("candidates", "own"),
    [
        (["/admin/?a=1#b"], "/admin/?a=1#b"),
        (["http://testserver/admin/npd/"], "/admin/npd/"),
        (["https://elsewhere.example/", None, "", "/admin/"], "/admin/"),
        (["//elsewhere.example/"], ""),
        (["http://testserver//elsewhere.example/"], ""),
        (["javascript:alert(1)"], ""),
        ([None], ""),
    ],
)
def test_only_an_address_of_this_site_is_led_back_to(
    rf: RequestFactory, candidates: list[str | None], own: str
) -> None:
    assert path_on_site(rf.get("/"), *candidates) == own


def test_a_page_that_was_opened_securely_leads_back_to_no_insecure_one(rf: RequestFactory) -> None:
    assert path_on_site(rf.get("/", secure=True), "http://testserver/admin/", "https://testserver/x/") == "/x/"
