"""Attacks by who owns a model, on a process under guard in which the libraries were loaded, and bound, before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters import payloads, repos
from tests.guarding import programs

BEFORE = """
    import copyreg, functools, importlib, io, logging.handlers, multiprocessing.reduction, os, runpy, shelve, sys
    import threading, zipfile
    import joblib, numpy, pandas, pickle, torch, transformers, yaml
    import numpy.lib._npyio_impl, torch.utils.model_zoo, torch._weights_only_unpickler, torch.package
    import torch.distributed.checkpoint.filesystem, transformers.dynamic_module_utils
    import torch._inductor, torch._inductor.debug
    from joblib import load as joblib_load
    from pickle import loads, Unpickler
    from torch import load
    from transformers import AutoModel, BertModel, pipeline

    def by_default(path, how=torch.load):
        return how(path, weights_only=False)

    def by_keyword(path, *, how=torch.load):
        return how(path, weights_only=False)

    def closing(how):
        return lambda path: how(path, weights_only=False)

    class Holder:
        held = staticmethod(torch.load)
        table = {"load": torch.load}
        items = [torch.load]

    closure, partial = closing(torch.load), functools.partial(torch.load, weights_only=False)
    holder = Holder()
    holder.own = torch.load
    kept = torch.serialization._legacy_load, torch.serialization._load
"""
ATTACKS = """
    import safeload
    guard = safeload.guard()
    marker, pt, raw, npy, model, code, shelf, metadata, config = sys.argv[1:]
    data = open(raw, "rb").read()

    def threaded():
        caught = []
        def work():
            try:
                load(pt, weights_only=False)
            except BaseException as error:
                caught.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        raise caught[0]

    def own_unpickler():
        class Mine(Unpickler):
            def find_class(self, module, name):
                return super().find_class(module, name)
        return Mine(io.BytesIO(data)).load()

    def package():
        return torch.package.PackageImporter(pt)

    def reloaded():
        importlib.reload(pickle)
        return pickle.loads(data)

    def torch_internals():
        with open(pt, "rb") as file, torch.serialization._open_zipfile_reader(file) as archive:
            return kept[1](archive, None, pickle, encoding="utf-8")

    def legacy_internals():
        with open(raw, "rb") as file:
            return kept[0](file, None, pickle, encoding="utf-8")

    def by_number():
        copyreg.add_extension("os", "system", 0x7E)
        return pickle.loads(bytes([0x80, 2, 0x82, 0x7E]) + data[2:])

    def run_as_a_program():
        return runpy.run_path(code)

    def a_module_from_an_archive():
        archive = os.path.join(os.path.dirname(code), "archive.zip")
        with zipfile.ZipFile(archive, "w") as file:
            file.write(code, "from_an_archive.py")
        sys.path.insert(0, archive)
        import from_an_archive

    def imported_anew():
        for name in ("pickle", "_pickle"):
            sys.modules.pop(name)
        import _pickle
        return _pickle.loads(data)

    def received_log_record():
        handler = logging.handlers.SocketHandler("localhost", 1)
        record = pickle.loads(handler.makePickle(logging.makeLogRecord({"msg": "written here"}))[4:])
        assert record["msg"] == "written here"
        return pickle.loads(data)

    def a_module_from_the_cache():
        sys.path.insert(0, os.path.dirname(code))
        import downloaded

    def dcp():
        reader = torch.distributed.checkpoint.filesystem.FileSystemReader(metadata)
        return reader.read_metadata()

    def compiled_graph():
        folder = os.path.join(os.path.dirname(raw), "graph")
        os.makedirs(os.path.join(folder, "aotautograd", "key"))
        with open(os.path.join(folder, "aotautograd", "key", "entry"), "wb") as file:
            file.write(data)
        return torch._inductor.CompiledArtifact.load(path=folder, format="unpacked")

    attacks = {
        "from torch import load": lambda: load(pt, weights_only=False),
        "default": lambda: by_default(pt),
        "keyword default": lambda: by_keyword(pt),
        "closure": lambda: closure(pt),
        "partial": lambda: partial(pt),
        "static method": lambda: Holder.held(pt, weights_only=False),
        "dictionary": lambda: Holder.table["load"](pt, weights_only=False),
        "list": lambda: Holder.items[0](pt, weights_only=False),
        "attribute": lambda: holder.own(pt, weights_only=False),
        "torch.serialization": lambda: torch.serialization.load(pt, weights_only=False),
        "torch internals": torch_internals,
        "weights_only_unpickler": lambda: torch._weights_only_unpickler.load(open(raw, "rb")),
        "torch.package": package,
        "model_zoo": lambda: torch.utils.model_zoo.load_url("file://" + pt, model_dir=os.path.dirname(raw)),
        "torch.hub": lambda: torch.hub.load(os.path.dirname(code), "entry", source="local"),
        "torch.jit": lambda: torch.jit.load(pt),
        "torch.export": lambda: torch.export.load(pt),
        "distributed checkpoint": dcp,
        "joblib": lambda: joblib_load(raw),
        "from pickle import loads": lambda: loads(data),
        "Unpickler": lambda: Unpickler(io.BytesIO(data)).load(),
        "subclass": own_unpickler,
        "Python unpickler": lambda: pickle._Unpickler(io.BytesIO(data)).load(),
        "numpy": lambda: numpy.load(npy, allow_pickle=True),
        "numpy internals": lambda: numpy.lib._npyio_impl.load(npy, None, True),
        "numpy of a pickle": lambda: numpy.load(raw, allow_pickle=True),
        "numpy format": lambda: numpy.lib.format.read_array(open(npy, "rb"), allow_pickle=True),
        "shelve": lambda: shelve.open(shelf)["key"],
        "AutoModel": lambda: AutoModel.from_pretrained(model),
        "BertModel": lambda: BertModel.from_pretrained(model, weights_only=False),
        "user's subclass": lambda: type("Mine", (BertModel,), {}).from_pretrained(model),
        "pipeline": lambda: pipeline("feature-extraction", model=model),
        "dynamic module": lambda: transformers.dynamic_module_utils.get_class_in_module("Model", code),
        "module from the cache": a_module_from_the_cache,
        "yaml": lambda: yaml.unsafe_load(open(config)),
        "yaml Loader": lambda: yaml.load(open(config), Loader=yaml.Loader),
        "thread": threaded,
        "torch internals, legacy": legacy_internals,
        "pandas": lambda: pandas.read_pickle(raw),
        "what multiprocessing kept": lambda: multiprocessing.reduction.ForkingPickler.loads(data),
        "what joblib kept": lambda: joblib.numpy_pickle.NumpyUnpickler("", open(raw, "rb"), None).load(),
        "by number": by_number,
        "runpy": run_as_a_program,
        "module from an archive": a_module_from_an_archive,
        "log record": received_log_record,
        "reload": reloaded,
        "compiled graph": compiled_graph,
        "caches of compiled graphs": lambda: torch.compiler.load_cache_artifacts(data),
        "what a debugger kept": lambda: torch._inductor.debug.load_args_and_run_compile_fx_inner(raw),
        "imported anew": imported_anew,
    }
    for name, attack in attacks.items():
        try:
            attack()
        except Exception as error:
            print(name, "|", type(error).__name__, "|", os.path.exists(marker))
        else:
            print(name, "|", "LOADED", "|", os.path.exists(marker))
    print(sorted(guard.unreached))
