"""Measures the webhook endpoint: 300 deliveries a second, while the real processes work on them.

    python -m bench.webhooks [--seconds 20] [--rate 300] [--items 2000]

From the beginning each item has the value of its last delivery. Gates: every delivery is answered with 200,
stored and processed; every contact has the board's value; there are far fewer calls than events. The time is a goal.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from bench.calls import prepare
from bench.latency import percentile
from bench.load import post
from bench.servers import machine
from bench.site import Site, running_site
from bench.table import Row, options_of, publish

GOAL_MS = 25.0
EVENTS_PER_CALL = 10  # at least, because events that wait are processed together
PERSON = -2
PATIENCE_SECONDS = 120.0
CONNECTIONS = 32


def events(items: Sequence[str], board_id: str, count: int) -> list[dict[str, Any]]:
    """Return deliveries about changed cells of the items in turn."""
    return [_event(items[number % len(items)], board_id, f"Streamed {number}") for number in range(count)]


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


def last_values(bodies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return each item's value by the last delivery about it."""
    return {str(body["event"]["pulseId"]): body["event"]["value"]["value"] for body in bodies}


def edit_all(site: Site, values: Mapping[str, str]) -> None:
    """Edit the items on the board as a person, without the sandbox's own webhooks."""
    site.sandbox.control("webhooks", rule="drop", count=len(values))
    for item, text in values.items():
        edit = {"item_id": int(item), "column_id": "role_title", "text": text}
        site.sandbox.control("actions", action="edit", **edit)


def arrived(values: Mapping[str, str]) -> int:
    """Return the number of contacts with their item's value."""
    from npd.models import Contact

    titles = Contact.objects.values_list("monday_id", "role_title")
    return sum(values.get(str(item)) == title for item, title in titles)


def in_inbox() -> int:
    """Return the number of processed deliveries."""
    from sync.models import WebhookEvent

    return WebhookEvent.objects.exclude(processed_at=None).count()


def wait_until_processed() -> None:
    """Wait until all deliveries are processed; after a long wait, continue, and the counts show it."""
    from sync.models import WebhookEvent

    deadline = time.monotonic() + PATIENCE_SECONDS
    while WebhookEvent.objects.filter(processed_at=None).exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def stream(site: Site, board_id: str, items: Sequence[str], rate: float, seconds: float) -> list[Row]:
    bodies = events(items, board_id, int(rate * seconds))
    values = last_values(bodies)
    edit_all(site, values)
    before = in_inbox()
    mark = site.sandbox.last_call()
    answers = post(site.address, site.webhooks, bodies, rate=rate, connections=CONNECTIONS)
    wait_until_processed()
    calls = len(site.sandbox.calls_since(mark))
    most = len(bodies) // EVENTS_PER_CALL
    p50 = percentile(answers.milliseconds, 0.5)
    p99 = percentile(answers.milliseconds, 0.99)
    accepted = answers.statuses["200"]
    stored = in_inbox() - before
    read = arrived(values)
    measured = f"{accepted:,} answered 200, {stored:,} stored and processed"
    speed = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    return [
        Row(
            f"webhooks, {rate:g} a second for {seconds:g} s", f"p99 ≤ {GOAL_MS:g} ms", speed, p99 <= GOAL_MS, gate=False
        ),
        Row("… none lost", f"{len(bodies):,}", measured, accepted == stored == len(bodies)),
        Row("… items read", f"{len(items):,}", f"{read:,}", read == len(items)),
        Row("… API calls, beside one an event", f"≤ {most:,}", f"{calls:,}", calls <= most),
    ]


def measure(rate: float, seconds: float, items: int) -> list[Row]:
    with running_site() as site:
        from npd.models import Contact
        from sync.fields.lookups import link_of

        site.start("web")
        prepare(items)
        site.start("worker", "beat")
        link = link_of("contact")
        assert link is not None
        ids = [str(item) for item in Contact.objects.order_by("pk").values_list("monday_id", flat=True)]
        wait_until_processed()
        return stream(site, link.board_id, ids, rate, seconds)


def main() -> int:
    options = options_of("webhooks", __doc__, rate=300.0, seconds=20.0, items=2_000)
    print(f"{options.rate:g} deliveries a second for {options.seconds:g} s ({machine()})", flush=True)
    return publish(measure(options.rate, options.seconds, options.items))


if __name__ == "__main__":
    raise SystemExit(main())
