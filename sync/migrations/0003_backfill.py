"""Filled in by its owner."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sync", "0002_allowance_and_bulk")]

    operations = []
