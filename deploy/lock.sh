#!/usr/bin/env bash
# Renews requirements/*.lock from requirements/*.in. Needs uv, and the CPU build of torch wherever uv is told to look
# (UV_FIND_LINKS or UV_EXTRA_INDEX_URL). The locks hold hashes and no addresses. `deploy/lock.sh --upgrade` takes newer releases.
set -euo pipefail
cd "$(dirname "$0")/../requirements"
command -v uv >/dev/null || { echo "lock: uv is not on the PATH; install it with: python3 -m pip install uv" >&2; exit 2; }

compile() {
    local name=$1 overrides=$2
    shift 2
    uv pip compile "$name.in" --output-file "$name.lock" --python-version 3.11 --override "$overrides" \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet "$@"
}

compile cpu excluded.txt "$@"
grep -q '^torch==.*+cpu' cpu.lock || { echo "lock: cpu.lock came out without the CPU build of torch" >&2; exit 1; }
compile dev excluded.txt "$@"
UV_FIND_LINKS="" compile gpu excluded-gpu.txt "$@"
# what the benches measure against, each in an environment of its own
for peer in peers-*.in; do
    UV_FIND_LINKS="" compile "${peer%.in}" /dev/null "$@"
done
