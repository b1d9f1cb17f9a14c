"""Record what PyTorch answers to the cases of `tests/parity`, for the tests to compare with.

    python tools/record_golden.py              # every family
    python tools/record_golden.py conv norm    # only these

One file for each family, `tests/golden/<family>.json`, one line for each case. The bytes depend on the cases and
on PyTorch's version only, so recording again without a change changes nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
PYTORCH = "2.13.0"


def write(name: str, entries: dict[str, Any]) -> None:
    """One line for each entry, in alphabetical order: a change of one case is a change of one line."""
    lines = [f"{json.dumps(key)}: {json.dumps(entries[key], sort_keys=True)}" for key in sorted(entries)]
    path = GOLDEN / f"{name}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.relative_to(ROOT)}: {len(entries)} entries, {path.stat().st_size / 1024:.0f} KiB")


def main(wanted: list[str]) -> None:
    try:
        import torch
    except ImportError:
        sys.exit(f"record_golden: needs PyTorch: pip install torch=={PYTORCH}")
    if torch.__version__.split("+")[0] != PYTORCH:
        sys.exit(f"record_golden: the values come from PyTorch {PYTORCH}, and this is {torch.__version__}")

    sys.path.insert(0, str(ROOT))
    from tests.parity import families
    from tests.parity.case import Torch, record

    torch.set_num_threads(1)  # sums in another order would change the last digits
    found = families()
    unknown = set(wanted) - found.keys()
    if unknown:
        sys.exit(f"record_golden: no family named {sorted(unknown)}; there are {sorted(found)}")
    for family in wanted or found:
        write(family, {case.name: record(case, Torch()) for case in found[family]})


if __name__ == "__main__":
    main(sys.argv[1:])
