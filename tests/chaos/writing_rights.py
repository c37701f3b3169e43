"""Checks each write of ours, from Monday's events and NPD's history, against the settings."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from npd import models
from sandbox.model import API_USER
from tests.chaos.evidence import Entity, Evidence
from tests.chaos.stage import MODELS

LIVE_STEPS = 8  # a live worker may have read the setting so many steps ago


def only_where_allowed(evidence: Evidence) -> Iterator[str]:
    yield from _on_monday(evidence)
    yield from _in_npd(evidence)


def _on_monday(evidence: Evidence) -> Iterator[str]:
    ends = [window.delivery for window in evidence.stage.arena.windows]
    by_item = {e.item["id"]: e for e in evidence.entities if e.item and e.handles}
    for delivery in evidence.stage.arena.webhooks()["deliveries"]:
        event = delivery["body"]["event"]
        entity = by_item.get(str(event.get("pulseId")))
        if delivery["user_id"] != API_USER.id or entity is None or delivery["event"] not in (
            "change_column_value", "change_name"
        ):  # fmt: skip
            continue
        key = _key_of(evidence, entity, event.get("columnId") or "name")
        step = bisect_left(ends, delivery["id"])
        if key and not _allowed(evidence, entity, key, step, "npd_to_monday"):
            yield f"{entity.words}.{key} was written to Monday at step {step}, against its setting"


def _key_of(evidence: Evidence, entity: Entity, column: str) -> str:
    return next(
        (key for key in evidence.keys(entity) if evidence.column(entity, key) == column), ""
    )  # the NPD ID column is bookkeeping


def _in_npd(evidence: Evidence) -> Iterator[str]:
    ends = [window.at for window in evidence.stage.arena.windows]
    for entity in evidence.entities:
        if entity.record is None or not entity.handles:
            continue
        versions = list(_versions(entity))
        for before, after in pairwise(versions):
            if (after.pgh_context.metadata if after.pgh_context else {}).get("cause") != "sync":
                continue
            step = bisect_left(ends, after.pgh_created_at)
            for key in evidence.keys(entity):
                moved = _differs(before, after, key)
                if moved and not _allowed(evidence, entity, key, step, "monday_to_npd"):
                    yield f"{entity.words}.{key} was written in NPD at step {step}, against its setting"


def _versions(entity: Entity) -> Any:
    event = getattr(models, f"{MODELS[entity.type].__name__}Event")
    return event.objects.filter(pgh_obj_id=entity.record_id).select_related("pgh_context").order_by("pgh_id")


def _differs(before: Any, after: Any, key: str) -> bool:
    names = [key] if key != "address" else ["address_street", "address_city", "address_zip"]
    return any(getattr(before, name) != getattr(after, name) for name in names)


def _allowed(evidence: Evidence, entity: Entity, key: str, step: int, way: str) -> bool:
    """Whether every setting allowed this direction at some moment of the write's work."""
    journal = evidence.journal
    if way == "npd_to_monday" and any(h in journal.pushed_by_name for h in entity.handles):
        return True
    first = _begun(evidence, step)
    steps = range(first, step + 1)
    enabled = _values(evidence, entity.handles, "sync_enabled", True, steps)
    directions = _values(evidence, entity.handles, "sync_direction", "bidirectional", steps)
    mapping = _values(evidence, {f"{entity.type}.{key}"}, "direction", "bidirectional", steps)
    ways = {"bidirectional", way}
    return True in enabled and bool(directions & ways) and bool(mapping & ways)


def _values(evidence: Evidence, handles: set[str], name: str, default: Any, steps: range) -> set[Any]:
    return {
        value
        for step in steps
        for handle in handles
        for value in evidence.journal.setting_at(step, handle, name, default)
    }


def _begun(evidence: Evidence, step: int) -> int:
    """The step at which this write's work began; a worker may have been held since."""
    script = evidence.stage.steps
    if evidence.stage.arena.was_live:
        return max(0, step - LIVE_STEPS)
    holds = [n for n, name in enumerate(script[: step + 1]) if name == "hold_worker"]
    let_go = [n for n, name in enumerate(script[:step]) if name == "let_go"]
    if holds and (not let_go or let_go[-1] < holds[-1]):
        return holds[-1]
    return step
