"""torch: checkpoints, TorchScript, exported and compiled programs, the hub, distributed checkpoints, packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safeload.guarding.doors import Function, Library, Makers

if TYPE_CHECKING:
    from safeload.guarding.doors import Arguments


def _checkpoint(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """A call that asks for unpickling gets what it is after, the data; what is not data comes back inert."""
    kwargs = dict(kwargs)
    kwargs.pop("pickle_module", None)
    if kwargs.get("weights_only") is False:
        del kwargs["weights_only"]
    if not kwargs.get("mmap"):
        kwargs.pop("mmap", None)
    return (args[:2], kwargs)


_NATIVE = "it is native code, and nothing here can read it"
_BUILD = "compile the model here, or safeload.torch.state_dict_of(…) for its tensors"
_PROGRAM = "it is a program, and runs whatever its author put there"
_COMPILED = "it is compiled code with what belongs to it, which is unpickled and run"
_COMPILE = (
    "torch.compile(…) here; or, if MODULE reads only what this program itself wrote, where nobody else can write: "
    "safeload.guard(unsafe_pickles_of=['MODULE'])"
)
_ARTIFACTS = "torch._inductor.standalone_compile"

LIBRARY = Library(
    name="torch",
    doors=(
        Function(homes=("torch:load", "torch.serialization:load"), ours="safeload.torch.load", arranged=_checkpoint),
        Function(
            homes=("torch._weights_only_unpickler:load",),
            why="it is an inner part of torch.load, which safeload stands for",
            remedy="torch.load(…)",
        ),
        Function(homes=("torch.jit:load", "torch.jit._serialization:load"), ours="safeload.torch.jit.load"),
        Function(
            homes=("torch.jit:jit_module_from_flatbuffer", "torch.jit._serialization:jit_module_from_flatbuffer"),
            why=_PROGRAM,
            remedy="safeload.torch.state_dict_of(…)",
        ),
        Function(
            homes=("torch.jit.mobile:_load_for_lite_interpreter",),
            why=_PROGRAM,
            remedy="safeload.torch.state_dict_of(…)",
        ),
        Function(homes=("torch.export:load",), ours="safeload.torch.export.load"),
        Function(
            homes=("torch.export.pt2_archive._package:load_pt2",),
            why="what it reads is unpickled and linked in",
            remedy="safeload.torch.state_dict_of(…)",
        ),
        *(
            Function(homes=homes, why=_NATIVE, remedy=_BUILD)
            for homes in (
                ("torch._inductor:aoti_load_package", "torch._inductor.package.package:load_package"),
                ("torch._inductor.package:load_package",),
                ("torch._export:aot_load",),
            )
        ),
        # What torch.compile made, of this version or another, on this machine or another.
        *(
            Function(homes=homes, why=_COMPILED, remedy=_COMPILE, machinery=True)
            for homes in (
                ("torch.compiler:load_compiled_function",),
                ("torch.compiler:load_cache_artifacts",),
                ("torch._precompile:load", "torch.compiler.precompile:load"),
                (f"{_ARTIFACTS}:CompiledArtifact.load",),
                (f"{_ARTIFACTS}:CacheCompiledArtifact.load",),
                (f"{_ARTIFACTS}:AOTCompiledArtifact.load",),
                (f"{_ARTIFACTS}:load_from_python",),
            )
        ),
        Function(homes=("torch.hub:load",), ours="safeload.torch.hub.load"),
        Function(homes=("torch.hub:list",), ours="safeload.torch.hub.list"),
        Function(homes=("torch.hub:help",), ours="safeload.torch.hub.help"),
        Function(homes=("torch.hub:load_state_dict_from_url",), ours="safeload.torch.hub.load_state_dict_from_url"),
        Function(
            homes=("torch.distributed.checkpoint:load", "torch.distributed.checkpoint.state_dict_loader:load"),
            ours="safeload.torch.distributed.checkpoint.load",
        ),
        Makers(homes=("torch.package.package_importer:PackageImporter",), ours="safeload.torch.package"),
    ),
)
