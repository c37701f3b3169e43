"""Registers the store of conflicts behind its port."""

from django.apps import AppConfig


class ConflictsConfig(AppConfig):
    name = "conflicts"
    verbose_name = "Conflicts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from conflicts.database_store import DatabaseConflictStore
        from sync.kernel.conflict_store import register_store

        register_store(DatabaseConflictStore())
