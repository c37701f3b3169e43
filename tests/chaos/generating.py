"""Makes a script from a seed: the same seed gives the same script on every machine.

`ACTS` has every act with its weight. Each seed also gets three acts by its number, so that a few dozen seeds in a row
play even the rare ones.
"""

import importlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sandbox.lags import LAG_KINDS
from tests.chaos.journal import FIELDS
from tests.chaos.script import Script, Step

T = TypeVar("T")

LIVE_SHARE = 0.15
ONLY_LIVE = ("flush_broker", "kill_celery", "no_beat")  # acts on what is stopped in other runs
SHORTEST, LONGEST = 3, 8  # acts; each is one to eight steps
LAGS = (0, 0.5, 2, 5, 10, 20)  # seconds
MAX_POINTS = 28  # about as many as a worker that sends one record has


@dataclass
class Cast:
    """A script in the making: its steps, and who exists as far as is known before it runs."""

    rng: random.Random
    seed: int = 0
    dealt: Counter[str] = field(default_factory=Counter)
    steps: list[Step] = field(default_factory=list)
    handles: dict[str, str] = field(default_factory=dict)  # handle → entity
    forms: int = 0
    tokens: int = 0
    strangers: int = 0
    live: bool = False

    @property
    def misled(self) -> bool:
        """Whether Monday's reads lag, its moves drop cells and its writes have no effect: in half of the seeds."""
        return self.seed % 2 == 0

    def do(self, name: str, /, **args: Any) -> None:
        self.steps.append(Step(name, args))
        if name == "calm" and self.misled:
            self.lag()

    def lag(self) -> None:
        kinds = self.rng.sample(LAG_KINDS, self.rng.choice((1, 2, 6, 6, 6)))
        edits, writes = self.rng.choice(LAGS), self.rng.choice(LAGS)
        rows = [self.rng.choice(LAGS) for _ in range(3)]
        self.do("lag", kinds=kinds, edits=edits, writes=writes, rows=rows)

    def do_all(self, *names: str) -> None:
        for name in names:
            self.do(name)

    def deal(self, options: Sequence[T]) -> T:
        """Pick from the options in turn, seed by seed, so that all are used equally often."""
        before = self.dealt[str(options)]
        self.dealt[str(options)] += 1
        return options[(self.seed + before) % len(options)]

    def token(self, count: int = 1) -> int:
        """The first of `count` numbers of values that nothing else writes."""
        self.tokens += count
        return self.tokens - count + 1

    def newcomer(self, entity: str) -> str:
        handle = f"{'c' if entity == 'contact' else 'o'}{len(self.handles) + 1}"
        self.handles[handle] = entity
        return handle

    def stranger(self) -> str:
        """A handle for a contact that no other act touches."""
        self.strangers += 1
        return f"d{self.strangers}"

    def six_synced(self) -> list[str]:
        """Six synced contacts: more than the guard lets pass, and more than a page holds."""
        handles = [self.newcomer("contact") for _ in range(6)]
        self.do("import_new", handles=handles, number=self.token(6))
        self.do_all("work", "deliver", "work")
        return handles

    def someone(self, entity: str = "") -> str:
        """Any handle, more often a recent or early one, so that acts meet on the same record."""
        handles = [handle for handle, kind in self.handles.items() if entity in ("", kind)]
        return self.rng.choice(handles[-3:] + handles[:4] + handles) if handles else ""

    def key_of(self, handle: str, *, may_be_empty: bool = False) -> str:
        keys = [key for key in FIELDS[self.handles[handle]] if not (may_be_empty and key == "name")]
        return self.rng.choice(keys)

    def any_type(self) -> str:
        return self.rng.choice(("contact", "contact", "contact", "organization"))

    def keys(self, entity: str) -> list[str]:
        return [key for key in FIELDS[entity] if key != "name" and self.rng.random() < 0.7]

    def work(self) -> None:
        if self.rng.random() < 0.6:
            self.do("deliver")
        self.do("work")
        if self.rng.random() < 0.5:
            self.do_all("deliver", "work")

    def later(self, seconds: float) -> None:
        self.do("clock", seconds=seconds)
        self.work()

    def work_after(self, seconds: float) -> None:
        self.do("clock", seconds=seconds)
        self.do("work")


Act = Callable[[Cast], None]
ACTS: dict[str, tuple[float, Act]] = {}


def act(weight: float) -> Callable[[Act], Act]:

    def enter(function: Act) -> Act:
        ACTS[function.__name__] = (weight, function)
        return function

    return enter


def generate(seed: int) -> Script:
    _fill_the_table()
    rng = random.Random(seed)
    cast = Cast(rng, seed, live=rng.random() < LIVE_SHARE)
    if cast.misled:
        cast.lag()
    _opening(cast)
    for name in _dealt(seed, rng, rng.randint(SHORTEST, LONGEST)):
        if cast.live or name not in ONLY_LIVE:
            ACTS[name][1](cast)
        if rng.random() < 0.3:
            cast.work()
    if rng.random() < 0.5:
        cast.work()
    return Script(seed, cast.live, tuple(cast.steps))


def scene(act: Act, seed: int) -> Script:
    """A short script: a synced contact, one act, and the webhooks of that."""
    cast = Cast(random.Random(seed), seed)
    keys = ["email", "phone", "role_title", "notes"]
    cast.do("create", handle=cast.newcomer("contact"), entity="contact", keys=keys, number=cast.token())
    cast.do_all("work", "deliver", "work")
    act(cast)
    cast.do_all("deliver", "work")
    return Script(seed, cast.live, tuple(cast.steps))


def _fill_the_table() -> None:
    for module in ("acts", "drills", "troubles"):
        importlib.import_module(f"tests.chaos.{module}")


def _dealt(seed: int, rng: random.Random, count: int) -> list[str]:
    """Acts by weight, with three by the seed's number, two troubles and one for live runs mixed in."""
    names = sorted(ACTS)
    chosen = rng.choices(names, [ACTS[name][0] for name in names], k=count)
    dealt = [names[(3 * seed + place) % len(names)] for place in range(3)]
    if seed % 2 == 0:
        dealt += ["moves_and_comes_back", "a_write_has_no_effect"]
    dealt += ["a_call_fails", "webhooks_go_astray" if seed % 2 else "killed", rng.choice(ONLY_LIVE)]
    for name in dealt:
        if ACTS[name][0]:
            chosen.insert(rng.randrange(len(chosen)), name)
    return chosen


def _opening(cast: Cast) -> None:
    for _ in range(cast.rng.randint(2, 4)):
        entity = cast.any_type()
        handle = cast.newcomer(entity)
        cast.do("create", handle=handle, entity=entity, keys=cast.keys(entity), number=cast.token())
    if cast.rng.random() < 0.6:
        handle = cast.newcomer("contact")
        cast.do("add", handle=handle, entity="contact", keys=["email", "phone"], number=cast.token())
    if cast.rng.random() < 0.8:
        cast.do_all("work", "deliver")
        cast.do("clock", seconds=15)
        cast.do_all("work", "deliver", "work")
