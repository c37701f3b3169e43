"""Whose names a person may know: records of the types that they may view; of any other its type alone is said.

Jobs, conflicts, activity and what else is listed are rows with rights of their own, so whoever may see those may still
not know whom they are about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sync import registry
from sync.registry import RecordKey, record_names, type_name


class HiddenName(str):
    """What stands in place of a record's name for somebody who may not know it; it leads nowhere."""

    __slots__ = ()

    @classmethod
    def of(cls, entity_type: str) -> HiddenName:
        """Return it for a record of this type."""
        return cls(f"{type_name(entity_type).capitalize()} that you may not see")


def may_view(user: Any, app: str, model: str) -> bool:
    """Whether this person may see rows of a model: by the right to view them, or to change them."""
    return any(user.has_perm(f"{app}.{act}_{model}") for act in ("view", "change"))


def visible_types(user: Any) -> frozenset[str]:
    """Return the types whose records this person may see."""
    models = ((spec.entity_type, spec.model._meta) for spec in registry.entities())
    return frozenset(name for name, opts in models if may_view(user, opts.app_label, str(opts.model_name)))


def known_text(types: Collection[str], entity_type: str, text: str) -> str:
    """Return what a row says of a record, its name in it, to somebody who may see these types; else a HiddenName."""
    return text if entity_type in types or not registry.is_registered(entity_type) else HiddenName.of(entity_type)


def known_names(types: Collection[str], keys: Iterable[tuple[str, UUID | None]]) -> dict[RecordKey, str]:
    """Return the names of records to somebody who may see these types, and a HiddenName for every other record.

    Deleted records of the types are missing; one query for each type.
    """
    wanted = {(entity_type, entity_id) for entity_type, entity_id in keys if entity_id is not None}
    found = record_names(key for key in wanted if key[0] in types)
    hidden: dict[RecordKey, str] = {
        key: HiddenName.of(key[0]) for key in wanted if key[0] not in types and registry.is_registered(key[0])
    }
    return found | hidden
