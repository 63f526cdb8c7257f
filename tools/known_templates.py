"""Write the digests of known templates, and of their pieces: `python -m tools.known_templates FOLDER VERSION`.

FOLDER is `trl/chat_templates` of an unpacked wheel of trl, whose originals are, by its own README and a weekly job of
theirs, byte for byte what the models' publishers ship. The templates that the installed transformers has in its own
source are added. Only digests are kept; the texts belong to their authors.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from safeload.engine.templates import digest_of
from safeload.rules import likeness, template_altered

TARGET = Path(__file__).resolve().parents[1] / "safeload" / "engine" / "known_templates.toml"
TYPES = {
    "cohere": ("cohere",),
    "cohere2": ("cohere2",),
    "deepseek_r1_distill": ("llama", "qwen2"),
    "deepseekv3": ("deepseek_v3",),
    "diffusion_gemma": ("diffusion_gemma",),
    "gemma": ("gemma", "gemma2"),
    "gemma3": ("gemma3", "gemma3_text"),
    "gemma4": ("gemma4", "gemma4_text"),
    "glm4moe": ("glm4_moe",),
    "gptoss": ("gpt_oss",),
    "idefics3": ("idefics3",),
    "lfm2": ("lfm2", "lfm2_vl"),
    "llama3": ("llama", "mllama"),
    "llava_next": ("llava_next",),
    "muse_glimmer": ("muse_glimmer",),
    "nemotron_3": ("nemotron_h",),
    "phi3": ("phi3",),
    "qwen2_5": ("qwen2",),
    "qwen2_5_vl": ("qwen2_5_vl",),
    "qwen3": ("qwen3", "qwen3_moe"),
    "qwen3_vl": ("qwen3_vl", "qwen3_vl_moe"),
    "qwen3_5": ("qwen3_5", "qwen3_5_moe"),
    "qwen3_6": (),
    "qwen3_8": (),
    "smolvlm": ("smolvlm",),
}
"""Model types by the beginning of a template's name, the longest one that fits; none where we do not know it."""
_IN_SOURCE = {"smolvlm": "smolvlm", "llama4": "llama4", "qwen2_audio": "qwen2_audio"}


def main() -> None:
    folder, version = Path(sys.argv[1]), sys.argv[2]
    lines = [
        "# Digests of chat templates that are known, and where each was measured. Written by tools/known_templates.py.",
        "# A template that is here is the one that was published; that says nothing about what it does.",
    ]
    texts = {"example": template_altered.EXAMPLE}
    for path in sorted(folder.glob("*.jinja")):
        if path.stem.endswith("_training"):
            continue
        source = f"trl {version}, trl/chat_templates/{path.name}"
        texts[path.stem] = path.read_text("utf-8")
        lines += _entry(path.stem, _types(path.stem), digest_of(texts[path.stem]), source)
    for name, model_type, text, source in _in_transformers():
        lines += _entry(name, (model_type,), digest_of(text), source)
        texts[name] = text
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    likeness.FILE.write_text("".join(f"{_row(name, text)}\n" for name, text in texts.items()), encoding="ascii")


def _row(name: str, text: str) -> str:
    return f"{name.partition(' ')[0]} {''.join(digest for _, digest in likeness.pieces(text))}"


def _types(name: str) -> tuple[str, ...]:
    return TYPES[max((key for key in TYPES if name.startswith(key)), key=len)]


def _entry(name: str, types: tuple[str, ...], digest: str, source: str) -> list[str]:
    spelled = ", ".join(f'"{one}"' for one in types)
    return [
        "",
        "[[template]]",
        f'name = "{name}"',
        f"types = [{spelled}]",
        f'sha256 = "{digest}"',
        f'source = "{source}"',
    ]


def _in_transformers() -> Iterator[tuple[str, str, str, str]]:
    import transformers

    folder = Path(transformers.__file__).parent / "models"
    for name, model_type in _IN_SOURCE.items():
        path = folder / name / f"processing_{name}.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{% for message in" in node.value:
                source = f"transformers {transformers.__version__}, models/{name}/{path.name}"
                yield f"{name} (transformers)", model_type, node.value, source


if __name__ == "__main__":
    main()
