"""The admin's lists over 100,000 contacts, 10,000 conflicts and 1,000,000 finished queue rows: time and queries.

    python -m bench.lists [--records 100000] [--conflicts 10000] [--finished 1000000] [--slowest 15]

Every list's first page, a search that finds and one that finds nothing, and every choice of every filter, as the page
itself offers them; and the first page of the site. Each is opened once to warm up, then three times: the quickest
counts. Rows are written straight into the tables; no trigger has to run for them.

Queries are gates; milliseconds are goals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bench.ground import ground, machine
from bench.table import Row, publish, warn

if TYPE_CHECKING:
    from django.test import Client

MOST_QUERIES = 17  # one for the banner of a stop, above every page; one for why listed records are in their state
QUERIES_OF_HEALTH = 28  # a short one for each thing that it tells
QUERIES_OF_INBOX = 18  # one more: when changes that failed again are tried next
GOAL_MS = 200
ROUNDS = 3
LISTS = {
    "contacts": ("npd_contact", "Person 77"),
    "organizations": ("npd_organization", "Company 77"),
    "conflicts": ("conflicts_syncconflict", "Person 77"),
    "queue": ("sync_syncqueue", "refused"),
    "unmatched items": ("sync_unmatcheditem", "Stranger 77"),
    "activity": ("sync_decision", "Phone"),
    "sync state": ("sync_syncmetadata", "refuses"),
    "webhooks received": ("sync_webhookevent", "5077"),
    "API writes": ("sync_intent", "5077"),
    "verification": ("sync_verification", ""),
    "deleted records": ("sync_tombstone", "Person 77"),
    "approvals": ("sync_approvalrequest", "Phone"),
}

# Of hundred contacts: eighty are in sync, ten in conflict, the others wait. The newest rows belong to the last days.
FILL = """
SET LOCAL session_replication_role = replica;
INSERT INTO organizations (id, name, address_city, address_country, monday_id, sync_status)
SELECT md5('o' || n)::uuid, 'Company ' || n, 'Göteborg', 'Sweden', '4' || n, 'synced'
FROM generate_series(1, {organizations}) n;
INSERT INTO contacts (id, name, email, phone, role_title, organization_id, monday_id, sync_status, updated_at)
SELECT md5('c' || n)::uuid, 'Person ' || n, 'person' || n || '@example.com', '+46 31 ' || n, 'Director',
    md5('o' || (1 + n % {organizations}))::uuid, '5' || n,
    CASE WHEN n <= {conflicts} THEN 'conflict' WHEN n % 10 = 0 THEN 'pending' ELSE 'synced' END,
    sync_now() - n * interval '1 minute'
FROM generate_series(1, {records}) n;
INSERT INTO sync_metadata (entity_type, entity_id, remote_id, sync_status, last_sync_attempt, blocked_fields)
SELECT 'contact', md5('c' || n)::uuid::text, '5' || n, CASE WHEN n % 500 = 0 THEN 'failed' ELSE 'completed' END,
    sync_now() - n * interval '1 minute',
    CASE WHEN n % 1000 = 0 THEN '{{"email": {{"reason": "Monday refuses this email."}}}}'::jsonb ELSE '{{}}'::jsonb END
FROM generate_series(1, {records}) n;
INSERT INTO sync_conflicts (entity_type, entity_id, monday_item_id, npd_data, monday_data, base_data,
    conflict_fields, detected_at)
SELECT 'contact', md5('c' || n)::uuid, '5' || n, jsonb_build_object(field, 'here ' || n),
    jsonb_build_object(field, 'there ' || n), jsonb_build_object(field, 'before ' || n), ARRAY[field],
    sync_now() - n * interval '5 minutes'
FROM generate_series(1, {conflicts}) n, LATERAL (SELECT (ARRAY['phone', 'role_title', 'email'])[1 + n % 3] AS field) f;
INSERT INTO sync_queue (entity_type, entity_id, status, attempts, created_at, finished_at)
SELECT 'contact', md5('c' || (1 + n % {records}))::uuid, 'completed', 1,
    sync_now() - ({finished} - n) * interval '1.2 seconds', sync_now() - ({finished} - n) * interval '1.2 seconds'
