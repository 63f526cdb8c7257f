"""What a diffusers pipeline is made of, from its `model_index.json`.

Each component names a library and a class. The library may be a module of diffusers' own pipelines; where it is none,
diffusers looks for a file of the model, and then among everything that happens to be imported. So the names are listed
here, and any other is code.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.engine.admission import select
from safeload.engine.admission.parts import Layout, Read

HOLDER = select.PARTS_HOLDERS[1]

_LIBRARIES = frozenset({"diffusers", "transformers"})
_MODULES = """
ace_step allegro amused animatediff anyflow audio_diffusion audioldm audioldm2 aura_flow blip_diffusion bria bria_fibo
bria_fibo2 chroma chronoedit cogvideo cogview3 cogview4 consisid consistency_models controlnet controlnet_hunyuandit
controlnet_sd3 controlnet_xs cosmos dance_diffusion ddim ddpm deepfloyd_if diffusion_gemma dit dreamlite easyanimate
ernie_image flux flux2 glm_image helios hidream_image hunyuan_image hunyuan_video hunyuan_video1_5 hunyuandit
i2vgen_xl ideogram4 joyimage kandinsky kandinsky2_2 kandinsky3 kandinsky5 kandinsky6 kolors krea2
latent_consistency_models latent_diffusion latte ledits_pp llada2 longcat_audio_dit longcat_image ltx ltx2 lucy lumina
lumina2 marigold mochi motif_video musicldm nucleusmoe_image omnigen ovis_image pag paint_by_example pia pixart_alpha
pndm prx qwenimage qwenimage21 rfd4_proteina sana sana_video sana_wm score_sde_ve semantic_stable_diffusion shap_e
skyreels_v2 spectrogram_diffusion stable_audio stable_audio_3 stable_cascade stable_diffusion stable_diffusion_3
stable_diffusion_attend_and_excite stable_diffusion_diffedit stable_diffusion_gligen stable_diffusion_k_diffusion
stable_diffusion_ldm3d stable_diffusion_panorama stable_diffusion_safe stable_diffusion_sag stable_diffusion_xl
stable_video_diffusion t2i_adapter text_to_video_synthesis unclip unidiffuser versatile_diffusion visualcloze
vq_diffusion wan wuerstchen z_image
"""
_PIPELINES = frozenset(_MODULES.split())
_FILE = re.compile(r"[^./]+")
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def layout(names: Mapping[str, str], read: Read) -> Layout:
    """Raises `MalformedInput` if the list of components cannot be used."""
    document = read(HOLDER)
    if not isinstance(document, dict):
        raise MalformedInput("a pipeline cannot be used", where=Location(HOLDER), why="it is no object")
    found = Layout(HOLDER, falls_back=True)
    _pipeline(found, document.get("_class_name"), names)
    for component, value in document.items():
        if component.startswith("_") or not isinstance(value, (list, tuple)) or not any(value):
            continue
        if len(value) == 2 and all(isinstance(item, str) for item in value):
            folder = found.add(component, component)
            _component(found, folder, *value, names=names)
        elif any(isinstance(item, str) for item in value):
            raise MalformedInput(
                "a component of the pipeline cannot be used",
                where=Location(HOLDER, path=component),
                why="it is no pair of a library and a class",
            )
    return found


def _pipeline(found: Layout, kind: Any, names: Mapping[str, str]) -> None:
    """The class of the pipeline itself: by its name the library's own; as a pair it lies in a file of the model."""
    if kind is None or (isinstance(kind, str) and _CLASS.fullmatch(kind)):
        return
    pair = [item for item in kind if isinstance(item, str)] if isinstance(kind, list) else [str(kind)]
    _ask(found, pair, "", names, f"{HOLDER} » _class_name")


def _component(found: Layout, folder: str, library: str, kind: str, *, names: Mapping[str, str]) -> None:
    in_model = f"{folder}/{library}.py" in names  # it wins over a module of the same name
    if not in_model and library in _LIBRARIES | _PIPELINES and _CLASS.fullmatch(kind):
        return
    _ask(found, [library, kind], folder, names, f"{HOLDER} » {folder}")


def _ask(found: Layout, pair: list[str], folder: str, names: Mapping[str, str], why: str) -> None:
    """A pair of a file, without its ending, and a class in it; anything else is in no file of the model."""
    file = posixpath.join(folder, f"{pair[0]}.py") if len(pair) == 2 and _FILE.fullmatch(pair[0]) else ""
    there = file in names and _CLASS.fullmatch(pair[-1])
    found.ask(".".join(pair), file if there else None, why)
