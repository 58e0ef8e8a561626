#!/usr/bin/env bash
# `make install`, step by step: `install.sh repository | packages | assets | dev | references`. Every step can be repeated; nothing is done twice.
set -euo pipefail
cd -P "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

repository() { # git and DVC keep the history: set them up where the project came as a bare download
  if ! git rev-parse --show-toplevel >/dev/null 2>&1 || ! git ls-files --error-unmatch Makefile >/dev/null 2>&1; then
    [ -e .git ] || git init --quiet --initial-branch main
  elif [ "$(git rev-parse --show-toplevel)" != "$PWD" ]; then
    echo "$PWD is a folder of the repository $(git rev-parse --show-toplevel); Crossover needs a repository of its own" >&2
    exit 2
  fi
  if ! git rev-parse --quiet --verify HEAD >/dev/null; then
    git add --all
    git config user.email >/dev/null || set -- -c user.name=Crossover -c user.email=crossover@localhost
    git "$@" commit --quiet --message "Crossover, as downloaded"
  fi
}

fetch() { # LOCK [into a folder]: exactly its versions and hashes; uv where there is one and it can reach the index, else pip
  local uv
  set -- --quiet --no-deps --require-hashes ${2:+--target "$2"} --requirement "$1"
  if uv=$(PATH="$PWD/.venv/bin:$PATH" command -v uv) &&
    "$uv" pip install --compile-bytecode --python .venv/bin/python "$@"; then
    return
  fi
  .venv/bin/python -m pip install --disable-pip-version-check "$@"
}

packages() {
  if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$PYTHON is older than 3.11: PYTHON=python3.11 make install, for example" >&2
    exit 2
  fi
  [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
  echo "packages: the set of requirements.lock"
  fetch requirements.lock
  torch=$(sed -n 's/^ *"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)
  echo "packages: $torch, ${TORCH_INDEX:-the build that the package index offers (TORCH_INDEX=... chooses another)}"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$torch"
}

assets() {
  [ -d .dvc ] || .venv/bin/python -m dvc init --quiet
  .venv/bin/python -m tasks.shelf
  .venv/bin/python -m tasks.example
}

case $1 in
repository) repository ;;
packages) repository && packages ;;
assets) assets ;;
dev) fetch requirements-dev.lock ;;
references) rm -rf .venv/references && fetch tests/benchmarks/references.lock .venv/references ;;
esac
