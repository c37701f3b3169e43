#!/usr/bin/env bash
# Tests that production needs nothing else: an environment from requirements.txt and a copy of the program without tests
# and .env. Imports settings, web and Celery, collects static files and, if PostgreSQL answers at TEST_DATABASE_URL,
# migrates an empty database. Then starts the sandbox in an environment from requirements/sandbox.txt.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-compile -r requirements.txt
mkdir "$folder/npd"
cp -r manage.py config npd sync conflicts sandbox templates static docs "$folder/npd"
cd "$folder/npd"
python="$folder/venv/bin/python"

export SECRET_KEY=of-this-try-alone-0123456789012345678901234567
export REDIS_URL=redis://127.0.0.1:6379/0 DATABASE_URL=postgresql://nobody@127.0.0.1/nothing
"$python" manage.py check
"$python" manage.py collectstatic --noinput -v 0
DJANGO_SETTINGS_MODULE=config.settings "$python" -c "
from config import celery, wsgi"
! "$python" -c "import waitress" 2>/dev/null || { echo "Production installs what the sandbox alone needs."; exit 1; }
python3 -m venv "$folder/sandbox"
"$folder/sandbox/bin/pip" install -qq --disable-pip-version-check --no-compile -r "$root/requirements/sandbox.txt"
"$folder/sandbox/bin/python" -m sandbox --help >/dev/null

server=${TEST_DATABASE_URL:-postgresql://root@127.0.0.1:5432/postgres}
DATABASE_URL=$server "$python" - <<'PYTHON'
import os
import subprocess
import sys
from urllib.parse import urlsplit

import psycopg

server, name = os.environ["DATABASE_URL"], f"npd_production_{os.getpid()}"
try:
    connection = psycopg.connect(server, autocommit=True, connect_timeout=2)
except psycopg.OperationalError:
    sys.exit(print("No PostgreSQL answers: nothing was migrated."))
connection.execute(f"CREATE DATABASE {name}")
try:
    database = urlsplit(server)._replace(path=f"/{name}").geturl()
    migrate = [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"]
    subprocess.run(migrate, env={**os.environ, "DATABASE_URL": database}, check=True)
finally:
    connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
PYTHON
echo "requirements.txt alone is enough."
