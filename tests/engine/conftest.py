"""A board and its records, worked in the test's own process, with the sandbox as Monday over HTTP."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db import connection

from npd.models import Contact
from sync import account, inbox, registry
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import CREATE_SYNC_NOW
from sync.models import Intent, MondayAccount, SyncMetadata, SyncQueue
from sync.queue import Summary, SyncQueueService
from sync.setup import set_up
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for


class _Keep(BaseHTTPRequestHandler):
    """Answers like NPD's webhook door, and keeps what was delivered until the test hands it in."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        given = json.loads(body)
        if "challenge" not in given:
            self.server.kept.append((body, self.headers.get("Authorization"), self.path))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


class World:
    """Both people and the worker. Webhooks arrive when the test says so (`deliver`)."""

    def __init__(self, sandbox: Sandbox, hooks: ThreadingHTTPServer) -> None:
        self.sandbox, self.hooks = sandbox, hooks
        self.queue = SyncQueueService()
        self.delivered: list[tuple[bytes, str | None, str]] = []

    def contact(self, name: str = "Ann", **values: Any) -> Contact:
        """A contact as it is saved in NPD."""
        return Contact.objects.create(name=name, **values)

    def linked(self, name: str = "Ann", **values: Any) -> Contact:
        """A contact that has its item and is in sync; its own webhooks have come and gone."""
        contact = self.contact(name, **values)
        self.work()
        self.deliver()
        self.work()
        contact.refresh_from_db()
        assert contact.sync_status == "synced", self.ledger(contact).note
        return contact

    def work(self) -> Summary:
        """What a worker does until nothing is due."""
        return self.queue.process(seconds=60)

    def look(self, record: Any, cause: Cause = Cause.SWEEP) -> None:
        """Look at a record without a change of it, as a sweep does."""
        self.queue.enqueue(
            record.entity_type(),
            record.pk,
            direction=QueueDirection.TO_NPD,
            cause=cause,
            priority=Priority.SWEEP,
        )
        self.work()

    def deliver(self, *, times: int = 1) -> int:
        """Hand in the webhooks that Monday has sent by now, in order; returns how many."""
        wait_for("the sandbox has sent its webhooks", self._sent_all)
        kept, self.hooks.kept[:] = list(self.hooks.kept), []  # type: ignore[attr-defined]
        self.delivered += kept
        for body, authorization, path in kept * times:
            token = path.rstrip("/").rsplit("/", 1)[-1]
            got = inbox.receive(body, authorization=authorization, path_token=token, path=path)
            assert got.status == 200, got
        return len(kept)

    def _sent_all(self) -> bool:
        deliveries = self.sandbox.control("webhooks", "GET")["deliveries"]
        return all(delivery["state"] != "waiting" for delivery in deliveries)

    def item(self, record: Any) -> dict[str, Any]:
        """The record's item, whatever its state."""
        record.refresh_from_db()
        found = [i for b in self.sandbox.boards() for i in b["items"] if i["id"] == record.monday_id]
        assert found, "the record has no item"
        return found[0]

    def values(self, record: Any) -> dict[str, str]:
        """The texts of the item's cells, its name too."""
        item = self.item(record)
        return {"name": item["name"], **item["values"]}

    def edit(self, record: Any, column: str, value: Any) -> None:
        """A person edits a cell (or, with column "name", renames the item) on the board."""
        record.refresh_from_db()
        if column == "name":
            self.sandbox.act("rename", item_id=record.monday_id, name=value)
        else:
            self.sandbox.act("edit", item_id=record.monday_id, column_id=column, value=value)

    def board_id(self, entity_type: str = "contact") -> str:
        """The id of the type's board."""
        from sync.boards import link_of

        link = link_of(entity_type)
        assert link is not None
        return link.board_id

    def calls(self, kind: str | None = None) -> int:
        """How many calls the sandbox has had, of one kind (query, mutation) or of all."""
        return sum(kind in (None, call["kind"]) for call in self.sandbox.calls())

    def ledger(self, record: Any) -> SyncMetadata:
        """The record's row of the ledger."""
        return SyncMetadata.objects.get(entity_type=record.entity_type(), entity_id=str(record.pk))

    def row(self, record: Any) -> SyncQueue:
        """The record's newest queue row."""
        found = SyncQueue.objects.filter(entity_id=record.pk).order_by("-id").first()
        assert found is not None
        return found

    def status(self, record: Any) -> str:
        """What the record says of its sync."""
        record.refresh_from_db()
        return str(record.sync_status)

    def pass_time(self, **delta: float) -> None:
        """Move `sync_now()` and the sandbox's clock forward."""
        seconds = timedelta(**delta).total_seconds()
        self.offset = getattr(self, "offset", 0.0) + seconds
        with connection.cursor() as cursor:
            cursor.execute(
                CREATE_SYNC_NOW.replace(
                    "clock_timestamp()", f"clock_timestamp() + interval ''{self.offset} seconds''"
                )
            )
        self.sandbox.control("clock", offset_seconds=self.offset)

    def wait_out(self) -> None:
        """Let every wait pass: pauses, backoff, the deadline of calls without an answer."""
        self.pass_time(minutes=3)
        assert not Intent.objects.filter(state="open", deadline__gt=_now()).exists()

    def mon_pause(self) -> MondayAccount:
        """The account's state."""
        return account.account()


def _now() -> Any:
    from sync.clock import sync_now

    return sync_now()


@pytest.fixture
def world(transactional_db: None, sandbox: Sandbox, settings: Any) -> Iterator[World]:
    """Two empty boards, set up; nothing has been saved yet."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Keep)
    server.kept = []  # type: ignore[attr-defined]
    # Its end is waited for after each test: half a second with the usual interval.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    settings.MONDAY_API_URL = sandbox.api_url
    settings.SITE_URL = f"http://127.0.0.1:{server.server_address[1]}"
    settings.MONDAY_CONTACTS_BOARD_ID = settings.MONDAY_ORGANIZATIONS_BOARD_ID = ""
    settings.MONDAY_TIMEOUT_SECONDS = 5.0
    unmetered = account.client().inner  # what the set-up spends is not what these tests look at
    for spec in registry.entities():
        set_up(spec, unmetered)
    try:
        yield World(sandbox, server)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(CREATE_SYNC_NOW)
        server.shutdown()
        server.server_close()
        thread.join()
