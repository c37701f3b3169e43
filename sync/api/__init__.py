"""The API of the sync: queue, stats, webhooks, cron, health; and what every API view shares."""
