"""The index of the match of items and records, by the expression that looks them up; upserts use it, too."""

import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("npd", "0009_one_spelling")]

    operations = [
        migrations.RemoveIndex(model_name="contact", name="contacts_by_email"),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                django.db.models.functions.text.Lower(
                    models.Func(
                        models.Func(models.F("email"), function="normalize", output_field=models.TextField()),
                        models.Value(" \t\n\r\x0c\x0b\xa0"),
                        function="btrim",
                        output_field=models.TextField(),
                    )
                ),
                name="contacts_by_match_key",
            ),
        ),
        migrations.AddIndex(
            model_name="organization",
            index=models.Index(
                django.db.models.functions.text.Lower(
                    models.Func(
                        models.Func(models.F("name"), function="normalize", output_field=models.TextField()),
                        models.Value(" \t\n\r\x0c\x0b\xa0"),
                        function="btrim",
                        output_field=models.TextField(),
                    )
                ),
                name="organizations_by_match_key",
            ),
        ),
    ]
