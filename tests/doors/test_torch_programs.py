"""`safeload.torch.jit` and `.export`: a program gives its tensors, and nothing of it ever runs."""

from __future__ import annotations

import inspect
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from safeload import PolicyDenied, UsageError, convert
from safeload import torch as safe_torch
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.torch import export, jit


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()


def scripted(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())
        self.constant = torch.ones(2, 3).to(torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) @ self.turned + self.constant.sum()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[nn.Module], bytes]:
    folder = tmp_path_factory.mktemp("exported")

    def write(module: nn.Module) -> bytes:
        path = folder / "program.pt2"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(module, (torch.ones(2, 3),)), path)
        return path.read_bytes()

    return write


def rewritten(data: bytes, change: Callable[[str, bytes], bytes | None], **more: bytes) -> bytes:
    """An archive with members changed, left out or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        root = old.namelist()[0].split("/")[0]
        for name, content in more.items():
            new.writestr(f"{root}/{name}", content)
    return out.getvalue()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert tensor.dtype is other[name].dtype
        assert torch.equal(tensor, other[name])


# ── TorchScript ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_script_gives_its_state(tmp_path: Path) -> None:
    """From a path, a buffer and bytes: the tensors of the module, and no module."""
    module = model()
    data = scripted(module)
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    for source in (path, str(path), io.BytesIO(data), data):
        loaded = jit.load(source, "cpu")
        equal(loaded.state_dict(), module.state_dict())
    other = model()
    other.load_state_dict(loaded.state_dict())
    assert "inert" in repr(loaded)


def test_a_script_cannot_be_called() -> None:
    """Calling what was not loaded says what to do; so does any other use."""
    loaded = jit.load(scripted(model()))
    with pytest.raises(UsageError, match="load_state_dict"):
        loaded(torch.ones(2, 3))
    with pytest.raises(AttributeError, match="tensors alone"):
        loaded.eval()
    assert not hasattr(loaded, "forward")


@pytest.mark.parametrize(
    "arguments", [{"_extra_files": {"a": ""}}, {"_restore_shapes": True}, {"safeload": 1}], ids=lambda one: str(one)
)
def test_arguments_of_scripts_are_honoured_or_refused(arguments: dict[str, Any]) -> None:
    """What would need the program raises."""
    with pytest.raises(UsageError):
        jit.load(scripted(model()), **arguments)


def test_other_files_are_sent_to_their_door(exported: Callable[[nn.Module], bytes]) -> None:
    """A checkpoint or a program of the other kind is refused with the call that reads it."""
    buffer = io.BytesIO()
    torch.save(model().state_dict(), buffer)
    with pytest.raises(UsageError, match=r"safeload\.torch\.load"):
        jit.load(buffer.getvalue())
    with pytest.raises(UsageError, match=r"safeload\.torch\.export\.load"):
        jit.load(exported(model()))
    with pytest.raises(UsageError, match=r"safeload\.torch\.jit\.load"):
        export.load(scripted(model()))


def test_a_dangerous_pickle_in_a_script_is_refused(marker: Path) -> None:
    """What torch would not read, another reader of the archive might: the file is dangerous."""
    evil = b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode()
    data = rewritten(scripted(model()), lambda name, content: evil if name.endswith("/data.pkl") else content)
    with pytest.raises(SafeloadError):
        jit.load(data)
    extra = rewritten(scripted(model()), lambda name, content: content, **{"extra/x.pkl": evil})
    with pytest.raises(PolicyDenied):
        jit.load(extra)


# ── exported programs ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [model, Tied])
def test_an_exported_program_gives_its_state(make: Callable[[], nn.Module], exported: Any, tmp_path: Path) -> None:
    """Parameters and buffers by their names, bit for bit; what was shared is; constants apart."""
    module = make()
    data = exported(module)
    path = tmp_path / "m.pt2"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        genuine = torch.export.load(path)
    for source in (path, data):
        loaded = export.load(source)
        equal(loaded.state_dict, {name: tensor.detach() for name, tensor in genuine.state_dict.items()})
        equal(loaded.constants, genuine.constants)
    if make is Tied:
        state = loaded.state_dict
        state["first.weight"][0, 0] = 99
        assert state["second.weight"][0, 0] == 99
        assert state["turned"].stride() == genuine.state_dict["turned"].stride()
    equal(
        {name: tensor for name, tensor in safe_torch.state_dict_of(path).items() if not name.startswith("constants.")},
        {name: tensor.detach() for name, tensor in genuine.state_dict.items()},
    )


def test_the_door_of_checkpoints_names_the_other(exported: Any) -> None:
    """`load` refuses an exported program, and says what gives its tensors."""
    with pytest.raises(MalformedInput, match=r"safeload\.torch\.state_dict_of"):
        safe_torch.load(exported(model()))


@pytest.mark.parametrize("arguments", [{"extra_files": {"a": ""}}, {"expected_opset_version": {"aten": 1}}])
def test_arguments_of_exports_are_honoured_or_refused(arguments: dict[str, Any], exported: Any) -> None:
    """What would need the program raises."""
    with pytest.raises(UsageError):
        export.load(exported(model()), **arguments)


def _config(edit: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("model_weights_config.json"):
            return content
        document = json.loads(content)
        edit(document["config"])
        return json.dumps(document).encode()

    return change


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last, value = path

    def edit(config: dict[str, Any]) -> None:
        target = config["0.weight"]
        for key in keys:
            target = target[key]
        target[last] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        _set("tensor_meta", "sizes", [{"as_int": 3}, {"as_int": 3}]),
        _set("tensor_meta", "sizes", [{"as_int": -2}, {"as_int": 3}]),
        _set("tensor_meta", "sizes", [{"as_int": 1 << 62}, {"as_int": 1 << 62}]),
        _set("tensor_meta", "sizes", [{"as_int": True}, {"as_int": 3}]),
        _set("tensor_meta", "sizes", [{"as_expr": "s0"}, {"as_int": 3}]),
        _set("tensor_meta", "sizes", 3),
        _set("tensor_meta", "strides", [{"as_int": 1}]),
        _set("tensor_meta", "strides", [{"as_int": 1 << 61}, {"as_int": 1}]),
        _set("tensor_meta", "storage_offset", {"as_int": 1}),
        _set("tensor_meta", "storage_offset", {"as_int": -1}),
        _set("tensor_meta", "dtype", 8),
        _set("tensor_meta", "dtype", 99),
        _set("tensor_meta", "dtype", [7]),
        _set("tensor_meta", "layout", 1),
        _set("tensor_meta", None),
        _set("path_name", "weight_99"),
        _set("path_name", "../../data/weights/weight_0"),
        _set("path_name", "model.pt"),
        _set("path_name", ["weight_0"]),
        _set("use_pickle", True),
        _set("use_pickle", 0),
    ],
)
def test_a_list_that_lies_is_refused(edit: Callable[[dict[str, Any]], None], exported: Any) -> None:
    """Sizes, strides, offsets, types and members that do not fit are our error, never torch's and never a crash."""
    with pytest.raises(MalformedInput):
        export.load(rewritten(exported(model()), _config(edit)))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"config": []}', b'{"config": {"a": 1}}', b"\xff", b"[" * 9999],
    ids=range(7),
)
def test_a_broken_list_is_refused(content: bytes, exported: Any) -> None:
    """A list that is not one, or says something twice, is an error with its place."""
    data = exported(model())
    broken = rewritten(data, lambda name, old: content if name.endswith("_weights_config.json") else old)
    with pytest.raises(MalformedInput, match="weights_config"):
        export.load(broken)


