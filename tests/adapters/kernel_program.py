"""What is done with kernels in a process of its own, because transformers decides when it is imported whether there
are any. Run by `test_kernels.py`, which prepared a hub and models; prints what came of each scenario as JSON.

The real `kernels` runs. transformers may ask for a later version than there is to install, so it is told that this is
the first one that it takes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_version = importlib.metadata.version


def _taken(name: str) -> str:
    utils = sys.modules.get("transformers.utils.import_utils")
    return getattr(utils, "KERNELS_MIN_VERSION", "") if name == "kernels" and utils is not None else _version(name)


importlib.metadata.version = _taken

import kernels  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.integrations import hub_kernels  # noqa: E402

import safeload.transformers as guarded  # noqa: E402
from safeload import PolicyDenied  # noqa: E402

assert hub_kernels.is_kernels_available()
LISTED: dict[str, str] = json.loads(os.environ["LISTED"])
"""The lines that list a kernel, by its name."""
IDS = torch.tensor([[1, 2, 3]])
Scenario = Callable[[], Any]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def policy(*names: str, more: str = "") -> None:
    """The project's policy lists these."""
    Path("safeload.toml").write_text("version = 1\n" + more + "\n" + "\n".join(LISTED[name] for name in names))


def ran() -> list[str]:
    """The kernels of which any code ran, each line once for every import."""
    path = Path(os.environ["MARKER"])
    return path.read_text().split() if path.exists() else []


def counted(name: str) -> int:
    """How often the kernel of this name was used."""
    return int(getattr(sys, f"_kernel_{name}", 0))


def load(attention: Any = None, **named: Any) -> Any:
    given = {} if attention is None else {"attn_implementation": attention}
    return guarded.AutoModelForCausalLM.from_pretrained("llama", **given, **named)


def refused(call: Scenario) -> str:
    """The whole message of the refusal."""
    before = ran()
    try:
        call()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what is looked at)
        denial = error if isinstance(error, PolicyDenied) else error.__cause__
        reasons = denial.verdict.denials() if isinstance(denial, PolicyDenied) else ()
        told = "".join(f"\n{reason.message}\n{reason.remedy}" for reason in reasons)
        return f"{type(error).__name__}: {error}{told}{'' if ran() == before else ' BUT SOMETHING RAN'}"
    return "it was not refused"


# --- attention -------------------------------------------------------------------------------------------------------


@scenario
def listed() -> Any:
    policy("good")
    model = load("acme/good")
    with torch.no_grad():
        out = model(IDS).logits
        expected = load("eager")(IDS).logits
    uses = counted("good")
    model.generate(IDS, max_new_tokens=2, do_sample=False)
    module = sys.modules[sys._kernel_module_good]
    return {
        "uses": uses,
        "later": counted("good") - uses,
        "close": bool(torch.allclose(out, expected, atol=1e-5)),
        "ran": ran().count("good"),
        "file": module.__file__,
        "cached": getattr(module, "__cached__", None),
        "package": module.__name__,
        "late": module.late(),
    }


@scenario
def listed_by_commit_and_function() -> Any:
    policy("good")
    commit = LISTED["good"].partition('revision = "')[2][:40]
    model = load(f"acme/good@{commit}:flash_attn_forward")
    model(IDS)
    return {"set": model.config._attn_implementation, "ran": ran().count("good")}


@scenario
def listed_in_a_dictionary() -> Any:
    policy("good")
    model = load({"": "acme/good"})
    before = counted("good")
    model(IDS)
    return counted("good") - before


@scenario
def unlisted() -> Any:
    policy("good")
    return refused(lambda: load("acme/unlisted@v1"))


@scenario
def unlisted_without_a_policy() -> Any:
    Path("safeload.toml").unlink(missing_ok=True)
    return refused(lambda: load("acme/unlisted"))


@scenario
def several_unlisted() -> Any:
    policy()
    return refused(lambda: load({"": "acme/unlisted", "vision_config": "acme/other"}))


