"""What an import makes of a file's rows: which cells count, which record a row is about, and what changes of it.

Nothing here asks the database: `record_files` reads what NPD holds before, and writes afterwards.
"""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import lru_cache
from html import unescape
from itertools import chain, islice
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from import_export.results import RowResult

from sync import registry
from sync.fields.lookups import canonical_value, complete_phone
from sync.kernel import as_uuid, humanize
from sync.models import SyncedModel
from sync.monday.columns.phones import MAX_SEARCHED, MIN_DIGITS, first_phone, region_code
from sync.monday.text_forms import email_address, match_key
from sync.operations.file_formats import plain_text
from sync.operations.import_columns import (
    LAST_FIRST,
    LAST_KIND,
    MAX_LABELS,
    MAX_TITLE,
    NAME_CHOICES,
    NAME_PARTS,
    NPD_ID,
    PHONE_COUNTRY,
    WORDS,
    converters_of,
    has_name_parts,
    is_fax,
    key_names,
    kind_order,
    label_places,
    places_of_fields,
)
from sync.operations.workbooks import MAX_ROWS, FileError

# What becomes of a row with a value that isn't valid; otherwise it is imported without that value.
REFUSE = "refuse"

# So many words with an @ of one cell are looked at, and a whole text of this length (with what a link may say).
MAX_ADDRESSES = 5
MAX_ADDRESS = 1_000
# A word without what stands around addresses; an apostrophe within an address is part of it.
_WORD = re.compile(r"""[^\s<>()\[\]"“”„«»{},;:|/]+""")
# Cells without a value, as databases, spreadsheets (in any language) and Python write them. “Null” is a name.
_NO_VALUE = re.compile(
    r"[-–—]+|[?？ ]+|n/a|N/A|NULL|null|None|NaN|nan|NaT|<NA>|undefined|[\[(](null|none|empty|blank|leer|vide)[\])]"
    r"|#(N/A|NV|N/D|[¡¿]?[^\W\d_a-z]+(/0)?[!?])|Err:\d+"
)
# The same as people write it, but before a surname these are initials.
_NOT_KNOWN = re.compile(r"[nN]\. ?[nNaA]\.?|k\. ?A\.?")
_NAME_WORD = re.compile(r"([^\s.-]+)(\.?)")
# How programs that calculate write codes: “10115.0”, “30 901820.0”.
_CODE = re.compile(r"[\d\s()+/-]+\.0")
_LINK = re.compile(r" \(https?://[^\s()]+\)")
_ENTITY = re.compile(r"&#?\w{2,8};")
WHOLE_DIGITS = 7  # a number with fewer doesn't count beside a longer one
# Of the values that further columns have for a field, so many are compared.
MOST_COMPARED = 8


class ImportRow(RowResult):  # type: ignore[misc]  # import_export has no types
    """A row of a file: its cells, what an import makes of it, and why."""

    def __init__(self, number: int | str, surplus: Sequence[str]) -> None:
        super().__init__()
        self.number = number  # in the spreadsheet
        self.surplus = surplus  # its cells to the right of the titles
        self.cells: dict[str, str] = {}  # the one that counts for each field
        self.other_cells: dict[str, list[str]] = {}  # the filled ones that don't count
        self.keys: dict[str, str] = {}  # by which its record is found, in the order in which they count
        self.found_by = ""  # the field of these keys
        self.country = ""  # of its phone number, if the file says it
        self.changed_names: set[str] = set()
        self.diff: list[tuple[str, str, str]] = []  # the label, the old and the new text of each changed field
        self.empty_cells = 0  # whose fields keep a value
        self.placeholders: list[str] = []  # what its cells have in place of a value
        self.reasons: list[str] = []  # why it isn't imported
        self.left_out: list[str] = []  # which of its values aren't, and why
        self.further_values: list[str] = []  # of cells whose first value is imported, and of further columns
        self.unknown_names: set[str] = set()  # of related records that an import could make
        self.national_numbers = 0  # that aren't valid in the country in which they are read
        self.doubt = ""  # why it may be about another record

    def refuse(self, reasons: list[str]) -> None:
        self.import_type = self.IMPORT_TYPE_INVALID
        self.reasons = reasons
        texts = (self.keys[name] for name in reversed(self.keys) if name != "id")
        self.object_repr = ", ".join(filter(None, texts))


