"""Filled in by its owner."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sync", "0003_backfill")]

    operations = []
