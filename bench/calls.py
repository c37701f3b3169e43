"""Compares the API calls for 1,000 changed contacts: this engine, and a push of one call a record.

python -m bench.calls [--records 1000]
"""

import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass

from bench.servers import NOWHERE, Sandbox, database_and_sandbox, machine
from bench.table import Row, options_of, publish

GATE = 0.02  # API calls per changed record
DECISIONS = 1_000
ROUNDS = 10
GOAL_MS = 125
WAITING = 100
OUTAGE_CALLS = 50


@dataclass(frozen=True)
class Measured:
    """The cost of one way to push."""

    records: int
    calls: int
    seconds: float

    @property
    def ratio(self) -> float:
        return self.calls / self.records


def measure(name: str, records: int, sandbox: Sandbox, push: Callable[[], None], title: str) -> Measured:
    """Change every contact, push the changes, check that all arrived, and count the calls."""
    from npd.models import Contact

    Contact.objects.update(role_title=title)
    mark = sandbox.last_call()
    begun = time.monotonic()
    push()
    seconds = time.monotonic() - begun
    on_board = [item["values"]["role_title"] for board in sandbox.control("boards") for item in board["items"]]
    if on_board.count(title) != records:
        raise SystemExit(f"{name}: {on_board.count(title)} of {records} changes are on the board.")
    return Measured(records, len(sandbox.calls_since(mark)), seconds)


def engine() -> None:
    from sync.operations.worker import drain

    drain()


def naive() -> None:
    """Push as most integrations do: for each saved record one mutation with all its fields."""
    from npd.models import Contact
    from sync.fields.lookups import link_of, load_board
    from sync.limits.metered_client import client
    from sync.monday.board_items import ItemWrite
    from sync.monday.columns import make_converter
    from sync.monday.item_documents import prepare_changes

    link = link_of("contact")
    if link is None:
        raise SystemExit("monday_setup made no link for contacts.")
    board = load_board(link)
    mappings = board.mappings
    columns = board.columns
    for contact in Contact.objects.all():
        values = {
            mapping.column_id: make_converter(mapping.converter).to_remote(
                {name: getattr(contact, name) for name in mapping.fields}, None
            )
            for mapping in mappings
        }
        write = prepare_changes(link.board_id, [ItemWrite("r0", values, str(contact.monday_id))], columns)
        client().execute(write.body["text"], write.body["variables"])


def prepare(records: int) -> None:
    """Make boards, and this many contacts on both sides."""
    from npd.models import Contact
    from sync.operations.setup.board_setup import set_up_all
    from sync.operations.worker import drain

    list(set_up_all())
    Contact.objects.bulk_create(
        Contact(name=f"Person {number}", email=f"person{number}@example.com", phone="+12025550123", notes="…")
        for number in range(records)
    )
    drain()


def decisions() -> float:
    """Return the milliseconds of processor time for a thousand plans about one changed contact.

    The smallest of ten rounds, because other rounds have what else the machine did (timeit's documentation says so).
    """
    from npd.models import Contact
    from sync.choices import Cause
    from sync.fields.lookups import link_of, load_board
    from sync.models import SyncQueue
    from sync.outbox.claim import Claim
    from sync.reconcile.gather.gatherer import Gatherer
    from sync.reconcile.run import RULES, decide, new_plan, plan_pass

    link = link_of("contact")
    contact = Contact.objects.first()
    if link is None or contact is None:
        raise SystemExit("monday_setup made no link for contacts.")
    Contact.objects.filter(pk=contact.pk).update(role_title="Changed for a plan")
    job = SyncQueue(id=0, entity_type="contact", entity_id=contact.pk, causes=int(Cause.SWEEP), payload={})
    gatherer = Gatherer()
    facts = gatherer.read_claims(load_board(link), [Claim(contact.pk, None, [job])])
    plan_pass(gatherer, facts)
    rounds = timeit.Timer(lambda: decide(facts, new_plan(facts), RULES), timer=time.process_time).repeat(
        ROUNDS, DECISIONS
    )
    return min(rounds) * 1_000


def outage(sandbox: Sandbox) -> int:
    """Return the calls of an hour in which every write fails and new contacts wait."""
    from npd.models import Contact
    from sync.operations.worker import drain

    sandbox.control("faults", status=500, on="mutation", count=100_000)
    Contact.objects.bulk_create(
        Contact(name=f"New {number}", email=f"new{number}@example.com") for number in range(WAITING)
    )
    mark = sandbox.last_call()
    for _ in range(60):
        drain()
        sandbox.pass_time(60)
    return len(sandbox.calls_since(mark))


def main() -> int:
    records = options_of("calls", __doc__, records=1_000).records
    with database_and_sandbox(SITE_URL=NOWHERE) as sandbox:
        prepare(records)
        ours = measure("NPD Sync", records, sandbox, engine, "Changed once")
        milliseconds = decisions()
        # Last, because the engine would take its writes for another writer's.
        theirs = measure("one call a record", records, sandbox, naive, "Changed twice")
        failing = outage(sandbox)
    print(f"{records:,} changed contacts on the sandbox in {ours.seconds:.1f} s ({machine()})")
    figure = f"API calls a record, {records:,} changed at once (naive: {theirs.ratio:.2f})"
    rules = f"{DECISIONS:,} plans for a changed record, by what was read"
    return publish(
        [
            Row(figure, f"≤ {GATE}", f"{ours.ratio:.3f}", ours.ratio <= GATE),
            Row(
                f"calls in an hour of failing writes, {WAITING} new contacts waiting",
                f"≤ {OUTAGE_CALLS}",
                str(failing),
                failing <= OUTAGE_CALLS,
            ),
            Row(rules, f"≤ {GOAL_MS} ms", f"{milliseconds:,.0f} ms", milliseconds <= GOAL_MS, gate=False),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
