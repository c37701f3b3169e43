"""The calls that docs/ show with an answer are answered so on the demo; an answer may leave out parts (“…”)."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.choices import Cause, Priority, QueueDirection
from sync.models import ApiToken
from sync.operations.worker import drain
from sync.queue import SyncQueueService
from tests.demo.conftest import Played
from tests.support.servers import ROOT

pytestmark = pytest.mark.django_db

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
CHANGING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\s")


def calls() -> Iterator[tuple[str, str]]:
    """Each call of curl after a `$`, and the answer below it."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, brace, answer = shown.partition("\n{")
                if command.startswith("curl"):
                    yield command.strip(), brace + answer


@dataclass
class Play:
    """A terminal beside the demo."""

    demo: Played
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """Do what a shell and curl would, and return what is printed."""
        words = shlex.split(re.sub(r"\$([A-Z_]+)", lambda match: self.variables[match[1]], command))[1:]
        method, headers, body, address = "", {}, "", ""
        while words:
            word = words.pop(0)
            if word == "-X":
                method = words.pop(0)
            elif word == "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = words.pop(0)
            elif not word.startswith("-"):
                address = word
        kind = headers.pop("Content-Type", "application/json")
        verb = method or ("POST" if body else "GET")
        answer = APIClient(headers=headers).generic(verb, urlsplit(address).path, body, content_type=kind)
        if answer.status_code == 201:
            self.variables |= {"ID": answer.json()["id"], "ETAG": answer["ETag"]}
        return answer.content.decode()


def says_the_same(shown: str, printed: str) -> bool:
    rest = CHANGING.sub("", printed)
    for part in CHANGING.sub("", shown).split("…"):
        start = rest.find(part)
        if start < 0:
            return False
        rest = rest[start + len(part) :]
    return True


# --- what has to be so before a call is answered as the page says ---


def a_person_changed_it(play: Play) -> None:
    drain()
    Contact.objects.filter(pk=play.variables["ID"]).update(role_title="Mathematician")
    drain()


def it_is_synced(play: Play) -> None:
    drain()


def the_phone_changed_meanwhile(play: Play) -> None:
    conflict = SyncConflict.objects.get(resolved_at=None, kind="fields")
    play.variables["CONFLICT"] = str(conflict.pk)
    assert conflict.monday_item_id
    phone = {"phone": "+12025550190", "countryShortName": "US"}
    play.demo.sandbox.act("edit", item_id=conflict.monday_item_id, column_id="phone", value=phone)
    heard = {"direction": QueueDirection.TO_NPD, "cause": Cause.WEBHOOK, "priority": Priority.EDIT}
    SyncQueueService().enqueue("contact", conflict.entity_id, **heard)
    drain()


BEFORE: dict[str, Callable[[Play], None]] = {
    "If-Match": a_person_changed_it,
    "/cron/": it_is_synced,
    "$CONFLICT/resolve": the_phone_changed_meanwhile,
}


def test_what_the_pages_show_is_what_is_answered(played: Played) -> None:
    admin = get_user_model().objects.get(username="admin")
    play = Play(played, {"TOKEN": ApiToken.objects.create(admin)[1], "CRON_SECRET": settings.CRON_SECRET})
    for command, shown in calls():
        for words, prepare in BEFORE.items():
            if words in command:
                prepare(play)
        printed = play.run(command)
        assert says_the_same(shown, printed), f"$ {command}\nsays:{shown}\nprints:\n{printed[:1500]}"


def test_no_variable_of_a_call_stands_in_single_quotes() -> None:
    """A shell would send its name."""
    assert not [command for command, _ in calls() if re.search(r"(?:^|\s)'[^']*\$[A-Z_]+[^']*'", command)]
