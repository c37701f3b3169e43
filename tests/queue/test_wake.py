"""Wake-ups: sent on commit, at most one per second and board, and never in a save's way."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry
from kombu import Connection

from npd.models import Contact
from sync.outbox import wakeups
from sync.tasks import make_missing_periodic_tasks
from tests.support.site import purge_broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    wakeups._connection.cache_clear()


@pytest.fixture
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Redis that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        options = {"socket_connect_timeout": 0.1, "socket_timeout": 0.1, "max_retries": 0}
        monkeypatch.setattr(wakeups, "_connection", lambda process_id: Connection(url, transport_options=options))
        monkeypatch.setattr(wakeups._connection, "cache_clear", lambda: None, raising=False)
        yield url


def messages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args, **options: sent.append(args))
    return sent


def test_many_saves_in_a_moment_send_one_wake_up_and_owe_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = messages(monkeypatch)
    monkeypatch.setattr(wakeups, "INTERVAL_SECONDS", 3_600.0)  # however long the saves take
    for n in range(20):
        Contact.objects.create(name=f"P{n}")
    assert sent == [("contact",)]
    assert [entity_type for entity_type, _ in wakeups._scheduled] == ["contact"]


def test_a_broker_that_never_answers_does_not_fail_the_save(silent_broker: str) -> None:
    contact = Contact.objects.create(name="Ann")
    assert Contact.objects.filter(pk=contact.pk).exists()
    assert wakeups.send_task("sync.work_board", "contact") is False


def test_no_message_says_when_it_is_to_be_done_nor_holds_more_than_the_name_of_a_board() -> None:
    purge_broker()
    wakeups.wake_board("contact")
    wakeups.wake_board("contact", 0.05)
    wait_for("the second was sent", lambda: not wakeups._scheduled)
    for message in (next_message(), next_message()):
        assert message.headers["eta"] is None
        assert message.headers["expires"] is None
        assert message.payload[:2] == [["contact"], {}]


def test_no_job_of_the_schedule_says_when_it_is_to_be_done_nor_holds_anything() -> None:
    purge_broker()
    make_missing_periodic_tasks()
    current_app.loader.import_default_modules()
    entries = [ModelEntry(row) for row in PeriodicTask.objects.all()]
    for entry in entries:
        current_app.tasks[entry.task].apply_async(entry.args, entry.kwargs, **entry.options)
        message = next_message()
        assert (message.headers["task"], message.headers["eta"]) == (entry.task, None)
        assert message.payload[:2] == [[], {}]
    assert {entry.name for entry in entries} == settings.SCHEDULE.keys()


def next_message() -> Any:
    with current_app.connection_for_read() as broker:
        queue = broker.SimpleQueue(current_app.conf.task_default_queue)
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    return message


def test_a_later_wake_up_joins_those_at_once_and_a_far_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = messages(monkeypatch)
    wakeups.wake_board("contact", 60)
    wakeups.wake_board("contact", 3_600)
    Contact.objects.create(name="Ann")
    Contact.objects.create(name="Ben")
    wait_for("the one at once and the one at the second's end", lambda: sent == [("contact",)] * 2)
    assert len(wakeups._scheduled) == 1
