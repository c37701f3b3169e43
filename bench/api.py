"""The API over 100,000 contacts: a page of a list, one record, and a thousand records in one request.

    python -m bench.api [--records 100000] [--rounds 60]

Requests go through the whole of Django (middleware, token, throttle, serializer, renderer) in this process; a
server and a network would add the same to each. Ratios and counts are gates; milliseconds are goals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.ground import ground, machine
from bench.lists import fill
from bench.table import Row, publish, warn

if TYPE_CHECKING:
    from rest_framework.test import APIClient

PAGE = 100
GOAL_PAGE_MS, GOAL_DETAIL_MS, GOAL_BULK_S = 150, 50, 3.0
BULK, SINGLES = 1_000, 100
MOST_PAGE_QUERIES = 20
MOST_BY_DEPTH = 1.5
"""A page by cursor near the end of the list takes at most so many times as long as the first."""
MOST_OF_SINGLES = 0.25
"""A bulk of so many takes at most this part of the time of as many single requests."""
CONTACTS = "/api/v1/contacts/"


def client() -> APIClient:
    """A program with an administrator's token."""
    from django.contrib.auth.models import User
    from rest_framework.test import APIClient

    from sync.models import ApiToken
    from sync.models.api_clients import ALL_SCOPES

    user = User.objects.create_superuser("dora", "dora@example.com", "x")
    found = APIClient()
    _token, text = ApiToken.objects.issue(user, "bench", scopes=ALL_SCOPES)
    found.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return found


def timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of one request, and its answer; exits where that is no success."""
    begun = time.perf_counter()
    answer = ask()
    took = 1_000 * (time.perf_counter() - begun)
    if answer.status_code >= 300:
        raise SystemExit(f"answered {answer.status_code}: {answer.content[:500]!r}")
    return took, answer


def percentile(found: Sequence[float], part: float) -> float:
    """The value that this part of them doesn't exceed."""
    return sorted(found)[min(len(found) - 1, int(len(found) * part))]


