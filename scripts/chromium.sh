#!/usr/bin/env bash
# Debian's Chromium, which the tests of the report's page look through; installed where
# it is missing. Needs root, or sudo without a password.
set -euo pipefail
command -v chromium > /dev/null && exit 0
command -v apt-get > /dev/null || {
  echo "no chromium here, and no apt-get: install Chromium and rerun" >&2
  exit 1
}
root=()
if [ "$(id -u)" != 0 ]; then root=(sudo -n); fi
"${root[@]}" apt-get update -qq
"${root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
