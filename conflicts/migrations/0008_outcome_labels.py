"""Labels of a batch's outcomes in the words of config/glossary.py; no table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0007_vocabulary")]

    operations = [
        migrations.AlterField(
            model_name="batchentry",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("ready", "Pending"),
                    ("stored", "Stored"),
                    ("handed_back", "Returned"),
                    ("left_out", "Left out"),
                    ("undo_wanted", "To be undone"),
                    ("undo_requested", "Being undone"),
                    ("undone", "Undone"),
                    ("not_undone", "Not undone"),
                ],
                max_length=20,
            ),
        )
    ]