"""


def test_none_of_these_runs_anything(tmp_path: Path, marker: Path) -> None:
    """Each attack fails with an error of safeload's (or PyYAML's own), and no payload ran, now or by the end."""
    import shelve

    import numpy

    model = repos.build_evil_bin(tmp_path / "model", marker)
    raw = tmp_path / "raw.pkl"
    raw.write_bytes(b"\x80\x02" + payloads.snippet(marker) + b"N.")
    npy = tmp_path / "array.npy"
    numpy.save(npy, numpy.array([payloads.Touch(marker)], dtype=object), allow_pickle=True)
    code = tmp_path / "home/modules/downloaded.py"
    code.parent.mkdir(parents=True)
    code.write_text(payloads.CODE.format(str(marker)))
    (code.parent / "hubconf.py").write_text(payloads.CODE.format(str(marker)) + "\ndef entry(): pass\n")
    with shelve.open(str(tmp_path / "shelf")) as shelf:
        shelf["key"] = payloads.Touch(marker)
    folder = tmp_path / "dcp"
    folder.mkdir()
    (folder / ".metadata").write_bytes(raw.read_bytes())
    config = tmp_path / "config.yaml"
    config.write_text(f"!!python/object/apply:os.system ['touch {marker}']\n")
    program = programs.write(tmp_path / "attacks.py", BEFORE + ATTACKS)
    words = (marker, model / "pytorch_model.bin", raw, npy, model, code, tmp_path / "shelf", folder, config)
    result = programs.python(program, *words, more={"HF_HOME": str(tmp_path / "home")})
    assert result.returncode == 0, result.stderr
    *rows, unreached = result.stdout.splitlines()
    ours = {"PolicyDenied", "UsageError", "MalformedInput", "SourceError"}
    wrong = [
        row
        for row in rows
        if (cells := row.split(" | "))[2] != "False"
        or cells[1] not in (ours | ({"ConstructorError"} if row.startswith("yaml") else set()))
    ]
    assert len(rows) == 50 and not wrong, result.stdout
    assert unreached == "[]"


@pytest.mark.parametrize("module", ["torch", "joblib", "pickle", "numpy"])
def test_the_program_may_keep_nothing_genuine(module: str, tmp_path: Path) -> None:
    """What `from … import load` bound before the guard is the same object as what is imported after it."""
    program = programs.write(
        tmp_path / "app.py",
        f"""
        from {module} import load as before
        import safeload
        first = before
        guard = safeload.guard()
        from {module} import load as after
        print(first is before is after, hasattr(before, "_safeload_guarded"))
        guard.undo()
        print(first is before is after, hasattr(before, "_safeload_guarded"))
        """,
    )
    assert programs.python(program).stdout.splitlines() == ["True True", "True False"]
