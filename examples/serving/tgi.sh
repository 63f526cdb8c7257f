#!/usr/bin/env bash
# Serve a model with TGI from an admitted directory: tgi.sh MODEL [options of text-generation-launcher]
set -euo pipefail
model="$1"
shift
path="$(safeload admit "$model")"
export HF_HUB_OFFLINE=1
exec text-generation-launcher --model-id "$path" "$@"
