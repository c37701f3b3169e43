"""What a field's value is: read, compared, shown, stored as a base, resolved as a related record.

For whoever has a record or an item in hand, in a pass or not: models, pages, files, conflicts and the pass itself.

- `field_values`: a record's values as JSON, and the board with its mappings
- `field_bases`: the values that both sides last agreed on, and both sides as they are compared with them
- `lookups`: reads boards, settings and records, and shows fields outside a pass
- `searches`: how lists of records are searched and sorted
- `sync_filter`: the filter that a person set, by which records and items are left out
"""
