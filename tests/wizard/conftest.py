"""An administrator at the wizard, an account of Monday's, and a worker that works when the test says so."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import unescape
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact, Organization
from sync.models import SetupDraft
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from sync.operations.setup.fields import parse_choices
from sync.operations.setup.run import advance_drafts
from sync.outbox import notify
from sync.queue import SyncQueueService
from tests.setup.fixtures import monday, receiver
from tests.support.clock import move_clock, reset_clock
from tests.support.sandbox import Sandbox

__all__ = ["monday", "receiver"]

START = "/admin/sync/boardlink/set-up/"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-up leaves the test."""
    monkeypatch.setattr(notify, "notify_now", lambda entity_type: True)
    monkeypatch.setattr(notify, "notify_board", lambda entity_type: True)
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)


@pytest.fixture
def person(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("dora", "dora@example.com", "x")


class Wizard:
    """What a person clicks, and what a worker does between two clicks."""

    def __init__(self, monday: Any, client: Client, person: User) -> None:
        self.monday, self.client, self.person = monday, client, person
        self.mark = self.last_call()

    def last_call(self) -> int:
        return max((call["id"] for call in self.monday.calls()), default=0) if self.monday else 0

    def mutations(self) -> list[str]:
        """What was written on Monday since the wizard was opened, webhooks included."""
        found = self.monday.calls(since=self.mark)
        return [name for call in found if call["kind"] == "mutation" for name in call["fields"]]

    def get(self, end: str = "") -> str:
        answer = self.client.get(START + end, follow=True)
        assert answer.status_code == 200, answer.status_code
        return words_of(answer.content.decode())

    def post(self, end: str = "", **form: Any) -> str:
        answer = self.client.post(START + end, form, follow=True)
        assert answer.status_code == 200, answer.status_code
        return words_of(answer.content.decode())

    def boards(self, **choices: str) -> str:
        """Choose boards."""
        return self.post("boards/", **choices)

    def map(self, kind: str, **changes: str) -> str:
        """Send the page as it was shown, with these changes; `column_email="+"`."""
        self.get(f"map/{kind}/")
        form: dict[str, str] = {}
        for key, one in draft(kind).fields.items():
            form |= {f"{name}-{key}": value for name, value in one.items()}
        form |= {name.replace("_", "-", 1): value for name, value in changes.items()}
        return self.post(f"map/{kind}/", **form)

    def work(self) -> None:
        """What a worker does for the wizard."""
        advance_drafts()

    def drain(self) -> None:
        """What a worker does for the queue."""
        SyncQueueService().process(seconds=60)

    def confirm(self, **seen: str) -> str:
        """Confirm the plan as it is now, or as it was shown."""
        return self.post("plan/", **(plans_shown() | seen))

    def answer(self, kind: str, **answers: str) -> str:
        given = {f"answer-{record}": value for record, value in answers.items()}
        return self.post("match/", go="answers", **given)

    def match(self, kind: str, go: str = "", **options: str) -> str:
        """Send the match page's form with these options of a kind of records, by the button that leads there."""
        form = {"threshold": str(draft(kind).threshold), "first_match": draft(kind).first_match} | options
        return self.post("match/", go=go, **{f"{kind}-{name}": value for name, value in form.items()})

    def plan_shown(self) -> dict[str, int]:
        """The numbers of the plan's page, of what is done and what is not, by their codes."""
        html = self.client.get(START + "plan/").content.decode()
        rows = re.findall(r'<tr data-row="(\w+)">\s*<th[^>]*>\s*([\d,]+) ', html)
        return {code: int(number.replace(",", "")) for code, number in rows}

    def plan_leaves(self) -> dict[str, list[str]]:
        """The fields and columns that the plan's page says nothing, or one side only, is synced of."""
        html = self.client.get(START + "plan/").content.decode()
        lines = re.findall(r'<li data-left="(\w+)">(.*?)</li>', html, re.DOTALL)
        return {code: re.findall(r"<bdi>(.*?)</bdi>", line) for code, line in lines}

    def calls_sides_the_same(self) -> bool:
        return "data-same" in self.client.get(START + "plan/").content.decode()

    def compared(self, board: str, kind: str = "contact", **mapped: str) -> None:
        """A set-up with this board, mapped as suggested but for these changes, and compared: no page is shown."""
        self.begin(board, kind, **mapped)
        self.work()
        assert draft(kind).state == "compared", draft(kind).problem
        self.mark = self.last_call()

    def begin(self, board: str, kind: str = "contact", *, creates: bool | None = None, **mapped: str) -> None:
        """A set-up with this board, mapped so; `creates`: whether items become records."""
        drafts.choose_boards(self.person, {kind: board})
        self.choose(kind, **mapped)
        if creates is not None:
            drafts.choose_matching(self.person, kind, {}, options=(88, "ask", creates))
            plan.compare_if_due()

    def choose(self, kind: str, **changes: str) -> None:
        """What `map` sends, without its pages."""
        fields = draft(kind).fields
        for name, value in changes.items():
            what, key = name.split("_", 1)
            fields[key][what] = value
        assert drafts.choose_fields(self.person, kind, parse_choices(fields)) == {}
        plan.compare_if_due()

    def apply(self) -> None:
        """Confirm the plan, carry it out, and work on the queue: no page is shown."""
        shown = {name.removeprefix("plan-"): token for name, token in plans_shown().items()}
        plan.confirm_setup(self.person, shown)
        self.work()
        for kind in shown:
            assert draft(kind).state == "done", draft(kind).problem
        self.drain()


def plans_shown(*kinds: str) -> dict[str, str]:
    """What the plan's page sends for these kinds of records, or all that are open."""
    found = SetupDraft.objects.exclude(state="done")
    return {f"plan-{one.entity_type}": one.version for one in found if not kinds or one.entity_type in kinds}


def draft(kind: str = "contact") -> SetupDraft:
    return SetupDraft.objects.get(entity_type=kind)


def words_of(html: str) -> str:
    """The page's words, without the tags."""
    text = re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.fixture
def wizard(person: User, monday: Sandbox, client: Client) -> Any:
    client.force_login(person)
    yield Wizard(monday, client, person)
    reset_clock()


@pytest.fixture
def away(person: User, client: Client, settings: Any) -> Any:
    """The wizard while no Monday answers: boards that are to be made, and drafts as rows, need none."""
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    settings.MONDAY_CONTACTS_BOARD_ID = settings.MONDAY_ORGANIZATIONS_BOARD_ID = ""
    client.force_login(person)
    yield Wizard(None, client, person)
    reset_clock()


def compared_with(wizard: Wizard, *pairs: tuple[Contact, str], **found: Any) -> list[str]:
    """A compared set-up, whose records are like items with these names; returns the items' ids."""
    wizard.compared("new")
    ids = [str(number) for number in range(100, 100 + len(pairs))]
    near = [
        {"record": str(record.pk), "name": record.name, "item": item, "item_name": name, "alike": 95}
        for item, (record, name) in zip(ids, pairs, strict=True)
    ]
    SetupDraft.objects.filter(pk="contact").update(found=draft().found | {"near": near} | found)
    return ids


def later(monday: Sandbox | None, seconds: float) -> None:
    """Let time pass, here and on Monday."""
    move_clock(seconds)
    if monday is not None:
        monday.control("clock", offset_seconds=seconds)


def a_board(monday: Sandbox, name: str, *columns: tuple[str, str, str], items: Sequence[dict[str, Any]] = ()) -> str:
    """A board that people made by hand: columns (id, title, type), items {name, column: value}."""
    board_id = monday.add_board(name, *columns)
    monday.query('mutation ($b: ID!) { create_group(board_id: $b, group_name: "People") { id } }', b=board_id)
    for item in items:
        an_item(monday, board_id, **item)
    return board_id


def an_item(monday: Sandbox, board_id: str, name: str, **values: Any) -> str:
    answer = monday.query(
        "mutation ($b: ID!, $n: String!, $v: JSON)"
        " { create_item(board_id: $b, item_name: $n, column_values: $v) { id } }",
        b=board_id, n=name, v=json.dumps(values),
    )  # fmt: skip
    assert "errors" not in answer, answer
    return str(answer["data"]["create_item"]["id"])


def mail(address: str) -> dict[str, str]:
    return {"email": address, "text": address}


PEOPLE = (("mail", "E-mail address", "email"), ("tel", "Phone", "phone"), ("job", "Role", "text"))


def people() -> tuple[Contact, Contact, Organization]:
    """Two contacts of one organization."""
    org = Organization.objects.create(name="Nova Labs")
    ann = Contact.objects.create(name="Ann Ångström", email="ann@x.org", organization=org)
    return ann, Contact.objects.create(name="Bob Stone", email="bob@x.org"), org


def planned(wizard: Wizard) -> str:
    """A set-up of two people, compared; where no Monday answers, of a board that is to be made. Returns the board."""
    people()
    board = a_board(wizard.monday, "CRM", *PEOPLE) if wizard.monday else "new"
    wizard.compared(board)
    return board
