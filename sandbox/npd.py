"""Why an item waits, asked of NPD's API while somebody looks at a board."""

import threading
import time
from collections.abc import Callable
from typing import Any

import requests

POLL_SECONDS = 3.0
PATH = "/api/v1/sync/queue/?candidates=true&status=pending&page_size=100"
State = dict[str, Any]


class Watcher:
    """Polls NPD's queue of items that it does not know yet; `told` gets each new state.

    A state is `{"reachable": bool, "waiting": {item id: {"reason", "until"}}}`.
    """

    def __init__(self, url: str, token: str, watched: threading.Event, told: Callable[[State], None]) -> None:
        self._address = url + PATH
        self._headers = {"Authorization": f"Token {token}", "Accept": "application/json"}
        self._watched = watched
        self._told = told
        self._session = requests.Session()
        self._session.trust_env = False
        self.state: State = {"reachable": True, "waiting": {}}

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True, name="npd").start()

    def _watch(self) -> None:
        while True:
            self._watched.wait()
            state = self._ask()
            if state != self.state:
                self.state = state
                self._told(state)
            time.sleep(POLL_SECONDS)

    def _ask(self) -> State:
        try:
            answer = self._session.get(self._address, headers=self._headers, timeout=3, allow_redirects=False)
            answer.raise_for_status()
            rows = answer.json()["results"]
            waiting = {
                str(row["remote_id"]): {
                    "reason": row.get("reason") or "waiting",
                    "until": row.get("next_retry"),
                }
                for row in rows
                if row.get("remote_id")
            }
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError):
            return {"reachable": False, "waiting": {}}
        return {"reachable": True, "waiting": waiting}
