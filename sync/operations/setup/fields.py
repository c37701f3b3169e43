"""A type's fields and a person's choice for each: which columns fit and are likely, what is wrong, what changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import QuerySet
from rapidfuzz import fuzz, utils

from sync import connectors, registry
from sync.boards.board_columns import NAME_TYPE, column_type
from sync.boards.sync_filter import SyncFilter
from sync.choices import RULES, Rule, SyncDirection
from sync.connectors.base.board import RELATION, target_boards
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import Choices, UnknownValue
from sync.models import BoardLink, FieldMapping, SetupDraft, SetupState, SyncedModel
from sync.reconcile.field_values import stored_field_values
from sync.registry import link_of, relation_of, rules_for, target_of

NEW_COLUMN = "+"
"""Stands for a column that is to be created."""

DraftColumn = Mapping[str, Any]
"""A column as a draft stores it: title, type, settings, samples; of samples that are of the same records on
both sides also these `records`, and the `names` of their items."""


@dataclass(frozen=True)
class MappableField:
    """A field that may have a column; `types` gives the converter for each type of column that fits.

    `target` is the type of records that a relation points at, `target_board` the board that these have or will have.
    `titles` are other names that people give the field.
    """

    key: str
    label: str
    fields: tuple[str, ...]
    types: Mapping[str, str]
    made_type: str
    preferred_id: str
    required: bool = False
    optional: bool = False
    is_match_key: bool = False
    rules: Sequence[Rule] = field(default_factory=tuple)
    target: str = ""
    target_board: str = ""
    titles: Sequence[str] = ()

    @property
    def is_name(self) -> bool:
        """Whether it is the item's name, which every board has."""
        return NAME_TYPE in self.types


@dataclass(frozen=True)
class FieldChoice:
    column: str = ""
    direction: str = SyncDirection.BIDIRECTIONAL
    rule: str = Rule.ASK

    @property
    def is_synced(self) -> bool:
        return bool(self.column) and self.direction != SyncDirection.NONE

    def with_implied_direction(self) -> FieldChoice:
        """Return it synced in both directions where a column is to be created: nobody wants one without a use."""
        implied = self.column == NEW_COLUMN and self.direction == SyncDirection.NONE
        return replace(self, direction=SyncDirection.BIDIRECTIONAL) if implied else self

    def to_json(self) -> dict[str, str]:
        return {"column": self.column, "direction": str(self.direction), "rule": str(self.rule)}


def parse_choices(fields: Mapping[str, Mapping[str, str]]) -> dict[str, FieldChoice]:
    return {key: FieldChoice(one["column"], one["direction"], one["rule"]) for key, one in fields.items()}


def stored_choices(link: BoardLink | None) -> dict[str, FieldChoice]:
    """Return what is stored of each field, as if a person chose it."""
    stored = link.mappings.all() if link is not None else ()
    return {one.key: FieldChoice(one.column_id, one.direction, one.rule) for one in stored}


def mappable_fields(entity_type: str) -> list[MappableField]:
    """Return the type's fields that may be mapped; relations lead to boards that are set up or drafted."""
    spec = registry.entity(entity_type)
    sample = link_of(entity_type) or BoardLink(entity_type=entity_type)
    found = []
    for mapping in spec.mappings:
        relation = relation_of(spec.model, mapping.fields)
        target = target_of(relation).entity_type() if relation is not None else ""
        board = None
        if target:
            # The board that these records have or will have: empty for one to be made, None for none at all.
            draft = SetupDraft.objects.filter(entity_type=target).exclude(state=SetupState.DONE).first()
            if draft is not None:
                board = draft.board_id
            elif (link := link_of(target)) is not None:
                board = link.board_id or None
        created_types = [kind for kind, name in mapping.column_types.items() if name == mapping.converter]
        found.append(
            MappableField(
                key=mapping.key,
                label=mapping.label,
                fields=mapping.fields,
                types=dict(mapping.column_types) or {column_type(mapping.converter): mapping.converter},
                made_type=created_types[0] if created_types else column_type(mapping.converter),
                preferred_id=mapping.column_id,
                required=mapping.required,
                optional=mapping.optional,
                is_match_key=mapping.key == spec.match_key,
                rules=rules_for(FieldMapping(link=sample, fields=list(mapping.fields), converter=mapping.converter)),
                target=target if board is not None else "",
                target_board=board or "",
                titles=spec.titles.get(mapping.fields[0], ()) if len(mapping.fields) == 1 else (),
            )
        )
    return found


