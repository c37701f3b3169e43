"""The webhook endpoint: 300 deliveries a second, and 10,000 at once, with the real processes.

    python -m bench.webhooks [--seconds 20] [--rate 300] [--burst 10000] [--items 2000]

On the board each item gets a value that no delivery tells, so a contact that holds it in the end was read. First the
steady stream, with web, worker and beat at work; then the burst, while no worker runs; what came is then worked by
one drain. Gates: every delivery is answered with 200 and is an inbox row that was weighed, every contact holds the
board's value, and after the burst the calls are one a batch of 100 items, not one an event. The time is a goal.
"""

from __future__ import annotations

import argparse
import math
import time
import uuid
from collections.abc import Sequence
from typing import Any

from bench.calls import prepare
from bench.ground import machine
from bench.latency import BROKERS, percentile
from bench.load import Answers, post
from bench.site import Site, has_redis, site
from bench.table import Row, publish

GOAL_MS = 25.0
BATCH = 100
AN_EVENT = 10
"""While workers look at what comes, one call for so many events at least; what waits meanwhile comes together."""
PERSON = -2
PATIENCE_SECONDS = 120.0
CONNECTIONS = 32


def events(items: Sequence[str], board_id: str, count: int, title: str) -> list[dict[str, Any]]:
    """So many deliveries of a changed cell, the items in turn, of values that the board no longer has."""
    return [_event(items[number % len(items)], board_id, f"{title} {number}") for number in range(count)]


def _event(item_id: str, board_id: str, text: str) -> dict[str, Any]:
    moment = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03}Z"
    event = {
        "app": "monday",
        "type": "update_column_value",
        "triggerTime": stamp,
        "subscriptionId": 1,
        "isRetry": False,
        "userId": PERSON,
        "originalTriggerUuid": None,
        "boardId": int(board_id),
        "groupId": "topics",
        "pulseId": int(item_id),
        "pulseName": "A person",
        "columnId": "role_title",
        "columnType": "text",
        "columnTitle": "Role",
        "value": {"value": text},
        "previousValue": None,
        "changedAt": moment,
        "isTopGroup": True,
        "triggerUuid": uuid.uuid4().hex,
    }
    return {"event": event}


def edit_all(here: Site, items: Sequence[str], text: str) -> None:
    """A person's edits on the board, of which the sandbox itself tells nobody."""
    here.place.control("webhooks", rule="drop", count=len(items))
    for item in items:
        edit = {"item_id": int(item), "column_id": "role_title", "text": text}
        here.place.control("actions", action="edit", **edit)


def arrived(text: str) -> int:
    """The contacts that hold this value."""
    from npd.models import Contact

    return Contact.objects.filter(role_title=text).count()


def in_inbox() -> int:
    """Deliveries that were stored and processed."""
    from sync.models.state import WebhookEvent

    return WebhookEvent.objects.exclude(processed_at=None).count()


def wait_until_weighed() -> None:
    """Leave nothing behind that the next count would find; after a long wait it goes on, and the count tells."""
    from sync.models.state import WebhookEvent

    deadline = time.monotonic() + PATIENCE_SECONDS
    while WebhookEvent.objects.filter(processed_at=None).exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def stream(here: Site, board_id: str, items: Sequence[str], rate: float, seconds: float) -> list[Row]:
    """The steady stream, while everything else works on it."""
    edit_all(here, items, "On the board during the stream")
    before, mark = in_inbox(), here.place.last_call()
    bodies = events(items, board_id, int(rate * seconds), "Streamed")
    answers = post(here.address, here.webhooks, bodies, rate=rate, connections=CONNECTIONS)
    wait_until_weighed()
    calls = len(here.place.calls_since(mark))
    most = len(bodies) // AN_EVENT
    p50, p99 = percentile(answers.milliseconds, 0.5), percentile(answers.milliseconds, 0.99)
    speed = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    return [
        Row(
            f"webhooks, {rate:g} a second for {seconds:g} s", f"p99 ≤ {GOAL_MS:g} ms", speed, p99 <= GOAL_MS, gate=False
        ),
        _stored(answers, len(bodies), in_inbox() - before),
        _read(len(items), arrived("On the board during the stream")),
        Row("… API calls, beside one an event", f"≤ {most:,}", f"{calls:,}", calls <= most),
    ]


def burst(here: Site, board_id: str, items: Sequence[str], count: int) -> list[Row]:
    """All at once, while no worker runs; then one drain."""
    from sync.operations.worker import drain

    here.end("worker", "beat")
    edit_all(here, items, "On the board during the burst")
    before, mark = in_inbox(), here.place.last_call()
    bodies = events(items, board_id, count, "In the burst")
    answers = post(here.address, here.webhooks, bodies, rate=0, connections=2 * CONNECTIONS)
    drain()
    calls, least = len(here.place.calls_since(mark)), math.ceil(len(items) / BATCH)
    speed = f"{count / answers.seconds:,.0f} a second"
    return [
        _stored(answers, count, in_inbox() - before, f"{count:,} webhooks in a burst ({speed})"),
        _read(len(items), arrived("On the board during the burst")),
        Row("… API calls: one a batch of items", f"{least:,}", f"{calls:,}", calls <= least),
    ]


def _stored(answers: Answers, sent: int, stored: int, figure: str = "… none lost") -> Row:
    taken = answers.statuses["200"]
    measured = f"{taken:,} answered 200, {stored:,} stored and processed"
    return Row(figure, f"{sent:,}", measured, taken == stored == sent)


def _read(items: int, found: int) -> Row:
    return Row("… items read", f"{items:,}", f"{found:,}", items == found)


def measure(broker: str, rate: float, seconds: float, count: int, items: int) -> list[Row]:
    """Both, on contacts that are in sync."""
    with site(BROKERS[broker], LOG_LEVEL="WARNING") as here:
        from npd.models import Contact
        from sync.registry import link_of

        here.start("web")
        prepare(items)
        here.start("worker", "beat")
        link = link_of("contact")
        ids = [str(item) for item in Contact.objects.order_by("pk").values_list("monday_id", flat=True)]
        if link is None or None in ids:
            raise SystemExit("The contacts did not come into sync.")
        warm = events(ids, link.board_id, 500, "Before")
        post(here.address, here.webhooks, warm, rate=100, connections=CONNECTIONS)
        wait_until_weighed()
        rows = stream(here, link.board_id, ids, rate, seconds)
        return rows + burst(here, link.board_id, ids, count)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--burst", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=2_000)
    asked = parser.parse_args()
    broker = "redis" if has_redis() else "embedded"
    print(f"Webhooks, with the {broker} broker ({machine()})")
    return publish(measure(broker, asked.rate, asked.seconds, asked.burst, asked.items))


if __name__ == "__main__":
    raise SystemExit(main())
