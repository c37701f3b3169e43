"""Every webhook of the run comes once more, and nothing moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conflicts.models import SyncConflict
from tests.chaos import meddling
from tests.chaos.journal import FIELDS
from tests.chaos.quiet import last_call, mutations_since
from tests.chaos.stage import MODELS, Stage, local_value


def nothing_changes(stage: Stage) -> Iterator[str]:
    """What moves when the log is replayed, as it was."""
    before, since = _picture(stage), last_call(stage)
    meddling.replay(stage)
    stage.arena.work()
    stage.arena.pass_time(30)
    stage.arena.work()
    after, sent = _picture(stage), mutations_since(stage, since)
    if sent:
        yield f"it sent {len(sent)} mutations: {sent}"
    for what in before.keys() | after.keys():
        if before.get(what) != after.get(what):
            yield f"{what} was {before.get(what)!r} and is {after.get(what)!r}"


def _picture(stage: Stage) -> dict[str, Any]:
    shown: dict[str, Any] = {"open conflicts": SyncConflict.objects.filter(resolved_at=None).count()}
    for entity_type, model in MODELS.items():
        for record in model._default_manager.all():
            shown[f"{entity_type} {record.pk}"] = [local_value(record, key) for key in FIELDS[entity_type]]
    for board in stage.sandbox.boards():
        for item in board["items"]:
            shown[f"item {item['id']}"] = (item["name"], item["state"], item["values"])
    return shown
