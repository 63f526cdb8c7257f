"""One test per class of bypass that has fooled scanners or loaders of models, on whole files.

The callables are in `advisories.py`; these are the ways of hiding a call, whatever it calls. Above each stands the
advisory, issue or paper that it comes from.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy
import pytest

from safeload.core.finding import Status
from safeload.core.limits import Limits
from tests.corpus.build import (
    Zipped,
    bomb,
    checkpoint,
    gguf,
    legacy,
    make_tar,
    make_zip,
    npy,
    payload,
    safetensors,
    torch_tar,
)
from tests.generator.written import Called, Name, counted, pickled
from tests.regressions.files import report, says, status

COMMAND = "touch marker"
BAD = payload(2)
GOOD = pickle.dumps({}, 2)


def _dangerous(data: bytes, name: str = "pytorch_model.bin") -> None:
    found = report(data, name)
    assert found.status is Status.DANGEROUS, (found.status, found.format, says(found))


def _never_safe(data: bytes, name: str) -> None:
    found = report(data, name)
    assert found.status in (Status.DANGEROUS, Status.UNDECIDED), (found.status, found.format, says(found))


# ── 2 to 5: names ───────────────────────────────────────────────────────────────────────────────────────────────


# GHSA-vvpj-8cmc-gx39 (picklescan) and modelscan#330: names that reach through what a module carries along.
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pathlib", "os.system"),
        ("logging", "os.system"),
        ("collections", "abc.sys.modules"),
        ("torch", "serialization.os.system"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("numpy", "size.__builtins__"),
        ("collections", "OrderedDict.__init__.__globals__"),
    ],
)
def test_a_name_that_reaches_through_an_allowed_module(module: str, name: str) -> None:
    """An allowed module or object vouches for nothing that can be reached from it."""
    _dangerous(pickled(Called(Name(module, name), COMMAND)))
    _dangerous(pickled([Name(module, name)]))


# CVE-2025-10157 (GHSA-f7qq-56ww-84cr): a subclass or submodule of what is listed.
@pytest.mark.parametrize("module", ["asyncio.unix_events", "os.path", "subprocess.anything", "http.client", "pip._x.y"])
def test_a_submodule_of_a_dangerous_module(module: str) -> None:
    """What is below a dangerous module is as dangerous."""
    _dangerous(pickled(Called(Name(module, "f"), COMMAND)))


# CVE-2026-14535 (GHSA-cffv-grgg-g429, fickling) and the laundering of re-exported names.
@pytest.mark.parametrize(
    ("module", "name"),
    [("torch.serialization", "os"), ("torch.library", "getattr"), ("my.module", "system"), ("numpy", "sys")],
)
def test_a_denied_object_under_another_name(module: str, name: str) -> None:
    """Modules carry along what they import: such names are dangerous wherever they come from."""
    _dangerous(pickled(Called(Name(module, name), COMMAND)))


# fickling's allowlist could be shadowed by a module of the same name as a listed one: names are exact pairs here.
@pytest.mark.parametrize(
    ("module", "name"), [("torch._utils.x", "_rebuild_tensor_v2"), ("x.torch._utils", "_rebuild_tensor_v2")]
)
def test_a_module_that_resembles_an_allowed_one(module: str, name: str) -> None:
    """A prefix or suffix of an allowed module is another module."""
    assert status(pickled(Called(Name(module, name)))) is not Status.SAFE


# ── 6 to 10: opcodes ────────────────────────────────────────────────────────────────────────────────────────────


# picklescan#14: PUT and MEMOIZE mixed, so that a scanner's memo holds other names than the unpickler's.
def test_a_memo_written_by_number_and_by_order() -> None:
    """The names are those that an unpickler has in its memo."""
    kept = counted("os") + b"q\x00" + counted("system") + b"q\x01"
    decoys = counted("torch._utils") + b"\x94" + counted("_rebuild_tensor_v2") + b"\x94"
    _dangerous(b"\x80\x04" + kept + decoys + b"h\x00h\x01\x93" + counted(COMMAND) + b"\x85R.")


# picklescan#22 (a capture-the-flag task): names stored in the memo and fetched later.
def test_names_fetched_from_the_memo() -> None:
    """GET brings back what PUT kept."""
    kept = b"Vos\np2\n0Vsystem\np3\n0Vtorch\np0\n0VLongStorage\np1\n0"
    _dangerous(kept + b"g2\ng3\n\x93(V" + COMMAND.encode() + b"\ntR.")


# picklescan's `keyerror-exploit`: a memo entry that does not exist, after the payload.
def test_a_missing_memo_entry_after_the_call() -> None:
    """What stops the reader does not make it forget."""
    _dangerous(b"\x80\x04cos\nsystem\nV" + COMMAND.encode() + b"\n\x85R0\x8c\x02os\x94h\x03h\x00\x93K\x42.")


# picklescan's `type-confusion-exploit`: STACK_GLOBAL over a number, after the payload.
def test_a_global_whose_name_is_a_number() -> None:
    """The same where the fault is a type."""
    _dangerous(
        b"\x80\x04cos\nsystem\nV"
        + COMMAND.encode()
        + b"\n\x85R0J\x2a\x00\x00\x00\x94\x8c\x02os\x94h\x00h\x01\x93K\x42."
    )


# GHSA-9gvj-pp9x-gcfr (picklescan): STRING operands.
def test_string_operands() -> None:
    """Names may be Python 2 strings."""
    _dangerous(b"S'os'\nS'system'\n\x93S'" + COMMAND.encode() + b"'\n\x85R.")


# cpython#154848: a frame that ends within an argument, so that a file reader sees other opcodes than a bytes reader.
def test_an_opcode_across_the_end_of_its_frame() -> None:
    """The two readings are reported whatever they say."""
    hidden = b"cos\nsystem\n(S'" + COMMAND.encode() + b"'\ntR."
    body = b"B" + struct.pack("<I", len(hidden) + 1) + hidden + b"x."
    _dangerous(b"\x80\x04\x95" + struct.pack("<Q", 2) + body)


# nullifAI (ReversingLabs, 2025): a stream that breaks right after the call.
@pytest.mark.parametrize("end", [b"", b"\xff", b"(", b"X\xff\xff\xff\x7f", b"\x93", b"h\x09"])
def test_a_stream_that_breaks_after_the_call(end: bytes) -> None:
    """Suspicion is never lowered by an error."""
    _dangerous(BAD[:-1] + end)
    _dangerous(make_zip(checkpoint(BAD[:-1] + end)))


# fickling's polyglot tests: pickles behind each other, with and without junk between.
@pytest.mark.parametrize(
    "between", [b"", b"\n\n\t\t", b"junk!", bytes(100), b"\x80\x02", b"#" * 70_000, b"x" * (1 << 20)], ids=range(7)
)
def test_a_payload_behind_another_pickle(between: bytes) -> None:
    """What follows is read; what cannot be read leaves the file undecided."""
    _never_safe(GOOD + between + BAD, "model.pkl")


# Nested pickles: `pickle.loads(b"…")` and its relatives in libraries.
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pickle", "loads"),
        ("_pickle", "loads"),
        ("cPickle", "loads"),
        ("torch.storage", "_load_from_bytes"),
        ("dill", "loads"),
        ("cloudpickle", "loads"),
        ("joblib", "load"),
        ("numpy", "loads"),
        ("torch", "load"),
        ("pandas", "read_pickle"),
        ("jsonpickle", "decode"),
        ("srsly", "pickle_loads"),
    ],
)
def test_a_pickle_within_a_pickle(module: str, name: str) -> None:
    """The call is dangerous, and so is the inner pickle by itself."""
    _dangerous(pickled(Called(Name(module, name), BAD)))
    _dangerous(pickled({"state": BAD}))


# ── 11 to 19: containers ────────────────────────────────────────────────────────────────────────────────────────


# CVE-2025-1945 (GHSA-w8jq-xcqf-f792): flag bits that torch's reader ignores.
@pytest.mark.parametrize("flags", [0x1, 0x20, 0x40, 0x41, 0x2000])
def test_flag_bits_of_zip_members(flags: int) -> None:
    """A member that claims to be encrypted or patched is read as it is."""
    _dangerous(make_zip(checkpoint(BAD, flags=flags)))


# CVE-2025-10156 (GHSA-mjqp-26hc-grxg): a wrong checksum.
def test_a_wrong_checksum() -> None:
    """The content is read all the same."""
    _dangerous(make_zip(checkpoint(BAD, local={"crc": 1}, central={"crc": 1})))


# CVE-2025-1944 (GHSA-7q5r-7gvp-wc82): the two headers name the member differently.
def test_headers_that_disagree_about_the_name() -> None:
    """Both names are the member's."""
    _dangerous(make_zip([Zipped("archive/data.pkl", BAD, local={"name": b"archive/datap.kl"})]))
    _dangerous(make_zip([Zipped("archive/datap.kl", BAD, local={"name": b"archive/data.pkl"})]))


