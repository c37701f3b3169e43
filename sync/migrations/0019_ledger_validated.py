"""The sync states of before are made as 0017's checks want them, and validated; beside running workers."""

from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models

CHECKS = (
    *("direction_known", "strategy_known", "named", "counts_not_negative", "success_was_attempt"),
    "conflict_opened_first",
)

# Until 0017 a success was written some milliseconds after its attempt, and an open conflict had no time.
MEND = """
    DO $$ DECLARE last_id bigint := 0; next_id bigint; BEGIN LOOP
        SELECT max(id) INTO next_id FROM (SELECT id FROM sync_metadata WHERE id > last_id ORDER BY id LIMIT 5000) AS part;
        EXIT WHEN next_id IS NULL;
        UPDATE sync_metadata SET
            last_sync_attempt = coalesce(last_sync_attempt, last_successful_sync),
            last_successful_sync = least(last_successful_sync, coalesce(last_sync_attempt, last_successful_sync)),
            conflict_opened_at = CASE WHEN system <> 'monday' AND conflicts <> '{}'
                THEN coalesce(conflict_opened_at, last_sync_attempt, last_successful_sync, sync_now())
                ELSE conflict_opened_at END
        WHERE id > last_id AND id <= next_id AND (
            (last_successful_sync IS NOT NULL
                AND (last_sync_attempt IS NULL OR last_successful_sync > last_sync_attempt))
            OR (system <> 'monday' AND conflicts <> '{}' AND conflict_opened_at IS NULL));
        COMMIT;
        last_id := next_id;
    END LOOP; END $$
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0018_vocabulary")]

    operations = [
        migrations.RunSQL(MEND, migrations.RunSQL.noop, elidable=True),
        *(ValidateConstraint(model_name="syncmetadata", name=f"sync_metadata_{name}") for name in CHECKS),
        # One that was interrupted leaves an invalid index of the same name behind.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS sync_metadata_jira", migrations.RunSQL.noop, elidable=True
        ),
        AddIndexConcurrently(
            model_name="syncmetadata",
            index=models.Index(condition=models.Q(("system", "jira")), fields=["remote_id"], name="sync_metadata_jira"),
        ),
    ]
