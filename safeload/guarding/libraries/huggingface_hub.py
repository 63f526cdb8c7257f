"""huggingface_hub: the mixins that give a class of one's own `from_pretrained`; fastai's learners."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library, Methods

LIBRARY = Library(
    name="huggingface_hub",
    doors=(
        Methods(library="huggingface_hub", pattern=r"from_pretrained", ours="safeload.huggingface_hub"),
        *(
            Function(
                homes=(f"huggingface_hub:{name}", f"huggingface_hub.serialization._torch:{name}"),
                ours=f"safeload.huggingface_hub.{name}",
            )
            for name in ("load_torch_model", "load_state_dict_from_file")
        ),
        Function(
            homes=("huggingface_hub.fastai_utils:from_pretrained_fastai",),
            why="a fastai learner is a pickle of code",
            remedy="safeload scan MODEL",
        ),
    ),
)
