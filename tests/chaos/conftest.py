"""The arena: NPD's processes with the settings of chaos, the hand that forks workers, the sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.chaos.arena import Arena, chaos_environment
from tests.chaos.workers import Hand
from tests.plugin import SERVERS
from tests.support.sandbox import Sandbox
from tests.support.servers import FOLDER
from tests.support.site import Processes


class Crew:
    """The run's processes and the hand, all with the settings of chaos; at the first planted bug with those of bugs."""

    def __init__(self, processes: Processes) -> None:
        self.processes, self.before = processes, processes.env
        self.bugs: Path | None = None  # the file by which processes know which bug is switched on
        self.hand = Hand({})
        self._start_with(chaos_environment())

    def with_bug(self, planted: str | None) -> None:
        """From here on the product behaves wrongly in this one way, or in none."""
        if self.bugs is None and planted:
            self.bugs = FOLDER / f"planted-{os.getpid()}"
            self._start_with(chaos_environment(self.bugs))
        if self.bugs is not None:
            self.bugs.write_text(planted or "")

    def stop(self) -> None:
        """The processes are as others want them, at their next use."""
        self.with_bug(None)
        self._start_with(self.before)

    def _start_with(self, env: Mapping[str, str]) -> None:
        """They end, and are started with this environment when they are needed."""
        for name in list(self.processes.children):
            self.processes.end(name)
        self.processes.at_rest = False
        self.hand.stop()
        self.processes.env, self.hand.env = dict(env), dict(env)


@pytest.fixture(scope="module")
def crew(processes: Processes) -> Iterator[Crew]:
    """Kept for all seeds of a module."""
    found = Crew(processes)
    yield found
    found.stop()


@pytest.fixture
def arena(transactional_db: None, crew: Crew, sandbox: Sandbox, pytestconfig: pytest.Config) -> Iterator[Arena]:
    """Empty, and not prepared yet; `crew.with_bug(name)` before `arena.prepare` plants a bug."""
    found = Arena(crew.processes, crew.hand, sandbox, pytestconfig.stash[SERVERS].postgres)
    try:
        yield found
    finally:
        sandbox.reset()
        found.close()
