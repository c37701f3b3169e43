"""Content types under the same numbers in each test."""

from django.contrib.contenttypes.models import ContentType
from django.db import connection

_numbers: list[tuple[int, str, str]] = []


def keep_numbers() -> None:
    """A flush makes content types anew, under other numbers; the web process goes on with those of its start.

    Permissions, which hang on them, are gone until the next flush: who steers the processes may do everything.
    """
    if not _numbers:
        _numbers.extend(ContentType.objects.values_list("id", "app_label", "model"))
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM auth_permission")
        cursor.execute("DELETE FROM django_content_type")
        cursor.executemany(
            "INSERT INTO django_content_type (id, app_label, model) VALUES (%s, %s, %s)", _numbers
        )
        cursor.execute("SET session_replication_role = DEFAULT")
    ContentType.objects.clear_cache()
