"""Which items a record's open “who is this?” is about: until now the ledger held only the sentence that was asked."""

from django.db import migrations

# A sentence says which of the open questions a ledger row waits for; that question knows its items. One about an item
# (`item` in `about`) is asked of several records, any other of its own record alone.
FILL_ASKED_ITEMS = """
    UPDATE sync_metadata AS ledger SET asked_items = asked.items
    FROM (
        SELECT entity_type, about ->> 'what' AS what, array_agg(DISTINCT item) AS items,
            CASE WHEN NOT jsonb_exists(about, 'item') THEN entity_id END AS record
        FROM sync_conflicts CROSS JOIN LATERAL (
            SELECT monday_item_id
            UNION SELECT candidate ->> 'id' FROM jsonb_path_query(about, '$.candidates[*]') AS candidate
            WHERE NOT jsonb_exists(about, 'item')
        ) AS items (item)
        WHERE kind = 'identity' AND resolved_at IS NULL AND item <> ''
        GROUP BY entity_type, about ->> 'what', record
    ) AS asked
    WHERE ledger.entity_type = asked.entity_type AND ledger.system = 'monday'
        AND ledger.conflicts -> 'identity' ->> 0 = asked.what
        AND (asked.record IS NULL OR ledger.entity_id = asked.record::text)
"""


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0004_suggestions_put_aside"), ("sync", "0014_reason_codes")]

    operations = [migrations.RunSQL(FILL_ASKED_ITEMS, migrations.RunSQL.noop, elidable=True)]
