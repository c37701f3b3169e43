"""What a set-up would do, found out by the engine's own rules on both sides as they are. Writes to neither.

Records are found by the NPD ID, else by the match key, as every look finds them; of those that are left, names that
are nearly alike are offered to a person (similar.py). What is linked is merged field by field, and only counted.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from sync import registry
from sync.backfill.board import Index, pages
from sync.backfill.candidates import CHUNK, chunks
from sync.backfill.rows import row_of
from sync.choices import SyncDirection
from sync.claims import Claimed
from sync.connectors.monday.items import Item, LookResult
from sync.engine.identity import identify
from sync.engine.loading import load
from sync.engine.planning import plan
from sync.engine.reading import as_uuid, match_text, npd_id_of
from sync.engine.relations import find_related
from sync.engine.subjects import Batch, Board, Subject
from sync.engine.values import name_of
from sync.lease import Lease
from sync.models import RefusedItem, SetupDraft
from sync.models.synced import unsynced
from sync.wizard.drafted import asked_columns, board_of, completed
from sync.wizard.similar import Near, similar

SAMPLES = 5
MOST_PAIRS = 2_000
"""Pairs of like names that are offered and kept; records beyond them stay out, and are counted as ambiguous."""
GROUPS = ("linked", "link", "create", "ambiguous", "invalid", "missing")
Tell = Callable[[int, int], None]


@dataclass
class Found:
    """What was found: how many of each group, with samples `[name, why]`, and what the merge makes of it.

    `to_monday`, `to_npd` and `conflicts` count records, `held` fields; `near` are pairs that a person may confirm,
    `unsure_of` the items that
    a record's name is like, where they are several, by record, `free` the items that no record has.
    """

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[list[str]]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    near: list[dict[str, Any]] = field(default_factory=list)
    unsure_of: dict[str, list[str]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    items: int = 0
    calls: int = 0

    def add(self, group: str, name: str, why: str = "") -> None:
        """Count one in."""
        self.counts[group] += 1
        samples = self.samples.setdefault(group, [])
        if len(samples) < SAMPLES:
            samples.append([name[:120], why[:300]])

    def to_json(self) -> dict[str, Any]:
        """Return it as a draft keeps it."""
        return {
            **{name: dict(getattr(self, name)) for name in ("counts", "samples", "fields", "unsure_of")},
            **{name: getattr(self, name) for name in ("near", "free", "items", "calls")},
        }


def compare(draft: SetupDraft, tell: Tell = lambda done, of: None) -> Found:
    """Hold every record of the draft's type against every item of its board; raises MondayError."""
    board = board_of(draft)
    comparison = _Comparison(board, draft.threshold, tell)
    comparison.read()
    comparison.weigh()
    comparison.match_names()
    return comparison.found


