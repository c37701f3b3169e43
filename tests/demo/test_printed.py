"""What README and docs/ show as printed is what is printed: every block with an output is played on the demo.

`make docs` writes anew what has changed of the commands' outputs. An API's answer may leave out parts (“…”) and be
wrapped; it is compared, and mended by hand.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import SyncNow
from sync.models import ApiToken, BoardLink, SyncQueue
from sync.operations.worker import drain
from sync.queue import SyncQueueService
from tests.demo.conftest import Played
from tests.metrics.test_log_lines import Lines, lines
from tests.support.clock import move_clock
from tests.support.servers import ROOT

__all__ = ["lines"]

pytestmark = pytest.mark.django_db

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LOGS = "docker compose logs"
CHANGING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{8}-…", "#"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC)?", "TIME"),
    (r"\b\d\d:\d\d(:\d\d)?( UTC)?\b", "TIME"),
    (r"\b[0-9a-f]{32}\b", "#"),
    (r'("id":|(?<=#))\d+', r"\1N"),
    (r"\b[78]\d{4,9}\b", "N"),  # boards, items, users of the sandbox
    (r"http://127\.0\.0\.1:\d+", "SITE"),
    (r"at \d+ \w+ \d{4}, TIME", "at TIME"),
    (r"(?m)^.* checked …\n", ""),  # progress, where no terminal shows it as a bar
)


@dataclass(frozen=True)
class Shown:
    """A command of a page, with what the page says it prints."""

    page: Path
    command: str
    output: str
    start: int
    """Where the output begins in the page's text."""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}: $ {self.command}"


def shown_on(page: Path) -> Iterator[Shown]:
    """Every command after a `$` in the page's blocks, with the lines that follow it."""
    for block in BLOCK.finditer(page.read_text()):
        at, lines = block.start(1), block[1].splitlines(keepends=True)
        while lines:
            line = lines.pop(0)
            at += len(line)
            if not line.startswith("$ "):
                continue
            command = line[2:]
            while lines and _goes_on(command):
                at += len(lines[0])
                command += lines.pop(0)
            output = ""
            while lines and not lines[0].startswith("$ "):
                output += lines.pop(0)
            yield Shown(page, command.strip(), output, at)
            at += len(output)


