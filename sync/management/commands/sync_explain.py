"""manage.py sync_explain: explain a record's sync state."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import registry
from sync.kernel.acts import ActionError
from sync.kernel.humanize import terminal_line
from sync.operations.explanation import explain, find_record


class Command(BaseCommand):
    help = (
        "Explains one record: its state, both sides and the last synced values, what the next sync would do, "
        "what waits for a person, and its activity with every trigger. Reads its item by one call; writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        types = ", ".join(spec.entity_type for spec in registry.entities())
        parser.add_argument("entity_type", help=f"one of: {types}")
        parser.add_argument("record", help="its id, its item's id, its name or its email address; deleted ones too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Explain the record; exit 1 unless exactly one matches."""
        try:
            subject = find_record(options["entity_type"], options["record"])
        except (ActionError, registry.UnknownEntity) as why:
            raise CommandError(str(why)) from why
        for line in explain(subject):
            self.stdout.write(terminal_line(line))
