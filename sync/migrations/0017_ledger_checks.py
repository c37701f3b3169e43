"""What may stand in a sync state is checked by the database, of new rows at first: 0019 validates the checks.

Since when its conflict is open, and when it was resolved.
"""

import pgtrigger.compiler
import pgtrigger.migrations
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0016_codes_of_blocks")]

    operations = [
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
        # Before its check: a worker of the version before writes the success some milliseconds after its attempt.
        pgtrigger.migrations.AddTrigger(
            model_name="syncmetadata",
            trigger=pgtrigger.compiler.Trigger(
                name="success_was_attempt",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (NEW.last_successful_sync IS NOT NULL AND (NEW.last_sync_attempt IS NULL OR NEW.last_sync_attempt < NEW.last_successful_sync))",
                    func="NEW.last_sync_attempt := NEW.last_successful_sync; RETURN NEW;",
                    hash="9cc737254936e35c37bdc6668d08c8938d78a09c",
                    operation="INSERT OR UPDATE",
                    pgid="pgtrigger_success_was_attempt_5fa96",
                    table="sync_metadata",
                    when="BEFORE",
                ),
            ),
        ),
        AddConstraintNotValid(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_direction__in", ["local_to_remote", "remote_to_local", "bidirectional"])),
                name="sync_metadata_direction_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("resolution_strategy__in", ["auto", "manual", "jira_wins", "local_wins", "monday_wins"])
                ),
                name="sync_metadata_strategy_known",
            ),
        ),
        AddConstraintNotValid(
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
        AddConstraintNotValid(
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
        AddConstraintNotValid(
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
        AddConstraintNotValid(
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
