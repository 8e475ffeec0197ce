#!/usr/bin/env bash
# mc ready local: whether the server answers.
set -euo pipefail
exec python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/healthz', timeout=3)"
