"""Runs a script: step by step, then quiet, then the oracle."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import requests

from tests.chaos import early, in_bulk, meddling, oracle, people_monday, people_npd, slowly, undoing
from tests.chaos.arena import Arena
from tests.chaos.journal import Journal, Violation
from tests.chaos.quiet import come_to_rest, sweep, wait_out
from tests.chaos.script import Script, Step
from tests.chaos.stage import SKIPPED, Stage

STEPS: dict[str, Callable[..., str | None]] = {
    "create": people_npd.create,
    "patch": people_npd.patch,
    "open_form": people_npd.open_form,
    "save_form": people_npd.save_form,
    "import_new": people_npd.import_new,
    "import_update": people_npd.import_update,
    "delete": people_npd.delete,
    "toggle": people_npd.toggle,
    "push_by_name": people_npd.push_by_name,
    "change_mapping": people_npd.change_mapping,
    "change_policy": people_npd.change_policy,
    "look_at_conflicts": people_npd.look_at_conflicts,
    "resolve": people_npd.resolve,
    "undo_conflict": undoing.undo_conflict,
    "undo_change": undoing.undo_change,
    "add": people_monday.add,
    "edit": people_monday.edit,
    "move_state": people_monday.move_state,
    "move_to_other_board": people_monday.move_to_other_board,
    "duplicate": people_monday.duplicate,
    "automation": people_monday.automation,
    "delete_many": in_bulk.delete_many,
    "empty_many": in_bulk.empty_many,
    "look_what_went": in_bulk.look_what_went,
    "decide_guarded": in_bulk.decide_guarded,
    "begin_save": slowly.begin_save,
    "commit_save": slowly.commit_save,
    "work": meddling.work,
    "deliver": meddling.deliver,
    "clock": meddling.clock,
    "beat": meddling.beat,
    "reconcile": meddling.reconcile,
    "hold_worker": meddling.hold_worker,
    "hide_column": meddling.hide_column,
    "calm": meddling.calm,
    "let_go": meddling.let_go,
    "kill_worker": meddling.kill_worker,
    "expect_attempts": meddling.expect_attempts,
    "two_workers": meddling.two_workers,
    "kill_celery": meddling.kill_celery,
    "stop_beat": meddling.stop_beat,
    "flush_broker": meddling.flush_broker,
    "restart_postgres": meddling.restart_postgres,
    "api_fault": meddling.api_fault,
    "webhook_rule": meddling.webhook_rule,
    "release": meddling.release,
    "forge": meddling.forge,
    "replay": meddling.replay,
}


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    script: Script
    violations: list[Violation]
    journal: Journal

    @property
    def done(self) -> Counter[str]:
        """How often each step was played, and what was met in it."""
        return self.journal.done

    def words(self) -> str:
        """For a person who looks for the bug."""
        lines = [f"seed {self.script.seed}: {len(self.violations)} violations"]
        lines += [str(violation) for violation in self.violations]
        return "\n".join([*lines, "", "the story:", *self.journal.lines, "", self.script.to_json()])


def run(script: Script, arena: Arena, *, until_wrong: bool = False) -> Result:
    """Play a script on an empty, prepared arena, and judge what is left when all is quiet.

    With `until_wrong` it ends with the first thing that is wrong.
    """
    stage = Stage(arena)
    began = time.monotonic()
    violations = list(islice(_violations(stage, script), 1 if until_wrong else None))
    stage.journal.lines.append(f"took {time.monotonic() - began:.1f} s")
    return Result(script, violations, stage.journal)


def _violations(stage: Stage, script: Script) -> Iterator[Violation]:
    stage.steps = [step.do for step in script.steps]
    for number, step in enumerate(script.steps):
        stage.at = number
        _play(stage, step)
        stage.arena.between_steps(number)
        people_monday.run_automations(stage)
    stage.at = len(script.steps)
    yield from stage.journal.complaints()
    wait_out(stage)
    yield from early.saves_went_out(stage)
    sweep(stage)
    yield from early.sweeps_found(stage)
    yield from come_to_rest(stage)
    yield from oracle.judge(stage)
    yield from stage.journal.complaints()


def _play(stage: Stage, step: Step) -> None:
    try:
        came = STEPS[step.do](stage, **step.args)
    except (requests.RequestException, AssertionError) as error:
        came = f"{type(error).__name__}: {error}"
        if "restart" not in step.do and not isinstance(error, requests.ConnectionError):
            stage.wrong(f"{step}: {traceback.format_exc(limit=4)}")
    stage.journal.lines.append(f"{stage.at:3} {step}" + (f" – {came}" if came else ""))
    if came != SKIPPED:
        stage.journal.done[step.do] += 1
    if came and came.startswith("answered 5"):
        stage.wrong(f"{step}: {came}")