class Lookup:
    """Records that cells of a file may name, by id or by the text of a field."""

    def __init__(self, model: type[SyncedModel], names: Iterable[str], records: Iterable[SyncedModel]) -> None:
        self.model = model
        self.by_id: dict[Any, SyncedModel] = {record.pk: record for record in records}
        self.by_field: dict[str, dict[str, list[SyncedModel]]] = {name: {} for name in names}
        for name, by_key in self.by_field.items():
            for record in self.by_id.values():
                if key := match_key(getattr(record, name)):
                    by_key.setdefault(key, []).append(record)

    def find(self, name: str, text: str) -> list[SyncedModel]:
        """Return the records with this text in a field, ignoring case, unless just one has the same case."""
        records = self.by_field[name].get(match_key(text), [])
        same_case = [record for record in records if getattr(record, name) == text]
        return same_case if len(same_case) == 1 else records

    def find_any(self, text: str) -> list[SyncedModel]:
        """Return the records with this text in the first field in which some have it."""
        return next(filter(None, (self.find(name, text) for name in self.by_field)), [])

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


def import_rows(
    model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str], file_rows: Iterable[Sequence[Any]]
) -> list[ImportRow]:
    """Return a file's rows, with the cells that count for each field; raises FileError for too many labels."""
    converters = converters_of(model)
    places = places_of_fields(model, titles, columns)
    labels = label_places(titles)
    if len({cells[place] for place in labels.values() for cells in file_rows}) > MAX_LABELS:
        label_titles = humanize.quote(", ".join(titles[place] for place in labels.values())[:MAX_TITLE])
        raise FileError(f"{label_titles} have more than {MAX_LABELS:,} different texts. Rename these columns.")
    rows = []
    for *cells, number, surplus in file_rows:
        row = ImportRow(number, surplus)
        for name, field_places in places.items():
            converter = converters.get(name, "")
            filled = [place for place in field_places if has_value(cells[place])]
            counting = _places_by_label(converter, titles, filled, labels, cells)
            first = _first_place(converter, counting, cells) if counting else field_places[0]
            row.cells[name] = "" if filled and not counting else cells[first]
            row.other_cells[name] = [cells[place] for place in filled if cells[place] != row.cells[name]]
        _join_name(row, registry.name_field(model) or "")
        row.country = region_code(row.cells.pop(PHONE_COUNTRY, "")) or ""
        for name in ("id", *key_names(model)):
            text = row.cells.get(name, "")
            # Two rows with the same invalid address need not be about the same person.
            row.keys[name] = next(iter(email_addresses(text)), "") if converters.get(name) == "email" else text
        rows.append(row)
    return rows


def _places_by_label(
    converter: str, titles: Sequence[str], places: list[int], labels: Mapping[int, int], cells: Sequence[str]
) -> list[int]:
    """Return a field's columns in the order in which they count in a row, where labels beside them tell their kinds.

    Without those of numbers at which nobody answers.
    """
    if converter not in ("phone", "email") or labels.keys().isdisjoint(places):
        return places
    texts = {place: cells[labels[place]] for place in places if place in labels}
    if converter == "phone":
        places = [place for place in places if not is_fax(texts.get(place, ""))]
    orders = {place: kind_order(titles[place]) for place in places}
    orders |= {place: kind_order(texts[place], LAST_KIND) for place in places if texts.get(place)}
    return sorted(places, key=orders.__getitem__)


