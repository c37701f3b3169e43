"""Where somebody is signed in: listed, and ended one by one, all others, or by an administrator."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client

PAGE = "/admin/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def signed_in(agent: str = FIREFOX) -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR="192.0.2.44")
    client.post("/admin/login/", {"username": "ada", "password": "right"})
    return client


def is_in(client: Client) -> bool:
    return client.get(PAGE).status_code == 200


def test_a_person_sees_their_browsers_and_ends_one_or_all_others(ada: User) -> None:
    here, there, third = signed_in(), signed_in("Safari/605 (iPhone)"), signed_in()
    found = here.get(PAGE).context["sessions"]
    assert [one.is_this for one in found] == [True, False, False]
    assert {one.browser for one in found} == {"Firefox · Linux", "Safari · iPhone"}
    assert {one.network for one in found} == {"192.0.2.x"}
    keys = [client.session.session_key for client in (here, there, third)]
    assert not any(key in here.get(PAGE).content.decode() for key in keys)
    (phone,) = [one for one in found if "iPhone" in one.browser]
    here.post(PAGE, {"session": phone.pk})
    assert [is_in(one) for one in (here, there, third)] == [True, False, True]
    here.post(PAGE)
    assert [is_in(one) for one in (here, third)] == [True, False]


def test_nobody_ends_anothers_session_but_an_administrator(ada: User) -> None:
    hers = signed_in()
    handle = hers.get(PAGE).context["sessions"][0].pk
    bob = Client()
    bob.force_login(User.objects.create_user("bob", is_staff=True))
    bob.post(PAGE, {"session": handle})
    bob.post(f"/admin/auth/user/{ada.pk}/remove-second-factor/", {"confirmed": "yes"})
    assert is_in(hers)
    admin = Client()
    admin.force_login(User.objects.create_superuser("dora", "d@example.test", "x"))
    admin.post(f"/admin/auth/user/{ada.pk}/remove-second-factor/", {"confirmed": "yes"})
    assert not is_in(hers)


def test_a_new_password_ends_the_others(ada: User) -> None:
    here, there = signed_in(), signed_in()
    typed = {"old_password": "right", "new_password1": "Quite-another-1", "new_password2": "Quite-another-1"}
    assert here.post("/admin/password_change/", typed).status_code == 302
    assert [is_in(one) for one in (here, there)] == [True, False]
