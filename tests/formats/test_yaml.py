"""YAML files: every spelling of a tag and of a key is found, and ordinary files stay quiet."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.formats.base import Reference
from safeload.formats.yaml_scan import scan
from tests.formats.helpers import of, reading

CORE = "tag:yaml.org,2002:"


def status(text: str, name: str = "config.yaml") -> Status:
    return inspect(MemoryBlob(text.encode()), name, Limits()).report.status


def tags(text: str) -> set[str]:
    return {found.value for found in scan(text, ()) if not found.key}


def values(text: str, key: str = "_target_") -> list[str]:
    return [found.value for found in scan(text, (key,)) if found.key]


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [touch x]",
        "a: !!python/object/apply:os.system [x]",
        "a: [1, !!python/object/apply:os.system [x]]",
        "a: {b: !!python/object/apply:os.system [x]}",
        "- - !!python/object/apply:os.system [x]",
        "? !!python/object/apply:os.system [x]\n: 1",
        "a: !<tag:yaml.org,2002:python/object/apply:os.system> [x]",
        "%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!object/apply:os.system [x]",
        "%TAG !! tag:yaml.org,2002:python/object/\n---\na: !!apply:os.system [x]",
        "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [x]",
        "a: !!python/object%2Fapply:os.system [x]",
        "a: !!%70ython/object/apply:os.system [x]",
        "a: &anchor !!python/object/apply:os.system [x]",
        "a: |\n  # text\nb: !!python/object/apply:os.system [x]",
        "# a comment\x85!!python/object/apply:os.system [x]",
        "'quoted # not a comment': !!python/object/apply:os.system [x]",
        "\ufeffa: !!python/object/apply:os.system [x]",
        "a: 1\n---\nb: !!python/object/apply:os.system [x]",
        "!!python/object/new:os.system [x]",
        "!!python/module:subprocess",
        "!!python/name:os.system",
        "a: !apply:os.system [x]",
        "a: !new:subprocess.Popen\n  args: x",
        "a: !name:os.system",
        "a: !!javax.script.ScriptEngineManager []",
        "_target_: os.system",
        "a:\n  _target_: subprocess.run\n  args: [ls]",
        '"_target_": "os.system"',
        '"\\x5ftarget_": os.system',
        "{_target_: os.system, command: x}",
        "_target_: &x\n  os.system",
        "x: &x os.system\n_target_: *x",
        "? _target_\n: os.system",
        "_target_: # why\n  os.system",
        "_target_: !!str os.system",
        "target: os.system",
        "class_path: builtins.eval",
        "flavors:\n  python_function:\n    loader_module: subprocess\n",
    ],
)
def test_yaml_that_runs_code_is_dangerous(text: str) -> None:
    """However it is spelled, a call of the standard library is found."""
    assert status(text) is Status.DANGEROUS


@pytest.mark.parametrize(
    "text",
    [
        "_target_: my_package.models.Model",
        "model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN\n  input_size: 80",
        "a: !!python/object/apply:collections.OrderedDict\n- - [a, 1]",
        "a: !!python/object:my_package.Thing {}",
        "a: !include other.yaml",
        "trust_remote_code: true",
        "target: ldm.models.diffusion.ddpm.LatentDiffusion",
    ],
)
def test_yaml_that_names_code_is_unverified(text: str) -> None:
    """Names of installed code are said, and are not called dangerous."""
    assert status(text) is Status.UNVERIFIED


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [x, y]\nc: {d: !!float 1}\n",
        "# !!python/object/apply:os.system\na: b",
        "a: !!python/tuple [1, 2]",
        "prompt: Stop! Never say !important, wow!! Be careful !world",
        "target: 0.5\ntargets: [os.system]\nmy_target_: 1",
        "trust_remote_code: false",
        "checkpoint_path: /home/me/model.ckpt\nweights: ../x",
        "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    code: null\n",
        "on: push\nuses: actions/checkout@v4",
    ],
)
def test_ordinary_yaml_is_safe(text: str) -> None:
    """Settings, comments and prose give no finding."""
    assert status(text) is Status.SAFE


def test_an_mlflow_model_with_code_of_its_own_says_so() -> None:
    """`code` in `MLmodel` is a folder of Python that loading the model puts on the path."""
    result = reading(b"flavors:\n  python_function:\n    code: code\n    loader_module: my.loader\n", "MLmodel")
    assert {(part.kind, part.target) for part in of(result, Reference)} == {("code", "code"), ("import", "my.loader")}


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("requirements.txt", "git+https://example.org/x.git", Status.UNVERIFIED),
        ("requirements.txt", "pkg @ https://example.org/x.whl", Status.UNVERIFIED),
        ("requirements.txt", "--extra-index-url https://example.org/simple", Status.UNVERIFIED),
        ("requirements.txt", "-f https://example.org/x", Status.UNVERIFIED),
        ("conda.yaml", "  - pip:\n    - git+ssh://git@example.org/x.git", Status.UNVERIFIED),
        ("requirements.txt", "# see https://example.org\ntorch==2.0", Status.SAFE),
        ("requirements.txt", "--extra-index-url https://download.pytorch.org/whl/cpu", Status.SAFE),
        ("conda.yaml", "channels: [conda-forge]\ndependencies: [python=3.11]", Status.SAFE),
    ],
)
def test_lists_of_packages_are_judged_by_where_they_fetch(name: str, line: str, expected: Status) -> None:
    """An address of the author's own is said; the usual indexes and comments are not."""
    assert status(f"numpy>=1\n{line}\n", name) is expected


