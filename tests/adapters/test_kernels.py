"""Kernels through transformers, with the real `kernels`: what a policy lists is used, and nothing else is imported.

All scenarios run in one process (`kernel_program`), because transformers decides when it is imported whether there are
kernels; each test reads what came of one.
"""

from __future__ import annotations

import _heapq
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kernels")

from safeload.engine.kernels.audit import audit_kernel, entry
from tests.adapters import repos
from tests.guarding.programs import environment
from tests.hubserver import Hub

PROGRAM = Path(__file__).with_name("kernel_program.py")
BUILD = "build/torch-cpu"
RAN = """
import os, sys
with open(os.environ["MARKER"], "a") as marker:
    marker.write("{name}\\n")
sys._kernel_module_{name} = __name__
"""
ATTENTION = """
import torch

def supports_flash_attn(*args, **kwargs):
    return True

def flash_attn_forward(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    sys._kernel_{name} = getattr(sys, "_kernel_{name}", 0) + 1
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    causal = attention_mask is None and query.shape[2] > 1
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, is_causal=causal
    )
    return out.transpose(1, 2).contiguous(), None
"""
LATE = """
def late():
    from . import further
    return further.word
"""
LAYER = """
import sys
import torch

class Norm(torch.nn.Module):
    def forward(self, hidden_states):
        sys._kernel_norm = getattr(sys, "_kernel_norm", 0) + 1
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        return self.weight * hidden_states * torch.rsqrt(variance + self.variance_epsilon)
"""


UNDER_GUARD = """
import importlib.metadata
version = importlib.metadata.version
importlib.metadata.version = lambda name: "0.18.2" if name == "kernels" else version(name)
import sys, torch, kernels
from transformers import AutoModelForCausalLM
ids = torch.tensor([[1, 2, 3]])
model = AutoModelForCausalLM.from_pretrained("llama", attn_implementation="acme/good")
model(ids)
model = AutoModelForCausalLM.from_pretrained("llama")
model.set_attn_implementation("acme/good")
model(ids)
print("USED", sys._kernel_good)
for call in (
    lambda: AutoModelForCausalLM.from_pretrained("llama", attn_implementation="acme/unlisted"),
    lambda: model.set_attn_implementation("acme/unlisted"),
    lambda: kernels.get_kernel("acme/unlisted", version=1, trust_remote_code=True),
):
    try:
        call()
        print("NOT REFUSED")
    except Exception as error:
        print(type(error).__name__, "safeload kernel" in str(error))
"""


def metadata(name: str, **more: Any) -> bytes:
    about = {"id": f"_{name}_cpu_0", "name": name, "version": 1, "license": "apache-2.0", "python-depends": []}
    return json.dumps(about | {"backend": {"type": "cpu"}} | more).encode()


def attention(name: str, extra: str = "") -> dict[str, bytes]:
    """The files of a kernel in plain Python that is an attention; what it does is to count."""
    source = (RAN + ATTENTION).replace("{name}", name) + extra
    return {f"{BUILD}/__init__.py": source.encode(), f"{BUILD}/metadata.json": metadata(name)}