def column_problem(mappable: MappableField, column: DraftColumn) -> str:
    """Return why a column doesn't fit a field; empty where it does."""
    kind, title = str(column["type"]), str(column["title"])
    if kind not in mappable.types:
        return f"“{title}” is of the type {kind}; {mappable.label} needs {' or '.join(mappable.types)}."
    if kind == RELATION and mappable.target_board not in target_boards(column.get("settings") or {}):
        return f"“{title}” doesn't lead to the board that {mappable.label} points at."
    return ""


def unused_reason(fields: Sequence[MappableField], column: DraftColumn) -> str:
    """Return why no field can have a column; empty where one can."""
    if column["type"] not in connectors.get().readable_types:
        return f"NPD Sync doesn't read columns of the type {column['type']}."
    reasons = [column_problem(one, column) for one in fields]
    if not all(reasons):
        return ""
    of_its_type = [reason for one, reason in zip(fields, reasons, strict=True) if column["type"] in one.types]
    return of_its_type[0] if of_its_type else f"No field takes columns of the type {column['type']}."


def find_npd_id_column(link: BoardLink | None, columns: Mapping[str, DraftColumn]) -> str:
    """Return the column that holds the NPD ID; empty where one has to be created."""
    texts = {one: details for one, details in columns.items() if details["type"] == "text"}
    for known in (link.npd_id_column if link is not None else "", "npd_id"):
        if known in texts:
            return known
    return next((one for one, details in texts.items() if details["title"].strip().casefold() == "npd id"), "")


def choice_problems(
    fields: Sequence[MappableField], chosen: Mapping[str, FieldChoice], columns: Mapping[str, DraftColumn], npd_id: str
) -> dict[str, list[str]]:
    """Return what is wrong with these choices, in sentences, by field."""
    found: dict[str, list[str]] = {}
    owner = {npd_id: "NPD ID"} if npd_id else {}
    for one in fields:
        choice = chosen.get(one.key, FieldChoice())
        column = columns.get(choice.column)
        problems = []
        if choice.direction not in SyncDirection.values or choice.rule not in {str(rule) for rule in one.rules}:
            problems.append("Choose one of the directions and rules that are offered.")
        if (one.required or one.is_match_key) and not choice.is_synced:
            reason = "records and items are matched by it" if one.is_match_key else "it is required in NPD"
            problems.append(f"{one.label} must be synced, for {reason}. Choose a column and a direction.")
        if choice.column == NEW_COLUMN and not one.is_name:
            problems += _new_column_problems(one, columns)
        elif choice.column and not one.is_name and column is None:
            problems.append(f"The column {choice.column} is not on the board any more. Choose another.")
        elif column is not None and not one.is_name and (reason := column_problem(one, column)):
            problems.append(reason)
        if choice.is_synced and choice.column != NEW_COLUMN:
            if choice.column in owner:
                title = column["title"] if column is not None else choice.column
                problems.append(
                    f"“{title}” is the column of {owner[choice.column]} already. A column serves one field; choose "
                    "another."
                )
            owner.setdefault(choice.column, one.label)
        if problems:
            found[one.key] = problems
    return found


def _new_column_problems(one: MappableField, columns: Mapping[str, DraftColumn]) -> list[str]:
    if one.made_type == RELATION and not one.target:
        return [f"{one.label} needs the other board first. Set that one up, too."]
    for column in columns.values():
        if column["title"].strip().casefold() == one.label.strip().casefold() and not column_problem(one, column):
            return [f"The board has a column “{column['title']}” that fits. Choose it, or rename it on the board."]
    return []


# Likely columns, and sample values, for the page on which a person maps a field.


MIN_TITLE_SCORE = 75
"""Titles at least so alike, in per cent, count as the same."""


@dataclass(frozen=True)
class ColumnSuggestion:
    """A column for a field; `alike` is how alike the titles are, in per cent, None if they don't matter."""

    column: str
    alike: int | None = None
    has_other_title: bool = False


def suggest_columns(
    fields: Sequence[MappableField], columns: Mapping[str, DraftColumn], npd_id: str
) -> dict[str, ColumnSuggestion]:
    """Return a column for each field that has a likely one; the likeliest pairs first, no column twice."""
    free = {column: details for column, details in columns.items() if column != npd_id}
    found: dict[str, ColumnSuggestion] = {}
    taken: set[str] = set()
    for _, key, hint in sorted(_scored_pairs(fields, free), key=lambda pair: (-pair[0], pair[1], pair[2].column)):
        if key not in found and hint.column not in taken:
            found[key] = hint
            taken.add(hint.column)
    for one in fields:
        if one.is_name:
            found[one.key] = ColumnSuggestion(NAME_TYPE)
        elif one.key not in found and not one.optional:
            found[one.key] = ColumnSuggestion(NEW_COLUMN)
    return found


