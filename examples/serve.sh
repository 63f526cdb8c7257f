#!/usr/bin/env bash
# Serve a model with vLLM from an admitted directory. A refusal ends the script before anything is served.
set -euo pipefail
path="$(safeload admit "$@")"
exec vllm serve "$path" --served-model-name "$(basename "$path")"
