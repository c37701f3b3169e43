"""Edits of a company of 40 people with 5,000 contacts and 1,500 organizations, as a seed gives them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

RECORDS = {"contact": 5_000, "organization": 1_500}
CONTACTS_SHARE = 0.8
NPD_SHARE = 0.6
HOUR = 3_600
BUSY = {8: 3, 9: 6, 10: 6, 11: 5, 12: 2, 13: 5, 14: 6, 15: 6, 16: 4, 17: 2}
"""How the edits of a day spread over its hours, in UTC."""
IMPORT_AT = 10 * HOUR


@dataclass(frozen=True)
class Edit:
    """Somebody changes a record, so many seconds after midnight; `in_npd`, or on the board."""

    at: int
    entity_type: str
    record: uuid.UUID
    in_npd: bool


@dataclass(frozen=True)
class Pattern:
    """A day of so many edits, and an import of so many contacts into NPD in the middle of the morning."""

    name: str
    edits: int
    imported: int = 0

    def day(self, seed: int) -> Sequence[Edit]:
        """Its edits in their order; the same for the same seed."""
        chance = random.Random(seed)
        found = [_edit(chance) for _ in range(self.edits)]
        chosen = chance.sample(range(RECORDS["contact"]), self.imported)
        found += [Edit(IMPORT_AT, "contact", record_id("contact", number), True) for number in chosen]
        return sorted(found, key=lambda edit: edit.at)


QUIET = Pattern("a quiet day, 100 edits", 100)
USUAL = Pattern("10 edits a person, 400", 400)
BUSY_DAY = Pattern("25 edits a person, 1,000", 1_000)
HEAVY = Pattern("75 edits a person, 3,000", 3_000)
IMPORT = Pattern("400 edits and an import of 2,000", 400, imported=2_000)


def record_id(entity_type: str, number: int) -> uuid.UUID:
    """The id of one of the company's records."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{entity_type} {number}")


def _edit(chance: random.Random) -> Edit:
    hour = chance.choices(list(BUSY), list(BUSY.values()))[0]
    entity_type = "contact" if chance.random() < CONTACTS_SHARE else "organization"
    record = record_id(entity_type, chance.randrange(RECORDS[entity_type]))
    return Edit(hour * HOUR + chance.randrange(HOUR), entity_type, record, chance.random() < NPD_SHARE)
