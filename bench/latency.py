"""Measures how soon a change reaches the other side, with the processes of `make run` otherwise idle.

    python -m bench.latency [--seconds 60] [--rate 5]

First `rate` saves a second through the API, then as many edits on the board, then as many new contacts through the
API. The time runs from the save's request until the sandbox has the value, from the edit on the board until the contact
has it, or from the new contact's request until it says “Synced”. All are read 20 times a second, so a figure may be
50 ms too long. Then ten edits, a second apart, while Monday's reads lag behind its webhooks; their time runs from when
reads show the edit. Gates: every change arrives; calls an edit. The seconds are goals.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from bench.servers import machine
from bench.site import Site, running_site
from bench.table import Row, options_of, publish

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 90.0
GOAL_MEDIAN = 0.3
GOAL_TAIL = 1.0
GOAL_MEDIAN_SYNCED = 0.6  # of a new record, which its item's webhook still checks
WARM = 10  # changes before the measured ones

# By how many seconds reads lag, ever longer: the goal for the slowest edit, and how often its item is read again.
LAGS = {0.0: (1.0, 0), 0.2: (5.0, 1), 0.5: (5.0, 1), 2.0: (5.0, 1), 5.0: (5.0, 2), 10.0: (60.0, 3)}
ITEMS = 'query ($ids: [ID!]) { items(ids: $ids, limit: 100) { id column_values(ids: ["role_title"]) { text } } }'
Contacts = Sequence[tuple[str, str]]  # primary key, item id
Act = Callable[[int], object]
Effects = Callable[[Collection[int]], Collection[int]]


@dataclass
class Play:
    """Acts at a steady rate, with the seconds until each act's effect was seen."""

    act: Act
    effects: Effects  # which of these acts had their effect
    rate: float
    begun: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def run(self, acts: int) -> list[float]:
        """Act until all effects were seen, or nothing was done for a time. Raises the error of an act."""
        start = last = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            futures: list[Future[object]] = []
            while len(self.seconds) < acts and time.monotonic() - last < PATIENCE_SECONDS:
                while len(futures) < acts and time.monotonic() >= start + len(futures) / self.rate:
                    self.begun[len(futures)] = last = time.monotonic()
                    futures.append(pool.submit(self.act, len(futures)))
                waiting = [number for number in self.begun if number not in self.seconds]
                for number in self.effects(waiting) if waiting else ():
                    self.seconds[number] = time.monotonic() - self.begun[number]
                time.sleep(LOOK_SECONDS)
            for future in futures:
                future.result()
        return sorted(self.seconds.values())


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the sorted values doesn't exceed (nearest rank); infinite without values."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else math.inf


def to_monday(site: Site, contacts: Contacts, rate: float) -> list[float]:
    """Save contacts through the API, and wait until the items change."""
    session = site.session()
    api = requests.Session()
    api.headers["Authorization"] = "bench-token"
    numbers = {item: number for number, (_, item) in enumerate(contacts)}

    def save(number: int) -> None:
        address = f"{site.url}/api/v1/contacts/{contacts[number][0]}/"
        session.patch(address, json={"role_title": f"Saved {number}"}, timeout=30).raise_for_status()

    def arrived(waiting: Collection[int]) -> set[int]:
        document = {"query": ITEMS, "variables": {"ids": [contacts[number][1] for number in list(waiting)[:100]]}}
        items = api.post(f"{site.sandbox.url}/v2", json=document, timeout=30).json()["data"]["items"]
        texts = {numbers[item["id"]]: item["column_values"][0]["text"] for item in items}
        return {number for number, text in texts.items() if text == f"Saved {number}"}

    return Play(save, arrived, rate).run(len(contacts))


def to_npd(site: Site, contacts: Contacts, rate: float, verb: str = "Edited") -> list[float]:
    """Edit cells on the board, and wait until the contacts change."""
    from npd.models import Contact

    numbers = {key: number for number, (key, _) in enumerate(contacts)}

    def edit(number: int) -> None:
        site.sandbox.control(
            "actions", action="edit", item_id=int(contacts[number][1]), column_id="role_title", text=f"{verb} {number}"
        )

    def arrived(waiting: Collection[int]) -> set[int]:
        rows = Contact.objects.filter(pk__in=[contacts[number][0] for number in waiting])
        titles = {numbers[str(key)]: title for key, title in rows.values_list("pk", "role_title")}
        return {number for number, title in titles.items() if title == f"{verb} {number}"}

    return Play(edit, arrived, rate).run(len(contacts))


