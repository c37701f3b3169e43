"""What logic asked of stored sentences until now, as codes and numbers beside them: filled from these sentences, once."""

from django.db import migrations, models

# The sentences of the code on the day of this migration.
FILL_PROBLEMS = """
    UPDATE sync_field_mappings SET problem_code = CASE
        WHEN problem LIKE '%Monday doesn''t show its values to the token''s user%' THEN 'hidden'
        WHEN problem LIKE '%is of the type%' THEN 'retyped'
        ELSE 'missing' END
    WHERE problem <> ''
"""

FILL_SHORTFALLS = """
    UPDATE sync_board_links AS link SET sweep_shortfall = replace(told[2], ',', '')::int - replace(told[1], ',', '')::int
    FROM (SELECT id, regexp_match(sweep_problem, 'Monday listed ([0-9,]+) of the board''s ([0-9,]+) items') AS told
        FROM sync_board_links) AS found
    WHERE found.id = link.id AND told IS NOT NULL
"""

FILL_DEFERRALS = """
    UPDATE sync_queue SET deferred_until = next_retry
    WHERE status = 'pending' AND reason = 'It waits for the bulk import that is at work.'
"""

# A field blocked by its column had the mapping's own sentence; whatever else is blocked says on which side.
FILL_BLOCKED = """
    UPDATE sync_metadata AS ledger SET held = (
        SELECT jsonb_object_agg(field.key, field.value || jsonb_build_object('code', CASE
            WHEN EXISTS (
                SELECT FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
                WHERE link.entity_type = ledger.entity_type AND mapping.key = field.key AND mapping.problem <> ''
                    AND mapping.problem = field.value ->> 'reason') THEN 'column'
            WHEN field.value ->> 'side' = 'monday' THEN 'rejected'
            WHEN field.value ->> 'side' = 'limit' THEN 'limit'
            WHEN field.value ->> 'side' = 'left out' THEN 'left_out'
            ELSE 'unknown' END))
        FROM jsonb_each(ledger.held) AS field)
    WHERE NOT (held = '{}'::jsonb)
"""

DROP_BLOCKED = """
    UPDATE sync_metadata AS ledger SET held = (
        SELECT jsonb_object_agg(field.key, field.value - 'code') FROM jsonb_each(ledger.held) AS field)
    WHERE NOT (held = '{}'::jsonb)
"""


class Migration(migrations.Migration):
    dependencies = [("sync", "0015_setup_owner")]

    operations = [
        migrations.AddField(
            model_name="fieldmapping",
            name="problem_code",
            field=models.CharField(blank=True, db_default="", max_length=30),
        ),
        migrations.AddField(model_name="boardlink", name="sweep_shortfall", field=models.IntegerField(db_default=0)),
        migrations.AddField(
            model_name="syncqueue", name="deferred_until", field=models.DateTimeField(blank=True, null=True)
        ),
        *(
            migrations.RunSQL(sql, migrations.RunSQL.noop, elidable=True)
            for sql in (FILL_PROBLEMS, FILL_SHORTFALLS, FILL_DEFERRALS)
        ),
        migrations.RunSQL(FILL_BLOCKED, DROP_BLOCKED, elidable=True),
    ]
