"""Is what says `synced` equal? Samples of such records are read again on both sides, a few calls a day.

Read only: a record that differs is counted, published as drift (SyncAudit), and looked at. `sampling` takes samples,
`figures` tells what they found.
"""