def to_synced(site: Site, number_of_contacts: int, rate: float) -> list[float]:
    """Create contacts through the API, and wait until they are synced."""
    from npd.models import Contact

    session = site.session()

    def create(number: int) -> None:
        values = {"name": f"New {number}", "email": f"new{number}@example.org"}
        session.post(f"{site.url}/api/v1/contacts/", json=values, timeout=30).raise_for_status()

    def arrived(waiting: Collection[int]) -> set[int]:
        numbers = {f"New {number}": number for number in waiting}
        synced = Contact.objects.filter(name__in=numbers, sync_status="synced")
        return {numbers[name] for name in synced.values_list("name", flat=True)}

    return Play(create, arrived, rate).run(number_of_contacts)


def prepare(site: Site, records: int) -> Contacts:
    """Start everything, make contacts that are in sync, and wait until no job is left."""
    from bench.calls import prepare as on_both_sides
    from npd.models import Contact
    from sync.models.jobs import SyncQueue

    site.start("web")
    on_both_sides(records)
    site.start("worker", "beat")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while SyncQueue.objects.exclude(status="completed").exists() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    rows = Contact.objects.filter(sync_status="synced").order_by("pk").values_list("pk", "monday_id")
    return [(str(key), str(item)) for key, item in rows]


def measure(seconds: float, rate: float) -> list[Row]:
    saves = int(seconds * rate)
    with running_site() as site:
        contacts = prepare(site, saves + WARM)
        if len(contacts) < saves + WARM:
            raise SystemExit(f"Only {len(contacts)} of {saves + WARM} contacts came into sync.")
        to_monday(site, contacts[saves:], rate)  # warm up
        rows = _rows("save → board", saves, to_monday(site, contacts[:saves], rate))
        to_npd(site, contacts[saves:], rate)
        rows += _rows("board edit → NPD", saves, to_npd(site, contacts[:saves], rate))
        rows += _rows("new record → Synced", saves, to_synced(site, saves, rate), GOAL_MEDIAN_SYNCED)
        for lag in LAGS:
            rows += lagging_rows(site, contacts[saves:], lag)
        return rows


def lagging_rows(site: Site, contacts: Contacts, lag: float) -> list[Row]:
    """Edit cells while reads show an edit only so many seconds later."""
    goal, looks = LAGS[lag]
    site.sandbox.control("faults", lag="all", edits=lag, count=None)  # of several, the longest counts
    mark = site.sandbox.last_call()
    seconds = [after - lag for after in to_npd(site, contacts, 1.0, f"Edited {lag:g} s ago:")]
    calls = len(site.sandbox.calls_since(mark)) / len(contacts)
    tail = percentile(seconds, 0.99)
    way = f"board edit → NPD, reads {lag:g} s behind"
    most = 1 + looks
    return [
        Row(way, f"p99 ≤ {goal:g} s", f"p99 {tail:.2f} s", tail <= goal, gate=False),
        Row("… calls an edit", f"≤ {most}", f"{calls:.1f}", calls <= most and len(seconds) == len(contacts)),
    ]


def _rows(way: str, acts: int, seconds: Sequence[float], goal_median: float = GOAL_MEDIAN) -> list[Row]:
    median = percentile(seconds, 0.50)
    tail = percentile(seconds, 0.99)
    quick = median <= goal_median and tail <= GOAL_TAIL
    words = f"p50 {median:.2f} s, p99 {tail:.2f} s"
    return [
        Row(way, f"p50 ≤ {goal_median:g} s, p99 ≤ {GOAL_TAIL:g} s", words, quick, gate=False),
        Row("… changes that arrived", f"{acts:,}", f"{len(seconds):,}", len(seconds) == acts),
    ]


def main() -> int:
    options = options_of("latency", __doc__, seconds=60.0, rate=5.0)
    print(f"{options.rate:g} changes a second for {options.seconds:g} s ({machine()})", flush=True)
    return publish(measure(options.seconds, options.rate))


if __name__ == "__main__":
    raise SystemExit(main())
