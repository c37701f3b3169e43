"""An administrator, files, and a site whose wake-ups go nowhere."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from npd.importing.jobs import confirm, offer
from npd.importing.models import ImportJob
from npd.importing.planning import Options
from npd.importing.running import carry_on_all
from npd.tasks import carry_on_imports
from sync import wake


@pytest.fixture(autouse=True)
def quiet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-up leaves the test."""
    settings.MONDAY_API_KEY = "token-that-no-page-may-show"
    monkeypatch.setattr(wake, "send", lambda entity_type: True)
    monkeypatch.setattr(carry_on_imports, "apply_async", lambda **options: None)


@pytest.fixture
def person(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("dora", "dora@example.com", "x", first_name="Dora", last_name="Demo")


@pytest.fixture
def admin(person: User, client: Client) -> Client:
    """The administrator's session."""
    client.force_login(person)
    return client


def upload(
    client: Client, content: bytes, name: str = "people.csv", kind: str = "contact", **form: str
) -> Any:
    """Choose a file on the page; return the answer, at the import's page where it could be read."""
    data = {"file": SimpleUploadedFile(name, content), **form}
    return client.post(f"/admin/npd/{kind}/import/", data, follow=True)


def offered(
    by: User, text: str | bytes, kind: str = "contact", name: str = "people.csv", **options: bool
) -> ImportJob:
    """What a file would do."""
    content = text.encode() if isinstance(text, str) else text
    return offer(kind, name, io.BytesIO(content), options=Options(**options), by=by)


def imported(by: User, text: str | bytes, kind: str = "contact", **options: bool) -> ImportJob:
    """A file, confirmed and written."""
    job = offered(by, text, kind, **options)
    assert confirm(job, by=by)
    carry_on_all()
    job.refresh_from_db()
    return job


def outcomes(job: ImportJob) -> dict[int, str]:
    """What each row comes to, by its number."""
    return dict(job.rows.values_list("number", "outcome"))


def said(job: ImportJob, number: int) -> str:
    """What is wrong with a row."""
    row = job.rows.get(number=number)
    return " ".join(f"{label}: {what}" for label, what in row.problems) + row.note
