#!/usr/bin/env bash
# Style, validity, Terraform's own tests and checkov, for every module and environment: what `make terraform-check` runs.
# It needs no account and leaves nothing in the tree, for it works on a copy.
#
#   terraform/check.sh [part ...] [folder ...]
#
# Parts are fmt, validate, test and checkov; folders are those of modules and environments, as modules/lake. Without any,
# all of them. What surrounds it:
#   TERRAFORM_FOLDER  the tree that is looked at; this script's folder by default
#   TF_PLUGIN_DIR     a folder in which the providers lie (a filesystem mirror); without it, Terraform finds or fetches them
#                     as its own configuration says
#   CHECKOV           the program, if it is not on the path
#   JOBS              how many folders at once; 2 by default
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "${TERRAFORM_FOLDER:-$home}" && pwd)
parts=()
folders=()
for given in "$@"; do
  case "$given" in
    fmt | validate | test | checkov) parts+=("$given") ;;
    *)
      [ -d "$tree/$given" ] || { echo "terraform/check.sh: $given is neither a part nor a folder of $tree" >&2; exit 2; }
      folders+=("${given%/}")
      ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(fmt validate test checkov)
scanned=("${folders[@]/#/./}")
if [ ${#folders[@]} -eq 0 ]; then
  # Whatever holds a configuration is looked at, so that a new module cannot be forgotten.
  while IFS= read -r folder; do folders+=("$folder"); done < <(cd "$tree" && find . -name '*.tf' -not -path '*/.terraform/*' \
    -not -path '*/tests/*' -exec dirname {} \; | sed 's|^\./||' | sort -u)
fi
[ ${#folders[@]} -gt 0 ] || { echo "terraform/check.sh: $tree has no configuration" >&2; exit 2; }
asked() { case " ${parts[*]} " in *" $1 "*) ;; *) return 1 ;; esac }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/plugins" "$work/said"
# Without what Terraform left there, which may be as large as its providers.
(cd "$tree" && find . -type d -name .terraform -prune -o -type f -not -name '*.tfstate*' -print0 |
  tar --create --null --files-from=- --file=-) >"$work/tree.tar"
mkdir "$work/tree" "$work/scanned"
tar --extract --directory "$work/tree" --file "$work/tree.tar"
tar --extract --directory "$work/scanned" --file "$work/tree.tar" "${scanned[@]}"

export TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1 TF_PLUGIN_DIR=${TF_PLUGIN_DIR:-} WORK=$work
# Providers that are fetched are fetched once; two that fetch at once into one cache is what Terraform does not allow.
export TF_PLUGIN_CACHE_DIR=$work/plugins TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE=1
[ -z "${TF_CLI_CONFIG_FILE:-}" ] || [ -f "$TF_CLI_CONFIG_FILE" ] || unset TF_CLI_CONFIG_FILE
jobs=${JOBS:-2}
[ -n "$TF_PLUGIN_DIR" ] || jobs=1
failed=0

if asked fmt; then
  if differing=$(cd "$work/tree" && terraform fmt -check -diff -recursive 2>&1); then
    echo "ok      fmt"
  else
    printf 'FAILED  fmt: run terraform fmt -recursive\n%s\n' "$differing"
    failed=1
  fi
fi

# Prints a line on success, and all that Terraform said otherwise.
look_at() {
  local folder=$1 part said began=$SECONDS told=""
  shift
  said=$WORK/said/$(echo "$folder" | tr / -)
  cd "$WORK/tree/$folder"
  if ! terraform init -backend=false -no-color ${TF_PLUGIN_DIR:+"-plugin-dir=$TF_PLUGIN_DIR"} >"$said" 2>&1; then
    printf 'FAILED  init      %s\n%s\n' "$folder" "$(cat "$said")"
    return 1
  fi
  for part in "$@"; do
    case "$part" in
      validate)
        terraform validate -no-color >"$said" 2>&1 && ! grep -q '^│ Warning\|^Warning' "$said" ||
          { printf 'FAILED  validate  %s\n%s\n' "$folder" "$(cat "$said")"; return 1; }
        told="$told, valid"
        ;;
      test)
        if ! compgen -G '*.tftest.hcl' >/dev/null && ! compgen -G 'tests/*.tftest.hcl' >/dev/null; then
          printf 'FAILED  test      %s has no *.tftest.hcl\n' "$folder"
          return 1
        fi
        terraform test -no-color >"$said" 2>&1 ||
          { printf 'FAILED  test      %s\n%s\n' "$folder" "$(cat "$said")"; return 1; }
        told="$told, $(sed -n 's/^Success! \([0-9]* passed\), .*/\1/p' "$said")"
        ;;
    esac
  done
  printf 'ok      %-28s %s s%s\n' "$folder" "$((SECONDS - began))" "$told"
}
export -f look_at

inside=()
if asked validate; then inside+=(validate); fi
if asked test; then inside+=(test); fi
if [ ${#inside[@]} -gt 0 ]; then
  printf '%s\0' "${folders[@]}" |
    xargs -0 -n 1 -P "$jobs" bash -c 'look_at "${@: -1}" "${@:1:$#-1}" || exit 1' look_at "${inside[@]}" || failed=1
fi

if asked checkov; then
  # A reason, which takes three words, stands behind the second colon. In the configuration, where an exception would hold everywhere, there is none.
  if bare=$(cd "$tree" && grep -rnE 'checkov:skip' --include='*.tf' . | grep -vE 'checkov:skip=CKV[0-9A-Z_]+: ?([^[:space:]]+ ){2}'); then
    printf 'FAILED  checkov: an exception has no reason\n%s\n' "$bare"
    failed=1
  fi
  began=$SECONDS
  if (cd "$work/scanned" && "${CHECKOV:-checkov}" --directory . --config-file "$home/.checkov.yaml" \
    --external-checks-dir "$home/checkov") >"$work/said/checkov" 2>&1; then
    echo "ok      checkov $((SECONDS - began)) s, $(awk -F '[:,]' '/^Passed checks:/ { passed += $2; excepted += $6 }
      END { print passed " passed, " excepted " excepted" }' "$work/said/checkov")"
  else
    printf 'FAILED  checkov\n%s\n' "$(grep -B 1 -A 2 'FAILED for' "$work/said/checkov" || cat "$work/said/checkov")"
    failed=1
  fi
fi

exit "$failed"
