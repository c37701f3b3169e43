"""What a file would write: the resource of django-import-export that every registered model has, and a plan made by it.

Nothing is written here. A plan is made twice: to be shown, and under the records' locks, to see that it still holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.results import RowResult
from import_export.widgets import Widget
from tablib import Dataset

from npd.imports.files import FileRow, FileTable, ImportFileError, plain_title
from npd.imports.matching import AMBIGUOUS, NPD_ID, NUMBER, REPEATED, RecordLoader, RelatedWidget
from npd.imports.messages import broken_cell_text
from npd.imports.models import RowOutcome
from sync import registry
from sync.choices import SyncDirection
from sync.connectors.base.conversion import field_label
from sync.kernel import humanize
from sync.models import SyncedModel
from sync.reconcile.field_values import field_of, stored_field_values, stored_values
from sync.reconcile.lookups import canonical_value, load_board, phone_region

# --- columns ---


@dataclass(frozen=True)
class FileColumn:
    """One column of a file: its position, title, and the field it is read into; without one it is ignored."""

    position: int
    title: str
    field: str = ""
    label: str = ""


def labels_of(entity_type: str) -> dict[str, str]:
    """Return the label of each field that can be imported."""
    own = registry.own_fields(registry.entity(entity_type).model)
    labels = {one.name: str(one.verbose_name) for one in own}
    labels = {name: text[:1].upper() + text[1:] for name, text in labels.items()}
    return {NPD_ID: "NPD ID"} | labels


def titles_of(entity_type: str) -> dict[str, str]:
    """Return the field for each known title, in plain form: ours, the board's columns', usual ones."""
    found: dict[str, str] = {}
    spec = registry.entity(entity_type)
    for name, label in labels_of(entity_type).items():
        for title in (name, label, *spec.titles.get(name, ())):
            found.setdefault(plain_title(title), name)
    for mapping in spec.mappings:
        if len(mapping.fields) == 1:
            found.setdefault(plain_title(mapping.label), mapping.fields[0])
    # What other files call a related record, “Firma”, a file of such records calls their name.
    if spec.name_field:
        for title in (entity_type, *spec.titles.get(entity_type, ())):
            found.setdefault(plain_title(title), spec.name_field)
    return found


def known_titles() -> set[str]:
    """Return the titles that any type has a field for, in their plain form."""
    return {title for spec in registry.entities() for title in titles_of(spec.entity_type)}


def recognize_fields(entity_type: str, titles: Sequence[str]) -> list[str]:
    """Return the field of each title, empty where nothing is called so."""
    field_by_title = titles_of(entity_type)
    return [field_by_title.get(plain_title(title), "") for title in titles]


def offered_fields(entity_type: str) -> dict[str, str]:
    """Return the fields that a column may become, with their labels."""
    return labels_of(entity_type)


def columns_of(entity_type: str, titles: Sequence[str], fields: Sequence[str]) -> list[FileColumn]:
    """Return the columns with these fields, those that aren't offered left out."""
    offered = offered_fields(entity_type)
    return [
        FileColumn(position, title, name if name in offered else "", offered.get(name, ""))
        for position, (title, name) in enumerate(zip(titles, fields, strict=True))
    ]


def check_columns(entity_type: str, columns: Sequence[FileColumn]) -> None:
    """Check what a person can mend by choosing; raises ImportFileError for a field twice, or none that identifies."""
    labels = labels_of(entity_type)
    listed = ", ".join(labels.values())
    fields = [column.field for column in columns if column.field]
    if not fields:
        raise ImportFileError("no_known_column", titles=listed)
    if repeated := next((name for name in fields if fields.count(name) > 1), ""):
        both = ", ".join(f"“{column.title}”" for column in columns if column.field == repeated)
        raise ImportFileError("column_twice", field=labels[repeated], titles=both)
    keys = [NPD_ID, registry.entity(entity_type).match_key, "name"]
    if not set(keys) & {name.partition(":")[0] for name in fields}:
        wanted = ", ".join(dict.fromkeys(labels[key] for key in keys))
        noun = str(registry.entity(entity_type).model._meta.verbose_name)
        raise ImportFileError("no_key_column", type=noun, titles=wanted)


