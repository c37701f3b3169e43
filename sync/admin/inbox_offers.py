"""What can be done with entries of the inbox, and what is said above those of one cause.

An application that keeps entries of its own kinds registers its own (`register_action`, `register_lead`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from sync import registry
from sync.admin.confirmed_action import Question
from sync.kernel import humanize
from sync.operations import attention
from sync.operations.attention import AttentionCause, AttentionEntry, AttentionKind, SideValues


@dataclass(frozen=True)
class ActionResult:
    """What came of an act: how many entries it was done with, a sentence, and why others were left.

    `undo` has a text for each entry with which the action's `undo` takes it back. `outcome` is the sentence once the
    jobs of its entries, or of these `items`, are done: until then the inbox shows how far they are.
    """

    done: int
    sentence: str = ""
    problems: Sequence[str] = ()
    undo: Sequence[str] = ()
    outcome: str = ""
    items: Sequence[str] = ()


@dataclass(frozen=True)
class InboxAction:
    """One act: a button of rows and of the selected ones. `shortcut` is its key, `labels` what it is called for a kind.

    `effects` says for a kind what it does, where the mouse rests on the button. Both may be by the code of a cause
    instead, which comes first. One that `deletes` is red.

    `page` prepares it for many on a page of its own, which asks and shows how far it is, and returns the address; empty
    where that page takes none of them. An act without `run` is always done there, another for all that match alone.

    With `names_type` the “record” of its label is the entry's type on a row. `many` is what it is called for all of one
    cause, with their {number}, or as so many {records} or {items}; without, it is offered for one by one. `of_cause`:
    it stands above the entries of a cause alone, for all of them. `by_choice`: it stands beside the row's choice of a
    column, and is offered where there is one. `again` is what it is called for a job that is tried again anyway, which
    nothing else can be done with. `consequences` say instead of both labels what it does, by the code of
    the cause. `may` is the right that it asks for, without one that of its entries' kind.
    `fits` says whether it makes sense for an entry of its kinds, `by_entry` that the entry itself says so among its
    `acts`; `run` gets the values that each row showed, by key.
    `empties` are the values of an entry that it would empty, on the side that `emptied_side` names: such a button is
    red, says so, and asks.
    """

    name: str
    label: str
    kinds: frozenset[AttentionKind]
    run: Callable[[HttpRequest, Sequence[AttentionEntry], Mapping[str, Any]], ActionResult] | None
    shortcut: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    effects: Mapping[str, str] = field(default_factory=dict)
    names_type: bool = False
    deletes: bool = False
    many: str = ""
    consequences: Mapping[str, str] = field(default_factory=dict)
    of_cause: bool = False
    by_choice: bool = False
    again: str = ""
    page: Callable[[HttpRequest, Sequence[AttentionEntry], str], str] | None = None
    question: Callable[[HttpRequest, Sequence[AttentionEntry]], Question] | None = None
    undo: Callable[[HttpRequest, Sequence[str]], ActionResult] | None = None
    may: Callable[[Any, AttentionEntry], bool] = lambda user, entry: attention.may_act_on(
        user, entry.kind, entry.entity_type
    )
    fits: Callable[[AttentionEntry], bool] = lambda entry: True
    by_entry: bool = False
    empties: Callable[[AttentionEntry], Sequence[SideValues]] = lambda entry: ()
    emptied_side: str = ""

    def label_for(self, entry: AttentionEntry) -> str:
        if entry.failures:
            return self.again
        if self.empties(entry):
            return f"{self.emptying_label([entry])}…"
        if entry.cause_code in self.consequences:
            return self._counted(self.consequences[entry.cause_code], 1, entry.entity_type)
        label = self.labels.get(entry.cause_code) or self.labels.get(entry.kind, self.label)
        return label.replace("record", registry.type_name(entry.entity_type)) if self.names_type else label

    def effect_for(self, entry: AttentionEntry) -> str:
        """What it does with an entry; empty where its label says it."""
        return self.effects.get(entry.cause_code) or self.effects.get(entry.kind, "")

    def label_for_all(self, cause: AttentionCause) -> str:
        if self.of_cause and (cause.number == 1 or not self.many):
            return self.label
        own = self.labels.get(cause.code) or self.labels.get(cause.kind)
        label = f"{own}: all {{number}}…" if own else self.many
        return self._counted(self.consequences.get(cause.code, label), cause.number, cause.entity_type)

    def emptying_label(self, found: Sequence[AttentionEntry]) -> str:
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
        return self.many.replace("all {", "{")

    def is_for(self, user: Any, entry: AttentionEntry) -> bool:
        is_meant = entry.kind in self.kinds and (not entry.failures or bool(self.again))
        fits = self.name in entry.acts if self.by_entry else self.fits(entry)
        return is_meant and fits and self.may(user, entry)


ACTIONS: dict[str, InboxAction] = {}


def register_action(*actions: InboxAction) -> None:
    """Offer acts in the inbox."""
    ACTIONS.update((action.name, action) for action in actions)


@dataclass(frozen=True)
class GroupLead:
    """What is said above the entries of a cause: what happens and when, and a link to where else something is done."""

    sentence: str
    link: str = ""
    url: str = ""
    steps: str = ""


LeadLoader = Callable[[Sequence[AttentionCause], datetime, Any], Mapping[str, GroupLead]]
LEADS: dict[AttentionKind, LeadLoader] = {}


def register_lead(kind: AttentionKind, load: LeadLoader) -> None:
    """Let causes of a kind say what happens: `load` returns it by their names, at a moment, to a user."""
    LEADS[kind] = load
