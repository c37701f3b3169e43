"""Each line of a pass has its batch id, each line of a request its request id; neither stays afterwards."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings as the_settings
from django.contrib.auth.models import User
from django.test import Client

from config.logs import logging_config
from sync.models import Intent
from sync.tasks import work_board
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        line = logging_config("INFO", True, the_settings.SECRET_TEXTS)["formatters"]["line"]
        self.setFormatter(line.pop("()")(**line))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def read(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = [json.loads(text) for text in self.texts]
        return lines

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.read() if line["event"] == event]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


@pytest.fixture(autouse=True)
def nothing_bound() -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    assert structlog.contextvars.get_contextvars() == {}


def test_all_lines_of_a_look_bear_the_batch_id_that_the_sync_state_keeps(world: World, lines: Lines) -> None:
    contact = world.contact("Ann")
    lines.texts.clear()
    world.work()
    batch = str(world.sync_state(contact).sync_batch_id)
    assert [line["batch"] for line in lines.named("monday answered")] == [batch, batch]
    [line] = lines.named("pass done")
    assert (line["batch"], line["board"]) == (batch, "contact")
    assert all(line.get("batch") == batch for line in lines.read() if line["logger"].startswith("sync."))
    # Calls also log the request id by which Monday's support finds them.
    calls = lines.named("monday answered")
    assert [call["call"] for call in calls] == ["read", "write"]
    assert all(call["monday_request"] for call in calls)
    assert calls[1]["monday_request"] == Intent.objects.get(entity_id=contact.pk).request_id


def test_a_call_that_fails_says_so_within_its_look(world: World, lines: Lines) -> None:
    contact = world.contact("Ann")
    world.sandbox.faults({"status": 400, "on": "mutation", "count": 20})
    lines.texts.clear()
    world.work()
    [failed] = lines.named("monday call failed")
    assert failed["batch"] == str(world.sync_state(contact).sync_batch_id)
    assert failed["level"] == "warning"


def test_lines_of_a_task_name_it_and_the_next_task_begins_with_nothing(world: World, lines: Lines) -> None:
    world.contact("Ann")
    lines.texts.clear()
    work_board.apply(args=("contact",), task_id="a-task")
    named = [(line["task"], line["task_id"]) for line in lines.named("pass done")]
    assert named == [("sync.work_board", "a-task")]


def test_a_request_has_an_id_in_its_lines_and_in_its_answer(client: Client, lines: Lines) -> None:
    answer = client.get("/api/v1/nothing-here")
    request_id = answer.headers["X-Request-ID"]
    [line] = [line for line in lines.read() if line["logger"] == "django.request"]
    assert line["request_id"] == request_id
    assert client.get("/healthz").headers["X-Request-ID"] != request_id


@pytest.mark.parametrize(
    ("address", "token", "event"),
    [
        ("/admin/npd/contact/export/", "x" * 32, "refused POST admin/npd/contact/export/: 403 csrf_token"),
        ("/admin/npd/contact/add/", None, "refused POST admin/npd/contact/add/: 403 csrf_cookie"),
        ("/nothing/a-secret-of-the-caller/", None, "refused POST -: 404 not_found"),
    ],
)
def test_a_refused_request_is_one_line_without_its_address(lines: Lines, address: str, token: Any, event: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ada"))
    if token:
        client.cookies["csrftoken"] = token
    client.post(address, {"csrfmiddlewaretoken": "y" * 32})
    refusals = [line for line in lines.read() if line["logger"].startswith("django.")]
    assert [(line["event"], line["level"], "exception" in line) for line in refusals] == [(event, "warning", False)]


@pytest.mark.parametrize(
    ("request_id", "is_taken"),
    [
        ("edge-4f2a-0001", True),
        *((request_id, False) for request_id in ("short", "x" * 65, "a b c d e f", "eyJhb.eyJhd.c2ln", 'x"}{"y":1')),
    ],
)
def test_a_proxys_request_id_is_taken_over_where_it_is_one(client: Client, request_id: str, is_taken: bool) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": request_id})
    assert (answer.headers["X-Request-ID"] == request_id) is is_taken


def test_no_log_line_holds_a_secret(world: World, client: Client, lines: Lines, settings: Any) -> None:
    contact = world.linked("Ann", email="ann@example.test")
    world.sandbox.faults({"status": 401})
    world.save(contact, name="Anna")
    path = f"/webhooks/monday/{settings.MONDAY_WEBHOOK_TOKEN}/"
    client.post(path, b"{", content_type="application/json")
    client.post(
        "/webhooks/monday/", b"{}", content_type="application/json", headers={"Authorization": "eyJh.eyJi.c2ln"}
    )
    settings.METRICS_TOKEN = "something-else"
    client.get("/metrics?token=figures-please", headers={"Authorization": "Bearer figures-please"})
    assert lines.named("webhook refused")
    secrets = [secret for secret in settings.SECRET_TEXTS if len(secret) >= 6]
    assert not [text for text in lines.texts for secret in [*secrets, "eyJh.eyJi", "figures-please"] if secret in text]
