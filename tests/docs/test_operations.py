"""The addresses that docs/reference/http.md lists are those of the OpenAPI document.

After a change of the API: RECORD=1 make test ARGS="tests/docs/test_operations.py"
"""

import os
import re
from pathlib import Path

from tests.support.api_schema import document

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/http.md"
BEGIN, END = "<!-- operations: written by its test, tests/docs/test_operations.py -->\n", "<!-- /operations -->"
PREFIX = "/api/v1/"
LIKE_CONTACTS = "organizations"


def listed() -> str:
    """A row a subject, with its addresses and their methods; what other types have alike is left out."""
    paths = {path.removeprefix(PREFIX): " ".join(map(str.upper, item)) for path, item in document()["paths"].items()}
    rows: dict[str, list[str]] = {}
    for path, methods in paths.items():
        if not path.startswith(LIKE_CONTACTS) or path.replace(LIKE_CONTACTS, "contacts") not in paths:
            subject = re.match(r"(?:sync/)?[^/]+/?", path)[0]  # type: ignore[index]
            rest = path.removeprefix(subject)
            rows.setdefault(subject, []).append(f"`{rest}` {methods}" if rest else methods)
    written = [f"| `{subject}` | {' · '.join(found)} |" for subject, found in rows.items()]
    return "\n".join(["", "| under | addresses |", "|---|---|", *written, "", ""])


def test_the_reference_lists_every_address_of_the_api() -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    written, after = rest.split(END)
    if os.environ.get("RECORD") == "1":
        PAGE.write_text(f"{before}{BEGIN}{listed()}{END}{after}")
        return
    assert written == listed(), "where that is meant: RECORD=1 make test ARGS=tests/docs/test_operations.py"
