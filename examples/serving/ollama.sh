#!/usr/bin/env bash
# Give a model to Ollama from an admitted directory: ollama.sh NAME MODEL [FILE.gguf]
# Ollama copies what it is given, so the directory may go afterwards.
set -euo pipefail
name="$1" model="$2" file="${3-}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
path="$(safeload admit "$model" --into "$work/admitted" ${file:+--gguf-file "$file"})"
printf 'FROM %s\n' "$path${file:+/$(basename "$file")}" >"$work/Modelfile"
ollama create "$name" -f "$work/Modelfile"
