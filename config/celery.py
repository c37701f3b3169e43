"""The Celery application.

Messages are wake-ups only: rows are the truth, so a lost message costs time, never data.
"""

import os

from celery import Celery
from celery.signals import setup_logging
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Kombu's own SQLAlchemy transport never recovers after PostgreSQL was away; ours does.
TRANSPORT_ALIASES["sqla"] = "config.embedded.broker:Transport"

app = Celery("npd_sync")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["config.embedded"])


@setup_logging.connect
def use_the_project_logging(**kwargs: object) -> None:
    """Log as settings.LOGGING says; while this is connected, Celery leaves the loggers alone."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
