#!/usr/bin/env bash
# Serve a GGUF file with llama.cpp from an admitted directory: llama.sh MODEL FILE.gguf [options of llama-server]
set -euo pipefail
model="$1" file="$2"
shift 2
path="$(safeload admit "$model" --gguf-file "$file")"
exec llama-server --offline --model "$path/$(basename "$file")" "$@"