CHOICE_CODES = ("no_known_column", "column_twice", "no_key_column")
"""What `check_columns` raises."""


# --- rows ---


@dataclass(frozen=True)
class ImportOptions:
    """A person's options: whether empty cells empty fields, missing organizations are created, and rows that seem to be
    about another record are written.
    """

    clear_empty: bool = False
    make_organizations: bool = False
    other_people: bool = False


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
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def reject(self, faults: ValidationError, labels: Mapping[str, str], ambiguous: Collection[str]) -> None:
        """Let nothing be written for this row, with the reasons; `ambiguous` are fields that name several records."""
        all_faults = [(name, one) for name, some in _faults_by_field(faults).items() for one in some]
        codes = {AMBIGUOUS if name in ambiguous else one.code for name, one in all_faults}
        is_known = codes <= {AMBIGUOUS, REPEATED}
        self.outcome = RowOutcome.INVALID
        if is_known:
            self.outcome = RowOutcome.AMBIGUOUS if AMBIGUOUS in codes else RowOutcome.REPEATED
        self.before, self.after, self.warnings = {}, {}, []
        self.problems = [
            ("" if name == NON_FIELD_ERRORS else labels[name], " ".join(one.messages)) for name, one in all_faults
        ]


def _faults_by_field(faults: ValidationError) -> dict[str, list[ValidationError]]:
    return getattr(faults, "error_dict", None) or {NON_FIELD_ERRORS: faults.error_list}


class FieldWidget(Widget):  # type: ignore[misc]  # import_export has no types
    """A cell as the model's own field reads it; what that can't read stays as it is, for its validation to say so.

    The library's own widgets guess: “yes” is False to them, and 03/04/2026 the fourth of March.
    """

    def __init__(self, model_field: Any) -> None:
        super().__init__()
        self.field = model_field
        # As an export writes them.
        yes_no = [(True, "yes"), (False, "no")] if isinstance(model_field, models.BooleanField) else []
        labels = model_field.flatchoices or yes_no
        self.values = {str(label).casefold(): value for value, label in labels}

    def clean(self, value: str, row: Any = None, **kwargs: Any) -> Any:
        if isinstance(self.field, ArrayField):
            return [part.strip() for part in value.replace("\n", ";").split(";") if part.strip()]
        try:
            return self.field.to_python(self.values.get(value.casefold(), value))
        except ValidationError:
            return value


def _raise(error: Exception, *_: Any, **__: Any) -> NoReturn:
    raise error


