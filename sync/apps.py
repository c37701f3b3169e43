"""The app, and what the settings may read of it before Django has loaded any model: its lists' filters in a link."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.db.models.signals import post_migrate


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = "Sync"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from sync import registry
        from sync.kernel.schedule import make_missing_jobs
        from sync.outbox import notify

        register(registry.check_dependency_triggers)
        register(check_replaced_migrations, Tags.database)
        notify.connect_signals()
        beat = apps.get_app_config("django_celery_beat")
        post_migrate.connect(make_missing_jobs, sender=beat, dispatch_uid="sync.make_missing_jobs")
        order_migrations()


def order_migrations() -> None:
    """Tell Django's autodetector what it can't know: a column that defaults to `sync_now()` needs that function.

    Without the dependency an application whose label sorts before ours is migrated first.
    """
    from django.core.management.commands import makemigrations, migrate
    from django.db.migrations.autodetector import OperationDependency
    from django.db.migrations.operations import AddField, CreateModel

    from sync.clock import SyncNow

    ours = OperationDependency("sync", "syncqueue", None, OperationDependency.Type.CREATE)

    class Detector(makemigrations.MigrationAutodetector):  # type: ignore[misc, name-defined]  # with the triggers
        def add_operation(
            self, app_label: str, operation: Any, dependencies: Any = None, beginning: bool = False
        ) -> Any:
            fields: list[Any] = [operation.field] if isinstance(operation, AddField) else []
            if isinstance(operation, CreateModel):
                fields = [field for _, field in operation.fields]
            if app_label != "sync" and any(isinstance(field.db_default, SyncNow) for field in fields):
                dependencies = [*(dependencies or ()), ours]
            super().add_operation(app_label, operation, dependencies, beginning)

    makemigrations.Command.autodetector = migrate.Command.autodetector = Detector


def check_replaced_migrations(
    app_configs: Sequence[Any] | None = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Stop where a part of the migrations was applied that one file replaces now: Django would pass over the rest."""
    from django.db import connections
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.recorder import MigrationRecorder

    loader = MigrationLoader(None)
    errors: list[CheckMessage] = []
    for alias in databases or ():
        applied = MigrationRecorder(connections[alias]).applied_migrations().keys()
        for key, migration in loader.replacements.items():
            gone = {*migration.replaces} - loader.disk_migrations.keys()
            missing = sorted(name for _, name in gone - applied)
            if missing and applied & {key, *gone}:
                errors.append(
                    Error(
                        f"The database has some of the migrations of {key[0]} that {key[1]} replaces, but not "
                        f"{', '.join(missing)}.",
                        hint="Nothing was changed. Run `migrate` with the release before this one, then with this one "
                        "(docs/howto/operate.md, Upgrade).",
                        id="sync.E001",
                    )
                )
    return errors


# The queue's list as links show it: the filters in its address. Imports nothing, so that settings may read it.


LIVE_ROWS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
"""Without what is done, which stays in the queue for a while."""
