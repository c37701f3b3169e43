"""The settings of a process that keeps sync states alone: no pages, no contacts, no conflicts of theirs."""

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
