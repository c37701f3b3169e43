"""One event on its way to one address."""

import copy
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any

WAITING, DELAYED, HELD, RETRYING = "waiting", "delayed", "held", "retrying"
DELIVERED, DROPPED, GIVEN_UP = "delivered", "dropped", "given up"
UNFINISHED = (WAITING, DELAYED, HELD, RETRYING)


@dataclass
class Delivery:
    """`event` is what was subscribed to, `rule` the words of the rule that it met ("" for none).

    `next_try` is the sandbox's time of the next POST, None while nothing is planned.
    """

    id: int
    webhook_id: int
    board_id: int
    url: str
    event: str
    user_id: int
    about: str
    body: dict[str, Any]
    tries: list[dict[str, Any]] = field(default_factory=list)
    state: str = WAITING
    next_try: float | None = None
    rule: str = ""

    def stored(self) -> dict[str, Any]:
        """All of it, for the disk."""
        return asdict(self)

    def shown(self) -> dict[str, Any]:
        """For the log: the address without its path, which may hold a secret."""
        event = self.body["event"]
        return {
            "id": self.id,
            "webhook_id": self.webhook_id,
            "board_id": self.board_id,
            "host": self.host,
            "event": self.event,
            "type": event["type"],
            "about": self.about,
            "trigger_uuid": event["triggerUuid"],
            "user_id": self.user_id,
            "state": self.state,
            "tries": self.tries,
            "next_try": self.next_try,
            "rule": self.rule,
            "body": self.body,
        }

    @property
    def host(self) -> str:
        return "/".join(self.url.split("/")[:3])

    def again(self, number: int, fresh_uuid: bool) -> "Delivery":
        """A second delivery of the same, with the same `triggerUuid` or one of its own."""
        twin = copy.deepcopy(self)
        twin.id, twin.tries = number, []
        if fresh_uuid:
            twin.body["event"]["triggerUuid"] = secrets.token_hex(16)
        return twin