def line_for(name: str, version: str = "v1") -> str:
    found = audit_kernel(f"acme/{name}@{version}")
    return entry(found.wanted, found.builds[0])


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Prepare the hub, the models and the lines that list kernels; run all scenarios; give what came of them."""
    import subprocess
    import sys

    with pytest.MonkeyPatch.context() as patch, Hub() as hub:
        project = tmp_path_factory.mktemp("kernels")
        project.chmod(0o700)
        (project / ".git").mkdir()
        home = project / "hub-home"
        patch.chdir(project)
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_HOME", str(home))
        patch.setenv("HF_HUB_DISABLE_XET", "1")
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        patch.setenv("XDG_CONFIG_HOME", str(project / "config"))
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
            patch.delenv(name, raising=False)
        lines = fill(hub)
        repos.build_llama(project / "llama")
        repos.build_llama(project / "wishes")
        repos.rewrite(project / "wishes/config.json", attn_implementation="acme/unlisted", use_kernels=True)
        hub.forget()
        more = {
            "HF_HUB_OFFLINE": "",
            "LISTED": json.dumps(lines),
            "MARKER": str(project / "ran"),
            "OTHER_SOURCE": attention("other")[f"{BUILD}/__init__.py"].decode(),
            "SAFELOAD_HOME": str(project / "store"),
            "HF_HOME": str(project / "another-home"),
        }
        done = subprocess.run(
            [sys.executable, str(PROGRAM)],
            cwd=project,
            env=environment(more),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert "RESULTS" in done.stdout, done.stderr[-5_000:]
        found = json.loads(done.stdout.rpartition("RESULTS")[2])
        (project / "guarded.py").write_text(UNDER_GUARD)
        (project / "safeload.toml").write_text("version = 1\n" + lines["good"])
        words = [sys.executable, "-m", "safeload", "run", "guarded.py"]
        done = subprocess.run(
            words, cwd=project, env=environment(more), capture_output=True, text=True, timeout=240, check=False
        )
        found["under guard"] = [*done.stdout.splitlines(), *([] if done.stdout else done.stderr.splitlines()[-20:])]
        found["asked"] = sorted({asked.repository for asked in hub.asked if asked.repository.startswith("acme/")})
        return found


def fill(hub: Hub) -> dict[str, str]:
    """The kernels of the hub, and the lines that list some of them."""
    further = {f"{BUILD}/further.py": b"word = 'further'\n"}
    hub.add("acme/good", attention("good", LATE) | further, revision="v1", kernel=True)
    hub.add("acme/copy", attention("good", LATE) | further, revision="v1", kernel=True)
    for name in ("unlisted", "other", "changed", "poisoned", "moved", "planted", "mine"):
        hub.add(f"acme/{name}", attention(name), revision="v1", kernel=True)
    norm = {f"{BUILD}/__init__.py": b"from . import layers\n", f"{BUILD}/layers.py": LAYER.encode()}
    hub.add("acme/norm", norm | {f"{BUILD}/metadata.json": metadata("norm")}, revision="v1", kernel=True)
    library = Path(str(_heapq.__file__))
    for name in ("native", "swapped"):
        files = attention(name, "from . import _heapq\nheapify = _heapq.heapify\n")
        hub.add(f"acme/{name}", files | {f"{BUILD}/{library.name}": library.read_bytes()}, revision="v1", kernel=True)
    depends = "from kernels import get_kernel_dep\nassert get_kernel_dep('acme/good').supports_flash_attn()\n"
    about = metadata("dependent", **{"kernel-depends": [{"repo-id": "acme/good", "version": 1}]})
    hub.add(
        "acme/dependent",
        attention("dependent", depends) | {f"{BUILD}/metadata.json": about},
        revision="v1",
        kernel=True,
    )
    hub.add(
        "acme/noisy", attention("noisy", "import subprocess\nsubprocess.run(['true'])\n"), revision="v1", kernel=True
    )
    names = (
        "good",
        "other",
        "changed",
        "poisoned",
        "moved",
        "planted",
        "norm",
        "native",
        "swapped",
        "dependent",
        "noisy",
    )
    lines = {name: line_for(name) for name in names}
    # What happens to them after they were listed.
    hub.add("acme/moved", attention("moved_on"), revision="v1", kernel=True)
    source = attention("changed")[f"{BUILD}/__init__.py"]
    hub.served["acme/changed", f"{BUILD}/__init__.py"] = source[:-1] + b" "
    compiled = attention("compiled") | {f"{BUILD}/__pycache__/__init__.cpython-311.pyc": b"x"}
    commit = hub.add("acme/compiled", compiled, revision="v1", kernel=True)
    lines["compiled"] = lines["good"].replace("acme/good", "acme/compiled")
    lines["compiled"] = lines["compiled"].replace(lines["good"].partition('revision = "')[2][:40], commit)
    return lines


def result(came: Any, name: str) -> Any:
    assert not str(came[name]).startswith("FAILED"), came[name]
    return came[name]


def is_refused(text: str, *words: str) -> None:
    assert "BUT SOMETHING RAN" not in text and "it was not refused" not in text, text
    for word in words:
        assert word in text, text


def test_a_listed_kernel_is_used(came: Any) -> None:
    """In a forward pass, with the right numbers, and again when it generates."""
    found = result(came, "listed")
    assert found["uses"] > 0 and found["later"] > 0 and found["close"] and found["ran"] == 1


def test_its_python_is_not_read_from_a_directory(came: Any) -> None:
    """The package is named by the digest, has no compiled file, and what it imports later is in memory as well."""
    found = result(came, "listed")
    assert found["package"].startswith("safeload_approved.k") and found["cached"] is None
    assert found["late"] == "further" and "/views/" in found["file"]


def test_it_may_be_named_by_its_commit(came: Any) -> None:
    """With the name of a function too; it is imported once."""
    found = result(came, "listed_by_commit_and_function")
    assert found["set"].startswith("acme/good@") and found["ran"] == 1


def test_it_may_be_named_for_parts_of_a_model(came: Any) -> None:
    """`attn_implementation` may be a dictionary."""
    assert result(came, "listed_in_a_dictionary") > 0


@pytest.mark.parametrize("name", ["unlisted", "unlisted_without_a_policy"])
def test_an_unlisted_one_is_refused_with_the_command(came: Any, name: str) -> None:
    """With a policy and without any: nothing is allowed by default."""
    is_refused(result(came, name), "PolicyDenied", "no policy lists", "safeload kernel acme/unlisted@v1")


def test_all_unlisted_ones_are_named(came: Any) -> None:
    """In one message."""
    is_refused(result(came, "several_unlisted"), "safeload kernel acme/unlisted@v1", "safeload kernel acme/other@v1")


@pytest.mark.parametrize("name", ["another_commit", "another_branch"])
def test_an_entry_is_for_what_it_names(came: Any, name: str) -> None:
    """Another commit, or a branch that no entry mentions, is something else; what is listed is said."""
    is_refused(result(came, name), "no policy lists", "of that repository they list v1")


def test_one_changed_byte_is_refused(came: Any) -> None:
    """The hub sends other bytes for the listed commit: nothing of them runs."""
    is_refused(result(came, "changed"), "VerificationFailed")


def test_a_poisoned_cache_is_refused(came: Any) -> None:
    """What lies in the client's cache is digested as everything is."""
    is_refused(result(came, "poisoned_cache"), "VerificationFailed")


