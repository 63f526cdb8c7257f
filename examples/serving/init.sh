#!/bin/sh
# The init container: admit $MODEL to $INTO, or fail, and then nothing is served.
#
#   0  the model was admitted
#   1  the policy refused it: trying again changes nothing
#   2  it could not be decided: the hub did not answer, the disk is full, a file cannot be read
#
# What an earlier run admitted is judged again. Options of `safeload admit` follow: --revision, --lock, --policy …
set -eu
: "${MODEL:?the model to admit, such as org/name}" "${INTO:=/models/admitted}"
if [ -e "$INTO" ] && [ ! -f "$INTO/admission.json" ]; then
    echo "$INTO is there and was not written by safeload" >&2
    exit 2
fi
rm -rf "$INTO"
exec safeload admit "$MODEL" --into "$INTO" "$@"
