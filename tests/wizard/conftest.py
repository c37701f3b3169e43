"""An administrator at the set-up, a Monday account, and a worker that works when the test says so."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from npd.models import Contact, Organization
from sync.admin.setup_forms import text_of_values
from sync.admin.setup_pages import SESSION_KEY
from sync.clock import sync_now
from sync.models import BoardLink
from sync.operations.setup.board_plan import SetupBoardPlan
from sync.operations.setup.plan import SetupPlan, make_plan, stored_plan
from sync.operations.setup.run import advance_setups
from sync.operations.setup.selection import Choices, plan_key
from sync.queue import SyncQueueService
from tests.admin.test_records import words_of
from tests.files.conftest import quiet
from tests.setup.conftest import monday, receiver
from tests.support.clock import move_clock, reset_clock
from tests.support.sandbox import Sandbox

__all__ = ["monday", "quiet", "receiver"]

START = "/admin/sync/boardlink/set-up/"

ENDS = ["", "boards/", "fields/contact/", "plan/", "run/"]

Rows = Sequence[tuple[str, str, str]]


class Wizard:
    """A person's clicks, and a worker's turns between them."""

    def __init__(self, monday: Any, client: Client, person: User) -> None:
        self.monday, self.client, self.person = monday, client, person
        self.mark = self.last_call()

    def last_call(self) -> int:
        return max((call["id"] for call in self.monday.calls()), default=0) if self.monday else 0

    def mutations(self) -> list[str]:
        """The mutations on Monday since the mark, webhooks included."""
        calls = self.monday.calls(since=self.mark)
        return [name for call in calls if call["kind"] == "mutation" for name in call["fields"]]

    def get(self, end: str = "") -> str:
        answer = self.client.get(START + end, follow=True)
        assert answer.status_code == 200, answer.status_code
        return words_of(answer.content.decode())

    def post(self, end: str = "", *, shows: bool = True, **form: Any) -> str:
        """Post a form; return the text of the next page if it is shown."""
        answer = self.client.post(START + end, form, follow=shows)
        assert answer.status_code == (200 if shows else 302), answer.status_code
        return words_of(answer.content.decode())

    @property
    def choices(self) -> dict[str, Choices]:
        return {key: Choices.parse(stored) for key, stored in self.client.session.get(SESSION_KEY, {}).items()}

    def boards(self, **choices: str) -> str:
        return self.post("boards/", **choices)

    def fields(
        self,
        kind: str = "contact",
        *,
        records: Rows | None = None,
        items: Rows | None = None,
        shows: bool = True,
        **changes: str,
    ) -> str:
        """Send the suggested fields with changes, e.g. `column_email="+"`; a filter row is field, comparison, value."""
        choices = self.choices[kind]
        form: dict[str, Any] = {"first_match": str(choices.first_match)}
        form |= {"creates_records": "on"} if choices.creates_records else {}
        for key, choice in choices.fields.items():
            form |= {f"{key}-{name}": value for name, value in asdict(choice).items()}
        for side, given in (("record", records), ("item", items)):
            stored = choices.sync_filter.get(f"{side}s", [])
            rows = [(c["field"], c["op"], text_of_values(c["labels"])) for c in stored] if given is None else given
            form |= {f"{side}-TOTAL_FORMS": len(rows), f"{side}-INITIAL_FORMS": 0}
            for number, row in enumerate(rows):
                form |= dict(zip((f"{side}-{number}-{part}" for part in ("field", "op", "text")), row, strict=True))
        for name, value in changes.items():
            part, _, key = name.partition("_")
            form[f"{key}-{part}" if part in ("column", "direction", "rule") else name] = value
        sent = {name: value for name, value in form.items() if value != "off"}
        return self.post(f"fields/{kind}/", shows=shows, **sent)

    def plan(self) -> None:
        self.get("plan/")
        make_plan(plan_key(self.choices))
        plan = self.stored_plan()
        assert plan.state == "done", plan.problem

    def stored_plan(self) -> SetupPlan:
        plan = stored_plan(plan_key(self.choices))
        assert plan is not None
        return plan

    def board_plan(self, kind: str = "contact") -> SetupBoardPlan:
        return next(plan for plan in self.stored_plan().boards if plan.chosen.choices.entity_type == kind)

    def planned(self, board: str, kind: str = "contact", *, namesakes: str = "", **changes: str) -> SetupBoardPlan:
        """Plan this board, with these changes of the suggestions, and an answer about all namesakes."""
        self.post("boards/", shows=False, **{kind: board})
        self.fields(kind, shows=False, **changes)
        if namesakes:
            self.post("plan/", shows=False, namesakes=f"{kind} {namesakes}")
        self.plan()
        self.mark = self.last_call()
        return self.board_plan(kind)

    def change(self, kind: str = "contact", **changes: str) -> SetupBoardPlan:
        self.post(f"change/{kind}/", shows=False)
        self.fields(kind, shows=False, **changes)
        self.plan()
        self.mark = self.last_call()
        return self.board_plan(kind)

    def start(self, **more: str) -> str:
        return self.post("plan/", plan=plan_key(self.choices), **more)

    def work(self) -> None:
        """Let a worker carry out the set-up."""
        advance_setups()

    def dies_at(self, step: str) -> None:
        """Let a worker begin to carry out the set-up and be killed at a step of `sync.operations.setup.run`."""

        class Died(BaseException):
            """Stands for kill -9."""

        def dies(*arguments: object, **options: object) -> None:
            raise Died

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(f"sync.operations.setup.run.{step}", dies)
            with pytest.raises(Died):
                self.work()

    def drain(self) -> None:
        """Let a worker work on the queue."""
        SyncQueueService().process(seconds=60)

    def settle(self) -> None:
        """Let workers work until nothing is due within ten minutes; the clock goes on from where it was."""
        offset = (sync_now() - datetime.now(UTC)).total_seconds()
        for seconds in (20, 120, 600):
            later(self.monday, offset + seconds)
            self.drain()

    def apply(self, **more: str) -> None:
        kinds = list(self.choices)
        self.post("plan/", shows=False, plan=plan_key(self.choices), **more)
        self.work()
        for kind in kinds:
            assert started(kind)["state"] == "done", started(kind)
        self.drain()

    def plan_shown(self) -> dict[str, int]:
        html = self.client.get(START + "plan/").content.decode()
        rows = re.findall(r'<tr data-row="([\w ]+)">.*?"Number">.*?([\d,]+)</a>', html, re.DOTALL)
        return {code: int(number.replace(",", "")) for code, number in rows}


def started(kind: str = "contact") -> dict[str, Any]:
    return BoardLink.objects.get(entity_type=kind).setup


@pytest.fixture
def wizard(person: User, monday: Sandbox, client: Client) -> Any:
    cache.clear()
    client.force_login(person)
    yield Wizard(monday, client, person)
    reset_clock()


@pytest.fixture
def away(person: User, client: Client, settings: Any) -> Any:
    """The set-up while Monday is down; boards that are to be made need no answer."""
    cache.clear()
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    settings.MONDAY_CONTACTS_BOARD_ID = settings.MONDAY_ORGANIZATIONS_BOARD_ID = ""
    client.force_login(person)
    yield Wizard(None, client, person)
    reset_clock()


def later(monday: Sandbox | None, seconds: float) -> None:
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


PEOPLE = (("mail", "E-mail address", "email"), ("tel", "Phone", "phone"), ("job", "Role", "text"))
FIRMS = (*PEOPLE, ("firm", "Company", "text"))


def people() -> tuple[Contact, Contact, Organization]:
    org = Organization.objects.create(name="Nova Labs")
    ann = Contact.objects.create(name="Ann Ångström", email="ann@x.org", organization=org)
    return ann, Contact.objects.create(name="Bob Stone", email="bob@x.org"), org


def set_up(wizard: Wizard) -> BoardLink:
    """Sync Ann and Bob with an existing board."""
    people()
    wizard.planned(a_board(wizard.monday, "CRM", *PEOPLE, ("position", "Position held", "text")))
    wizard.apply()
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")
