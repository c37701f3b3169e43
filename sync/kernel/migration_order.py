"""What Django's autodetector can't know: a column that defaults to `sync_now()` needs that function.

Without the dependency an application whose label sorts before ours is migrated first.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import makemigrations, migrate
from django.db.migrations.autodetector import OperationDependency
from django.db.migrations.operations import AddField, CreateModel

from sync.clock import SyncNow

SYNC_APP = OperationDependency("sync", "syncqueue", None, OperationDependency.Type.CREATE)


class Detector(makemigrations.MigrationAutodetector):  # type: ignore[misc, name-defined]  # with the triggers
    def add_operation(self, app_label: str, operation: Any, dependencies: Any = None, beginning: bool = False) -> None:
        fields: list[Any] = []
        if isinstance(operation, CreateModel):
            fields = [field for _, field in operation.fields]
        elif isinstance(operation, AddField):
            fields = [operation.field]
        if app_label != "sync" and any(isinstance(field.db_default, SyncNow) for field in fields):
            dependencies = [*(dependencies or ()), SYNC_APP]
        super().add_operation(app_label, operation, dependencies, beginning)


def connect_detector() -> None:
    """Let both commands that compare models with migrations use it."""
    makemigrations.Command.autodetector = migrate.Command.autodetector = Detector
