"""What must hold before everything is compared with everything: what an early net has to catch needs no later one."""

from __future__ import annotations

from sync.models import SyncQueue
from tests.chaos import oracle, standing
from tests.chaos.evidence import Entity, Evidence
from tests.chaos.journal import Violation, essence
from tests.chaos.quiet import A_DAY
from tests.chaos.stage import Stage


def saves_went_out(stage: Stage) -> list[Violation]:
    """Whatever was saved in NPD has gone, or waits, or it is said why not: the outbox alone must know of it."""
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
    base = entity.ledger.base.get(key) if entity.ledger else None
    one_way = oracle.flow(evidence, entity, key) in ("none", "monday_to_npd")
    if base is None or one_way or oracle.excused(entity, key) or standing.reason_of(entity):
        return ""
    local, agreed = essence(key, entity.local(key)), oracle.raw_text(key, base.get("local"))
    if local == agreed:
        return ""
    return f"{entity.words}.{key} is {local!r} in NPD, last agreed {agreed!r}, and no row waits for it"


def sweeps_found(stage: Stage) -> list[Violation]:
    """What no webhook told, two sweeps have found."""
    if stage.arena.passed() > A_DAY:
        return []  # what is older than a day, the nightly comparison finds
    evidence = Evidence(stage)
    return [Violation("a sweep finds what no webhook told", words) for words in oracle.sides_agree(evidence)]
