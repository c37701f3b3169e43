"""Registers NPD's synced models, and makes the groups and the periodic tasks after migrations."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class NpdConfig(AppConfig):
    name = "npd"
    verbose_name = "NPD"

    def ready(self) -> None:
        from django.contrib.sessions.backends.db import SessionStore

        from npd import groups, models, sign_in  # noqa: F401 - sign_in connects its signals
        from sync.operations.retention import pruning
        from sync.tasks import make_missing_periodic_tasks

        models.register()
        pruning.connect(lambda **_: SessionStore.clear_expired(), weak=False, dispatch_uid="npd.clear_sessions")
        post_migrate.connect(groups.after_migrate, dispatch_uid="npd.groups")
        beat = apps.get_app_config("django_celery_beat")
        post_migrate.connect(make_missing_periodic_tasks, sender=beat, dispatch_uid="npd.make_missing_periodic_tasks")
