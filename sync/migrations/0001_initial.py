"""The state that all migrations up to 0044_wrong_clocks had made. Where they were applied, this counts as applied."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import BrinIndex, HashIndex
from django.db import migrations, models
from pgtrigger.compiler import Trigger, UpsertTriggerSql
from pgtrigger.migrations import AddTrigger

from sync.clock import CREATE_SYNC_NOW, DROP_SYNC_NOW, SyncNow

EMPTY = models.Value({}, models.JSONField())

# fmt: off
REPLACED = [
    "0002_allowance_and_bulk", "0003_backfill", "0004_relations", "0005_nothing_lost", "0006_queue_steering",
    "0007_queue_finished", "0008_queue_permissions", "0009_latency_hours", "0010_ledger_held", "0011_known_titles",
    "0012_wizard", "0013_lease_session", "0014_reason_codes", "0015_setup_owner", "0016_codes_of_blocks",
    "0017_ledger_checks", "0018_vocabulary", "0019_ledger_validated", "0020_assignments", "0021_unmatched_items",
    "0022_stored_secrets", "0023_notifications", "0024_exports_and_hours", "0025_sync_filter",
    "0026_words_of_the_board_page", "0027_one_spelling", "0028_folded_activity", "0029_api_tokens",
    "0030_inbox_index", "0031_api_writes", "0032_erased_items", "0033_events_and_webhooks", "0034_plain_labels",
    "0035_tokens_made_with_tokens", "0036_unmatched_items_counted", "0037_deletions_in_order", "0038_exports_by_api",
    "0039_owners_of_endpoints", "0040_what_an_export_shows", "0041_stops", "0042_webhooks_scope",
    "0043_exports_and_retries", "0044_wrong_clocks",
]
BOARD_LINK_ITEM_GONE = [
    ("ask", "Ask"), ("unlink", "Unlink the record"), ("delete", "Delete the record"),
    ("create", "Create the item again"),
]
BOARD_LINK_RECORD_GONE = [
    ("archive", "Archive the item"), ("delete", "Delete the item"), ("unlink", "Unlink the item"), ("ask", "Ask"),
]
SYNC_DIRECTION = [
    ("bidirectional", "Both ways"), ("npd_to_monday", "NPD to Monday only"), ("monday_to_npd", "Monday to NPD only"),
    ("none", "No sync"),
]
RULE = [
    ("ask", "Ask"), ("npd_wins", "NPD wins"), ("monday_wins", "Monday wins"), ("newest", "The newer edit wins"),
    ("union", "Merge lists"),
]
MONDAY_ACCOUNT_PAUSE_CODE = [
    ("token", "Monday doesn't accept the token"), ("account", "Monday rejects every call of the account"),
    ("day_limit", "The day's calls are used up"), ("limit", "Another limit of Monday's"),
    ("outage", "Monday doesn't answer"),
]
SYNC_METADATA_SYNC_STATUS = [
    ("pending", "Pending"), ("in_progress", "In progress"), ("completed", "Done"), ("failed", "Failed"),
    ("skipped", "Sync off"),
]
SYNC_METADATA_SYNC_DIRECTION = [
    ("local_to_remote", "NPD to the other side"), ("remote_to_local", "The other side to NPD"),
    ("bidirectional", "Both ways"),
]
SYNC_METADATA_RESOLUTION_STRATEGY = [
    ("auto", "By the merge's rules"), ("manual", "A person decides"), ("jira_wins", "Jira wins"),
    ("local_wins", "NPD wins"), ("monday_wins", "Monday wins"),
]
JOB_DIRECTION = [("to_monday", "To Monday"), ("to_npd", "To NPD")]
SYNC_QUEUE_OPERATION = [("create", "Create"), ("update", "Update"), ("delete", "Delete")]
SYNC_QUEUE_STATUS = [
    ("pending", "Pending"), ("in_progress", "In progress"), ("completed", "Done"), ("failed", "Failed"),
]
SYNC_QUEUE_PRIORITY = [
    (10, "A person's click"), (20, "A new edit"), (30, "A check for missed changes"), (40, "Backfill"),
]
TOMBSTONE_STATE = [
    ("waiting", "Its item is checked next"), ("asked", "Waits for your decision"), ("held", "Waits for approval"),
    ("archived", "Its item was archived"), ("deleted", "Its item was deleted"), ("unlinked", "Its item was unlinked"),
    ("kept", "Its item stays as it is"), ("gone", "Nothing was left to do"), ("restored", "The record was restored"),
]
BACKFILL_STATE = [
    ("started", "Started: its rows are announced"), ("uploaded", "Uploaded: Monday works on it"),
    ("listed", "Monday is done: items are linked"), ("done", "Done"), ("failed", "Failed"),
]
INTENT_STATE = [
    ("open", "Not confirmed yet"), ("applied", "Done"), ("landed", "Done, confirmed afterwards"),
    ("refused", "Rejected by Monday"), ("void", "Had no effect"),
]
GUARDED_ACT_KIND = [
    ("items", "Archive or delete items on Monday"), ("records", "Delete records in NPD"),
    ("clear_monday", "Empty fields on Monday"), ("clear_npd", "Empty fields in NPD"),
]
GUARDED_ACT_STATE = [
    ("held", "Waits for approval"), ("approved", "Approved, being applied"), ("rejected", "Rejected, being put back"),
    ("released", "Not needed any more"), ("done", "Done"), ("kept", "Rejected, left as it is"),
]
SETUP_DRAFT_STATE = [
    ("drawn", "Draft"), ("comparing", "Both sides are being compared"), ("compared", "Ready to confirm"),
    ("running", "Being applied"), ("done", "Applied"),
]
STORED_SECRET_NAME = [
    ("api_token", "API token"), ("refresh_token", "Refresh token"), ("webhook_token", "Webhook token"),
    ("signing_secret", "Signing secret"), ("client_id", "Client ID"), ("client_secret", "Client secret"),
]
NOTIFICATION_RECEIVER_MEDIUM = [("email", "Email"), ("slack", "Slack"), ("teams", "Microsoft Teams")]
NOTIFICATION_RECEIVER_FREQUENCY = [
    ("off", "Off"), ("at_once", "At once"), ("hourly", "Every hour"), ("daily", "Once a day"),
]
NOTIFICATION_RECEIVER_ALARM = [("", "Nothing"), ("routine", "Something"), ("urgent", "Something urgent")]
EXPORT_FILE_FORMAT = [("csv", "CSV"), ("xlsx", "Excel (XLSX)")]
EXPORT_STATE = [
    ("waiting", "Waits for a worker"), ("writing", "Being written"), ("done", "Ready"), ("failed", "Failed"),
]
API_TOKEN_SCOPES = [
    ("read", "Read"), ("write", "Write"), ("resolve", "Resolve conflicts"), ("operate", "Operate the sync"),
    ("webhooks", "Manage webhooks"),
]
EVENT_TYPE = [
    ("record.created", "Record created"), ("record.changed", "Record changed"), ("record.deleted", "Record deleted"),
    ("conflict.opened", "Conflict opened"), ("conflict.resolved", "Conflict resolved"),
    ("sync_state.changed", "Sync state changed"),
]
WEBHOOK_ENDPOINT_DISABLED_CODE = [
    ("", "On"), ("person", "Switched off by a person"), ("gone", "Its server says that it is gone"),
    ("failing", "Every delivery failed for five days"), ("owner", "Its owner is gone, or may view nothing any more"),
]
WEBHOOK_DELIVERY_STATE = [
    ("pending", "Pending"), ("in_progress", "In progress"), ("delivered", "Delivered"), ("failed", "Failed"),
]
# fmt: on


class Migration(migrations.Migration):
    initial = True

    replaces = [("sync", name) for name in REPLACED]

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.RunSQL(CREATE_SYNC_NOW, DROP_SYNC_NOW),
        migrations.CreateModel(
            name="BoardLink",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, unique=True)),
                ("board_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("group_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("npd_id_column", models.CharField(blank=True, db_default="", max_length=50)),
                ("match_key", models.CharField(max_length=50, verbose_name="records and items are matched by")),
                (
                    "creates_records",
                    models.BooleanField(db_default=False, verbose_name="create records from new Monday items"),
                ),
                ("made_by_setup", models.BooleanField(db_default=False)),
                ("webhooks", models.JSONField(blank=True, db_default=EMPTY)),
                ("blocked_until", models.DateTimeField(blank=True, null=True)),
                ("blocked_reason", models.TextField(blank=True, db_default="")),
                (
                    "batch_limit",
                    models.SmallIntegerField(
                        blank=True, null=True, verbose_name="records a document, by the time calls took"
                    ),
                ),
                ("last_look", models.DateTimeField(blank=True, null=True)),
                (
                    "read_points",
                    models.FloatField(blank=True, null=True, verbose_name="complexity points of a pass's read"),
                ),
                (
                    "write_points",
                    models.FloatField(blank=True, null=True, verbose_name="complexity points of a record written"),
                ),
                (
                    "compared_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last comparison of everything"),
                ),
                (
                    "item_gone",
                    models.CharField(
                        choices=BOARD_LINK_ITEM_GONE,
                        db_default="ask",
                        max_length=20,
                        verbose_name="when an item is deleted on Monday",
                    ),
                ),
                (
                    "record_gone",
                    models.CharField(
                        choices=BOARD_LINK_RECORD_GONE,
                        db_default="archive",
                        max_length=20,
                        verbose_name="when a record is deleted in NPD",
                    ),
                ),
                (
                    "silence",
                    models.TextField(
                        blank=True, db_default="", verbose_name="why its webhooks seem to have fallen silent"
                    ),
                ),
                (
                    "compared",
                    models.TextField(blank=True, db_default="", verbose_name="what the last comparison found"),
                ),
                (
                    "npd_id_problem",
                    models.TextField(blank=True, db_default="", verbose_name="what is wrong with the NPD ID column"),
                ),
                (
                    "shape",
                    models.JSONField(
                        blank=True,
                        db_default=EMPTY,
                        verbose_name="the board as it was last seen: its name, its columns",
                    ),
                ),
                ("sweep_problem", models.TextField(blank=True, db_default="")),
                ("swept_at", models.DateTimeField(blank=True, null=True)),
                (
                    "swept_to",
                    models.DateTimeField(blank=True, null=True, verbose_name="newest time that a finished sweep saw"),
                ),
                ("webhooks_checked_at", models.DateTimeField(blank=True, null=True)),
                ("webhooks_problem", models.TextField(blank=True, db_default="")),
                (
                    "known_titles",
                    models.JSONField(
                        blank=True,
                        db_default=EMPTY,
                        verbose_name="the titles under which people know the mapped columns, by id",
                    ),
                ),
                ("sweep_shortfall", models.IntegerField(db_default=0)),
                (
                    "sync_filter",
                    models.JSONField(blank=True, db_default=EMPTY, verbose_name="which records and items are synced"),
                ),
                ("blocked_since", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_board_links",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("board_id", ""), _negated=True),
                        fields=("board_id",),
                        name="sync_board_links_one_model_a_board",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(blank=True, null=True, verbose_name="NPD ID")),
                ("remote_id", models.CharField(blank=True, db_default="", max_length=50, verbose_name="Monday item")),
                ("key", models.CharField(blank=True, db_default="", max_length=100, verbose_name="field")),
                ("kind", models.CharField(max_length=30)),
                ("sentence", models.TextField()),
                ("values", models.JSONField(blank=True, db_default=EMPTY)),
                ("actor", models.CharField(blank=True, db_default="", max_length=200)),
                ("batch_id", models.UUIDField(blank=True, null=True)),
                ("request_id", models.CharField(blank=True, db_default="", max_length=100)),
                ("at", models.DateTimeField(db_default=SyncNow())),
                ("cause", models.JSONField(blank=True, db_default=EMPTY)),
                ("undoes", models.BigIntegerField(blank=True, null=True, verbose_name="entry that this one undoes")),
                (
                    "folded",
                    models.BooleanField(
                        db_default=False, default=False, verbose_name="listed within another entry of its act"
                    ),
                ),
            ],
            options={
                "db_table": "sync_decisions",
                "ordering": ["-at", "-id"],
                "indexes": [
                    models.Index(fields=["entity_id", "-at"], name="sync_decisions_of_record"),
                    models.Index(fields=["at"], name="sync_decisions_age"),
                    models.Index(fields=["batch_id"], name="sync_decisions_batch"),
                    models.Index(
                        condition=models.Q(("folded", False)), fields=["-at", "-id"], name="sync_decisions_listed"
                    ),
                ],
                "verbose_name": "activity entry",
                "verbose_name_plural": "activity entries",
            },
        ),
        migrations.CreateModel(
            name="FieldMapping",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=50)),
                ("label", models.CharField(max_length=100)),
                ("fields", ArrayField(base_field=models.CharField(max_length=50), size=None)),
                ("column_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("converter", models.CharField(max_length=30)),
                ("direction", models.CharField(choices=SYNC_DIRECTION, db_default="bidirectional", max_length=20)),
                ("rule", models.CharField(choices=RULE, db_default="ask", max_length=20)),
                ("first_match", models.CharField(choices=RULE, db_default="ask", max_length=20)),
                ("required", models.BooleanField(db_default=False, verbose_name="required")),
                ("version", models.IntegerField(db_default=1)),
                ("position", models.SmallIntegerField(db_default=0)),
                ("link", models.ForeignKey(on_delete=models.CASCADE, related_name="mappings", to="sync.boardlink")),
                ("options", models.JSONField(blank=True, db_default=EMPTY)),
                ("problem", models.TextField(blank=True, db_default="", verbose_name="what is wrong with its column")),
                ("problem_code", models.CharField(blank=True, db_default="", max_length=30)),
            ],
            options={
                "db_table": "sync_field_mappings",
                "ordering": ["link_id", "position", "id"],
                "constraints": [models.UniqueConstraint(fields=("link", "key"), name="sync_field_mappings_one_a_key")],
            },
        ),
        migrations.CreateModel(
            name="MondayAccount",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("paused_until", models.DateTimeField(blank=True, null=True)),
                ("pause_reason", models.TextField(blank=True, db_default="")),
                ("needs_probe", models.BooleanField(db_default=False, verbose_name="tested before the next call")),
                ("failures", models.SmallIntegerField(db_default=0, verbose_name="failures in a row")),
                (
                    "batch_limit",
                    models.SmallIntegerField(
                        blank=True, null=True, verbose_name="records in one request after a failure"
                    ),
                ),
                (
                    "user_id",
                    models.CharField(blank=True, db_default="", max_length=50, verbose_name="the token's user"),
                ),
                (
                    "version_answered",
                    models.CharField(blank=True, db_default="", max_length=20, verbose_name="API version in use"),
                ),
                ("tier", models.CharField(blank=True, db_default="", max_length=30, verbose_name="plan")),
                ("users", models.JSONField(blank=True, db_default=EMPTY, verbose_name="users by id: name and email")),
                ("users_at", models.DateTimeField(blank=True, null=True, verbose_name="users read at")),
                (
                    "version_kind",
                    models.CharField(blank=True, db_default="", max_length=30, verbose_name="kind of API version"),
                ),
                ("tags", models.JSONField(blank=True, db_default=EMPTY, verbose_name="known tags by id")),
                (
                    "answered_mark",
                    models.CharField(
                        blank=True,
                        db_default="",
                        max_length=64,
                        verbose_name="mark of the token that Monday answered last",
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last asked because a person tried again"),
                ),
                (
                    "pause_code",
                    models.CharField(
                        blank=True, choices=MONDAY_ACCOUNT_PAUSE_CODE, db_default="", max_length=20, verbose_name="why"
                    ),
                ),
                ("paused_since", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_monday_account",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="sync_monday_account_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="RefusedItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("item_id", models.CharField(max_length=50)),
                ("reason", models.TextField()),
                ("at", models.DateTimeField(db_default=SyncNow())),
                (
                    "entity_id",
                    models.UUIDField(
                        blank=True,
                        null=True,
                        verbose_name="the record that it was unlinked from, or is not the same as",
                    ),
                ),
                ("let_go", models.BooleanField(db_default=False, verbose_name="unlinked by a policy or a person")),
                (
                    "erased",
                    models.BooleanField(
                        db_default=False, verbose_name="its person was erased: nothing of it may be stored"
                    ),
                ),
            ],
            options={
                "db_table": "sync_refused_items",
                "constraints": [
                    models.UniqueConstraint(fields=("entity_type", "item_id"), name="sync_refused_items_once")
                ],
                "verbose_name": "ignored item",
                "verbose_name_plural": "ignored items",
            },
        ),
        migrations.CreateModel(
            name="SyncMetadata",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.TextField(verbose_name="NPD ID")),
                ("system", models.CharField(db_default="monday", max_length=20)),
                ("remote_id", models.CharField(blank=True, max_length=50, null=True, verbose_name="Monday item")),
                (
                    "sync_status",
                    models.CharField(choices=SYNC_METADATA_SYNC_STATUS, db_default="pending", max_length=20),
                ),
                ("last_sync_attempt", models.DateTimeField(blank=True, null=True)),
                ("last_successful_sync", models.DateTimeField(blank=True, null=True)),
                ("error_count", models.IntegerField(db_default=0)),
                ("last_error", models.TextField(blank=True, db_default="")),
                (
                    "sync_direction",
                    models.CharField(choices=SYNC_METADATA_SYNC_DIRECTION, db_default="bidirectional", max_length=20),
                ),
                ("sync_batch_id", models.UUIDField(blank=True, null=True)),
                ("content_hash", models.CharField(blank=True, db_default="", max_length=64)),
                ("conflicts", models.JSONField(blank=True, db_default=EMPTY)),
                (
                    "resolution_strategy",
                    models.CharField(choices=SYNC_METADATA_RESOLUTION_STRATEGY, db_default="manual", max_length=20),
                ),
                (
                    "sync_duration_ms",
                    models.IntegerField(blank=True, null=True, verbose_name="duration of the last sync (ms)"),
                ),
                ("api_calls_count", models.IntegerField(db_default=0, verbose_name="API calls of the last sync")),
                ("local_modified", models.DateTimeField(blank=True, null=True, verbose_name="last change in NPD")),
                ("remote_modified", models.DateTimeField(blank=True, null=True, verbose_name="last change on Monday")),
                ("base", models.JSONField(blank=True, db_default=EMPTY, verbose_name="last synced values")),
                ("held", models.JSONField(blank=True, db_default=EMPTY)),
                (
                    "altered",
                    models.JSONField(
                        blank=True, db_default=EMPTY, verbose_name="values that Monday stored differently"
                    ),
                ),
                ("note", models.TextField(blank=True, db_default="", verbose_name="reason")),
                (
                    "remote_state",
                    models.CharField(
                        blank=True, db_default="", max_length=20, verbose_name="last answer about the item"
                    ),
                ),
                (
                    "gone_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="item known to be deleted since"),
                ),
                (
                    "gone_looks",
                    models.SmallIntegerField(db_default=0, verbose_name="checks in a row that found it deleted"),
                ),
                (
                    "made_from_item",
                    models.BooleanField(db_default=False, verbose_name="created from an item, unchanged in NPD"),
                ),
                ("seen", models.JSONField(blank=True, db_default=EMPTY, verbose_name="values last seen on Monday")),
                (
                    "asked_items",
                    ArrayField(
                        base_field=models.CharField(max_length=50),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                        verbose_name="items in question",
                    ),
                ),
                ("conflict_opened_at", models.DateTimeField(blank=True, null=True, verbose_name="last conflict found")),
                (
                    "conflict_resolved_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last conflict resolved"),
                ),
                (
                    "left_out",
                    models.CharField(
                        blank=True, db_default="", max_length=10, verbose_name="side whose filter leaves it out"
                    ),
                ),
            ],
            options={
                "verbose_name": "sync state",
                "verbose_name_plural": "sync states",
                "db_table": "sync_metadata",
                "indexes": [
                    models.Index(fields=["entity_type", "remote_id"], name="sync_metadata_remote"),
                    models.Index(
                        condition=models.Q(("held", EMPTY), _negated=True),
                        fields=["entity_type", "entity_id"],
                        name="sync_metadata_held",
                    ),
                    models.Index(
                        condition=models.Q(("system", "jira")), fields=["remote_id"], name="sync_metadata_jira"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "entity_id", "system"), name="sync_metadata_one_a_record"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("sync_status__in", ["pending", "in_progress", "completed", "failed", "skipped"])
                        ),
                        name="sync_metadata_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("sync_direction__in", ["local_to_remote", "remote_to_local", "bidirectional"])
                        ),
                        name="sync_metadata_direction_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("resolution_strategy__in", ["auto", "manual", "jira_wins", "local_wins", "monday_wins"])
                        ),
                        name="sync_metadata_strategy_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("entity_type", ""), _negated=True),
                            models.Q(("entity_id", ""), _negated=True),
                            models.Q(("system", ""), _negated=True),
                        ),
                        name="sync_metadata_named",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("api_calls_count__gte", 0),
                            ("error_count__gte", 0),
                            ("gone_looks__gte", 0),
                            models.Q(("sync_duration_ms", None), ("sync_duration_ms__gte", 0), _connector="OR"),
                        ),
                        name="sync_metadata_counts_not_negative",
                    ),
                    models.CheckConstraint(
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
                    models.CheckConstraint(
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
                ],
            },
        ),
        migrations.CreateModel(
            name="SyncQueue",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(blank=True, null=True, verbose_name="NPD ID")),
                ("remote_id", models.CharField(blank=True, max_length=50, null=True, verbose_name="Monday item")),
                ("direction", models.CharField(choices=JOB_DIRECTION, db_default="to_monday", max_length=20)),
                ("operation", models.CharField(choices=SYNC_QUEUE_OPERATION, db_default="update", max_length=20)),
                ("payload", models.JSONField(blank=True, db_default=EMPTY)),
                ("status", models.CharField(choices=SYNC_QUEUE_STATUS, db_default="pending", max_length=20)),
                ("priority", models.SmallIntegerField(choices=SYNC_QUEUE_PRIORITY, db_default=20)),
                ("causes", models.SmallIntegerField(db_default=1, verbose_name="who wrote it")),
                ("attempts", models.SmallIntegerField(db_default=0)),
                ("max_attempts", models.SmallIntegerField(db_default=5)),
                ("last_attempt", models.DateTimeField(blank=True, null=True)),
                ("next_retry", models.DateTimeField(db_default=SyncNow(), verbose_name="next attempt")),
                ("error_message", models.TextField(blank=True, db_default="")),
                ("reason", models.TextField(blank=True, db_default="", verbose_name="why it waits")),
                ("created_at", models.DateTimeField(db_default=SyncNow())),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("lease_token", models.UUIDField(blank=True, null=True, verbose_name="worker that has it")),
                ("counted", models.BooleanField(db_default=False, verbose_name="the present attempt counts")),
                ("claim_size", models.SmallIntegerField(db_default=0, verbose_name="records synced with it")),
                ("claim_alone", models.BooleanField(db_default=False, verbose_name="claim alone next")),
                ("deferred_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "db_table": "sync_queue",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "pending")),
                        fields=["entity_type", "priority", "next_retry"],
                        name="sync_queue_due",
                    ),
                    models.Index(
                        condition=models.Q(("status", "in_progress")),
                        fields=["entity_type", "lease_token"],
                        name="sync_queue_in_air",
                    ),
                    models.Index(fields=["entity_id", "status"], name="sync_queue_of_record"),
                    models.Index(
                        models.OrderBy(models.F("created_at"), descending=True),
                        condition=models.Q(("status", "failed")),
                        name="sync_queue_dead",
                    ),
                    models.Index(
                        condition=models.Q(("status", "completed")),
                        fields=["finished_at", "entity_type"],
                        name="sync_queue_finished",
                    ),
                    models.Index(
                        condition=models.Q(("payload__has_key", "retried"), ("status__in", ["pending", "in_progress"])),
                        fields=["id"],
                        name="sync_queue_retried",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("entity_id__isnull", False), ("status", "pending")),
                        fields=("entity_type", "entity_id", "direction"),
                        name="sync_queue_one_waiting",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("entity_id__isnull", True), ("status", "pending")),
                        fields=("entity_type", "remote_id"),
                        name="sync_queue_one_candidate",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("entity_id__isnull", False), ("remote_id__isnull", False), _connector="OR"),
                        name="sync_queue_names_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["pending", "in_progress", "completed", "failed"])),
                        name="sync_queue_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("direction__in", ["to_monday", "to_npd"])),
                        name="sync_queue_direction_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("operation__in", ["create", "update", "delete"])),
                        name="sync_queue_operation_known",
                    ),
                ],
                "permissions": (
                    ("retry_syncqueue", "Can retry jobs"),
                    ("cancel_syncqueue", "Can cancel pending jobs"),
                    ("discard_syncqueue", "Can discard failed jobs"),
                    ("pause_syncqueue", "Can pause and resume the sync"),
                ),
            },
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(verbose_name="NPD ID")),
                ("monday_id", models.CharField(blank=True, max_length=50, null=True)),
                ("data", models.JSONField(db_default=EMPTY)),
                ("deleted_at", models.DateTimeField(db_default=SyncNow())),
                ("note", models.TextField(blank=True, db_default="", verbose_name="reason")),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="done at")),
                ("state", models.CharField(choices=TOMBSTONE_STATE, db_default="waiting", max_length=20)),
                ("reason_code", models.CharField(blank=True, db_default="", max_length=30)),
            ],
            options={
                "db_table": "sync_tombstones",
                "indexes": [models.Index(fields=["entity_type", "monday_id"], name="sync_tombstones_item")],
                "constraints": [
                    models.UniqueConstraint(fields=("entity_type", "entity_id"), name="sync_tombstones_one_a_record")
                ],
                "verbose_name": "deleted record",
                "verbose_name_plural": "deleted records",
            },
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("trigger_id", models.CharField(max_length=64)),
                ("board_id", models.CharField(max_length=50)),
                ("item_id", models.CharField(blank=True, max_length=50, null=True)),
                ("column_id", models.CharField(blank=True, max_length=50, null=True)),
                ("type", models.CharField(max_length=50)),
                ("body", models.JSONField()),
                ("received_at", models.DateTimeField(db_default=SyncNow())),
                ("weighed_at", models.DateTimeField(blank=True, null=True)),
                ("outcome", models.CharField(blank=True, db_default="", max_length=200)),
            ],
            options={
                "db_table": "sync_webhook_events",
                "indexes": [
                    models.Index(
                        condition=models.Q(("weighed_at", None)),
                        fields=["board_id", "item_id"],
                        name="sync_webhook_events_new",
                    ),
                    models.Index(fields=["item_id", "-received_at"], name="sync_webhook_events_item"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("trigger_id", "item_id", "column_id", "type"),
                        name="sync_webhook_events_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BoardLease",
            fields=[
                (
                    "link",
                    models.OneToOneField(
                        on_delete=models.CASCADE,
                        primary_key=True,
                        related_name="lease",
                        serialize=False,
                        to="sync.boardlink",
                    ),
                ),
                ("token", models.UUIDField(blank=True, null=True)),
                ("expires", models.DateTimeField(db_default=SyncNow())),
                ("lost", models.SmallIntegerField(db_default=0)),
                ("session_pid", models.IntegerField(blank=True, null=True)),
                ("session_start", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "sync_board_leases"},
        ),
        migrations.CreateModel(
            name="SyncState",
            fields=[],
            options={"verbose_name": "sync state", "verbose_name_plural": "sync states", "proxy": True},
            bases=("sync.syncmetadata",),
        ),
        migrations.CreateModel(
            name="ApiReservation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("calls", models.SmallIntegerField()),
                ("points", models.BigIntegerField()),
                ("expires", models.DateTimeField()),
            ],
            options={"db_table": "sync_api_reservations"},
        ),
        migrations.CreateModel(
            name="ApiBudget",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("day_limit", models.IntegerField(blank=True, null=True)),
                ("minute_limit", models.IntegerField(blank=True, null=True)),
                ("points_limit", models.BigIntegerField(blank=True, null=True)),
                ("concurrency_limit", models.IntegerField(blank=True, null=True)),
                ("minute_ends", models.DateTimeField(blank=True, null=True)),
                ("minute_calls", models.IntegerField(db_default=0)),
                ("points_end", models.DateTimeField(blank=True, null=True)),
                ("points", models.BigIntegerField(db_default=0, verbose_name="complexity points spent in the window")),
                ("day", models.DateField(blank=True, null=True)),
                ("day_calls", models.DecimalField(db_default=0, decimal_places=1, max_digits=10)),
                ("others_calls", models.DecimalField(db_default=0, decimal_places=1, max_digits=10)),
                ("reported_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_api_budget",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="sync_api_budget_one_row")],
            },
        ),
        migrations.CreateModel(
            name="ApiUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("slot", models.DateTimeField(db_default=SyncNow())),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("calls", models.DecimalField(db_default=0, decimal_places=1, max_digits=10)),
                ("looks", models.IntegerField(db_default=0)),
                ("points", models.BigIntegerField(db_default=0)),
                ("rejections", models.IntegerField(db_default=0)),
            ],
            options={
                "db_table": "sync_api_usage",
                "constraints": [
                    models.UniqueConstraint(fields=("slot", "entity_type"), name="sync_api_usage_one_a_slot")
                ],
            },
        ),
        migrations.CreateModel(
            name="Backfill",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("board_id", models.CharField(max_length=50)),
                ("job_id", models.CharField(blank=True, db_default="", max_length=100)),
                ("state", models.CharField(choices=BACKFILL_STATE, db_default="started", max_length=20)),
                ("rows", models.IntegerField(db_default=0)),
                ("counts", models.JSONField(blank=True, db_default=EMPTY)),
                ("problem", models.TextField(blank=True, db_default="")),
                ("started_by", models.CharField(blank=True, db_default="", max_length=150)),
                ("created_at", models.DateTimeField(db_default=SyncNow())),
                ("seen_at", models.DateTimeField(db_default=SyncNow(), verbose_name="last sign of life")),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("group_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("job_at", models.DateTimeField(blank=True, null=True, verbose_name="job started")),
                ("key", models.CharField(blank=True, db_default="", max_length=64, verbose_name="idempotency key")),
                ("look_at", models.DateTimeField(blank=True, null=True, verbose_name="Monday is asked again")),
                ("polls", models.SmallIntegerField(db_default=0)),
                ("put_at", models.DateTimeField(blank=True, null=True, verbose_name="file about to be sent")),
                ("tries", models.SmallIntegerField(db_default=0, verbose_name="files rejected")),
            ],
            options={
                "db_table": "sync_backfills",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ["done", "failed"]), _negated=True),
                        fields=("entity_type",),
                        name="sync_backfills_one_open_a_board",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Intent",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(verbose_name="NPD ID")),
                ("board_id", models.CharField(max_length=50)),
                ("item_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("lease_token", models.UUIDField(verbose_name="worker that has it")),
                ("idempotency_key", models.CharField(max_length=64)),
                (
                    "alias",
                    models.CharField(blank=True, db_default="", max_length=20, verbose_name="name in the request"),
                ),
                ("values", models.JSONField(db_default=EMPTY)),
                ("body", models.JSONField(blank=True, null=True)),
                ("state", models.CharField(choices=INTENT_STATE, db_default="open", max_length=20)),
                ("created_at", models.DateTimeField(db_default=SyncNow())),
                ("deadline", models.DateTimeField()),
                ("looks", models.SmallIntegerField(db_default=0, verbose_name="how often it was looked for")),
                ("answer", models.JSONField(blank=True, null=True)),
                ("request_id", models.CharField(blank=True, db_default="", max_length=100)),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="done at")),
                (
                    "backfill",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.CASCADE, related_name="intents", to="sync.backfill"
                    ),
                ),
            ],
            options={
                "db_table": "sync_intents",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "open")),
                        fields=["entity_id", "deadline"],
                        name="sync_intents_open",
                    ),
                    models.Index(fields=["idempotency_key"], name="sync_intents_document"),
                    models.Index(fields=["created_at"], name="sync_intents_age"),
                    models.Index(fields=["entity_id", "-created_at"], name="sync_intents_record"),
                ],
                "verbose_name": "API write",
                "verbose_name_plural": "API writes",
            },
        ),
        migrations.CreateModel(
            name="AwaitedRelation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("key", models.CharField(max_length=50, verbose_name="field")),
                ("target_type", models.CharField(max_length=50)),
                ("target", models.TextField()),
            ],
            options={
                "db_table": "sync_awaited_relations",
                "indexes": [HashIndex(fields=["target"], name="sync_awaited_relations_target")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "entity_id", "key"), name="sync_awaited_relations_one_a_field"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FieldLoop",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("key", models.CharField(max_length=100, verbose_name="field")),
                (
                    "times",
                    models.JSONField(
                        db_default=models.Value([], models.JSONField()), verbose_name="when it was rewritten"
                    ),
                ),
                ("by", models.CharField(blank=True, db_default="", max_length=200, verbose_name="who rewrites it")),
                ("damped_until", models.DateTimeField(blank=True, null=True)),
                (
                    "damped",
                    models.SmallIntegerField(db_default=0, verbose_name="how often it was throttled in succession"),
                ),
            ],
            options={
                "db_table": "sync_field_loops",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "entity_id", "key"), name="sync_field_loops_one_a_field"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GuardedAct",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(verbose_name="NPD ID")),
                ("remote_id", models.CharField(blank=True, db_default="", max_length=50, verbose_name="Monday item")),
                ("kind", models.CharField(choices=GUARDED_ACT_KIND, max_length=20)),
                ("key", models.CharField(blank=True, db_default="", max_length=100, verbose_name="field")),
                ("state", models.CharField(choices=GUARDED_ACT_STATE, max_length=20)),
                ("label", models.TextField(blank=True, db_default="", verbose_name="what would be deleted or emptied")),
                ("values", models.JSONField(blank=True, db_default=EMPTY)),
                ("at", models.DateTimeField(db_default=SyncNow())),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "verbose_name": "approval",
                "verbose_name_plural": "approvals",
                "db_table": "sync_guarded_acts",
                "indexes": [
                    models.Index(fields=["entity_type", "kind", "state", "at"], name="sync_guarded_acts_count")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ["held", "approved", "rejected"])),
                        fields=("entity_type", "entity_id", "kind", "key"),
                        name="sync_guarded_acts_one_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SyncAudit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("at", models.DateTimeField(db_default=SyncNow())),
                ("sampled", models.IntegerField(verbose_name="records compared")),
                ("drifted", models.IntegerField(db_default=0, verbose_name="records that differed")),
                ("calls", models.SmallIntegerField(db_default=0)),
                (
                    "details",
                    models.JSONField(
                        db_default=models.Value([], models.JSONField()), verbose_name="which fields of which records"
                    ),
                ),
            ],
            options={
                "verbose_name": "verification",
                "verbose_name_plural": "verifications",
                "db_table": "sync_audits",
                "indexes": [models.Index(fields=["entity_type", "-at"], name="sync_audits_latest")],
            },
        ),
        migrations.CreateModel(
            name="MetricCount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=80)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("label", models.CharField(blank=True, db_default="", max_length=80)),
                ("bucket", models.CharField(blank=True, db_default="", max_length=20)),
                ("value", models.FloatField(db_default=0.0)),
            ],
            options={
                "db_table": "sync_metric_counts",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("name", "entity_type", "label", "bucket"), name="sync_metric_counts_one_a_series"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="QueuePause",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50, verbose_name="board")),
                ("direction", models.CharField(blank=True, choices=JOB_DIRECTION, db_default="", max_length=20)),
                ("paused_by", models.CharField(max_length=150, verbose_name="by")),
                ("why", models.TextField(blank=True, db_default="")),
                ("paused_at", models.DateTimeField(db_default=SyncNow(), verbose_name="since")),
            ],
            options={
                "verbose_name": "pause",
                "db_table": "sync_queue_pauses",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "direction"), name="sync_queue_pauses_one_of_a_kind"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("direction__in", ["", "to_monday", "to_npd"])),
                        name="sync_queue_pauses_direction_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LatencyHour",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("hour", models.DateTimeField()),
                ("entity_type", models.CharField(max_length=50)),
                ("direction", models.CharField(max_length=20)),
                ("bucket", models.SmallIntegerField()),
                ("changes", models.IntegerField()),
            ],
            options={
                "db_table": "sync_latency_hours",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "entity_type", "direction", "bucket"), name="sync_latency_hours_one_a_step"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SetupDraft",
            fields=[
                ("entity_type", models.CharField(max_length=50, primary_key=True, serialize=False)),
                ("state", models.CharField(choices=SETUP_DRAFT_STATE, db_default="drawn", max_length=20)),
                ("board_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("board_name", models.CharField(blank=True, db_default="", max_length=255)),
                ("columns", models.JSONField(blank=True, db_default=EMPTY)),
                ("fields", models.JSONField(blank=True, db_default=EMPTY)),
                ("mapped", models.BooleanField(db_default=False, verbose_name="the fields were chosen by a person")),
                (
                    "threshold",
                    models.SmallIntegerField(db_default=88, verbose_name="how alike two names must be, in per cent"),
                ),
                ("first_match", models.CharField(choices=RULE, db_default="ask", max_length=20)),
                ("creates_records", models.BooleanField(db_default=False)),
                ("answers", models.JSONField(blank=True, db_default=EMPTY)),
                ("found", models.JSONField(blank=True, db_default=EMPTY)),
                ("found_at", models.DateTimeField(blank=True, null=True)),
                ("outcome", models.JSONField(blank=True, db_default=EMPTY)),
                ("compared", models.IntegerField(db_default=0)),
                ("to_compare", models.IntegerField(db_default=0)),
                ("progress", models.CharField(blank=True, db_default="", max_length=255)),
                ("problem", models.TextField(blank=True, db_default="")),
                ("changed_at", models.DateTimeField(db_default=SyncNow())),
                ("token", models.UUIDField(blank=True, null=True)),
                ("held_until", models.DateTimeField(blank=True, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("owned_at", models.DateTimeField(db_default=SyncNow())),
                ("sync_filter", models.JSONField(blank=True, db_default=EMPTY)),
                ("groups", models.JSONField(blank=True, db_default=EMPTY)),
            ],
            options={
                "db_table": "sync_setup_drafts",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("board_id", ""), _negated=True),
                        fields=("board_id",),
                        name="sync_setup_drafts_one_type_a_board",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=200)),
                ("note", models.TextField(blank=True, db_default="")),
                ("by_name", models.CharField(max_length=200)),
                ("at", models.DateTimeField(db_default=SyncNow())),
                (
                    "assignee",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "sync_assignments",
                "default_permissions": (),
                "indexes": [models.Index(fields=["key", "-id"], name="sync_assignments_newest")],
            },
        ),
        migrations.CreateModel(
            name="UnmatchedItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("board_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("item_id", models.CharField(max_length=50, verbose_name="Monday item")),
                ("name", models.TextField(blank=True, db_default="")),
                ("reason_code", models.CharField(db_default="queued", max_length=30, verbose_name="why")),
                ("details", models.JSONField(blank=True, db_default=EMPTY)),
                ("values", models.JSONField(blank=True, db_default=EMPTY)),
                ("first_seen", models.DateTimeField(db_default=SyncNow(), verbose_name="since")),
                ("last_seen", models.DateTimeField(db_default=SyncNow(), verbose_name="last seen on the board")),
                ("ignored_at", models.DateTimeField(blank=True, null=True, verbose_name="ignored")),
                ("ignored_by", models.CharField(blank=True, db_default="", max_length=150)),
            ],
            options={
                "verbose_name": "unmatched item",
                "verbose_name_plural": "unmatched items",
                "db_table": "sync_unmatched_items",
                "indexes": [
                    models.Index(
                        condition=models.Q(("ignored_at", None)),
                        fields=["-first_seen", "-id"],
                        include=("reason_code", "entity_type"),
                        name="sync_unmatched_items_listed",
                    ),
                    models.Index(
                        condition=models.Q(("ignored_at__isnull", False)),
                        fields=["ignored_at"],
                        name="sync_unmatched_items_ignored",
                    ),
                    models.Index(fields=["entity_type", "last_seen"], name="sync_unmatched_items_seen"),
                    models.Index(
                        condition=models.Q(
                            ("ignored_at", None),
                            models.Q(
                                (
                                    "reason_code__in",
                                    [
                                        "queued",
                                        "waits_for_import",
                                        "paused",
                                        "unconfirmed",
                                        "being_edited",
                                        "ambiguous",
                                        "left_out",
                                    ],
                                ),
                                _negated=True,
                            ),
                        ),
                        fields=["entity_type", "reason_code", "first_seen", "id"],
                        name="sync_unmatched_items_causes",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("ignored_at", None),
                            models.Q(
                                (
                                    "reason_code__in",
                                    [
                                        "queued",
                                        "waits_for_import",
                                        "paused",
                                        "unconfirmed",
                                        "being_edited",
                                        "ambiguous",
                                        "left_out",
                                    ],
                                ),
                                _negated=True,
                            ),
                        ),
                        fields=["reason_code"],
                        name="sync_unmatched_items_counted",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("item_id", "entity_type"), name="sync_unmatched_items_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredSecret",
            fields=[
                (
                    "name",
                    models.CharField(choices=STORED_SECRET_NAME, max_length=30, primary_key=True, serialize=False),
                ),
                ("sealed", models.TextField()),
                ("set_at", models.DateTimeField(db_default=SyncNow())),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                (
                    "set_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "sync_stored_secrets",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "name__in",
                                [
                                    "api_token",
                                    "refresh_token",
                                    "webhook_token",
                                    "signing_secret",
                                    "client_id",
                                    "client_secret",
                                ],
                            )
                        ),
                        name="sync_stored_secrets_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=200)),
                ("kind", models.CharField(max_length=30)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("name", models.CharField(blank=True, db_default="", max_length=255)),
                ("cause_code", models.CharField(blank=True, db_default="", max_length=200)),
                ("cause", models.TextField(blank=True, db_default="")),
                ("url", models.CharField(blank=True, db_default="", max_length=500)),
                ("number", models.IntegerField(db_default=1)),
                ("summed", models.BooleanField(db_default=False)),
                ("noticed_at", models.DateTimeField(db_default=SyncNow())),
                ("gone_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_incidents",
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("gone_at__isnull", False)), fields=["gone_at"], name="sync_incidents_gone"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("gone_at", None)), fields=("key",), name="sync_incidents_one_open_a_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NotificationReceiver",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("medium", models.CharField(choices=NOTIFICATION_RECEIVER_MEDIUM, max_length=10)),
                (
                    "frequency",
                    models.CharField(choices=NOTIFICATION_RECEIVER_FREQUENCY, db_default="off", max_length=10),
                ),
                ("hour", models.SmallIntegerField(db_default=8, verbose_name="hour of the daily message")),
                ("zone", models.CharField(db_default="UTC", max_length=64, verbose_name="time zone")),
                ("address", models.TextField(blank=True, db_default="")),
                ("chosen_at", models.DateTimeField(db_default=SyncNow())),
                (
                    "alarm",
                    models.CharField(blank=True, choices=NOTIFICATION_RECEIVER_ALARM, db_default="", max_length=10),
                ),
                ("alarmed_at", models.DateTimeField(blank=True, null=True)),
                ("last_sent", models.DateTimeField(blank=True, null=True)),
                ("tested_at", models.DateTimeField(blank=True, null=True, verbose_name="last test")),
                ("failures", models.SmallIntegerField(db_default=0, verbose_name="failures in a row")),
                ("failed_since", models.DateTimeField(blank=True, null=True, verbose_name="failing since")),
                ("problem", models.TextField(blank=True, db_default="")),
                ("next_attempt", models.DateTimeField(blank=True, null=True)),
                ("stopped_at", models.DateTimeField(blank=True, null=True, verbose_name="switched off")),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                ("user", models.ForeignKey(on_delete=models.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "verbose_name": "notification receiver",
                "verbose_name_plural": "notification receivers",
                "db_table": "sync_notification_receivers",
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(fields=("user", "medium"), name="sync_notification_receivers_one_a_medium"),
                    models.CheckConstraint(
                        condition=models.Q(("hour__gte", 0), ("hour__lte", 23)), name="sync_notification_receivers_hour"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("sent_at", models.DateTimeField(db_default=SyncNow())),
                ("incident", models.ForeignKey(on_delete=models.CASCADE, related_name="+", to="sync.incident")),
                (
                    "receiver",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="notifications", to="sync.notificationreceiver"
                    ),
                ),
            ],
            options={
                "db_table": "sync_notifications",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("receiver", "incident"), name="sync_notifications_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=100)),
                ("query", models.TextField(blank=True, db_default="")),
                ("file_format", models.CharField(choices=EXPORT_FILE_FORMAT, max_length=10)),
                ("file_name", models.CharField(max_length=100)),
                ("state", models.CharField(choices=EXPORT_STATE, db_default="waiting", max_length=20)),
                ("attempts", models.SmallIntegerField(db_default=0, verbose_name="how often writing it was begun")),
                ("total", models.IntegerField(db_default=0, verbose_name="rows when it was asked for")),
                ("rows", models.IntegerField(db_default=0, verbose_name="rows written")),
                ("size", models.BigIntegerField(db_default=0, verbose_name="bytes")),
                ("problem", models.TextField(blank=True, db_default="")),
                ("made_at", models.DateTimeField(db_default=SyncNow())),
                ("moved_at", models.DateTimeField(db_default=SyncNow(), verbose_name="when it last got on")),
                ("owner", models.ForeignKey(on_delete=models.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
                (
                    "by_api",
                    models.BooleanField(db_default=False, verbose_name="its filters are those of the API's list"),
                ),
                (
                    "shown_types",
                    ArrayField(
                        base_field=models.CharField(max_length=50),
                        db_default=[],
                        size=None,
                        verbose_name="types whose records its owner could view",
                    ),
                ),
            ],
            options={
                "db_table": "sync_exports",
                "default_permissions": (),
                "indexes": [models.Index(fields=["owner", "-made_at"], name="sync_exports_by_owner")],
                "permissions": (("export_lists", "Can export lists"),),
            },
        ),
        migrations.CreateModel(
            name="ExportPart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("content", models.BinaryField()),
                ("export", models.ForeignKey(on_delete=models.CASCADE, related_name="parts", to="sync.export")),
            ],
            options={
                "db_table": "sync_export_parts",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("export", "number"), name="sync_export_parts_one_a_number")
                ],
            },
        ),
        migrations.CreateModel(
            name="HourCount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("hour", models.DateTimeField()),
                ("name", models.CharField(max_length=80)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("value", models.FloatField()),
            ],
            options={
                "db_table": "sync_hour_counts",
                "constraints": [
                    models.UniqueConstraint(fields=("hour", "name", "entity_type"), name="sync_hour_counts_one_an_hour")
                ],
            },
        ),
        migrations.CreateModel(
            name="RequestCount",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("requests", models.PositiveBigIntegerField()),
                ("ends_at", models.DateTimeField()),
            ],
            options={"db_table": "sync_request_counts", "default_permissions": ()},
        ),
        # Counts of a minute: a crash may lose them.
        migrations.RunSQL("ALTER TABLE sync_request_counts SET UNLOGGED", migrations.RunSQL.noop),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                (
                    "scopes",
                    ArrayField(
                        base_field=models.CharField(choices=API_TOKEN_SCOPES, max_length=20), db_default=[], size=None
                    ),
                ),
                ("start", models.CharField(max_length=15, verbose_name="begins with")),
                ("digest", models.CharField(max_length=128, unique=True)),
                ("previous_digest", models.CharField(blank=True, max_length=128, null=True, unique=True)),
                ("previous_until", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(db_default=SyncNow(), verbose_name="created")),
                ("rotated_at", models.DateTimeField(blank=True, null=True, verbose_name="rotated")),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("is_legacy", models.BooleanField(db_default=False)),
                (
                    "user",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="api_tokens", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "made_with",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="made", to="sync.apitoken"
                    ),
                ),
            ],
            options={"verbose_name": "API token", "db_table": "sync_api_tokens", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="ExternalId",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("source", models.CharField(max_length=50)),
                ("value", models.CharField(max_length=255)),
                ("at", models.DateTimeField(db_default=SyncNow())),
                ("released_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_external_ids",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("released_at", None)),
                        fields=("entity_type", "source", "value"),
                        name="sync_external_ids_one_record_an_id",
                    ),
                    models.UniqueConstraint(
                        fields=("entity_type", "entity_id", "source"), name="sync_external_ids_one_id_a_source"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredAnswer",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("path", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("status", models.SmallIntegerField()),
                ("content_type", models.CharField(max_length=100)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.TextField(null=True)),
                ("at", models.DateTimeField(db_default=SyncNow())),
                ("user", models.ForeignKey(on_delete=models.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "sync_stored_answers",
                "default_permissions": (),
                "indexes": [models.Index(fields=["at"], name="sync_stored_answers_by_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "path", "key"), name="sync_stored_answers_one_a_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="FeedEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(db_default=RandomUUID(), editable=False)),
                ("position", models.BigIntegerField(blank=True, null=True)),
                ("type", models.CharField(choices=EVENT_TYPE, max_length=30)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("context_id", models.UUIDField(blank=True, null=True)),
                ("data", models.JSONField(blank=True, db_default=EMPTY)),
                ("at", models.DateTimeField(db_default=SyncNow())),
            ],
            options={
                "verbose_name": "event",
                "db_table": "sync_events",
                "default_permissions": (),
                "indexes": [
                    models.Index(condition=models.Q(("position", None)), fields=["id"], name="sync_events_unplaced"),
                    models.Index(fields=["entity_id", "position"], name="sync_events_record"),
                    models.Index(
                        condition=models.Q(("type__in", ("record.deleted", "conflict.opened", "conflict.resolved"))),
                        fields=["type", "position"],
                        name="sync_events_rare",
                    ),
                    BrinIndex(fields=["at"], name="sync_events_age"),
                    models.Index(
                        condition=models.Q(("type", "record.deleted")),
                        fields=["entity_type", "at", "id"],
                        name="sync_events_deleted",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("position__isnull", False)),
                        fields=("position",),
                        name="sync_events_position",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("address", models.CharField(max_length=2000)),
                ("description", models.CharField(blank=True, db_default="", default="", max_length=255)),
                (
                    "event_types",
                    ArrayField(
                        base_field=models.CharField(choices=EVENT_TYPE, max_length=30),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                    ),
                ),
                ("enabled", models.BooleanField(db_default=True, default=True, verbose_name="on")),
                (
                    "disabled_code",
                    models.CharField(
                        blank=True,
                        choices=WEBHOOK_ENDPOINT_DISABLED_CODE,
                        db_default="",
                        max_length=20,
                        verbose_name="why it is off",
                    ),
                ),
                ("disabled_at", models.DateTimeField(blank=True, null=True, verbose_name="off since")),
                ("secret", models.TextField(editable=False)),
                ("previous_secret", models.TextField(blank=True, db_default="", editable=False)),
                ("previous_until", models.DateTimeField(blank=True, editable=False, null=True)),
                ("position", models.BigIntegerField(db_default=0, editable=False)),
                ("failures", models.IntegerField(db_default=0, editable=False, verbose_name="failures in succession")),
                ("failing_since", models.DateTimeField(blank=True, editable=False, null=True)),
                ("next_attempt", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(db_default=SyncNow(), editable=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=models.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=models.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook endpoint",
                "db_table": "sync_webhook_endpoints",
                "ordering": ["created_at", "id"],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("message_id", models.UUIDField(db_default=RandomUUID(), editable=False)),
                ("state", models.CharField(choices=WEBHOOK_DELIVERY_STATE, db_default="pending", max_length=20)),
                ("attempts", models.IntegerField(db_default=0)),
                ("counted", models.SmallIntegerField(db_default=0, verbose_name="failures of this delivery alone")),
                ("created_at", models.DateTimeField(db_default=SyncNow())),
                ("next_attempt", models.DateTimeField(db_default=SyncNow())),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                ("last_attempt", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("status_code", models.SmallIntegerField(blank=True, null=True)),
                ("duration_ms", models.IntegerField(blank=True, null=True, verbose_name="duration (ms)")),
                ("problem", models.TextField(blank=True, db_default="")),
                (
                    "excerpt",
                    models.CharField(blank=True, db_default="", max_length=500, verbose_name="how the answer began"),
                ),
                (
                    "event",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.CASCADE, related_name="+", to="sync.feedevent"
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="deliveries", to="sync.webhookendpoint"),
                ),
            ],
            options={
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
                "db_table": "sync_webhook_deliveries",
                "ordering": ["-id"],
                "default_permissions": ("view", "change"),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["pending", "in_progress"])),
                        fields=["endpoint", "next_attempt"],
                        name="sync_webhook_deliveries_due",
                    ),
                    models.Index(fields=["endpoint", "-id"], name="sync_webhook_deliveries_log"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("endpoint", "event"), name="sync_webhook_deliveries_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="WrongClock",
            fields=[
                ("process", models.CharField(max_length=200, primary_key=True, serialize=False)),
                (
                    "seconds",
                    models.FloatField(verbose_name="seconds ahead of the database's clock; negative behind it"),
                ),
                ("measured_at", models.DateTimeField(db_default=SyncNow())),
            ],
            options={"db_table": "sync_wrong_clocks", "default_permissions": ()},
        ),
        AddTrigger(
            model_name="syncmetadata",
            trigger=Trigger(
                name="success_was_attempt",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="syncmetadata",
            trigger=Trigger(
                name="sync_event_state_new",
                sql=UpsertTriggerSql(
                    condition="WHEN (NEW.system = 'monday' AND length(NEW.entity_id) = 36 AND NEW.entity_id ~ '^[0-9a-f-]+$')",
                    func="\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    VALUES ('sync_state.changed', NEW.entity_type, NEW.entity_id::uuid, _pgh_attach_context(),\n        jsonb_build_object('sync_state', jsonb_build_array(NULL::text, CASE\n    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN NEW.sync_status = 'completed' THEN 'synced'\n    WHEN NEW.sync_status = 'skipped' THEN 'disabled'\n    ELSE NEW.sync_status END)));\n    RETURN NULL;\n",
                    hash="94eaf2098efaa960420049146682e1dc665d4d13",
                    operation="INSERT",
                    pgid="pgtrigger_sync_event_state_new_f0a78",
                    table="sync_metadata",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="syncmetadata",
            trigger=Trigger(
                name="sync_event_state",
                sql=UpsertTriggerSql(
                    condition="WHEN (NEW.system = 'monday' AND length(NEW.entity_id) = 36 AND NEW.entity_id ~ '^[0-9a-f-]+$' AND CASE\n    WHEN OLD.sync_status = 'completed' AND OLD.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN OLD.sync_status = 'completed' THEN 'synced'\n    WHEN OLD.sync_status = 'skipped' THEN 'disabled'\n    ELSE OLD.sync_status END <> CASE\n    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN NEW.sync_status = 'completed' THEN 'synced'\n    WHEN NEW.sync_status = 'skipped' THEN 'disabled'\n    ELSE NEW.sync_status END)",
                    func="\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    VALUES ('sync_state.changed', NEW.entity_type, NEW.entity_id::uuid, _pgh_attach_context(),\n        jsonb_build_object('sync_state', jsonb_build_array(CASE\n    WHEN OLD.sync_status = 'completed' AND OLD.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN OLD.sync_status = 'completed' THEN 'synced'\n    WHEN OLD.sync_status = 'skipped' THEN 'disabled'\n    ELSE OLD.sync_status END, CASE\n    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN NEW.sync_status = 'completed' THEN 'synced'\n    WHEN NEW.sync_status = 'skipped' THEN 'disabled'\n    ELSE NEW.sync_status END)));\n    RETURN NULL;\n",
                    hash="a9d4016490a1cd2806015260b19e70382a7a3d86",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_event_state_3f4e9",
                    table="sync_metadata",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="tombstone",
            trigger=Trigger(
                name="sync_external_ids_released",
                sql=UpsertTriggerSql(
                    func="\n    IF NEW.state = 'restored' THEN\n        UPDATE sync_external_ids AS former SET released_at = NULL\n        WHERE former.entity_type = NEW.entity_type AND former.entity_id = NEW.entity_id\n            AND former.released_at IS NOT NULL AND NOT EXISTS (\n                SELECT 1 FROM sync_external_ids AS other\n                WHERE other.entity_type = former.entity_type AND other.source = former.source\n                    AND other.value = former.value AND other.released_at IS NULL);\n    ELSIF TG_OP = 'INSERT' OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at THEN\n        UPDATE sync_external_ids SET released_at = sync_now()\n        WHERE entity_type = NEW.entity_type AND entity_id = NEW.entity_id AND released_at IS NULL;\n    END IF;\n    RETURN NULL;\n",
                    hash="e55cb2ebbadaa2d60f6e260aeaaeacdeef9d7568",
                    operation='INSERT OR UPDATE OF "state", "deleted_at"',
                    pgid="pgtrigger_sync_external_ids_released_f20d4",
                    table="sync_tombstones",
                    when="AFTER",
                ),
            ),
        ),
    ]
