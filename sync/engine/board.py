"""A board link with its mappings, and their converters, as one look uses them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from sync import registry
from sync.boards import columns_of, mappings_of
from sync.connectors.monday.converters import Converter, Options, converter
from sync.connectors.monday.converters.spellings import code_of
from sync.engine.values import ModelField, relation_of
from sync.models import BoardLink, FieldMapping, MondayAccount, SyncedModel

_NEEDING = {"people", "tags"}
"""Converters that need to know the account's people or tags."""
_LEARN = """
    UPDATE sync_monday_account SET tags = tags || jsonb_build_object(
        %(board)s::text, coalesce(tags -> %(board)s::text, '{}'::jsonb) || %(new)s::jsonb)
    WHERE id = 1
"""


@dataclass(frozen=True)
class Directory:
    """What a look knows by id: people's e-mail addresses, tags' names, and related records' names by item.

    Tags are kept by board, for a private board has tags of its own
    (developer.monday.com/api-reference/reference/tags-1).
    """

    board_id: str = ""
    people: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, converters: set[str], board_id: str) -> Directory:
        """Read what these converters need."""
        row = (
            MondayAccount.objects.filter(id=1).only("users", "tags").first()
            if converters & _NEEDING
            else None
        )
        if row is None:
            return cls(board_id)
        return cls(board_id, _addresses(row.users), dict(row.tags.get(board_id, {})))

    def learn_tags(self, learned: Mapping[str, str]) -> None:
        """Remember tags' names by id, for this look and later ones; another worker's are kept."""
        new = {tag: name for tag, name in learned.items() if self.tags.get(tag) != name}
        if new:
            self.tags.update(new)
            MondayAccount.objects.get_or_create(id=1)
            with connection.cursor() as cursor:
                cursor.execute(_LEARN, {"board": self.board_id, "new": json.dumps(new)})


def _addresses(users: Mapping[str, Any]) -> dict[str, str]:
    return {str(user): str(told["email"]) for user, told in users.items() if told.get("email")}


def options_of(options: Mapping[str, Any], region: str, directory: Directory) -> Options:
    """Return what a mapping's converter needs to know besides the value."""
    return Options(
        region=code_of(region) or settings.DEFAULT_PHONE_REGION,
        settings=options.get("settings") or {},
        people=directory.people,
        tags=directory.tags,
        items=directory.items,
    )


def converter_for(name: str, options: Mapping[str, Any], board_id: str, record: SyncedModel) -> Converter:
    """Return the converter for one record's field outside a look, as pages need it."""
    directory = Directory.of({name}, board_id)
    return converter(name, options_of(options, record.sync_region(), directory))


@dataclass(frozen=True)
class Board:
    """A board link with its mappings, as a look uses them."""

    link: BoardLink
    mappings: Sequence[FieldMapping]
    model: type[SyncedModel]
    directory: Directory = field(default_factory=Directory)
    _built: dict[tuple[str, str], Converter] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, link: BoardLink, mappings: Sequence[FieldMapping] | None = None) -> Board:
        """Read the link's mappings, where they aren't given, and what their converters need to know."""
        mappings = mappings_of(link) if mappings is None else mappings
        directory = Directory.of({m.converter for m in mappings if m.column_id}, link.board_id)
        return cls(link, mappings, registry.entity(link.entity_type).model, directory)

    @property
    def columns(self) -> list[str]:
        """The column ids that a look reads."""
        return columns_of(self.link, self.mappings)

    @property
    def types(self) -> list[str]:
        """The types of these columns, as set-up found them, else as their converters make them."""
        mapped = [mapping for mapping in self.mappings if mapping.column_id]
        return [str(m.options.get("column_type") or self.converter(m).column_type) for m in mapped]

    @property
    def match(self) -> FieldMapping | None:
        """The mapping by which records and items are matched."""
        return next((m for m in self.mappings if m.key == self.link.match_key and m.column_id), None)

    @property
    def relations(self) -> list[tuple[FieldMapping, ModelField]]:
        """The mappings that are relations to other synced models, with the model's field."""
        found = [(mapping, relation_of(self.model, mapping.fields)) for mapping in self.mappings]
        return [(mapping, field) for mapping, field in found if field is not None and mapping.column_id]

    @property
    def joined(self) -> list[str]:
        """The relations that are read with the records, so that none is asked for by itself."""
        mapped = [name for mapping in self.mappings for name in mapping.fields]
        names = dict.fromkeys([*self.model.sync_related, *mapped])
        return [name for name in names if self.model._meta.get_field(name).is_relation]

    def converter(self, mapping: FieldMapping, record: SyncedModel | None = None) -> Converter:
        """Return the mapping's converter for this record: the same for both halves of its base."""
        region = record.sync_region() if record is not None else ""
        key = (mapping.key, region)
        if key not in self._built:
            self._built[key] = converter(
                mapping.converter, options_of(mapping.options, region, self.directory)
            )
        return self._built[key]