class RecordResource(ModelResource):  # type: ignore[misc]
    """The rows of a table as records of one registered model; `plan` says what they would write."""

    class Meta:
        instance_loader_class = RecordLoader
        import_id_fields = ()  # the loader finds records by one of several
        use_transactions = False  # nothing is written
        use_bulk = True  # so there is no savepoint for each row
        skip_diff = True  # of whole records; what changes is compared as the sync compares it

    row_faults: dict[str, list[ValidationError]]
    """What is wrong with the present row before its values are checked, by field."""

    def __init__(
        self,
        entity_type: str,
        table: FileTable,
        columns: Sequence[FileColumn],
        options: ImportOptions,
        on_progress: Callable[[int], None] = lambda rows: None,
        apart: Iterable[Any] = (),
        new_ids: Mapping[str, str] | None = None,
    ) -> None:
        """`on_progress` is called, row by row, with how many are compared. Records `apart` count as not there.

        `new_ids` are the organizations that an earlier plan would create, {id: name}.
        """
        super().__init__()
        self.entity_type, self.options, self.on_progress, self.apart = entity_type, options, on_progress, apart
        self.new_ids = new_ids or {}
        self.columns, self.labels = columns, labels_of(entity_type)
        link = registry.link_of(entity_type)
        self.board, self.region = load_board(link) if link else None, phone_region()
        read = {column.field: column.position for column in columns if column.field}
        self.planned = {
            row.number: PlannedRow(row, {name: _cell(row, at) for name, at in read.items()}) for row in table.rows
        }
        titles = [plain_title(title) for title in table.titles]
        self.faults = {
            number: faults
            for number, one in self.planned.items()
            if (faults := _shape_faults(one.row, titles, columns))
        }
        self.same_as = self._equal_rows()
        self.texts = {
            number: {name: text for name, text in one.texts.items() if name not in self.faults.get(number, ())}
            for number, one in self.planned.items()
            if number not in self.same_as and not any(map(self._identifies, self.faults.get(number, ())))
        }
        self.headers = [*read, NUMBER]

    def _equal_rows(self) -> dict[int, int]:
        """Return the rows that say the same as an earlier one, each with that one's number."""
        first: dict[tuple[str, ...], int] = {}
        said = {number: tuple(one.texts.values()) for number, one in self.planned.items() if number not in self.faults}
        found = {number: first.setdefault(texts, number) for number, texts in said.items() if any(texts)}
        return {number: other for number, other in found.items() if other != number}

    def _identifies(self, name: str) -> bool:
        """Whether a row with a fault there can't tell whom it means: in what identifies a record, or in its shape."""
        key = registry.entity(self.entity_type).match_key
        return name in (NON_FIELD_ERRORS, NPD_ID, key, "name")

    def plan(self) -> list[PlannedRow]:
        """Return what each row would write, or what is wrong with it; an equal one writes nothing."""
        own = {number: one for number, one in self.planned.items() if number not in self.same_as}
        rows = [(*one.texts.values(), number) for number, one in own.items()]
        found = self.import_data(Dataset(*rows, headers=self.headers)).rows
        for number in self.same_as:
            self.planned[number].outcome = RowOutcome.EQUAL
        for planned, result in zip(own.values(), found, strict=True):
            if result.validation_error:
                several = [
                    name for name, widget in self.relations.items() if planned.texts.get(name) in widget.ambiguous
                ]
                planned.reject(result.validation_error, self.labels, several)
            else:
                planned.outcome = _OUTCOMES[result.import_type]
        return list(self.planned.values())

    @property
    def organizations(self) -> dict[str, str]:
        """Return the organizations that the planned rows would create, {id: name}."""
        wanted = {
            str(raw["id"]) for one in self.planned.values() for raw in one.after.values() if isinstance(raw, dict)
        }
        made = {key: name for widget in self.relations.values() for key, name in widget.to_create.items()}
        return {key: name for key, name in made.items() if key in wanted}

    # --- what django-import-export asks, in its order ---

    @classmethod
    def get_error_result_class(cls) -> Any:
        """An error that isn't about a row's values is no row's fault, and ends the plan."""
        return _raise

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Find at once what the cells of relations name."""
        self.relations: dict[str, RelatedWidget] = {}
        for one in registry.own_relations(self._meta.model):
            if one.name in dataset.headers:
                target: str = registry.target_of(one).entity_type()
                create = self.new_ids if self.options.make_organizations and target == "organization" else None
                texts = [row.get(one.name, "") for row in self.texts.values()]
                self.relations[one.name] = widget = RelatedWidget(target, texts, create_missing=create)
                self.fields[one.name] = Field(one.name, one.name, widget)

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        """Stop at a row whose cells may not be those of its titles; all else that is wrong with it is told together."""
        self.on_progress(kwargs["row_number"] - 1)
        faults = self.faults.get(row[NUMBER], {})
        self.row_faults = {name: [ValidationError(text)] for name, text in faults.items()}
        if NON_FIELD_ERRORS in faults:
            raise ValidationError(self.row_faults)

    def get_or_init_instance(self, instance_loader: Any, row: Any) -> tuple[Any, bool]:
        """Check a row's values also where nobody can tell whom it means."""
        try:
            found: tuple[Any, bool] = super().get_or_init_instance(instance_loader, row)
        except ValidationError as doubt:
            for name, some in _faults_by_field(doubt).items():
                self.row_faults.setdefault(name, []).extend(some)
            return self.init_instance(row), True
        return found

    def after_init_instance(self, instance: SyncedModel, new: bool, row: Any, **kwargs: Any) -> None:
        """Take the cells out of the row that say nothing, or what the record says already."""
        instance.known_region = self.region
        self.current = planned = self.planned[row[NUMBER]]
        planned.record = None if new else instance
        for name in self.row_faults:
            row.pop(name, None)
        for name in [name for name in self.fields if name in row]:
            row[name] = row[name].replace("\r\n", "\n").replace("\r", "\n")
            if not row[name]:
                is_kept = not new and self.options.clear_empty
            else:
                is_kept = new or name in self.relations or not self._is_said(instance, name, row[name])
            if not is_kept:
                del row[name]
        if not new:
            planned.before = stored_field_values(instance, [name for name in self.fields if name in row])
        self.was = {name: getattr(instance, _attname(instance, name)) for name in self.fields}

    def _is_said(self, instance: SyncedModel, name: str, text: str) -> bool:
        now = getattr(instance, name)
        if not isinstance(now, str):
            return False
        region = instance.sync_region() or self.region
        said, known = (canonical_value(self.entity_type, name, one, region) for one in (text, now))
        if name == registry.entity(self.entity_type).match_key and not self.current.texts.get(NPD_ID):
            # By it the record was found, whatever its capitals; only who names the record otherwise may correct it.
            said, known = str(said).lower(), str(known).lower()
        return now == text or bool(said == known)

    def skip_row(self, instance: SyncedModel, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        """Whether there is nothing to write: the record says it already."""
        planned, names = self.current, [name for name in self.fields if name in row]
        after = stored_field_values(instance, names)
        now = {name: getattr(instance, _attname(instance, name)) for name in names}
        changed = [name for name in names if not planned.record or _said(now[name]) != _said(self.was[name])]
        planned.before = {name: planned.before[name] for name in changed if planned.record}
        planned.after = {name: after[name] for name in changed}
        is_sound = not import_validation_errors and not self.row_faults
        return planned.record is not None and is_sound and not planned.after

    def validate_instance(
        self, instance: SyncedModel, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Check what would be written by the model's own rules, and by those of the other system."""
        planned, errors = self.current, dict(import_validation_errors or {})
        changed = {name for name in planned.after if name in self.fields}
        # Relations were checked when they were looked up.
        is_new = planned.record is None and not self.row_faults
        checked = {*changed, *(("name",) if is_new else ())} - {*self.relations, *errors}
        exclude = {one.name for one in instance._meta.concrete_fields if one.name not in checked}
        try:
            # Each constraint would be a query a row. The database checks them when the row is written.
            instance.full_clean(exclude=exclude, validate_unique=False, validate_constraints=False)
        except ValidationError as refused:
            for name, some in refused.error_dict.items():
                kind, text = field_of(instance, name), planned.texts.get(name, "")
                errors[name] = ValidationError(" ".join(_fault_text(kind, text, one) for one in some))
        errors |= self._check_by_connector(instance, changed.difference(self.relations, errors))
        found = {name: list(some) for name, some in self.row_faults.items()}
        for name, some in _faults_by_field(ValidationError(errors)).items() if errors else ():
            found.setdefault(name, []).extend(some)
        if found:
            raise ValidationError(found)

    def _check_by_connector(self, instance: SyncedModel, names: set[str]) -> dict[str, Any]:
        """Return what the other system would certainly refuse, and note as warnings what it probably will.

        A record that isn't synced may hold what the other system doesn't take.
        """
        faults: dict[str, Any] = {}
        if not instance.may_sync:
            return faults
        for mapping in self.board.mappings if self.board else ():
            given = [name for name in mapping.fields if name in names]
            if not given or not self.board or not mapping.column_id or mapping.direction in _UNSENT:
                continue
            convert, raw = self.board.converter(mapping, instance), stored_values(instance, mapping)
            said = f"{field_label(given[0])}: "
            if reason := convert.rejection_reason(raw):
                faults[given[0]] = ValidationError(f"{reason.removeprefix(said)}. Correct it and import the row again.")
            elif risk := convert.rejection_risk(raw):
                self.current.warnings.append((self.labels[given[0]], f"{risk.removeprefix(said)}."))
        return faults

    def save_instance(self, instance: SyncedModel, is_create: bool, row: Any, **kwargs: Any) -> None:
        """Keep what would be written, as the model's rules have left it."""
        own = [name for name in self.current.after if name in self.fields and name not in self.relations]
        self.current.after |= stored_field_values(instance, own)


def _fault_text(kind: Any, text: str, fault: ValidationError) -> str:
    """Return what is wrong with a cell, and what to do, in our words; in Django's only where we have none."""
    shown, said = f"“{humanize.shorten(text, 80)}”", " ".join(fault.messages)
    if fault.code in ("blank", "null"):
        what = f"The cell is empty; each {kind.model.entity_type()} needs its {kind.verbose_name}."
        return f"{what} Fill the cell and import the row again."
    if fault.code == "max_length":
        most = fault.params["limit_value"] if fault.params else kind.max_length
        return f"{shown} has {len(text)} characters; at most {most} fit. Shorten it and import the row again."
    if isinstance(kind, models.EmailField):
        said = f"{shown} is not an email address, such as ann@example.org."
    elif isinstance(kind, models.URLField):
        said = f"{shown} is not a web address, such as https://example.org."
    elif shown not in said:
        said = f"{said} The cell says {shown}."
    return f"{said} Correct it and import the row again."


_OUTCOMES = {
    RowResult.IMPORT_TYPE_NEW: RowOutcome.NEW,
    RowResult.IMPORT_TYPE_UPDATE: RowOutcome.CHANGED,
    RowResult.IMPORT_TYPE_SKIP: RowOutcome.UNCHANGED,
}
_UNSENT = (SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD)


def same_value(raw: Any, other: Any) -> bool:
    """Whether two raw values are the same; a related record may be called otherwise by now."""
    if isinstance(raw, dict) and isinstance(other, dict):
        return bool(raw["id"] == other["id"])
    return bool(raw == other)


@cache
def resource_of(entity_type: str) -> type[RecordResource]:
    """Return the resource of a registered model, with its own fields."""
    model = registry.entity(entity_type).model
    relations = {one.name for one in registry.own_relations(model)}
    own = [one for one in registry.own_fields(model) if not one.is_relation or one.name in relations]
    fields = {one.name: Field(one.name, one.name, FieldWidget(one)) for one in own}
    made: type[RecordResource] = modelresource_factory(model, RecordResource, {"fields": list(fields)}, fields)
    return made


def _said(value: Any) -> Any:
    """Return a value, None for each that is empty."""
    return None if value in (None, "", []) else value


def _attname(instance: SyncedModel, name: str) -> str:
    return str(field_of(instance, name).attname)


def counts_of(rows: Iterable[PlannedRow]) -> dict[str, int]:
    counted = Counter(str(planned.outcome.value) for planned in rows)
    return {outcome: counted.get(outcome, 0) for outcome in RowOutcome.values}


def _cell(row: FileRow, position: int) -> str:
    return row.cells[position] if position < len(row.cells) else ""


def _shape_faults(row: FileRow, titles: Sequence[str], columns: Sequence[FileColumn]) -> dict[str, Any]:
    """Return what is wrong with a row before its values are looked at, by field."""
    faults: dict[str, Any] = {}
    if any(row.cells[len(titles) :]):
        faults[NON_FIELD_ERRORS] = (
            f"The row has more cells ({len(row.cells)}) than there are titles ({len(titles)}). Probably a value holds "
            "the separator: put it into quotation marks."
        )
    # No further than it fits: to bring a row into plain form takes long.
    elif len(row.cells) == len(titles) and all(plain_title(c) == t for c, t in zip(row.cells, titles, strict=True)):
        faults[NON_FIELD_ERRORS] = "The row repeats the titles. Remove it."
    for column in columns:
        if column.field and column.position in row.problems:
            faults[column.field] = broken_cell_text(row.number, column.position, row.problems[column.position])
    return faults
