"""Monday's GraphQL on the sandbox's boards."""
