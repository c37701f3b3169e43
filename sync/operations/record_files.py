"""Export, preview and import of a registered model's records as rows of a file.

A preview runs in a read-only transaction. An import is one transaction; the activity lists its changes as one batch,
which can be undone as usual.
"""

import csv
import io
import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cache
from hashlib import sha256
from itertools import chain
from typing import Any

import pghistory
import tablib
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.widgets import Widget

from sync import registry
from sync.choices import ActivityKind, Priority, QueueStatus
from sync.clock import SyncNow
from sync.fields import field_values
from sync.fields.lookups import canonical_value, complete_phone, phone_region
from sync.kernel import as_uuid, grouped, humanize
from sync.kernel.db import limit_lock_waits, match_key_sql, run_sql, update_many
from sync.models import ActivityLine, SyncedModel, SyncQueue
from sync.monday.columns.phones import MAX_SEARCHED, MIN_DIGITS, first_phone
from sync.monday.text_forms import key_spellings, match_key
from sync.operations.file_formats import (
    CSV,
    ROW_NUMBER,
    SURPLUS,
    email_addresses,
    has_value,
    plain_text,
    reversed_name,
    several_names,
)
from sync.operations.import_columns import (
    LAST_FIRST,
    MAX_LABELS,
    MAX_TITLE,
    NAME_CHOICES,
    NAME_PARTS,
    NPD_ID,
    REASON,
    field_label,
    first_place,
    has_our_reasons,
    identifies_records,
    key_names,
    label_places,
    missing_key_note,
    places_by_label,
    places_of_fields,
    remember_reasons,
    suggest_columns,
)
from sync.operations.workbooks import FileError
from sync.outbox import wakeups
from sync.records.authors import IMPORT_CAUSE, actor_label, log_model_action, person_line
from sync.words.message import Message, sentences

# An address on the web as people and CRMs write it.
_BARE_ADDRESS = re.compile(r"[\w-]+(\.[\w-]+)+([:/?#]\S*)?")

# What becomes of a row with a value that isn't valid; otherwise it is imported without that value.
REFUSE = "refuse"
# So many made records are named in a sentence.
NAMED = 5
# How programs that calculate write codes: “10115.0”, “30 901820.0”.
_CODE = re.compile(r"[\d\s()+/-]+\.0")
OTHERS = "other cells"  # of a row: the filled cells of each field that don't count

# Of the values that further columns have for a field, so many are compared.
MOST_COMPARED = 8


class FieldWidget(Widget):  # type: ignore[misc]  # import_export has no types
    """Reads a cell as the model's own field does; an invalid text stays, so that validation reports it.

    The library's own widgets guess: “yes” is False to them, and 03/04/2026 is the fourth of March.
    """

    def __init__(self, model_field: Any) -> None:
        super().__init__()
        self.field = model_field
        yes_no = [(True, "yes"), (False, "no")] if isinstance(model_field, models.BooleanField) else []
        self.labels: dict[Any, str] = dict(model_field.flatchoices or yes_no)
        self.values = {str(label).casefold(): value for value, label in self.labels.items()}
        self.is_plain = not self.labels and not field_values.is_phone(model_field)

    def clean(self, value: str, row: Any = None, **kwargs: Any) -> Any:
        if isinstance(self.field, ArrayField):
            lines = csv.reader(io.StringIO(value, newline=""), delimiter=";", skipinitialspace=True)
            return [cell.strip() for line in lines for cell in line if cell.strip()]
        if not value:
            return None if self.field.null else ""
        if isinstance(self.field, models.URLField) and _BARE_ADDRESS.fullmatch(value):
            value = f"https://{value}"
        try:
            return self.field.to_python(self.values.get(value.casefold(), value))
        except ValidationError:
            return value

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        if value is None or value == "":
            return ""
        if isinstance(value, str) and self.is_plain:
            return value
        if isinstance(value, models.Model):
            return field_values.record_name(value)
        if isinstance(value, list):
            cell = io.StringIO(newline="")
            csv.writer(cell, delimiter=";").writerow(value)
            return cell.getvalue().removesuffix("\r\n") if value else ""
        return field_values.field_text(self.field, self.labels.get(value, value))


