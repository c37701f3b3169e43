import subprocess
import sys

import psycopg
import pytest
from celery.worker import state
from kombu import Connection
from sqlalchemy import text

from config import environment
from config.embedded.broker import Transport
from config.embedded.postgres import EmbeddedPostgres
from tests.support.servers import ROOT


@pytest.fixture
def cluster(server: EmbeddedPostgres) -> EmbeddedPostgres:
    server.start()
    server.create_database("broker")
    return server


def broker_of(cluster: EmbeddedPostgres) -> str:
    return f"sqla+postgresql+psycopg://postgres@/broker?host={cluster.socket}"


def test_a_connection_to_a_server_that_is_away_fails_at_once_and_recovers(cluster: EmbeddedPostgres) -> None:
    cluster.stop()
    with Connection(broker_of(cluster), transport=Transport) as connection:
        with pytest.raises(connection.connection_errors):
            connection.connect()
        cluster.start()
        connection.connect()
        queue = connection.SimpleQueue("wake")
        queue.put("up")
        assert queue.get(timeout=60).payload == "up"
        queue.close()


# Connects once its standard input ends.
CONNECT = """
import sys
from kombu import Connection
from config.embedded.broker import Transport
print("ready", flush=True)
sys.stdin.read()
Connection(sys.argv[1], transport=Transport).SimpleQueue("wake").put("up")
"""


def test_processes_that_first_connect_at_once_make_the_tables_once(cluster: EmbeddedPostgres) -> None:
    command = [sys.executable, "-c", CONNECT, broker_of(cluster)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    codes = [process.wait(timeout=60) for process in processes]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    assert codes == [0, 0, 0, 0]


def test_an_ending_worker_takes_no_messages(cluster: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with Connection(broker_of(cluster), transport=Transport) as connection:
        queue = connection.SimpleQueue("wake")
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.5)  # a wait that nobody ends lasts as long as was asked for
        monkeypatch.setattr(state, "should_stop", 0)  # what Celery's SIGTERM does
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=100_000)
        queue.close()


def test_the_database_url_may_say_whether_statements_are_prepared(
    cluster: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CELERY_BROKER_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    database = f"postgresql://postgres@/broker?host={cluster.socket}&connect_timeout=5"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER DATABASE broker SET default_transaction_isolation = 'serializable'")
    for value in ("off", "0"):
        url = environment.broker_url(f"{database}&prepare_threshold={value}")
        with Connection(url, transport=Transport) as connection:
            queue = connection.SimpleQueue(f"wake {value}")
            for number in range(8):  # the driver prepares a statement once it has run five times
                queue.put(str(number))
            prepared = queue.channel.session.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar()
            isolation = queue.channel.session.execute(text("SHOW transaction_isolation")).scalar()
            assert [queue.get(timeout=60).payload for _ in range(8)] == [str(number) for number in range(8)]
            queue.close()
        assert (prepared == 0, isolation) == (value == "off", "read committed")
