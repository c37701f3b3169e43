"""A stored resolution is called so in its column, too."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0001_initial")]

    operations = [
        migrations.RemoveIndex("syncconflict", "sync_conflicts_counted"),
        migrations.RenameField("syncconflict", "choice", "resolution"),
        migrations.RenameField("syncconflict", "choice_problem", "resolution_problem"),
        migrations.AlterField(
            "syncconflict",
            "resolution_problem",
            models.TextField(blank=True, db_default="", verbose_name="why the resolution was not applied"),
        ),
        migrations.AddIndex(
            "syncconflict",
            models.Index(
                condition=models.Q(("resolved_at", None))
                & models.Q(("resolution__isnull", True), ("resolution__fields", {}), _connector="OR"),
                fields=["kind"],
                name="sync_conflicts_counted",
            ),
        ),
    ]