def _goes_on(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return True
    return command.rstrip().endswith("\\")


@dataclass
class Play:
    """A terminal beside the demo."""

    demo: Played
    lines: Lines
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """Do what a shell would, and return what is printed."""
        words = shlex.split(re.sub(r"\$([A-Z_]+)", lambda found: self.variables[found[1]], command))
        if "manage.py" in words:
            return self._manage(words[words.index("manage.py") + 1 :])
        if command.startswith(LOGS):
            return "\n".join(self.lines.texts)
        assert words[0] == "curl", f"nothing plays this, so nothing shows what it prints: {command}"
        return self._call(words[1:])

    def _manage(self, words: list[str]) -> str:
        out = io.StringIO()
        try:
            call_command(*words, stdout=out, stderr=io.StringIO())
        except (CommandError, SystemExit) as end:
            return out.getvalue() + (f"{end}\n" if isinstance(end, CommandError) and str(end) else "")
        return out.getvalue()

    def _call(self, words: list[str]) -> str:
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
        path = urlsplit(address)._replace(scheme="", netloc="").geturl()
        verb = method or ("POST" if body else "GET")
        answer = APIClient(headers=headers).generic(verb, path, body, content_type=kind)
        if verb == "POST" and answer.status_code == 201:
            self.variables |= {"ID": answer.json()["id"], "ETAG": answer["ETag"]}
        return answer.content.decode()


def same(shown: Shown, printed: str) -> bool:
    """Whether the page says what was printed, but for what differs each time."""
    said, now = _plain(shown.output), _plain(printed)
    if shown.command.startswith(("curl", LOGS)):
        said, now = re.sub(r"\s", "", said), re.sub(r"\s", "", now)
    if "…" not in said:
        return said == now
    at = 0
    for part in filter(None, (part.strip("\n") for part in said.split("…"))):
        if (found := now.find(part, at)) < 0:
            return False
        at = found + len(part)
    return True


def _plain(text: str) -> str:
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    return text.strip("\n")


def an_hour_has_passed(demo: Played) -> None:
    """What the demo's own writes left in the boards' logs is history, as for somebody who comes back to it."""
    move_clock(3_600)
    demo.sandbox.control("clock", offset_seconds=3_600)
    BoardLink.objects.update(swept_at=SyncNow(), swept_to=SyncNow())
    drain()


# --- what has to be so before a command prints what the page says ---


def a_person_changed_it(play: Play) -> None:
    drain()
    Contact.objects.filter(pk=play.variables["ID"]).update(role_title="Mathematician")
    drain()


def it_is_synced(play: Play) -> None:
    drain()


def a_dead_letter(play: Play) -> None:
    contact = Contact.objects.filter(sync_status="synced").last()
    assert contact is not None
    row = SyncQueue.objects.create(
        entity_type="contact", entity_id=contact.pk, status="failed", attempts=5, error_message="Refused."
    )
    SyncQueue.objects.exclude(pk=row.pk).filter(status="failed").delete()
    play.variables["ROW"] = str(row.pk)


def a_waiting_row(play: Play) -> None:
    contact = Contact.objects.filter(sync_status="synced").first()
    assert contact is not None
    contact.role_title = "Changed just now"
    contact.save()
    play.variables["ROW"] = str(SyncQueue.objects.get(entity_id=contact.pk, status="pending").pk)


def the_phone_changed_meanwhile(play: Play) -> None:
    conflict = SyncConflict.objects.get(resolved_at=None, kind="fields")
    play.variables["CONFLICT"] = str(conflict.pk)
    assert conflict.monday_item_id
    phone = {"phone": "+12025550190", "countryShortName": "US"}
    play.demo.sandbox.act("edit", item_id=conflict.monday_item_id, column_id="phone", value=phone)
    # As its webhook has it read, which no pause of what goes to Monday keeps back: another page has made one.
    heard = {"direction": QueueDirection.TO_NPD, "cause": Cause.WEBHOOK, "priority": Priority.EDIT}
    SyncQueueService().enqueue("contact", conflict.entity_id, **heard)
    drain()


@contextmanager
def without_a_token() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MONDAY_API_KEY", "MONDAY_WEBHOOK_TOKEN", "MONDAY_SIGNING_SECRET"):
            patch.setattr(settings, name, "")
        yield


BEFORE: dict[str, Callable[[Play], None]] = {
    "If-Match": a_person_changed_it,
    "/retry": a_dead_letter,
    "/cancel": a_waiting_row,
    "/cron/": it_is_synced,
    "$CONFLICT/resolve": the_phone_changed_meanwhile,
}


def test_what_the_pages_show_is_what_is_printed(played: Played, lines: Lines) -> None:
    admin = get_user_model().objects.get(username="admin")
    play = Play(played, lines, {"TOKEN": ApiToken.objects.create(admin)[1]})
    play.variables |= {"API": "http://127.0.0.1:8000/api/v1/sync", "CRON_SECRET": settings.CRON_SECRET}
    play.variables |= {"METRICS_TOKEN": settings.METRICS_TOKEN}
    an_hour_has_passed(played)
    stale = {}
    for page in PAGES:
        for one in shown_on(page):
            if not one.output.strip() and not one.command.startswith("curl"):
                continue  # nothing is said of what it prints
            printed = printed_by(play, one)
            if not same(one, printed):
                stale[one] = printed
    if os.environ.get("PRINTED") == "1":
        stale = {one: printed for one, printed in stale.items() if not written_anew(one, printed)}
    assert not stale, "\n\n".join(
        f"{one.where}\nsays:\n{one.output}\nprints:\n{printed[:1500]}" for one, printed in stale.items()
    )


def printed_by(play: Play, one: Shown) -> str:
    for words, prepare in BEFORE.items():
        if words in one.command:
            prepare(play)
    if one.page.name == "commands.md":
        with without_a_token():
            return play.run(one.command)
    return play.run(one.command)


def written_anew(one: Shown, printed: str) -> bool:
    """Put what was printed into the page; False where the page leaves parts out, which is a person's to mend."""
    if "…" in one.output or (one.command.startswith("curl") and len(printed) > 110):
        return False
    text = one.page.read_text()
    at = text.index(f"{one.command}\n{one.output}") + len(one.command) + 1
    gap = "\n" if one.output.endswith("\n\n") else ""
    one.page.write_text(text[:at] + printed.rstrip("\n") + "\n" + gap + text[at + len(one.output) :])
    return True


def test_no_variable_of_a_call_stands_in_single_quotes() -> None:
    """A shell would send its name."""
    calls = [one for page in PAGES for one in shown_on(page) if one.command.startswith("curl")]
    quoted = [one.where for one in calls if re.search(r"(?:^|\s)'[^']*\$[A-Z_]+[^']*'", one.command)]
    assert not quoted


def test_a_json_example_is_json() -> None:
    """Answers that are shown whole can be copied."""
    answers = [one.output for page in PAGES for one in shown_on(page) if one.command.startswith("curl")]
    for whole in answers:
        if "…" not in whole and whole.startswith(("{", "[")):
            json.loads(whole)
