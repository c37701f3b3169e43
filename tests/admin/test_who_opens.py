"""Who opens what: every admin page by each group, as recorded, and the menu for each single right.

After an intended change: RECORD=1 make test ARGS="tests/admin/test_who_opens.py"
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.template import Template
from django.test import Client, RequestFactory
from django.urls import resolve

from config.navigation import sections
from sync import attention
from sync.attention import Kind
from sync.models import FieldMapping
from tests.admin.all_pages import by_name, furnish, of_models, without_a_row
from tests.admin.test_who_may import EDIT, OPERATE, PAGE, RESOLVE, Member, member, nobody_works
from tests.support.people import own_group

__all__ = ["member", "nobody_works"]
pytestmark = pytest.mark.django_db
RECORDED = Path(__file__).parent / "who_opens.txt"
NOBODY = "no group"
# Our two, and one made by an administrator.
GROUPS = (RESOLVE, EDIT, OPERATE)


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip rendering: access is decided before, and test_every_page checks the pages."""
    monkeypatch.setattr(Template, "render", lambda self, context: "")
    monkeypatch.setattr(admin.site, "each_context", lambda request: {})  # the menu is asked for by itself


def opens(client: Client, address: str) -> bool:
    answer = client.get(address)
    return answer.status_code < 400 and "/login/" not in answer.headers.get("Location", "")


def one_of_each_page(world: dict[str, Any]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for address in chain(["/api/v1/docs/"], of_models(), without_a_row(), by_name(world)):
        if address.startswith(("/accounts/", "/admin/", "/api/v1/docs/")):
            addresses.setdefault(resolve(address.partition("?")[0]).view_name, address)
    return addresses


def listed(names: Iterable[str], everybody: int) -> str:
    named = list(names)
    return "everybody" if len(named) == everybody else ", ".join(named) or "administrators alone"


def by_group(world: dict[str, Any], person: User, member: Member) -> Iterator[str]:
    """Which of GROUPS, or no group, open each page that an administrator opens."""
    pages, dora = one_of_each_page(world), Client()
    dora.force_login(person)
    who_opens: dict[str, list[str]] = {name: [] for name, address in pages.items() if opens(dora, address)}
    rights: dict[str, set[str]] = {}
    for group in (NOBODY, *GROUPS):
        client = member.acting_as(group)
        rights[group] = User.objects.get(pk=member.user.pk).get_all_permissions()
        for name, openers in who_opens.items():
            # Rights only add up: what opens to a group opens to one with more rights.
            if any(rights[opener] <= rights[group] for opener in openers) or opens(client, pages[name]):
                openers.append(group)
    yield from (f"{name}: {listed(openers, len(GROUPS) + 1)}" for name, openers in sorted(who_opens.items()))


@pytest.mark.slow
def test_each_group_opens_what_is_recorded(
    world: dict[str, Any], person: User, member: Member, caplog: pytest.LogCaptureFixture, unwritten: None
) -> None:
    caplog.set_level(logging.ERROR, "django.request")  # hundreds of refusals, each with its traceback
    furnish(world, person)
    now = "".join(f"{line}\n" for line in by_group(world, person, member))
    if os.environ.get("RECORD") == "1":
        RECORDED.write_text(now)
    assert RECORDED.read_text().splitlines() == now.splitlines()


@pytest.mark.slow
def test_the_menu_shows_nothing_that_a_single_right_does_not_open(
    world: dict[str, Any], member: Member, caplog: pytest.LogCaptureFixture, unwritten: None
) -> None:
    caplog.set_level(logging.ERROR, "django.request")
    kinds = ContentType.objects.get_for_models(*admin.site._registry, FieldMapping).values()
    guarded = [section for section in sections() if section.path and not opens(member.client, section.link)]
    assert len(guarded) > 10
    for right in Permission.objects.filter(content_type__in=kinds).exclude(codename__regex="^(add|delete)_"):
        member.user.user_permissions.set([right])
        request = RequestFactory().get("/admin/")
        request.user = User.objects.get(pk=member.user.pk)
        shown = [section for section in guarded if section.may_be_seen(request)]
        assert all(opens(member.client, section.link) for section in shown), right


def test_the_documentation_says_who_opens_which_page_of_the_menu() -> None:
    columns = (RESOLVE, EDIT)
    table = PAGE.read_text().partition("## What each group opens")[2].partition("\n#")[0]
    rows = re.findall(r"^\| ([a-z][a-z, ]+) \| ([A-Z][^|]+) \|$", table, re.MULTILINE)
    groups = {title: openers.split(", ") for openers, titles in rows for title in titles.split(" · ")}
    documented = {title: tuple(column in openers for column in columns) for title, openers in groups.items()}
    lines = RECORDED.read_text().splitlines()
    who_opens = {name: openers.split(", ") for name, openers in (line.rsplit(": ", 1) for line in lines)}
    pages = {section.title: section.link for section in sections() if section.path} | {
        "Export of a list": "/admin/npd/contact/export/"
    }
    names = {title: resolve(address.partition("?")[0]).view_name for title, address in pages.items()}
    recorded = {title: who_opens.get(name, []) for title, name in names.items()}
    assert documented == {
        title: tuple(column in openers for column in columns)
        for title, openers in recorded.items()
        if openers != ["everybody"]
    }


def test_settings_lead_only_to_what_one_can_use(client: Client) -> None:
    technical = {"Monday connection", "Jobs"}
    for group, is_led in (("view", False), ("operate", True)):
        person = User.objects.create_user(group, is_staff=True)
        person.groups.add(own_group(group))
        client.force_login(person)
        settings = client.get("/admin/settings/").context
        titles = {card.title for card in settings["cards"]}
        assert "Advanced" not in titles
        assert client.get("/admin/settings/advanced/").status_code == 403
        assert titles & technical == (technical if is_led else set())
        assert "Notifications" in titles
        assert client.get("/admin/sync/syncqueue/").status_code == 200, "a link to it is not broken"


def test_who_only_resolves_conflicts_is_shown_and_counts_those_alone(world: dict[str, Any], member: Member) -> None:
    client = member.acting_as(RESOLVE)
    # The same for somebody who may view the rest, too: that waits for those who may act on it.
    member.user.groups.add(own_group("view"))
    shown = attention.kinds_shown_to(User.objects.get(pk=member.user.pk))
    counts = attention.counts()
    assert min(counts[Kind.UNMATCHED], counts[Kind.FAILED]) > 0
    own = {Kind.REMOVED, Kind.CONFLICT, Kind.DUPLICATE, Kind.REJECTED}
    assert shown.kinds == own
    counted = sum(number for kind, number in attention.group_counts(shown).items() if kind in own)
    assert sum(client.get("/api/v1/sync/stats").json()["needs_attention"].values()) == counted
    page = client.get("/admin/")
    assert {box.group.kind for box in page.context["boxes"]} == {kind for kind in own if counts[kind]}


def test_what_one_may_only_read_is_listed_but_does_not_wait_for_them(world: dict[str, Any], member: Member) -> None:
    client = member.acting_as("view")
    assert client.get("/admin/").context["boxes"]
    assert client.get("/admin/").context["reads_only"]
    assert client.get("/admin/").context["home_state"].colour == "warn"