def _first_place(converter: str, places: Sequence[int], cells: Sequence[str]) -> int:
    """Return the column of a row's first value.

    One without an address, or with too few or only equal digits for a number, doesn't count beside one that has it.
    """
    if converter == "email":
        return next((place for place in places if email_addresses(cells[place])), places[0])
    if converter != "phone" or len(places) == 1:
        return places[0]
    digits = {place: [sign for sign in cells[place][:MAX_SEARCHED] if sign.isdecimal()] for place in places}
    whole = (place for place in places if len(digits[place]) >= WHOLE_DIGITS and len(set(digits[place])) > 1)
    # Without a whole number the longest counts, of those that may be numbers the first.
    return next(whole, max(places, key=lambda place: min(len(digits[place]), MIN_DIGITS)))


def _join_name(row: ImportRow, name_field: str) -> None:
    """Set a person's name from the columns of its parts, unless its own column has one."""
    parts = [row.cells.pop(name) for name in NAME_PARTS if name in row.cells]
    parts = parts or _reversed_name(row.cells.pop(LAST_FIRST, ""))
    if parts and not has_value(row.cells.setdefault(name_field, "")):
        parts = [part for part in parts if part and not _NO_VALUE.fullmatch(part)]
        while parts and not has_value(parts[-1]):
            parts.pop()
        row.cells[name_field] = " ".join(parts)
    names = (name_field, *NAME_CHOICES)
    row.other_cells[name_field] = list(chain.from_iterable(row.other_cells.get(name, ()) for name in names))


