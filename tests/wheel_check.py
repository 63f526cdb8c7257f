"""Run with the built wheel installed and nothing else of ours around: is all there, and does it start?

Not a test module: `make wheel` runs it with `python -I` in an environment that holds only the wheel.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path


def main() -> None:
    import safeload

    root = files("safeload")
    assert "site-packages" in str(root), f"not the installed wheel: {root}"
    assert (root / "py.typed").is_file(), "py.typed is missing"
    assert any(entry.name.endswith(".toml") for entry in (root / "allowlists").iterdir()), "allowlists are missing"
    assert (root / "reporters/report.css").is_file() and (root / "reporters/report.js").is_file(), "no style, no script"
    assert not any(name.startswith("torch") for name in requires("safeload") or () if "extra" not in name)
    import safeload_approved

    assert "site-packages" in str(safeload_approved.__file__), "what approved code is found by is missing"
    for name in safeload.__all__:
        getattr(safeload, name)

    program = Path(sys.executable).with_name("safeload")
    for arguments, code in ((["--version"], 0), (["--help"], 0), (["doctor", "--json"], None)):
        result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == code or (code is None and result.returncode in (0, 1)), result.stderr
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pytorch_model.bin")
        path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        result = subprocess.run([program, "scan", str(path)], capture_output=True, text=True, check=False)
        assert result.returncode == 1, result.stderr
        assert "dangerous" in result.stdout
    print(f"the wheel of safeload {safeload.__version__} works by itself")


if __name__ == "__main__":
    main()