def test_a_list_with_a_name_twice_is_refused(exported: Any) -> None:
    """Readers differ in which of the two they take."""
    twice = b'{"config": {}, "config": {}}'
    data = rewritten(exported(model()), lambda name, old: twice if name.endswith("_weights_config.json") else old)
    with pytest.raises(SafeloadError):
        export.load(data)


def test_pickles_in_an_exported_program_are_judged(exported: Any, marker: Path) -> None:
    """What torch unpickles without restriction is read as a pickle, whatever the list of tensors says of it."""
    evil = b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode()
    data = exported(model())
    inputs = rewritten(data, lambda name, old: evil if "sample_inputs" in name else old)
    with pytest.raises(PolicyDenied):
        export.load(inputs)
    for name in ("data/weights/model.pt", "data/constants/opaque_obj_0", "data/constants/custom_obj_0"):
        with pytest.raises(PolicyDenied):
            export.load(rewritten(data, lambda name, old: old, **{name: evil}))
    pickled = _set("path_name", "model.pt")
    with pytest.raises(SafeloadError):
        export.load(rewritten(data, _config(pickled), **{"data/weights/model.pt": evil}))


def test_older_programs_are_refused() -> None:
    """Programs whose tensors are in a pickle have no list, and nothing is made up."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("serialized_exported_program.json", b"{}")
        archive.writestr("serialized_state_dict.pt", b"")
        archive.writestr("version", b"8.1")
    with pytest.raises(SafeloadError):
        export.load(out.getvalue())


# ── the surface ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (safe_torch.load, torch.load),
        (jit.load, torch.jit.load),
        (export.load, torch.export.load),
    ],
)
def test_signatures_are_torchs(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    """Each parameter of torch's is there, in its place and of its kind; ours follow, by keyword."""
    own, genuine = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    for name, parameter in genuine.items():
        assert own[name].kind is parameter.kind
        assert own[name].default == parameter.default
    positional = [name for name, one in genuine.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert [name for name, one in own.items() if one.kind is one.POSITIONAL_OR_KEYWORD] == positional


def test_what_loads_nothing_is_torchs_own() -> None:
    """Saving is passed through; names that load and are not guarded do not exist."""
    assert safe_torch.save is torch.save
    assert jit.save is torch.jit.save
    assert export.save is torch.export.save
    for module, name in ((safe_torch, "package"), (jit, "jit_module_from_flatbuffer"), (export, "unflatten")):
        with pytest.raises(AttributeError, match="guards what loads files"):
            getattr(module, name)


def test_an_exported_program_is_converted(exported: Any, tmp_path: Path) -> None:
    """`convert` writes its tensors as safetensors, as it does those of a TorchScript archive."""
    from safetensors.torch import load_file

    module = model()
    path = tmp_path / "m.pt2"
    path.write_bytes(exported(module))
    convert(str(path), into=str(tmp_path / "m.safetensors"))
    equal(dict(sorted(load_file(tmp_path / "m.safetensors").items())), dict(sorted(module.state_dict().items())))
