"""Export, preview and import of a registered model's records as rows of a file.

A preview runs in a read-only transaction. An import is one transaction; the activity lists its changes as one batch,
which can be undone as usual.
"""

import csv
import io
import json
import unicodedata
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from typing import Any

import pghistory
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import connection, models, transaction
from django.utils.text import capfirst
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.widgets import Widget

from sync import registry
from sync.choices import Priority, QueueStatus
from sync.kernel import grouped, humanize
from sync.kernel.db import bound_lock_waits, update_many
from sync.models import Decision, SyncedModel, SyncQueue
from sync.models.decisions import IMPORT_KIND, fold_alike
from sync.monday.texts import drop_from_label, key_spellings, match_key
from sync.operations.file_formats import ROW_NUMBER, SURPLUS, FileError
from sync.outbox import notify
from sync.reconcile import field_values
from sync.reconcile.lookups import load_board, match_key_of, phone_region
from sync.records.authors import actor_label, log_model_action, person_line
from sync.state.record_fields import canonical_value

NPD_ID = "NPD ID"
# Cells without a value, as spreadsheets and databases write them. “Null” is a name.
NO_VALUES = {"", "#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "n/a", "N/A", "NULL", "null"}

FIRST_NAMES = {"firstname", "givenname", "forename", "vorname", "prénom"}
LAST_NAMES = {"lastname", "surname", "familyname", "nachname", "familienname", "nomdefamille"}
# Titles of a full name; if the file has a first name, too, they are titles of the family name.
PLAIN_NAMES = {"name", "nom"}


def plain_title(title: str) -> str:
    """Return a title in lower case, letters and digits only."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", title).casefold() if sign.isalnum())


def plain_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


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

    def clean(self, value: str, row: Any = None, **kwargs: Any) -> Any:
        if isinstance(self.field, ArrayField):
            cells = next(csv.reader(io.StringIO(value, newline=""), delimiter=";", skipinitialspace=True), [])
            return [cell.strip() for cell in cells if cell.strip()]
        if not value:
            return None if self.field.null else ""
        try:
            return self.field.to_python(self.values.get(value.casefold(), value))
        except ValidationError:
            return value

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, models.Model):
            return field_values.record_name(value)
        if isinstance(value, list):
            cell = io.StringIO(newline="")
            csv.writer(cell, delimiter=";").writerow(value)
            return cell.getvalue().removesuffix("\r\n") if value else ""
        if isinstance(value, datetime):
            return value.isoformat(" ")
        return str(self.labels.get(value, value))


class RecordResource(ModelResource):  # type: ignore[misc]
    """The base of each registered model's resource (`resource_of`); an instance serves one file."""

    class Meta:
        import_id_fields = ("id",)

    def __init__(self, form: Any = None, **kwargs: Any) -> None:
        super().__init__()
        options = form.cleaned_data if form else {}
        self.creates_missing = bool(options.get("create_missing"))
        self.clears_empty = bool(options.get("clear_empty"))
        self.model: type[SyncedModel] = self._meta.model
        self.spec = registry.entity(self.model.entity_type())
        self.relations = {field.name: registry.target_of(field) for field in registry.own_relations(self.model)}
        self.opts: Any = self.model._meta
        self.shown_digest = options.get("shown_digest", "")  # of the preview that the person confirmed
        self.batch_id = uuid.uuid4()
        self.ignored: list[str] = []  # titles of columns that no field takes
        self.warnings: list[tuple[int, str]] = []  # with the row's number
        self.related_new: dict[uuid.UUID, SyncedModel] = {}  # related records that NPD lacks
        self.new: list[SyncedModel] = []
        self.changed: list[SyncedModel] = []
        self.changed_names: set[str] = set()  # fields that any of the changed records got
        self.lines: list[Decision] = []  # for the activity
        self.digested: list[Any] = []  # the changes of each row, to compare the import with its preview

    def get_queryset(self) -> Any:
        return self.model._default_manager.select_related(*self.relations).order_by("pk")

    # --- the library's hooks, in the order of its calls ---

    def import_data(self, dataset: Any, dry_run: bool = False, **kwargs: Any) -> Any:
        self.user = kwargs["user"]
        self.file_name = str(kwargs.get("file_name") or "a file")[:200]
        with pghistory.context(user=self.user.pk, cause=IMPORT_KIND, batch=str(self.batch_id)):
            return super().import_data(dataset, dry_run=dry_run, use_transactions=True, **kwargs)

    def import_data_inner(
        self, dataset: Any, dry_run: bool, raise_errors: bool, using_transactions: bool, *args: Any, **kwargs: Any
    ) -> Any:
        """Run in the transaction of `import_data`, without the library's savepoint for each row."""
        self.is_preview = dry_run
        if dry_run:
            # The library would write everything and roll it back, holding the records' locks meanwhile.
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
        else:
            bound_lock_waits()
        return super().import_data_inner(dataset, dry_run, raise_errors, False, *args, **kwargs)

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Recognize the columns, then load all records of the rows and their relations in few queries."""
        titles = [title for title in dataset.headers[:-2] if title]  # without ROW_NUMBER and SURPLUS
        dataset.headers = self._columns(dataset.headers)
        if not self.name_columns and not {NPD_ID, *map(self._label, self._key_fields())} & set(dataset.headers):
            known = ", ".join(field.column_name for field in self.fields.values())
            raise FileError(
                f"No column tells which {self.opts.verbose_name} a row is about. The first row reads "
                f"{humanize.quote(', '.join(titles))}: are the titles in another row? Known titles: {known}."
            )
        rows = self.rows = [self._join_names(row) for row in dataset.dict]
        self.region = phone_region()
        link = registry.link_of(self.spec.entity_type)
        self.board = load_board(link) if link else None
        self.matches = self._match(rows)
        if not self.is_preview:
            self._lock_matches()
        self.related = {
            name: RelatedRecords(target, [row[self._label(name)] for row in rows])
            for name, target in self.relations.items()
            if self._label(name) in dataset.headers
        }

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        self.number = row[ROW_NUMBER]
        self.row_warnings: list[str] = []
        self.is_same = False
        self._join_names(row)
        if row[SURPLUS]:
            raise ValidationError(
                "It has more cells than there are titles. Put a value that holds a separator in quotes."
            )

    def get_instance(self, instance_loader: Any, row: Any) -> SyncedModel | None:
        match = self.matches[self.number]
        if isinstance(match, ValidationError):
            raise match
        return match

    def after_init_instance(self, instance: Any, new: bool, row: Any, **kwargs: Any) -> None:
        instance.known_region = self.region
        self.before = {} if new else field_values.stored_field_values(instance, self._own_names())

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        """Set a field if its cell differs from the record."""
        if field.attribute == "id" or field.column_name not in row:
            return
        is_new = instance._state.adding
        text = plain_text(row[field.column_name])
        if not is_new and self._is_unchanged(instance, field, text, row):
            return
        if text in NO_VALUES:
            if is_new or not self.clears_empty:
                return
            text = ""
        if field.attribute not in self.relations:
            text = drop_from_label(text) if field.attribute in instance.addresses else text
            setattr(instance, field.attribute, field.widget.clean(text))
        elif not text:
            setattr(instance, field.attribute, None)
        elif target := self._related(field.attribute, text):
            setattr(instance, field.attribute, target)

    def skip_row(self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        return self.number in self.repeated

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Validate the changed fields by the model's own rules."""
        errors = dict(import_validation_errors or {})
        own = {name for name in self._own_names() if name not in self.relations}
        checked = (own if instance._state.adding else own & set(instance.changed_fields())) - errors.keys()
        exclude = {field.name for field in instance._meta.concrete_fields} - checked
        try:
            # Not full_clean(), which queries the database for each constraint and relation of each row.
            instance.clean_fields(exclude=exclude)
            instance.clean()
            instance.validate_unique(exclude=exclude)
        except ValidationError as refused:
            errors = refused.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def save_instance(self, instance: Any, is_create: bool, row: Any, **kwargs: Any) -> None:
        """Collect the changes; `after_import` writes them in few statements."""
        changed = set(instance.changed_fields())
        names = [
            name for name in self._own_names() if is_create or field_values.field_of(instance, name).attname in changed
        ]
        self.is_same = not names
        if self.is_same:
            return
        self._warn_of_refusals(instance, names)
        for target in (getattr(instance, name) for name in self.related):
            if target and target._state.adding:
                self.related_new[target.pk] = target
        before = {name: self.before.get(name) for name in names}
        after = field_values.stored_field_values(instance, names)
        # Label, old and new value of each changed field, for the preview.
        pairs = [(self._label(name), _in_words({name: before[name]}), _in_words({name: after[name]})) for name in names]
        self.digested.append((self.number, is_create, pairs))
        self.row_changes = [(label, old, new) for label, old, new in pairs if old or new]
        if is_create:
            self.new.append(instance)
        else:
            self.changed.append(instance)
            self.changed_names.update(names)
        if not self.is_preview:
            self.lines += self._lines(instance, before, is_new=is_create)

    def save_m2m(self, *args: Any, **kwargs: Any) -> None:
        """No registered model has such fields."""

    def after_import_row(self, row: Any, row_result: Any, **kwargs: Any) -> None:
        self.warnings += [(self.number, text) for text in self.row_warnings]
        row_result.number = self.number
        if self.is_same:
            row_result.import_type = row_result.IMPORT_TYPE_SKIP
        elif self.is_preview and not row_result.is_skip():
            row_result.changes = self.row_changes

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        for invalid in result.invalid_rows:
            row = self.rows[invalid.number - 1]
            invalid.number = row[ROW_NUMBER]
            invalid.object_repr = self._row_name(row)
            invalid.reasons = [self._reason(row, name, texts) for name, texts in invalid.error_dict.items()]
        result.warnings = self.warnings
        result.ignored = self.ignored
        result.batch_id = self.batch_id
        # Two runs that write the same have the same digest. It has no ids, because each run makes new ones.
        names = sorted(map(field_values.record_name, self.related_new.values()))
        result.digest = sha256(json.dumps([self.digested, names]).encode()).hexdigest()
        if not self.is_preview and not result.has_errors():
            if self.shown_digest != result.digest:
                raise FileError("Records were changed since the preview, and the file would do something else now.")
            self._write()

    def _row_name(self, row: Mapping[str, Any]) -> str:
        """Return a name for a row: its record's name and address, or else its first cells."""
        cells = {column: plain_text(str(cell)) for column, cell in row.items() if column not in (ROW_NUMBER, SURPLUS)}
        keys = [cells.get(self._label(name), "") for name in reversed(self._key_fields())]
        texts = [text for text in keys if text] or [text for text in cells.values() if text]
        return ", ".join(dict.fromkeys(texts[:2]))

    def _reason(self, row: Mapping[str, Any], name: str, texts: Sequence[str]) -> str:
        text = " ".join(texts)
        if name not in self.fields:
            return text
        cell = plain_text(str(row.get(self._label(name), "")))
        return f"{self._label(name)}{f' {humanize.quote(cell)}' if cell else ''}: {text}"

    # --- columns ---

    def _label(self, name: str) -> str:
        return str(self.fields[name].column_name)

    def _own_names(self) -> list[str]:
        return [name for name in self.fields if name != "id"]

    def _key_fields(self) -> list[str]:
        """Return the fields that identify the record of a row without an NPD ID."""
        keys = [registry.match_field(self.model), self.spec.name_field]
        return list(dict.fromkeys(name for name in keys if name))

    def _columns(self, titles: Sequence[str]) -> list[str]:
        """Return a name for each column: the label of its field, or else its title."""
        plain = [plain_title(title) for title in titles]
        columns = [f"{title} (column {place})" for place, title in enumerate(titles, start=1)]
        columns[-2:] = [ROW_NUMBER, SURPLUS]
        first = _place_of(FIRST_NAMES, plain)
        last = _place_of(LAST_NAMES, plain)
        taken: set[int] = set()
        if first is not None and last is None and (last := _place_of(PLAIN_NAMES, plain)) is not None:
            taken.add(last)
        for name, field_titles in titles_of(self.spec.entity_type).items():
            places = [plain.index(title) for title in field_titles if title in plain]
            place = next((place for place in places if place not in taken), None)
            if place is not None:
                columns[place] = self._label(name)
                taken.add(place)
        self.name_columns: list[str] = []  # which together have the full name
        if self.spec.name_field and self._label(self.spec.name_field) not in columns:
            parts = [place for place in (first, last) if place is not None]
            self.name_columns = [columns[place] for place in parts]
            taken.update(parts)
        self.ignored = [title for place, title in enumerate(titles[:-2]) if place not in taken and title]
        return columns

    def _join_names(self, row: Any) -> Any:
        if self.name_columns:
            parts = [plain_text(row[column]) for column in self.name_columns]
            row[self._label(str(self.spec.name_field))] = " ".join(part for part in parts if part not in NO_VALUES)
        return row

    # --- records ---

    def _match(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, SyncedModel | ValidationError | None]:
        """Return the record of each row, by the row's number: None for a new record, an error if it is unclear."""
        texts = {
            name: {row[ROW_NUMBER]: _value(row.get(self._label(name), "")) for row in rows}
            for name in ("id", *self._key_fields())
        }
        records = self.get_queryset()
        ids = [key for text in texts["id"].values() if (key := field_values.as_uuid(text))]
        by_id = {record.pk: record for record in records.filter(pk__in=ids)}
        by_text = {name: records_by(records, name, texts[name].values()) for name in self._key_fields()}
        matches: dict[int, SyncedModel | ValidationError | None] = {}
        self.repeated: set[int] = set()
        first_rows: dict[object, Mapping[str, Any]] = {}
        for row in rows:
            number = row[ROW_NUMBER]
            match, identity = self._match_row({name: cells[number] for name, cells in texts.items()}, by_id, by_text)
            first = first_rows.setdefault(identity, row) if identity else row
            if first is not row and _cells(first) == _cells(row):
                self.repeated.add(number)
            elif first is not row and not isinstance(match, ValidationError):
                match = ValidationError(
                    f"Row {first[ROW_NUMBER]} is about the same {self.opts.verbose_name}. Keep one of them."
                )
            matches[number] = match
        return matches

    def _lock_matches(self) -> None:
        """Lock the rows' records and read them again."""
        keys = [match.pk for match in self.matches.values() if isinstance(match, SyncedModel)]
        # NO KEY, so that rows pointing at these records can still be saved.
        records = self.get_queryset().filter(pk__in=keys).select_for_update(no_key=True, of=("self",))
        locked = {record.pk: record for record in records}
        deleted = ValidationError("It was deleted meanwhile.")
        for number, match in self.matches.items():
            if isinstance(match, SyncedModel):
                self.matches[number] = locked.get(match.pk, deleted)

    def _match_row(
        self,
        texts: Mapping[str, str],
        by_id: Mapping[uuid.UUID, SyncedModel],
        by_text: Mapping[str, Mapping[str, list[SyncedModel]]],
    ) -> tuple[SyncedModel | ValidationError | None, object]:
        """Return a row's record, and a key that is equal for all rows about the same record."""
        noun = self.opts.verbose_name
        if npd_id := texts["id"]:
            record = by_id.get(field_values.as_uuid(npd_id) or uuid.UUID(int=0))
            missing = f"There is no {noun} with this NPD ID. Empty the cell to find it by what else the row says."
            return (record, record.pk) if record else (ValidationError({"id": missing}), None)
        for name in self._key_fields():
            key = match_key(texts[name])
            if not key:
                continue
            records = by_text[name].get(key, [])
            same_case = [record for record in records if getattr(record, name) == texts[name]]
            records = same_case if len(same_case) == 1 else records
            if len(records) > 1:
                several = f"{len(records)} {self.opts.verbose_name_plural} have this {self._label(name).lower()}."
                return ValidationError({name: f"{several} Add their NPD ID."}), None
            if records:
                return records[0], records[0].pk
            try:
                field_values.field_of(self.model, name).clean(texts[name], None)
            except ValidationError:
                return None, None  # two rows with the same invalid email address need not be the same person
            return None, (name, key)
        return None, None

    def _is_unchanged(self, instance: SyncedModel, field: Any, text: str, row: Mapping[str, Any]) -> bool:
        """Whether a record's value and a cell are equal, as the sync compares values."""
        value = getattr(instance, field.attribute)
        if plain_text(field.widget.render(value)) == text:
            return True
        if not isinstance(value, str) or not text or not value:
            return False
        if field.attribute in self._key_fields() and not _value(row.get(NPD_ID, "")):
            # The record was found by this field, ignoring case. A row with an NPD ID may correct the case.
            return match_key(text) == match_key(value)
        entity_type = self.spec.entity_type
        region = instance.sync_region() or self.region
        canonical = canonical_value(entity_type, field.attribute, text, region)
        return bool(canonical == canonical_value(entity_type, field.attribute, value, region))

    def _related(self, name: str, text: str) -> SyncedModel | None:
        """Return the record that a cell names; if there is none, warn that the field stays unchanged."""
        related = self.related[name]
        noun = related.model._meta.verbose_name
        records = related.find(text)
        if len(records) == 1:
            return records[0]
        if not records and self.creates_missing and related.may_create:
            return related.create(text)
        subject = f"Several {related.model._meta.verbose_name_plural} are" if records else f"No {noun} is"
        self.row_warnings.append(f"{subject} called {humanize.quote(text)}: {self._label(name)} is left out.")
        return None

    def _warn_of_refusals(self, instance: SyncedModel, names: Sequence[str]) -> None:
        """Warn of values that Monday would reject; they are imported, and block their field."""
        if self.board is None or not instance.may_sync:
            return
        for mapping in self.board.mappings:
            if mapping.column_id and set(mapping.fields) & set(names) - self.relations.keys():
                convert = self.board.converter(mapping, instance)
                raw = field_values.stored_values(instance, mapping)
                if reason := convert.rejection_reason(raw) or convert.rejection_risk(raw):
                    self.row_warnings.append(f"{reason.removesuffix('.')}. It will not be synced.")

    # --- writing ---

    def _write(self) -> None:
        """Write the collected changes and their activity."""
        entity_type = self.spec.entity_type
        new_related = list(self.related_new.values())
        pending = SyncQueue.objects.filter(entity_type=entity_type, status=QueueStatus.PENDING)
        changed_ids = [record.pk for record in self.changed]
        earlier = list(pending.filter(entity_id__in=changed_ids).values_list("pk", flat=True))
        for model in {type(record) for record in new_related}:
            model._default_manager.bulk_create([record for record in new_related if type(record) is model])
        update_many(self.changed, sorted(self.changed_names))
        self.model._default_manager.bulk_create(self.new)
        # The triggers give these jobs the priority of an edit, but thousands must not come before people's own edits.
        written = pending.filter(entity_id__in=[record.pk for record in (*self.changed, *self.new)])
        written.exclude(pk__in=earlier).update(priority=Priority.LOAD)
        lines = [self._line(record, f"Made by the import of “{self.file_name}”.") for record in new_related]
        Decision.objects.bulk_create(fold_alike([*lines, *self.lines]))
        counts = f"{len(self.new):,} new, {len(self.changed):,} changed"
        log_model_action(self.user, self.model, f"Imported “{self.file_name}”: {counts}.")
        for changed_type in {entity_type, *(record.entity_type() for record in new_related)}:
            transaction.on_commit(partial(notify.notify_board, changed_type), robust=True)

    def _lines(self, record: SyncedModel, changed: Mapping[str, Any], *, is_new: bool) -> Iterator[Decision]:
        """Yield a row's lines of activity; `changed` are the fields that it wrote, with their old values."""
        where = f"the import of “{self.file_name}”, row {self.number}"
        if is_new:
            yield self._line(record, f"Made by {where}.")
            return
        for key, label, fields in self._keys_of(changed):
            after = field_values.stored_field_values(record, fields)  # all fields of a mapping, for its undo
            before = after | {name: changed[name] for name in fields if name in changed}
            old = _in_words(before)
            new = _in_words(after)
            values = {"before": old, "after": new, "raw_before": before, "raw_after": after}
            sentence = f"{label} set to {_quoted(new)} (was {_quoted(old)}) by {where}."
            yield self._line(record, sentence, key, values)

    def _line(self, record: SyncedModel, sentence: str, key: str = "", values: Any = None) -> Decision:
        line = person_line(record, IMPORT_KIND, sentence, actor_label(self.user))
        line.key = key
        line.values = values or {}
        line.batch_id = self.batch_id
        line.cause |= {"causes": [IMPORT_KIND], "file": self.file_name}
        return line

    def _keys_of(self, names: Iterable[str]) -> Iterable[tuple[str, str, Sequence[str]]]:
        """Yield key, label and fields of each mapping with one of these fields; an unmapped field comes alone."""
        unmapped = list(names)
        for mapping in self.spec.mappings:
            if any(name in mapping.fields for name in unmapped):
                yield mapping.key, mapping.label, mapping.fields
                unmapped = [name for name in unmapped if name not in mapping.fields]
        for name in unmapped:
            yield name, self._label(name), (name,)


class RelatedRecords:
    """The records that a column's cells name, by their name or their email address."""

    def __init__(self, model: type[SyncedModel], texts: Sequence[str]) -> None:
        self.model = model
        self.entity_type = model.entity_type()
        self.name_field = registry.name_field(model) or "name"
        self.key_field = registry.match_field(model) or self.name_field
        names = {plain_text(text) for text in texts}
        self.by_name = records_by(model._default_manager.all(), self.name_field, names)
        self.by_key = records_by(model._default_manager.all(), self.key_field, [text for text in names if "@" in text])
        self.may_create = self.key_field == self.name_field

    def find(self, text: str) -> list[SyncedModel]:
        by_key = self.by_key.get(match_key(text), []) if "@" in text else []
        records = by_key or self.by_name.get(match_key(text), [])
        same_case = [record for record in records if getattr(record, self.name_field) == text]
        return same_case if len(same_case) == 1 else records

    def create(self, text: str) -> SyncedModel:
        """Return a new, unsaved record of this name; raises ValueError if the name is invalid."""
        record = self.model(**{self.name_field: text})
        try:
            record.clean_fields()
        except ValidationError as refused:
            raise ValueError(" ".join(refused.messages)) from refused
        self.by_name[match_key(text)] = [record]
        return record


def records_by(records: Any, field: str, texts: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records that have one of these texts in a field, by the text's match key."""
    keys = key_spellings(key for text in texts if (key := match_key(text)))
    matching = records.annotate(match_key=match_key_of(field)).filter(match_key__any_of=keys) if keys else ()
    return grouped(matching, lambda record: match_key(getattr(record, field)))


def titles_of(entity_type: str) -> dict[str, list[str]]:
    """Return the known titles of each field as `plain_title` makes them, the best ones first."""
    spec = registry.entity(entity_type)
    others = [plain_title(other.entity_type) for other in registry.entities() if other.entity_type != entity_type]
    titles: dict[str, list[str]] = {"id": [plain_title(NPD_ID)]}
    relations = [field.name for field in registry.own_relations(spec.model)]
    own = [field.name for field in registry.own_fields(spec.model)]
    # Relations first, because “company name” in a file of people is their organization.
    for name in [*relations, *(name for name in own if name not in relations)]:
        names = [name, _label_of(spec.model, name), *spec.titles.get(name, ())]
        names += [mapping.label for mapping in spec.mappings if mapping.fields == (name,)]
        if name in relations:
            names += [f"{title} name" for title in names]
        if name == spec.name_field:
            # The title of a related record in other files, such as “Firma”, is its name in a file of such records.
            type_titles = [entity_type, *spec.titles.get(entity_type, ())]
            names[2:2] = [*type_titles, *(f"{title} name" for title in type_titles)]
        plain = list(dict.fromkeys(map(plain_title, names)))
        titles[name] = [title for title in plain if name in relations or not title.startswith(tuple(others))]
    return titles


def _place_of(titles: Collection[str], plain: Sequence[str]) -> int | None:
    return next((place for place, title in enumerate(plain) if title in titles), None)


def _label_of(model: type[models.Model], name: str) -> str:
    return str(capfirst(str(model._meta.get_field(name).verbose_name)))  # type: ignore[union-attr]


@cache
def resource_of(model: type[SyncedModel]) -> type[RecordResource]:
    """Return the resource of a registered model: its own fields, then the NPD ID."""
    relations = registry.own_relations(model)
    own = [field for field in registry.own_fields(model) if not field.is_relation or field in relations]
    fields = {field.name: Field(field.name, _label_of(model, field.name), FieldWidget(field)) for field in own}
    fields["id"] = Field("id", NPD_ID, FieldWidget(model._meta.pk))
    options = {
        "fields": list(fields),
        "import_id_fields": ["id"],  # the library's default, which alone needs no such column
        "report_skipped": False,
        "skip_diff": True,
        "store_instance": True,  # otherwise the library sets it for all requests
    }
    resource: type[RecordResource] = modelresource_factory(model, RecordResource, options, fields)
    return resource


def _value(cell: Any) -> str:
    text = plain_text(str(cell))
    return "" if text in NO_VALUES else text


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cell for name, cell in row.items() if name != ROW_NUMBER}


def _in_words(raw: Mapping[str, Any]) -> str:
    return ", ".join(text for value in raw.values() if (text := _value_in_words(value)))


def _value_in_words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return str(value.get("name") or "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "empty"
