"""The arena: NPD's processes with the settings of chaos, the hand that forks workers, the sandbox."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.arena import CHAOS, Arena
from tests.chaos.planted import FILE_VARIABLE
from tests.chaos.workers import Hand
from tests.plugin import SERVERS
from tests.support.prepared import Prepared
from tests.support.sandbox import Sandbox
from tests.support.servers import FOLDER
from tests.support.site import Processes


class Crew:
    def __init__(self, processes: Processes, hand: Hand) -> None:
        self.processes, self.hand = processes, hand
        self.bug = FOLDER / f"planted-{os.getpid()}"  # names the bug that is switched on

    @contextmanager
    def at_work(self, **variables: str) -> Iterator[None]:
        """Give the processes and the hand these settings meanwhile."""
        before = self.hand.env
        try:
            with self.processes.with_variables(**CHAOS | variables):
                self.hand.env = self.processes.env
                yield
        finally:
            self.hand.env = before

    @contextmanager
    def with_bugs(self) -> Iterator[Callable[[str], object]]:
        """Install the planted bugs meanwhile; the yielded function switches one on."""
        self.bug.write_text("")
        with self.at_work(**{FILE_VARIABLE: str(self.bug)}):
            yield self.bug.write_text


@pytest.fixture(scope="session")
def crew(processes: Processes) -> Iterator[Crew]:
    crew = Crew(processes, Hand({}))
    yield crew
    crew.hand.stop()


@pytest.fixture
def arena(
    transactional_db: None, crew: Crew, sandbox: Sandbox, prepared: Prepared, pytestconfig: pytest.Config
) -> Iterator[Arena]:
    arena = Arena(crew.processes, crew.hand, sandbox, prepared, pytestconfig.stash[SERVERS].postgres)
    with crew.at_work():
        yield arena
        sandbox.reset()
        arena.close()
