"""Fail a pipeline if a folder of models holds anything that is not safe.

python ci_gate.py models/
"""

from __future__ import annotations

import sys
from pathlib import Path

import safeload


def main(folder: str) -> int:
    worst = safeload.Status.SAFE
    for model in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        report = safeload.scan(model)
        print(f"{report.status!s:<10} {model.name}")
        for finding in report.findings:
            print(f"           {finding.location}: {finding.message}")
        worst = max(worst, report.status)
    return worst.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
