"""What can be done with the entries of Home, and what is said above those of one cause.

An application that keeps entries of its own kinds registers its own (`register_action`, `register_lead`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import HttpRequest

from conflicts.reports import OPTION_ACTS
from sync import attention, registry
from sync.admin.confirmed_action import Question
from sync.attention import Entry, Group, Kind, SideValues, Wording
from sync.kernel import humanize
from sync.kernel.acts import Act
from sync.models import FieldMapping
from sync.records.availability import Overview


@dataclass(frozen=True)
class ActionResult:
    """What came of an act."""

    done: int  # entries it was done with
    sentence: str = ""
    problems: Sequence[str] = ()  # why others were left alone
    undo: Sequence[str] = ()  # a text for each entry, with which the action's `undo` takes it back
    # The sentence once the jobs of the entries, or of these items, are done: Home shows how far they are.
    outcome: str = ""
    items: Sequence[str] = ()


@dataclass(frozen=True)
class InboxAction:
    """How an act is done with entries: a button of rows, of the selected ones, and of all entries of a cause."""

    act: Act
    kinds: frozenset[Kind]
    # It gets the values that each row showed, by key. Without it, the act is always done on its `page`.
    run: Callable[[HttpRequest, Sequence[Entry], Mapping[str, Any]], ActionResult] | None
    code: str = ""  # where several ways of doing one act are told apart
    labels: Mapping[str, str] = field(default_factory=dict)  # what it is called, by the code of a cause or by kind
    effects: Mapping[str, str] = field(default_factory=dict)  # what it does, by the same; shown by the mouse
    consequences: Mapping[str, str] = field(default_factory=dict)  # instead of both labels, by the code of the cause
    of_cause: bool = False  # it stands above the entries of a cause alone, for all of them
    again: str = ""  # what it is called for a job that is tried again anyway; nothing else is offered for such a job
    # Prepares it for many on a page of its own, and returns the address; empty where that page takes none of them.
    page: Callable[[HttpRequest, Sequence[Entry], str], str] | None = None
    question: Callable[[HttpRequest, Sequence[Entry]], Question] | None = None
    undo: Callable[[HttpRequest, Sequence[str]], ActionResult] | None = None
    may: Callable[[Any, Entry], bool] | None = None  # instead of the act's own rights
    fits: Callable[[Entry], bool] = lambda entry: True  # whether it makes sense for an entry of its kinds
    # The values of an entry that it would empty, on the side that `emptied_side` names: such a button is red, and asks.
    empties: Callable[[Entry], Sequence[SideValues]] = lambda entry: ()
    emptied_side: str = ""

    @property
    def name(self) -> str:
        return self.code or self.act.code

    @property
    def label(self) -> str:
        return self.act.button

    @property
    def many(self) -> str:
        return self.act.many

    @property
    def shortcut(self) -> str:
        return self.act.key

    @property
    def deletes(self) -> bool:
        return self.act.deletes

    def label_for(self, entry: Entry) -> str:
        if entry.failures:
            return self.again
        if self.empties(entry):
            return f"{self.emptying_label([entry])}…"
        if entry.cause_code in self.consequences:
            return self._counted(self.consequences[entry.cause_code], 1, entry.entity_type)
        label = self.labels.get(entry.cause_code) or self.labels.get(entry.kind, self.label)
        is_of_type = self.act.code == CREATE_RECORD
        return label.replace("record", registry.type_name(entry.entity_type)) if is_of_type else label

    def effect_for(self, entry: Entry) -> str:
        """What it does with an entry."""
        return self.effects.get(entry.cause_code) or self.effects.get(entry.kind, self.act.effect)

    def label_for_all(self, cause: Group) -> str:
        if self.of_cause and (cause.number == 1 or not self.many):
            return self.label
        own = self.labels.get(cause.code) or self.labels.get(cause.kind)
        label = f"{own}: all {{number}}…" if own else f"{self.many.replace('{number}', 'all {number}')}…"
        return self._counted(self.consequences.get(cause.code, label), cause.number, cause.entity_type)

    def emptying_label(self, found: Sequence[Entry]) -> str:
        """What it is called where it empties values of these: “Empty Phone of 2 contacts in NPD”."""
        emptied = [value for entry in found for value in self.empties(entry)]
        labels, types = {value.label for value in emptied}, {entry.entity_type for entry in found}
        what = labels.pop() if len(labels) == 1 else humanize.count_with_noun(len(emptied), "value")
        if len(found) > 1:
            what += f" of {registry.count_of_type(len(found), types.pop() if len(types) == 1 else '')}"
        return f"Empty {what} {self.emptied_side}"

    @staticmethod
    def _counted(label: str, number: int, entity_type: str) -> str:
        records, items = registry.count_of_type(number, entity_type), humanize.count_with_noun(number, "item")
        fields = humanize.count_with_noun(number, "field")
        return label.format(number=f"{number:,}", records=records, items=items, fields=fields)

    @property
    def some(self) -> str:
        """What it is called for the {number}, {records} or {items} that are selected; empty where that is its label."""
        return f"{self.many}…" if self.many else ""

    def is_for(self, user: Any, entry: Entry) -> bool:
        is_meant = entry.kind in self.kinds and (not entry.failures or bool(self.again))
        fits = self.name in entry.acts if self.act.code in OF_ENTRIES else self.fits(entry)
        may = self.may(user, entry) if self.may else attention.may_do(user, self.act, entry.entity_type)
        return is_meant and fits and may


CREATE_RECORD = "create_record"
OF_ENTRIES = frozenset(OPTION_ACTS)
"""Of these a question, or a record whose item was removed, says itself whether they are possible."""


ACTIONS: dict[str, InboxAction] = {}


def register_action(*actions: InboxAction) -> None:
    """Offer acts on Home."""
    ACTIONS.update((action.name, action) for action in actions)


@dataclass(frozen=True)
class GroupLead:
    """What is said above the entries of a cause: what happens and when, and a link to where else something is done."""

    sentence: str
    link: str = ""
    url: str = ""
    steps: str = ""


LeadLoader = Callable[[Sequence[Group], Overview, Any], Mapping[str, GroupLead]]
LEADS: dict[Kind, LeadLoader] = {}


def register_lead(kind: Kind, load: LeadLoader) -> None:
    """Let causes of a kind say what happens: `load` returns it by their names, as the boards stand, to a user."""
    LEADS[kind] = load


# What each side has, of kinds whose application knows it.


ValuesLoader = Callable[[Sequence[Entry], Sequence[FieldMapping]], Mapping[str, Sequence[SideValues]]]
_values: dict[Kind, ValuesLoader] = {}


def register_values(kind: Kind, load: ValuesLoader) -> None:
    """Let entries of a kind say what each side has: `load` returns it by the entries' keys, given all mappings."""
    _values[kind] = load


def with_values(found: Sequence[Entry], wording: Wording) -> list[Entry]:
    """Return the entries with what each side has, of kinds that somebody knows it of."""
    values: dict[str, Sequence[SideValues]] = {}
    for kind, load in _values.items():
        values |= load([entry for entry in found if entry.kind is kind], list(wording.mappings.values()))
    return [replace(entry, values=tuple(values.get(entry.key, entry.values))) for entry in found]