FROM generate_series(1, {finished}) n;
INSERT INTO sync_queue (entity_type, entity_id, status, attempts, next_retry, error_message)
SELECT 'contact', md5('c' || n)::uuid, CASE WHEN n % 5 = 0 THEN 'failed' ELSE 'pending' END, 2,
    sync_now() + n * interval '1 second', 'Monday refused the item.'
FROM generate_series(1, {records} / 50) n;
INSERT INTO sync_decisions (entity_type, entity_id, remote_id, key, kind, sentence, actor, at)
SELECT 'contact', md5('c' || (1 + n % {records}))::uuid, '5' || n, 'phone', 'pull', 'Phone came from Monday: ' || n,
    'Bob',
    sync_now() - n * interval '10 seconds'
FROM generate_series(1, {records}) n;
INSERT INTO sync_webhook_events (trigger_id, board_id, item_id, type, body, received_at, processed_at, outcome)
SELECT 't' || n, '9002', '5' || n, 'update_column_value', '{{}}', sync_now() - n * interval '10 seconds',
    sync_now(), 'echo'
FROM generate_series(1, {records}) n;
INSERT INTO sync_intents (id, entity_type, entity_id, board_id, item_id, lease_token, idempotency_key, deadline, state)
SELECT md5('i' || n)::uuid, 'contact', md5('c' || n)::uuid, '9002', '5' || n, md5('l')::uuid, 'k' || n,
    sync_now(), 'applied'
FROM generate_series(1, {records}) n;
INSERT INTO sync_verifications (entity_type, at, compared) SELECT 'contact', sync_now() - n * interval '4 hours', 100
FROM generate_series(1, {records} / 50) n;
INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data, deleted_at)
SELECT 'contact', md5('d' || n)::uuid, '6' || n, jsonb_build_object('name', 'Person ' || n),
    sync_now() - n * interval '1 minute'
FROM generate_series(1, {records} / 10) n;
INSERT INTO sync_unmatched_items (entity_type, board_id, item_id, name, reason_code, "values", first_seen)
SELECT 'contact', '9002', '7' || n, 'Stranger ' || n, (ARRAY['no_key', 'creation_off', 'queued'])[1 + n % 3],
    jsonb_build_object('name', 'Stranger ' || n, 'phone', '+46 31 ' || n), sync_now() - n * interval '1 minute'
FROM generate_series(1, {records}) n;
INSERT INTO sync_approval_requests (entity_type, entity_id, remote_id, kind, key, state, label)
SELECT 'contact', md5('c' || n)::uuid, '5' || n, 'clear_monday', 'phone', 'pending', 'Phone “' || n || '”'
FROM generate_series(1, {records} / 100) n;
"""


@dataclass(frozen=True)
class Opened:
    """One page: its address, the milliseconds of the quickest time, those in the database, and its queries."""

    address: str
    milliseconds: float
    in_database: float
    queries: int


def fill(records: int, conflicts: int, finished: int) -> None:
    """Write the rows, and let PostgreSQL know them."""
    from django.db import connection, transaction

    from sync.models.board_link import BoardLink, MondayAccount

    MondayAccount.objects.get_or_create(id=1)
    for entity_type, board, key in (("contact", "9002", "email"), ("organization", "9001", "name")):
        BoardLink.objects.create(entity_type=entity_type, board_id=board, npd_id_column="npd_id", match_key=key)
    numbers = {"records": records, "conflicts": conflicts, "finished": finished}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FILL.format(organizations=max(1, records // 4), **numbers))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def client() -> Client:
    """A signed-in administrator."""
    from django.contrib.auth.models import User
    from django.test import Client

    found = Client()
    found.force_login(User.objects.create_superuser("dora", "dora@example.com", "x"))
    return found


def addresses(browser: Client, model: str, search: str) -> Iterator[str]:
    """A list's first page, its searches, and each choice of each filter that it offers."""
    from django.urls import reverse

    listed = reverse(f"admin:{model}_changelist")
    yield listed
    if search:
        yield from (f"{listed}?{urlencode({'q': words})}" for words in (search, "zzzz nothing"))
    for spec in filters(browser, listed):
        yield from (f"{listed}?{urlencode(chosen)}" for chosen in choices(spec))


