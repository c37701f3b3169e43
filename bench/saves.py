"""Measures what sync and history cost a save: a contact, and the same fields in a plain table.

    python -m bench.saves [--saves 400]

Saves of both take turns, up to their commit: of synced contacts (each save also writes history, job and status), and of
new ones. Wake-ups after the commit aren't sent. Gates: at most 1.3 times as long, or at most 0.5 ms more, whichever is
larger.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.servers import database_and_sandbox, machine
from bench.table import Row, options_of, publish

GATE = 1.3
MORE_MS = 0.5
WARM = 20  # saves before what is measured
Models = tuple[Any, Any]


def plain_contact() -> Any:
    """Make a model with a contact's fields, indexes and constraints, without triggers, signals and history."""
    from django.db import connection, models

    from npd.models import Contact

    class Meta:
        app_label = "bench"
        db_table = "bench_plain_contacts"

    fields: dict[str, Any] = {field.name: field.clone() for field in Contact._meta.local_fields}
    # Contact has the relation's reverse name already.
    fields["organization"].remote_field.related_name = "+"
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_plain_contacts (LIKE contacts INCLUDING ALL)")
        # LIKE doesn't copy foreign keys.
        cursor.execute("ALTER TABLE bench_plain_contacts ADD FOREIGN KEY (organization_id) REFERENCES organizations")
    return type("PlainContact", (models.Model,), {**fields, "Meta": Meta, "__module__": __name__})


def new(model: Any, number: int) -> Any:
    name = f"Person {number}"
    return model(name=name, email=f"person{number}@example.com", phone="+12025550123", notes="Met at the fair.")


def make_synced() -> None:
    """Give every contact an item and the status synced, and empty the queue."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in ("contacts", "bench_plain_contacts"):
            cursor.execute(f"UPDATE {table} SET sync_status = 'synced', monday_id = id::text")
        cursor.execute("TRUNCATE sync_queue")
        cursor.execute("VACUUM ANALYZE")


def one_by_one(models: Models, saves: int, act: Callable[[Any, int], Any]) -> list[list[float]]:
    """Return the milliseconds of saves by model, taking turns; `act` prepares the record to save."""
    times_of_models: list[list[float]] = [[], []]
    for number in range(-WARM, saves):
        for times, model in zip(times_of_models, models, strict=True):
            record = act(model, number + WARM)
            begun = time.perf_counter()
            record.save()
            if number >= 0:
                times.append((time.perf_counter() - begun) * 1000)
    return times_of_models


def edited(models: Models) -> Callable[[Any, int], Any]:
    """Return a function that loads and changes another contact each time."""
    keys = {model: list(model._default_manager.values_list("pk", flat=True)[:10_000]) for model in models}

    def edit(model: Any, number: int) -> Any:
        record = model._default_manager.get(pk=keys[model][number])
        record.role_title = f"Role {number}"
        return record

    return edit


def row(figure: str, times_of_models: Sequence[Sequence[float]]) -> Row:
    """Compare the medians of the contact and the plain model."""
    ours, plain = map(statistics.median, times_of_models)
    ratio = f"{ours / plain:.2f} × ({ours:,.2f} of {plain:,.2f} ms)"
    is_met = ours <= max(plain * GATE, plain + MORE_MS)
    return Row(figure, f"≤ {GATE:g} ×, or ≤ {MORE_MS:g} ms more", ratio, is_met)


def main() -> int:
    saves = options_of("saves", __doc__, saves=400).saves
    with database_and_sandbox():
        from npd.models import Contact

        models = (Contact, plain_contact())
        print(f"{saves} saves ({machine()})")
        for model in models:
            model._default_manager.bulk_create(new(model, number) for number in range(saves + WARM))
        make_synced()
        changed = one_by_one(models, saves, edited(models))
        made = one_by_one(models, saves, new)
    return publish(
        [
            row("save() of a synced contact, beside one without sync and history", changed),
            row("save() of a new contact, likewise", made),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
