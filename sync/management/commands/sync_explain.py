"""manage.py sync_explain: explain a record: both sides, its next pass, its reasons to wait, and its activity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from sync import registry
from sync.boards import availability
from sync.fields import lookups
from sync.kernel.acts import ActionError
from sync.kernel.humanize import quote, shorten, terminal_line, timestamp
from sync.models import ActivityLine, SyncedModel, Tombstone
from sync.models.activity_lines import causes_text
from sync.monday.conversion import UnknownValue
from sync.operations import dry_run, planned_changes, record_lookup
from sync.reconcile.run import RULES, new_plan
from sync.state import record_view
from sync.words.message import reason_of


class Command(BaseCommand):
    help = (
        "Explains one record: its state, both sides and the last synced values, what the next sync would do, "
        "what waits for a person, and its activity with every trigger. Reads its item by one call; writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        types = ", ".join(spec.entity_type for spec in registry.entities())
        parser.add_argument("entity_type", help=f"one of: {types}")
        parser.add_argument("record", help="its id, its item's id, its name or its email address; deleted ones too")
        parser.add_argument(
            "--pass",
            action="store_true",
            dest="shows_pass",
            help="also what its next pass knows, and each rule that changes the pass's plan, with what it changes",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Explain the record; exit 1 unless exactly one matches."""
        try:
            subject = record_lookup.find_record(options["entity_type"], options["record"])
        except (ActionError, registry.UnknownEntity) as why:
            raise CommandError(str(why)) from why
        for line in explain(subject, shows_pass=options["shows_pass"]):
            self.stdout.write(terminal_line(line))


def explain(subject: SyncedModel | Tombstone, *, shows_pass: bool = False) -> Iterator[str]:
    """Yield the lines of the explanation; reads the item in one call and writes nothing."""
    entity_type, entity_id = record_lookup.ids_of(subject)
    model = registry.entity(entity_type).model
    yield f"{str(model._meta.verbose_name).capitalize()} “{record_lookup.name_of(subject)}”, {entity_id}"
    planned_pass, changes, unread_reason = _plan_pass(entity_type, entity_id)
    item_values = _item_values(planned_pass, entity_id) if planned_pass else {}
    item = f"item {subject.monday_id}" if subject.monday_id else "no item on Monday"
    if isinstance(subject, Tombstone):
        yield f"deleted, {item}"
        yield f"Deleted at {timestamp(subject.deleted_at)}: {subject.get_state_display().lower()}."
        yield subject.note or "Deleted in NPD."
    else:
        yield from _record_lines(subject, item, item_values)
    yield ""
    if shows_pass and planned_pass:
        yield from _pass_steps(planned_pass, entity_id)
        yield ""
    if changes:
        yield "The next sync would:"
        yield from (f"  {change.kind}: {planned_changes.change_line(change)}" for change in changes)
    else:
        is_unknown = changes is None
        outcome = "What the next sync would do is not known." if is_unknown else "The next sync would change nothing."
        yield f"{outcome} {unread_reason}".rstrip()
    yield ""
    lines = list(ActivityLine.objects.filter(entity_type=entity_type, entity_id=entity_id).order_by("at", "id"))
    yield "Activity, newest last:" if lines else "Nothing has happened to it yet."
    for line in lines:
        author = f" {line.actor}:" if line.actor else ""
        yield f"  #{line.pk} {timestamp(line.at)} {line.kind}{author} {line.sentence}"
        if cause := causes_text(line):
            yield f"    {cause}"


def _plan_pass(
    entity_type: str, entity_id: UUID
) -> tuple[dry_run.PlannedPass | None, Sequence[planned_changes.PlannedChange] | None, str]:
    """Return the record's next pass, its changes, and why there are none; all but the reason None if it can't begin."""
    link = lookups.link_of(entity_type)
    reason = availability.of(entity_type, reads=True).blocked_reason
    if reason or link is None:
        return None, None, reason
    with dry_run.read_only_client():
        planned_pass = dry_run.plan_record(link, entity_id)
    changes = list(planned_pass.changes)
    planned_pass = planned_pass.following or planned_pass
    plan = planned_pass.plan.records.get(entity_id)
    if plan is None or plan.item is not None or plan.fields or changes:
        return planned_pass, changes, ""
    return planned_pass, changes, plan.ending.detail or plan.reason


