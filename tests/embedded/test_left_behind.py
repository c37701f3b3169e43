"""A test run that is ended leaves no process behind."""

import os
import subprocess
import sys

import psutil
import pytest

from tests.support.servers import ROOT
from tests.support.waiting import wait_for

HOLDER = """
import os, signal, subprocess, sys, time
from tests.support import guardian
child = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], start_new_session=True, stdout=subprocess.PIPE)
of_its_own = int(child.stdout.readline())
guardian.watch(child.pid)
os.killpg(child.pid, signal.SIGSTOP)
print(child.pid, of_its_own, flush=True)
time.sleep(600)
"""
pytestmark = pytest.mark.processes


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_stopped_process_and_its_own_end_when_its_run_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        children = [psutil.Process(int(pid)) for pid in holder.stdout.readline().split()]
        assert all(map(runs, children))
        holder.kill()
    wait_for("both have ended", lambda: not any(map(runs, children)))


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing where it ended between the listing and the look."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_run_that_is_ended_leaves_no_worker_and_no_beat() -> None:
    test = "tests/embedded/test_fixtures.py::test_each_test_meets_an_empty_site_whose_beat_and_worker_are_awake"
    env = {name: value for name, value in os.environ.items() if name != "TEST_SERVERS"}
    command = [sys.executable, "-m", "pytest", "-q", test]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as run:
        process = psutil.Process(run.pid)

        def family() -> list[psutil.Process]:
            assert run.poll() is None, "the run ended by itself"
            return process.children(recursive=True)

        def has_beat() -> bool:
            return any("beat" in word for one in family() for word in words_of(one))

        wait_for("beat runs", has_beat, 180)
        children = family()
        assert len(children) > 4
        run.terminate()
        run.wait(120)
    wait_for("all have ended", lambda: not [one for one in children if runs(one)], 30)
