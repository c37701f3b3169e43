"""The part of docs/howto/sync-another-model.md about another system, with no client of Monday loaded."""

import re
import sys

import pytest

from sync.models import SyncState
from tests.support.servers import ROOT, run_command
from tests.support.site import child_environment

PAGE = (ROOT / "docs/howto/sync-another-model.md").read_text().partition("## Keep another system in sync")[2]
BEGIN = "import django\ndjango.setup()\n"
PLAY = """
class Jira:
    def __init__(self, *broken): self.broken, self.had = broken, []
    def update(self, jira_id, sprint):
        if jira_id in self.broken: raise OSError("Jira answers 500.")
        self.had.append(jira_id)

jira, sprint = Jira("J2"), {"id": "1", "jira_id": "J1", "hash": "a"}
assert sync_sprint(sprint, jira) == "synced"
assert sync_sprint(sprint, jira) == "nothing to do"
assert sync_sprint(sprint | {"hash": "b"}, jira) == "synced"
assert sync_sprint({"id": "2", "jira_id": "J2", "hash": "a"}, jira) == "failed"
assert jira.had == ["J1", "J1"]

import sys
loaded = sorted(name for name in sys.modules if name.startswith(("sync.monday.client", "requests", "npd")))
assert not loaded, loaded
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_jiras_sprints_are_kept_with_no_client_of_monday_loaded() -> None:
    examples = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    environment = child_environment() | {"DJANGO_SETTINGS_MODULE": "tests.state.jira_settings"}
    end = run_command(sys.executable, "-c", BEGIN + examples + PLAY, env=environment)
    assert end.returncode == 0, end.stderr
    assert SyncState.objects.filter(system="jira").count() == 2