class Lookup:
    """The records of a model that cells of a file may name, by id or by the text of a field, read in one query."""

    def __init__(
        self, records: models.QuerySet[Any], texts: Mapping[str, Iterable[str]], ids: Collection[uuid.UUID] = ()
    ) -> None:
        self.model = records.model
        named = models.Q(pk__any_of=ids)  # kernel/db.py: AnyOf
        for field, field_texts in texts.items():
            keys = key_spellings(key for text in field_texts if (key := match_key(text)))
            records = records.alias(**{f"{field}_match_key": match_key_sql(field)})
            named |= models.Q(**{f"{field}_match_key__any_of": keys})
        self.by_id: dict[Any, SyncedModel] = {record.pk: record for record in records.filter(named)}
        self.by_field: dict[str, dict[str, list[SyncedModel]]] = {field: {} for field in texts}
        for field, by_key in self.by_field.items():
            for record in self.by_id.values():
                if key := match_key(getattr(record, field)):
                    by_key.setdefault(key, []).append(record)

    def find(self, field: str, text: str) -> list[SyncedModel]:
        """Return the records with this text in a field, ignoring case, unless just one has the same case."""
        records = self.by_field[field].get(match_key(text), [])
        same_case = [record for record in records if getattr(record, field) == text]
        return same_case if len(same_case) == 1 else records

    def create(self, text: str) -> SyncedModel:
        """Return a new, unsaved record of this name; raises ValueError if the name is invalid.

        Only for a model that `is_creatable`.
        """
        [name] = self.by_field
        record: SyncedModel = self.model(**{name: text})
        try:
            record.clean_fields()
        except ValidationError as refused:
            raise ValueError(" ".join(refused.messages)) from refused
        self.by_field[name][match_key(text)] = [record]
        return record


