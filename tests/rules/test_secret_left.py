"""Secrets left in files are said, whole secrets are not repeated, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" * 2


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "hf_" + LETTERS[:34],
        "ghp_" + LETTERS[:36],
        "glpat-" + LETTERS[:20],
        "xoxb-" + "1234567890-" + LETTERS[:20],
        "AIza" + LETTERS[:35],
        "sk-proj-" + LETTERS[:20] + "T3BlbkFJ" + LETTERS[:20],
        "sk-ant-" + LETTERS[:90],
        "sk_live_" + LETTERS[:24],
        "WANDB_API_KEY=" + "0123456789" * 4,
    ],
)
def test_a_secret_is_said_and_not_repeated(secret: str) -> None:
    """In prose, settings, code and notebooks; the finding shows its first letters, and the file keeps its status."""
    notebook = {"nbformat": 4, "cells": [{"cell_type": "code", "source": f"x = '{secret}'"}]}
    for name, raw in (
        ("README.md", f"é token: {secret} .\n"),
        ("config.yaml", f"token: '{secret}'\n"),
        ("config.json", json.dumps({"deep": [{"token": secret}]})),
        ("train.py", f"TOKEN = '{secret}'\n"),
        ("x.ipynb", json.dumps(notebook)),
    ):
        report = inspect(MemoryBlob(raw.encode()), name, Limits()).report
        found = [finding for finding in report.findings if finding.rule == "secret-left"]
        assert found and all(finding.status is Status.SAFE and secret not in finding.message for finding in found)


@pytest.mark.parametrize(
    "text",
    [
        "hf_model_name_that_is_long_enough_to_be_one",
        "AKIA",
        "sk-learn",
        "-----BEGIN CERTIFICATE-----",
        "a" * 64,
        "xoxo",
    ],
)
def test_other_words_are_no_secrets(text: str) -> None:
    """Names, digests and certificates are left alone."""
    report = inspect(MemoryBlob(json.dumps({"x": text}).encode()), "config.json", Limits()).report
    assert report.findings == ()
