"""torch: checkpoints, TorchScript, exported programs, the hub, distributed checkpoints, packages."""

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
_COMPILED = "it is compiled code and pickles of it, which torch's caches then run"
_OWN = "compile the model here; if MODULE reads only what this program wrote: guard(unsafe_pickles_of=['MODULE'])"
_PROGRAM = "it is a program, and runs whatever its author put there"

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
        *(
            Function(homes=homes, why=_COMPILED, remedy=_OWN, machinery=True)
            for homes in (
                ("torch.compiler:load_cache_artifacts",),
                ("torch._inductor.standalone_compile:CompiledArtifact.load", "torch._inductor:CompiledArtifact.load"),
                ("torch._inductor.standalone_compile:CacheCompiledArtifact.load",),
                ("torch._inductor.standalone_compile:AOTCompiledArtifact.load",),
            )
        ),
        Function(homes=("torch.hub:load",), ours="safeload.torch.hub.load"),
        Function(homes=("torch.hub:load_state_dict_from_url",), ours="safeload.torch.hub.load_state_dict_from_url"),
        Function(
            homes=("torch.distributed.checkpoint:load", "torch.distributed.checkpoint.state_dict_loader:load"),
            ours="safeload.torch.distributed.checkpoint.load",
        ),
        Makers(homes=("torch.package.package_importer:PackageImporter",), ours="safeload.torch.package"),
    ),
)
