"""Every example of docs/reference/http.md is sent, and answers what stands below it."""

import json
import re
import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import ApiToken
from tests.admin import states

PAGE = (settings.BASE_DIR / "docs" / "reference" / "http.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CALLS = [call for _, text in BLOCKS for call in re.split(r"^\$ (?=curl )", text, flags=re.MULTILINE)[1:]]
QUERIES = sorted(set(re.findall(r"`\??(\w+=[\w:.&=-]+)`", PAGE)))


@pytest.fixture
def known(person: User) -> dict[str, str]:
    """What the examples name: a contact whose tag has changed since, and a conflict whose phone has."""
    contact, conflict = states.conflicting("Ben", "5001")
    values = {"phone": "+1 202-555-0190", "role_title": "Head of Procurement"}
    own = {"phone": "+1 202-555-0112", "role_title": "Director of Purchasing"}
    changes = {"conflict_fields": [*own], "npd_data": own, "monday_data": values, "base_data": dict.fromkeys(own, "")}
    SyncConflict.objects.filter(pk=conflict.pk).update(**changes)
    token = ApiToken.objects.create(person)[1]
    return {"TOKEN": token, "ID": str(contact.pk), "ETAG": '"of-before"', "CONFLICT": str(conflict.pk)}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_answers_what_the_page_shows(known: dict[str, str], call: str) -> None:
    command = re.match(r".*?(?<!\\)\n(?=\{)", call, re.DOTALL) or pytest.fail("There is no answer.")
    words = iter(shlex.split(re.sub(r"\$(\w+)", lambda name: known[name[1]].replace('"', '\\"'), command[0])))
    method, url, body, headers = "GET", "", "", {}
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            method = "POST" if method == "GET" else method
            body = next(words)
        elif word.startswith("http"):
            url = word
    answer = APIClient().generic(method, url, body, "application/json", headers=headers)
    assert answer.status_code < 500
    text = re.sub(r"\s+", "", json.dumps(answer.json(), ensure_ascii=False))
    for part in call[command.end() :].split("…"):
        shown = re.sub(r"\s+", "", part)
        shown = re.sub(r'"id":"[0-9a-f-]+"', lambda _: f'"id":"{answer.json()["id"]}"', shown)
        assert shown.strip(",}") in text


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_understood(api: APIClient, query: str) -> None:
    assert api.get(f"/api/v1/contacts/?{query}").status_code == 200


def test_the_readers_loop_reads_every_page_and_goes_on_from_its_mark(api: APIClient) -> None:
    [code] = [text for language, text in BLOCKS if language == "python"]
    Contact.objects.bulk_create(Contact(name=f"Contact {number}") for number in range(60))
    records: list[Any] = []
    numbers: list[int] = []

    def sleep(seconds: float) -> None:
        numbers.append(len(records))
        if len(numbers) == 3:
            raise StopIteration
        if len(numbers) == 2:
            Contact.objects.create(name="Late")

    session = SimpleNamespace(headers={}, get=lambda url, timeout: api.get(url))
    given = {"requests": SimpleNamespace(Session=lambda: session), "time": SimpleNamespace(sleep=sleep)}
    with pytest.raises(StopIteration):
        exec(code, {**given, "TOKEN": "npd_x", "store": records.append})
    assert numbers == [60, 60, 61]
