#!/bin/sh
# Makes .venv with the packages of requirements/$1.txt, if they aren't in it yet: `venv.sh embedded|development`.
cd "$(dirname "$0")/../.." || exit 1
case "$(pwd)" in *:*)
    echo "A colon in a folder's name ends an entry of PATH, so programs here wouldn't be found. Rename or move $(pwd)" \
        "and type the same again." >&2
    exit 1
    ;;
esac
[ -L .venv ] && exit 0 # a link to another folder's .venv, which was made there

is_made() { .venv/bin/python -c '' 2>/dev/null && grep -qF " $(pwd)/.venv" .venv/pyvenv.cfg; } # and not moved since
is_installed() { cmp -s "requirements/$1.txt" ".venv/installed-$1"; }
is_made && { is_installed "$1" || is_installed development; } && exit 0

if ! is_made; then
    python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
        echo "NPD Sync needs Python 3.11 or newer. Install it (Debian, Ubuntu: sudo apt install python3 python3-venv;" \
            "macOS: brew install python@3.12), or name one: make run PYTHON=/path/to/python3.12" >&2
        exit 1
    }
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        echo "This Python has no venv module. Install it (Debian, Ubuntu: sudo apt install python3-venv) and type the same again." >&2
        exit 1
    }
    "$python" -m venv --clear .venv || {
        echo "$(pwd)/.venv could not be made; the reason is above. Clone the project into a folder of your own." >&2
        exit 1
    }
fi
echo "Installing the packages into .venv (only this time; a minute or two) …"
rm -f .venv/installed-*
.venv/bin/python -m pip install -qq --disable-pip-version-check --retries 2 --require-hashes -r "requirements/$1.txt" || {
    echo "The packages could not be installed; the reason is above. If pypi.org can't be reached, set PIP_INDEX_URL to an index that" \
        "you can reach; then type the same again." >&2
    exit 1
}
cp "requirements/$1.txt" ".venv/installed-$1"
