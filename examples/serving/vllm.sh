#!/usr/bin/env bash
# Serve a model with vLLM from an admitted directory: vllm.sh MODEL [options of vllm serve]
# A refusal ends the script before anything is served.
set -euo pipefail
model="$1"
shift
path="$(safeload admit "$model")"
export HF_HUB_OFFLINE=1
exec vllm serve "$path" --served-model-name "$model" --load-format safetensors "$@"
