"""The Monday simulator as tests see it: its address, its token, and its controls."""

from typing import Any

import requests


class Sandbox:
    """A sandbox at `url`; `control` reaches everything under /_control/."""

    def __init__(self, url: str, token: str, signing_secret: str, pid: int = 0) -> None:
        self.url, self.token, self.signing_secret = url, token, signing_secret
        self.pid = pid  # the process's id, or 0 if it runs within this one
        self.session = requests.Session()
        self.session.trust_env = False
        self.changes = 0  # calls that may have changed something

    @property
    def api_url(self) -> str:
        return f"{self.url}/v2"

    def control(self, name: str, method: str = "POST", /, **body: Any) -> Any:
        """Call /_control/NAME and return the JSON of the answer, or None if it is empty."""
        content = {"json": body} if method != "GET" else {"params": body}
        self.changes += method != "GET"
        response = self.session.request(method, f"{self.url}/_control/{name}", timeout=10, **content)  # type: ignore[arg-type]
        assert response.ok, f"{method} /_control/{name}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None

    def reset(self) -> None:
        """Remove boards, webhooks and faults, and return to real time."""
        self.control("reset")

    def faults(self, *faults: dict[str, Any]) -> None:
        """Set what goes wrong with the next calls, in this order."""
        self.changes += 1
        self.session.post(f"{self.url}/_control/faults", json=list(faults), timeout=10).raise_for_status()

    def act(self, action: str, /, **values: Any) -> dict[str, Any]:
        """Do what a person does on the board page: edit, rename, add, archive, delete, restore, move."""
        return self.control("actions", action=action, **values)

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the API calls after the one with this id."""
        return self.control("calls", "GET", since=since)

    def boards(self) -> list[dict[str, Any]]:
        """Return every board: [{id, name, items: [{id, name, state, values: {column id: text}}]}]."""
        return self.control("boards", "GET")

    def all_items(self) -> list[dict[str, Any]]:
        return [item for board in self.boards() for item in board["items"]]

    def item(self, item_id: str) -> dict[str, Any]:
        return next(item for item in self.all_items() if item["id"] == item_id)

    def items(self) -> list[dict[str, Any]]:
        return [item for item in self.all_items() if item["state"] == "active"]

    def item_named(self, name: str) -> dict[str, Any] | None:
        return next((item for item in self.items() if item["name"] == name), None)

    def query(self, document: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL document with the run's token; return the whole answer, errors included."""
        self.changes += 1
        response = self.session.post(
            self.api_url,
            json={"query": document, "variables": variables},
            headers={"Authorization": self.token},
            timeout=30,
        )
        return response.json()

    def add_board(self, name: str, *columns: tuple[str, str, str]) -> str:
        """Add a board with columns (id, title, type), as people make it by hand; return its id."""
        answer = self.query(
            "mutation ($n: String!) { create_board(board_name: $n, board_kind: public, empty: true) { id } }", n=name
        )
        board_id: str = answer["data"]["create_board"]["id"]
        for column in columns:
            self.add_column(board_id, *column)
        return board_id

    def add_column(self, board_id: str, column_id: str, title: str, kind: str, **settings: Any) -> None:
        document = """mutation ($b: ID!, $i: String!, $t: String!, $k: ColumnType!, $d: JSON)
            { create_column(board_id: $b, id: $i, title: $t, column_type: $k, defaults: $d) { id } }"""
        answer = self.query(document, b=board_id, i=column_id, t=title, k=kind, d=settings or None)
        assert "errors" not in answer, answer

    def delete_column(self, board_id: str, column_id: str) -> None:
        delete = "mutation ($b: ID!, $c: String!) { delete_column(board_id: $b, column_id: $c) { id } }"
        self.query(delete, b=board_id, c=column_id)