def _scored_pairs(
    fields: Sequence[MappableField], columns: Mapping[str, DraftColumn]
) -> Iterator[tuple[float, str, ColumnSuggestion]]:
    """Return every field with every column that fits it, and how likely the pair is, from 0 to 101."""
    types = [details["type"] for details in columns.values()]
    for one in fields:
        titles = {utils.default_process(title) for title in one.titles}
        for column, details in columns.items():
            if column_problem(one, details):
                continue
            title = utils.default_process(str(details["title"]))
            alike = fuzz.token_sort_ratio(one.label, title, processor=utils.default_process)
            if column == one.preferred_id or alike >= MIN_TITLE_SCORE:
                yield (101 if column == one.preferred_id else alike), one.key, ColumnSuggestion(column, round(alike))
            elif title in titles:
                yield MIN_TITLE_SCORE, one.key, ColumnSuggestion(column, round(alike), has_other_title=True)
            elif details["type"] in connectors.get().distinctive_types and types.count(details["type"]) == 1:
                yield MIN_TITLE_SCORE - 1, one.key, ColumnSuggestion(column)


SAMPLED_RECORDS = 100
"""As many as one read takes keys."""

SAMPLES_PER_FIELD = 3
MAX_SAMPLE_LENGTH = 120


def record_samples(entity_type: str, fields: Sequence[MappableField]) -> dict[str, list[str]]:
    """Return up to three values of each field, from the newest records; one query."""
    records = list(_with_relations(entity_type, fields).order_by("-created_at", "pk")[:SAMPLED_RECORDS])
    found = {}
    for one in fields:
        texts = (record_text(record, one) for record in records)
        found[one.key] = list(dict.fromkeys(text[:MAX_SAMPLE_LENGTH] for text in texts if text))[:SAMPLES_PER_FIELD]
    return found


def _with_relations(entity_type: str, fields: Sequence[MappableField]) -> QuerySet[SyncedModel]:
    model = registry.entity(entity_type).model
    joined = {name for one in fields for name in one.fields if model._meta.get_field(name).is_relation}
    return model._default_manager.select_related(*joined)


def sampled_records(entity_type: str) -> list[SyncedModel]:
    """Return the records among which samples are looked for: the newest, and the newest that are linked."""
    records = registry.entity(entity_type).model._default_manager.order_by("-created_at", "pk")
    linked = records.exclude(monday_id=None)[:SAMPLES_PER_FIELD]
    return list({record.pk: record for record in [*linked, *records[:SAMPLED_RECORDS]]}.values())


