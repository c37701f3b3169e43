"""The app, and what the settings may read of it before Django has loaded any model: the filters of its lists in a
link.
"""

from django.apps import AppConfig


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = "Sync"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.core.checks import register

        from sync import registry
        from sync.outbox import notify

        register(registry.check_dependency_triggers)
        notify.connect_signals()


# The queue's list as links show it: the filters in its address. Imports nothing, so that settings
# may read it.


LIVE_ROWS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
"""Without what is done, which stays in the queue for a while."""
