"""A synced model with the kinds of fields that contacts and organizations don't have."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from django.apps import AppConfig, apps
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from sync import registry
from sync.models import SyncedModel
from sync.registry import EntitySpec, MappingSpec


class Deal(SyncedModel):
    name = models.CharField(max_length=255)
    stage = models.CharField(max_length=30, blank=True, default="")
    due = models.DateField(null=True, blank=True)
    amount = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    won = models.BooleanField(default=False)
    products = ArrayField(models.CharField(max_length=20), default=list, blank=True)

    class Meta(SyncedModel.Meta):
        app_label = "deals"
        db_table = "deals"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *SyncedModel.Meta.constraints,
            models.CheckConstraint(condition=~models.Q(amount__lt=0), name="deal_amount_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


SPEC = EntitySpec(
    model=Deal,
    board_title="Deals",
    match_key="name",
    mappings=(
        MappingSpec("name", "Name", ("name",), "name", "name", required=True),
        MappingSpec("stage", "Stage", ("stage",), "status", "stage"),
        MappingSpec("due", "Due", ("due",), "date", "due"),
        MappingSpec("amount", "Amount", ("amount",), "numbers", "amount"),
        MappingSpec("won", "Won", ("won",), "checkbox", "won"),
        MappingSpec("products", "Products", ("products",), "dropdown", "products"),
    ),
)


@contextmanager
def deals() -> Iterator[None]:
    """Install the application and its table with triggers, and register the model, while the block lasts."""
    application = AppConfig("deals", sys.modules[__name__])
    application.apps, application.models = apps, apps.all_models["deals"]
    apps.app_configs["deals"] = application  # Django looks it up to copy a record
    with connection.schema_editor() as editor:
        editor.create_model(Deal)
    try:
        for trigger in Deal._meta.triggers:  # type: ignore[attr-defined]
            trigger.install(Deal)
        registry.register(SPEC)
        yield
    finally:
        registry._entities.pop(SPEC.entity_type, None)
        with connection.schema_editor() as editor:
            editor.delete_model(Deal)
        del apps.app_configs["deals"]
