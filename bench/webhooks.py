"""The webhook endpoint: 300 deliveries a second, with the real processes at work on them.

    python -m bench.webhooks [--seconds 20] [--rate 300] [--items 2000]

On the board each item gets a value that no delivery tells, so a contact that holds it in the end was read. Gates:
every delivery is answered with 200 and is an inbox row that was weighed, every contact holds the board's value, and
the calls are far fewer than the events. The time is a goal.
"""

import argparse
import time
import uuid
from collections.abc import Sequence
from typing import Any

from bench.calls import prepare
from bench.ground import machine
from bench.latency import percentile
from bench.load import post
from bench.site import Site, site
from bench.table import Row, publish

GOAL_MS = 25.0
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
    before = in_inbox()
    mark = here.place.last_call()
    bodies = events(items, board_id, int(rate * seconds), "Streamed")
    answers = post(here.address, here.webhooks, bodies, rate=rate, connections=CONNECTIONS)
    wait_until_weighed()
    calls = len(here.place.calls_since(mark))
    most = len(bodies) // AN_EVENT
    p50 = percentile(answers.milliseconds, 0.5)
    p99 = percentile(answers.milliseconds, 0.99)
    taken = answers.statuses["200"]
    stored = in_inbox() - before
    read = arrived("On the board during the stream")
    measured = f"{taken:,} answered 200, {stored:,} stored and processed"
    speed = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    return [
        Row(
            f"webhooks, {rate:g} a second for {seconds:g} s", f"p99 ≤ {GOAL_MS:g} ms", speed, p99 <= GOAL_MS, gate=False
        ),
        Row("… none lost", f"{len(bodies):,}", measured, taken == stored == len(bodies)),
        Row("… items read", f"{len(items):,}", f"{read:,}", read == len(items)),
        Row("… API calls, beside one an event", f"≤ {most:,}", f"{calls:,}", calls <= most),
    ]


def measure(rate: float, seconds: float, items: int) -> list[Row]:
    """The stream, on contacts that are in sync."""
    with site() as here:
        from npd.models import Contact
        from sync.registry import link_of

        here.start("web")
        prepare(items)
        here.start("worker", "beat")
        link = link_of("contact")
        assert link is not None
        ids = [str(item) for item in Contact.objects.order_by("pk").values_list("monday_id", flat=True)]
        wait_until_weighed()
        return stream(here, link.board_id, ids, rate, seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--items", type=int, default=2_000)
    options = parser.parse_args()
    print(f"{options.rate:g} deliveries a second for {options.seconds:g} s ({machine()})", flush=True)
    return publish(measure(options.rate, options.seconds, options.items))


if __name__ == "__main__":
    raise SystemExit(main())
