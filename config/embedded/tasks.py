"""Maintenance of the embedded broker."""

from celery import shared_task
from django.conf import settings
from django.db import connection


@shared_task
def delete_delivered_messages() -> None:
    """Delete the messages that kombu delivered and left behind; nothing to do where the broker is Redis."""
    if settings.CELERY_BROKER_URL.startswith("sqla+"):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM kombu_message WHERE NOT visible")