# No public identifier: two members of one name, of which readers take the first or the last.
@pytest.mark.parametrize("members", [(GOOD, BAD), (BAD, GOOD), (GOOD, GOOD, BAD, GOOD)])
def test_members_of_the_same_name(members: tuple[bytes, ...]) -> None:
    """Each is read, and the worst counts."""
    _dangerous(make_zip([Zipped("archive/data.pkl", data) for data in members]))


# No public identifier: a pickle at the beginning and an archive at the end of one file.
def test_a_pickle_and_an_archive_in_one_file() -> None:
    """Whichever a loader prefers, both were read."""
    _dangerous(BAD + make_zip(checkpoint(GOOD)))
    _dangerous(GOOD + make_zip(checkpoint(BAD)))
    _dangerous(safetensors("{}") + make_zip(checkpoint(BAD)), "model.safetensors")


# CVE-2025-1889 (GHSA-769v-p64c-89pr) and CVE-2025-10155 (GHSA-jgw4-cr84-mqxg): names that scanners pass over.
@pytest.mark.parametrize(
    "name",
    [
        *("model", "model.bin", "model.p", "model.pth.txt", "config.json", "README.md", "weights.safetensors"),
        *("logo.png", "model.onnx", "model.gguf", "model.h5", "model.keras", "model.skops", "vocab.dat", ".hidden"),
    ],
)
def test_a_pickle_under_any_name(name: str) -> None:
    """The content decides, never the name."""
    for data in (payload(0), payload(2), payload(4)):
        _dangerous(data, name)
    _dangerous(make_zip(checkpoint(BAD)), name)
    _dangerous(legacy(BAD, [], []), name)


