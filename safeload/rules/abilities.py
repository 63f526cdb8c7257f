"""What a callable can do, in the words of findings: `it runs commands`."""

from __future__ import annotations

COMMAND = "runs commands"
CODE = "runs code"
IMPORT = "imports modules by name"
RESOLVE = "resolves names, so that it can reach any function"
MAKE = "makes functions, types or code objects"
FILE = "opens, reads or writes files"
NETWORK = "opens connections"
UNPICKLE = "unpickles further data without limits"
NATIVE = "loads native code or touches memory"
LOADER = "changes how programs load or check things"
PROCESS = "controls processes"
LEAK = "discloses or changes the environment"

ANY = "*"
"""Stands for every other name of a module, and of the modules below it."""
