"""What must have occurred, by the names under which runs count it, besides faults and rules for webhooks."""

CONFLICTS = tuple(f"conflict {kind}" for kind in ("fields", "overwritten", "delete", "identity"))
NAMES = (
    *("create", "patch fresh", "patch fresh to empty", "patch stale", "open_form", "save_form"),
    *("import_new", "import_update", "import_update to empty", "delete", "push_by_name"),
    *("toggle sync_enabled", "toggle sync_direction", "change_policy"),
    *("change_mapping rule", "change_mapping direction", "change_mapping version"),
    *("look_at_conflicts", "resolve keep_npd", "resolve keep_monday", "resolve merge"),
    *(f"resolved a conflict of the kind {kind}" for kind in ("fields", "overwritten", "delete", "identity")),
    *("undo_conflict", "undo_change"),
    *("add", "edit", "edit to empty", "move_state archive", "move_state delete", "move_state restore"),
    *("move_to_other_board", "duplicate", "automation", "automation rewrote our value"),
    *("work", "deliver", "clock", "beat", "reconcile", "hold_worker", "let_go", "kill_worker", "two_workers"),
    *(
        "killed after a commit",
        "killed after a query about to go",
        "killed after a mutation about to go",
        "killed after an answer",
    ),
    *("delete_many", "empty_many", "look_what_went", "decide_guarded approve", "decide_guarded reject"),
    *("begin_save", "commit_save", "expect_attempts", "calm", "hide_column"),
    *("kill_celery", "stop_beat", "flush_broker", "restart_postgres"),
    *("release send", "release double", "release shuffle", "release drop"),
    *("forge bare", "forge signed wrong", "forge wrong token", "forge path", "replay"),
)
