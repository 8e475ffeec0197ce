#!/usr/bin/env bash
# Commits changed locks to the branch `newer-locks` and opens a pull request, or brings the open one up to date. GH_TOKEN has
# to have the right to write both. A pull request that GITHUB_TOKEN opened starts no checks: close and open it again.
set -euo pipefail
branch=newer-locks
git add -- '*.lock' checks/package-lock.json
if git diff --cached --quiet; then
  echo "the locks are up to date"
  exit 0
fi
git switch --force-create "$branch"
git -c user.name='github-actions[bot]' -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
  commit --quiet --message "Lock newer versions"
gh auth setup-git
git push --force origin "HEAD:refs/heads/$branch"
if [[ -z $(gh pr list --head "$branch" --state open --json number --jq '.[].number') ]]; then
  gh pr create --head "$branch" --title "Lock newer versions" --body "Made by \`make lock lock-checks lock-cloud lock-docs\`."
fi
