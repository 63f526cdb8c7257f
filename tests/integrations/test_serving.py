"""The examples for serving engines run, with stand-ins for the engines: what was admitted is served, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.adapters import payloads
from tests.architecture.source import ROOT
from tests.corpus.build import gguf
from tests.engine.models import model

SERVING = ROOT / "examples" / "serving"
ENGINES = ("vllm", "llama-server", "text-generation-launcher", "ollama")
STAND_IN = """#!/bin/sh
for argument in "$0" "$@"; do printf '%s\\n' "$argument"; done >"$STARTED"
printf '%s\\n' "offline=${HF_HUB_OFFLINE-}" >>"$STARTED"
unset path
for argument in "$@"; do
    case "$argument" in
    *Modelfile) cat "$argument" >"$STARTED.modelfile"; path="$(sed 's/^FROM //' "$argument")" ;;
    /*) path="${path-$argument}" ;;
    esac
done
ls "$path" >"$STARTED.files"
"""


@dataclass(frozen=True)
class Bench:
    """A place to run the scripts in: engines that note how they were started, and safeload."""

    place: Path

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SERVING / script), *arguments],
            cwd=self.place,
            env={
                **{name: os.environ[name] for name in ("HOME", "SAFELOAD_HOME") if name in os.environ},
                "PATH": f"{self.place / 'bin'}:/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "STARTED": str(self.place / "started"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    @property
    def started(self) -> list[str]:
        """How the engine was started; nothing if it was not."""
        path = self.place / "started"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def served(self) -> set[str]:
        return set((self.place / "started.files").read_text().splitlines())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ENGINES:
        (programs / name).write_text(STAND_IN)
    (programs / "safeload").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m safeload "$@"\n')
    for path in programs.iterdir():
        path.chmod(0o755)
    return Bench(tmp_path)


def good(path: Path) -> Path:
    return model(path, pickle=True)


def evil(path: Path, marker: Path) -> Path:
    payloads.poison_zip(model(path, pickle=True) / "pytorch_model.bin", payloads.snippet(marker))
    return path


def unreadable(path: Path) -> Path:
    (model(path, pickle=True) / "pytorch_model.bin").write_bytes(b"\x80\x02(")
    return path


SCRIPTS: dict[str, list[str]] = {"vllm.sh": [], "tgi.sh": [], "ollama.sh": ["name"]}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_served_is_what_was_admitted(script: str, bench: Bench, tmp_path: Path) -> None:
    """The engine gets a directory of safetensors, configs and tokenizers, whatever the model was made of."""
    done = bench.run(script, *SCRIPTS[script], str(good(tmp_path / "model")))
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in bench.served and "pytorch_model.bin" not in bench.served


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_refusal_starts_nothing(script: str, bench: Bench, tmp_path: Path, marker: Path) -> None:
    """Exit code 1, the reason on standard error, and no engine."""
    done = bench.run(script, *SCRIPTS[script], str(evil(tmp_path / "model", marker)))
    assert done.returncode == 1 and "refused" in done.stderr and not bench.started


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_cannot_be_decided_starts_nothing(script: str, bench: Bench, tmp_path: Path) -> None:
    """A model that is not there, or cannot be read, is no model that was admitted."""
    for path in (tmp_path / "nowhere", unreadable(tmp_path / "model")):
        assert bench.run(script, *SCRIPTS[script], str(path)).returncode != 0
        assert not bench.started


def test_vllm_and_tgi_stay_offline(bench: Bench, tmp_path: Path) -> None:
    """The engine has no reason to ask the hub, and vLLM reads no other format."""
    path = str(good(tmp_path / "model"))
    bench.run("vllm.sh", path, "--port", "80")
    assert bench.started[1] == "serve" and bench.started[-1] == "offline=1"
    assert bench.started[3:-1] == ["--served-model-name", path, "--load-format", "safetensors", "--port", "80"]
    bench.run("tgi.sh", path)
    assert bench.started[1] == "--model-id" and bench.started[-1] == "offline=1"


def test_gguf_files_are_served_by_name(bench: Bench, tmp_path: Path) -> None:
    """llama.cpp and Ollama get the file itself."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.gguf").write_bytes(gguf())
    done = bench.run("llama.sh", str(tmp_path / "model"), "a.gguf", "--port", "80")
    assert done.returncode == 0, done.stderr
    assert bench.started[1:3] == ["--offline", "--model"] and bench.started[3].endswith("/a.gguf")
    done = bench.run("ollama.sh", "name", str(tmp_path / "model"), "a.gguf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "started.modelfile").read_text().startswith("FROM /")
    assert bench.started[1:3] == ["create", "name"]
    assert bench.run("llama.sh", str(tmp_path / "model"), "b.gguf").returncode == 2


# --- the init container ---------------------------------------------------------------------------------------------


def test_the_init_container_says_how_it_ended(bench: Bench, tmp_path: Path, marker: Path) -> None:
    """0 for a model that was admitted, 1 for one that was refused, 2 for what cannot be decided."""
    into = tmp_path / "models" / "admitted"
    cases = {0: good(tmp_path / "good"), 1: evil(tmp_path / "evil", marker), 2: tmp_path / "nowhere"}
    for code, path in cases.items():
        done = bench.run("init.sh", MODEL=str(path), INTO=str(into))
        assert done.returncode == code, done.stderr
        assert into.exists() is (code == 0)
    assert bench.run("init.sh", INTO=str(into)).returncode not in (0, 1)


def test_the_init_container_judges_again(bench: Bench, tmp_path: Path, marker: Path) -> None:
    """What an earlier run left is no reason to serve it, and what somebody else left is not touched."""
    into = tmp_path / "models" / "admitted"
    path = good(tmp_path / "model")
    assert bench.run("init.sh", MODEL=str(path), INTO=str(into)).returncode == 0
    payloads.poison_zip(path / "pytorch_model.bin", payloads.snippet(marker))
    assert bench.run("init.sh", MODEL=str(path), INTO=str(into)).returncode == 1
    assert not into.exists()
    into.mkdir()
    (into / "theirs").touch()
    assert bench.run("init.sh", MODEL=str(path), INTO=str(into)).returncode == 2
    assert (into / "theirs").exists()


def test_a_lock_is_held_to(bench: Bench, tmp_path: Path) -> None:
    """Options follow the script's own: with a lock, only what it names is admitted."""
    path = good(tmp_path / "model")
    lock = tmp_path / "safeload.lock"
    python = [sys.executable, "-m", "safeload", "lock", str(path), "--lock", str(lock)]
    subprocess.run(python, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    into = str(tmp_path / "admitted")
    assert bench.run("init.sh", "--lock", str(lock), MODEL=str(path), INTO=into).returncode == 0
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"hidden_size": 5}))
    assert bench.run("init.sh", "--lock", str(lock), MODEL=str(path), INTO=into).returncode == 1


def pod() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text(encoding="utf-8")))
    return next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"]


def test_the_pod_serves_what_the_init_container_wrote() -> None:
    """The engine sees the admitted directory, read-only, and its name is the one that the script writes to."""
    (init,), (engine,) = pod()["initContainers"], pod()["containers"]
    into = {entry["name"]: entry["value"] for entry in init["env"]}["INTO"]
    assert into in engine["args"]
    mounts = {mount["name"]: mount for mount in engine["volumeMounts"]}
    assert mounts["models"]["readOnly"] and into.startswith(mounts["models"]["mountPath"] + "/")
    assert not {"work", "policy"} & mounts.keys()
    assert {mount["name"] for mount in init["volumeMounts"]} <= {volume["name"] for volume in pod()["volumes"]}
    assert "--trust-remote-code" not in engine["args"]


def test_the_pod_gives_nobody_more_than_they_need() -> None:
    """No root, no capability, no writable root file system, no token of the cluster."""
    assert pod()["securityContext"]["runAsNonRoot"] and not pod()["automountServiceAccountToken"]
    for container in (*pod()["initContainers"], *pod()["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_image_starts_the_script() -> None:
    """What the Containerfile copies and starts exists here."""
    text = (SERVING / "Containerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["/usr/local/bin/init.sh"]' in text and "examples/serving/init.sh /usr/local/bin/init.sh" in text
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in (word for word in line.split()[1:-1] if not word.startswith("--")):
                assert (ROOT / source).exists(), source


def test_the_scripts_are_programs() -> None:
    """They can be started as they are, and end at the first thing that goes wrong."""
    scripts = sorted(SERVING.glob("*.sh"))
    assert len(scripts) == 5
    for script in scripts:
        assert os.access(script, os.X_OK) and "\nset -eu" in script.read_text(encoding="utf-8")
