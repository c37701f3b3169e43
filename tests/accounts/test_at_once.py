"""Several sessions at one moment: a code is accepted once, and one set-up wins."""

from __future__ import annotations

from functools import partial

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User

from tests.accounts.test_second_factor import APP, CODE, PASSWORD, code_by, code_of, enrolled, key_of, with_password
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_a_code_signs_in_one_of_six_sessions(ada: User, kind: str) -> None:
    codes = enrolled(ada)
    code = codes[0] if kind == "recovery" else code_of(ada)
    clients = [with_password(f"192.0.2.{n}") for n in range(6)]
    answers = at_once(*(partial(one.post, CODE, {"code": code}) for one in clients))
    assert sorted(one.status_code for one in answers) == [200] * 5 + [302]
    assert [one.get("/admin/two-factor/").status_code for one in clients].count(200) == 1


def test_of_set_ups_in_several_sessions_one_wins_and_ends_the_others(ada: User) -> None:
    clients = [with_password() for _ in range(4)]
    for one in clients:
        one.post(PASSWORD, {"password": "right"})
    keys = [one.get(APP).context["form"].secret for one in clients]
    pairs = zip(clients, keys, strict=True)
    at_once(*(partial(one.post, APP, {"code": code_by(key)}) for one, key in pairs))
    assert Authenticator.objects.filter(type="totp").count() == 1
    inside = [one.get("/admin/two-factor/").status_code == 200 for one in clients]
    assert inside.count(True) == 1
    assert keys[inside.index(True)] == key_of(ada)
