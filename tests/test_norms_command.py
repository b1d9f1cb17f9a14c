"""`minigrad norms` and its catalogue: every entry is there, its drawing is true, and it can be read anywhere."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli
from minigrad.lab import models, norms
from minigrad.lab.catalogue import CATALOGUE, CENTER, ENTRIES, FAMILIES, Entry, find
from minigrad.nn import functional as F
from tests.norms import methods

each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
ROOT = Path(mg.__file__).parent.parent


# -- the entries --------------------------------------------------------------------------------------------


@each_entry
def test_an_entry_names_what_exists_and_is_documented(entry: Entry):
    assert entry.family in FAMILIES
    assert entry.title[0].islower() or entry.title.split()[0].isupper() or entry.title[0] in "EFP"
    for place, thing in entry.objects.items():
        doc = inspect.getdoc(thing) or ""
        assert doc.count(".") or ":" in doc, f"mg.{place} has no docstring"
    assert entry.doc.splitlines()[0].strip()


@each_entry
def test_a_docstring_teaches(entry: Entry):
    """Formula, four decisions where there are statistics, the paper, and an example that runs."""
    doc = entry.doc
    assert re.search(" [=←] ", doc), "no formula"
    assert ">>>" in doc, "no example"
    if entry.family not in ("inputs", "without") and entry.name not in REFERRING:
        for number in "1234":
            assert f"({number})" in doc, f"decision {number} is missing"
        assert "evaluation" in doc, "it does not say what changes in evaluation"
        assert "Keras" in doc and ("PyTorch" in doc or entry.name == "unit"), "it does not compare with others"
    if entry.name not in WITHOUT_PAPER:
        assert re.fullmatch(r".+, (arXiv \d{4}\.\d{5}|\d{4})", entry.paper), entry.paper


@each_entry
def test_a_layer_stands_on_its_own(entry: Entry):
    """What it is given, of which shape, what evaluation changes, and an example; the rest is at the function."""
    for place, layer in entry.objects.items():
        if not isinstance(layer, type) or place.endswith(("2d", "3d")):  # (these refer to 1d)
            continue
        doc = inspect.getdoc(layer) or ""
        assert ">>>" in doc, f"mg.{place} has no example"
        assert "functional." in doc or entry.family in ("inputs", "without") or place == "nn.IterativeNorm", place
        if entry.family not in ("inputs", "without") and place != "nn.CosineSimilarity":
            assert "Shapes:" in doc or "Shapes, errors" in doc, f"mg.{place} says no shapes"
            assert "evaluation" in doc.lower(), f"mg.{place} does not say what changes in evaluation"


REFERRING = {"population", "sync_batch"}
"""These are batch norm, and refer to it."""

WITHOUT_PAPER = {"unit", "min_max", "standard", "decimal", "log"}

TESTED_ELSEWHERE = {
    "population": "test_population",
    "sync_batch": "test_sync_batch_norm",
    "selu": "test_without_norms",
    "fixup": "test_without_norms",
    "agc": "test_without_norms",
    "min_max": "test_scalers",
    "standard": "test_scalers",
    "decimal": "test_scalers",
    "log": "test_scalers",
    "whitening": "test_scalers",
}
"""What is no function of a tensor alone has tests of its own kind."""


@each_entry
def test_an_entry_is_a_row_of_the_table_of_tests(entry: Entry):
    if entry.name in TESTED_ELSEWHERE:
        text = (ROOT / "tests" / f"{TESTED_ELSEWHERE[entry.name]}.py").read_text()
        assert entry.places[0].rsplit(".", 1)[1] in text
        return
    names = {method.name.split()[0] for method in methods()}
    functions = [place.rsplit(".", 1)[1] for place in entry.places if place.startswith("nn.functional.")]
    assert functions
    for function in functions:
        assert function in names, f"no row for {function}"


@pytest.mark.parametrize("name", TESTED_ELSEWHERE)
def test_what_is_tested_elsewhere_is_broken_elsewhere(name: str):
    file, word = BROKEN_ELSEWHERE[name]
    assert word in (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")


BROKEN_ELSEWHERE = {
    "population": ("test_sabotage_statistics", "test_population"),
    "sync_batch": ("test_sabotage_statistics", "sync_batch_norm"),
    "selu": ("test_without_norms", '("lecun_normal_", lambda'),
    "fixup": ("test_without_norms", '"fixup",'),
    "agc": ("test_without_norms", "test_a_broken_clipping_is_found"),
    "min_max": ("test_sabotage", "MinMaxScaler divides"),
    "standard": ("test_sabotage", "StandardScaler takes"),
    "decimal": ("test_sabotage", "DecimalScaler lets"),
    "log": ("test_sabotage", "LogTransform loses"),
    "whitening": ("test_sabotage", "whitening divides"),
}
"""Where such a method is broken on purpose, and a word of the place."""


def test_entries_can_be_told_apart():
    assert len(CATALOGUE) == len(ENTRIES)
    places = [place for entry in ENTRIES for place in entry.places]
    assert len(set(places)) == len(places)


def test_every_normalization_is_in_the_catalogue():
    from minigrad.nn import norm
    from minigrad.ops import norm as functions

    places = {place.rsplit(".", 1)[1] for entry in ENTRIES for place in entry.places}
    assert set(functions.__all__) | set(norm.__all__) <= places


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("group", "group"), ("GroupNorm", "group"), ("group_norm", "group"), ("group-norm", "group"), ("GN", "group"),
        ("BatchNorm", "batch"), ("BatchNorm2d", "batch"), ("bn", "batch"), ("normalize", "unit"),
        ("AdaIN", "adaptive_instance"),
        ("DyT", "dynamic_tanh"), ("weight_norm", "weight"), ("MinMaxScaler", "min_max"), ("IterNorm", "iterative"),
        ("adaptive_clip_grad_", "agc"), ("lrn", "local_response"), ("RMSNorm", "rms"), ("SPADE", "spade"),
    ],
)  # fmt: skip
def test_a_method_is_found_by_any_of_its_names(text: str, name: str):
    assert find(text) == name


def test_no_two_methods_share_a_spelling():
    from minigrad.lab.catalogue import _letters

    owner: dict[str, str] = {}
    for entry in ENTRIES:
        for text in {
            _letters(text) for text in (entry.name, *entry.also, *(p.rsplit(".", 1)[1] for p in entry.places))
        }:
            assert owner.setdefault(text, entry.name) in (entry.name, "weight_standardization"), text


# -- the drawings -------------------------------------------------------------------------------------------


def numbers(*shape: int) -> Any:
    return np.random.default_rng(list(shape)).standard_normal(shape)


def module(layer: Any) -> Callable[[Any], Any]:
    return lambda x: layer(x).detach()


def conditioned(x: Any, per_element: bool = False) -> tuple[Any, Any]:
    shape = x.shape if per_element else x.shape[:2]
    return mg.Tensor(numbers(*shape)), mg.Tensor(numbers(*shape))


def running(norm: Any) -> Callable[[Any], Any]:
    """A norm whose function needs running statistics, as a new layer in training."""
    return lambda x: norm().double()(x).detach()


def scaler(name: str) -> Callable[[Any], Any]:
    def transform(x: Any) -> Any:
        flat = x.array.reshape(x.shape[:2])
        return mg.Tensor(np.asarray(getattr(mg.data, name)().fit(flat).transform(flat)).reshape(x.shape))

    return transform


DRAWN: dict[str, Callable[[Any], Any]] = {
    "batch": lambda x: F.batch_norm(x, training=True),
    "population": lambda x: F.batch_norm(x, training=True),
    "sync_batch": running(lambda: mg.nn.SyncBatchNorm(4)),
    "batch_renorm": running(lambda: mg.nn.BatchRenorm1d(4)),
    "ghost_batch": lambda x: F.ghost_batch_norm(x, 2, training=True),
    "mean_only_batch": lambda x: F.mean_only_batch_norm(x, training=True),
    "decorrelated_batch": lambda x: F.decorrelated_batch_norm(x, training=True),
    "iterative": lambda x: F.iterative_norm(x, training=True),
    "layer": lambda x: F.layer_norm(x, x.shape[1:]),
    "rms": lambda x: F.rms_norm(x, x.shape[1:]),
    "scale": lambda x: F.scale_norm(x.transpose(1, 2)).transpose(1, 2),
    "instance": lambda x: F.instance_norm(x),
    "group": lambda x: F.group_norm(x, 2),
    "local_response": lambda x: F.local_response_norm(x, 3, alpha=1.0),
    "filter_response": lambda x: F.filter_response_norm(x),
    "evo_s0": running(lambda: mg.nn.EvoNormS0(2, 4)),
    "global_response": lambda x: F.global_response_norm(x, mg.Tensor(np.ones(4))),
    "unit": lambda x: F.normalize(x),
    "cosine": lambda x: F.cosine_linear(x.squeeze(2), mg.Tensor(numbers(4, 4))).unsqueeze(2),
    "switchable": lambda x: F.switchable_norm(x, *[mg.Tensor(np.zeros(3))] * 2, training=True),
    "adaptive_instance": lambda x: F.adaptive_instance_norm(x, mg.Tensor(numbers(4, 4, 5))),
    "conditional_batch": lambda x: F.conditional_batch_norm(x, *conditioned(x), training=True),
    "spade": lambda x: F.spade(x, *conditioned(x, True), training=True),
    "weight": lambda x: F.weight_norm(x, mg.Tensor(np.ones((4, 1, 1)))),
    "weight_standardization": lambda x: F.weight_standardization(x),
    "scaled_weight_standardization": lambda x: F.scaled_weight_standardization(x),
    "spectral": lambda x: F.spectral_norm(
        x, mg.Tensor(numbers(4)), mg.Tensor(numbers(12)), 50, training=True
    ),
    "dynamic_tanh": lambda x: F.dynamic_tanh(x, 0.5),
    "dynamic_erf": lambda x: F.dynamic_erf(x, 0.5, 0.1),
    "selu": F.selu,
    "min_max": scaler("MinMaxScaler"),
    "standard": scaler("StandardScaler"),
    "decimal": scaler("DecimalScaler"),
    "log": lambda x: scaler("LogTransform")(x.abs()),
}  # fmt: skip
"""The method as a function of the tensor that it is drawn on."""

NOT_DRAWN = {
    "power": "within a step nothing is shared: the average of earlier steps divides",
    "evo_b0": "the larger of two statistics counts, so that which elements matter depends on the numbers",
    "divisive": "the window of the deviation lies around windows of means, and reaches further",
    "whitening": "four samples of four features always lie at the corners of a tetrahedron",
    "fixup": "it is a start, no function of a tensor",
    "agc": "it changes gradients",
}


def test_every_drawing_is_checked_or_says_why_not():
    assert DRAWN.keys() | NOT_DRAWN.keys() == CATALOGUE.keys()
    assert not DRAWN.keys() & NOT_DRAWN.keys()


@pytest.mark.parametrize("name", DRAWN)
def test_the_drawing_is_true(name: str):
    """If one element changes, the outputs that change are those that share a statistic with it, and no others."""
    entry = CATALOGUE[name]
    shape = entry.example.shape
    reference = CENTER if entry.sharing and entry.sharing[0].window else (0, 0, 0)
    x = numbers(*shape)
    x[reference] = -5.0  # the smallest: afterwards another one is
    moved = x.copy()
    moved[reference] += 30.0
    before, after = (DRAWN[name](mg.Tensor(array)).array for array in (x, moved))
    changed = np.abs(after - before) > 1e-9
    for at in product(*map(range, shape)):
        shares = any(sharing.marked(*at) for sharing in entry.sharing) or at == reference
        assert changed[at] == shares, f"{name}: the element {at}"
    marks = "\n".join(norms.small(entry))
    expected = changed.sum() if entry.sharing else 0
    assert len(re.findall("[■□]", marks)) == expected


@each_entry
def test_the_large_drawing_is_the_small_one(entry: Entry):
    samples, channels, places = entry.example.shape
    for sharing in entry.sharing:
        _, *lines = norms.large(sharing, entry.example)
        marks = [re.split("  +", line)[1:] for line in lines]  # marks[channel][sample], "■ b b"
        symbols = {
            (n, c, s): marks[c][n].split()[s] for n, c, s in product(range(samples), range(channels), range(places))
        }
        for at, symbol in symbols.items():
            assert (symbol in "■◆") == sharing.marked(*at)
            if sharing.group is not None:  # the same symbol where the group is the same
                same = {other for other in symbols if sharing.group(*other) == sharing.group(*at)}
                assert same == {other for other in symbols if symbols[other] == symbol}


# -- the output ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_table_fits_its_width_and_names_everything(width: int):
    lines = [line.replace(norms.HEADING, "") for line in norms.table(width)]
    assert max(map(norms.length, lines)) <= width
    text = "\n".join(lines)
    for entry in ENTRIES:
        assert re.search(rf"(?m)^{entry.name.split('_')[0]}", text)
        assert norms.short(entry.paper).split()[-1] in text
    for title in FAMILIES.values():
        assert title in text
    assert ("formula" in text) == (width >= 160)


def test_the_readme_shows_what_the_command_prints():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(Group normalization\n.*?)```", readme, re.S)
    page = "\n".join(norms.page(CATALOGUE["group"], 80)).replace(norms.HEADING, "")
    assert page.startswith(shown)
    assert f"lists {len(ENTRIES)} methods" in re.sub("<!--.*?-->", "", readme)


@each_entry
def test_a_page_fits_80_columns_but_for_examples(entry: Entry):
    lines = norms.page(entry, 80)
    end = next((i for i, line in enumerate(lines) if line == norms.HEADING + "Example"), len(lines))
    for line in lines[:end]:
        assert norms.length(line.replace(norms.HEADING, "")) <= 80, line
    text = "\n".join(lines)
    for place in entry.places:
        assert re.search(rf"mg\.{re.escape(place)}[(,]", text)
    assert " ".join(entry.doc.split()[:4]) in text
    assert "\x02" not in text.replace("\n\x02", "\n")[1:]


def test_a_pipe_gets_plain_text(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    for arguments in (["norms"], ["norms", "GroupNorm"]):
        result = subprocess.run(
            [sys.executable, "-m", "minigrad", *arguments], capture_output=True, cwd=tmp_path, env=environment,
            check=True,
        )  # fmt: skip
        text = result.stdout.decode()
        assert not re.search("[\x00-\x09\x0b-\x1f]", text), "no control characters but line ends"
        assert "1803.08494" in text
        assert "■ ■ ■     b b b" in text or arguments == ["norms"]


class Terminal:
    """A standard output that is a terminal, or has an old encoding."""

    def __init__(self, tty: bool, encoding: str):
        self.tty, self.encoding, self.text = tty, encoding, ""

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> None:
        self.text += text.encode(self.encoding).decode(self.encoding)  # as a file would: an error if it cannot

    def flush(self) -> None:
        pass


def test_a_terminal_gets_colours_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal(True, "utf-8")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["norms", "group"]) == 0
    assert "\x1b[1mGroup normalization\x1b[0m" in terminal.text
    assert "\x1b[36m■ ■ ■\x1b[0m" in terminal.text
    plain = Terminal(True, "utf-8")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", plain)
    cli.main(["norms", "group"])
    assert "\x1b" not in plain.text


def test_an_old_terminal_gets_plain_marks_and_no_error(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal(False, "cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["norms"]) == 0
    assert "1803.08494" in terminal.text
    assert "### ... ... ..." in terminal.text


def test_a_reader_may_close_the_pipe(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, "-m", "minigrad", "norms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_named(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "minigrad", "norms"], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path,
            env=environment, text=True,
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("minigrad norms: [Errno 28]") and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("wrong", "right"), [("gruop", "group"), ("leyer", "layer"), ("batch_renrom", "batch_renorm")]
)
def test_an_unknown_name_suggests_the_nearest(wrong: str, right: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        cli.main(["norms", wrong])
    assert stop.value.code == 2
    assert f"did you mean {right!r}?" in capsys.readouterr().err


# -- in a comparison ----------------------------------------------------------------------------------------


def test_compare_knows_every_name():
    assert models.NORMS.keys() == {"none"} | CATALOGUE.keys()


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_method_trains_or_says_why_not(name: str, model: str):
    mg.manual_seed(0)
    norm = models.NORMS[name]
    if (norm.features if model == "mlp" else norm.maps) is None:
        with pytest.raises(models.DoesNotApply) as error:
            models.build(model, name, (1, 8, 8), 3, 2, 4, "relu")
        assert str(error.value) == norm.why_not and len(norm.why_not) > 20
        assert norm.why_not in norm.about(name)
        return
    network = models.build(model, name, (1, 8, 8), 3, 2, 4, "relu")
    x = mg.randn(16, 1, 8, 8)
    if norm.prepare is not None:
        norm.prepare(network, x)
    mg.nn.functional.cross_entropy(network(x), mg.arange(16) % 3).backward()
    layers = models.weight_layers(network)
    assert list(layers) == {"mlp": ["linear1", "linear2", "linear3"], "cnn": ["conv1", "conv2", "linear1"]}[model]
    for layer in layers.values():
        for weight in models.trained_weights(layer):
            assert weight.grad is not None and np.isfinite(weight.grad.array).all()
    network.eval()
    assert network(x[:1]).isfinite().all()
    assert f"--norm {name}" in norm.about(name)
