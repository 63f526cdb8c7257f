"""`safeload demo`"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

from safeload.cli.output import coloured, show_error
from safeload.core.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", metavar="DIR", help="build the models there and keep them, to look at")


def run(parsed: argparse.Namespace) -> int:
    """Build both models, load both. The exit code is 0 only if one was refused, nothing ran, and the other is equal."""
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            "the demonstration needs the real libraries",
            why=f"not installed: {', '.join(missing)}",
            remedy="pip install 'safeload[demo]'",
        )
    if parsed.keep:
        keep = Path(parsed.keep)
        if keep.exists() and any(keep.iterdir()):
            raise UsageError("the demonstration writes to an empty folder", where=str(keep), why="it is not empty")
        return _show(keep.absolute())
    with tempfile.TemporaryDirectory(prefix="safeload-demo-") as folder:
        return _show(Path(folder))


def _show(folder: Path) -> int:
    from safeload import demo

    demo.original()
    demo.quiet()
    marker = folder / "THE-PAYLOAD-RAN"
    _title("1. A poisoned model: all-MiniLM-L6-v2, whose pytorch_model.bin runs a command when it is unpickled")
    poisoned = demo.write_poisoned(folder / "poisoned", marker)
    _code(f"from safeload.transformers import AutoModel\nAutoModel.from_pretrained({str(poisoned)!r})")
    refusal = demo.load_poisoned(poisoned)
    sys.stdout.flush()
    if refusal is not None:
        show_error(refusal)
    refused, ran = refusal is not None, marker.exists()
    print(f"\n   refused: {_yes(refused)}   the payload ran: {_yes(ran)}\n")

    _title("2. The same model, harmless, but still a pickle")
    pickled = demo.write_pickled(folder / "pickled")
    _code(f"model = AutoModel.from_pretrained({str(pickled)!r})")
    compared = demo.compare(pickled)
    print("   read by safeload's inert reader, converted to safetensors, loaded by the real transformers")
    print(f"   {compared.tensors} tensors equal those of the original safetensors: {_yes(compared.tensors_equal)}")
    for sentence in demo.SENTENCES:
        print(f"   embedded: {sentence}")
    print(f"   cosine between the two: {compared.similarity:.4f}")
    print(f"   embeddings {compared.shape} equal those of the original, bit for bit: {_yes(compared.embeddings_equal)}")
    return int(not (refused and not ran and compared.tensors_equal and compared.embeddings_equal))


def _title(text: str) -> None:
    print(f"\x1b[1m{text}\x1b[0m" if coloured(sys.stdout) else text)


def _code(text: str) -> None:
    print("\n" + "\n".join(f"   >>> {line}" for line in text.splitlines()) + "\n")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
