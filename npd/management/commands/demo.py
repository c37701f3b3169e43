"""manage.py demo: sample data on both sides, linked, with things to try. Quick when it is all there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd import demo
from npd.demo import NoSandboxError, Sandbox, tour
from sync.boards.board_setup import set_up_all
from sync.connectors.base.errors import ConnectorError
from sync.kernel.messages import ActionError


class Command(BaseCommand):
    help = "Fills an empty NPD and the sandbox's boards with sample data and links them. Needs the web process."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--try", action="store_true", dest="tour", help="change nothing, print what to try with links"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing; exit 1 with a sentence where that is not possible."""
        if not options["tour"]:
            try:
                demo.check_present()
                sandbox = Sandbox()
                demo.create_admin()
                demo.create_page_user()
                for outcome in set_up_all():
                    if outcome.problems:
                        raise CommandError("\n".join(outcome.problems))
                    if outcome.done:
                        self._say(f"Board {outcome.entity.board_title}: {len(outcome.done)} things set up.")
                if demo.is_empty():
                    self._say("Sample data for NPD and the boards …")
                    count = demo.seed(sandbox)
                    self._say(f"  {count:,} records on both sides. Linking them:")
                if missing := demo.missing_scenes():
                    demo.link_all(self._say)
                    for name in missing:
                        demo.create_scene(name, sandbox)
                    self._say(f"  Waiting to be tried: {', '.join(demo.SCENE_LABELS)}.")
                demo.keep_failing(sandbox)
            except ConnectorError as error:
                raise CommandError(error.full_sentence) from error
            except (NoSandboxError, demo.NoSampleDataError, ActionError) as error:
                raise CommandError(str(error)) from error
            return
        for line in tour():
            self.stdout.write(line)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
