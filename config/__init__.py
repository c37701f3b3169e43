"""The project: settings, URLs, Celery, and the embedded demo."""

import gc

from config.celery import app as celery_app

__all__ = ["celery_app"]

# Python collects cyclic garbage after every 700 new objects. A pass makes hundreds of thousands, all freed by their
# reference counts: collections took a third of `sync_reconcile`'s processor time and freed nothing. Web and the
# worker's pool set this again after loading (sync/kernel/process.py).
gc.set_threshold(50_000)
