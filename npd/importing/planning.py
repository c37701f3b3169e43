"""What a file would write, row by row. Nothing is written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from npd.importing.columns import MODELS, NPD_ID, Column, labels_of, plain
from npd.importing.matching import Known, by_id, canonical
from npd.importing.models import Outcome
from npd.importing.naming import Named, NotFound
from npd.importing.tables import Row, Table
from sync import registry
from sync.engine.values import raw_of_fields, to_store
from sync.models import SyncedModel


@dataclass(frozen=True)
class Options:
    """What a person chose: whether empty cells empty fields, and whether missing organizations are made."""

    clear_empty: bool = False
    make_organizations: bool = False


@dataclass
class Planned:
    """What a row comes to; see ImportRow for its parts."""

    row: Row
    texts: Mapping[str, str]
    outcome: Outcome = Outcome.UNCHANGED
    record: SyncedModel | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, what: str, label: str = "", *, ambiguous: bool = False) -> None:
        """Let nothing be written for this row, and say why."""
        self.outcome = Outcome.AMBIGUOUS if ambiguous else Outcome.INVALID
        self.problems.append((label, what))

    @property
    def refused(self) -> bool:
        """Whether nothing is written for it."""
        return bool(self.problems)


class Plan:
    """The plan of a whole file: `rows`, and `organizations` that would be made, {id: name}."""

    def __init__(self, entity_type: str, table: Table, columns: Sequence[Column], options: Options) -> None:
        self.entity_type, self.options = entity_type, options
        self.labels = labels_of(entity_type)
        self.key_field = registry.entity(entity_type).match_key
        self.rows = [Planned(row, _texts(row, columns)) for row in table.rows]
        for planned in self.rows:
            self._check_shape(planned, table.titles, columns)
        self._find()
        self.named = Named(entity_type, [p.texts for p in self.rows], make=options.make_organizations)
        for planned in self.rows:
            if not planned.refused:
                self._compare(planned)
        wanted = {str(raw["id"]) for p in self.rows for raw in _references(p)}
        self.organizations = {key: name for key, name in self.named.to_make.items() if key in wanted}

    def _check_shape(self, planned: Planned, titles: Sequence[str], columns: Sequence[Column]) -> None:
        row = planned.row
        if any(row.cells[len(titles) :]):
            planned.refuse(
                f"The row has more cells ({len(row.cells)}) than there are titles ({len(titles)}). Probably a "
                "value holds "
                "the separator: put it into quotation marks."
            )
        elif [plain(cell) for cell in row.cells] == [plain(title) for title in titles]:
            planned.refuse("The row repeats the titles. Remove it.")
        for column in columns:
            if column.field and column.position in row.broken:
                planned.refuse(row.broken[column.position], column.label)

    # --- who a row is about ---

    def _find(self) -> None:
        texts = [planned.texts for planned in self.rows]
        ids = by_id(self.entity_type, {key for text in texts if (key := _as_id(text.get(NPD_ID, "")))})
        known = Known(self.entity_type, self.key_field, [text.get(self.key_field, "") for text in texts])
        names = known
        if self.key_field != "name":
            nameless = [t.get("name", "") for t in texts if not t.get(self.key_field)]
            names = Known(self.entity_type, "name", nameless)
        numbers: dict[str, list[int]] = {}
        keys: dict[int, str] = {}
        for planned in self.rows:
            if planned.refused:
                continue
            self._find_one(planned, ids, known, names)
            keys[planned.row.number] = self._identity(planned, known, names)
            numbers.setdefault(keys[planned.row.number], []).append(planned.row.number)
        for planned in self.rows:
            same = numbers.get(keys.get(planned.row.number, ""), [])
            if len(same) > 1 and not planned.refused:
                others = ", ".join(str(number) for number in same if number != planned.row.number)
                planned.refuse(
                    f"The file has this {self.entity_type} more than once (also row {others}). Keep one of the rows.",
                    ambiguous=True,
                )

    def _find_one(
        self, planned: Planned, ids: Mapping[UUID, SyncedModel], known: Known, names: Known
    ) -> None:
        texts = planned.texts
        if npd_id := texts.get(NPD_ID):
            key = _as_id(npd_id)
            planned.record = ids.get(key) if key else None
            if planned.record is None:
                planned.refuse(
                    f"There is no {self.entity_type} with the NPD ID “{npd_id}”. Correct it, or empty the cell to "
                    "match by "
                    f"{self.labels[self.key_field].lower()}.",
                    self.labels[NPD_ID],
                )
        elif text := texts.get(self.key_field):
            self._find_by_key(planned, known, text)
        elif texts.get("name") and names.nearly(texts["name"]):
            planned.refuse(
                f"A {self.entity_type} of this name is in NPD, but without {self.labels[self.key_field].lower()} "
                "nobody can tell whether it is the same. Add it, or the NPD ID.",
                self.labels["name"],
                ambiguous=True,
            )

    def _find_by_key(self, planned: Planned, known: Known, text: str) -> None:
        label, found, near = self.labels[self.key_field], known.exactly(text), known.nearly(text)
        if len(found) == 1:
            planned.record = found[0]
        elif found:
            planned.refuse(
                f"{len(found)} {self.entity_type}s have this {label.lower()} “{text}”. Add a column NPD ID that "
                "says which.",
                label,
                ambiguous=True,
            )
        elif near:
            planned.refuse(
                f"It differs from “{getattr(near[0], self.key_field)}”, which is in NPD, in capital letters "
                "only. Spell it "
                "as there, or add the NPD ID.",
                label,
                ambiguous=True,
            )

    def _identity(self, planned: Planned, known: Known, names: Known) -> str:
        """What two rows about the same record share."""
        if planned.record is not None:
            return str(planned.record.pk)
        if text := planned.texts.get(self.key_field):
            return f"key {known.key(text).lower()}"
        name = names.key(planned.texts.get("name", "")).lower()
        return f"name {name}" if name else f"row {planned.row.number}"

    # --- what it would write ---

    def _compare(self, planned: Planned) -> None:
        wanted = self._wanted(planned)
        if planned.refused:
            return
        record = planned.record
        model: Any = MODELS[self.entity_type]
        if record is not None:
            wanted = {name: raw for name, raw in wanted.items() if not self._same(record, name, raw)}
            planned.before = raw_of_fields(record, wanted)
        target = record if record is not None else model()
        for name, value in to_store(model, wanted).items():
            setattr(target, name, value)
        self._clean(planned, target, {*wanted, *(() if record else ("name",))})
        if planned.refused:
            return
        planned.after = {
            name: raw if _is_reference(raw) else raw_of_fields(target, [name])[name]
            for name, raw in wanted.items()
        }
        if record is None:
            planned.outcome = Outcome.NEW
        elif wanted:
            planned.outcome = Outcome.CHANGED

    def _wanted(self, planned: Planned) -> dict[str, Any]:
        """The raw value that the row gives each field; an empty cell gives none unless it was asked to empty."""
        model: Any = MODELS[self.entity_type]
        wanted: dict[str, Any] = {}
        for name, text in planned.texts.items():
            if name == NPD_ID or (not text and not (self.options.clear_empty and planned.record is not None)):
                continue
            try:
                if name in self.named.targets:
                    wanted[name] = self.named.reference(name, text) if text else None
                elif model._meta.get_field(name).get_internal_type() == "ArrayField":
                    wanted[name] = [
                        part.strip() for part in text.replace("\n", ";").split(";") if part.strip()
                    ]
                else:
                    wanted[name] = text.replace("\r\n", "\n").replace("\r", "\n")
            except NotFound as error:
                planned.refuse(str(error), self.labels[name], ambiguous="are called" in str(error))
        return wanted

    def _same(self, record: SyncedModel, name: str, raw: Any) -> bool:
        if name in self.named.targets:
            now = getattr(record, f"{name}_id")
            return (str(now) if now else None) == (raw["id"] if raw else None)
        now = getattr(record, name)
        return bool(
            now == raw or canonical(self.entity_type, name, now) == canonical(self.entity_type, name, raw)
        )

    def _clean(self, planned: Planned, target: SyncedModel, touched: set[str]) -> None:
        """Check what is written by the model's own rules; of relations, who they name was looked up."""
        checked = touched - set(self.named.targets)
        exclude = {f.name for f in target._meta.concrete_fields if f.name not in checked}
        try:
            target.full_clean(exclude=exclude, validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                label = self.labels.get(name, "")
                planned.refuse(f"{' '.join(messages)} {_hint(planned.texts.get(name, ''))}", label)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows come to what."""
        counted = Counter(str(planned.outcome.value) for planned in self.rows)
        return {outcome: counted.get(outcome, 0) for outcome in Outcome.values}


def _texts(row: Row, columns: Sequence[Column]) -> dict[str, str]:
    cells = row.cells
    return {c.field: cells[c.position] if c.position < len(cells) else "" for c in columns if c.field}


def _hint(text: str) -> str:
    if not text:
        return _("Fill the cell.")
    return _("The cell says “%(text)s”. Correct it and import the row again.") % {"text": text[:80]}


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_reference(raw: Any) -> bool:
    return isinstance(raw, dict)


def _references(planned: Planned) -> list[dict[str, Any]]:
    return [raw for raw in planned.after.values() if _is_reference(raw)]
