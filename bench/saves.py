"""What sync and history cost whoever saves: a contact, and the same fields in a table of their own that nobody watches.

    python -m bench.saves [--saves 400]

Saves up to their commit, by turns, of contacts that are in sync (each of them then writes its history, its outbox row
and its status), and of new ones. The wake-up, which goes out after the commit, goes nowhere. Gates: at most 1.3 times
as long, or at most 0.5 ms more, whichever is larger.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.ground import ground, machine
from bench.table import Row, publish

GATE = 1.3
MORE_MS = 0.5
WARM = 20  # saves before what is measured
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


def make_synced() -> None:
    """As after a look: every contact has its item, and nothing waits."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in ("contacts", "bench_plain_contacts"):
            cursor.execute(f"UPDATE {table} SET sync_status = 'synced', monday_id = id::text")
        cursor.execute("TRUNCATE sync_queue")
        cursor.execute("VACUUM ANALYZE")


def one_by_one(models: Models, saves: int, act: Callable[[Any, int], Any]) -> list[list[float]]:
    """Milliseconds of so many saves by turns, by model; `act` makes ready what is saved."""
    taken: list[list[float]] = [[], []]
    for number in range(-WARM, saves):
        for times, model in zip(taken, models, strict=True):
            ready = act(model, number + WARM)
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
        record = model._default_manager.get(pk=keys[model][number])
        record.role_title = f"Role {number}"
        return record

    return ready


def row(figure: str, taken: Sequence[Sequence[float]]) -> Row:
    """Ours beside the plain one, by their medians."""
    ours, plain = map(statistics.median, taken)
    ratio = f"{ours / plain:.2f} × ({ours:,.2f} of {plain:,.2f} ms)"
    held = ours <= max(plain * GATE, plain + MORE_MS)
    return Row(figure, f"≤ {GATE:g} ×, or ≤ {MORE_MS:g} ms more", ratio, held)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.saves", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--saves", type=int, default=400)
    saves = parser.parse_args().saves
    with ground():
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
