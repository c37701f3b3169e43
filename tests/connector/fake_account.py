"""A Monday account in memory, for the set-up: boards, columns and webhooks, with faults on request.

The sandbox plays the whole of Monday; this plays what it doesn't, such as a used-up column id.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sync.monday.client import MondayClient
from sync.monday.connector import Hooks, MondayConnector
from sync.monday.errors import TIMED_OUT, MondayError, translate_error
from sync.monday.graphql import Answer


class FakeAccount(MondayClient):
    """Answers the documents of boards.py without HTTP."""

    def __init__(self) -> None:
        super().__init__("https://monday.test/v2", "token")
        self.boards: dict[str, dict[str, Any]] = {}
        self.hooks: dict[str, dict[str, str]] = {}
        self.used_column_ids: set[str] = set()
        self.unreachable_events: set[str] = set()
        self.failing: dict[str, MondayError] = {}
        self.lost_answers: set[str] = set()
        self._replays: dict[str, Answer] = {}
        self.writes: list[str] = []
        self._next = 100
        self.calls = 0

    def ensure_webhooks(
        self, url: str, registered: Hooks | None = None, store: Callable[[Hooks], None] | None = None
    ) -> tuple[Hooks, list[str]]:
        """Have our webhooks on board 7; returns them, and what was done."""
        stored: list[Hooks] = []
        sentences = MondayConnector(self).ensure_webhooks("7", url, registered or {}, store or stored.append)
        return (stored[-1] if stored else {}), sentences

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        self.calls += 1
        for root, play in self._plays().items():
            if f" {root}(" in document or f" {root} " in document:
                if root in self.failing:
                    raise self.failing[root]
                return self._played_once(root, play, variables, idempotency_key)
        raise AssertionError(f"the fake account doesn't know this document: {document}")

    def _played_once(
        self, root: str, play: Callable[[Mapping[str, Any]], Answer], sent: Mapping[str, Any], key: str | None
    ) -> Answer:
        """Replay what a key has done; lose the first answer where the test says so, after it was done."""
        if key is not None and key in self._replays:
            return self._replays[key]
        answer = play(sent)
        if key is not None:
            self._replays[key] = answer
        if root in self.lost_answers:
            self.lost_answers.remove(root)
            raise MondayError(TIMED_OUT, "Monday did not answer within 30 s")
        return answer

    def add_board(self, board_id: str, *columns: dict[str, Any], state: str = "active") -> None:
        """A board with a name column, these columns and one group."""
        name = {"id": "name", "title": "Name", "type": "name", "archived": False}
        groups = [
            {"id": "gone", "archived": True, "deleted": False},
            {"id": "topics", "archived": False, "deleted": False},
        ]
        board = {"id": board_id, "name": f"Board {board_id}", "state": state, "groups": groups}
        self.boards[board_id] = board | {"columns": [name, *columns]}

    def _plays(self) -> dict[str, Callable[[Mapping[str, Any]], Answer]]:
        return {
            "create_board": self._create_board,
            "create_column": self._create_column,
            "create_group": self._create_group,
            "create_webhook": self._create_webhook,
            "delete_webhook": self._delete_webhook,
            "webhooks": lambda _: Answer({"webhooks": list(self.hooks.values())}),
            "boards": self._read_boards,
        }

    def _read_boards(self, sent: Mapping[str, Any]) -> Answer:
        return Answer({"boards": [self.boards[i] for i in sent["ids"] if i in self.boards]})

    def _create_board(self, sent: Mapping[str, Any]) -> Answer:
        board_id = self._new_id("board")
        self.add_board(board_id)
        return Answer({"create_board": {"id": board_id}})

    def _create_column(self, sent: Mapping[str, Any]) -> Answer:
        if sent.get("id") in self.used_column_ids:
            entry = {"message": "taken", "path": ["create_column"], "extensions": {"code": "RecordInvalidException"}}
            return Answer({"create_column": None}, errors=(translate_error(entry),))
        column_id = sent.get("id") or f"{sent['type']}_{self._next}"
        self.writes.append("column")
        column = {"id": column_id, "title": sent["title"], "type": sent["type"], "archived": False}
        column["settings"] = sent.get("defaults") or "{}"
        self.boards[sent["board"]]["columns"].append(column)
        return Answer({"create_column": column})

    def _create_group(self, sent: Mapping[str, Any]) -> Answer:
        group = {"id": self._new_id("group"), "title": sent["title"], "archived": False, "deleted": False}
        self.boards[sent["board"]]["groups"].append(group)
        return Answer({"create_group": group})

    def _create_webhook(self, sent: Mapping[str, Any]) -> Answer:
        if sent["event"] in self.unreachable_events:
            return Answer({"create_webhook": None})
        hook_id = self._new_id("webhook")
        self.hooks[hook_id] = {"id": hook_id, "event": sent["event"]}
        return Answer({"create_webhook": self.hooks[hook_id]})

    def _delete_webhook(self, sent: Mapping[str, Any]) -> Answer:
        self.writes.append("webhook deleted")
        return Answer({"delete_webhook": self.hooks.pop(sent["id"])})

    def _new_id(self, kind: str) -> str:
        self._next += 1
        self.writes.append(kind)
        return str(self._next)
