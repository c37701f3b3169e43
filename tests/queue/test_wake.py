"""Wake-ups: sent on commit, at most one a second and board, and never in a save's way."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from npd.models import Contact
from sync import wake
from sync.tasks import work_board
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    wake._last_sent.clear()
    yield
    wait_for("no wake-up is owed", lambda: not wake._owed)
    wake._connection.cache_clear()


@pytest.fixture
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Redis that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        options = {"socket_connect_timeout": 0.1, "socket_timeout": 0.1, "max_retries": 0}
        monkeypatch.setattr(
            wake, "_connection", lambda process_id: Connection(url, transport_options=options)
        )
        monkeypatch.setattr(wake._connection, "cache_clear", lambda: None, raising=False)
        yield url


def messages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    monkeypatch.setattr(work_board, "apply_async", lambda args, **kwargs: sent.append(args))
    return sent


def test_many_saves_within_a_second_send_one_wake_up_at_once_and_one_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = messages(monkeypatch)
    monkeypatch.setattr(wake, "INTERVAL_SECONDS", 3.0)
    for n in range(20):
        Contact.objects.create(name=f"P{n}")
    assert sent == [("contact",)]
    wait_for("the second wake-up", lambda: len(sent) == 2)
    assert wake._owed == set()


def test_a_save_that_is_rolled_back_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import transaction

    sent = messages(monkeypatch)
    with transaction.atomic():
        Contact.objects.create(name="Ann")
        transaction.set_rollback(True)
    assert sent == []


def test_a_broker_that_never_answers_does_not_fail_the_save(silent_broker: str) -> None:
    contact = Contact.objects.create(name="Ann")
    assert Contact.objects.filter(pk=contact.pk).exists()


def test_a_wake_up_that_can_not_be_sent_says_so(silent_broker: str) -> None:
    assert wake.send("contact") is False


def test_a_wake_up_reaches_the_broker() -> None:
    assert wake.send("contact") is True
