"""What holds for every act that a page asks about first."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory

from npd.models import Contact
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
