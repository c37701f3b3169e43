"""What came of a golden run, as a text that is the same for the same behaviour.

Tables are read by SQL and Monday over HTTP, so that nothing in here follows the product's Python.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from django.db import connection

from tests.chaos.arena import Arena
from tests.chaos.golden import orderly
from tests.chaos.run import Result
from tests.chaos.script import Step

ID = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
    r"|(?<![\w+])(?:80\d{8}|4667\d{5})(?!\w)"  # the sandbox's items and webhooks
)
CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d:?(\d\d)?))?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"\b\d\d:\d\d(:\d\d)?( UTC)?\b"), "TIME"),
    (re.compile(r"\b[12]\d{9}(\.\d+)?\b"), "TIME"),
    (re.compile(r'(?<="cursor": ")[^"]+'), "CURSOR"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "SITE"),
)
RECORDS = ("organizations", "contacts")
TABLES = {
    **dict.fromkeys(RECORDS, "id"),
    "sync_metadata": "entity_type, entity_id",
    "sync_queue": "entity_type, entity_id, remote_id, id",
    "sync_conflicts": "entity_type, entity_id, monday_item_id, kind, detected_at",
    "sync_decisions": "entity_type, entity_id, remote_id, id",
    "sync_intents": "entity_type, entity_id, created_at",
    "sync_tombstones": "entity_type, entity_id",
    "sync_approval_requests": "entity_type, entity_id, kind, key, id",
    "sync_ignored_items": "item_id",
    "sync_webhook_events": "item_id, id",
    "sync_write_loops": "entity_type, entity_id, key",
    "sync_awaited_relations": "entity_type, entity_id, key, target",
    "sync_monday_account": "id",
}
"""What is read at the end, and in which order: ids count in a golden run, so that they may order rows."""
LEFT_OUT = ("id", "sync_batch_id", "lease_token", "sync_duration_ms", "trigger_id", "request_id", "batch_id")
"""Columns that name nothing which somebody could see from outside."""
CODES = ("asked_items", "reason_code")
"""Columns that came after the recording, and say for logic what a sentence beside them says."""
ALWAYS = (
    "created_at",
    "updated_at",
    "received_at",
    "detected_at",
    "deleted_at",
    "at",
    "deadline",
    "users_at",
    "max_attempts",
)
"""Columns that always hold a time, or always the same."""
IN_WORDS = ("sentence",)
"""Columns that say for a person what others say."""
HASHED = {
    "sync_metadata": ("seen",),
    "sync_decisions": ("cause", "values"),
    "sync_intents": ("values", "body", "answer"),
    "sync_tombstones": ("data",),
    "sync_webhook_events": ("body",),
    "sync_monday_account": ("users",),
}
"""Long columns, of which a hash is recorded."""
NOTHING: tuple[Any, ...] = (None, "", 0, [], {})


@dataclass(frozen=True)
class Line:
    """What is recorded, and whole what a hash in it stands for."""

    text: str
    whole: str = ""


@dataclass
class Told:
    """One run, as it goes on."""

    arena: Arena
    steps: list[tuple[Step, int]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    boards: list[tuple[re.Pattern[str], str]] = field(default_factory=list)

    def begins(self, do: str, args: dict[str, Any]) -> None:
        """A step begins; the calls from here on are its own."""
        self.steps.append((Step(do, args), len(_asked())))

    def write(self, name: str, result: Result) -> None:
        """Write what is compared, and beside it the same with whole documents and rows, to see what differs."""
        self._learn_names()
        lines = list(self._lines(name, result))
        (orderly.folder() / f"{name}.txt").write_text("".join(f"{line.text}\n" for line in lines))
        whole = "".join(f"{line.text}\n{line.whole}\n" if line.whole else f"{line.text}\n" for line in lines)
        (orderly.folder() / f"{name}.whole").write_text(whole)

    def _lines(self, name: str, result: Result) -> Iterator[Line]:
        calls = list(self._calls())
        ends = [*(at for _, at in self.steps[1:]), len(calls)]
        asked = _hash("\n".join(str(step) for step, _ in self.steps))
        counts = f"{len(self.steps)} steps {asked}, {len(calls)} calls, {len(result.violations)} violations"
        yield Line(f"{name}: {counts}")
        yield from (Line(f"violation: {self._plain(str(one))}") for one in result.violations)
        first = self.steps[0][1]
        setup = "\n".join(f"{call.text}\n{call.whole}" for call in calls[:first])
        yield Line(f"set-up: {first} calls {_hash(setup)}", setup)
        for number, ((step, begin), end) in enumerate(zip(self.steps, ends, strict=True)):
            last = number == len(self.steps) - 1
            if begin < end:
                yield Line(f"{number:3} {step}" + (", and all that comes until it is quiet" if last else ""))
            yield from _once(calls[begin:end], "      ")
        for board in self._by_name():
            items = sorted(board["items"], key=lambda one: int(one["id"]))
            yield from _headed(f"board {board['name']}", [Line(f"  {self._json(item)}") for item in items])
        for table, order in TABLES.items():
            rows = [self._row(table, row) for row in _rows(table, order)]
            yield from _headed(table, list(_once(rows, "  ")))

    # --- who is who ---------------------------------------------------------------------------------------

    def _learn_names(self) -> None:
        """By the script's handles; who has none is numbered, in the order in which they were made."""
        journal = self.arena.journal
        items = {item: handle for handle, item in journal.items.items()}
        records = {record: handle for handle, record in journal.records.items()}
        linked = [row for table in RECORDS for row in _rows(table, "id")]
        linked += [{**row, "id": row["entity_id"]} for row in _rows("sync_tombstones", "entity_id")]
        for row in linked:
            known = records.get(row["id"]) or items.get(row["monday_id"]) or f"record {len(records) + 1}"
            records.setdefault(row["id"], known)
            items.setdefault(row["monday_id"], known)
        on_boards = [item["id"] for board in self._by_name() for item in board["items"]]
        for item in sorted(on_boards):
            items.setdefault(item, f"item {len(items) + 1}")
        self.names = {record.replace("-", ""): handle for record, handle in records.items()}
        self.names |= {
            item: name if name.startswith("item ") else f"{name}’s item" for item, name in items.items() if item
        }
        self.boards = [
            (re.compile(rf"(?<![\w.]){board['id']}(?![\w.])"), f"board {board['name']}") for board in self._by_name()
        ]

    def _by_name(self) -> list[dict[str, Any]]:
        return sorted(self.arena.sandbox.boards(), key=lambda board: (board["name"], board["id"]))

    def _plain(self, text: str) -> str:
        """The text without times, and with names for ids; those without a name are numbered within this text."""
        numbered: dict[str, str] = {}

        def name(found: re.Match[str]) -> str:
            key = found[0].replace("-", "")
            return self.names.get(key) or numbered.setdefault(key, f"#{len(numbered) + 1}")

        text = ID.sub(name, text)
        for pattern, word in (*self.boards, *CHANGING):
            text = pattern.sub(word, text)
        return text

    def _json(self, value: Any) -> str:
        return self._plain(json.dumps(value, ensure_ascii=False, sort_keys=True))

    # --- what was said to Monday --------------------------------------------------------------------------

    def _calls(self) -> Iterator[Line]:
        log = sorted(self.arena.sandbox.calls(), key=lambda call: int(call["id"]))
        asked = _asked()
        assert len(log) == len(asked), f"the sandbox's log has {len(log)} calls, and {len(asked)} were written"
        keys: dict[str, int] = {}
        for number, (call, body) in enumerate(zip(log, asked, strict=True), start=1):
            document, variables = self._plain(body["query"]), self._json(body.get("variables"))
            quoted = dict.fromkeys(re.findall(r'"([^"\\]+)\\?"', variables))
            about = [name for name in quoted if name in set(self.names.values())]
            key = call["idempotency_key"]
            words = [
                call["kind"] or "?",
                ", ".join(_counted(name for name in call["fields"] if name != "complexity")),
                f"of {', '.join(about)}" if about else "",
                f"{_hash(document)} {_hash(variables)}",
                f"with the key of call {keys[key]}" if key in keys else "",
                "replayed" if call["replayed"] else "",
                f"→ {call['status'] or 'no answer'}",
                f"[{call['fault']}]" if call["fault"] else "",
                ", ".join(_counted(filter(None, call["errors"]))),
            ]
            if key:
                keys.setdefault(key, number)
            yield Line("      " + " ".join(filter(None, words)), f"{document}\n{variables}")

    # --- what is left -------------------------------------------------------------------------------------

    def _row(self, table: str, row: dict[str, Any]) -> Line:
        """A row without what is empty."""
        left_out = {*LEFT_OUT, *ALWAYS, *IN_WORDS, *CODES} - ({"id"} if table in RECORDS else set())
        said = {key: value for key, value in row.items() if key not in left_out and value not in NOTHING}
        hashed = {key: self._json(said[key]) for key in HASHED.get(table, ()) if key in said}
        return Line(
            "  " + self._json(said | {key: _hash(text) for key, text in hashed.items()}),
            "\n".join(f"      {key}: {text}" for key, text in hashed.items()),
        )


def _headed(head: str, lines: list[Line]) -> list[Line]:
    return [Line(head), *lines] if lines else []


def _once(lines: Iterable[Line], indent: str) -> Iterator[Line]:
    """Lines that follow each other and are the same, as one with their number."""
    for line, same in groupby(lines, key=lambda one: one.text):
        equal = list(same)
        yield replace(equal[0], text=f"{indent}{_times(len(equal))}{line.strip()}")


def _asked() -> list[dict[str, Any]]:
    return [json.loads(line) for line in orderly.calls_file().read_bytes().splitlines()]


def _rows(table: str, order: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(found)::text FROM {table} AS found ORDER BY {order}")
        return [json.loads(text) for (text,) in cursor.fetchall()]


def _counted(names: Iterable[str]) -> list[str]:
    return [f"{_times(count)}{name}" for name, count in Counter(names).items()]


def _times(count: int) -> str:
    return f"{count}× " if count > 1 else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
