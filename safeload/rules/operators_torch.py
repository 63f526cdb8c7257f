"""Operators of torch's runtimes that reach out. Programs are never safe, so there is no list of the others."""

from __future__ import annotations

from safeload.rules.catalogue import FILE, NATIVE, NETWORK
from safeload.rules.wordlist import words

OWN = words(
    "aten prim prims quantized math sparse rngprims higher_order profiler _quantized xnnpack prepacked cuda onednn"
)
"""Namespaces that torch brings along; others come from a library that must be loaded first."""

REACHES = {
    **dict.fromkeys(
        words(
            "from_file save load _load_for_mobile read_file write_file read_image decode_video read_video "
            "read_video_from_file probe_video_from_file sox_io_load_audio_file sox_io_save_audio_file "
            "sox_effects_apply_effects_file sox_io_get_info_file load_audio_file save_audio_file open_file "
            "create_from_file load_library read_file_zerocopy get_info_file"
        ),
        FILE,
    ),
    **dict.fromkeys(words("rpc_async rpc_sync rpc_remote init_rpc"), NETWORK),
    **dict.fromkeys(words("load_tensorrt_engine run_model aoti_load_package load_inline"), NATIVE),
}
"""By operator, in whatever namespace: what it can do."""