def test_a_branch_that_moved_has_no_effect(came: Any) -> None:
    """The listed commit is used, and what the branch names now never runs."""
    found = result(came, "moved")
    assert found["old"] > 0 and found["new"] == 0


def test_the_same_bytes_in_another_repository_are_not_listed(came: Any) -> None:
    """A digest is listed for a repository."""
    is_refused(result(came, "same_bytes_elsewhere"), "no policy lists acme/copy@v1")


def test_an_expired_entry_is_refused(came: Any) -> None:
    """And says on which day."""
    is_refused(result(came, "expired"), "expired on 2020-01-01")


def test_a_policy_without_remote_code_has_no_kernels(came: Any) -> None:
    """Whatever it lists."""
    is_refused(result(came, "denied_by_rule"), "remote-code is deny")


def test_a_revoked_file_is_refused(came: Any) -> None:
    """Any file of the build, by its digest, with the reason that was given."""
    is_refused(result(came, "revoked_file"), "revoked: backdoor")


def test_compiled_python_is_refused(came: Any) -> None:
    """Nobody could have read it."""
    is_refused(result(came, "compiled_python"), "compiled Python")


def test_a_config_object_may_name_a_listed_one(came: Any) -> None:
    """The caller made it; one that names another kernel is refused."""
    used, told = result(came, "a_config_object")
    assert used > 0
    is_refused(told, "no policy lists")


def test_a_pipeline_may_name_a_listed_one(came: Any) -> None:
    """In `model_kwargs`."""
    used, told = result(came, "a_pipeline")
    assert used > 0
    is_refused(told, "no policy lists")


def test_a_kernel_in_place_of_a_package_is_named(came: Any) -> None:
    """`flash_attention_2` without the package means a repository of the library's choice."""
    is_refused(result(came, "in_place_of_a_package"), "PolicyDenied", "safeload kernel kernels-community/flash-attn2@v")


def test_it_is_used_when_compiled_and_when_trained(came: Any) -> None:
    """With gradients."""
    compiled, trained, has_gradients = result(came, "compiled_and_trained")
    assert compiled > 0 and trained > 0 and has_gradients


def test_a_thread_is_no_way_around(came: Any) -> None:
    """Nothing above the call says who asks."""
    is_refused(result(came, "in_a_thread"), "no policy lists")


def test_the_config_of_a_model_has_no_say(came: Any) -> None:
    """What it names is left out, and the load goes on."""
    found = result(came, "named_by_the_config_of_the_model")
    assert "/" not in found["set"] and found["ran"] == 0


