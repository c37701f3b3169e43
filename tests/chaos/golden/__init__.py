"""Golden runs: what the product said to Monday in hostile scripts, and what it left behind, recorded to be compared.

    python -m tests.chaos.golden compare [DIR] [NAME …]    plays them, and says what is no longer as recorded
    python -m tests.chaos.golden record [DIR] [NAME …]     writes them anew, on purpose

`make hostile` compares a few of them (test_recorded.py).

Without DIR it is `recorded/` beside this file; into another folder whole documents and rows are written too. Played
are the scripts of the seeds 1 to 25 and those in `regressions/`, on an embedded PostgreSQL, with the real web process,
workers and sandbox. What the oracle has to say is recorded as well.

**So that two runs are the same**, they are kept in good order. UUIDs count through all processes, so that what is
sorted by id has one order; what is taken at random is the same each time (`orderly.py`); rows that a query doesn't
sort come as they were last written (`play.Orderly`). Workers work one after another: `two_workers` lets the second
begin when the first has ended. While one works the sandbox sends no webhook; then it sends all, one after another,
before anything else happens. Sets of texts have the same order in all processes. Scripts that play with Celery's
worker, Beat and the broker are played without these, and without the steps on them (`play.ONLY_LIVE`).

**What is compared**: every call in its order, under the step that made it: kind, fields, whom it is about, a hash of
the document and one of the variables, whether it carries the idempotency key of an earlier call, its status, fault and
errors. And at the end the boards with their items, and the rows of `told.TABLES`; of long columns a hash. Of a step
that calls nothing only its share of the first line's hash is kept (`generate` and `regressions/` have all steps), of an
empty table nothing; equal lines that follow each other are one, with their number.

**What isn't**: races of two workers, of a worker and a webhook, and the tests of `tests/story`, which play with Celery
and Beat on the real clock: what a run of these does when differs each time. Times are only “TIME”; ids have the
handles of the script for names, others are numbered within their own line. Columns of `told.LEFT_OUT`, `ALWAYS` and
`IN_WORDS` are not read. What a person reads (`sentence`) is left out, short texts such as `note`, `reason` and
`error_message` are in.

The steps that kill or stop a worker count its commits and calls: who merges two transactions into one moves that
point. Such a difference is explained in its commit. Nothing in here imports the product; of the sandbox `orderly.py`
takes three names, which follow when they are renamed.
"""

from pathlib import Path

from tests.chaos.generating import generate
from tests.chaos.script import Script, read_all

SEEDS = range(1, 26)
RECORDED = Path(__file__).parent / "recorded"


def scripts() -> dict[str, Script]:
    """Every script that is recorded, by its name: those of the first seeds, and those that once failed."""
    kept = read_all(Path(__file__).parent.parent / "regressions")
    return {f"seed-{seed:02}": generate(seed) for seed in SEEDS} | {f"once-{name}": kept[name] for name in kept}
