"""The sample records out of data/, as model instances that are not saved yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from npd.models import Contact, Organization


def organizations() -> list[Organization]:
    """All sample organizations, in the order of their numbers."""
    return [Organization(**_linked(row, "billing_contact")) for row in _rows("organizations.jsonl")]


def contacts() -> list[Contact]:
    """All sample contacts, in the order of their numbers."""
    return [Contact(**_linked(row, "organization")) for row in _rows("contacts.jsonl")]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    path = Path(settings.BASE_DIR) / "data" / name
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _linked(row: dict[str, Any], reference: str) -> dict[str, Any]:
    """The keyword arguments of the model, ids as UUIDs."""
    row["id"] = UUID(row["id"])
    if reference in row:
        row[f"{reference}_id"] = UUID(row.pop(reference))
    return row
