"""What may stand in a sync state is checked by the database; since when its conflict is open, and when it was resolved."""

from django.db import migrations, models

# Until now a success was written some milliseconds after its attempt.
SUCCESS_WAS_ATTEMPT = """
    UPDATE sync_metadata SET
        last_sync_attempt = coalesce(last_sync_attempt, last_successful_sync),
        last_successful_sync = least(last_successful_sync, coalesce(last_sync_attempt, last_successful_sync))
    WHERE last_successful_sync IS NOT NULL
        AND (last_sync_attempt IS NULL OR last_successful_sync > last_sync_attempt)
"""


class Migration(migrations.Migration):
    dependencies = [("sync", "0016_codes_of_blocks")]

    operations = [
        migrations.RunSQL(SUCCESS_WAS_ATTEMPT, migrations.RunSQL.noop, elidable=True),
        migrations.AddField(
            model_name="syncmetadata",
            name="conflict_opened_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="since when its last conflict is open"),
        ),
        migrations.AddField(
            model_name="syncmetadata",
            name="conflict_resolved_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="when its last conflict was resolved"),
        ),
        migrations.AddIndex(
            model_name="syncmetadata",
            index=models.Index(condition=models.Q(("system", "jira")), fields=["remote_id"], name="sync_metadata_jira"),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_direction__in", ["local_to_remote", "remote_to_local", "bidirectional"])),
                name="sync_metadata_direction_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("resolution_strategy__in", ["auto", "manual", "jira_wins", "local_wins", "monday_wins"])
                ),
                name="sync_metadata_strategy_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entity_type", ""), _negated=True),
                    models.Q(("entity_id", ""), _negated=True),
                    models.Q(("system", ""), _negated=True),
                ),
                name="sync_metadata_named",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("api_calls_count__gte", 0),
                    ("error_count__gte", 0),
                    ("gone_looks__gte", 0),
                    models.Q(("sync_duration_ms", None), ("sync_duration_ms__gte", 0), _connector="OR"),
                ),
                name="sync_metadata_counts_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("last_successful_sync", None),
                    models.Q(
                        ("last_successful_sync__lte", models.F("last_sync_attempt")),
                        ("last_sync_attempt__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="sync_metadata_success_was_attempt",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("conflict_resolved_at", None),
                    models.Q(
                        ("conflict_opened_at__isnull", False),
                        ("conflict_resolved_at__gte", models.F("conflict_opened_at")),
                    ),
                    _connector="OR",
                ),
                name="sync_metadata_conflict_opened_first",
            ),
        ),
    ]
