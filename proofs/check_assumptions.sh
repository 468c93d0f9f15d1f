#!/bin/sh
# Fails when a source leaves something unproved, or when any theorem rests on
# an assumption.  Every statement of every file given is checked, found by its
# keyword, so none can be forgotten; a statement whose proof was dropped by
# Abort is not defined, and makes Coq fail.
#
#   check_assumptions.sh Frame.v Lossless.v ...
set -eu
cd "$(dirname "$0")"

banned='\<(Admitted|admit|give_up|Axioms?|Parameters?|Conjectures?|Abort|bypass_check)\>|Unset (Guard|Positivity|Universe) Checking'
if grep -nE "$banned" "$@"; then
    echo "check_assumptions: the lines above are not allowed in a proof" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for file in "$@"; do
    module=${file%.v}
    sed -nE "s/^(Theorem|Corollary|Lemma|Example|Fact|Proposition) ([A-Za-z0-9_']+).*/CoreMerge.$module.\2/p" "$file"
done > "$work/names"
{
    echo 'From mathcomp Require Import all_ssreflect all_algebra.'
    for file in "$@"; do echo "From CoreMerge Require ${file%.v}."; done
    sed 's/.*/Print Assumptions &./' "$work/names"
} > "$work/Assumptions.v"

coqc -Q . CoreMerge -w none "$work/Assumptions.v" > "$work/output"

closed=$(grep -cx 'Closed under the global context' "$work/output" || true)
lines=$(wc -l < "$work/output")
wanted=$(wc -l < "$work/names")
if [ "$wanted" -eq 0 ] || [ "$closed" -ne "$wanted" ] || [ "$lines" -ne "$wanted" ]; then
    echo "check_assumptions: $closed of $wanted statements are closed; Coq said:" >&2
    cat "$work/output" >&2
    exit 1
fi
paste "$work/names" "$work/output"
echo "$wanted statements, none with an assumption."
