"""The HTTP API: records, activity, queue and figures, and the endpoints for machines."""
