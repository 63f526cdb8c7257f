"""The command line: one file per command, in this folder. Here are only their names, so that `--help` loads nothing."""

from __future__ import annotations

COMMANDS = {
    "admit": "write a directory that any loader can read safely, and print its path",
    "scan": "say what is in model files, without loading them",
    "convert": "write a checkpoint or a whole model as safetensors, without running it",
    "inspect": "show the tensors, data and globals of a file, without loading it",
    "audit": "say what the code of a model is and what it can do, without running it",
    "approve": "write down that you read the code of a model, so that exactly this code may run",
    "kernel": "say what a kernel of the hub holds, and print the lines that list it in a policy",
    "run": "run an unmodified program, all of whose loads are guarded",
    "templates": "show the chat templates of a model, what they do, and how they differ from one you trust",
    "lock": "pin models to exact bytes in safeload.lock, or check that they still are",
    "policy": "write, check and explain safeload.toml: who may publish what",
    "diff": "compare two locks, directories or models, file by file",
    "bom": "write a CycloneDX bill of materials of a model",
    "keys": "make and list the keys that sign models",
    "sign": "sign a model's files, so that others can tell whose they are",
    "verify": "say who signed a model, which files, and what differs",
    "doctor": "look for what makes loading models unsafe on this machine",
    "cache": "list, verify or prune what safeload keeps",
    "demo": "load a poisoned and a harmless model, and watch",
}
