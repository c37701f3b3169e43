"""The HTTP doors of the engine: queue, stats, webhooks, cron, health; and what every API view shares."""
