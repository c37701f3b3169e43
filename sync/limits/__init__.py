"""Monday's limits, shared by all workers: what is left of them, what a pass may spend, the breaker."""
