#!/bin/sh
# Plans and applies the quickstart in a folder of its own, twice, and shows what drift does.
# With `s3` as its argument it does so in the bucket `quickstart` of the S3 service that the
# AWS_* variables name.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=${BATUTA_DEMO_FOLDER:-$here/../../.cache/demo}
rm -rf "$work"
mkdir -p "$work"
cp -R "$here"/batuta.yaml "$here"/datasets "$here"/environments "$work"
cd "$work"

environment=
if [ "${1:-}" = s3 ]; then
    environment=s3
    BATUTA_VAR_PORT=${AWS_ENDPOINT_URL##*:}
    export BATUTA_VAR_PORT
fi

say() { printf '\n\033[1m== %s\033[0m\n' "$1"; }
run() {
    printf '\n$ batuta %s\n' "$*"
    batuta "$@"
}
seed() {
    python "$here/seed.py" "$1" data
    if [ -n "$environment" ]; then python "$here/seed.py" upload data; fi
}
with_env() { if [ -n "$environment" ]; then run "$@" --env "$environment"; else run "$@"; fi; }

say 'Three sources: a Delta table with three versions, Parquet files, a CSV with awkward values'
seed make
find data -type f | sort

say 'What would move'
with_env plan

say 'Move it'
with_env apply --yes

say 'A second plan is empty'
with_env plan

say 'What landed, and that it is intact'
with_env data cat customers --limit 5
with_env data log orders
with_env data verify orders

say 'The source changes its schema: the plan stops'
seed drift
code=0
with_env plan || code=$?
[ "$code" = 13 ] || { echo "the plan ended with $code, not 13 (stopped by drift)" >&2; exit 1; }
printf '\nThe plan ended with exit code 13: stopped by drift, nothing was touched.\n'
