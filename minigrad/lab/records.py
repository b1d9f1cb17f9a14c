"""The records of runs as files hold them: read, checked field by field, and refused in one line that says where.

A folder may come from a stranger, or from a disk that failed. What passes here is safe to compute with and to draw:
every number has a range, every text a length, and the parts fit together.

This module needs msgspec. It is imported when a file is read.
"""

from collections.abc import Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Annotated, Any

from minigrad.extras import require
from minigrad.lab.settings import Settings

if TYPE_CHECKING:
    import msgspec
    from msgspec import Meta, Struct
else:
    msgspec = require("msgspec", extra="lab", what="minigrad compare")
    Meta, Struct = msgspec.Meta, msgspec.Struct


class RecordError(ValueError):
    """A file that does not hold a comparison; the message is one line, and says what is wrong in which place."""


MOST_BYTES = 2**30
"""A larger `results.json` is not read."""

# -- the fields -------------------------------------------------------------------------------------------------

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=1e60)]
Number = Annotated[float, Meta(ge=-1e60, le=1e60)]
Text = Annotated[str, Meta(max_length=2000)]
Layer = Annotated[str, Meta(pattern="^(conv|linear)[1-9][0-9]{0,3}$")]
Chance = Share | None


class Epoch(Struct):
    train_loss: Number
    test_loss: Number
    test_accuracy: Share


class Timing(Struct):
    us_per_step: list[Amount]


class Run(Struct, kw_only=True, tag_field="status"):
    norm: Text
    seed: Seed


class NotApplicable(Run, tag="does not apply"):
    why: Text


class Trained(Run, kw_only=True):
    test_samples: Annotated[int, Meta(ge=1, le=2**53)]
    parameters: Count
    layers: list[Layer]
    step_losses: list[Number]
    gradient_norms: list[list[Amount | None]]
    epochs: list[Epoch]
    timing: Timing
    chance: Chance = None  # (older versions did not write it)


class Finished(Trained, tag="finished"):
    pass


class Diverged(Trained, kw_only=True, tag="diverged"):
    diverged_at: Annotated[int, Meta(ge=1, le=2**53)]


class Running(Trained, tag="running"):
    pass


class Data(Struct):
    name: Text
    fingerprint: Text


class Results(Struct):
    """`results.json`. The summary in it is for readers; minigrad computes it again."""

    settings: Any
    runs: list[Any]
    environment: dict[Text, Text | int | None] = {}
    data: Data | None = None


# -- reading ----------------------------------------------------------------------------------------------------


