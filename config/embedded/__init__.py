"""The embedded default: PostgreSQL from a wheel, Celery's broker on it, and `make run`."""
