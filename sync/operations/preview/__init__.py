"""What the sync would do, with nothing of it done, and why a record is as it is."""
