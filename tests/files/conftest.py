"""An administrator's session, and an import as a person does it: a preview, then its confirmation."""

import re
from typing import Any

import pytest
from celery import current_app
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from sync.outbox import wakeups


@pytest.fixture(autouse=True)
def quiet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-up leaves the test."""
    monkeypatch.setattr(wakeups, "wake_board", lambda *args: None)
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)


def preview(client: Client, content: str | bytes, kind: str = "contact", *, app: str = "npd", **options: str) -> Any:
    data = content.encode() if isinstance(content, str) else content
    name = "people.xlsx" if data.startswith(b"PK") else "people.csv"
    return client.post(
        f"/admin/{app}/{kind}/import/",
        {"import_file": SimpleUploadedFile(name, data), "resource": "0", "format": "0"} | options,
        follow=True,
    )


def confirm(client: Client, page: Any, kind: str = "contact", *, app: str = "npd", **sent: str) -> Any:
    form = page.context["confirm_form"]
    data = {name: value for name in form.fields if (value := form.get_initial_for_field(form.fields[name], name))}
    answer = client.post(f"/admin/{app}/{kind}/process_import/", data | sent)
    is_shown_again = "/import/?step=" in answer.headers.get("Location", "")
    return client.get(answer.headers["Location"]) if is_shown_again else answer


def imported(client: Client, content: str | bytes, kind: str = "contact", **options: str) -> str:
    page = preview(client, content, kind, **options)
    assert "confirm_form" in page.context, (page.context["form"].errors, refused(page))
    return messages(confirm(client, page, kind))


def messages(answer: Any) -> str:
    texts = [str(message) for message in get_messages(answer.wsgi_request)]
    return re.sub(r"<[^>]+>", "", " ".join(texts))


def refused(page: Any) -> dict[int, str]:
    """Why rows aren't imported, by row number."""
    return {row.number: " ".join(row.reasons) for row in page.context["result"].invalid_rows}


def counts(page: Any) -> dict[str, int]:
    totals = page.context["result"].totals
    return {kind: totals[kind] for kind in ("new", "update", "skip", "invalid") if totals[kind]}


def changes(page: Any) -> dict[int, list[tuple[str, str, str]]]:
    return {row.number: row.diff for row in page.context["result"].written}


def warnings(page: Any) -> dict[int, str]:
    """Why rows may be unintended, by row number."""
    rows = page.context["result"].written
    reasons = {
        row.number: [
            *(f"{text} It is left out." for text in row.left_out),
            *(text for text in row.further_values if "another column counts" not in text),
            row.doubt,
        ]
        for row in rows
    }
    return {number: text for number, texts in reasons.items() if (text := " ".join(filter(None, texts)))}


def exported(
    client: Client, kind: str = "contact", file_format: int = 0, query: str = "", *, app: str = "npd"
) -> bytes:
    answer = client.post(f"/admin/{app}/{kind}/export/{query}", {"format": str(file_format), "resource": "0"})
    assert answer.status_code == 200, answer.content
    assert "attachment" in answer.headers["Content-Disposition"]
    return bytes(answer.content)
