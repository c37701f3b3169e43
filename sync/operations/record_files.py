"""Export, preview and import of a registered model's records as rows of a file.

A preview runs in a read-only transaction. An import is one transaction; the activity lists its changes as one batch,
which can be undone as usual. What becomes of a row is decided in `import_rows`.
"""

import csv
import io
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import pghistory
import tablib
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, transaction
from import_export.fields import Field
from import_export.resources import ModelResource, modelresource_factory
from import_export.results import Result
from import_export.widgets import Widget

from sync import registry
from sync.choices import ActivityKind, Priority, QueueStatus
from sync.clock import SyncNow
from sync.fields import field_values
from sync.fields.lookups import phone_region
from sync.kernel import as_uuid, grouped, humanize
from sync.kernel.db import limit_lock_waits, match_key_sql, run_sql, update_many
from sync.models import ActivityLine, SyncedModel, SyncQueue
from sync.monday.text_forms import key_spellings, match_key
from sync.operations.file_formats import CSV
from sync.operations.import_columns import (
    NAME_CHOICES,
    NPD_ID,
    PHONE_COUNTRY,
    REASON,
    field_label,
    has_name_parts,
    has_our_reasons,
    identifies_records,
    key_names,
    missing_key_note,
    remember_reasons,
    suggest_columns,
)
from sync.operations.import_rows import (
    REFUSE,
    Lookup,
    RowReader,
    import_rows,
    is_creatable,
    namesake_key,
    several_names,
    without_markup,
)
from sync.operations.workbooks import FileError
from sync.outbox import wakeups
from sync.records.authors import IMPORT_CAUSE, actor_label, log_model_action, person_line
from sync.words.message import Message, sentences

# An address on the web as people and CRMs write it.
_BARE_ADDRESS = re.compile(r"[\w-]+(\.[\w-]+)+([:/?#]\S*)?")

_LINE_BREAKS = re.compile(r"\s*\n\s*")

# So many made records are named in a sentence.
NAMED = 5


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
        if isinstance(self.field, models.CharField):
            value = _LINE_BREAKS.sub(" ", value)
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