class RowReader:
    """Reads the rows of one file, one after the other.

    `fields` are the resource's own; `records` are those that rows may be about, `related` those that cells of each
    relation may name.
    """

    def __init__(
        self,
        blank: SyncedModel,
        fields: Sequence[Any],
        options: Mapping[str, Any],
        records: Lookup,
        related: Mapping[str, Lookup],
    ) -> None:
        self.blank = blank  # what a new record is copied from: making each by its class would take a fifth of a preview
        self.fields = fields
        self.options = options
        self.records = records
        self.related = related
        self.model = type(blank)
        self.spec = registry.entity(self.model.entity_type())
        self.noun = str(self.model._meta.verbose_name)
        self.labels = {field.attribute: str(field.column_name) for field in fields}
        self.converters = converters_of(self.model)
        self.column_names = {field.name for field in self.model._meta.concrete_fields}
        self.blank_texts = {field.attribute: field.export(blank) for field in fields}
        self.first_rows: dict[object, int | str] = {}  # the number of the row that is imported about each record
        # Of people, by `namesake_key`: all names in NPD, and the first row that makes a record of each name.
        self.names_in_npd: set[str] = set()
        self.rows_of_names: dict[str, int | str] = {}

    def read(self, row: ImportRow) -> None:
        """Set what an import makes of a row; raises ValidationError if it is refused."""
        if row.surplus:
            raise ValidationError(
                "It has more cells than there are titles. Put a value that holds a separator in quotes."
            )
        record, identity = self._match(row)
        if first := self.first_rows.get(identity):
            problem = f"Row {first} is about the same {self.noun}, and only that row is imported."
            raise ValidationError(f"{problem} If it lacks something, copy it there.")
        row.original = record or self.blank
        row.instance = copy(row.original)
        row.instance.installation_region = self.blank.installation_region
        if record is None:
            row.instance.pk = uuid.uuid4()
        problems = {}
        # Relations first: phone numbers have the country of their record's organization.
        for field in sorted(self.fields, key=lambda field: field.attribute not in self.related):
            try:
                self._read_cell(row, field)
            except ValueError as error:
                problems[field.attribute] = str(error)
        row.changed_names = self._changed_names(row)
        if record is None or problems or row.changed_names:
            self._validate(row, problems)
            row.changed_names = self._changed_names(row)  # a number that got its country may be the one in NPD
        row.add_instance_info(row.instance)
        changed = [field for field in self.fields if field.attribute in row.changed_names]
        texts = self.blank_texts if record is None else {field.attribute: field.export(record) for field in changed}
        row.diff = [(field.column_name, texts[field.attribute], field.export(row.instance)) for field in changed]
        row.import_type = row.IMPORT_TYPE_NEW if record is None else row.IMPORT_TYPE_UPDATE
        if not row.diff:
            row.import_type = row.IMPORT_TYPE_SKIP
        if identity:
            self.first_rows[identity] = row.number
        row.doubt = self._doubt(row)

    def _match(self, row: ImportRow) -> tuple[SyncedModel | None, object]:
        """Return a row's record, and a key that is equal for all rows about the same record.

        The record is None if it is new. Raises ValidationError if it is unclear.
        """
        if row.keys["id"]:
            row.found_by = "id"
            record = self.records.by_id.get(as_uuid(row.keys["id"]))
            if record is None:
                raise ValidationError(
                    f"There is no {self.noun} with this NPD ID. Empty the cell to find it by what else the row says."
                )
            return record, record.pk
        for name in self.records.by_field:
            row.found_by = name
            text = row.keys[name]
            records = self.records.find(name, text)
            if len(records) > 1:
                several = (
                    f"{len(records)} {self.model._meta.verbose_name_plural} have this {self.labels[name].lower()}."
                )
                raise ValidationError(f"{several} Add their NPD ID.")
            if records:
                return records[0], records[0].pk
            if text:
                return None, (name, match_key(text))
        return None, None

    def _read_cell(self, row: ImportRow, field: Any) -> None:
        """Set a field if its cell differs from the record; raises ValueError, a problem of the field."""
        name = field.attribute
        text = row.cells.get(name)
        if text is None:
            return
        others = row.other_cells.get(name)
        if others and self._are_several(row, name, [text, *others]):
            values = humanize.quote("; ".join(others))
            row.further_values.append(f"{field.column_name}: another column counts, so {values} isn't imported.")
        is_new = row.original is self.blank
        if not is_new and self._is_unchanged(row, field, text):
            return
        is_value = has_value(text)
        if text and not is_value:
            row.placeholders.append(text)
        if is_value:
            first = self._first_value(row, name, text)
            if not is_new and first != text and self._is_unchanged(row, field, first):
                return
            text = first
        elif is_new or not self.options.get("clear_empty"):
            row.empty_cells += not is_new
            return
        else:
            text = ""
        if name in self.related:
            setattr(row.instance, name, self._related_record(row, name, text) if text else None)
            return
        # Validators would read a long text to its end.
        most = field.widget.field.max_length
        if most and len(text) > most:
            raise ValueError(f"Write at most {most} characters; it has {len(text):,}.")
        setattr(row.instance, name, field.widget.clean(text))

    def _is_unchanged(self, row: ImportRow, field: Any, text: str) -> bool:
        """Whether a record's value and a cell are equal, as the sync compares values."""
        name = field.attribute
        value = getattr(row.original, name)
        if value == text or plain_text(field.widget.render(value)) == text:
            return True
        if not isinstance(value, str) or not text or not value:
            return False
        if name in self.records.by_field and row.found_by != "id":
            # The record was found by this field, ignoring case. A row with an NPD ID may correct the case.
            return match_key(text) == match_key(value)
        region = self._region_of(row, row.original)
        canonical = canonical_value(self.spec.entity_type, name, text, region)
        return bool(canonical == canonical_value(self.spec.entity_type, name, value, region))

    def _first_value(self, row: ImportRow, name: str, text: str) -> str:
        """Return the first value in a cell, and note which others aren't imported; any other text as it is."""
        converter = self.converters.get(name)
        others: Sequence[str] = ()
        if text.endswith(".0") and converter != "long_text" and _CODE.fullmatch(text):
            text = text.removesuffix(".0")
        if converter == "email" and (addresses := email_addresses(text)):
            text = addresses[0]
            others = addresses[1:]
        elif converter == "phone":
            text, rest = first_phone(text, self._region_of(row, row.instance))
            others = [rest.strip(" ,;:|/")] if any(map(str.isdecimal, rest)) else []
            if region := row.country or self.options.get("region"):
                text = complete_phone(text, region)
        elif name in self.related:
            text, *others = self._names_in(name, text)
        if others:
            values = humanize.quote("; ".join(others))
            row.further_values.append(f"{self.labels[name]}: only the first one counts, so {values} isn't imported.")
        return text

    def _names_in(self, name: str, text: str) -> list[str]:
        """Return the names of related records in a cell; “Nova, Inc.” is one."""
        plain = without_markup(text)
        for whole in (text, plain):
            if self.related[name].find_any(whole):
                return [whole]
        names = several_names(plain)
        is_list = {";", "\n"}.intersection(plain) or _LINK.search(text) or all(map(self.related[name].find_any, names))
        return names if names and is_list else [plain]

    def _related_record(self, row: ImportRow, name: str, text: str) -> SyncedModel:
        """Return the record that a cell names; raises ValueError if there isn't one, or if there are several."""
        lookup = self.related[name]
        records = lookup.find_any(text)
        if len(records) == 1:
            return records[0]
        if not records and is_creatable(lookup.model):
            if self.options.get("create_missing"):
                return lookup.create(text)
            row.unknown_names.add(match_key(text))
        names = lookup.model._meta
        subject = f"Several {names.verbose_name_plural} are" if records else f"No {names.verbose_name} is"
        raise ValueError(f"{subject} called {humanize.quote(text)}.")

    def _region_of(self, row: ImportRow, record: SyncedModel) -> str:
        chosen = row.country or self.options.get("region")
        return chosen or record.sync_region() or self.blank.installation_region

    def _are_several(self, row: ImportRow, name: str, texts: Sequence[str]) -> bool:
        """Whether cells have several values, as an import compares them: “030 901820” may be “+49 30 901820”."""
        region = self._region_of(row, row.instance)
        converter = self.converters.get(name)
        texts = list(dict.fromkeys(texts))[:MOST_COMPARED]
        if converter == "phone":
            # Parsing all would take a fifth of a preview.
            if len({"".join(filter(str.isdecimal, text))[-MIN_DIGITS:] for text in texts}) > 1:
                return True
            texts = [first_phone(text, region)[0] for text in texts]
        elif converter == "email":
            texts = [next(iter(email_addresses(text)), text) for text in texts]
        return len({match_key(canonical_value(self.spec.entity_type, name, text, region)) for text in texts}) > 1

    def _changed_names(self, row: ImportRow) -> set[str]:
        # By value, because two related records may have the same name.
        return {name for name in self.labels if getattr(row.instance, name) != getattr(row.original, name)}

    def _validate(self, row: ImportRow, problems: dict[str, str]) -> None:
        """Leave out what the model's own rules refuse; raises ValidationError if the row is refused for it."""
        instance = row.instance
        names = self.labels.keys() if row.original is self.blank else row.changed_names
        exclude = self.column_names - (names - self.related.keys() - problems.keys())
        try:
            # Not full_clean(), which queries the database for each constraint and relation of each row.
            instance.clean_fields(exclude=exclude)
            instance.clean()
            instance.validate_unique(exclude=exclude)
        except ValidationError as refused:
            for name, errors in refused.update_error_dict({}).items():
                texts = chain.from_iterable(["It is empty."] if e.code == "blank" else e.messages for e in errors)
                problems[name] = " ".join(texts)
        refusals = []
        for name, problem in problems.items():
            cell = row.cells.get(name, "")
            row.national_numbers += self.converters.get(name) == "phone" and _is_national_number(cell)
            read = f" It reads {humanize.quote(cell)}." if cell and cell not in problem else ""
            if name not in self.labels:
                refusals.append(f"{problem}{read}")
            elif name == self.spec.name_field or self.options.get("bad_values") == REFUSE:
                refusals.append(f"{self.labels[name]}: {problem}{read}")
            else:
                setattr(instance, name, getattr(row.original, name))
                row.left_out.append(f"{self.labels[name]}: {problem}{read}")
        if refusals:
            raise ValidationError(refusals)

    def _doubt(self, row: ImportRow) -> str:
        """Return why a row may be about another record than the one that it makes or changes; empty if it isn't."""
        name = self.spec.name_field or ""
        key = next(iter(self.records.by_field))
        label = self.labels[key].lower()
        if row.is_new() and has_name_parts(self.model):
            # A record, or a row before, has the row's name, and the row's other values didn't match it.
            namesakes = namesake_key(row.keys[name])
            first = self.rows_of_names.setdefault(namesakes, row.number)
            namesake = f"Row {first}" if first != row.number else ""
            if namesakes in self.names_in_npd:
                namesake = f"A {self.noun} in NPD"
            return f"{namesake} has this name, but another {label} or none." if namesake else ""
        if not row.is_update():
            return ""
        if row.found_by == name and name != key:
            value = getattr(row.original, key)
            has = f"has the {label} {value}" if value else f"has no {label}"
            return f"Found by its name alone. The {self.noun} of this name in NPD {has}."
        if name in row.changed_names and match_key(getattr(row.original, name)) != match_key(row.keys[name]):
            return f"Found by its {NPD_ID if row.found_by == 'id' else label}, and renamed."
        return ""


