"""Settings of a process that only keeps sync states: no pages, contacts or conflicts."""

from config.settings import *  # noqa: F403

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "pgtrigger",
    "pghistory",
    "knox",
    "django_celery_beat",
    "sync",
]