def _seven_zip() -> bytes:
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24) + BAD


def _zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


# picklescan#39 and #68, modelscan#345: containers that scanners do not open.
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (_seven_zip, "model.7z"),
        (lambda: make_tar([("data.pkl", BAD)]), "model.tar"),
        (lambda: gzip.compress(make_tar([("data.pkl", BAD)])), "model.tar.gz"),
        (lambda: gzip.compress(BAD), "model.pkl"),
        (lambda: bz2.compress(BAD), "model.joblib"),
        (lambda: lzma.compress(BAD), "model.joblib"),
        (lambda: lzma.compress(BAD, lzma.FORMAT_ALONE), "model.joblib"),
        (lambda: zlib.compress(BAD), "model.joblib"),
        (lambda: b"\x04\x22\x4d\x18" + BAD, "model.joblib"),
        (lambda: _zipped(a=_zipped(b=_zipped(c=BAD))), "model.zip"),
        (lambda: _zipped(**{"handler.py": b"x", "model.pt": make_zip(checkpoint(BAD))}), "model.mar"),
        (lambda: make_tar([("model_weights.ckpt", make_zip(checkpoint(BAD)))]), "model.nemo"),
        (lambda: make_zip([Zipped("archive/extra/readme.txt", payload(0)), *checkpoint(GOOD)]), "model.pt2"),
        (lambda: gzip.compress(gzip.compress(BAD)), "model.pkl.gz.gz"),
    ],
)
def test_a_container_that_others_do_not_open(make: Callable[[], bytes], name: str) -> None:
    """What we open is dangerous; what we do not open is undecided, never passed over."""
    _never_safe(make(), name)


# CVE-2019-6446 (numpy): arrays of objects are pickles.
def test_arrays_of_objects() -> None:
    """In `.npy` and in `.npz`."""
    _dangerous(npy("|O", BAD), "array.npy")
    _dangerous(make_zip([Zipped("a.npy", npy("|O", BAD))]), "arrays.npz")
    harmless = io.BytesIO()
    numpy.save(harmless, numpy.arange(3))
    assert status(harmless.getvalue(), "array.npy") is Status.SAFE


# modelscan reads the first of the five pickles of torch's legacy format.
@pytest.mark.parametrize("place", range(5))
def test_each_pickle_of_the_legacy_format(place: int) -> None:
    """Any of the five can be the one that acts."""
    streams = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {}, [])]
    evil = BAD if place == 3 else BAD[:-1] + b"0" + streams[place][2:]  # the value stays what torch expects
    streams[place] = evil
    _dangerous(b"".join(streams), "legacy.pt")


def test_the_tar_format_of_old_torch() -> None:
    """Each of its members is a pickle."""
    good = torch_tar([1.0, 2.0, 3.0, 4.0])
    assert status(good, "old.pt") is not Status.DANGEROUS
    _dangerous(make_tar([("sys_info", BAD), ("pickle", GOOD), ("tensors", GOOD), ("storages", GOOD)]), "old.pt")


