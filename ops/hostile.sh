#!/usr/bin/env bash
# `make hostile`: what `make test` leaves out, and says what this machine can't play. With options for pytest: the
# hostile tests alone, by these options.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck disable=SC2206 # several words
tests=(.venv/bin/python -m pytest ${PROCESSES:-})
failed=0

step() {
    echo "== $*"
    "$@" || { echo "== failed: $*"; failed=1; }
}

engine() {
    docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 && return
    type podman runc iptables mmdebstrap catatonit >/dev/null 2>&1
}

[ $# -gt 0 ] && exec "${tests[@]}" -m hostile "$@"
# Beside the tests, from the beginning: both mostly wait, for packages, for a boot, for a database that is away.
told=$(mktemp -d)
beside=()
if [ "$(id -u)" = 0 ] && type mmdebstrap unshare nsenter ip >/dev/null 2>&1; then
    beside+=(units)
else
    echo "== not root, or no mmdebstrap: the systemd units were not played"
fi
if engine; then
    beside+=(containers)
else
    echo "== neither Docker nor podman: docker-compose.yml was not played"
fi
for name in ${beside[@]+"${beside[@]}"}; do
    { make "$name" >"$told/$name" 2>&1; echo $? >"$told/$name.ended"; } &
done
if (echo >/dev/tcp/127.0.0.1/5432 && echo >/dev/tcp/127.0.0.1/6379) 2>/dev/null; then
    TEST_SERVERS=after step "${tests[@]}" -m hostile
    TEST_SERVERS=1 step "${tests[@]}"
else
    step "${tests[@]}" -m hostile
    echo "== no PostgreSQL and Redis on 127.0.0.1: the tests on real servers were left out"
fi
wait
for name in ${beside[@]+"${beside[@]}"}; do
    echo "== make $name"
    cat "$told/$name"
    [ "$(cat "$told/$name.ended")" = 0 ] || { echo "== failed: make $name"; failed=1; }
done
rm -r "$told"
exit "$failed"