@scenario
def another_commit() -> Any:
    policy("good")
    return refused(lambda: load("acme/good@" + "1" * 40))


@scenario
def another_branch() -> Any:
    policy("good")
    return refused(lambda: load("acme/good@main"))


@scenario
def changed() -> Any:
    policy("changed")
    return refused(lambda: load("acme/changed"))


@scenario
def poisoned_cache() -> Any:
    policy("poisoned")
    from huggingface_hub import constants, snapshot_download

    snapshot_download("acme/poisoned", repo_type="kernel", revision="v1")
    for file in (Path(constants.HF_HUB_CACHE) / "kernels--acme--poisoned").rglob("__init__.py"):
        target = file.resolve()
        target.chmod(0o644)
        target.write_bytes(target.read_bytes() + b"\n")
    return refused(lambda: load("acme/poisoned"))


@scenario
def moved() -> Any:
    policy("moved")
    load("acme/moved")(IDS)
    return {"old": counted("moved"), "new": ran().count("moved_on")}


@scenario
def same_bytes_elsewhere() -> Any:
    policy("good")
    return refused(lambda: load("acme/copy"))


@scenario
def expired() -> Any:
    Path("safeload.toml").write_text("version = 1\n" + LISTED["other"] + "expires = 2020-01-01\n")
    return refused(lambda: load("acme/other"))


@scenario
def denied_by_rule() -> Any:
    policy("other", more='[defaults]\nremote-code = "deny"\n')
    return refused(lambda: load("acme/other"))


@scenario
def revoked_file() -> Any:
    from hashlib import sha256

    source = sha256(os.environ["OTHER_SOURCE"].encode()).hexdigest()
    policy("other", more=f'[[revoke]]\nfile-sha256 = "{source}"\nreason = "backdoor"\n')
    return refused(lambda: load("acme/other"))


@scenario
def compiled_python() -> Any:
    policy("compiled")
    return refused(lambda: load("acme/compiled"))


@scenario
def a_config_object() -> Any:
    policy("good")
    config = guarded.AutoConfig.from_pretrained("llama")
    config._attn_implementation = "acme/good"
    before = counted("good")
    guarded.AutoModelForCausalLM.from_config(config)(IDS)
    used = counted("good") - before
    config._attn_implementation = "acme/unlisted"
    return used, refused(lambda: guarded.AutoModelForCausalLM.from_config(config))


@scenario
def a_pipeline() -> Any:
    policy("good")
    before = counted("good")
    named = {"model": "llama", "model_kwargs": {"attn_implementation": "acme/good"}}
    guarded.pipeline("text-generation", **named)("w1 w2", max_new_tokens=1)
    used = counted("good") - before
    named["model_kwargs"] = {"attn_implementation": "acme/unlisted"}
    return used, refused(lambda: guarded.pipeline("text-generation", **named))


@scenario
def named_by_the_config_of_the_model() -> Any:
    """It is left out, and the load goes on without."""
    policy()
    model = guarded.AutoModelForCausalLM.from_pretrained("wishes")
    return {"set": model.config._attn_implementation, "ran": ran().count("unlisted")}


@scenario
def others_refused() -> Any:
    policy("good")
    return [
        refused(lambda: load(None, allow_all_kernels=True)),
        refused(lambda: load(None, experts_implementation="acme/good")),
        refused(lambda: load("acme/good/more")),
        refused(
            lambda: load(None, kernel_config=transformers.KernelConfig({"RMSNorm": "/x:Y"}, use_local_kernel=True))
        ),
        refused(lambda: load(None, kernel_config=transformers.KernelConfig({"RMSNorm": "acme/unlisted:Norm"}))),
        refused(
            lambda: load(
                None, kernel_config=transformers.KernelConfig({"RMSNorm": ("acme/unlisted:N", {"version": 2})})
            )
        ),
    ]


@scenario
def in_place_of_a_package() -> Any:
    """`flash_attn` is not installed: the library takes a kernel of its own choice in its place."""
    policy("good")
    return refused(lambda: load("flash_attention_2"))


