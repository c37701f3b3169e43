"""How the project is put together: settings, addresses, Celery, and the embedded start."""

import gc

from config.celery import app as celery_app

__all__ = ["celery_app"]

# Python looks for circles of garbage after every 700 new objects. A pass makes hundreds of thousands, which all go by
# their count of references: looking took a third of the processor's time of `sync_reconcile`, and freed nothing. Web
# and the worker's pool set it anew once all is loaded (sync/kernel/process.py).
gc.set_threshold(50_000)