class RecordResource(ModelResource):  # type: ignore[misc]
    """The base of each registered model's resource (`resource_of`); an instance serves one file."""

    class Meta:
        skip_diff = True  # its deep copies of records would take two fifths of the time
        use_bulk = True  # without a savepoint for each row
        use_transactions = True
        store_instance = True

    def __init__(self, options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Read the form's `options`; without them, the resource only exports."""
        super().__init__()
        self.options = options or {}
        self.chosen_region = self.options.get("region", "")
        self.model: type[SyncedModel] = self._meta.model
        self.spec = registry.entity(self.model.entity_type())
        self.noun = str(self.model._meta.verbose_name)
        self.plural = str(self.model._meta.verbose_name_plural)
        self.relations = {field.name: registry.target_of(field) for field in registry.own_relations(self.model)}
        self.own_fields = [field for name, field in self.fields.items() if name != "id"]
        # Relations first: phone numbers have the country of their record's organization.
        self.fields_to_import = sorted(self.own_fields, key=lambda field: field.attribute not in self.relations)
        self.own_names = [field.attribute for field in self.own_fields]
        # The fields that identify the record of a row without an NPD ID.
        self.key_names = key_names(self.model)
        self.converters = {mapping.fields[0]: mapping.converter for mapping in self.spec.mappings}
        self.batch_id = uuid.uuid4()
        # What each column of the file goes to: a field, a part of the name, or nothing.
        targets = {*self.fields, *NAME_CHOICES}
        self.columns: list[str] = [name if name in targets else "" for name in self.options.get("columns") or ()]
        self.left_out: list[str] = []  # which values of the row that is read, and why
        self.further_values: list[str] = []  # of cells of that row whose first one is imported
        self.unused_values: list[str] = []  # of that row's further columns
        self.row: Mapping[str, Any] = {}  # that row
        self.empty_cells = 0  # of that row, whose fields keep a value
        self.national_numbers = 0  # that aren't valid in the country in which they are read
        self.unknown_names: set[str] = set()  # of related records that this import could make
        self.first_rows: dict[object, int] = {}  # the number of the row that is imported about each record
        self.rows_of_names: dict[str, int] = {}  # of the first row that makes a record of this name

    def get_queryset(self) -> Any:
        return self.model.objects.select_related(*self.relations).order_by("pk")

    def filter_export(self, queryset: Any, **kwargs: Any) -> Any:
        return queryset.select_related(*self.relations)

    # --- the library's hooks, in the order of its calls ---

    def import_data(self, dataset: Any, dry_run: bool = False, **kwargs: Any) -> Any:
        self.is_preview = dry_run
        self.user = kwargs["user"]
        self.file_name = str(kwargs.get("file_name") or "a file")[:200]
        context = pghistory.context(user=self.user.pk, cause=IMPORT_CAUSE, batch=str(self.batch_id))
        with transaction.atomic(), context:
            if self.is_preview:
                # The library would write everything and roll it back, holding the records' locks meanwhile.
                run_sql("SET TRANSACTION READ ONLY")
            else:
                creatable = filter(is_creatable, self.relations.values()) if self.options.get("create_missing") else ()
                lock_imports([self.spec.entity_type, *(model.entity_type() for model in creatable)])
                limit_lock_waits()
            return super().import_data(dataset, dry_run=dry_run, **kwargs)

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Recognize the columns, then read all records of the rows and their relations in few queries."""
        self._read(dataset)
        records = self.get_queryset()
        if not self.is_preview:
            # All in one query in the order of ids, as passes lock them, else each could wait for the other's records.
            # NO KEY, so that rows pointing at these records can still be saved.
            records = records.select_for_update(no_key=True, of=("self",))
        ids = [key for row in self.rows if (key := as_uuid(row.get("id", "")))]
        keys = {name: [self._cell(row, name) for row in self.rows] for name in self.key_names}
        self.lookup = Lookup(records, keys, ids)
        self.related = {}
        for name, model in self.relations.items():
            texts = {part for row in self.rows for part in (self._cell(row, name), *several_names(row.get(name, "")))}
            self.related[name] = Lookup(model.objects.all(), dict.fromkeys(key_names(model), texts))
        self.region = phone_region()
        self.blank = self.model()
        self.blank_texts = {field.attribute: field.export(self.blank) for field in self.own_fields}

    def import_row(self, row: Any, instance_loader: Any, **kwargs: Any) -> Any:
        """Import a row; its result has what the preview and the file of refused rows say of it."""
        self.row = row
        self.left_out = []
        self.further_values = []
        self.unused_values = []
        self.empty_cells = 0
        result = super().import_row(row, instance_loader, **kwargs)
        result.number = row[ROW_NUMBER]
        result.left_out = self.left_out
        result.further_values = self.further_values
        result.unused_values = self.unused_values
        result.empty_cells = self.empty_cells
        result.reasons = result.validation_error.messages if result.is_invalid() else []
        result.doubt = self._doubt(row, result)
        if result.is_invalid():
            result.object_repr = ", ".join(filter(None, (self._cell(row, name) for name in reversed(self.key_names))))
        return result

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        if row[SURPLUS]:
            raise ValidationError(
                "It has more cells than there are titles. Put a value that holds a separator in quotes."
            )

    def get_instance(self, instance_loader: Any, row: Any) -> SyncedModel | None:
        record, self.identity = self._match(row)
        if first := self.first_rows.get(self.identity):
            problem = f"Row {first} is about the same {self.noun}, and only that row is imported."
            raise ValidationError(f"{problem} If it lacks something, copy it there.")
        return record

    def init_instance(self, row: Any = None) -> SyncedModel:
        """Return a new record; making each by its class would take a fifth of a preview."""
        instance: SyncedModel = copy(self.blank)
        instance.pk = uuid.uuid4()
        return instance

    def after_init_instance(self, instance: Any, new: bool, row: Any, **kwargs: Any) -> None:
        instance.installation_region = self.region
        self.original = self.blank if new else copy(instance)

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        """Set a field if its cell differs from the record."""
        text = row.get(field.attribute)
        if text is None:
            return
        is_new = instance._state.adding
        others = row[OTHERS].get(field.attribute)
        if others and self._are_several(instance, field.attribute, [text, *others]):
            values = humanize.quote("; ".join(others))
            self.unused_values.append(f"{field.column_name}: another column counts, so {values} isn't imported.")
        if not is_new and self._is_unchanged(instance, field, text):
            return
        if has_value(text):
            first = self._first_in(instance, field.attribute, text)
            if not is_new and first != text and self._is_unchanged(instance, field, first):
                return
            text = first
        elif is_new or not self.options.get("clear_empty"):
            self.empty_cells += not is_new
            return
        else:
            text = ""
        if field.attribute not in self.relations:
            # Validators would read a long text to its end.
            most = field.widget.field.max_length
            if most and len(text) > most:
                raise ValueError(f"Write at most {most} characters; it has {len(text):,}.")
            setattr(instance, field.attribute, field.widget.clean(text))
        elif not text:
            setattr(instance, field.attribute, None)
        else:
            setattr(instance, field.attribute, self._related(field.attribute, text))

    def get_import_fields(self) -> list[Any]:
        return self.fields_to_import

    def skip_row(self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        return not instance._state.adding and not import_validation_errors and not self._changed_names(instance)

    def _changed_names(self, instance: Any) -> set[str]:
        # By value, because two related records may have the same name.
        return {name for name in self.own_names if getattr(instance, name) != getattr(self.original, name)}

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Validate the changed fields by the model's own rules."""
        errors = dict(import_validation_errors or {})
        names = set(self.own_names) if instance._state.adding else self._changed_names(instance)
        checked = names - self.relations.keys() - errors.keys()
        exclude = {field.name for field in instance._meta.concrete_fields} - checked
        try:
            # Not full_clean(), which queries the database for each constraint and relation of each row.
            instance.clean_fields(exclude=exclude)
            instance.clean()
            instance.validate_unique(exclude=exclude)
        except ValidationError as refused:
            errors = refused.update_error_dict(errors)
            for error in chain.from_iterable(errors.values()):
                if error.code == "blank":
                    error.message = "It is empty."
        refusals = []
        for name, problems in errors.items():
            text = " ".join(chain.from_iterable(problem.messages for problem in problems))
            cell = self.row.get(name, "")
            self.national_numbers += self.converters.get(name) == "phone" and is_national_number(cell)
            if cell and cell not in text:
                text = f"{text} It reads {humanize.quote(cell)}."
            if name not in self.own_names:
                refusals.append(text)
            elif name == self.spec.name_field or self.options.get("bad_values") == REFUSE:
                refusals.append(f"{self._label(name)}: {text}")
            else:
                setattr(instance, name, getattr(self.original, name))
                self.left_out.append(f"{self._label(name)}: {text}")
        if refusals:
            raise ValidationError(refusals)

    def save_instance(self, *args: Any, **kwargs: Any) -> None:
        """`after_import` writes all rows in few statements."""

    def after_import_row(self, row: Any, row_result: Any, **kwargs: Any) -> None:
        instance = row_result.instance
        row_result.original = self.original
        row_result.changed_names = self._changed_names(instance)
        changed = [field for field in self.own_fields if field.attribute in row_result.changed_names]
        texts_before = self.blank_texts
        if not row_result.is_new():
            texts_before = {field.attribute: field.export(self.original) for field in changed}
        row_result.diff = [
            (field.column_name, texts_before[field.attribute], field.export(instance)) for field in changed
        ]
        # Validation may complete a value to the one that the record has, such as a phone number that isn't mapped.
        if not row_result.diff:
            row_result.import_type = row_result.IMPORT_TYPE_SKIP
        if self.identity:
            self.first_rows[self.identity] = row[ROW_NUMBER]

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        if result.has_errors():
            return
        result.empty_note = ""
        result.invalid_rows = [row for row in result.rows if row.is_invalid()]
        result.written = [row for row in result.rows if row.is_new() or row.is_update()]
        result.ignored = [title for title, name in zip(self.titles, self.columns, strict=True) if title and not name]
        result.columns = self.columns
        result.titles = self.titles
        if number := sum(row.empty_cells for row in result.valid_rows() if not self._is_left_out(row)):
            empty = humanize.count_with_noun(number, "empty cell leaves its field", "empty cells leave their fields")
            result.empty_note = f"{empty} in NPD unchanged."
        result.notes = [*missing_key_note(self.model, self.columns), *filter(None, [result.empty_note])]
        result.unknown_names = len(self.unknown_names)
        result.national_numbers = self.national_numbers
        result.batch_id = self.batch_id
        shown = [
            (row.number, row.import_type, row.diff, row.left_out, row.reasons, row.doubt, self._ids_in_npd(row))
            for row in result.rows
        ]
        result.made_names = sorted(map(field_values.record_name, self._new_related(result.written)))
        # Two runs that find the same in NPD have the same digests. A new record's id is no part of it, because each run
        # makes another one.
        result.digest = " ".join(
            sha256(json.dumps(part).encode()).hexdigest()[:20] for part in (shown, *result.made_names)
        )
        self.has_refused = result.has_refused = any(map(self._reasons, result.rows))
        if self.is_preview:
            return
        # Another import may have made some of the related records meanwhile.
        if not set(result.digest.split()) <= set(self.options["shown_digest"].split()):
            raise FileError("Records were changed since the preview. This is what the file would do now.")
        kept = [row for row in result.written if not self._is_left_out(row)]
        result.new = sum(row.is_new() for row in kept)
        result.changed = len(kept) - result.new
        result.left_out = len(result.written) - len(kept)
        result.made = made_sentence(self._new_related(kept))
        self._write(kept)

    def _ids_in_npd(self, row: Any) -> list[str]:
        """Return which records a row is about: its own, and those that it points at.

        Without those that an import may make: by the same name a later one finds what an earlier one made.
        """
        if row.is_invalid():
            return []
        names = [name for name, model in self.relations.items() if not is_creatable(model)]
        records = [row.instance, *(getattr(row.instance, name) for name in names)]
        return [str(record.pk) for record in records if record and not record._state.adding]

    def _are_several(self, instance: SyncedModel, name: str, texts: Sequence[str]) -> bool:
        """Whether cells have several values, as an import compares them: “030 901820” may be “+49 30 901820”."""
        region = self._region_of(instance)
        converter = self.converters.get(name)
        texts = list(dict.fromkeys(texts))[:MOST_COMPARED]
        if converter == "phone":
            # Parsing all would take a fifth of a preview.
            if len({"".join(filter(str.isdecimal, text))[-MIN_DIGITS:] for text in texts}) > 1:
                return True
            texts = [first_phone(text, region)[0] for text in texts]
        elif converter == "email":
            texts = [next(iter(email_addresses(text)), text) for text in texts]
        keys = (match_key(canonical_value(self.spec.entity_type, name, text, region)) for text in texts)
        first = next(keys)
        return any(key != first for key in keys)

    def _is_left_out(self, row: Any) -> bool:
        return bool(row.doubt and self.options.get("leave_out_warned"))

    def _reasons(self, row: Any) -> list[str]:
        """Return why a row isn't imported, or not whole."""
        if self._is_left_out(row):
            return [*row.left_out, row.doubt]
        return row.reasons or [
            *(f"Imported without {text}" for text in row.left_out),
            *row.further_values,
            *row.unused_values,
        ]

    def refused_file(self, result: Any) -> bytes:
        """Return the rows that weren't imported, or not whole, in the file's own columns, with the reasons."""
        # It may be imported again as it is.
        width = len(self.titles) - (has_our_reasons(self.titles) and not self.columns[-1])
        remember_reasons(self.titles[:width])
        rows = [
            [*cells[:width], " ".join(reasons), *cells[-1]]
            for row, cells in zip(result.rows, self.file_rows, strict=True)
            if (reasons := self._reasons(row))
        ]
        # Cells without a title stay beyond the reason, so that such a row is refused again until it is mended.
        most_cells = max(map(len, rows), default=width + 1)
        dataset = tablib.Dataset(*(row + [""] * (most_cells - len(row)) for row in rows))
        dataset.headers = [*self.titles[:width], REASON] + [""] * (most_cells - width - 1)
        return str(CSV().export_data(dataset, self.separator)).encode("utf-8-sig")

    # --- columns ---

    def _label(self, name: str) -> str:
        return str(self.fields[name].column_name)

    def _cell(self, row: Mapping[str, Any], name: str) -> str:
        text = str(row.get(name, ""))
        if self.converters.get(name) == "email":
            # Two rows with the same invalid address need not be about the same person.
            return next(iter(email_addresses(text)), "")
        return text if has_value(text) else ""

    def _read(self, dataset: Any) -> None:
        """Replace the file's columns by the fields: of several columns for one, the first filled one."""
        self.separator = getattr(dataset, "separator", ",")  # a workbook has none
        self.titles = dataset.headers[:-2]  # without ROW_NUMBER and SURPLUS
        if len(self.columns) != len(self.titles):
            self.columns = suggest_columns(self.model, self.titles)
        self.file_rows = list(dataset)
        places = places_of_fields(self.model, self.titles, self.columns)
        name_field = self.spec.name_field or ""
        if not identifies_records(self.model, self.columns):
            known_titles = ", ".join(map(self._label, self.fields))
            first_row = humanize.quote(", ".join(self.titles))
            raise FileError(
                f"No column tells which {self.noun} a row is about. The first row reads {first_row}: are the titles in "
                f"another row? Known titles: {known_titles}."
            )
        self.rows = []
        names = (name_field, *NAME_CHOICES)
        labels = label_places(self.titles)
        if len({cells[place] for place in labels.values() for cells in self.file_rows}) > MAX_LABELS:
            titles = humanize.quote(", ".join(self.titles[place] for place in labels.values())[:MAX_TITLE])
            raise FileError(f"{titles} have more than {MAX_LABELS:,} different texts. Rename these columns.")
        for *cells, number, surplus in self.file_rows:
            others: dict[str, list[str]] = {}
            row: dict[str, Any] = {ROW_NUMBER: number, SURPLUS: surplus, OTHERS: others}
            for name, own in places.items():
                if len(own) == 1 and own[0] not in labels:
                    row[name] = cells[own[0]]
                    continue
                filled = [place for place in own if has_value(cells[place])]
                converter = self.converters.get(name, "")
                counting = places_by_label(converter, self.titles, filled, labels, cells)
                first = first_place(converter, counting, cells) if counting else own[0]
                row[name] = "" if filled and not counting else cells[first]
                others[name] = [cells[place] for place in filled if cells[place] != row[name]]
            parts = [row.pop(name) for name in NAME_PARTS if name in row] or reversed_name(row.pop(LAST_FIRST, ""))
            if parts and not has_value(row.setdefault(name_field, "")):
                row[name_field] = " ".join(filter(has_value, parts))
            others[name_field] = list(chain.from_iterable(others.get(name, ()) for name in names))
            self.rows.append(row)
        dataset.dict = self.rows

    # --- records ---

    def _match(self, row: Mapping[str, Any]) -> tuple[SyncedModel | None, object]:
        """Return a row's record, and a key that is equal for all rows about the same record.

        The record is None if it is new. Raises ValidationError if it is unclear.
        """
        self.found_by = "id"
        if npd_id := self._cell(row, "id"):
            record = self.lookup.by_id.get(as_uuid(npd_id))
            if record is None:
                raise ValidationError(
                    f"There is no {self.noun} with this NPD ID. Empty the cell to find it by what else the row says."
                )
            return record, record.pk
        for name in self.key_names:
            self.found_by = name
            text = self._cell(row, name)
            records = self.lookup.find(name, text)
            if len(records) > 1:
                several = f"{len(records)} {self.plural} have this {self._label(name).lower()}."
                raise ValidationError(f"{several} Add their NPD ID.")
            if records:
                return records[0], records[0].pk
            if text:
                return None, (name, match_key(text))
        return None, None

    def _is_unchanged(self, instance: SyncedModel, field: Any, text: str) -> bool:
        """Whether a record's value and a cell are equal, as the sync compares values."""
        value = getattr(instance, field.attribute)
        if value == text or plain_text(field.widget.render(value)) == text:
            return True
        if not isinstance(value, str) or not text or not value:
            return False
        if field.attribute in self.key_names and self.found_by != "id":
            # The record was found by this field, ignoring case. A row with an NPD ID may correct the case.
            return match_key(text) == match_key(value)
        region = self._region_of(self.original)
        canonical = canonical_value(self.spec.entity_type, field.attribute, text, region)
        return bool(canonical == canonical_value(self.spec.entity_type, field.attribute, value, region))

    def _related(self, name: str, text: str) -> SyncedModel:
        """Return the record that a cell names; raises ValueError, an error of the field, if there isn't one."""
        lookup = self.related[name]
        records = self._records_called(name, text)
        if len(records) == 1:
            return records[0]
        if not records and is_creatable(lookup.model):
            if self.options.get("create_missing"):
                return lookup.create(text)
            self.unknown_names.add(match_key(text))
        names = lookup.model._meta
        subject = f"Several {names.verbose_name_plural} are" if records else f"No {names.verbose_name} is"
        raise ValueError(f"{subject} called {humanize.quote(text)}.")

    def _records_called(self, name: str, text: str) -> list[SyncedModel]:
        lookup = self.related[name]
        return next(filter(None, (lookup.find(key, text) for key in lookup.by_field)), [])

    def _names_in(self, name: str, text: str) -> list[str]:
        """Return the names of related records in a cell; “Nova, Inc.” is one."""
        names = several_names(text)
        is_list = {";", "\n"}.intersection(text) or all(self._records_called(name, part) for part in names)
        return names if names and is_list and not self._records_called(name, text) else [text]

    def _region_of(self, record: SyncedModel) -> str:
        return self.chosen_region or record.sync_region() or self.region

    def _first_in(self, instance: SyncedModel, name: str, text: str) -> str:
        """Return the first value in a cell, and note which others aren't imported; any other text as it is."""
        converter = self.converters.get(name)
        others: Sequence[str] = ()
        if text.endswith(".0") and converter != "long_text" and _CODE.fullmatch(text):
            text = text.removesuffix(".0")
        if converter == "email" and (addresses := email_addresses(text)):
            text = addresses[0]
            others = addresses[1:]
        elif converter == "phone":
            text, rest = first_phone(text, self._region_of(instance))
            others = [rest.strip(" ,;:|/")] if any(map(str.isdecimal, rest)) else []
        elif name in self.relations:
            text, *others = self._names_in(name, text)
        if converter == "phone" and self.chosen_region:
            text = complete_phone(text, self.chosen_region)  # a ValueError is an error of the field
        if others:
            values = humanize.quote("; ".join(others))
            self.further_values.append(f"{self._label(name)}: only the first one counts, so {values} isn't imported.")
        return text

    def _doubt(self, row: Mapping[str, Any], result: Any) -> str:
        """Return why a row may be about another record than the one that it makes or changes; empty if it isn't."""
        name = self.spec.name_field or ""
        key = self.key_names[0]
        label = self._label(key).lower()
        if result.is_new() and name in self.key_names:
            # A record, or a row before, has the row's name, and the row's other values didn't match it.
            text = self._cell(row, name)
            first = self.rows_of_names.setdefault(match_key(text), row[ROW_NUMBER])
            namesake = f"Row {first}" if first != row[ROW_NUMBER] else ""
            if self.lookup.find(name, text):
                namesake = f"A {self.noun} in NPD"
            return f"{namesake} has this name, but another {label} or none." if namesake else ""
        if not result.is_update():
            return ""
        if self.found_by == name and name != key:
            value = self.fields[key].export(self.original)
            has = f"has the {label} {value}" if value else f"has no {label}"
            return f"Found by its name alone. The {self.noun} of this name in NPD {has}."
        if name in result.changed_names and match_key(getattr(self.original, name)) != match_key(self._cell(row, name)):
            return f"Found by its {NPD_ID if self.found_by == 'id' else label}, and renamed."
        return ""

    # --- writing ---

    def _new_related(self, rows: Iterable[Any]) -> list[SyncedModel]:
        targets = [getattr(row.instance, name) for row in rows for name in self.relations]
        return list({target.pk: target for target in targets if target and target._state.adding}.values())

    def _write(self, rows: Sequence[Any]) -> None:
        """Write the rows' records and their activity."""
        entity_type = self.spec.entity_type
        new_related = self._new_related(rows)
        new = [row.instance for row in rows if row.is_new()]
        changed = [row.instance for row in rows if row.is_update()]
        changed_names = {name for row in rows if row.is_update() for name in row.changed_names}
        pending = SyncQueue.objects.filter(entity_type=entity_type, status=QueueStatus.PENDING)
        earlier = list(pending.filter(entity_id__in=[record.pk for record in changed]).values_list("pk", flat=True))
        for model in {type(record) for record in new_related}:
            model.objects.bulk_create([record for record in new_related if type(record) is model])
        update_many(changed, sorted(changed_names))
        self.model.objects.bulk_create(new)
        # The triggers give new jobs the priority of an edit, but thousands must not come before people's own edits.
        pending_now = pending.filter(entity_id__in=[record.pk for record in (*changed, *new)])
        pending_now.exclude(pk__in=earlier).update(priority=Priority.LOAD)
        lines = [self._line(record, Message("made_by_import", file=self.file_name)) for record in new_related]
        lines += [line for row in rows for line in self._row_lines(row)]
        imported = Message("imported", file=self.file_name, new=len(new), changed=len(changed))
        sentence = sentences(imported, made_sentence(new_related))
        summary = ActivityLine(
            entity_type=entity_type, kind=ActivityKind.IMPORT, sentence=sentence, actor=actor_label(self.user)
        )
        summary.batch_id = self.batch_id
        summary.cause = {"causes": [IMPORT_CAUSE], "file": self.file_name, "refused": self.has_refused}
        # The list of the activity has the summary alone.
        for line in lines:
            line.folded = True
        for line in (*lines, summary):
            line.fold_id = self.batch_id
        ActivityLine.objects.bulk_create([*lines, summary])
        log_model_action(self.user, self.model, sentence)
        # Until it commits, others save and a program may read on: what was written first would be older than its mark.
        for model, records in grouped((*changed, *new, *new_related), type).items():
            model.objects.filter(pk__in=[record.pk for record in records]).update(updated_at=SyncNow())
        for changed_type in {entity_type, *(record.entity_type() for record in new_related)}:
            wakeups.wake_on_commit(changed_type)

    def _row_lines(self, row: Any) -> Iterator[ActivityLine]:
        """Yield a row's lines of activity: one for each mapping, and each field without one, that it changed."""
        place = {"file": self.file_name, "row": row.number}
        if row.is_new():
            yield self._line(row.instance, Message("made_by_import", **place))
            return
        groups = [(mapping.key, mapping.label, mapping.fields) for mapping in self.spec.mappings]
        mapped = {name for _, _, fields in groups for name in fields}
        groups += [(name, self._label(name), (name,)) for name in self.own_names if name not in mapped]
        for key, label, fields in groups:
            if row.changed_names.isdisjoint(fields):
                continue
            old = self._in_words(row.original, fields)
            new = self._in_words(row.instance, fields)
            line = self._line(row.instance, Message("set_by_import", label=label, after=new, before=old, **place))
            line.key = key
            line.values = {
                "before": old,
                "after": new,
                # All fields of a mapping, for its undo.
                "raw_before": field_values.local_field_values(row.original, fields),
                "raw_after": field_values.local_field_values(row.instance, fields),
            }
            yield line

    def _in_words(self, record: SyncedModel, names: Sequence[str]) -> str:
        return ", ".join(filter(None, (self.fields[name].export(record) for name in names)))

    def _line(self, record: SyncedModel, sentence: Message) -> ActivityLine:
        line = person_line(record, ActivityKind.IMPORT, sentence, actor_label(self.user))
        line.batch_id = self.batch_id
        line.cause |= {"causes": [IMPORT_CAUSE], "file": self.file_name}
        return line


def lock_imports(entity_types: Iterable[str]) -> None:
    """Let this transaction's import follow those of the same types, so that it finds the records that they made."""
    for entity_type in sorted(set(entity_types)):
        run_sql("SELECT pg_advisory_xact_lock(hashtext('import'), hashtext(%s))", [entity_type])


def made_sentence(records: Sequence[SyncedModel]) -> str:
    """Return which related records an import made, “Made 2 organizations: Nova, Orbit.”, or nothing."""
    if not records:
        return ""
    numbers = [
        registry.count_of_type(len(group), entity_type)
        for entity_type, group in grouped(records, lambda record: record.entity_type()).items()
    ]
    names = sorted(map(field_values.record_name, records))
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return Message("made", made=" and ".join(numbers), names=", ".join([*names[:NAMED], *more]))


def is_creatable(model: type[SyncedModel]) -> bool:
    """Whether a new record needs only its name, which is then its match key."""
    return registry.match_field(model) == registry.name_field(model)


@cache
def resource_of(model: type[SyncedModel]) -> type[RecordResource]:
    """Return the resource of a registered model: its own fields, then the NPD ID."""
    relations = registry.own_relations(model)
    own = [field for field in registry.own_fields(model) if not field.is_relation or field in relations]
    fields = {field.name: Field(field.name, field_label(model, field.name), FieldWidget(field)) for field in own}
    fields["id"] = Field("id", NPD_ID, FieldWidget(model._meta.pk))
    resource: type[RecordResource] = modelresource_factory(model, RecordResource, {"fields": list(fields)}, fields)
    return resource


def is_national_number(text: str) -> bool:
    return not text.startswith(("+", "00")) and sum(map(str.isdecimal, text[:MAX_SEARCHED])) >= MIN_DIGITS
