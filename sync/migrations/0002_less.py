"""What goes: the samples of records through the day, exports by API, tokens of an old kind, Monday's bulk import."""

from django.db import migrations, models

# Those that were once stored in clear text were to end then, by a rule that goes with their mark.
END = """UPDATE sync_api_tokens SET expires_at = least(expires_at, '2027-07-01T00:00:00Z') WHERE is_legacy"""
SHORTEN = "UPDATE sync_api_tokens SET start = left(start, 8)"
# Rows whose worker died are claimed in parts: alone is a part of one.
ALONE = "UPDATE sync_queue SET claim_at_most = 1 WHERE claim_alone"
ALONE_AGAIN = "UPDATE sync_queue SET claim_alone = true WHERE claim_at_most > 0"
# What a field's index was called before the field had its name; on a fresh database it is as it shall be.
RENAME = "ALTER INDEX IF EXISTS sync_setup_drafts_changed_by_id_d74a8221 RENAME TO sync_setup_drafts_owner_id_fcfb145a"
WAITED = "UPDATE sync_unmatched_items SET reason_code = 'queued' WHERE reason_code = 'waits_for_import'"

EXPLAINED = ["queued", "paused", "unconfirmed", "being_edited", "ambiguous", "left_out"]
UNEXPLAINED = models.Q(("ignored_at", None), models.Q(("reason_code__in", EXPLAINED), _negated=True))
INDEXES = {
    "sync_unmatched_items_causes": ["entity_type", "reason_code", "first_seen", "id"],
    "sync_unmatched_items_counted": ["reason_code"],
}


class Migration(migrations.Migration):
    replaces = [
        ("sync", name)
        for name in ("0045_verified_at_night", "0046_less_api", "0047_claimed_in_parts", "0048_no_bulk_import")
    ]

    # npd's initial state makes groups, by the names that models have until here.
    dependencies = [("sync", "0001_initial"), ("npd", "0001_initial")]

    operations = [
        migrations.RunSQL([END, "SET CONSTRAINTS ALL IMMEDIATE"], migrations.RunSQL.noop),
        migrations.RunSQL(SHORTEN, migrations.RunSQL.noop),
        migrations.RunSQL(WAITED, migrations.RunSQL.noop),
        migrations.RunSQL(RENAME, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="syncqueue",
            name="claim_at_most",
            field=models.SmallIntegerField(db_default=0, verbose_name="records synced together next (0: no limit)"),
        ),
        migrations.RunSQL(ALONE, ALONE_AGAIN),
        migrations.RemoveField(model_name="syncaudit", name="calls"),
        migrations.RemoveField(model_name="export", name="by_api"),
        migrations.RemoveField(model_name="apitoken", name="is_legacy"),
        migrations.AlterField(
            model_name="apitoken", name="start", field=models.CharField(max_length=8, verbose_name="begins with")
        ),
        migrations.RemoveField(model_name="syncqueue", name="claim_alone"),
        migrations.RemoveField(model_name="syncqueue", name="deferred_until"),
        migrations.AlterField(
            model_name="syncqueue",
            name="priority",
            field=models.SmallIntegerField(
                choices=[
                    (10, "A person's click"),
                    (20, "A new edit"),
                    (30, "A check for missed changes"),
                    (40, "A load of many records"),
                ],
                db_default=20,
            ),
        ),
        migrations.RemoveField(model_name="intent", name="backfill"),
        migrations.DeleteModel(name="Backfill"),
        *(migrations.RemoveIndex(model_name="unmatcheditem", name=name) for name in INDEXES),
        *(
            migrations.AddIndex(
                model_name="unmatcheditem", index=models.Index(fields=fields, condition=UNEXPLAINED, name=name)
            )
            for name, fields in INDEXES.items()
        ),
    ]