# ── 21: exhaustion ──────────────────────────────────────────────────────────────────────────────────────────────


# fickling#111, torch GHSA-g53j and the bombs of every archive format.
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (bomb(1 << 26), "model.bin"),
        (b"\x80\x04" + b"(" * 200_000 + b"t" * 200_000 + b".", "deep.pkl"),
        (b"\x80\x04" + b"]" + b"".join(b"q%c2h%ch%c\x86" % (n, n, n) for n in range(120)) + b".", "laughs.pkl"),
        (b"\x80\x04\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20) + b".", "number.pkl"),
        (b"\x80\x02I" + b"9" * 100_000 + b"\n.", "number-text.pkl"),
        (b"[" * 200_000, "deep.json"),
        (b"\x80\x04X\xff\xff\xff\xff", "claims.pkl"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x", "claims8.pkl"),
    ],
    ids=["bomb", "deep", "laughs", "number", "number-text", "deep-json", "claims", "claims8"],
)
def test_what_exhausts_a_scanner_is_undecided(data: bytes, name: str) -> None:
    """Limits end the reading with a finding; they never end it quietly."""
    assert report(data, name, Limits()).status is not Status.SAFE


# ── 22 and 23: configurations and templates ─────────────────────────────────────────────────────────────────────


# CVE-2026-4372 (GHSA-29pf-2h5f-8g72), CVE-2026-5241, CVE-2025-23304, CVE-2025-14922: code named by a configuration.
@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Model"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "other/repo--modeling.Model"}}}),
        ("config.json", {"_attn_implementation_internal": "someone/kernel"}),
        ("config.json", {"attn_implementation": "someone/kernel"}),
        ("config.json", {"attn_implementation": {"text_config": "someone/kernel"}}),
        ("config.json", {"experts_implementation": "someone/kernel"}),
        ("config.json", {"trust_remote_code": True, "auto_map": {"AutoConfig": "c.C"}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization.T", None]}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "processing.P"}}),
        ("adapter_config.json", {"auto_mapping": {"parent_library": "evil.module", "base_model_class": "C"}}),
        ("modules.json", [{"idx": 0, "name": "0", "path": "", "type": "evil.module.Layer"}]),
        ("config.json", {"quantization_config": {"quant_method": "x"}, "auto_map": {"AutoModel": "m.M"}}),
    ],
)
def test_configurations_that_name_code(name: str, document: object) -> None:
    """Whatever a loader would import because a configuration says so is found."""
    data = json.dumps(document).encode()
    assert status(data, name) is not Status.SAFE, says(report(data, name))


# CVE-2024-34359 (llama-cpp-python) and every loader that renders templates.
SSTI = "{% for c in ''.__class__.__mro__[1].__subclasses__() %}{{ c }}{% endfor %}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("chat_template.jinja", SSTI.encode()),
        ("additional_chat_templates/tool_use.jinja", SSTI.encode()),
        ("chat_template.json", json.dumps({"chat_template": SSTI}).encode()),
        ("tokenizer_config.json", json.dumps({"chat_template": SSTI}).encode()),
        ("tokenizer_config.json", json.dumps({"chat_template": [{"name": "x", "template": SSTI}]}).encode()),
        ("processor_config.json", json.dumps({"chat_template": SSTI}).encode()),
        ("model.gguf", gguf(SSTI)),
    ],
)
def test_templates_that_reach_out_of_the_sandbox(name: str, data: bytes) -> None:
    """In every place that a loader takes a template from."""
    _dangerous(data, name)


# transformers: `custom_generate/generate.py` and any other source in a model.
@pytest.mark.parametrize("name", ["custom_generate/generate.py", "modeling.py", "pipeline.py", "__init__.py"])
def test_source_in_a_model(name: str) -> None:
    """Code beside the weights is never safe."""
    assert status(b"import os\nos.system('touch marker')\n", name) is not Status.SAFE


# hayward and others miss data behind the tensors, and duplicate keys in the header.
def test_safetensors_that_hold_more_than_tensors() -> None:
    """Appended data and duplicate keys are read in two ways by real readers."""
    header = '{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    assert status(safetensors(header, b"x"), "model.safetensors") is Status.SAFE
    _never_safe(safetensors(header, b"x" + BAD), "model.safetensors")
    twice = header[:-1] + "," + header[1:]
    _never_safe(safetensors(twice, b"x"), "model.safetensors")
