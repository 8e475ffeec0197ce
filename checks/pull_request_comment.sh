#!/usr/bin/env bash
# Puts every .md file of REPORT into one comment on PULL_REQUEST: the one that was made for that folder before, or a new
# one. GH_TOKEN has to have the right to write comments.
set -euo pipefail
: "${REPORT:?a folder of .md files}" "${PULL_REQUEST:?its number}"
[[ $PULL_REQUEST =~ ^[0-9]+$ ]] || { echo "PULL_REQUEST is $PULL_REQUEST, which is no number" >&2; exit 2; }
body=$(mktemp)
trap 'rm -f "$body"' EXIT
# By this the comment is found again.
mark="<!-- made of $(basename "$REPORT") -->"
echo "$mark" >"$body"
found=0
for file in "$REPORT"/*.md; do
  [[ -e $file ]] || continue
  # GitHub takes 65,536 characters.
  head -c 30000 "$file" >>"$body"
  echo >>"$body"
  found=1
done
if ((!found)); then
  echo "no report in $REPORT: nothing to tell"
  exit 0
fi
number=$(gh api "repos/{owner}/{repo}/issues/$PULL_REQUEST/comments" --paginate \
  --jq ".[] | select(.user.login == \"github-actions[bot]\" and (.body | startswith(\"$mark\"))) | .id" | head -n 1)
if [[ -n $number ]]; then
  gh api --method PATCH "repos/{owner}/{repo}/issues/comments/$number" --field "body=@$body" --jq .html_url
else
  gh api --method POST "repos/{owner}/{repo}/issues/$PULL_REQUEST/comments" --field "body=@$body" --jq .html_url
fi
