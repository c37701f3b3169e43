"""Figures for `/metrics`: gauges are read from the tables at the scrape, what only grows is counted in one of them.

Web, workers and beat run in different processes, containers and machines, so no process keeps a figure of its own:
whichever of them is scraped, the answer is the installation's.
"""

from sync.metrics.counts import Count, add
from sync.metrics.latency import Latency, observe_latency

__all__ = ["Count", "Latency", "add", "observe_latency"]
