"""A value that Monday refuses, made ready to be settled: what stands on each side, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from conflicts.around import Around
from conflicts.validation import problem_with_text
from sync.connectors.monday.converters import CannotSplit, Converter, UnknownValue
from sync.engine.planning import AS_SENT
from sync.engine.related import NotFound, Related
from sync.engine.showing import UNTOLD, Shown
from sync.engine.sightings import last_read
from sync.engine.typing_in import typed
from sync.engine.values import cleaned, raw_of, still_holds
from sync.models import FieldMapping, SyncedModel
from sync.refused import LEFT_BY, is_refused


class NoWay(ValueError):
    """A choice that can't be carried out; the message says why, as a sentence."""


class Case:
    """One field of one record; everything that is known of it, and the raw values that each choice would store."""

    def __init__(self, around: Around, key: str) -> None:
        self.around, self.key = around, key

    @classmethod
    def of(
        cls, entity_type: str, entity_id: UUID, key: str, known: Sequence[FieldMapping] = ()
    ) -> Case | None:
        """The case, or None where there is no such record or no such field on the board."""
        case = cls(Around(entity_type, entity_id, known), key)
        there = case.around.link is not None and case.mapping is not None
        return case if there and case.around.record is not None else None

    @cached_property
    def mapping(self) -> FieldMapping | None:
        """The field's mapping."""
        return next((one for one in self.around.mappings if one.key == self.key), None)

    @property
    def field(self) -> FieldMapping:
        """The field's mapping; there is one, or there would be no case."""
        assert self.mapping is not None
        return self.mapping

    @property
    def record(self) -> SyncedModel:
        """The record; there is one, or there would be no case."""
        assert self.around.record is not None
        return self.around.record

    @property
    def entry(self) -> Mapping[str, Any]:
        """What the ledger says of the value; empty where nothing is refused, or value or column are others by now."""
        found = self.around.ledger.held.get(self.key) if self.around.ledger else None
        if found is None or not is_refused(found) or not still_holds(self.record, found["local"]):
            return {}
        if (found["column"], found["version"]) != (self.field.column_id, self.field.version):
            return {}
        return dict(found)

    @property
    def reason(self) -> str:
        """What Monday says of it."""
        return str(self.entry.get("reason", ""))

    @property
    def left_by(self) -> Mapping[str, Any]:
        """Who left it in NPD, and when; empty where nobody did."""
        return dict(self.entry.get(LEFT_BY, {}))

    @property
    def waits(self) -> bool:
        """Whether it waits for a person: not where a conflict on the same field asks already."""
        told = self.around.ledger.conflicts if self.around.ledger else {}
        asked = {*told.get("fields", ()), *told.get("overwritten", ())}
        return bool(self.entry) and not self.left_by and self.record.may_sync and self.key not in asked

    @cached_property
    def shown(self) -> Shown:
        """The record's values in words."""
        assert self.around.link is not None
        return Shown(self.around.link, self.around.mappings, [self.record])

    @cached_property
    def convert(self) -> Converter:
        """The field's converter for this record."""
        return self.shown.board.converter(self.field, self.record)

    @cached_property
    def npd(self) -> str | None:
        """NPD's value, as a person reads it."""
        return self.shown.local(self.record, self.field, raw_of(self.record, self.field)) or None

    @cached_property
    def base(self) -> Mapping[str, Any] | None:
        """What both sides last agreed on, where that is about the present item and column."""
        entry = (self.around.ledger.base if self.around.ledger else {}).get(self.key)
        now = (self.record.monday_id, self.field.column_id, self.field.version)
        if entry is None or (entry["item"], entry["column"], entry["version"]) != now:
            return None
        return dict(entry)

    @property
    def read(self) -> tuple[Any] | None:
        """The raw value that the last look read on Monday, where one did: that of an empty cell is None."""
        return last_read(self.around.ledger, self.key) if self.around.ledger else None

    @property
    def _on_monday(self) -> Any:
        if self.read is not None:
            return self.read[0]
        return self.base["remote"] if self.base else None

    @cached_property
    def monday(self) -> str | None:
        """Monday's value as of the last look, as a person reads it; None where it is empty."""
        if self._on_monday is None:
            return None
        try:
            return self.convert.display(self.convert.remote(self._on_monday)) or None
        except UnknownValue:
            return UNTOLD

    def of_monday(self) -> dict[str, Any]:
        """The raw values that NPD would hold with Monday's value; raises NoWay."""
        if not self.record.monday_id:
            raise NoWay(
                _("The record has no item on Monday yet, so there is no value to take. Type another one.")
            )
        if self.monday is None and self.field.required:
            raise NoWay(
                _("%(field)s can’t be empty in NPD. Type another value.") % {"field": self.field.label}
            )
        now = raw_of(self.record, self.field)
        try:
            raw = self._taken(now)
            return cleaned(self.record, Related().completed(type(self.record), raw))
        except (UnknownValue, NotFound) as unknown:
            raise NoWay(_("Monday’s value can’t be taken: %(why)s") % {"why": unknown}) from unknown
        except ValidationError as refused:
            why = " ".join(refused.messages)
            raise NoWay(_("NPD can’t take Monday’s value: %(why)s") % {"why": why}) from refused

    def _taken(self, now: Mapping[str, Any]) -> dict[str, Any]:
        if self._on_monday is None:
            return dict.fromkeys(now)
        if self.base and not self.base.get(AS_SENT) and self._is_shown(self.base):
            return dict(self.base["local"])
        try:
            return dict(self.convert.to_local(self._on_monday, now))
        except CannotSplit:
            return dict(self.convert.from_text(self.monday or "", now))

    def _is_shown(self, base: Mapping[str, Any]) -> bool:
        """Whether NPD's half of the base reads as what is shown of Monday: what is shown is what is written."""
        same = self.convert.remote(base["remote"]) == self.convert.remote(self._on_monday)
        return same and (self.shown.local(self.record, self.field, base["local"]) or None) == self.monday

    def of_text(self, text: str) -> dict[str, Any]:
        """The raw values of a typed text, checked as NPD and Monday's column will; raises NoWay."""
        if "\x00" in text:
            raise NoWay(_("The text holds a NUL character, which neither side keeps. Type it again without."))
        if not text.strip() and self.field.required:
            raise NoWay(
                _("%(field)s can’t be empty in NPD. Type another value.") % {"field": self.field.label}
            )
        if problem := problem_with_text(self.around.mapped[self.key], self.record, text):
            raise NoWay(problem)
        return cleaned(self.record, typed(self.convert, self.record, self.field.fields, text))

    def why_not_monday(self) -> str:
        """Why Monday's value can't be taken, as a sentence; empty where it can."""
        try:
            self.of_monday()
        except NoWay as why:
            return str(why)
        return ""
