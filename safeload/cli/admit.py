"""`safeload admit REF`"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from safeload.cli.output import note, waiting
from safeload.core.finding import Report, Status

if TYPE_CHECKING:
    from safeload.engine.admission.admitted import Admission


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a directory, a file, or a model on the hub such as org/name")
    parser.add_argument("--into", metavar="DIR", help="write it there; DIR must be empty or not exist")
    parser.add_argument(
        "--link",
        action="store_true",
        help="with --into: link to the original weights instead of copying them; who changes those changes the model",
    )
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--subfolder", metavar="DIR", default="", help="the model lies in this folder of REF")
    parser.add_argument("--variant", metavar="NAME", help="weights of this variant, such as fp16")
    parser.add_argument("--gguf-file", metavar="NAME", help="weights from this GGUF file of REF")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument(
        "--integrity",
        choices=("auto", "pinned", "private"),
        default="auto",
        help="how judged bytes stay as they are until they are written (default: auto)",
    )
    parser.add_argument(
        "--unsafe-convert-dangerous",
        action="store_true",
        help="convert the weights of pickles judged dangerous; nothing in them runs, but their author tried",
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="with --into: write the code of the model as well; it must be approved (safeload approve)",
    )
    parser.add_argument("--policy", metavar="FILE", help="this policy instead of the project's safeload.toml")
    parser.add_argument("--lock", metavar="FILE", help="this lock (default: the project's and $SAFELOAD_LOCK)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the path")


def run(parsed: argparse.Namespace) -> int:
    """Admit, write, print the directory. A refusal raises; what is found beside an admission is told, and is code 0."""
    from safeload.engine.admission.keep import keep
    from safeload.engine.admit import admit
    from safeload.engine.options import Options
    from safeload.engine.request import Access, Request

    request = Request(
        revision=parsed.revision,
        subfolder=parsed.subfolder,
        variant=parsed.variant,
        gguf_file=parsed.gguf_file,
        trust_remote_code=True if parsed.trust_remote_code else None,
        access=Access(local_files_only=parsed.offline),
    )
    options = Options(
        integrity=parsed.integrity,
        unsafe_convert_dangerous=parsed.unsafe_convert_dangerous,
        lock=parsed.lock,
        **({"policy": parsed.policy} if parsed.policy else {}),
    )
    with waiting(f"admitting {parsed.reference}"):
        if parsed.into is None and not parsed.link:
            admission, path = keep(parsed.reference, request=request, options=options)
        else:
            admission = admit(parsed.reference, request=request, options=options, into=parsed.into, link=parsed.link)
            admission.close()
            path = os.fspath(admission.path)
    if parsed.json:
        _json(admission, path)
    else:
        _tell(admission)
        print(path)
    return 0


def _tell(admission: Admission) -> None:
    """What was found and chosen on the way, on standard error: standard output is the path alone."""
    for text in admission.notes:
        note(text)
    if admission.attention_removed:
        note("the config named a repository as its attention implementation: removed")
    if not any(file.path.endswith((".safetensors", ".gguf")) for file in admission.files):
        note("there are no weights in it; if they are GGUF, name the file: --gguf-file NAME")
    reported = tuple(file for file in admission.report.files if file.status is not Status.SAFE)
    if reported:
        from safeload.reporters import find

        find("terminal").write([Report(target=admission.report.target, files=reported)], (), sys.stderr)


def _json(admission: Admission, path: str) -> None:
    from safeload.reporters.json import document, dump, verdict_data

    dump(
        _data(admission, path) | {"verdict": verdict_data(admission.verdict), "report": document([admission.report])},
        sys.stdout,
    )


def _data(admission: Admission, path: str) -> dict[str, object]:
    return {
        "schema": "safeload.admission/1",
        "path": path,
        "reference": admission.reference,
        "revision": admission.revision,
        "files": [
            {"path": file.path, "source": file.source, "sha256": file.sha256, "how": file.how}
            for file in admission.files
        ],
        "left_out": [{"path": file.path, "reason": file.reason} for file in admission.left_out],
        "notes": list(admission.notes),
        "attention_removed": admission.attention_removed,
        "base": _data(admission.base, os.fspath(admission.base.path)) if admission.base is not None else None,
    }
