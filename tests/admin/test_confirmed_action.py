"""What holds for every act that a page asks about first."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory

from npd.models import Contact
from sync.admin.admin_base import own_address
from sync.admin.confirmed_action import Question, run_action


@pytest.mark.parametrize("is_fresh", [True, False])
@pytest.mark.parametrize("question", [lambda: Question("Really?"), None])
def test_to_get_a_page_never_acts(rf: RequestFactory, person: User, is_fresh: bool, question: object) -> None:
    request, done = rf.get("/admin/"), []
    request.user = person
    run_action(
        admin.site.get_model_admin(Contact),
        request,
        lambda: done.append("done") or "Done.",  # type: ignore[func-returns-value]
        back_url="/admin/",
        question=question,  # type: ignore[arg-type]
        is_fresh=is_fresh,
        asked_by_get=True,
    )
    assert not done


@pytest.mark.parametrize(
    ("given", "found"),
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
def test_only_an_address_of_this_site_is_led_back_to(rf: RequestFactory, given: list[str | None], found: str) -> None:
    assert own_address(rf.get("/"), *given) == found


def test_a_page_that_was_opened_securely_leads_back_to_no_insecure_one(rf: RequestFactory) -> None:
    assert own_address(rf.get("/", secure=True), "http://testserver/admin/", "https://testserver/x/") == "/x/"
