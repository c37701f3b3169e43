"""The quiet after a script: troubles end, every wait is waited out, and missed changes are found."""

from typing import Any

from sync.kernel.db import fetch_rows
from tests.chaos import meddling, people_npd
from tests.chaos.journal import Violation
from tests.chaos.stage import Stage

JUMPS = (0, 70, 130, 320, 700, 700, 3700, 3700, 4000, 26 * 3600, 700)  # seconds; past backoff, quiet times, the day
ENOUGH = 5  # jumps that are always made: they reach past every usual wait
A_NEW_ITEM_WAITS = 320  # seconds; without a match key
A_DAY = 20 * 3600  # seconds; after that a sweep may begin too late to find what happened
PASSES = 3  # within these the sync must come to rest
STILL = 3  # passes without a mutation that prove it


def wait_out(stage: Stage) -> None:
    """End all troubles and wait out every wait, without a sweep."""
    _end_troubles(stage)
    for number, seconds in enumerate(JUMPS):
        if number >= ENOUGH and not _waiting(stage):
            break
        _round(stage, seconds)


def sweep(stage: Stage) -> None:
    """Sweep twice: the second finds what was too fresh for the first."""
    for _ in range(2):
        _round(stage, 700)
        stage.costs("sweep")
        stage.arena.run("task sync.sweep_boards")
        _round(stage, 0)


def come_to_rest(stage: Stage) -> list[Violation]:
    """Run Beat's tasks, then pass over everything until nothing is written any more."""
    stage.costs("beat")
    meddling.beat(stage)
    _round(stage, 0)
    return _passes(stage)


def _end_troubles(stage: Stage) -> None:
    arena = stage.arena
    stage.automations.clear()
    meddling.end_faults(stage)
    stage.sandbox.control("latency", call_ms=0, mutation_ms=0)
    people_npd.commit_save(stage)
    meddling.let_go(stage)
    if arena.live:
        arena.work()
        arena.live = False
        arena.rest()


def _round(stage: Stage, seconds: float) -> None:
    stage.arena.delivered()
    if seconds and not stage.arena.pass_time(seconds):
        stage.wrong("the clock could not be moved in the quiet: a worker is still stopped")
    stage.arena.delivered()
    stage.arena.work()
    stage.arena.delivered()
    if stage.arena.due():
        stage.arena.work()


def _waiting(stage: Stage) -> bool:
    """Whether a row, an unknown outcome, a pause or a webhook still waits."""
    is_waiting = (
        "SELECT 1 FROM sync_queue WHERE status IN ('pending', 'in_progress')"
        " UNION ALL SELECT 1 FROM sync_intents WHERE state = 'open'"
        " UNION ALL SELECT 1 FROM sync_monday_account, jsonb_each(stops) AS call (kind, stop)"
        " WHERE (stop ->> 'until')::timestamptz > sync_now()"
        " UNION ALL SELECT 1 FROM sync_board_links WHERE (stops #>> '{all,until}')::timestamptz > sync_now()"
    )
    if fetch_rows(is_waiting):
        return True
    deliveries = stage.arena.webhooks()["deliveries"]
    return any(delivery["state"] in ("delayed", "retrying", "held") for delivery in deliveries)


def _passes(stage: Stage) -> list[Violation]:
    """The rule: at most three passes, then no mutation in three more."""
    passes: list[list[str]] = []
    while len(passes) < PASSES + STILL:
        passes.append(mutations_of_a_pass(stage))
        if len(passes) >= STILL and not any(passes[-STILL:]):
            return []
    late = [f"pass {number + 1}: {calls}" for number, calls in enumerate(passes) if calls]
    return [Violation("comes to rest", f"it still writes in pass after pass: {'; '.join(late)}")]


def mutations_of_a_pass(stage: Stage) -> list[str]:
    """Run sync_reconcile and all that follows; return the mutations that it sent."""
    since = last_call(stage)
    stage.costs("reconcile")
    worker = stage.arena.hand.run("reconcile")
    if worker.problem:
        stage.wrong(f"sync_reconcile in the quiet: {worker.problem[-600:]}")
    _round(stage, A_NEW_ITEM_WAITS)  # new items are looked at only after this time
    return mutations_since(stage, since)


def last_call(stage: Stage) -> int:
    calls = stage.sandbox.calls()
    return int(calls[-1]["id"]) if calls else 0


def mutations_since(stage: Stage, since: int) -> list[str]:
    calls: list[dict[str, Any]] = stage.sandbox.calls(since)
    return [", ".join(call["fields"]) for call in calls if call["kind"] == "mutation"]
