"""A record's values as JSON, and back into the fields of the model."""

import json
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError

from npd.models import Contact, Organization
from sync.fields.field_values import clean_values, local_field_values, still_holds, update_values
from sync.models.synced_model import LONG_TEXT_CHARACTERS
from tests.support.deals import Deal

KINDS: list[tuple[str, Any, Any]] = [
    ("name", "Big", "Big"),
    ("due", date(2026, 1, 31), "2026-01-31"),
    ("due", None, None),
    ("amount", Decimal("0.10"), "0.10"),
    ("amount", Decimal("1E+3"), "1000"),
    ("amount", None, None),
    ("won", True, True),
    ("won", False, False),
    ("products", ["a", "b"], ["a", "b"]),
    ("products", [], []),
]


@pytest.mark.parametrize(("field", "value", "raw"), KINDS)
def test_a_value_is_json_and_comes_back_as_it_was(field: str, value: Any, raw: Any) -> None:
    record = Deal(**{"name": "n", field: value})
    stored = local_field_values(record, [field])
    assert json.loads(json.dumps(stored)) == stored == {field: raw}
    assert update_values(Deal, clean_values(record, stored)) == {field: value}
    assert still_holds(record, stored)


@pytest.mark.parametrize(
    ("field", "empty"), [("stage", ""), ("due", None), ("amount", None), ("won", False), ("products", [])]
)
@pytest.mark.parametrize("value", [None, "", []])
def test_empty_takes_the_form_that_the_field_keeps(field: str, empty: Any, value: Any) -> None:
    assert clean_values(Deal(name="n"), {field: value}) == {field: empty}
    assert update_values(Deal, {field: value}) == {field: empty}


@pytest.mark.parametrize(("field", "refused"), [("name", ""), ("amount", "a lot"), ("products", ["x" * 21])])
def test_what_the_field_refuses_is_a_sentence(field: str, refused: Any) -> None:
    with pytest.raises(ValidationError):
        clean_values(Deal(name="n"), {field: refused})


def test_a_text_of_any_column_is_as_long_as_a_long_text_may_be() -> None:
    longest = "x" * LONG_TEXT_CHARACTERS
    assert clean_values(Contact(name="n"), {"notes": longest}) == {"notes": longest}
    with pytest.raises(ValidationError):
        clean_values(Contact(name="n"), {"notes": f"{longest}x"})


def test_a_related_record_is_its_id_item_and_name() -> None:
    firm = Organization(name="Acme", monday_id="77")
    contact = Contact(name="Ann", organization=firm)
    raw = local_field_values(contact, ["organization"])
    assert raw == {"organization": {"id": str(firm.pk), "item": "77", "name": "Acme"}}
    assert update_values(Contact, raw) == {"organization_id": firm.pk}
    assert update_values(Contact, {"organization": None}) == {"organization_id": None}
    assert still_holds(contact, raw)
    contact.organization_id = uuid4()
    assert not still_holds(contact, raw)
