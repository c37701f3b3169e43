"""Somebody of “view” changes nothing by sending what an administrator's pages would send."""

import logging
from typing import Any
from urllib.parse import urldefrag

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.template import Template

from tests.admin.all_pages import pages
from tests.admin.forms import presses
from tests.admin.test_who_may import Member, member, nobody_works
from tests.support.people import signed_in

__all__ = ["member", "nobody_works"]
pytestmark = pytest.mark.django_db
# What everybody may do with their own account; signing out would end the session.
OWN = (
    "/admin/logout/",
    "/admin/password_change/",
    "/admin/theme",
    "/accounts/",
    "/admin/sync/apitoken/add/",
    "/admin/notifications/",
)
# Whoever sees a list may export it, which is logged.
EXPORT = "/export/"
COUNTED = {"django_session", "usersessions_usersession", "sync_cache"}


def stored() -> dict[str, str]:
    """A digest of every table's rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sorted({name for (name,) in cursor.fetchall()} - COUNTED)
        digests = {}
        for name in tables:
            cursor.execute(f'SELECT md5(string_agg(one::text, chr(10) ORDER BY one::text)) FROM "{name}" AS one')
            digests[name] = cursor.fetchone()[0]
    return digests


@pytest.mark.hostile
@pytest.mark.slow
def test_no_button_of_an_administrator_works_for_who_may_only_look(
    world: dict[str, Any],
    person: User,
    member: Member,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.CRITICAL, "django.request")
    sent = {}
    for address, html in pages(signed_in(person), world, person).items():
        for to, values in presses(html, address):
            sent[f"{urldefrag(to)[0]} {sorted(map(str, values.items()))}"] = urldefrag(to)[0], values
    viewer, before = member.acting_as("view"), stored()
    # Acts are decided before their page is rendered.
    monkeypatch.setattr(Template, "render", lambda self, context: "")
    monkeypatch.setattr(admin.site, "each_context", lambda request: {})
    for to, values in sent.values():
        if not (to.startswith(OWN) or to.endswith(EXPORT)):
            answer = viewer.post(to, values | {"confirmed": "yes", "post": "yes"})
            assert answer.status_code < 500, (to, values)
    after = stored()
    assert {name for name in after if after[name] != before[name]} == set()
    assert len(sent) > 500
