#!/usr/bin/env bash
# Plays docker-compose.yml on a Docker engine, with the sandbox for Monday: build and start, sign-in over https, a contact to
# the board and back, an upgrade with a good migration and with one that fails, backup and restore. It takes the ports 80,
# 443 and 8001, works in a copy of the last commit, and removes its containers and volumes when it ends.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
export COMPOSE_PROJECT_NAME=npd-try
compose() { docker compose --profile sandbox "$@"; }
cleanup() {
    [ "$?" = 0 ] || compose logs --tail 30 || true
    compose down --volumes --remove-orphans >/dev/null 2>&1 || true
    [ -z "${visitor:-}" ] || kill "$visitor" 2>/dev/null || true
    rm -r "$folder"
}
trap cleanup EXIT
step() { echo "-- $* (after $SECONDS s)"; }
fail() { echo "FAILED: $*"; exit 1; }
# until_ready COMMAND…: the command is tried for a minute.
until_ready() {
    for _ in $(seq 120); do
        if "$@"; then return; fi
        sleep 0.5
    done
    fail "not within a minute: $*"
}
site() { curl -sk --max-time 60 "$@"; }

git archive HEAD | tar -x -C "$folder"
cd "$folder"
# The .env of sandbox/README.md, word by word.
sed -n '/^SECRET_KEY=/,/^```/{/^```/d;p}' sandbox/README.md >.env

step build and start
compose up --build -d --wait --quiet-pull

step an administrator, the boards
compose exec -T -e DJANGO_SUPERUSER_PASSWORD=of-this-try-alone web \
    python manage.py createsuperuser --noinput --username admin --email admin@example.org
compose exec -T web python manage.py monday_setup
compose exec -T web python manage.py monday_check
token=$(compose exec -T web python manage.py drf_create_token admin | sed 's/^Generated token \(\S*\).*/\1/')
as_admin=(-H "Authorization: Token $token" -H 'Content-Type: application/json')

step sign-in over https
site -c cookies -o /dev/null https://localhost/accounts/login/
csrf=$(awk '/csrftoken/ { print $7 }' cookies)
site -b cookies -c cookies -o /dev/null -e https://localhost/ https://localhost/accounts/login/ \
    --data-urlencode "csrfmiddlewaretoken=$csrf" -d login=admin -d password=of-this-try-alone
[ "$(site -b cookies -o /dev/null -w '%{http_code}' https://localhost/admin/)" = 200 ] || fail "no sign-in"

step a contact to the board and back
site "${as_admin[@]}" -d '{"name": "Ada Lovelace", "email": "ada@example.org"}' https://localhost/api/v1/contacts/ >/dev/null
contact() { site "${as_admin[@]}" 'https://localhost/api/v1/contacts/?search=ada@example.org'; }
is_synced() { contact | grep -q '"sync_status":"synced"'; }
has_name() { contact | grep -q "\"name\":\"$1\""; }
until_ready is_synced
item=$(contact | sed 's/.*"monday_id":"\([0-9]*\)".*/\1/')
rename() {
    curl -sf -o /dev/null -H 'Content-Type: application/json' http://127.0.0.1:8001/_control/actions \
        -d "{\"action\": \"rename\", \"item_id\": \"$item\", \"name\": \"$1\"}"
}
rename 'Ada King'
until_ready has_name 'Ada King'

# A visitor asks ten times a second; whatever isn't 200 is written down.
visit() {
    while sleep 0.1; do
        answer=$(site -o /dev/null -w '%{http_code}' "${as_admin[@]}" https://localhost/api/v1/contacts/ || true)
        [ "$answer" = 200 ] || echo "$answer" >>refused
    done
}
migration() {
    cat >npd/migrations/0002_try.py <<PYTHON
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("npd", "0001_initial")]
    operations = [migrations.RunSQL("$1", migrations.RunSQL.noop)]
PYTHON
}
# As docs/howto/run-on-real-servers.md says.
upgrade() {
    compose build --quiet && compose run --rm -T migrate && compose up -d --no-deps --wait worker beat web caddy &&
        compose exec -T -w /etc/caddy caddy caddy reload
}
visit &
visitor=$!

step an upgrade whose migration fails: the former version goes on
migration 'SELECT 1/0'
if upgrade >upgrade.log 2>&1; then fail "the failing migration passed"; fi
[ "$(compose ps --status running --services | grep -cE '^(web|worker|beat)$')" = 3 ] || fail "the upgrade stopped NPD"

step an upgrade with a good migration
migration 'SELECT 1'
# Replaced, as Git does it.
sed 's/^{$SITE_URL} {/&\n\trespond \/of-this-try 204/' ops/Caddyfile >ops/new
mv ops/new ops/Caddyfile
upgrade
[ "$(site -o /dev/null -w '%{http_code}' https://localhost/of-this-try)" = 204 ] || fail "the new Caddyfile doesn't count"
compose exec -T web python manage.py showmigrations npd | grep -q '\[X\] 0002_try' || fail "not migrated"
kill "$visitor"
visitor=
[ ! -s refused ] || fail "requests lost during the upgrades: $(sort refused | uniq -c)"

step backup, a loss, restore
(umask 077; compose exec -T postgres pg_dump -U npd --format=custom --no-owner npd >npd.dump)
psql() { compose exec -T postgres psql -q -U npd -v ON_ERROR_STOP=1 postgres -c "$1"; }
manage() { compose run --rm -T --no-deps worker python manage.py "$@"; }
compose stop web worker beat
psql 'CREATE DATABASE npd_restored'
compose exec -T postgres pg_restore -U npd --no-owner --exit-on-error --dbname=npd_restored <npd.dump
psql 'ALTER DATABASE npd RENAME TO npd_broken'
psql 'ALTER DATABASE npd_restored RENAME TO npd'
# An edit since the backup comes from the board.
rename 'Ada Byron'
manage shell <ops/restore/take_from_monday.py
manage sync_reconcile --dry-run
manage sync_reconcile
manage shell <ops/restore/one_way_again.py
compose start web worker beat
until_ready has_name 'Ada Byron'
compose exec -T web python manage.py monday_check
echo "The containers hold (after $SECONDS s)."