@scenario
def compiled_and_trained() -> Any:
    policy("good")
    model = load("acme/good")
    before = counted("good")
    torch.compile(model, backend="eager")(IDS)
    compiled = counted("good") - before
    model.train()
    model(IDS, labels=IDS).loss.backward()
    return compiled, counted("good") - before - compiled, model.model.layers[0].self_attn.q_proj.weight.grad is not None


@scenario
def in_a_thread() -> Any:
    """Where no frame says who asks, a library does."""
    from concurrent.futures import ThreadPoolExecutor

    policy("good")
    load("sdpa")
    with ThreadPoolExecutor(1) as pool:
        return refused(lambda: pool.submit(hub_kernels.get_kernel, "acme/unlisted", version=1).result())


# --- after the load --------------------------------------------------------------------------------------------------


@scenario
def set_later() -> Any:
    policy("good")
    model = load("sdpa")
    told = refused(lambda: model.set_attn_implementation("acme/unlisted"))
    before = counted("good")
    model.set_attn_implementation("acme/good")
    model(IDS)
    return told, counted("good") - before


@scenario
def steered_behind_our_back() -> Any:
    """A forward with an implementation that was written into the config after the load."""
    policy("good")
    from transformers.modeling_flash_attention_utils import lazy_import_flash_attention

    load("sdpa")
    return refused(lambda: lazy_import_flash_attention("acme/unlisted"))


@scenario
def lazily_at_a_forward() -> Any:
    """Fast paths look for a kernel when they first run: it is absent, and they compute in plain torch."""
    policy()
    load("sdpa")
    return {
        "given": hub_kernels.lazy_load_kernel("nvfp4", {}) is None,
        "told": refused(lambda: hub_kernels.get_kernel("acme/unlisted", version=1)),
    }


@scenario
def layers() -> Any:
    from kernels import LayerRepository, Mode, register_kernel_mapping

    model = load("sdpa")
    register_kernel_mapping(
        {"RMSNorm": {"cpu": {Mode.INFERENCE: LayerRepository("acme/norm", layer_name="Norm", version=1)}}}
    )
    policy()
    told = refused(lambda: model.set_use_kernels(True))
    plain = counted("norm")
    with torch.no_grad():
        expected = model(IDS).logits
    policy("norm")
    model.set_use_kernels(True)
    with torch.no_grad():
        out = model(IDS).logits
    return {
        "told": told,
        "plain": plain,
        "uses": counted("norm"),
        "close": bool(torch.allclose(out, expected, atol=1e-5)),
    }


@scenario
def layers_at_the_load() -> Any:
    policy("norm")
    before = counted("norm")
    load("sdpa", use_kernels=True)(IDS)
    used = counted("norm") - before
    from kernels import LayerRepository, Mode, register_kernel_mapping

    two = {
        "RMSNorm": {"cpu": {Mode.INFERENCE: LayerRepository("acme/unlisted", layer_name="Norm", version=1)}},
        "SiLU": {"cpu": {Mode.INFERENCE: LayerRepository("acme/other", layer_name="Silu", version=3)}},
        "SwiGLUMLP": {"cpu": {Mode.INFERENCE: LayerRepository("acme/third", layer_name="Silu", version=3)}},
    }
    register_kernel_mapping(two)
    told = refused(lambda: load("sdpa", use_kernels=True))
    changed_mode = load("sdpa")
    changed_mode._use_kernels = True
    mode = refused(lambda: (changed_mode.train(), changed_mode.eval()))
    return used, told, mode


@scenario
def through_the_function() -> Any:
    """`transformers.kernelize(model)`, and a property that does the same."""
    policy()
    model = load("sdpa")

    def switch() -> None:
        model.use_kernels = True

    return refused(lambda: transformers.kernelize(model)), refused(switch)


@scenario
def defaults_of_the_library() -> Any:
    """What the library's own mapping would fetch for a model is named."""
    policy()
    config = transformers.GptOssConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        num_local_experts=2,
        num_experts_per_tok=1,
        layer_types=["full_attention"],
    )
    model = guarded.AutoModelForCausalLM.from_config(config).eval()
    return refused(lambda: model.set_use_kernels(True))