def paired_samples(
    entity_type: str, fields: Sequence[MappableField], ids: Sequence[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of these records and each field's text in each, all in the order of `ids`; one query."""
    found = {str(record.pk): record for record in _with_relations(entity_type, fields).filter(pk__in=ids)}
    records = [found.get(one) for one in ids]
    texts = {
        one.key: [record_text(record, one)[:MAX_SAMPLE_LENGTH] if record is not None else "" for record in records]
        for one in fields
    }
    return [str(record or "–") for record in records], texts


def record_text(record: SyncedModel, one: MappableField) -> str:
    label_of = Choices(registry.choices_of(type(record), one.fields)).label_of
    texts = (_sample_text(value, label_of) for value in stored_field_values(record, one.fields).values())
    return ", ".join(filter(None, texts))


def match_text(record: SyncedModel, one: MappableField, kind: str) -> str:
    """Return the record's match key as a column of this type is compared with it; empty where it has none."""
    convert = connectors.get().converter(one.types[kind])
    return str(convert.local(stored_field_values(record, one.fields)) or "")


def pair_samples(
    one: MappableField, column_id: str, kind: str, records: Iterable[SyncedModel], items: Iterable[Item], npd_id: str
) -> list[tuple[SyncedModel, Item]]:
    """Return records with their items: linked, of its NPD ID, or alone on both sides with the match key's value."""
    convert = connectors.get().converter(one.types[kind])

    def key_of(item: Item) -> str:
        try:
            return str(convert.remote(convert.stored_value(item.reading(column_id))) or "")
        except UnknownValue:
            return ""

    all_records, all_items = list(records), list(items)
    by_id = {item.id: item for item in all_items}
    by_npd_id = {item.reading(npd_id).text: item for item in all_items} if npd_id else {}
    keys = {record.pk: match_text(record, one, kind) for record in all_records}
    texts = {item.id: key_of(item) for item in all_items}
    uses, hits = Counter(keys.values()), Counter(texts.values())
    by_key = {text: by_id[item] for item, text in texts.items() if text and hits[text] == 1}
    found: list[tuple[SyncedModel, Item]] = []
    for record in all_records:
        item = by_id.get(record.monday_id or "") or by_npd_id.get(str(record.pk))
        if item is None and record.monday_id is None and uses[keys[record.pk]] == 1:
            item = by_key.get(keys[record.pk])
        if item is not None and item not in [other for _, other in found]:
            found.append((record, item))
    return found[:SAMPLES_PER_FIELD]


def _sample_text(value: Any, label_of: Callable[[str], str]) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or "")
    if isinstance(value, list):
        return ", ".join(label_of(str(part)) for part in value)
    return "" if value is None else label_of(str(value))


# What a set-up changes in the mapping, before and after.


@dataclass(frozen=True)
class MappingChange:
    """One change of a field: `what` of it, and its value before and after the set-up."""

    field: str
    what: str
    before: str
    after: str


def diff_choices(
    fields: Iterable[MappableField],
    before: Mapping[str, FieldChoice],
    after: Mapping[str, FieldChoice],
    columns: Mapping[str, DraftColumn],
) -> list[MappingChange]:
    """Return what differs between before and after, in the order of the fields."""
    found = []
    for one in fields:
        old, new = before.get(one.key, FieldChoice()), after.get(one.key, FieldChoice())
        texts = _choice_texts(one, old, columns), _choice_texts(one, new, columns)
        if old.is_synced != new.is_synced:
            was, now = (", ".join(text.values()) or "not synced" for text in texts)
            found.append(MappingChange(one.label, "Sync", was, now))
        elif new.is_synced:
            found += [
                MappingChange(one.label, what, texts[0][what], texts[1][what])
                for what in texts[0]
                if getattr(old, what.lower()) != getattr(new, what.lower())
            ]
    return found


def _choice_texts(one: MappableField, choice: FieldChoice, columns: Mapping[str, DraftColumn]) -> dict[str, str]:
    """Return column, direction and rule as a person reads them; nothing of a field that isn't synced."""
    if not choice.is_synced:
        return {}
    if one.is_name:
        column = "the item's name"
    elif choice.column == NEW_COLUMN:
        column = f"a column “{one.label}” that is made"
    else:
        details = columns.get(choice.column)
        column = f"“{details['title']}” ({choice.column})" if details else choice.column
    directions, rules = dict(SyncDirection.choices), dict(RULES)
    return {
        "Column": column,
        "Direction": str(directions.get(choice.direction, choice.direction)),
        "Rule": str(rules.get(choice.rule, choice.rule)),
    }


def changes_text(found: Iterable[MappingChange]) -> str:
    """Return changes as a clause for the log; empty where there are none."""
    return "; ".join(f"{one.field}: {one.what} {one.before} → {one.after}" for one in found)


# What of a board's settings changed elsewhere while a set-up was drafted: no run overwrites that unasked.


SETTINGS_KEY = "was"
"""Key in a draft's outcome for the settings that the draft was based on."""


def settings_snapshot(link: BoardLink | None) -> dict[str, Any]:
    """Return a board's settings as a draft stores them; nothing where no set-up was applied."""
    if link is None:
        return {"fields": {}}
    return {
        "fields": {key: one.to_json() for key, one in stored_choices(link).items()},
        "first_match": link.mappings.values_list("first_match", flat=True).first() or "",
        "creates_records": link.creates_records,
        "sync_filter": link.sync_filter,
    }


def settings_changes(draft: SetupDraft, link: BoardLink | None) -> str:
    """Return what changed since the draft was begun, as a clause; empty where nothing did."""
    before, now = draft.outcome.get(SETTINGS_KEY), settings_snapshot(link)
    if before is None or before == now:
        return ""
    fields = mappable_fields(draft.entity_type)
    parts = [changes_text(diff_choices(fields, parse_choices(before["fields"]), stored_choices(link), draft.columns))]
    if now.get("first_match") != before.get("first_match") and "first_match" in before and "first_match" in now:
        parts.append(f"Where both sides differ at first: {Rule(now['first_match']).label}")
    if now.get("creates_records", False) != before.get("creates_records", now.get("creates_records", False)):
        parts.append(f"Items become records: {'yes' if now['creates_records'] else 'no'}")
    if now.get("sync_filter", {}) != before.get("sync_filter", now.get("sync_filter", {})):
        parts.append(f"Filter: {filter_text(now['sync_filter'], fields)}")
    return "; ".join(filter(None, parts))


def filter_text(stored: Mapping[str, Any], fields: Iterable[MappableField]) -> str:
    lines = SyncFilter.parse(stored).lines({one.key: one.label for one in fields})
    return " ".join(lines).rstrip(".") or "everything is synced"