def is_creatable(model: type[SyncedModel]) -> bool:
    """Whether a new record needs only its name, which is then its match key."""
    return registry.match_field(model) == registry.name_field(model)


def _is_national_number(text: str) -> bool:
    return not text.startswith(("+", "00")) and sum(map(str.isdecimal, text[:MAX_SEARCHED])) >= MIN_DIGITS


# --- what is in a cell ---


def has_value(cell: str) -> bool:
    return bool(cell) and not (_NO_VALUE.fullmatch(cell) or _NOT_KNOWN.fullmatch(cell))


def _reversed_name(text: str) -> list[str]:
    """Return the parts of a name, of “Ace, Ann” the first name first."""
    parts = text.split(",")
    return [part.strip() for part in reversed(parts)] if len(parts) == 2 else [text] * bool(text)


def namesake_key(name: str) -> str:
    """Return what is equal for a person's name, also with titles or as “Ace, Ann”; only for warnings."""
    words = []
    for part in reversed(match_key(name).split(",")):
        is_behind_title = False
        for word, stop in _NAME_WORD.findall(part):
            may_be_title = word in WORDS["title_or_name"] and (stop or is_behind_title)
            is_behind_title = may_be_title or word in WORDS["name_title"]
            words += [] if is_behind_title else [word]
    return " ".join(words) or match_key(name)