@scenario
def through_diffusers() -> Any:
    """An attention backend that diffusers fetches when it is first used."""
    policy()
    import diffusers
    from diffusers.models import attention_dispatch

    import safeload.diffusers as guarded_diffusers

    sizes = {"sample_size": 8, "block_out_channels": (4,), "layers_per_block": 1, "norm_num_groups": 1}
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    diffusers.UNet2DModel(**sizes, **blocks).save_pretrained("unet")
    guarded_diffusers.UNet2DModel.from_pretrained("unet")
    attention_dispatch.DIFFUSERS_TRUST_REMOTE_KERNELS = True
    return refused(
        lambda: attention_dispatch._maybe_download_kernel_for_backend(
            attention_dispatch.AttentionBackendName("flash_hub")
        )
    )


# --- what it is ------------------------------------------------------------------------------------------------------


@scenario
def native() -> Any:
    """An extension module beside the Python: linked in from the private directory."""
    policy("native")
    load("acme/native")
    module = sys.modules[sys._kernel_module_native]
    return {"made": module.heapify.__name__, "file": module._heapq.__file__}


@scenario
def native_swapped() -> Any:
    """Somebody writes the private directory between the fetch and the import."""
    from safeload.transformers import _kernels

    policy("swapped")
    original = _kernels.fetch

    def fetch(*args: Any, **named: Any) -> Any:
        build = original(*args, **named)
        library = next(Path(build.folder).rglob("*.so"))
        library.chmod(0o600)
        library.write_bytes(library.read_bytes()[:-1] + b"!")
        return build

    _kernels.fetch = fetch
    told = refused(lambda: load("acme/swapped"))
    _kernels.fetch = original
    return told


@scenario
def planted_beside() -> Any:
    """A file too many, a compiled one, and a link, in the private directory."""
    from safeload.transformers import _kernels

    policy("planted")
    original, told = _kernels.fetch, []
    for name in ("extra.py", "__pycache__/__init__.cpython-311.pyc", "link.py"):

        def fetch(*args: Any, name: str = name, **named: Any) -> Any:
            build = original(*args, **named)
            place = Path(build.folder) / "build/torch-cpu" / name
            place.parent.mkdir(exist_ok=True)
            place.symlink_to("/etc/hostname") if name == "link.py" else place.write_text("x = 1\n")
            return build

        _kernels.fetch = fetch
        _kernels._builds.clear()
        told.append(refused(lambda: load("acme/planted")))
    _kernels.fetch = original
    _kernels._builds.clear()
    return told


@scenario
def dependent() -> Any:
    policy("dependent")
    told = refused(lambda: load("acme/dependent"))
    policy("dependent", "good")
    model = load("acme/dependent")
    model(IDS)
    return told, counted("dependent")


@scenario
def with_a_tripwire() -> Any:
    policy("noisy", more='[remote-code]\ncapabilities = ["file-write"]\n')
    told = refused(lambda: load("acme/noisy"))
    return told


@scenario
def the_users_own() -> Any:
    """What the program itself asks of `kernels` is the program's business, after a load as before it."""
    policy()
    load("sdpa")
    module = kernels.get_kernel("acme/mine", version=1, trust_remote_code=True)
    return module.__name__.startswith("safeload"), ran().count("mine")


@scenario
def never_by_the_library() -> Any:
    """What the hub was asked for: never on behalf of `kernels` itself."""
    return kernels.importer._loaded_kernels == {} or [str(path) for path in kernels.importer._loaded_kernels]


def main() -> None:
    results: dict[str, Any] = {}
    for name, function in SCENARIOS.items():
        try:
            results[name] = function()
        except Exception as error:  # noqa: BLE001 (the other scenarios go on)
            import traceback

            results[name] = f"FAILED {type(error).__name__}: {error}\n{traceback.format_exc()[-3000:]}"
    print("RESULTS" + json.dumps(results, default=str))


main()
