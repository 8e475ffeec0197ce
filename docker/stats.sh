#!/usr/bin/env bash
# Prints the memory of each container that is named by its id, and their sum, as `docker stats` counts it: without the
# files that the system only keeps in memory because there is room.
set -euo pipefail
[[ $# -gt 0 ]] || { echo "no container is running: make up" >&2; exit 1; }
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' "$@" | sort | awk '
  function mib(text) { return text * (text ~ /GiB$/ ? 1024 : text ~ /MiB$/ ? 1 : text ~ /KiB$/ ? 1 / 1024 : 1 / 1048576) }
  { used = mib($2); sum += used; printf "%-28s %6.0f MiB of %s\n", $1, used, $4 }
  END { printf "%-28s %6.0f MiB\n", "all", sum }'
