"""Runs a script: step by step, then quiet, then the oracle."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import isfunction
from itertools import islice
from types import ModuleType

import requests

from sync.models import SyncQueue
from tests.chaos import meddling, oracle, people_monday, people_npd
from tests.chaos.arena import Arena
from tests.chaos.evidence import Entity, Evidence
from tests.chaos.journal import Journal, Violation, essence
from tests.chaos.quiet import A_DAY, come_to_rest, sweep, wait_out
from tests.chaos.script import Script, Step
from tests.chaos.stage import SKIPPED, Stage


def steps_of(module: ModuleType, *others: str) -> dict[str, Callable[..., str | None]]:
    """The steps that a module offers, its public functions without `others`; each returns why it did nothing."""
    functions = {name: function for name, function in vars(module).items() if isfunction(function)}
    return {
        name: function
        for name, function in functions.items()
        if function.__module__ == module.__name__ and not name.startswith("_") and name not in others
    }


STEPS = steps_of(people_npd) | steps_of(people_monday, "run_automations") | steps_of(meddling, "end_faults", "replay")


@dataclass(frozen=True)
class Result:
    script: Script
    violations: list[Violation]
    journal: Journal

    @property
    def counts(self) -> Counter[str]:
        return self.journal.counts

    def words(self) -> str:
        lines = [f"seed {self.script.seed}: {len(self.violations)} violations"]
        lines += [str(violation) for violation in self.violations]
        return "\n".join([*lines, "", "the story:", *self.journal.lines, "", self.script.to_json()])


def run(script: Script, arena: Arena, *, until_wrong: bool = False) -> Result:
    """Play a script on a prepared arena and judge the end state; with `until_wrong`, end at the first violation."""
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
    yield from saves_went_out(stage)
    sweep(stage)
    yield from sweeps_found(stage)
    yield from come_to_rest(stage)
    yield from oracle.judge(stage)
    yield from stage.journal.complaints()


def _play(stage: Stage, step: Step) -> None:
    try:
        outcome = STEPS[step.do](stage, **step.args)
    except (requests.RequestException, AssertionError) as error:
        outcome = f"{type(error).__name__}: {error}"
        if "restart" not in step.do and not isinstance(error, requests.ConnectionError):
            stage.wrong(f"{step}: {traceback.format_exc(limit=4)}")
    stage.journal.lines.append(f"{stage.at:3} {step}" + (f" – {outcome}" if outcome else ""))
    if outcome != SKIPPED:
        stage.costs(step.do)
        stage.journal.counts[step.do] += 1
    if outcome and outcome.startswith("answered 5"):
        stage.wrong(f"{step}: {outcome}")


def saves_went_out(stage: Stage) -> list[Violation]:
    """Every save in NPD was sent, waits, or has a stated reason: the outbox knows it without a sweep."""
    evidence = Evidence(stage)
    waiting = set(SyncQueue.objects.filter(status="pending").values_list("entity_id", flat=True))
    return [
        Violation("a save needs no sweep", words)
        for entity in evidence.entities
        if entity.linked and entity.may_sync and entity.record and entity.record.pk not in waiting
        for key in evidence.keys(entity)
        if (words := _left_behind(evidence, entity, key))
    ]


def _left_behind(evidence: Evidence, entity: Entity, key: str) -> str:
    base = entity.sync_state.base.get(key) if entity.sync_state else None
    one_way = oracle.flow(evidence, entity, key) in ("none", "monday_to_npd")
    if base is None or one_way or oracle.excused(entity, key) or oracle.reason_of(entity):
        return ""
    local, agreed = essence(key, entity.local(key)), oracle.raw_text(key, base.get("local"))
    if local == agreed:
        return ""
    return f"{entity.words}.{key} is {local!r} in NPD, last agreed {agreed!r}, and no row waits for it"


def sweeps_found(stage: Stage) -> list[Violation]:
    """Two sweeps have found what no webhook reported."""
    if stage.arena.passed() > A_DAY:
        return []  # the nightly comparison finds what is older than a day
    evidence = Evidence(stage)
    return [Violation("a sweep finds what no webhook told", words) for words in oracle.sides_agree(evidence)]
