"""The Celery application.

Messages are notifications only: rows are the truth, so a lost message costs time, never data.
"""

import os
from typing import Any

from celery import Celery, bootsteps, shared_task
from celery.signals import setup_logging, worker_init, worker_process_init, worker_shutting_down
from django.conf import settings
from django.db import connection
from kombu.transport import TRANSPORT_ALIASES

from config import health
from sync.kernel import process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Kombu's own transports don't outlive a broker that was away; ours do.
TRANSPORT_ALIASES["sqla"] = "config.embedded.broker:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "config.redis_broker:Transport"
app = Celery("npd_sync")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


class Heartbeat(bootsteps.StartStopStep):
    """The worker's main loop reports that it runs, for a container's health check."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        health.beat("worker")
        self.timer = parent.timer.call_repeatedly(health.EVERY_SECONDS, health.beat, ("worker",))

    def stop(self, parent: Any) -> None:
        self.timer.cancel()


app.steps["worker"].add(Heartbeat)


@worker_init.connect
def start_process(**kwargs: object) -> None:
    # Before the pool is forked: a worker started in a process that had one must forget its shutdown.
    process.cancel_shutdown()


@worker_process_init.connect
def start_pool_process(**kwargs: object) -> None:
    # Not collected first: that would write into all the memory that it shares with its parent.
    process.spare_loaded_code()


@worker_shutting_down.connect
def end_idle_soon(**kwargs: object) -> None:
    # The main process got TERM, INT or QUIT; its pool's processes get no signal, and are told here.
    process.request_shutdown()


@setup_logging.connect
def use_the_project_logging(**kwargs: object) -> None:
    """Log as settings.LOGGING says; while this is connected, Celery leaves the loggers alone."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@shared_task(name="config.delete_delivered_messages")
def delete_delivered_messages() -> None:
    """Delete the messages that kombu delivered and left behind; nothing to do where the broker is Redis."""
    if settings.CELERY_BROKER_URL.startswith("sqla+"):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM kombu_message WHERE NOT visible")
