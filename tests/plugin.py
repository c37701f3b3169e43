"""Gives the test run its servers before Django's settings are read."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from config.embedded.postgres import StartError
from tests.support import guardian
from tests.support import servers as test_servers

# Keep bytecode whatever the shell says: a run starts hundreds of processes, each with all of our modules, and
# rewriting assertions is the larger part of collecting the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

SERVERS = pytest.StashKey[test_servers.Servers]()
TESTS = Path(__file__).parent


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Start the servers in a wrapper: it runs before pytest-django, which reads the settings in the same hook."""
    options = early_config.known_args_namespace
    is_run = not (options.help or options.version)
    if _only_deals_out(options):
        os.environ.update(test_servers.NOWHERE)
        if is_run:
            try:
                test_servers.check()
            except StartError as error:  # once, not by each test process
                raise pytest.UsageError(str(error)) from error
    elif is_run:
        signal.signal(signal.SIGTERM, interrupt)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell starts background jobs with SIGINT ignored, and all that tests start would inherit that.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            servers = test_servers.start()
        except StartError as error:
            raise pytest.UsageError(str(error)) from error
        early_config.stash[SERVERS] = servers
        variables = test_servers.environment(servers)
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)
    try:
        return (yield)
    except BaseException:  # pytest_unconfigure is not called without a finished start
        if SERVERS in early_config.stash:
            early_config.stash[SERVERS].stop()
        raise


def _only_deals_out(options: Any) -> bool:
    """Return whether this process only hands the tests to others (pytest-xdist), which start their own servers."""
    return bool(getattr(options, "numprocesses", None)) and "PYTEST_XDIST_WORKER" not in os.environ


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores, as tests wait a quarter of their time; at most four."""
    return min(4, (os.cpu_count() or 1) + 1)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that every fixture cleans up; a second signal is ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


# What may differ between the embedded PostgreSQL 18 with its broker and PostgreSQL 15 with Redis: triggers, migrations,
# claims, locks, visible sessions, the broker, processes that end or lose their servers, and the statements of each
# page, list, metric and deletion. The embedded run has all tests.
ON_REAL_SERVERS = (
    "admin/test_who_only_looks.py",
    "api/test_doors.py::test_readyz",
    "api/test_lists.py::test_thirty_rows_of_a_list",
    "chaos/test_killed_anywhere.py",
    "chaos/test_seeds.py",
    "commands/test_sync_prune.py::test_of_what_is_old_only_that_goes",
    "domain/test_migrations.py",
    "domain/test_triggers.py",
    "doors/test_recorded_doors.py::test_a_door_is_as_it_was_recorded[metrics.txt]",
    "personal_data/test_erasure.py::test_after_an_erasure",
    "queue/test_backoff.py::test_a_claim_gives_way_to_a_save",
    "queue/test_claims.py",
    "queue/test_queue_laws.py",
    "queue/test_takeover.py",
    "queue/test_wake.py",
    "story/test_faults_killed.py",
    "story/test_faults_messages.py::test_with_the_broker_off",
    "story/test_graceful_stop.py",
    "story/test_real_servers.py::test_behind_pgbouncer",
    "story/test_processes.py",
    "sweeps/test_restored_database.py",
)
# Its hostile tests run on both, as it matters who dies on the embedded broker, and when.
ON_BOTH = "test_killed_anywhere.py"


def _mode(config: pytest.Config) -> str:
    """Return the value of TEST_SERVERS, or nothing if tests are named."""
    is_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return os.environ.get("TEST_SERVERS", "") if is_all else ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """On real servers don't read files without tests for them: that would take half a minute of processor time."""
    if _mode(config) != "1" or not collection_path.name.startswith("test_"):
        return None
    return collection_path not in {TESTS / name.partition("::")[0] for name in ON_REAL_SERVERS} or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TEST_SERVERS=1 leaves out what is the same on both servers, TEST_SERVERS=after hostile tests that run there."""
    mode = _mode(config)
    if mode not in ("1", "after"):
        return
    on_real_servers = tuple(f"tests/{name}" for name in ON_REAL_SERVERS)
    left_out = [item for item in items if item.nodeid.startswith(on_real_servers) != (mode == "1")]
    if mode == "after":
        left_out = [item for item in left_out if item.get_closest_marker("hostile") and item.path.name != ON_BOTH]
    config.hook.pytest_deselected(items=left_out)
    dropped = set(left_out)
    items[:] = [item for item in items if item not in dropped]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exempt what is loaded now from garbage collection, and collect less often than every few hundred rows."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_report_header(config: pytest.Config) -> str:
    servers = config.stash.get(SERVERS, None)
    return f"servers: {servers.description}" if servers else "servers: each test process has its own"


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    guardian.close()
    if SERVERS in config.stash:
        config.stash[SERVERS].stop()
