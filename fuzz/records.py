"""What is fuzzed beside models: the files in which people say what they trust. Policies, locks, and records of audits.

Each is read from a repository that others may write to, before anything else is decided. Reading one gives a value or a
`ConfigError` with a place; what is read back from what was written is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from safeload.core.errors import ConfigError
from safeload.trust.audits import parse_audits
from safeload.trust.lockfile import parse_lock
from safeload.trust.locktext import dump
from safeload.trust.policy_file import parse_policy
from tests.trust import locks, records
from tests.trust.test_policy_file import FILES, FULL

_SECONDS = 1.0
"""For 64 KiB, as many as a model of a megabyte may take."""


@dataclass(frozen=True)
class Record:
    """One kind of file: what reads it, and which of them fuzzing begins with."""

    name: str
    parse: Callable[[bytes], object]
    seeds: Callable[[], Iterator[bytes]]

    def __call__(self, data: bytes) -> None:
        began = time.process_time()
        try:
            self.parse(data)
        except ConfigError as error:
            assert str(error.where), "an error without a place"
            assert error.remedy, "an error without what to do next"
            assert all(line.isprintable() for line in str(error).splitlines()), "a message is not printable"
        took = time.process_time() - began
        assert took < _SECONDS, f"{took:.1f} s for {len(data):,} bytes"


def _beside(name: str) -> bytes:
    if name not in FILES:
        raise ConfigError("not used", where=name, why="No such file or directory", remedy="ls")
    return FILES[name]


def _policy(data: bytes) -> None:
    parse_policy(data, folder="/project", read=_beside, formats=lambda: ["safetensors", "gguf"])


def _audits(data: bytes) -> None:
    parse_audits(data, folder="/project", read=records.reading({}))


def _lock(data: bytes) -> None:
    assert dump(parse_lock(data)) == data, "a lock is not what it says"


def _policies() -> Iterator[bytes]:
    yield FULL.encode()
    yield b"version = 1\n"
    yield b'version = 1\n[defaults]\nmode = "warn"\n[[rule]]\nmatch = ["a/*"]\npickle = "deny"\n'


def _audit_files() -> Iterator[bytes]:
    yield (records.HEAD + records.full()).encode()
    yield b"version = 1\n"


def _locks() -> Iterator[bytes]:
    yield dump(locks.lock())


RECORDS = {
    record.name: record
    for record in (
        Record("policy-file", _policy, _policies),
        Record("lock-file", _lock, _locks),
        Record("audits-file", _audits, _audit_files),
    )
}
