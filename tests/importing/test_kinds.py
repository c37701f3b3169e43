"""What a cell comes to, by the kind of its field."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import models

from npd.imports.resources import FieldWidget

STAGES = [("won", "Won at last"), ("lost", "Lost")]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        (models.BooleanField(), "yes", True),
        (models.BooleanField(), "No", False),
        (models.BooleanField(), "perhaps", "perhaps"),
        (models.DateField(), "2026-11-23", date(2026, 11, 23)),
        (models.DateField(), "03/04/2026", "03/04/2026"),
        (models.DecimalField(max_digits=9, decimal_places=2), "10.5", Decimal("10.5")),
        (models.IntegerField(), "ten", "ten"),
        (models.CharField(choices=STAGES), "won at last", "won"),
        (models.CharField(choices=STAGES), "lost", "lost"),
        (models.CharField(choices=STAGES), "neither", "neither"),
    ],
)
def test_a_cell_is_what_an_export_wrote_and_is_never_guessed(kind: Any, cell: str, value: Any) -> None:
    found = FieldWidget(kind).clean(cell)
    assert (found, type(found)) == (value, type(value))