def results(path: Path) -> tuple[Settings, list[dict[str, Any]], Results]:
    """The settings, the runs and the rest of a `results.json`.

    Raises:
        RecordError: the file is damaged, or not of this kind.
        OSError: the file cannot be read.
    """
    state = path.stat()
    if not S_ISREG(state.st_mode):
        raise RecordError(f"{path} is not a file")
    if state.st_size > MOST_BYTES:
        raise RecordError(f"{path} has {state.st_size:,} bytes; more than {MOST_BYTES:,} are not read")
    place = ""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Results)
        place = "settings: "
        settings = msgspec.convert(complete(found.settings), Settings)
        runs, planned = [], set(product(settings.norms, settings.seeds))
        for number, run in enumerate(found.runs):
            place = f"runs[{number}]: "
            runs.append(_plain(msgspec.convert(run, NotApplicable | Finished | Diverged)))
            check(runs[-1], settings.epochs, planned)
        place = "runs: "
        check_together(runs)
    except (msgspec.MsgspecError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        why = f"{place}{reason(error):.300}"
        raise RecordError(
            f"{path} is damaged, or another version wrote it: {why}. Start anew in another folder"
        ) from error
    return settings, runs, found


def unfinished(text: str, fresh: dict[str, Any], steps_per_epoch: int) -> dict[str, Any]:
    """The record in a checkpoint.

    Raises:
        ValueError: it is damaged, or does not belong to the run that begins with the record `fresh`.
    """
    try:
        record = _plain(msgspec.json.decode(text, type=Running))
    except msgspec.MsgspecError as error:
        raise ValueError(reason(error)) from error
    for key in ("norm", "seed", "test_samples", "chance", "parameters", "layers"):
        if record[key] != fresh[key]:
            raise ValueError(f"{key} is another one")
    check_lengths(record, len(record["epochs"]), steps_per_epoch)
    return record


def complete(settings: Any) -> Any:
    """Raise ValueError if a field is missing, for which the default would be used, or if there is one too many."""
    if isinstance(settings, dict):
        known = {field.name for field in fields(Settings)}
        for what, names in (("is missing", known - settings.keys()), ("is unknown", settings.keys() - known)):
            for name in sorted(names):
                raise ValueError(f"{name} {what}")
    return settings


def _plain(run: Any) -> dict[str, Any]:
    return {"norm": run.norm, "seed": run.seed, **msgspec.to_builtins(run)}


def reason(error: Exception) -> str:
    """What is wrong, and where, in the words of a person who reads JSON."""
    if isinstance(error, RecursionError):
        return "values are nested too deep"
    if isinstance(error, MemoryError):
        return "not enough memory to read it"
    text, _, place = str(error).partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    return f"{place}: {text}" if place else text


# -- do the parts fit together? -----------------------------------------------------------------------------------


def check(run: dict[str, Any], all_epochs: int, planned: set[tuple[str, int]]) -> None:
    """Raise ValueError unless the run may come from a comparison of this length, with these norms and seeds."""
    if (run["norm"], run["seed"]) not in planned:
        raise ValueError(f"the settings have no run with norm {run['norm']!r:.60} and seed {run['seed']}")
    if run["status"] == "does not apply":
        return
    epochs, steps = len(run["epochs"]), len(run["step_losses"])
    if run["status"] == "finished":
        if epochs != all_epochs:
            raise ValueError(f"epochs: the run is finished and has {epochs} of {all_epochs}")
        if steps == 0 or steps % epochs:
            raise ValueError(f"step_losses: {steps} losses do not divide into {epochs} epochs of equally many steps")
        check_lengths(run, epochs, steps // epochs)
        return
    if epochs >= all_epochs:
        raise ValueError(f"epochs: the run diverged, and has all {epochs}")
    # The loss is not finite at the step after the last one that was kept, or in the evaluation after that one.
    if run["diverged_at"] not in (steps, steps + 1):
        raise ValueError(f"diverged_at is {run['diverged_at']}, and there are {steps} losses before it")
    if len(run["timing"]["us_per_step"]) != epochs:
        raise ValueError(f"timing.us_per_step: there are {len(run['timing']['us_per_step'])} for {epochs} epochs")
    _check_gradients(run, range(epochs, epochs + 2))


def check_lengths(run: dict[str, Any], epochs: int, steps_per_epoch: int) -> None:
    """Raise ValueError unless the lists have the lengths of this number of epochs."""
    for name, expected, values in (
        ("step_losses", epochs * steps_per_epoch, run["step_losses"]),
        ("timing.us_per_step", epochs, run["timing"]["us_per_step"]),
    ):
        if len(values) != expected:
            raise ValueError(f"{name}: there are {len(values)} values, and {epochs} epochs have {expected}")
    _check_gradients(run, (epochs,))


def _check_gradients(run: dict[str, Any], expected: Sequence[int]) -> None:
    if len(run["gradient_norms"]) not in expected:
        raise ValueError(f"gradient_norms: there are {len(run['gradient_norms'])} for {len(run['epochs'])} epochs")
    layers = len(run["layers"])
    if not layers or any(len(norms) != layers for norms in run["gradient_norms"]):
        raise ValueError(f"gradient_norms: each must have one number for each of {layers} layers")


def check_together(runs: list[dict[str, Any]]) -> None:
    """Raise ValueError unless the runs may come from one comparison."""
    seen: set[tuple[str, int]] = set()
    for run in runs:
        pair = (run["norm"], run["seed"])
        if pair in seen:
            raise ValueError(f"norm {pair[0]} with seed {pair[1]} stands there twice")
        seen.add(pair)
    trained = [run for run in runs if run["status"] != "does not apply"]
    finished = {len(run["step_losses"]) for run in trained if run["status"] == "finished"}
    for name, different in (
        ("test_samples", {run["test_samples"] for run in trained}),
        ("layers", {tuple(run["layers"]) for run in trained}),
        ("the number of step_losses", finished),
    ):
        if len(different) > 1:
            raise ValueError(f"{name} differs from run to run")
