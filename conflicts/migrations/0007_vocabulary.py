"""Labels in the words of config/glossary.py; no table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0006_one_outcome_a_row")]

    operations = [
        migrations.AlterField(
            model_name="syncconflict",
            name="resolution_type",
            field=models.CharField(
                blank=True,
                choices=[
                    ("keep_npd", "Use NPD"),
                    ("keep_monday", "Use Monday"),
                    ("merge", "Field by field"),
                    ("auto", "By itself"),
                ],
                max_length=50,
                null=True,
            ),
        )
    ]
