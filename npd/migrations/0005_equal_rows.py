"""A row of an import that says the same as an earlier one has an outcome of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0004_imports_and_roles")]

    operations = [
        migrations.AlterField(
            "importrow",
            "outcome",
            models.CharField(
                blank=True,
                choices=[
                    ("new", "New"),
                    ("changed", "Changed"),
                    ("unchanged", "Unchanged"),
                    ("equal", "Equal"),
                    ("invalid", "Not imported"),
                    ("ambiguous", "Ambiguous"),
                    ("repeated", "Repeated"),
                    ("other", "Another record?"),
                ],
                db_default="",
                max_length=20,
            ),
        )
    ]