def queries_of(ask: Callable[[], Any]) -> int:
    """How many statements a request runs."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        ask()
    return len(queries)


def page_row(name: str, asks: Sequence[Callable[[], Any]], goal: int = GOAL_PAGE_MS) -> tuple[float, Row]:
    """The middle of the times of these requests, and their row."""
    took = [timed(ask)[0] for ask in asks]
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return p50, Row(f"{name}: p50, p99", f"≤ {goal} ms", f"{p50:.0f} ms, {p99:.0f} ms", p99 <= goal, gate=False)


def flat_row(first: float, deep: float) -> Row:
    """A page far down beside the first."""
    flat = deep / first
    return Row("… deep beside the first", f"≤ {MOST_BY_DEPTH:.1f} ×", f"{flat:.1f} ×", flat <= MOST_BY_DEPTH)


def read_rows(api: APIClient, rounds: int) -> Iterator[Row]:
    """Pages and single records."""
    since = api.get(f"{CONTACTS}?ordering=-updated_at&page_size=500&fields=updated_at").json()["results"][-1]
    pages = {
        "list, first page": f"{CONTACTS}?page_size={PAGE}",
        "list, by time of change": f"{CONTACTS}?page_size={PAGE}&ordering=-updated_at",
        "list, changed since, 500": f"{CONTACTS}?page_size={PAGE}&updated_since={since['updated_at']}",
        "list, search": f"{CONTACTS}?page_size={PAGE}&search=Person+77",
    }
    for name, address in pages.items():
        yield page_row(f"{name} of {PAGE}", [partial(api.get, address)] * rounds)[1]
    yield from cursor_rows(api, rounds)
    few, many = (queries_of(partial(api.get, f"{CONTACTS}?page_size={size}")) for size in (10, PAGE))
    yield Row(
        f"… queries for a page of 10 and of {PAGE}", f"the same, ≤ {MOST_PAGE_QUERIES}", f"{few} and {many}",
        few == many <= MOST_PAGE_QUERIES,
    )  # fmt: skip
    ids = [one["id"] for one in api.get(f"{CONTACTS}?page_size={rounds}").json()["results"]]
    yield page_row("one record", [partial(api.get, f"{CONTACTS}{key}/") for key in ids], GOAL_DETAIL_MS)[1]


def cursor_rows(api: APIClient, rounds: int) -> Iterator[Row]:
    """Pages by cursor at the beginning and near the end of the list, in two orders."""
    for ordering in ("name", "-updated_at"):
        begun = f"{CONTACTS}?pagination=cursor&ordering={ordering}"
        yield from depth_rows(api, rounds, f"cursor, by {ordering}", begun, "&fields=id")


def depth_rows(api: APIClient, rounds: int, name: str, begun: str, quick: str = "") -> Iterator[Row]:
    """The first page of a list by cursor beside its last full one; `quick` makes the way there shorter."""
    pages, address = 0, f"{begun}&page_size=500{quick}"
    while following := api.get(address).json()["next"]:
        pages, deep, address = pages + 1, address, following
    deep = deep.replace("page_size=500", f"page_size={PAGE}").replace(quick, "")
    middles = []
    for where, page in (("first page", f"{begun}&page_size={PAGE}"), (f"page behind {500 * (pages - 1):,}", deep)):
        p50, row = page_row(f"{name}, {where}", [partial(api.get, page)] * rounds)
        middles.append(p50)
        yield row
    yield flat_row(*middles)


def upsert_rows(api: APIClient, rounds: int) -> Iterator[Row]:
    """An upsert of a record that is there, by its e-mail and by an external id."""
    urls = [f"{CONTACTS}by-email/person{1 + 97 * number}@example.com" for number in range(rounds)]
    external = [f"{CONTACTS}by-external-id/bench/{number}" for number in range(rounds)]
    for name, addresses in (("e-mail", urls), ("external id", external)):
        bodies = [{"name": f"Upsert {number}", "notes": name} for number in range(rounds)]
        asks = [partial(api.put, url, body) for url, body in zip(addresses, bodies, strict=True)]
        yield page_row(f"upsert by {name}", asks)[1]


def write_rows(api: APIClient) -> Iterator[Row]:
    """A thousand creates, changes and deletes in a request, beside single ones."""

    def body(number: int) -> dict[str, str]:
        return {"name": f"Bulk {number}", "email": f"bulk{number}@example.com", "phone": f"+46 31 {7010000 + number}"}

    def bulk(operations: list[dict[str, Any]]) -> tuple[float, Any]:
        took, answer = timed(lambda: api.post(f"{CONTACTS}bulk", {"atomic": True, "operations": operations}))
        return took / 1_000, answer.json()["results"]

    made: list[str] = []
    took_singles: dict[str, float] = dict.fromkeys(("creates", "changes", "deletes"), 0.0)
    for number in range(SINGLES):
        took, answer = timed(partial(api.post, CONTACTS, body(BULK + number)))
        made.append(f"{CONTACTS}{answer.json()['id']}/")
        took_singles["creates"] += took / 1_000
    for url in made:
        took_singles["changes"] += timed(partial(api.patch, url, {"notes": "changed"}))[0] / 1_000
    for url in made:
        took_singles["deletes"] += timed(partial(api.delete, url))[0] / 1_000
    took_bulk = {}
    took_bulk["creates"], results = bulk([{"action": "create", "record": body(number)} for number in range(BULK)])
    ids = [one["id"] for one in results]
    took_bulk["changes"], _ = bulk([{"action": "update", "id": pk, "record": {"notes": "changed"}} for pk in ids])
    took_bulk["deletes"], _ = bulk([{"action": "delete", "id": pk} for pk in ids])
    for what, seconds in took_bulk.items():
        part = seconds / (took_singles[what] * BULK / SINGLES)
        yield Row(
            f"bulk, {BULK:,} {what}", f"≤ {GOAL_BULK_S:.0f} s", f"{seconds:.2f} s", seconds <= GOAL_BULK_S, gate=False
        )
        yield Row(
            "… beside as many single requests", f"≤ {MOST_OF_SINGLES:.0%}", f"{part:.0%}", part <= MOST_OF_SINGLES
        )


def main() -> int:
    """Fill, ask, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    told = {"ALLOWED_HOSTS": "testserver", "SITE_URL": "http://testserver", "DEBUG": "false"}
    with ground(fast=True, API_THROTTLE="100000/min", **told):
        from config.web import load_application

        begun = time.monotonic()
        fill(asked.records, 100, 10_000)
        warn(f"filled in {time.monotonic() - begun:.0f} s on {machine()}")
        api = client()
        load_application()  # as the web process does before its first request
        api.get(CONTACTS)  # what is loaded once
        return publish([*read_rows(api, asked.rounds), *upsert_rows(api, asked.rounds), *write_rows(api)])


if __name__ == "__main__":
    raise SystemExit(main())