class _Comparison:
    def __init__(self, board: Board, threshold: int, tell: Tell) -> None:
        self.board, self.threshold, self.tell = board, threshold, tell
        self.found = Found()
        self.index = Index(self._batch())
        self.taken: set[str] = set()
        self.keys: set[str] = set()
        self.new: dict[str, str] = {}

    def _batch(self) -> Batch:
        """A look that nobody takes, and that writes nothing."""
        return Batch(Lease(self.board.link), self.board, uuid.uuid4(), only_plans=True)

    def read(self) -> None:
        """List the whole board."""
        if not self.board.link.board_id:
            return
        for items in pages(self.board, asked_columns(self.board)):
            self.found.calls += 1
            for item in items:
                self.index.add(completed(self.board, item))
            self.tell(0, len(self.index.items))
        self.found.items = len(self.index.items)

    def weigh(self) -> None:
        """Decide about every record, as looks would."""
        records = self.board.model._default_manager.exclude(unsynced()).order_by("created_at", "pk")
        ids = list(records.values_list("pk", flat=True))
        for done, chunk in enumerate(chunks(ids)):
            self._weigh(chunk)
            self.tell(min((done + 1) * CHUNK, len(ids)), len(ids))

    def _weigh(self, ids: Iterable[UUID]) -> None:
        batch = self._batch()
        load(batch, [Claimed(entity_id, None, []) for entity_id in ids])
        linked = [subject for subject in batch.subjects if subject.record.monday_id]
        unlinked = [subject for subject in batch.subjects if not subject.record.monday_id]
        for subject in linked:
            subject.item = self.index.items.get(str(subject.record.monday_id))
        batch.subjects = unlinked
        identify(batch, self.index.hits(unlinked))
        batch.subjects = [*linked, *unlinked]
        find_related(batch, LookResult())
        for subject in linked:
            self._linked(batch, subject)
        for subject in unlinked:
            self._unlinked(batch, subject)

    def _linked(self, batch: Batch, subject: Subject) -> None:
        self.taken.add(str(subject.record.monday_id))
        if subject.item is None:
            self.found.add("missing", str(subject.record))
            return
        self.found.counts["linked"] += 1
        self._merge(batch, subject, subject.item, "linked")

    def _unlinked(self, batch: Batch, subject: Subject) -> None:
        record = subject.record
        if subject.creates:
            self._create(batch, subject)
        elif subject.link_to and subject.item is not None and subject.link_to not in self.taken:
            self.taken.add(subject.link_to)
            self.found.add("link", str(record), self._how(subject, subject.item))
            self._merge(batch, subject, subject.item, "link")
        else:
            why = subject.note or _taken_words(subject)
            self.found.add("ambiguous", str(record), why)

    def _how(self, subject: Subject, item: Item) -> str:
        by_id = npd_id_of(self.board, item) == str(subject.id)
        label = "NPD ID" if by_id else self.board.match.label if self.board.match else ""
        self.found.fields[f"by {'npd_id' if by_id else 'key'}"] += 1
        return f"“{item.name}” · {label}"

    def _create(self, batch: Batch, subject: Subject) -> None:
        if subject.record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            return
        row = row_of(batch, subject)
        key = match_text(batch, subject)
        if row.invalid:
            self.found.add("invalid", str(subject.record), row.invalid)
        elif key and key in self.keys:
            self.found.add("ambiguous", str(subject.record), _same_key(self.board))
        else:
            self.keys.add(key)
            self.new[str(subject.id)] = name_of(subject.record)
            self.found.add("create", str(subject.record))
        for label, reason in row.left_out.items():
            self.found.add("held", f"{subject.record}: {label}", reason)

    def _merge(self, batch: Batch, subject: Subject, item: Item, group: str) -> None:
        """What a look would do with both sides' values."""
        plan(batch, subject, item)
        planned = list(subject.planned.values())
        for one in planned:
            if one.hold and not one.left_out:
                self.found.add("held", f"{subject.record}: {one.mapping.label}", one.hold)
        ways = {
            "to_monday": [p for p in planned if p.send_raw is not None],
            "to_npd": [p for p in planned if p.write_raw is not None],
            "conflicts": [p for p in planned if p.conflict is not None],
        }
        for way, moving in ways.items():
            if moving:
                self.found.add(way, str(subject.record), ", ".join(p.mapping.label for p in moving))
            for one in moving:
                self.found.fields[f"{way} {one.mapping.label}"] += 1
        if any(ways.values()) or subject.write_npd_id or group == "link":
            self.found.counts["looks_that_write"] += 1

    def match_names(self) -> None:
        """Offer names that are nearly alike, of records that would be created and items that nobody has."""
        free = self._free_items()
        self.found.free = sorted(free)
        names = {item.id: item.name for item in free.values()}
        result = similar(self.new, names, self.threshold, self.tell)
        pairs, beyond = result.pairs[:MOST_PAIRS], result.pairs[MOST_PAIRS:]
        self.found.near = [_pair(one, self.new, free) for one in pairs]
        self._drop([one.record for one in pairs])
        for one in [*result.ambiguous, *beyond]:
            self.found.unsure_of[one.record] = [item for item, _score in one.items]
            told = " / ".join(f"“{free[item].name}” ({score} %)" for item, score in one.items[:3])
            self.found.add("ambiguous", self.new[one.record], told)
        self._drop([one.record for one in [*result.ambiguous, *beyond]])

    def _drop(self, records: Iterable[str]) -> None:
        """These are not simply created after all."""
        names = Counter(self.new.pop(record) for record in records)
        self.found.counts["create"] -= names.total()
        self.found.samples["create"] = [[name, ""] for name in list(self.new.values())[:SAMPLES]]

    def _free_items(self) -> Mapping[str, Item]:
        """Active items that no record has, was refused, or is named by its NPD ID."""
        owned = set()
        for spec in registry.entities():
            rows = spec.model._default_manager.exclude(monday_id=None).values_list("monday_id", flat=True)
            owned |= set(rows)
        kind = self.board.link.entity_type
        refused = set(RefusedItem.objects.filter(entity_type=kind).values_list("item_id", flat=True))
        return {
            item.id: item
            for item in self.index.items.values()
            if item.id not in self.taken | owned | refused and not as_uuid(npd_id_of(self.board, item) or "")
        }


def _pair(one: Near, names: Mapping[str, str], free: Mapping[str, Item]) -> dict[str, Any]:
    item, score = one.items[0]
    return {
        "record": one.record,
        "name": names[one.record][:200],
        "item": item,
        "item_name": free[item].name[:200],
        "alike": score,
    }


def _taken_words(subject: Subject) -> str:
    return _("The item with the same key belongs to another record.") if subject.link_to else ""


def _same_key(board: Board) -> str:
    label = board.match.label if board.match else ""
    return _("Another record has the same %(key)s and gets an item first; then a person is asked.") % {
        "key": label
    }