def filters(browser: Client, listed: str) -> Sequence[Any]:
    """The filters of a list, as its page makes them."""
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment()  # pages tell their context; it costs time, so not while they are measured
    try:
        found: Sequence[Any] = browser.get(listed).context["cl"].filter_specs
        return found
    finally:
        teardown_test_environment()


def choices(spec: Any) -> Iterator[dict[str, str]]:
    """What a filter can be set to."""
    name = str(getattr(spec, "parameter_name", None) or getattr(spec, "lookup_kwarg", ""))
    offered: Any = getattr(spec, "lookup_choices", None) or getattr(getattr(spec, "field", None), "flatchoices", ())
    offered = [one if isinstance(one, tuple | list) else (one, one) for one in offered]
    if type(spec).__name__ == "RangeDateTimeFilter":
        yield {f"{spec.parameter_name}_from_0": "2020-01-01", f"{spec.parameter_name}_from_1": "00:00"}
    elif type(spec).__name__ == "BooleanRadioFilter":
        yield from ({name: value} for value in ("1", "0"))
    else:
        yield from ({name: str(value)} for value, _ in offered if value not in (None, ""))


def opened(browser: Client, address: str) -> Opened:
    """Open a page several times; the quickest is told, for the machine may have something else to do."""
    from django.db import connection

    found: list[Opened] = []
    for _ in range(1 + ROUNDS):
        asked: list[float] = []
        begun = time.perf_counter()
        with connection.execute_wrapper(partial(_timed, asked)):
            answer = browser.get(address)
        if answer.status_code != 200:
            raise SystemExit(f"{address} answered {answer.status_code}")
        found.append(Opened(address, 1_000 * (time.perf_counter() - begun), 1_000 * sum(asked), len(asked)))
    return min(found[1:], key=lambda one: one.milliseconds)


def _timed(asked: list[float], execute: Any, *what: Any) -> Any:
    begun = time.perf_counter()
    try:
        return execute(*what)
    finally:
        asked.append(time.perf_counter() - begun)


def rows(name: str, found: Sequence[Opened], limit: int = MOST_QUERIES) -> Iterator[Row]:
    """A list's figures: the most queries, and the slowest page."""
    most = max(found, key=lambda one: one.queries)
    slow = max(found, key=lambda one: one.milliseconds)
    first = found[0].milliseconds
    which = slow.address.partition("?")[2] or "first page"
    yield Row(
        f"{name}: queries, the most of {len(found)} pages", f"≤ {limit}", f"{most.queries}", most.queries <= limit,
    )  # fmt: skip
    yield Row(
        "… first page, slowest page", f"≤ {GOAL_MS} ms", f"{first:.0f} ms, {slow.milliseconds:.0f} ms ({which})",
        slow.milliseconds <= GOAL_MS, gate=False,
    )  # fmt: skip


def main() -> int:
    """Fill, open, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.lists", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--conflicts", type=int, default=10_000)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--slowest", type=int, default=15, help="how many of the slowest pages are shown")
    parser.add_argument("--only", default="", help="one list alone, by its name")
    asked = parser.parse_args()
    found: list[Row] = []
    every: list[Opened] = []
    with ground(fast=True, ALLOWED_HOSTS="testserver", SITE_URL="http://testserver", DEBUG="false"):
        begun = time.monotonic()
        fill(asked.records, asked.conflicts, asked.finished)
        warn(f"filled in {time.monotonic() - begun:.0f} s on {machine()}")
        browser = client()
        for name, address, limit in (
            ("Health", "/admin/", QUERIES_OF_HEALTH),
            ("inbox", "/admin/inbox/", QUERIES_OF_INBOX),
        ):
            opened(browser, address)
            site = [opened(browser, address)]
            found += rows(name, site, limit)
            every += site
        for name, (model, search) in LISTS.items():
            if asked.only in name:
                pages = [opened(browser, address) for address in addresses(browser, model, search)]
                found += rows(name, pages)
                every += pages
    every.sort(key=lambda one: -one.milliseconds)
    for one in every[: asked.slowest]:
        warn(f"{one.milliseconds:6.0f} ms, {one.in_database:5.0f} in {one.queries:2} queries  {one.address}")
    return publish(found)


if __name__ == "__main__":
    raise SystemExit(main())
