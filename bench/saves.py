"""What sync and history cost whoever saves: a contact, and the same fields in a table of their own that nobody watches.

    python -m bench.saves [--saves 400] [--records 100000]

Saves up to their commit, by turns, of contacts that are in sync (each of them then writes its history, its outbox row
and its status); new contacts; and bulk_create. Gates: at most 1.5 times as long, or at most 0.5 ms more, whichever is
larger; bulk_create at most 1.5 times. The wake-up is measured by itself, for it goes out after the commit and once a
second: to Redis where there is one, else to the embedded broker. Exit 1 when a gate is missed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bench.ground import ground, machine
from bench.site import EMBEDDED, REDIS, has_redis
from bench.table import Row, publish

GATE = 1.5
MORE_MS = 0.5
WAKE_MS = 2.0
WAKES = 50
PARTS = 10
Models = tuple[Any, Any]


def plain_contact() -> Any:
    """A model with the fields of a contact, its indexes and constraints, and no trigger, signal or history."""
    from django.db import connection, models

    from npd.models import Contact

    class Meta:
        app_label = "bench"
        db_table = "bench_plain_contacts"

    fields: dict[str, Any] = {field.name: field.clone() for field in Contact._meta.local_fields}
    # Contacts have the reverse name of the relation already.
    fields["organization"].remote_field.related_name = "+"
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_plain_contacts (LIKE contacts INCLUDING ALL)")
        # LIKE copies no foreign keys.
        cursor.execute("ALTER TABLE bench_plain_contacts ADD FOREIGN KEY (organization_id) REFERENCES organizations")
    return type("PlainContact", (models.Model,), {**fields, "Meta": Meta, "__module__": __name__})


def new(model: Any, number: int) -> Any:
    """One that is not in the database yet."""
    name = f"Person {number}"
    return model(name=name, email=f"person{number}@example.com", phone="+12025550123", notes="Met at the fair.")


def empty() -> None:
    """No contacts, no rows of the queue, no history."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE contacts, bench_plain_contacts, sync_queue, npd_contactevent CASCADE")


def make_synced() -> None:
    """As after a look: every contact has its item, and nothing waits."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in ("contacts", "bench_plain_contacts"):
            cursor.execute(f"UPDATE {table} SET sync_status = 'synced', monday_id = id::text")
        cursor.execute("TRUNCATE sync_queue")
        cursor.execute("VACUUM ANALYZE")


def in_bulk(models: Models, records: int) -> list[list[float]]:
    """Milliseconds of each bulk_create, by model: a tenth of the records by turns."""
    taken: list[list[float]] = [[], []]
    empty()
    for _ in range(PARTS):
        for times, model in zip(taken, models, strict=True):
            rows = [new(model, number) for number in range(records // PARTS)]
            times.append(milliseconds(partial(model._default_manager.bulk_create, rows)))
    return taken


def one_by_one(models: Models, saves: int, act: Callable[[Any, int], Any]) -> list[list[float]]:
    """Milliseconds of so many saves by turns, by model; `act` makes ready what is saved."""
    taken: list[list[float]] = [[], []]
    for number in range(-20, saves):  # the first ones warm up
        for times, model in zip(taken, models, strict=True):
            ready = act(model, number + 20)
            spent = milliseconds(ready.save)
            if number >= 0:
                times.append(spent)
    return taken


def milliseconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def edited(models: Models) -> Callable[[Any, int], Any]:
    """Contacts that are loaded and changed, another each time."""
    keys = {model: list(model._default_manager.values_list("pk", flat=True)[:10_000]) for model in models}

    def ready(model: Any, number: int) -> Any:
        found = model._default_manager.get(pk=keys[model][number])
        found.role_title = f"Role {number}"
        return found

    return ready


def wakes() -> list[float]:
    """Milliseconds of each wake-up."""
    from sync.outbox import notify

    if not notify.notify_now("contact"):
        raise SystemExit("The broker takes no wake-ups.")
    return [milliseconds(lambda: notify.notify_now("contact")) for _ in range(WAKES)]


def row(figure: str, taken: Sequence[Sequence[float]], more: float) -> Row:
    """Ours beside the plain one, by their medians."""
    ours, plain = map(statistics.median, taken)
    words = f"≤ {GATE:g} ×" + (f", or ≤ {more:g} ms more" if more else "")
    ratio = f"{ours / plain:.2f} × ({ours:,.2f} of {plain:,.2f} ms)"
    return Row(figure, words, ratio, ours <= max(plain * GATE, plain + more))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.saves", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--saves", type=int, default=400)
    parser.add_argument("--records", type=int, default=100_000)
    asked = parser.parse_args()
    broker = REDIS if has_redis() else EMBEDDED
    with ground(LOG_LEVEL="ERROR", CELERY_BROKER_URL=broker):
        from npd.models import Contact

        models = (Contact, plain_contact())
        print(f"{asked.saves} saves, {asked.records:,} in bulk ({machine()})")
        bulk = in_bulk(models, asked.records)
        make_synced()
        changed = one_by_one(models, asked.saves, edited(models))
        made = one_by_one(models, asked.saves, new)
        woken = statistics.median(wakes())
    return publish(
        [
            row("save() of a synced contact, beside one without sync and history", changed, MORE_MS),
            row("save() of a new contact, likewise", made, MORE_MS),
            row(f"bulk_create of {asked.records:,}, likewise ({PARTS} parts)", bulk, 0),
            Row(
                f"wake-up, {'Redis' if broker else 'embedded broker'}",
                f"≤ {WAKE_MS:g} ms",
                f"{woken:.2f} ms",
                woken <= WAKE_MS,
                gate=False,
            ),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
