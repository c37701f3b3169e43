"""Boards and their records, worked in the test's own process with the sandbox as Monday: fixture `world`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import Client
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from npd.models import Contact
from sync import registry
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import sync_now
from sync.fields import lookups
from sync.limits import metered_client
from sync.models import BoardLink, Intent, SyncMetadata, SyncQueue
from sync.monday import item_documents
from sync.monday.connector import MondayConnector
from sync.operations.setup.board_setup import set_up
from sync.operations.worker import WorkSummary
from sync.queue import SyncQueueService
from sync.reconcile import field_plan
from sync.records import inbox
from tests.support.clock import move_clock
from tests.support.in_process import Hooks
from tests.support.people import signed_in
from tests.support.prepared import Stages
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

Method = TypeVar("Method", bound=Callable[..., Any])
TOM = 67210012  # a person of the sandbox's account


def staged(method: Method) -> Method:
    """Make a stage of what a method of a world does; its name and arguments identify it."""

    parameters = signature(method)

    @wraps(method)
    def restore_or_call(world: World, *arguments: Any, **options: Any) -> Any:
        bound = parameters.bind(world, *arguments, **options)
        bound.apply_defaults()  # a default is the same stage whether it is named or not
        values = [(key, list(v.items()) if isinstance(v, dict) else v) for key, v in bound.arguments.items()][1:]
        name = f"{method.__module__}.{method.__qualname__} {_keys_of(values)}"
        return _rows_of(world.stage(name, lambda: _keys_of(method(world, *arguments, **options))))

    return cast(Method, restore_or_call)


def _keys_of(value: Any) -> Any:
    """Replace rows by their keys, for `_rows_of`: restored rows are read anew."""
    if isinstance(value, Model):
        return type(value), value.pk
    return type(value)(map(_keys_of, value)) if type(value) in (tuple, list) else value


def _rows_of(value: Any) -> Any:
    """Replace keys by their rows, as they are now."""
    if isinstance(value, tuple) and isinstance(value[0], type):
        return value[0]._default_manager.get(pk=value[1])
    return type(value)(map(_rows_of, value)) if type(value) in (tuple, list) else value


class World:
    """The people on both sides and the worker. Webhooks arrive when the test calls `deliver`."""

    def __init__(self, sandbox: Sandbox, hooks: Hooks, patch: pytest.MonkeyPatch, stages: Stages) -> None:
        self.sandbox, self.hooks, self.patch, self.stages = sandbox, hooks, patch, stages
        self.queue = SyncQueueService()
        self.delivered: list[tuple[bytes, str | None, str]] = []  # the webhooks that were handed in
        self.offset = 0.0  # seconds of time that has passed, beside real time

    def contact(self, name: str = "Ann", **values: Any) -> Contact:
        return Contact.objects.create(name=name, **values)

    @staged
    def linked(self, name: str = "Ann", **values: Any) -> Contact:
        """Create a contact that has its item and is in sync; its webhooks have been handled."""
        contact = self.contact(name, **values)
        self.work()
        self.hear(contact)
        assert contact.sync_status == "synced", self.sync_state(contact).note
        return contact

    @staged
    def linked_together(self, number: int, **values: Any) -> list[Contact]:
        """Create so many `linked` contacts: P0, P1 and so on."""
        contacts = [self.contact(f"P{n}", **values) for n in range(number)]
        self.work()
        self.hear(*contacts)
        assert {contact.sync_status for contact in contacts} == {"synced"}
        return contacts

    @staged
    def administrator(self, name: str, **more: str) -> Any:
        return get_user_model().objects.create_superuser(name, f"{name}@example.com", "x", **more)

    @staged
    def session(self, person: Any) -> str:
        client = signed_in(person)
        return client.cookies[settings.SESSION_COOKIE_NAME].value

    def browser(self, person: Any) -> Client:
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = self.session(person)
        return client

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returned, restored if an earlier test took the same path; see `Stages`."""

        def make_and_hand_in() -> tuple[Any, float, list[Any]]:
            result = make()
            wait_for("the sandbox has sent its webhooks", self._sent_all)
            assert not self.hooks.deliveries, "a stage hands in all webhooks"
            return result, self.offset, list(self.delivered)

        result, offset, delivered = self.stages.restore_or_make(name, make_and_hand_in)
        if offset:  # restoring sets the real time
            self.pass_time(seconds=offset - self.offset)
        self.delivered[:] = delivered
        self.stages.extend_last()
        return result

    def work(self, *records: Any, **passed: float) -> WorkSummary:
        """Let time pass and a worker do what is due; reread these records."""
        if passed:
            self.pass_time(**passed)
        summary = self.queue.process(seconds=60)
        for record in records:
            record.refresh_from_db()
        return summary

    def save(self, record: Any, **values: Any) -> WorkSummary:
        """Save these values in NPD, and let a worker do what is due."""
        type(record).objects.filter(pk=record.pk).update(**values)
        return self.work()

    def hear(self, *records: Any, times: int = 1, rounds: int = 1, **passed: float) -> None:
        """Hand in the webhooks, then `work`, in so many rounds."""
        for _ in range(rounds):
            self.deliver(times=times)
            self.work(*records, **passed)

    def settle(self, *records: Any) -> WorkSummary:
        self.wait_out()
        return self.work(*records)

    def run_pass(self, record: Any, cause: Cause = Cause.SWEEP) -> None:
        """Run a pass over a record that hasn't changed, as after a sweep."""
        self.queue.enqueue(
            record.entity_type(), record.pk, direction=QueueDirection.TO_NPD, cause=cause, priority=Priority.SWEEP
        )
        self.work()

    def deliver(self, *, times: int = 1) -> int:
        """Hand in the webhooks that Monday has sent by now, in order; return their number."""
        wait_for("the sandbox has sent its webhooks", self._sent_all)
        deliveries = list(self.hooks.deliveries)
        self.hooks.deliveries.clear()
        self.delivered += deliveries
        self._receive(deliveries * times)
        return len(deliveries)

    def hand_in(self, deliveries: list[tuple[bytes, str | None, str]]) -> None:
        """Hand in kept webhooks at the address with the token, as their signatures may have expired."""
        self._receive([(body, None, path) for body, _, path in deliveries])

    def _receive(self, deliveries: list[tuple[bytes, str | None, str]]) -> None:
        for body, authorization, path in deliveries:
            token = path.rstrip("/").rsplit("/", 1)[-1]
            inbox.receive(body, authorization=authorization, path_token=token, path=path)

    def _sent_all(self) -> bool:
        deliveries = self.sandbox.control("webhooks", "GET")["deliveries"]
        return all(delivery["state"] != "waiting" for delivery in deliveries)

    def item(self, record: Any) -> dict[str, Any]:
        """Return the record's item, whatever its state."""
        record.refresh_from_db()
        assert record.monday_id, "the record has no item"
        return self.sandbox.item(record.monday_id)

    def values(self, record: Any) -> dict[str, str]:
        """Return the texts of the item's cells, and its name."""
        item = self.item(record)
        return {"name": item["name"], **item["values"]}

    def edit(self, record: Any, column: str, value: Any) -> None:
        """Edit a cell (or, with column "name", rename the item) as a person at the board does."""
        record.refresh_from_db()
        if column == "name":
            self.sandbox.act("rename", item_id=record.monday_id, name=value)
        else:
            self.sandbox.act("edit", item_id=record.monday_id, column_id=column, value=value)

    def meanwhile(self, act: Callable[[], Any], *, before: str = "", after: str = "") -> None:
        """Do something once that others do meanwhile: before or after the next call that reads items, or that writes.

        So between a pass's reading and its settling (`after="read"`), or between its decision and its `mutation`.
        """
        send = HTTPAdapter.send
        acts = [act]

        def send_and_act(adapter: HTTPAdapter, request: PreparedRequest, **options: Any) -> Response:
            document = json.loads(request.body or b"{}").get("query", "") if request.url == self.sandbox.api_url else ""
            kind = "mutation" if document.startswith("mutation") else "read" if "items" in document else ""
            if acts and kind and kind == before:
                acts.pop()()
            answer = send(adapter, request, **options)
            if acts and kind and kind == after:
                acts.pop()()
            return answer

        self.patch.setattr(HTTPAdapter, "send", send_and_act)

    @contextmanager
    def broken(self, record: Any = None) -> Iterator[None]:
        """Make NPD's own code fail in every pass, or in those over this record."""
        decide_fields = field_plan.decide_fields

        def fail(facts: Any, plan: Any) -> Any:
            if record is None or plan.id == record.pk:
                raise ValueError("boom")
            return decide_fields(facts, plan)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(field_plan, "decide_fields", fail)
            yield

    def add(self, name: str, entity_type: str = "contact", **values: Any) -> str:
        """Add an item on the board as a person does; return its id."""
        return str(self.sandbox.act("add", board_id=self.board_id(entity_type), name=name, values=values)["id"])

    def list_in_pages_of_eight(self) -> None:
        """List the board's items eight at a time, so that a dozen have a second page."""
        self.patch.setattr(item_documents, "ITEMS_PER_PAGE", 8)

    def block_of(self, record: Any, key: str) -> str:
        return str(self.sync_state(record).blocked_fields.get(key, {}).get("reason", ""))

    def link(self, entity_type: str = "contact") -> BoardLink:
        link = lookups.link_of(entity_type)
        assert link is not None
        return link

    def board_id(self, entity_type: str = "contact") -> str:
        return self.link(entity_type).board_id

    def calls(self, kind: str | None = None) -> int:
        """Return how many calls the sandbox has had, of one kind (query, mutation) or of all."""
        return sum(kind in (None, call["kind"]) for call in self.sandbox.calls())

    def calls_while(self, minutes: int, *, seconds: int = 60) -> int:
        """Return how many calls are made while this time passes and workers work.

        They work every minute (or so many `seconds`) for five, and from then on ever less often: waits grow.
        """
        before = self.calls()
        end = minutes * 60
        passed = 0
        while passed < end:
            pause = 60 if passed < 300 else 300 if passed < 1_200 else 600
            step = seconds if passed < 300 else max(seconds, pause)
            self.work(seconds=min(step, end - passed))
            passed += step
        return self.calls() - before

    def sync_state(self, record: Any) -> SyncMetadata:
        return SyncMetadata.objects.get(entity_type=record.entity_type(), entity_id=str(record.pk))

    def row(self, record: Any) -> SyncQueue:
        row = SyncQueue.objects.filter(entity_id=record.pk).order_by("-id").first()
        assert row is not None
        return row

    def status(self, record: Any) -> str:
        record.refresh_from_db()
        return str(record.sync_status)

    def pass_time(self, **delta: float) -> None:
        self.offset += timedelta(**delta).total_seconds()
        move_clock(self.offset)
        self.sandbox.control("clock", offset_seconds=self.offset)

    def wait_out(self) -> None:
        """Let every wait pass: pauses, backoff, the deadline of calls without an answer."""
        self.pass_time(minutes=3)
        assert not Intent.objects.filter(state="open", deadline__gt=sync_now()).exists()


def mail(address: str) -> dict[str, str]:
    return {"email": address, "text": address}


def set_up_boards() -> None:
    # No test of a world counts the set-up's calls.
    unmetered = MondayConnector(metered_client.client().inner)
    for spec in registry.entities():
        set_up(spec, unmetered)
