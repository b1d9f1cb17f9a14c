"""Record what PyTorch answers to the cases of `tests/parity`, for the tests to compare with.

    python tools/record_golden.py              # every family
    python tools/record_golden.py conv norm    # only these

One file for each family, `tests/golden/<family>.json`, one line for each case. The bytes depend on the cases and
on PyTorch's version only, so recording again without a change changes nothing. The family `signatures` holds the
arguments of PyTorch's functions and classes, which `tests/test_signatures.py` compares with ours.
"""

import inspect
import json
import re
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


def signature(thing: Any) -> list[str]:
    """The arguments of a function or class as Python would write them; several, if it has overloads."""
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (ValueError, TypeError):
        # Functions written in C++ name their arguments in the first lines of their documentation only.
        name = getattr(thing, "__name__", "")
        return re.findall(rf"(?:^|:: )\s*(?:[\w.]+\.)?{name}\((.*?)\)(?: ->|\s*$)", str(thing.__doc__), re.M)
    if [p.kind for p in parameters] == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
        return []
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return [str(inspect.Signature(plain))[1:-1]]


def signatures(torch: Any) -> dict[str, list[str]]:
    """What PyTorch's public functions, classes and layers take, by their name after `torch.`."""
    rooms = {
        "": torch,
        "nn.": torch.nn,
        "nn.functional.": torch.nn.functional,
        "nn.init.": torch.nn.init,
        "nn.utils.": torch.nn.utils,
        "nn.utils.parametrize.": torch.nn.utils.parametrize,
        "nn.utils.parametrizations.": torch.nn.utils.parametrizations,
        "optim.": torch.optim,
        "optim.lr_scheduler.": torch.optim.lr_scheduler,
        "Tensor.": torch.Tensor,
        "utils.data.": torch.utils.data,
    }
    found = {}
    for prefix, room in rooms.items():
        # These two have names in them that they only import.
        for name in room.__all__ if "parametriz" in prefix else dir(room):
            thing = getattr(room, name)
            if not name.startswith("_") and callable(thing):
                given = [s for s in signature(thing) if "<" not in s and "..." not in s]
                if given:
                    found[prefix + name] = given
                if isinstance(thing, type) and issubclass(thing, torch.nn.Module):
                    _, *arguments = inspect.signature(thing.forward).parameters
                    found[f"{prefix}{name}.forward"] = [", ".join(arguments)]
    return found


def main(wanted: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        import torch
    except ImportError:
        from minigrad.install import pip_install

        sys.exit(f"record_golden: needs PyTorch: {pip_install(f'torch=={PYTORCH}')}")
    if torch.__version__.split("+")[0] != PYTORCH:
        sys.exit(f"record_golden: the values come from PyTorch {PYTORCH}, and this is {torch.__version__}")

    from tests.parity import families
    from tests.parity.case import Torch, record

    found = families()
    names = [*found, "signatures"]
    unknown = set(wanted) - set(names)
    if unknown:
        sys.exit(f"record_golden: no family named {sorted(unknown)}; there are {names}")
    for family in wanted or names:
        if family == "signatures":
            write(family, signatures(torch))
        else:
            write(family, {case.name: record(case, Torch()) for case in found[family]})


if __name__ == "__main__":
    main(sys.argv[1:])
