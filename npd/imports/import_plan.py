"""What a file would write, row by row. Nothing is written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError

from npd.imports import messages as importing_messages
from npd.imports.files import FileRow, FileTable
from npd.imports.files.reader import plain_title
from npd.imports.import_lookup import (
    AMBIGUOUS,
    MODELS,
    NPD_ID,
    FileColumn,
    RecordMatcher,
    ReferenceResolver,
    labels_of,
    records_by_id,
)
from npd.imports.models import RowOutcome
from sync import registry
from sync.choices import SyncDirection
from sync.kernel.action_errors import ActionError
from sync.models import SyncedModel
from sync.reconcile.field_values import BoardContext, canonical_value, stored_field_values, stored_values, update_values

NAMED_ROWS = 5
"""Rows that are named beside one which is about the same record."""


@dataclass(frozen=True)
class ImportOptions:
    """A person's options: whether empty cells empty fields, and whether missing organizations are created."""

    clear_empty: bool = False
    make_organizations: bool = False


@dataclass
class PlannedRow:
    """What a row comes to; see ImportRow for its parts."""

    row: FileRow
    texts: Mapping[str, str]
    outcome: RowOutcome = RowOutcome.UNCHANGED
    record: SyncedModel | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def reject(self, reason: str, label: str = "", *, ambiguous: bool = False) -> None:
        """Let nothing be written for this row, with the reason."""
        self.outcome = RowOutcome.AMBIGUOUS if ambiguous else RowOutcome.INVALID
        self.problems.append((label, reason))

    @property
    def is_rejected(self) -> bool:
        """Whether nothing is written for this row."""
        return bool(self.problems)


