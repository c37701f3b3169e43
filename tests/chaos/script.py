"""A script: what people, Monday, the network and the machines do, step by step. Plain data, JSON both ways."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """A step of `run.STEPS`; it does nothing if its record isn't there."""

    do: str
    args: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.do}({', '.join(f'{name}={value!r}' for name, value in self.args.items())})"


@dataclass(frozen=True)
class Script:
    """`live`: Celery's worker and beat run throughout; else they are stopped, and steps fork workers."""

    seed: int
    live: bool
    steps: tuple[Step, ...]

    def to_json(self) -> str:
        steps = ",\n  ".join(json.dumps(asdict(step), ensure_ascii=False) for step in self.steps)
        return f'{{"seed": {self.seed}, "live": {json.dumps(self.live)}, "steps": [\n  {steps}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Script:
        data = json.loads(text)
        return cls(data["seed"], data["live"], tuple(Step(**step) for step in data["steps"]))


def read_all(folder: Path) -> dict[str, Script]:
    return {path.stem: Script.from_json(path.read_text()) for path in sorted(folder.glob("*.json"))}
