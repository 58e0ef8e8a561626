#!/bin/sh
# Gives a flow run a git worktree of its own and prints its path, nothing else. A run that is retried or resumed finds
# the one it had. It shares DVC's cache with the main checkout, which stays untouched.
# Usage: worktree.sh <any checkout of the repository> <branch, tag or commit> [<name, else the id of the flow run>]
set -eu
repo=$1
ref=$2
name=${3:-$PREFECT__FLOW_RUN_ID}
cd "$repo"
common=$(git rev-parse --path-format=absolute --git-common-dir)
here=$common/crossover/worktrees/$name
if [ ! -e "$here/.dvc/tmp/ready" ]; then
    mkdir -p "${here%/*}"
    rm -rf "$here"
    git worktree prune
    git worktree add --quiet --force --detach "$here" "$ref" >&2
    main=$(git worktree list --porcelain | sed -n '1s/^worktree //p')
    cache=$(cd "$main" && dvc cache dir)
    cd "$here"
    if [ -e "$main/.dvc/config.local" ]; then cp "$main/.dvc/config.local" .dvc/; fi # keys of the remote
    dvc cache dir --local "$(cd "$main" && realpath "$cache")" >&2
    dvc checkout --quiet --allow-missing >&2 || true # what is missing is named by the run itself
    mkdir -p .dvc/tmp
    touch .dvc/tmp/ready
fi
echo "$here"
