"""What a run was measured on, in a line: figures without it say nothing."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil

from bench.ground import machine
from config.embedded.postgres import MAJOR


def surroundings() -> str:
    """The machine, how busy it was before, and the day."""
    memory = psutil.virtual_memory().total / 1024**3
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = "idle before" if load < cores / 4 else f"load {load:.1f} before, so times are longer than need be"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{day}: {machine()}, {_processor()}, {memory:.0f} GB, PostgreSQL {MAJOR}; {busy}"


def _processor(told: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, where the system tells it."""
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
