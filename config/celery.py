"""The Celery application.

Messages are wake-ups only: rows are the truth, so a lost message costs time, never data.
"""

import os
from typing import Any

from celery import Celery, bootsteps
from celery.signals import setup_logging, worker_init, worker_shutting_down
from kombu.transport import TRANSPORT_ALIASES

from config import health, log_context  # noqa: F401 - log_context connects itself to what tasks signal
from sync import stopping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Kombu's own SQLAlchemy transport never recovers after PostgreSQL was away; ours does.
TRANSPORT_ALIASES["sqla"] = "config.embedded.broker:Transport"

app = Celery("npd_sync")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["config.embedded"])


class SignOfLife(bootsteps.StartStopStep):
    """The worker's main loop says that it turns, for a container's health check."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        """From now on, now and then."""
        health.give("worker")
        self.timer = parent.timer.call_repeatedly(health.EVERY_SECONDS, health.give, ("worker",))

    def stop(self, parent: Any) -> None:
        """No more."""
        self.timer.cancel()


app.steps["worker"].add(SignOfLife)


@worker_init.connect
def begin(**kwargs: object) -> None:
    """Before the pool is forked; a worker that is started in a process that had one goes on as new."""
    stopping.withdraw()


@worker_shutting_down.connect
def end_soon(**kwargs: object) -> None:
    """TERM, INT or QUIT has come to the main process: tell what its pool runs, which gets no signal."""
    stopping.ask()


@setup_logging.connect
def use_the_project_logging(**kwargs: object) -> None:
    """Log as settings.LOGGING says; while this is connected, Celery leaves the loggers alone."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