def without_markup(name: str) -> str:
    """Return a name without what programs write into it and behind it: “Nova &amp; Co”, “Nova (https://…)”."""
    return _LINK.sub("", _ENTITY.sub(lambda entity: unescape(entity[0]), name))


def several_names(text: str) -> list[str]:
    """Return the names in a cell of several: “Nova;Orbit”, or “Nova, Orbit”, which may be one; none if it is one."""
    sign = next((sign for sign in ";\n," if sign in text), "")
    names = dict.fromkeys(filter(None, map(str.strip, text.split(sign)))) if sign else {}
    return list(names)


@lru_cache(maxsize=2 * MAX_ROWS)  # an import asks several times for each cell
def email_addresses(text: str) -> tuple[str, ...]:
    """Return the valid addresses in a text, each once: of “Ann <a@x.org>; b@x.org” both."""
    if "@" not in text:
        return ()
    if len(text) <= MAX_ADDRESS:
        whole = email_address(text.lstrip("'"))  # by which spreadsheets mark a text
        if _is_email_address(whole):
            return (whole,)
    by_key: dict[str, str] = {}
    words = (match[0] for match in _WORD.finditer(text) if "@" in match[0])
    for word in islice(words, MAX_ADDRESSES):
        address = email_address(word.strip("'"))
        if _is_email_address(address):
            by_key.setdefault(address.lower(), address)
    return tuple(by_key.values())


def _is_email_address(text: str) -> bool:
    with suppress(ValidationError):
        validate_email(text)
        return True
    return False
