"""What `make run` starts: the variables that it hands out and the command of each process."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.embedded.ports import port_of
from config.embedded.secrets import Secrets

PYTHON = sys.executable
NEW_ITEM_WAIT = "30"  # seconds; a person who tries the demo won't wait for five minutes
# What a person may set for the run and `manage.py` in a second terminal must read alike.
HANDED_ON = (
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "SITE_URL",
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "CRON_SECRET",
    "METRICS_TOKEN",
    "HEARTBEAT_DIR",
    "STATIC_MANIFEST",
    "LOG_LEVEL",
    "TIME_ZONE",
    "READY_MAX_DUE_SECONDS",
    "MONDAY_API_KEY",
    "MONDAY_API_URL",
    "MONDAY_API_VERSION",
    "MONDAY_TIMEOUT_SECONDS",
    "MONDAY_SETTLE_SECONDS",
    "MONDAY_CONTACTS_BOARD_ID",
    "MONDAY_ORGANIZATIONS_BOARD_ID",
    "MONDAY_SIGNING_SECRET",
    "MONDAY_WEBHOOK_TOKEN",
    "NEW_ITEM_WAIT_SECONDS",
    "DEFAULT_PHONE_REGION",
    "API_THROTTLE",
    "SYNC_NOW_THROTTLE",
    "SYNC_GUARD_RECORDS",
    "SYNC_GUARD_PERCENT",
    "SYNC_LOOP_TIMES",
    "SYNC_HISTORY_DAYS",
    "SYNC_QUEUE_DAYS",
    "SYNC_AUDIT_CALLS_A_DAY",
)


@dataclass(frozen=True)
class Plan:
    """One run: its ports, whether it plays Monday itself, and the variables for its processes."""

    web_port: int
    sandbox_port: int | None
    variables: dict[str, str]

    @property
    def site(self) -> str:
        """Where NPD is."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def board_page(self) -> str:
        """Where the sandbox's board page is."""
        return f"http://127.0.0.1:{self.sandbox_port}"


def plan_for(env: Mapping[str, str], secrets: Secrets) -> Plan:
    """Decide on a run from the environment. A MONDAY_API_KEY of one's own: no sandbox, no sample data."""
    web_port = port_of(env, "PORT", 8000)
    site = f"http://127.0.0.1:{web_port}"
    variables = {
        "PORT": str(web_port),
        "SECRET_KEY": secrets.secret_key,
        "CRON_SECRET": secrets.cron_secret,
        "DEBUG": "true",
        "SITE_URL": site,
    }
    variables |= {name: env[name] for name in HANDED_ON if env.get(name)}
    if not env.get("DATABASE_URL"):
        variables["EMBEDDED"] = "true"
    if env.get("MONDAY_API_KEY"):
        return Plan(web_port, None, variables)
    sandbox_port = port_of(env, "SANDBOX_PORT", 8001)
    variables |= {
        "SANDBOX_PORT": str(sandbox_port),
        "SITE_URL": site,
        "MONDAY_API_URL": f"http://127.0.0.1:{sandbox_port}/v2",
        "MONDAY_API_KEY": secrets.monday_api_key,
        "MONDAY_WEBHOOK_TOKEN": secrets.monday_webhook_token,
        "NEW_ITEM_WAIT_SECONDS": env.get("NEW_ITEM_WAIT_SECONDS") or NEW_ITEM_WAIT,
        "DEMO": "true",
    }
    return Plan(web_port, sandbox_port, variables)


def web_command() -> list[str]:
    """The web process, for this machine only."""
    return [PYTHON, "-m", "config.web", "--host", "127.0.0.1"]


def worker_command() -> list[str]:
    """A Celery worker that doesn't talk to other workers: the PostgreSQL broker has no fan-out."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [PYTHON, "-m", "celery", "-A", "config", "worker", "--concurrency=2", "--loglevel=INFO", *quiet]


def beat_command() -> list[str]:
    """Celery's clock; var/run.lock already sees to it that there is one."""
    return [PYTHON, "-m", "celery", "-A", "config", "beat", "--loglevel=INFO", "--pidfile="]


def sandbox_command(plan: Plan, var: Path) -> list[str]:
    """The simulator of Monday, whose boards live in var/.

    Its tokens are in its environment (MONDAY_API_KEY, NPD_TOKEN): `ps` shows a command line to everybody.
    """
    command = [PYTHON, "-m", "sandbox", "--port", str(plan.sandbox_port), "--data", str(var / "sandbox.db")]
    return [*command, "--npd-url", plan.site]
