"""A sender that dies at any point loses no event and invents none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from npd.models import Contact
from sync.models import FeedEvent, WebhookDelivery, WebhookEndpoint
from sync.operations.event_feed import place_events
from sync.operations.outgoing_webhooks import OF_ONE_ENDPOINT, deliver_webhooks, make_endpoint, send_test_event
from tests.support.clock import reset_clock
from tests.support.waiting import beside
from tests.support.webhook_receiver import webhook_receiver

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(settings: Any, transactional_db: None) -> dict[str, str]:
    """What a process of its own needs to work on this test's database, with receivers on this machine."""
    settings.NOTIFY_PRIVATE_ADDRESSES = True
    database = connection.settings_dict
    host = database["HOST"] or ""
    # A socket's folder stands in the query, as in libpq's own addresses.
    place = (
        f"/{database['NAME']}?host={host}" if host.startswith("/") else f"{host}:{database['PORT']}/{database['NAME']}"
    )
    address = f"postgres://{database['USER']}:{database['PASSWORD']}@{place}"
    return os.environ | {"DATABASE_URL": address, "NOTIFY_PRIVATE_ADDRESSES": "true", "PYTHONPATH": str(ROOT)}


def test_a_sender_that_is_killed_at_each_of_its_points_loses_and_invents_nothing(environment: dict[str, str]) -> None:
    person = User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")
    try:
        with webhook_receiver() as receiver:
            make_endpoint({"address": receiver.address}, person)
            Contact.objects.bulk_create(Contact(name=f"Person {n}") for n in range(3))
            done = subprocess.run(
                [sys.executable, "-m", "tests.following.dying_sender"],
                cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-2_000:]
            assert int(done.stdout.split()[-1]) >= 20
            events = {str(uid) for uid in FeedEvent.objects.values_list("uid", flat=True)}
            assert set(receiver.ids) == events
            assert len(receiver.ids) > len(events)  # some died between the call and its note
        assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}
        assert WebhookDelivery.objects.count() == len(events) == 3
        assert sorted(FeedEvent.objects.values_list("position", flat=True)) == [1, 2, 3]
    finally:
        reset_clock()


@pytest.mark.parametrize(
    "statement",
    # While it gives places, as it makes deliveries, and as it claims them.
    ["UPDATE sync_events", "INSERT INTO sync_webhook_deliveries", 'UPDATE "sync_webhook_deliveries"'],
)
def test_a_sender_that_stands_still_holds_up_neither_the_feed_nor_the_others(
    environment: dict[str, str], statement: str
) -> None:
    person = User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")
    with webhook_receiver() as receiver:
        make_endpoint({"address": receiver.address}, person)
        Contact.objects.bulk_create(Contact(name=f"Person {n}") for n in range(3))
        stopped = subprocess.Popen(
            [sys.executable, "-m", "tests.following.dying_sender", "stop", statement], cwd=ROOT, env=environment
        )
        try:
            _, status = os.waitpid(stopped.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            Contact.objects.create(name="Meanwhile")
            end = time.monotonic() + 60
            while WebhookDelivery.objects.filter(state="delivered").count() < 4 and time.monotonic() < end:
                deliver_webhooks()
        finally:
            stopped.kill()
            stopped.wait()
        assert sorted(receiver.ids) == sorted(str(uid) for uid in FeedEvent.objects.values_list("uid", flat=True))
    assert sorted(FeedEvent.objects.values_list("position", flat=True)) == [1, 2, 3, 4]


def test_who_is_woken_while_another_sends_leaves_it_to_that_one(environment: dict[str, str]) -> None:
    person = User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")
    came, answers = threading.Event(), threading.Event()
    with webhook_receiver() as receiver:
        make_endpoint({"address": receiver.address}, person)
        receiver.meanwhile = lambda: (came.set(), answers.wait(5))
        Contact.objects.bulk_create(Contact(name=f"Person {n}") for n in range(3 * OF_ONE_ENDPOINT))
        sender = beside(deliver_webhooks)
        assert came.wait(30)
        deliver_webhooks()
        # A worker that waited along would have begun other calls, and be missing where records are synced.
        begun = len(receiver.ids)
        answers.set()
        sender.result(60)
        assert begun <= OF_ONE_ENDPOINT
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_a_lock_that_somebody_keeps_on_one_endpoint_holds_up_no_other(environment: dict[str, str]) -> None:
    person = User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")
    with webhook_receiver() as locked, webhook_receiver() as free:
        endpoint, _secret = make_endpoint({"address": locked.address}, person)
        make_endpoint({"address": free.address}, person)
        delivery = send_test_event(endpoint)
        Contact.objects.create(name="Meanwhile")
        with psycopg.connect(environment["DATABASE_URL"]) as other:
            other.execute("SELECT 1 FROM sync_webhook_endpoints WHERE id = %s FOR UPDATE", [endpoint.pk])
            deliver_webhooks()
        delivery.refresh_from_db()
        # No outcome waits for the endpoint's row, so what is sent is known to be.
        assert (locked.ids, delivery.state) == ([str(delivery.message_id)], "delivered")
        assert free.ids == [str(uid) for uid in FeedEvent.objects.values_list("uid", flat=True)]


def test_a_lock_on_an_endpoint_whose_owner_left_holds_up_no_other(environment: dict[str, str]) -> None:
    person, leaver = (User.objects.create_superuser(one, f"{one}@example.test", "long-enough-1") for one in "ab")
    with webhook_receiver() as withheld, webhook_receiver() as free:
        endpoint, _secret = make_endpoint({"address": withheld.address}, leaver)
        make_endpoint({"address": free.address}, person)
        Contact.objects.create(name="Meanwhile")
        place_events()
        event = FeedEvent.objects.get()
        delivery = WebhookDelivery.objects.create(endpoint=endpoint, event=event)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(position=event.position)
        User.objects.filter(pk=leaver.pk).update(is_active=False)
        with psycopg.connect(environment["DATABASE_URL"]) as other:
            other.execute("SELECT 1 FROM sync_webhook_endpoints WHERE id = %s FOR UPDATE", [endpoint.pk])
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
                deliver_webhooks()
        assert (withheld.ids, free.ids) == ([], [str(event.uid)])
        WebhookDelivery.objects.filter(pk=delivery.pk).update(claimed_until=None)
        deliver_webhooks()
        endpoint.refresh_from_db()
        delivery.refresh_from_db()
        assert (withheld.ids, endpoint.disabled_code, delivery.state) == ([], "owner", "pending")
