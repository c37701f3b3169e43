"""Stored names take the words of the pages: approvals, ignored items, verifications, write loops, blocked fields."""

from django.db import migrations, models

VALUES = (
    ("sync_approval_requests", "state", "held", "pending"),
    ("sync_tombstones", "state", "held", "pending_approval"),
    ("sync_tombstones", "state", "gone", "nothing_left"),
    ("sync_intents", "state", "landed", "confirmed"),
    ("sync_intents", "state", "refused", "rejected"),
    ("sync_setup_drafts", "state", "drawn", "draft"),
    ("sync_decisions", "kind", "held", "blocked"),
    ("sync_decisions", "kind", "guard", "approval"),
    ("sync_decisions", "kind", "gone", "removed"),
    ("sync_decisions", "kind", "refused", "rejected"),
)
FOUND = """UPDATE sync_setup_drafts SET found = replace(found::text, '"{}":', '"{}":')::jsonb"""


def value_sql(table, column, old, new):
    return f"UPDATE {table} SET {column} = '{new}' WHERE {column} = '{old}'"  # noqa: S608 - of the lines above


def constraint(model, old, replacement):
    return [migrations.RemoveConstraint(model, old), migrations.AddConstraint(model, replacement)]


class Migration(migrations.Migration):
    dependencies = [("sync", "0002_less")]

    operations = [
        migrations.RemoveField("boardlink", "made_by_setup"),  # nothing read it
        migrations.RenameModel("GuardedAct", "ApprovalRequest"),
        migrations.AlterModelTable("approvalrequest", "sync_approval_requests"),
        migrations.RenameModel("RefusedItem", "IgnoredItem"),
        migrations.AlterModelTable("ignoreditem", "sync_ignored_items"),
        migrations.RenameModel("SyncAudit", "Verification"),
        migrations.AlterModelTable("verification", "sync_verifications"),
        migrations.RenameModel("FieldLoop", "WriteLoop"),
        migrations.AlterModelTable("writeloop", "sync_write_loops"),
        # Their conditions name values and columns that change.
        migrations.RemoveConstraint("approvalrequest", "sync_guarded_acts_one_open"),
        migrations.RemoveConstraint("syncmetadata", "sync_metadata_counts_not_negative"),
        migrations.RemoveIndex("syncmetadata", "sync_metadata_held"),
        migrations.RemoveIndex("webhookevent", "sync_webhook_events_new"),
        migrations.RenameField("syncmetadata", "held", "blocked_fields"),
        migrations.RenameField("syncmetadata", "gone_since", "removed_since"),
        migrations.RenameField("syncmetadata", "gone_looks", "removed_passes"),
        migrations.RenameField("intent", "looks", "lookups"),
        migrations.RenameField("webhookevent", "weighed_at", "processed_at"),
        migrations.RenameField("ignoreditem", "let_go", "unlinked"),
        migrations.RenameField("writeloop", "damped", "throttle_count"),
        migrations.RenameField("writeloop", "damped_until", "throttled_until"),
        migrations.RenameField("verification", "sampled", "compared"),
        migrations.RenameField("verification", "drifted", "differed"),
        migrations.RenameField("boardlink", "last_look", "last_pass_at"),
        migrations.RenameField("boardlink", "item_gone", "removed_item_policy"),
        migrations.RenameField("boardlink", "record_gone", "deleted_record_policy"),
        migrations.RenameField("mondayaccount", "paused_until", "stopped_until"),
        migrations.RenameField("mondayaccount", "pause_reason", "stop_reason"),
        migrations.RenameField("mondayaccount", "pause_code", "stop_code"),
        migrations.RenameField("mondayaccount", "paused_since", "stopped_since"),
        migrations.RenameField("apiusage", "looks", "passes"),
        migrations.RenameField("setupdraft", "held_until", "claimed_until"),
        # A row that is updated twice waits for the check of its foreign keys, and a table of such rows can't be altered.
        migrations.RunSQL(migrations.RunSQL.noop, "SET CONSTRAINTS ALL IMMEDIATE"),
        *(
            migrations.RunSQL(value_sql(table, column, old, new), value_sql(table, column, new, old))
            for table, column, old, new in VALUES
        ),
        migrations.RunSQL(FOUND.format("held", "blocked"), FOUND.format("blocked", "held")),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField(
            "approvalrequest",
            "state",
            models.CharField(
                choices=[
                    ("pending", "Waits for approval"),
                    ("approved", "Approved, being applied"),
                    ("rejected", "Rejected, being put back"),
                    ("released", "Not needed any more"),
                    ("done", "Done"),
                    ("kept", "Rejected, left as it is"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            "intent",
            "state",
            models.CharField(
                choices=[
                    ("open", "Not confirmed yet"),
                    ("applied", "Done"),
                    ("confirmed", "Done, confirmed afterwards"),
                    ("rejected", "Rejected by Monday"),
                    ("void", "Had no effect"),
                ],
                db_default="open",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            "setupdraft",
            "state",
            models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("comparing", "Both sides are being compared"),
                    ("compared", "Ready to confirm"),
                    ("running", "Being applied"),
                    ("done", "Applied"),
                ],
                db_default="draft",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            "tombstone",
            "state",
            models.CharField(
                choices=[
                    ("waiting", "Its item is checked next"),
                    ("asked", "Waits for your decision"),
                    ("pending_approval", "Waits for approval"),
                    ("archived", "Its item was archived"),
                    ("deleted", "Its item was deleted"),
                    ("unlinked", "Its item was unlinked"),
                    ("kept", "Its item stays as it is"),
                    ("nothing_left", "Nothing was left to do"),
                    ("restored", "The record was restored"),
                ],
                db_default="waiting",
                max_length=20,
            ),
        ),
        migrations.RenameIndex("approvalrequest", "sync_approval_requests_count", old_name="sync_guarded_acts_count"),
        migrations.RenameIndex("verification", "sync_verifications_latest", old_name="sync_audits_latest"),
        migrations.AddIndex(
            "syncmetadata",
            models.Index(
                condition=models.Q(("blocked_fields", models.Value({}, models.JSONField())), _negated=True),
                fields=["entity_type", "entity_id"],
                name="sync_metadata_blocked",
            ),
        ),
        migrations.AddIndex(
            "webhookevent",
            models.Index(
                condition=models.Q(("processed_at", None)),
                fields=["board_id", "item_id"],
                name="sync_webhook_events_new",
            ),
        ),
        migrations.AddConstraint(
            "approvalrequest",
            models.UniqueConstraint(
                condition=models.Q(("state__in", ["pending", "approved", "rejected"])),
                fields=("entity_type", "entity_id", "kind", "key"),
                name="sync_approval_requests_one_open",
            ),
        ),
        migrations.AddConstraint(
            "syncmetadata",
            models.CheckConstraint(
                condition=models.Q(
                    ("api_calls_count__gte", 0),
                    ("error_count__gte", 0),
                    ("removed_passes__gte", 0),
                    models.Q(("sync_duration_ms", None), ("sync_duration_ms__gte", 0), _connector="OR"),
                ),
                name="sync_metadata_counts_not_negative",
            ),
        ),
        *constraint(
            "ignoreditem",
            "sync_refused_items_once",
            models.UniqueConstraint(fields=("entity_type", "item_id"), name="sync_ignored_items_once"),
        ),
        *constraint(
            "syncqueue",
            "sync_queue_one_candidate",
            models.UniqueConstraint(
                condition=models.Q(("entity_id__isnull", True), ("status", "pending")),
                fields=("entity_type", "remote_id"),
                name="sync_queue_one_unmatched_item",
            ),
        ),
        *constraint(
            "writeloop",
            "sync_field_loops_one_a_field",
            models.UniqueConstraint(fields=("entity_type", "entity_id", "key"), name="sync_write_loops_one_a_field"),
        ),
    ]
