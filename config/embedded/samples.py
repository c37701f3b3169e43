"""Whether a database holds the sample data of `make run`, which nobody wants on a real account's boards."""

import psycopg

DEMO_USER = "monday-sandbox"  # npd.demo.people.PAGE, whose module wants Django to be set up
SAMPLE_DATA = (
    "This database holds the sample data of an earlier run with the sandbox, and `monday_setup` would send it "
    "to your account.\nFor a database of its own: Ctrl-C, then `make reset` (deletes the sample data) and "
    "`make run` again; or set DATABASE_URL to another PostgreSQL."
)


def holds_sample_data(url: str) -> bool:
    """Whether the demo was ever prepared in this database: its board page has a user there."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        found = connection.execute("SELECT FROM auth_user WHERE username = %s", [DEMO_USER])
        return found.fetchone() is not None
