"""Options and requests that mean nothing are refused when they are made, not when it is too late."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any, get_args

import pytest

from safeload.core.errors import UsageError
from safeload.core.limits import Limits
from safeload.core.policy import DEFAULT_POLICY, AllOf
from safeload.engine.options import Options
from safeload.engine.request import Access, Purpose, Request


@pytest.mark.parametrize(
    "wrong",
    [
        {"integrity": "none"},
        {"integrity": ""},
        {"integrity": None},
        {"integrity": ["auto"]},
        {"policy": None},
        {"policy": b"default"},
        {"policy": AllOf},
        pytest.param({"policy": lambda evidence: True}, id="a function as policy"),
        {"limits": None},
        {"limits": {"opcodes": 5}},
        {"limits": Limits},
        {"unsafe_convert_dangerous": "false"},
        {"unsafe_convert_dangerous": None},
        {"unsafe_convert_dangerous": 1},
        {"store": 5},
        {"store": b"/somewhere"},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_honoured_is_refused(wrong: dict[str, Any]) -> None:
    """No value is read as something near it: a text is no truth, a class is no policy."""
    with pytest.raises(UsageError) as refused:
        Options(**wrong)
    assert refused.value.why and refused.value.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "modle"},
        {"purpose": None},
        {"trust_remote_code": "false"},
        {"trust_remote_code": "False"},
        {"trust_remote_code": "yes"},
        {"use_safetensors": "no"},
        {"use_safetensors": 5},
        {"revision": 5},
        {"variant": True},
        {"variant": ["fp16"]},
        {"gguf_file": 5},
        {"subfolder": None},
        {"subfolder": 5},
        {"task": 5},
    ],
    ids=str,
)
def test_a_request_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """A purpose that does not exist would silently admit something else; a text that says no would count as yes."""
    with pytest.raises(UsageError) as refused:
        Request(**wrong)
    assert refused.value.why and refused.value.remedy


def test_options_take_no_positional_and_no_unknown_arguments() -> None:
    """A misspelt option is an error at once."""
    for wrong in (lambda: Options(DEFAULT_POLICY), lambda: Options(polcy=DEFAULT_POLICY), lambda: Request("model")):  # type: ignore[misc, call-arg]
        with pytest.raises(TypeError):
            wrong()


def test_defaults_are_the_safe_ones() -> None:
    """Who says nothing gets the default policy, no dangerous conversion and no code."""
    assert Options().policy is DEFAULT_POLICY
    assert Options().unsafe_convert_dangerous is False
    assert Request().trust_remote_code is None


@pytest.mark.parametrize("purpose", get_args(Purpose))
def test_who_wants_weights(purpose: Any) -> None:
    """Models, whole or in parts, pipelines and everything do; configs and tokenizers do not."""
    assert Request(purpose=purpose).wants_weights == (purpose in ("model", "pipeline", "parts", "everything"))


def test_options_and_requests_travel_to_other_processes() -> None:
    """Both are pickled and come back equal: worker processes load by the same rules."""
    options = Options(limits=replace(Limits(), opcodes=5), integrity="private")
    request = Request(purpose="config", native_types=frozenset({"bert"}), access=Access(token="t"))
    assert pickle.loads(pickle.dumps(options)) == options
    assert pickle.loads(pickle.dumps(request)) == request