SCALARS = st.sampled_from(["a", "'b'", '"c d"', "[1, 2]", "{x: y}", "|\n  text\n", "*z", "# note\n", "&q e", "- f"])
TAGS = st.sampled_from(["!!python/name:os.system", "!p!name:x.y", "!<tag:a,2000:b>", "!local", "!!str", "!", "!a%20b"])
PIECES = st.lists(SCALARS | TAGS | st.sampled_from([": ", ", ", "\n", "\n- ", " ", "\x85", "k: "]), max_size=12)


@given(st.booleans(), PIECES)
def test_every_tag_that_pyyaml_sees_is_found(directive: bool, pieces: list[str]) -> None:
    """Whatever PyYAML's parser reports as a tag, the scanner reports too."""
    text = ("%TAG !p! tag:yaml.org,2002:python/\n---\n" if directive else "") + "".join(pieces)
    seen = set()
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if getattr(event, "tag", None) and event.tag != "!":
                seen.add(event.tag)
    except yaml.YAMLError:
        pass  # tags until there are found all the same
    assert seen <= tags(text)


@given(PIECES, st.sampled_from(["os.system", "'os.system'", '"os.system"', '"os\\x2esystem"', "!!str os.system"]))
def test_every_target_that_pyyaml_sees_is_found(pieces: list[str], value: str) -> None:
    """Whatever PyYAML constructs with `_target_` in it, the scanner finds that value."""
    text = "".join(pieces) + f"\n_target_: {value}\n"
    try:
        data = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, TypeError):
        return
    if isinstance(data, dict) and "_target_" in data:
        assert data["_target_"] in values(text)


@given(st.text(alphabet="!&*%#:,[]{}'\"\\ \n\tpython/object_targ<>|-?\x85é", max_size=300))
def test_any_text_ends_in_findings(text: str) -> None:
    """Scanning is total."""
    assert isinstance(list(scan(text, ("_target_", "target"))), list)


@pytest.mark.parametrize(
    "text", ["!" * 200_000, "_target_" * 50_000, "_target_:" + " " * 400_000, "target: &a\n" * 20_000, "#" * 400_000]
)
def test_hostile_yaml_takes_linear_time(text: str) -> None:
    """Text made to be slow is scanned in a moment, and what is told is bounded."""
    assert len(list(scan(text, ("_target_", "target")))) <= 30_000