class ImportPlan:
    """The plan of a whole file: `rows`, and `organizations` that would be created, {id: name}.

    `on_progress` is called, row by row, with how many are compared.
    """

    def __init__(
        self,
        entity_type: str,
        table: FileTable,
        columns: Sequence[FileColumn],
        options: ImportOptions,
        on_progress: Callable[[int], None],
    ) -> None:
        self.entity_type, self.columns, self.options = entity_type, columns, options
        self.labels = labels_of(entity_type)
        link = registry.link_of(entity_type)
        self.board = BoardContext.load(link) if link else None
        self.key_field = registry.entity(entity_type).match_key
        fields = {column.field: column.position for column in columns if column.field}
        self.rows = [
            PlannedRow(row, {name: row.cells[at] if at < len(row.cells) else "" for name, at in fields.items()})
            for row in table.rows
        ]
        titles = [plain_title(title) for title in table.titles]
        for planned in self.rows:
            self._check_shape(planned, titles, columns)
        self._find_records()
        self.references = ReferenceResolver(
            entity_type, [p.texts for p in self.rows], create_missing=options.make_organizations
        )
        for number, planned in enumerate(self.rows):
            on_progress(number)
            if not planned.is_rejected:
                self._compare(planned)
        wanted = {str(raw["id"]) for p in self.rows for raw in p.after.values() if _is_reference(raw)}
        self.organizations = {key: name for key, name in self.references.to_create.items() if key in wanted}

    def _check_shape(self, planned: PlannedRow, titles: Sequence[str], columns: Sequence[FileColumn]) -> None:
        row = planned.row
        if any(row.cells[len(titles) :]):
            planned.reject(
                f"The row has more cells ({len(row.cells)}) than there are titles ({len(titles)}). Probably a "
                "value holds "
                "the separator: put it into quotation marks."
            )
        # No further than it fits: to bring a row into plain form takes long.
        elif len(row.cells) == len(titles) and all(plain_title(c) == t for c, t in zip(row.cells, titles, strict=True)):
            planned.reject("The row repeats the titles. Remove it.")
        for column in columns:
            if column.field and column.position in row.problems:
                what = importing_messages.broken_cell_text(row.number, column.position, row.problems[column.position])
                planned.reject(what, column.label)

    # --- who a row is about ---

    def _find_records(self) -> None:
        texts = [planned.texts for planned in self.rows]
        ids = records_by_id(self.entity_type, {key for text in texts if (key := _parse_uuid(text.get(NPD_ID, "")))})
        known = RecordMatcher(self.entity_type, self.key_field, [text.get(self.key_field, "") for text in texts])
        names = known
        if self.key_field != "name":
            nameless = [t.get("name", "") for t in texts if not t.get(self.key_field)]
            names = RecordMatcher(self.entity_type, "name", nameless)
        numbers: dict[str, list[int]] = {}
        keys: dict[int, list[str]] = {}
        unidentified: set[str] = set()
        for planned in self.rows:
            if planned.is_rejected:
                continue
            self._find_record(planned, ids, known, names)
            # What two rows about the same record share.
            name = names.key(planned.texts.get("name", "")).lower()
            identity = f"name {name}" if name else f"row {planned.row.number}"
            if planned.record is not None:
                identity = str(planned.record.pk)
            elif text := planned.texts.get(self.key_field):
                # What is no e-mail address names nobody, so two of them are not one person.
                identity = (
                    f"key {known.key(text).lower()}" if self._names_somebody(text) else f"row {planned.row.number}"
                )
            identities = [identity]
            if planned.record is not None and (text := planned.texts.get(self.key_field)):
                identities.append(f"key {known.key(text).lower()}")
            if not planned.texts.get(NPD_ID):
                unidentified.update(identities)
            keys[planned.row.number] = identities
            for one in identities:
                numbers.setdefault(one, []).append(planned.row.number)
        for planned in self.rows:
            # Several records may have one key where each row says by its NPD ID which it is about.
            same = next(
                (
                    found
                    for one in keys.get(planned.row.number, ())
                    if len(found := numbers[one]) > 1 and (one in unidentified or not one.startswith("key "))
                ),
                None,
            )
            if same and not planned.is_rejected:
                # Not all: what is said of the rows would grow with the square of their number.
                listed = [number for number in same[: NAMED_ROWS + 1] if number != planned.row.number][:NAMED_ROWS]
                more = len(same) - 1 - len(listed)
                others = ", ".join(map(str, listed)) + (f" and {more:,} more" if more else "")
                planned.reject(
                    f"The file has this {self.entity_type} more than once (also row {others}). Keep one of the rows.",
                    ambiguous=True,
                )

    def _names_somebody(self, key: str) -> bool:
        field: Any = MODELS[self.entity_type]._meta.get_field(self.key_field)
        try:
            field.clean(key, None)
        except ValidationError:
            return False
        return True

    def _find_record(
        self, planned: PlannedRow, ids: Mapping[UUID, SyncedModel], known: RecordMatcher, names: RecordMatcher
    ) -> None:
        texts = planned.texts
        if npd_id := texts.get(NPD_ID):
            key = _parse_uuid(npd_id)
            planned.record = ids.get(key) if key else None
            if planned.record is None:
                planned.reject(
                    f"There is no {self.entity_type} with the NPD ID “{npd_id}”. Correct it, or empty the cell to "
                    "match by "
                    f"{self.labels[self.key_field].lower()}.",
                    self.labels[NPD_ID],
                )
        elif text := texts.get(self.key_field):
            label, found, near = self.labels[self.key_field], known.exact_matches(text), known.near_matches(text)
            if len(found) == 1:
                planned.record = found[0]
            elif found:
                planned.reject(
                    f"{len(found)} {self.entity_type}s have this {label.lower()} “{text}”. Add a column NPD ID that "
                    "says which.",
                    label,
                    ambiguous=True,
                )
            elif near:
                planned.reject(
                    f"It differs from “{getattr(near[0], self.key_field)}”, which is in NPD, in capital letters "
                    "only. Spell it as there, or add the NPD ID.",
                    label,
                    ambiguous=True,
                )
        elif texts.get("name") and names.near_matches(texts["name"]):
            planned.reject(
                f"A {self.entity_type} of this name is in NPD, but without {self.labels[self.key_field].lower()} "
                "nobody can tell whether it is the same. Add it, or the NPD ID.",
                self.labels["name"],
                ambiguous=True,
            )

    # --- what it would write ---

    def _compare(self, planned: PlannedRow) -> None:
        # A relation that nobody knows doesn't end it: all that is wrong with a row is told at once.
        wanted = self._row_values(planned)
        record = planned.record
        model: Any = MODELS[self.entity_type]
        if record is not None:
            wanted = {name: raw for name, raw in wanted.items() if not self._is_unchanged(record, name, raw)}
            planned.before = stored_field_values(record, wanted)
        target = record if record is not None else model()
        for name, value in update_values(model, wanted).items():
            setattr(target, name, value)
        # By the model's own rules; relations were checked when they were looked up.
        checked = {*wanted, *(() if record else ("name",))} - set(self.references.targets)
        exclude = {f.name for f in target._meta.concrete_fields if f.name not in checked}
        try:
            # Each constraint would be a query a row. The database checks them when the row is written.
            target.full_clean(exclude=exclude, validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                text, hint = planned.texts.get(name, ""), "Fill the cell."
                if text:
                    hint = f"The cell says “{text[:80]}”. Correct it and import the row again."
                planned.reject(f"{' '.join(messages)} {hint}", self.labels.get(name, ""))
        if not planned.is_rejected:
            self._ask_connector(planned, target, wanted)
        if planned.is_rejected:
            return
        planned.after = {
            name: raw if _is_reference(raw) else stored_field_values(target, [name])[name]
            for name, raw in wanted.items()
        }
        if record is None:
            planned.outcome = RowOutcome.NEW
        elif wanted:
            planned.outcome = RowOutcome.CHANGED

    def _ask_connector(self, planned: PlannedRow, target: SyncedModel, wanted: Mapping[str, Any]) -> None:
        """Reject what the other system would certainly refuse, by the reasons of its own connector."""
        if self.board is None:
            return
        unsent = (SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD)
        names = set(wanted).difference(self.references.targets)
        for mapping in self.board.mappings:
            if mapping.column_id and mapping.direction not in unsent and names.intersection(mapping.fields):
                reason = self.board.converter(mapping).rejection_reason(stored_values(target, mapping))
                if reason:
                    planned.reject(f"{reason}. Correct it and import the row again.")

    def _row_values(self, planned: PlannedRow) -> dict[str, Any]:
        """Return the raw value of each field; an empty cell gives one only where asked to empty fields."""
        model: Any = MODELS[self.entity_type]
        wanted: dict[str, Any] = {}
        for name, text in planned.texts.items():
            if name == NPD_ID or (not text and not (self.options.clear_empty and planned.record is not None)):
                continue
            try:
                if name in self.references.targets:
                    wanted[name] = self.references.reference(name, text) if text else None
                elif model._meta.get_field(name).get_internal_type() == "ArrayField":
                    wanted[name] = [part.strip() for part in text.replace("\n", ";").split(";") if part.strip()]
                else:
                    wanted[name] = text.replace("\r\n", "\n").replace("\r", "\n")
            except ActionError as error:
                planned.reject(str(error), self.labels[name], ambiguous=error.code == AMBIGUOUS)
        return wanted

    def _is_unchanged(self, record: SyncedModel, name: str, raw: Any) -> bool:
        if name in self.references.targets:
            current = getattr(record, f"{name}_id")
            return (str(current) if current else None) == (raw["id"] if raw else None)
        current = getattr(record, name)
        return bool(
            current == raw
            or canonical_value(self.entity_type, name, current) == canonical_value(self.entity_type, name, raw)
        )

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rows come to what."""
        counted = Counter(str(planned.outcome.value) for planned in self.rows)
        return {outcome: counted.get(outcome, 0) for outcome in RowOutcome.values}


def _parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_reference(raw: Any) -> bool:
    return isinstance(raw, dict)
