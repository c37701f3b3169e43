#!/usr/bin/env bash
# `make hostile`: the tests that `make test` leaves out, and all tests on real servers if these answer. With options for
# pytest, only hostile tests run.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck disable=SC2206 # several words
tests=(.venv/bin/python -m pytest ${PROCESSES:-})
[ $# -gt 0 ] && exec "${tests[@]}" -m hostile "$@"

failed=0
if (echo >/dev/tcp/127.0.0.1/5432 && echo >/dev/tcp/127.0.0.1/6379) 2>/dev/null; then
    TEST_SERVERS=after "${tests[@]}" -m hostile || failed=1
    TEST_SERVERS=1 "${tests[@]}" || failed=1
else
    "${tests[@]}" -m hostile || failed=1
    echo "No PostgreSQL and Redis on 127.0.0.1: the tests on real servers were left out."
fi
exit "$failed"
