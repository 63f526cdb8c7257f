"""Fixtures of the tests of sources."""

from tests.hubserver import hub

__all__ = ["hub"]