def _item_values(planned_pass: dry_run.PlannedPass, entity_id: UUID) -> Mapping[str, str]:
    """Return the item's values by field, as far as the pass read them."""
    plan = planned_pass.plan.records.get(entity_id)
    if plan is None or plan.item is None or not planned_pass.calls:
        return {}
    values = {}
    for key, field_plan in plan.fields.items():
        if not field_plan.mapping.column_id:
            continue
        try:
            raw = field_plan.converter.cell_value(plan.item.reading(field_plan.mapping.column_id))
            values[key] = field_plan.converter.display_remote(raw)
        except UnknownValue as unknown:
            values[key] = f"(not known: {reason_of(unknown)})"
    return values


def _record_lines(record: SyncedModel, item: str, item_values: Mapping[str, str]) -> Iterator[str]:
    view = record_view.view_of(record)
    state = ", ".join(filter(None, (view.state.label, view.attempts, item)))
    yield f"{state} {view.item_url or ''}".rstrip()
    yield view.reason or "Both sides are the same, as far as we know."
    if view.next_try is not None:
        yield f"Next attempt at {timestamp(view.next_try)}."
    yield from (entry.sentence for entry in view.other_entries)
    for field in view.fields:
        values = {
            "NPD": field.local,
            "Monday": item_values.get(field.key),
            "last synced, NPD": field.base_local,
            "last synced, Monday": field.base_remote,
        }
        sides = [
            f"{side} {'not read' if text is None else quote(text, planned_changes.VALUE_LENGTH)}"
            for side, text in values.items()
        ]
        yield f"{field.label}: {', '.join(sides)}"
        if field.detail:
            yield f"  {field.detail}"


def _pass_steps(planned_pass: dry_run.PlannedPass, entity_id: UUID) -> Iterator[str]:
    """Yield what a pass knows of a record, and each rule that changes the record's plan, with what it changes."""
    facts = planned_pass.facts
    subject = next((subject for subject in (*facts.records, *facts.deleted) if subject.id == entity_id), None)
    planned = planned_pass.plan.records.get(entity_id)
    yield "What the pass knows:"
    values = _values_in(subject) | _values_in(planned and planned.item, "item")
    yield from (f"  {path}: {value}" for path, value in values.items())
    yield "The rules that change its plan:"
    plan = new_plan(facts)
    for rule in RULES:
        before = _values_in(plan.records.get(entity_id) or plan.deleted.get(entity_id))
        rule(facts, plan)
        after = _values_in(plan.records.get(entity_id) or plan.deleted.get(entity_id))
        changed = [path for path in before | after if before.get(path) != after.get(path)]
        if changed:
            meaning = (rule.__doc__ or "").strip().partition("\n")[0]
            yield f"  {rule.__name__}: {meaning}"
        for path in changed:
            yield f"    {path}: {before.get(path, 'nothing')} → {after.get(path, 'nothing')}"


def _values_in(value: Any, path: str = "") -> dict[str, str]:
    """Return the values inside of a fact or a plan, as texts by their path; empty ones are left out."""
    if isinstance(value, models.Model):
        parts = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    elif is_dataclass(value):
        parts = {part.name: getattr(value, part.name) for part in fields(value) if part.repr}
    elif isinstance(value, Mapping):
        parts = {str(key): part for key, part in value.items()}
    else:
        text = str(value) if isinstance(value, datetime | UUID) else repr(value)
        return {path: shorten(text)} if value or value is False else {}
    values: dict[str, str] = {}
    for name, part in parts.items():
        values |= _values_in(part, f"{path}.{name}" if path else name)
    return values
