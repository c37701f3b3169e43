"""Cells that name another record: an organization by its name, a contact by its e-mail or name."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from npd.importing.columns import FIELDS, MODELS
from npd.importing.matching import Known
from sync.engine.values import reference

LONGEST = 255
"""Characters of an organization's name."""


class NotFound(ValueError):
    """Nobody, or more than one, is called so; the message says what to do."""


class Named:
    """The records that the cells of relations name; where asked for, organizations that aren't there get an id."""

    def __init__(self, entity_type: str, rows: Iterable[Mapping[str, str]], *, make: bool) -> None:
        model: Any = MODELS[entity_type]
        self.targets = {
            name: field.related_model.entity_type()
            for name in FIELDS[entity_type]
            if (field := model._meta.get_field(name)).is_relation
        }
        self.make = make
        self.to_make: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._known: dict[tuple[str, str], Known] = {}
        texts = list(rows)
        for name, target in self.targets.items():
            asked = {row[name] for row in texts if row.get(name)}
            self._known[target, "name"] = Known(target, "name", asked)
            if target == "contact":
                self._known[target, "email"] = Known(target, "email", {text for text in asked if "@" in text})

    def reference(self, field: str, text: str) -> dict[str, Any]:
        """Return the record that a cell names, as raw values name it; raises NotFound."""
        target = self.targets[field]
        known = self._known[target, "email" if target == "contact" and "@" in text else "name"]
        found = known.exactly(text) or known.nearly(text)
        if len(found) == 1:
            return reference(found[0]) or {}
        if found:
            raise NotFound(
                f"{len(found)} {target}s are called “{text}”. Give them names of their own in NPD, or empty this cell."
            )
        if target == "organization" and self.make:
            if len(text) > LONGEST:
                raise NotFound(f"The name has {len(text)} characters; at most {LONGEST} fit. Shorten it.")
            return {"id": self._id_for(known.key(text).lower(), text), "item": None, "name": text}
        hint = " choose to make organizations that are not there," if target == "organization" else ""
        raise NotFound(f"There is no {target} “{text}”. Add it to NPD first,{hint} or empty this cell.")

    def _id_for(self, key: str, text: str) -> str:
        """The id that a new organization will have, the same for every row that names it."""
        if key not in self._ids:
            self._ids[key] = str(uuid.uuid4())
            self.to_make[self._ids[key]] = text
        return self._ids[key]