class RecordResource(ModelResource):  # type: ignore[misc]
    """The base of each registered model's resource (`resource_of`); an instance serves one file."""

    def __init__(self, options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Read the form's `options`; without them, the resource only exports."""
        super().__init__()
        self.options = options or {}
        self.model: type[SyncedModel] = self._meta.model
        self.spec = registry.entity(self.model.entity_type())
        self.relations = {field.name: registry.target_of(field) for field in registry.own_relations(self.model)}
        self.own_fields = {name: field for name, field in self.fields.items() if name != "id"}
        self.batch_id = uuid.uuid4()
        # What each column of the file goes to: a field, a part of the name, a phone's country, or nothing.
        targets = {*self.fields, *NAME_CHOICES, PHONE_COUNTRY}
        self.columns: list[str] = [name if name in targets else "" for name in self.options.get("columns") or ()]

    def get_queryset(self) -> Any:
        return self.model.objects.select_related(*self.relations).order_by("pk")

    def filter_export(self, queryset: Any, **kwargs: Any) -> Any:
        return queryset.select_related(*self.relations)

    def import_data(self, dataset: Any, dry_run: bool = False, **kwargs: Any) -> Any:
        """Return the library's result, with what a preview shows; raises FileError, after which nothing is written.

        The library would write row by row, and for a preview roll that back, holding the records' locks meanwhile.
        """
        self.is_preview = dry_run
        self.user = kwargs["user"]
        self.file_name = str(kwargs.get("file_name") or "a file")[:200]
        context = pghistory.context(user=self.user.pk, cause=IMPORT_CAUSE, batch=str(self.batch_id))
        try:
            with transaction.atomic(), context:
                if self.is_preview:
                    run_sql("SET TRANSACTION READ ONLY")
                else:
                    types = [self.spec.entity_type]
                    if self.options.get("create_missing"):
                        types += [model.entity_type() for model in self.relations.values() if is_creatable(model)]
                    lock_imports(types)
                    limit_lock_waits()
                result = self._read_rows(dataset)
                if not self.is_preview:
                    self._import(result)
                return result
        except DatabaseError as error:
            first_line = str(error).strip().partition("\n")[0]
            raise FileError(f"{first_line.rstrip('.')}.") from error

    def _read_rows(self, dataset: Any) -> Any:
        """Return what becomes of each row, after reading all records of the rows and their relations in few queries."""
        *self.titles, _, _ = dataset.headers
        self.separator = getattr(dataset, "separator", ",")
        self.file_rows = list(dataset)
        self.columns = self.columns or suggest_columns(self.model, self.titles, self.file_rows)
        if not identifies_records(self.model, self.columns):
            known_titles = ", ".join(str(field.column_name) for field in self.fields.values())
            first_row = humanize.quote(", ".join(self.titles))
            raise FileError(
                f"No column tells which {self.model._meta.verbose_name} a row is about. The first row reads "
                f"{first_row}: are the titles in another row? Known titles: {known_titles}."
            )
        self.rows = import_rows(self.model, self.titles, self.columns, self.file_rows)
        blank = self.model()
        blank.installation_region = phone_region()
        fields = list(self.own_fields.values())
        reader = RowReader(blank, fields, self.options, self._records(), self._related_records())
        if has_name_parts(self.model):
            names = self.model.objects.values_list(str(self.spec.name_field), flat=True)
            reader.names_in_npd = set(map(namesake_key, names))
        result = Result()
        for row in self.rows:
            try:
                reader.read(row)
            except ValidationError as refused:
                row.refuse(refused.messages)
            result.append_row_result(row)
            result.increment_row_result_total(row)
        return self._summed_up(result)

    def _records(self) -> Lookup:
        """Read the records that the rows may be about."""
        records = self.get_queryset()
        if not self.is_preview:
            # All in one query in the order of ids, as passes lock them, else each could wait for the other's records.
            # NO KEY, so that rows pointing at these records can still be saved.
            records = records.select_for_update(no_key=True, of=("self",))
        names = key_names(self.model)
        ids = [key for row in self.rows if (key := as_uuid(row.keys["id"]))]
        named = models.Q(pk__any_of=ids)  # kernel/db.py: AnyOf
        return read_lookup(records, {name: {row.keys[name] for row in self.rows} for name in names}, named)

    def _related_records(self) -> dict[str, Lookup]:
        """Read the records that cells of each relation may name."""
        related = {}
        for name, model in self.relations.items():
            cells = {row.cells.get(name, "") for row in self.rows}
            plain = {without_markup(cell) for cell in cells}
            texts = {*cells, *plain, *(text for cell in plain for text in several_names(cell))}
            related[name] = read_lookup(model.objects.all(), dict.fromkeys(key_names(model), texts), models.Q())
        return related

    def _summed_up(self, result: Any) -> Any:
        """Return the result with what the pages say of all rows together."""
        result.invalid_rows = [row for row in result.rows if row.is_invalid()]
        result.written = [row for row in result.rows if row.is_new() or row.is_update()]
        result.ignored = [title for title, name in zip(self.titles, self.columns, strict=True) if title and not name]
        result.empty_note = ""
        if number := sum(row.empty_cells for row in result.valid_rows() if not self._is_left_out(row)):
            empty = humanize.count_with_noun(number, "empty cell leaves its field", "empty cells leave their fields")
            result.empty_note = f"{empty} in NPD unchanged."
        result.notes = [*missing_key_note(self.model, self.columns), *filter(None, [result.empty_note])]
        result.placeholders = [text for row in result.valid_rows() for text in row.placeholders]
        # Of the rows that are listed for them: what is refused for its name says nothing of its other values.
        is_listed = self.options.get("bad_values") == REFUSE
        listed = [row for row in result.rows if row.is_invalid() == is_listed]
        result.unknown_names = len({name for row in listed for name in row.unknown_names})
        result.national_numbers = sum(row.national_numbers for row in listed)
        result.made_names = sorted(map(field_values.record_name, self._new_related(result.written)))
        has_key_column = key_names(self.model)[0] in self.columns
        result.replaces_by_name = has_key_column and any(map(self._replaces_by_name, result.written))
        self.has_refused = any(map(self._reasons, result.rows))
        shown = [
            (row.number, row.import_type, row.diff, row.left_out, row.reasons, row.doubt, self._ids_in_npd(row))
            for row in result.rows
        ]
        # Two runs that find the same in NPD have the same digests. A new record's id is no part of it, because each run
        # makes another one.
        result.digest = " ".join(
            sha256(json.dumps(part).encode()).hexdigest()[:20] for part in (shown, *result.made_names)
        )
        return result

    def _import(self, result: Any) -> None:
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

    def _replaces_by_name(self, row: Any) -> bool:
        """Whether a row replaces values of a record that may be another person of the same name."""
        is_found_by_name = row.doubt and row.found_by == self.spec.name_field
        return bool(is_found_by_name and any(before for _, before, _ in row.diff))

    def _is_left_out(self, row: Any) -> bool:
        return bool(row.doubt and self.options.get("leave_out_warned"))

    def _reasons(self, row: Any) -> list[str]:
        """Return why a row isn't imported, or not whole."""
        if self._is_left_out(row):
            return [*row.left_out, row.doubt]
        return row.reasons or [*(f"Left out: {text}" for text in row.left_out), *row.further_values]

    def refused_file(self) -> bytes:
        """Return the rows that weren't imported, or not whole, in the file's own columns, with the reasons."""
        # It may be imported again as it is.
        width = len(self.titles) - (has_our_reasons(self.titles) and not self.columns[-1])
        rows = [
            [*cells[:width], " ".join(reasons), *cells[-1]]
            for row, cells in zip(self.rows, self.file_rows, strict=True)
            if (reasons := self._reasons(row))
        ]
        remember_reasons(self.titles[:width])
        # Cells without a title stay beyond the reason, so that such a row is refused again until it is mended.
        most_cells = max(map(len, rows))
        dataset = tablib.Dataset(*(row + [""] * (most_cells - len(row)) for row in rows))
        dataset.headers = [*self.titles[:width], REASON] + [""] * (most_cells - width - 1)
        return str(CSV().export_data(dataset, self.separator)).encode("utf-8-sig")

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
        groups += [(name, field.column_name, (name,)) for name, field in self.own_fields.items() if name not in mapped]
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


def read_lookup(records: models.QuerySet[Any], texts: Mapping[str, Iterable[str]], named: models.Q) -> Lookup:
    """Read, in one query, the records that are `named`, or have one of these texts in a field."""
    for field, field_texts in texts.items():
        keys = key_spellings(key for text in field_texts if (key := match_key(text)))
        records = records.alias(**{f"{field}_match_key": match_key_sql(field)})
        named |= models.Q(**{f"{field}_match_key__any_of": keys})
    return Lookup(records.model, texts, records.filter(named))


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
    return Message("made", made=" and ".join(numbers), names=humanize.listed([*names[:NAMED], *more]))


@cache
def resource_of(model: type[SyncedModel]) -> type[RecordResource]:
    """Return the resource of a registered model: its own fields, then the NPD ID."""
    relations = registry.own_relations(model)
    own = [field for field in registry.own_fields(model) if not field.is_relation or field in relations]
    fields = {field.name: Field(field.name, field_label(model, field.name), FieldWidget(field)) for field in own}
    fields["id"] = Field("id", NPD_ID, FieldWidget(model._meta.pk))
    resource: type[RecordResource] = modelresource_factory(model, RecordResource, {"fields": list(fields)}, fields)
    return resource
