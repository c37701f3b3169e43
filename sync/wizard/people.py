"""What a person said of records and items with like names, carried out; what nobody said stays out, and is told.

A record that stays out has its sync turned off, its likely item is remembered as let go: “Link again…” on the record's
page links the two, “Turn sync on” asks whose item it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from sync.choices import Cause, Priority
from sync.enqueue import enqueue_many
from sync.letting_go import LEFT_OUT, remember
from sync.models import Decision, RefusedItem, SetupDraft, SyncedModel
from sync.registry import EntitySpec
from sync.wizard.drafts import NEW


def carry_out_answers(draft: SetupDraft, spec: EntitySpec) -> list[str]:
    """Link what was confirmed and leave out what wasn't, in the caller's transaction; return that in words."""
    near: list[dict[str, Any]] = draft.found.get("near", [])
    by = str(draft.outcome.get("by", ""))
    linked = _link(spec, [one for one in near if draft.answers.get(one["record"]) == one["item"]], by)
    undecided = [one for one in near if draft.answers.get(one["record"]) not in (one["item"], NEW)]
    out = {one["record"]: [one["item"]] for one in undecided} | draft.found.get("unsure_of", {})
    left = _leave_out(spec, out, by)
    done = []
    if linked:
        done.append(_("linked %(count)d records with items of like names, as confirmed") % {"count": linked})
    if left:
        done.append(
            _("left %(count)d records out, whose names are like items' and not confirmed") % {"count": left}
        )
    return done


def _link(spec: EntitySpec, pairs: Iterable[Mapping[str, Any]], by: str) -> int:
    ids = []
    for pair in pairs:
        record = _free(spec, pair["record"])
        taken = spec.model._default_manager.filter(monday_id=pair["item"]).exists()
        if record is None or taken:
            continue
        spec.model._default_manager.filter(pk=record.pk).update(monday_id=pair["item"])
        RefusedItem.objects.filter(entity_type=spec.entity_type, item_id=pair["item"]).delete()
        sentence = (
            f"{by} said in the set-up that it is the item “{pair['item_name']}”: their names are alike."
        )
        _tell(record, pair["item"], "link", sentence, by)
        ids.append(record.pk)
    enqueue_many(spec.entity_type, ids, cause=Cause.PERSON, priority=Priority.BACKFILL, payload={"by": by})
    return len(ids)


def _leave_out(spec: EntitySpec, out: Mapping[str, list[str]], by: str) -> int:
    count = 0
    for entity_id, items in out.items():
        record = _free(spec, entity_id)
        if record is None:
            continue
        spec.model._default_manager.filter(pk=record.pk).update(sync_enabled=False)
        reason = f"Its name is like that of “{record}”; nobody has said whether they are the same."
        # The likest last: it is the one that “Link again…” offers.
        for item in reversed(items):
            # Others may be like it, too: it stays the first one's, and this record is told by its decision below.
            rows = RefusedItem.objects.filter(entity_type=spec.entity_type, item_id=item, let_go=True)
            if not rows.exclude(entity_id=None).exclude(entity_id=record.pk).exists():
                remember(spec.entity_type, item, record.pk, reason)
        sentence = (
            "The set-up left it out: its name is like an item's, and nobody has said whether they are the same. "
            "“Link again…” links it with that item; “Turn sync on” asks."
        )
        _tell(record, items[0], LEFT_OUT, sentence, by)
        count += 1
    return count


def _free(spec: EntitySpec, entity_id: str) -> SyncedModel | None:
    records = spec.model._default_manager.select_for_update(no_key=True, of=("self",))
    return records.filter(pk=UUID(entity_id), monday_id=None, sync_enabled=True).first()


def _tell(record: SyncedModel, item: str, kind: str, sentence: str, by: str) -> None:
    Decision.objects.create(
        entity_type=record.entity_type(), entity_id=record.pk, remote_id=item, kind=kind, sentence=sentence,
        actor=by, cause={"by": by, "causes": ["person"]},
    )  # fmt: skip
