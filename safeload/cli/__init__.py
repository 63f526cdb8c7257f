"""The command line: one file per command, in this folder. Here are only their names, so that `--help` loads nothing."""

from __future__ import annotations

COMMANDS = {
    "admit": "write a directory that any loader can read safely, and print its path",
    "scan": "say what is in model files, without loading them",
    "convert": "write a checkpoint or a whole model as safetensors, without running it",
    "inspect": "show the tensors, data and globals of a file, without loading it",
    "audit": "say what the code of a model is and what it can do, without running it",
    "doctor": "look for what makes loading models unsafe on this machine",
    "cache": "list, verify or prune what safeload keeps",
    "demo": "load a poisoned and a harmless model, and watch",
}