def test_what_cannot_be_listed_is_refused(came: Any) -> None:
    """Any kernel at all, experts of repositories, other forms of names, local directories, unlisted layers."""
    anything, experts, form, local, layer, version = result(came, "others_refused")
    is_refused(anything, "UsageError", "only what a policy lists")
    is_refused(experts, "UsageError", "no experts of repositories")
    is_refused(form, "UsageError", "not as org/name")
    is_refused(local, "UsageError", "use_local_kernel")
    is_refused(layer, "PolicyDenied", "safeload kernel acme/unlisted@v1")
    is_refused(version, "PolicyDenied", "safeload kernel acme/unlisted@v2")


def test_it_may_be_set_later(came: Any) -> None:
    """`set_attn_implementation` takes a listed one, and refuses another."""
    told, used = result(came, "set_later")
    assert used > 0
    is_refused(told, "no policy lists")


def test_a_forward_cannot_be_steered_to_another(came: Any) -> None:
    """What was written into the config after the load is refused when the library looks for it."""
    is_refused(result(came, "steered_behind_our_back"), "no policy lists acme/unlisted@v1")


def test_fast_paths_look_for_kernels_in_vain(came: Any) -> None:
    """Long after the load, with no connection made and nothing imported."""
    found = result(came, "lazily_at_a_forward")
    assert found["given"]
    is_refused(found["told"], "FileNotFoundError", "safeload kernel acme/unlisted@v1")


def test_layers_are_exchanged_for_listed_kernels(came: Any) -> None:
    """`use_kernels` after the load: refused while unlisted, with no layer changed; used once listed, numbers alike."""
    found = result(came, "layers")
    is_refused(found["told"], "safeload kernel acme/norm@v1")
    assert found["plain"] == 0 and found["uses"] > 0 and found["close"]


def test_layers_are_exchanged_at_the_load(came: Any) -> None:
    """`use_kernels=True`: used if listed; else all are named that this device would use, also when the mode changes."""
    used, told, mode = result(came, "layers_at_the_load")
    assert used > 0
    for text in (told, mode):
        is_refused(text, "safeload kernel acme/unlisted@v1", "safeload kernel acme/other@v3")


def test_no_other_way_exchanges_layers(came: Any) -> None:
    """The library's own function, and the property that switches kernels on."""
    for told in result(came, "through_the_function"):
        is_refused(told, "no policy lists")


def test_the_defaults_of_the_library_are_named(came: Any) -> None:
    """Repositories that only the library's own table names have to be listed as any other."""
    is_refused(result(came, "defaults_of_the_library"), "safeload kernel kernels-community/megablocks@v1")


def test_diffusers_is_given_what_is_listed(came: Any) -> None:
    """Its attention backends are repositories as well, and are fetched when they are first used."""
    is_refused(result(came, "through_diffusers"), "safeload kernel kernels-community/flash-attn2@")


def test_an_extension_module_is_linked_in_from_the_private_directory(came: Any) -> None:
    """It works, and lies in the store's own directory."""
    found = result(came, "native")
    assert found["made"] == "heapify" and "/views/" in found["file"]


def test_a_library_that_is_swapped_before_the_import_is_refused(came: Any) -> None:
    """All files are digested again straight before the import."""
    is_refused(result(came, "native_swapped"), "it is not what was digested")


def test_what_is_planted_beside_it_is_refused(came: Any) -> None:
    """A file, a compiled one, a link."""
    for told in result(came, "planted_beside"):
        is_refused(told, "put there by somebody else")


def test_kernels_that_it_depends_on_must_be_listed(came: Any) -> None:
    """By its metadata; then it gets them, as the library gives them."""
    told, used = result(came, "dependent")
    is_refused(told, "safeload kernel acme/good@v1")
    assert used > 0


def test_the_tripwire_watches_kernels(came: Any) -> None:
    """What no policy lists is stopped while a kernel is imported."""
    told = result(came, "with_a_tripwire")
    assert "it was not refused" not in told and "what no policy lists, process" in told


def test_what_the_program_asks_for_itself_is_its_own(came: Any) -> None:
    """`kernels.get_kernel` in the user's code does what it always did."""
    assert result(came, "the_users_own") == [False, 1]


def test_a_guarded_program_gets_what_is_listed(came: Any) -> None:
    """`safeload run`: an unmodified program uses the listed kernel, and no other, also where it asks by itself."""
    used, *refusals = result(came, "under guard")
    assert used.split()[0] == "USED" and int(used.split()[1]) >= 2
    assert refusals == ["PolicyDenied True"] * 3


def test_no_unlisted_kernel_was_asked_for(came: Any) -> None:
    """The hub never heard of them: what is not listed is not even looked up."""
    assert not {"acme/unlisted", "acme/copy"} & set(came["asked"])
