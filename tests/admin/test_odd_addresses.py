"""Addresses that nobody clicks: what can't be is refused with 400 or 404, never a failure of ours."""

import json
import os
import re
import uuid
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import DateField
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.throttling import SimpleRateThrottle
from structlog.testing import capture_logs

from npd.models import Contact
from sync.admin.admin_base import own_address
from sync.admin.confirmed_action import Question, run_action
from sync.models import ApiToken
from tests.accounts.test_closed_doors import routes
from tests.admin.all_pages import furnish
from tests.support.api_schema import raw_document

WALK = int(os.environ.get("WALK", "60"))
"""Addresses that the random walk asks for; `WALK=5000` asks for more, by hand."""


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


def test_the_door_from_any_row_to_its_own_page_is_closed(patient: Client) -> None:
    keys = [1, uuid.uuid4(), "%00", Contact.objects.create(name="Ann").pk, User.objects.get().pk]
    for content_type in ContentType.objects.get_for_models(Contact, User).values():
        for key in keys:
            assert patient.get(f"/admin/r/{content_type.pk}/{key}/").status_code in (400, 404)


WAYS = """
exact iexact range contains icontains isnull in gt lte year date time hour week_day regex startswith search len
overlap contained_by has_key 0 id__exact nothing pk__in user__password__startswith unaccent year__gte
"""
NAMES = """
o p q all e _facets _to_field _popup _changelist_filters next after key kind cursor limit page page_size fields
expand ordering format days entity_type how upto what state status answered step type id ids record item field
hours since until app_label model_name field_name term code search updated_since action select_across
"""
VALUES = """
0 1 -1 5001 True null [] {} a,b , 1,2 2147483648 9223372036854775808 1e400 NaN % \\ ' ( [ * - & = 💥 \ufeff
\u202e 2026-02-30 2026-11-23 2026-11-23T10:00:00Z 99999-01-01 0000-00-00 24:61 ../.. //evil.example javascript:1
key__in __ -id name contact pending monday csv 1.2.-3 -99 a.b x\x00 \x7f ١٢ ½ 1_000 +1 0x1
"""
UNKNOWN = str(uuid.UUID(int=1))
ODD = [*VALUES.split(), "\x85", "", " ", "\n", "9" * 30, "1" * 5_000, "x" * 3_000, UNKNOWN, f"{UNKNOWN[:-1]}g"]
PLACE = re.compile(r"<(?:(\w+):)?\w+>|{(\w+)}")


@cache
def roads() -> list[tuple[str, list[str]]]:
    """Every address of the admin and every one of the API's to read from, with the parameters that it may know."""
    places = []
    for model in admin.site._registry:
        names = [field.name for field in model._meta.get_fields()]
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        places += [(path, names), (f"{path}export/", names)]
    places += [(f"/{route}", NAMES.split()) for route in routes() if route.startswith("admin/") and "(?P" not in route]
    for path, operations in json.loads(raw_document())["paths"].items():
        parameters = operations.get("get", {}).get("parameters", [])
        if "get" in operations and path != "/readyz":  # whose 503 is no failure
            places.append((path, [entry["name"] for entry in parameters if entry["in"] == "query"] or NAMES.split()))
    return places


@st.composite
def addresses(draw: st.DrawFn, keys: list[str]) -> str:
    """An address with something in each of its places, and a query of what is asked there and what isn't."""
    path, names = draw(st.sampled_from(roads()))
    value = st.sampled_from(ODD) | st.text(max_size=8)

    def put(place: re.Match[str]) -> str:
        if place[1] in ("int", "uuid"):
            return "1" if place[1] == "int" else draw(st.sampled_from(keys))
        return quote(draw(st.sampled_from(keys) | value), safe="/")

    own = st.sampled_from(names)
    name = own | st.builds("{}__{}".format, own, st.sampled_from(WAYS.split())) | st.sampled_from(NAMES.split())
    pairs = draw(st.lists(st.tuples(name, value), max_size=3))
    if pairs and draw(st.booleans()):
        pairs.append((pairs[0][0], draw(value)))
    query = "&".join(f"{quote(key)}={quote(text)}" for key, text in pairs)
    return f"{PLACE.sub(put, path)}?{query}"


def test_a_random_walk_meets_no_failure_of_ours(
    patient: Client, person: User, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", dict.fromkeys(SimpleRateThrottle.THROTTLE_RATES))
    furnish(world, person)
    signed_in = {name: cookie.value for name, cookie in patient.cookies.items()}
    token = {"Authorization": f"Bearer {ApiToken.objects.create(person)[1]}"}

    @hypothesis_settings(
        max_examples=WALK, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(address=addresses([str(world["synced"].pk), UNKNOWN]))
    @example(address="/admin/npd/contact/nobody/personal-data/")
    @example(address="/admin/auth/group/?name__range=1")
    @example(address="/admin/npd/contact/?created_at__range=2026-11-23")
    @example(address="/admin/npd/contact/export/?name__range=csv")
    @example(address="/admin/auth/user/?events__isnull=1")
    @example(address="/admin/auth/user/?events__contains=a")
    @example(address=f"/admin/npd/contact/{world['synced'].pk}/delete/?_to_field=")
    def is_answered(address: str) -> None:
        patient.cookies.clear()
        patient.cookies.load(signed_in)
        with transaction.atomic():
            answer = patient.get(address, headers=token if address.startswith("/api/") else None)
            if answer.streaming:
                b"".join(answer)
            transaction.set_rollback(True)
        assert answer.status_code < 500, address

    is_answered()


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
    assert own_address(rf.get("/"), *candidates) == own


def test_a_page_that_was_opened_securely_leads_back_to_no_insecure_one(rf: RequestFactory) -> None:
    assert own_address(rf.get("/", secure=True), "http://testserver/admin/", "https://testserver/x/") == "/x/"
