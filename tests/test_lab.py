"""`minigrad compare`: what it promises about fairness, resuming, divergence and errors, on tiny runs."""

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli
from minigrad.install import install_command
from minigrad.lab import compare as lab
from minigrad.lab import display, models, report, summary
from minigrad.lab.train import Recipe, train

SMALL = ("--model", "mlp", "--depth", "1", "--width", "8", "--data", "blobs", "--epochs", "2", "--seeds", "2")
RECIPE = Recipe("mlp", "tanh", depth=2, width=8, optimizer="momentum", lr=0.05, batch_size=64, epochs=3)


@pytest.fixture(scope="module")
def blobs() -> Any:
    return lab.load_samples(lab.Settings(model="mlp", data="blobs"))


def untimed(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "timing"}


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_every_norm_starts_from_the_same_weights():
    for model in models.MODELS:
        weights: dict[str, Any] = {}
        for name, norm in models.NORMS.items():
            if (norm.features if model == "mlp" else norm.maps) is None or norm.initialize is not None:
                continue
            mg.manual_seed(3)
            layers = models.weight_layers(models.build(model, name, (1, 8, 8), 10, 2, 8, "relu"))
            # Of a weight with a length and a direction, the direction is drawn, and comes last.
            weights[name] = [models.trained_weights(layer)[-1].detach().numpy() for layer in layers.values()]
        assert len(weights) > 20
        for name, other in weights.items():
            for a, b in zip(weights["none"], other, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)


def test_selu_starts_from_lecuns_weights():
    mg.manual_seed(3)
    network = models.build("mlp", "selu", (400,), 10, 1, 300, "relu")
    first, _ = models.weight_layers(network).values()
    assert first.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert any(isinstance(module, mg.nn.SELU) for module in network.modules())
    assert not any(isinstance(module, mg.nn.ReLU) for module in network.modules())


def test_scaled_weights_make_up_for_the_activation():
    """Ten layers deep the sums of a layer still have variance 1, whatever stands between them."""
    assert models.gamma_of("relu") == pytest.approx(2**0.5 / (1 - 1 / np.pi) ** 0.5, rel=1e-5)
    for activation in ("relu", "sigmoid", "tanh"):
        mg.manual_seed(0)
        network = models.build("mlp", "scaled_weight_standardization", (200,), 10, 10, 200, activation)
        x = mg.randn(400, 200)
        for module in network[:-1]:
            x = module(x)
            if isinstance(module, mg.nn.Linear):
                assert x.var(0).mean().item() == pytest.approx(1, rel=0.25), activation


def test_methods_do_in_a_run_what_they_say(blobs, monkeypatch):
    """Clipping before each step, statistics of the whole set before each evaluation, initialization from data once."""
    calls: list[str] = []
    for name, kind in (("agc", "clip"), ("population", "before_evaluation"), ("weight", "prepare")):
        original = getattr(models.NORMS[name], kind)

        def spy(*arguments: Any, kind: str = kind, original: Any = original) -> Any:
            calls.append(kind)
            return original(*arguments)

        changed = dataclasses.replace(models.NORMS[name], **{kind: spy})
        monkeypatch.setitem(models.NORMS, name, changed)
        train(RECIPE, name, 0, blobs)
    steps = len(blobs.train) // RECIPE.batch_size * RECIPE.epochs
    assert calls == ["clip"] * steps + ["before_evaluation"] * RECIPE.epochs + ["prepare"]


def test_clipping_leaves_the_classifier_alone():
    network = models.build("mlp", "agc", (4,), 3, 1, 5, "relu")
    hidden, classifier = models.weight_layers(network).values()
    for layer in (hidden, classifier):
        layer.weight.grad = mg.ones_like(layer.weight) * 100
    clip = models.NORMS["agc"].clip
    assert clip is not None
    clip(network)
    assert (classifier.weight.grad.numpy() == 100).all()
    limit = 0.01 * np.linalg.norm(hidden.weight.detach().numpy(), axis=1)
    np.testing.assert_allclose(np.linalg.norm(hidden.weight.grad.numpy(), axis=1), limit, rtol=1e-5)


@pytest.mark.parametrize("sample", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 5, 7)])
def test_the_cnn_fits_images_of_many_sizes(sample):
    network = models.build("cnn", "batch", sample, 7, 3, 8, "relu")
    assert network(mg.randn(2, *sample)).shape == (2, 7)


def test_no_instance_norm_for_flat_features(blobs):
    record = train(RECIPE, "instance", 0, blobs)
    assert record["status"] == "does not apply"
    assert "pixels" in record["why"]


def test_a_run_can_be_repeated(blobs):
    first, second = (train(RECIPE, "batch", 1, blobs) for _ in range(2))
    assert untimed(first) == untimed(second)
    assert first["step_losses"] != train(RECIPE, "batch", 2, blobs)["step_losses"]


def test_norms_see_the_same_batches(blobs, monkeypatch):
    seen: dict[str, list[bytes]] = {}
    original = lab.data.TensorDataset.batch

    for norm in ("none", "batch"):
        batches = seen.setdefault(norm, [])

        def spy(self: Any, indices: Any, batches: list[bytes] = batches) -> Any:
            batches.append(np.asarray(indices).tobytes())
            return original(self, indices)

        monkeypatch.setattr(lab.data.TensorDataset, "batch", spy)
        train(RECIPE, norm, 0, blobs)
    assert seen["none"] == seen["batch"]
    assert len(seen["none"]) > 6


class Stop(Exception):
    pass


STOPPED = [("batch", optimizer, stop) for optimizer in ("momentum", "adam") for stop in (5, 13, 27)] + [
    (norm, "adam", 13)
    for norm in ("population", "batch_renorm", "power", "switchable", "weight", "spectral", "cosine", "agc", "selu")
]


@pytest.mark.parametrize(("norm", "optimizer", "stop_after"), STOPPED)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, blobs, norm, optimizer, stop_after):
    recipe = Recipe("mlp", "tanh", depth=2, width=8, optimizer=optimizer, lr=0.01, batch_size=64, epochs=3)
    whole = train(recipe, norm, 0, blobs)
    checkpoint = tmp_path / "checkpoint.npz"

    def interrupt(record: dict[str, Any], step: int, loss: float) -> None:
        if step == stop_after:
            raise Stop

    with pytest.raises(Stop):
        train(recipe, norm, 0, blobs, checkpoint, interrupt)
    mg.manual_seed(999)  # whatever the process did in between
    assert untimed(train(recipe, norm, 0, blobs, checkpoint)) == untimed(whole)


def test_a_checkpoint_of_another_run_is_not_used(tmp_path, blobs):
    checkpoint = tmp_path / "checkpoint.npz"
    train(RECIPE, "none", 0, blobs, checkpoint)
    assert untimed(train(RECIPE, "batch", 0, blobs, checkpoint)) == untimed(train(RECIPE, "batch", 0, blobs))


def test_norms_go_by_all_their_names():
    assert lab.Settings(norms=("None", "GroupNorm", "weight-norm", "dyt")).norms == (
        "none",
        "group",
        "weight",
        "dynamic_tanh",
    )


def test_all_norms_can_be_asked_for_at_once(tmp_path, capsys):
    arguments = [*SMALL[:-4], "--epochs", "1", "--seeds", "1", "--norm", "all", "--out", str(tmp_path)]
    assert cli.main(["compare", *arguments]) == 0
    runs = {run["norm"]: run for run in results(tmp_path)["runs"]}
    assert runs.keys() == models.NORMS.keys()
    out = capsys.readouterr().out
    for name, norm in models.NORMS.items():
        if norm.features is None:
            assert runs[name]["status"] == "does not apply"
            assert re.search(rf"(?m)^(.*, )?{name}(,.*)? do(es)? not apply: {re.escape(norm.why_not)}\.$", out)
        else:
            assert runs[name]["status"] == "finished"


def test_divergence_is_a_result(tmp_path, capsys):
    options = ["--activation", "relu", "--optimizer", "sgd", "--lr", "1e30", "--norm", "none", "--out", str(tmp_path)]
    assert cli.main(["compare", *SMALL, *options]) == 0
    runs = results(tmp_path)["runs"]
    assert [run["status"] for run in runs] == ["diverged", "diverged"]
    assert f"diverged at step {runs[0]['diverged_at']}" in capsys.readouterr().out
    assert len(runs[0]["step_losses"]) == runs[0]["diverged_at"] - 1


def test_the_folder_holds_everything_and_is_named_last(tmp_path, capsys):
    folder = tmp_path / "new" / "run"
    assert cli.main(["compare", *SMALL, "--norm", "none,batch,instance", "--out", str(folder)]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1].endswith(str(folder))
    assert any("mlp, 1 layer of width 8" in line for line in lines)
    assert sorted(p.name for p in folder.iterdir()) == [
        "comparison-dark.png", "comparison.png", "report.html", "results.json",
    ]  # fmt: skip
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4, "light and dark, wide and narrow"
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page needs nothing outside it"
    assert "prefers-color-scheme: dark" in page
    saved = results(folder)
    assert [row["norm"] for row in saved["summary"]] == ["none", "batch", "instance"]
    assert saved["summary"][2]["why_not"]
    for run in saved["runs"]:
        if run["norm"] != "instance":
            assert len(run["gradient_norms"]) == len(run["epochs"]) == 2
            assert len(run["gradient_norms"][0]) == len(run["layers"]) == 2
    assert cli.main(["compare", *SMALL, "--out", str(folder)]) == 1
    assert "--resume" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_done_and_resume_ends_the_same(tmp_path, capsys, monkeypatch):
    arguments = ["compare", *SMALL, "--norm", "none,batch"]
    assert cli.main([*arguments, "--out", str(tmp_path / "whole")]) == 0

    plain_train = lab.train

    def train_until_ctrl_c(recipe: Any, norm: str, seed: int, data: Any, checkpoint: Any, watch: Any) -> Any:
        def stop(record: dict[str, Any], step: int, loss: float) -> None:
            if (norm, seed, step) == ("none", 1, 15):
                raise KeyboardInterrupt

        return plain_train(recipe, norm, seed, data, checkpoint, stop)

    folder = tmp_path / "stopped"
    monkeypatch.setattr(lab, "train", train_until_ctrl_c)
    capsys.readouterr()
    assert cli.main([*arguments, "--out", str(folder)]) == 130
    out = capsys.readouterr().out
    assert f"minigrad compare --resume {folder}" in out
    assert "2 of 4 runs" in out
    assert len(results(folder)["runs"]) == 2
    assert (folder / "report.html").exists()

    monkeypatch.setattr(lab, "train", plain_train)
    assert cli.main(["compare", "--resume", str(folder)]) == 0
    resumed, whole = results(folder)["runs"], results(tmp_path / "whole")["runs"]
    assert list(map(untimed, resumed)) == list(map(untimed, whole))
    assert not (folder / "checkpoint.npz").exists()


def test_ctrl_c_while_the_report_is_drawn(tmp_path, capsys, monkeypatch):
    def draw(*arguments: Any) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(lab.report, "write_report", draw)
        assert cli.main(["compare", *SMALL, "--norm", "none", "--out", str(folder)]) == 130
    assert f"minigrad compare --resume {folder}" in capsys.readouterr().out
    assert cli.main(["compare", "--resume", str(folder)]) == 0
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("model", "names"),
    [("mlp", "spade"), ("cnn", "standard"), ("cnn", "fixup,min_max"), ("mlp", "instance"), ("cnn", "scale")],
)
def test_where_no_norm_applies_nothing_runs_and_the_reason_is_said(model, names, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "--model", model, "--norm", names, "--out", str(tmp_path / "run")])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("minigrad compare: --norm: nothing to train")
    for name in names.split(","):
        assert f"{name}: {models.NORMS[name].why_not}" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_a_real_ctrl_c_ends_in_good_order(tmp_path):
    # What a shell starts in the background ignores Ctrl-C, and so would what these tests start.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from minigrad.cli import main; raise SystemExit(main())"
    )
    command = [sys.executable, "-c", program, "compare", *SMALL, "--epochs", "4000", "--out", str(tmp_path / "run")]
    root = Path(mg.__file__).parent.parent
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        for _ in range(600):
            if (tmp_path / "run" / "checkpoint.npz").exists() or process.poll() is not None:
                break
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGINT)
        try:
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()  # or the end of `with` would wait for it
    assert process.returncode == 130
    assert "--resume" in out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["compare", "--norm", "bacth"], "did you mean 'batch'"),
        (["compare", "--model", "cn"], "did you mean 'cnn'"),
        (["compare", "--data", "mnits"], "did you mean 'mnist'"),
        (["compare", "--activation", "relo"], "did you mean 'relu'"),
        (["compare", "--optimizer", "adm"], "did you mean 'adam'"),
        (["compare", "--norms", "batch"], "did you mean '--norm'"),
        (["compair"], "did you mean 'compare'"),
        (["norm"], "did you mean 'norms'"),
        (["compare", "--norm", "batch,BatchNorm2d"], "once"),
        (["compare", "--depth", "0"], "--depth must be at least 1"),
        (["compare", "--norm", "batch,batch"], "once"),
        (["compare", "--norm", ","], "--norm: give at least one"),
        (["compare", "--seeds", "0"], "--seeds: give at least one"),
        (["compare", "--seeds", "x"], "number of seeds"),
        (["compare", "--seeds", "1000000000000"], "too many"),
        (["compare", "--lr", "inf"], "--lr must be positive and finite"),
        (["compare", "--data-dir", "x"], "--data-dir is for data that are read from files (mnist"),
        (["compare", "--resume", "runs/1", "--lr", "1"], "leave out --lr"),
    ],
)
def test_misuse_is_explained(arguments, hint, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert hint in capsys.readouterr().err


def test_points_are_not_for_the_cnn(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "--data", "moons", "--out", str(tmp_path / "run")])
    assert stop.value.code == 2
    assert "take --model mlp" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_run_folder_is_no_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert cli.main(["compare", *SMALL, "--out", str(out)]) == 1
        assert f"{out} is a file, or lies in one" in capsys.readouterr().err


def test_resuming_nothing_is_an_error(tmp_path, capsys):
    assert cli.main(["compare", "--resume", str(tmp_path)]) == 1
    assert "no comparison" in capsys.readouterr().err


def test_a_missing_extra_is_named(tmp_path):
    code = (
        "import sys\n"
        "sys.modules['rich'] = sys.modules['rich.console'] = None\n"
        "from minigrad.cli import main\n"
        "raise SystemExit(main(['compare']))"
    )
    root = Path(mg.__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert result.returncode == 1
    assert install_command("lab") in result.stderr


def _finished(norm: str, seed: int, *accuracies: float) -> dict[str, Any]:
    epochs = [{"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": a} for a in accuracies]
    timing = {"us_per_step": [10.0]}
    return {
        "norm": norm, "seed": seed, "status": "finished", "test_samples": 359, "epochs": epochs, "timing": timing,
    }  # fmt: skip


def test_the_summary_is_honest_arithmetic():
    runs = [
        _finished("none", 0, 0.2, 0.50), _finished("none", 1, 0.2, 0.60),
        _finished("batch", 0, 0.9, 0.80), _finished("batch", 1, 0.5, 0.92),
        {"norm": "layer", "seed": 0, "status": "diverged", "diverged_at": 41, "epochs": []},
        _finished("layer", 1, 0.5, 0.95),
    ]  # fmt: skip
    none, batch, layer = summary.summarize(runs, ["none", "batch", "layer"], target=0.9)
    assert none["accuracy_mean"] == pytest.approx(0.55)
    assert none["accuracy_sd"] == pytest.approx(np.std([0.5, 0.6], ddof=1))
    assert none["epochs_to_target"] is None
    assert batch["epochs_to_target"] == pytest.approx(1.5)
    assert batch["gain"] == pytest.approx(0.31)
    assert batch["gain_interval"] == pytest.approx(12.706 * np.std([0.30, 0.32], ddof=1) / np.sqrt(2))
    assert "1 of 2; diverged at step 41" in summary.cells(layer)[1]
    assert layer["gain"] == pytest.approx(0.35)
    assert layer["gain_interval"] is None, "one pair has no interval"


def test_the_winner_is_called_only_when_it_is_clear():
    close = [_finished(norm, seed, a) for seed in (0, 1) for norm, a in (("none", 0.9 + seed / 20), ("batch", 0.93))]
    rows = summary.summarize(close, ["none", "batch"], 0.9)
    assert any("Too close to call" in sentence for sentence in summary.verdict(close, rows))
    clear = [_finished(norm, seed, a) for seed in (0, 1) for norm, a in (("none", 0.1), ("batch", 0.93))]
    rows = summary.summarize(clear, ["none", "batch"], 0.9)
    text = " ".join(summary.verdict(clear, rows))
    assert "batch wins" in text
    assert "Too close" not in text
    assert "Clearly better than no norm: batch" in text


@pytest.mark.parametrize(("gain", "clear"), [(1, False), (6, False), (12, True)])
def test_two_seeds_that_agree_do_not_make_a_few_test_samples_a_clear_difference(gain, clear):
    pairs = (("none", 340 / 359), ("batch", (340 + gain) / 359))
    runs = [_finished(norm, seed, a) for seed in (0, 1) for norm, a in pairs]
    rows = summary.summarize(runs, ["none", "batch"], 0.9)
    assert rows[1]["gain_interval"] == 0
    text = " ".join(summary.verdict(runs, rows))
    assert ("Clearly better" in text) == ("batch wins" in text) == clear
    assert ("Too close" in text) == ("batch is ahead" in text) == (not clear)


def test_the_error_of_a_test_set_is_that_of_a_binomial_simulation():
    rng = np.random.default_rng(0)
    a, b = (rng.binomial(400, p, 100_000) / 400 for p in (0.95, 0.9))
    assert summary.sampling_error(0.95, 0.9, 400) == pytest.approx(1.96 * np.std(a - b), rel=0.03)
    assert summary.sampling_error(1.0, 1.0, 400) > 2 / 400, "nothing is certain"


def test_where_the_first_step_shows_that_nothing_applies_the_reason_is_said(tmp_path, capsys):
    arguments = ["--data", "moons", "--model", "mlp", "--depth", "1", "--epochs", "1", "--batch-size", "1"]
    assert cli.main(["compare", *arguments, "--norm", "batch", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Nothing was trained.\nbatch does not apply: batch_norm: training needs more than one" in out
    assert "µs per step" not in out, "an empty table"
    assert "Nothing was trained." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_alone_nobody_wins():
    runs = [_finished("batch", 0, 0.5)]
    assert summary.verdict(runs, summary.summarize(runs, ["batch"], 0.9)) == [
        "batch reaches 50.0 % on the 359 test samples."
    ]


def test_a_norm_that_this_batch_does_not_allow_is_no_end_of_the_comparison(tmp_path, capsys):
    options = ["--data", "moons", "--model", "mlp", "--depth", "1", "--epochs", "1", "--seeds", "1"]
    options += ["--batch-size", "1", "--norm", "none,batch,layer", "--out", str(tmp_path)]
    assert cli.main(["compare", *options]) == 0
    none, batch, layer = results(tmp_path)["runs"]
    assert (none["status"], batch["status"], layer["status"]) == ("finished", "does not apply", "finished")
    assert (
        "batch does not apply: batch_norm: training needs more than one value per channel" in capsys.readouterr().out
    )


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"settings": {"epochs": "1"}, "runs": []}'])
def test_a_damaged_run_folder_is_named(content, tmp_path, capsys):
    (tmp_path / "results.json").write_text(content)
    assert cli.main(["compare", "--resume", str(tmp_path)]) == 2
    assert f"{tmp_path / 'results.json'} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["bytes", "settings"])
def test_a_damaged_checkpoint_says_what_to_do(damage, tmp_path, blobs):
    def stop(record, step, loss):
        if len(record["epochs"]) == 1:
            raise Stop

    checkpoint = tmp_path / "checkpoint.npz"
    recipe = Recipe("mlp", "relu", 1, 4, "adam", 0.01, 32, 2)
    with pytest.raises(Stop):
        train(recipe, "none", 0, blobs, checkpoint, stop)
    if damage == "bytes":
        checkpoint.write_bytes(checkpoint.read_bytes()[:300])
    else:
        recipe = Recipe("mlp", "relu", 1, 8, "adam", 0.01, 32, 2)
    with pytest.raises(ValueError, match="Without this file, the run that it was for begins anew"):
        train(recipe, "none", 0, blobs, checkpoint)


def test_what_does_not_fit_in_memory_is_one_line(tmp_path, capsys, monkeypatch):
    def too_large(*arguments):
        raise MemoryError("Unable to allocate 37.3 GiB")

    monkeypatch.setattr(models, "build", too_large)
    assert cli.main(["compare", *SMALL, "--out", str(tmp_path)]) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_a_low_terminal_shows_the_run_that_is_going_on():
    from rich.console import Console

    plan = [("none", seed) for seed in range(9)]
    bars = display.Bars(plan, 10, Console(file=io.StringIO(), height=6, force_terminal=True))
    for norm, seed in plan:
        visible = {task.fields["seed"] for task in bars.progress.tasks if task.visible}
        assert seed in visible and len(visible) == 4
        bars.finish(_finished(norm, seed, 0.5))


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_hides_no_name_and_no_number(width):
    from rich.console import Console

    rows = summary.summarize([_finished("local_response", 0, 0.5)], ["local_response"], 0.9)
    console = Console(file=io.StringIO(), width=width)
    console.print(report.rich_table(lab.Settings(norms=("local_response",), seeds=(0,)), rows))
    text = console.file.getvalue()
    assert "local_response" in text and "…" not in text


def test_a_long_run_without_a_terminal_shows_that_it_goes_on(monkeypatch):
    printed: list[str] = []
    lines = display.Lines([("none", 0)], printed.append)
    record = {"norm": "none", "seed": 0, "epochs": []}
    lines.step(record, 1, 2.5)
    assert printed == []
    monkeypatch.setattr(display.Lines, "every", -1.0)
    lines.step(record, 2, 2.25)
    assert len(printed) == 1 and "epoch 1  step 2  loss 2.25" in printed[0]


def test_two_comparisons_of_one_second_have_two_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len({lab.Comparison.start(lab.Settings(), None).folder for _ in range(3)}) == 3


def test_output_that_is_not_unicode(tmp_path):
    command = [
        sys.executable,
        "-m",
        "minigrad.cli",
        "compare",
        *SMALL,
        "--norm",
        "none",
        "--out",
        str(tmp_path / "run"),
    ]
    root = Path(mg.__file__).parent.parent
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert "?s/step" in result.stdout


def test_the_plain_table_lines_up():
    rows = summary.summarize([_finished("none", 0, 0.5)], ["none"], 0.9)
    lines = report.plain_table(lab.Settings(norms=("none",), seeds=(0,)), rows)
    assert len({len(line) for line in lines}) == 1


def test_settings_say_who_starts_elsewhere_or_brings_an_activation():
    from minigrad.lab.compare import Settings

    lines = dict(Settings(norms=("none", "weight", "selu", "evo_b0", "batch")).lines())
    assert lines["weights"] == "Glorot, the same for every norm but weight, selu, whose start is part of the method"
    assert lines["activation"] == "selu, evo_b0: instead of sigmoid, the one that belongs to the method"
    plain = dict(Settings(activation="relu").lines())
    assert plain["weights"] == "He, the same for every norm" and "activation" not in plain


# -- checkpoints: bound to all that their bits depend on ----------------------------------------------------------


def half_done(folder: Path, data: Any, recipe: Recipe = RECIPE, norm: str = "batch", seed: int = 0) -> Path:
    """The checkpoint of a run that was stopped in its second epoch."""
    checkpoint = folder / "checkpoint.npz"

    def stop(record: dict[str, Any], step: int, loss: float) -> None:
        if len(record["epochs"]) == 1:
            raise Stop

    with pytest.raises(Stop):
        train(recipe, norm, seed, data, checkpoint, stop)
    return checkpoint


OTHER = {
    "model": "cnn", "activation": "relu", "depth": 1, "width": 4, "optimizer": "adam", "lr": 0.051,
    "batch_size": 32, "epochs": 4,
}  # fmt: skip


@pytest.mark.parametrize("field", OTHER)
def test_a_checkpoint_of_other_settings_is_not_continued(field, tmp_path, blobs):
    assert OTHER.keys() == {f.name for f in dataclasses.fields(Recipe)}
    recipe = dataclasses.replace(RECIPE, **{field: OTHER[field]})
    if field == "model":
        # the same bits of data, as images
        images = [mg.data.TensorDataset(mg.randn(128, 1, 8, 8), mg.arange(128) % 2) for _ in range(2)]
        blobs = mg.data.Splits("blobs", *images, classes=("a", "b"))
    checkpoint = half_done(tmp_path, blobs)
    with pytest.raises(ValueError, match=rf"cannot be continued: {field} was .* and is {OTHER[field]}\. Without"):
        train(recipe, "batch", 0, blobs, checkpoint)


def test_a_checkpoint_of_other_data_is_not_continued(tmp_path, blobs):
    checkpoint = half_done(tmp_path, blobs)
    x, y = blobs.test.tensors
    x = x.numpy().copy()
    x[-1, -1] = np.nextafter(x[-1, -1], np.float32(9))  # one bit of one test sample
    other = dataclasses.replace(blobs, test=mg.data.TensorDataset(mg.tensor(x), y))
    with pytest.raises(ValueError, match=r"cannot be continued: data was blobs, .* and is blobs, "):
        train(RECIPE, "batch", 0, other, checkpoint)


@pytest.mark.parametrize("part", ["minigrad", "numpy", "numba", "processor", "matrix products"])
def test_a_checkpoint_of_other_versions_is_not_continued(part, tmp_path, blobs, monkeypatch):
    from minigrad.lab import train as module

    checkpoint = half_done(tmp_path, blobs)
    original = module.identity
    monkeypatch.setattr(module, "identity", lambda *a: {**original(*a), part: "another"})
    with pytest.raises(ValueError, match=f"cannot be continued: {part} was .* and is another"):
        train(RECIPE, "batch", 0, blobs, checkpoint)


def test_a_new_start_beside_a_checkpoint_of_other_settings_gives_the_right_results(tmp_path, capsys, monkeypatch):
    """results.json was lost, and another learning rate is tried in the same folder."""
    folder = tmp_path / "run"
    monkeypatch.setattr(lab, "train", stopping := _stop_in_second_epoch(lab.train))
    arguments = ["compare", *SMALL, "--norm", "batch", "--out"]
    assert cli.main([*arguments, str(folder)]) == 130
    (folder / "results.json").unlink()
    assert (folder / "checkpoint.npz").exists()
    monkeypatch.setattr(lab, "train", stopping.original)
    capsys.readouterr()
    assert cli.main([*arguments, str(folder), "--lr", "0.02"]) == 0
    out = capsys.readouterr().out
    assert "checkpoint.npz cannot be continued: lr was 0.001 and is 0.02" in out and "It is removed." in out
    assert cli.main([*arguments, str(tmp_path / "clean"), "--lr", "0.02"]) == 0
    ours, clean = results(folder)["runs"], results(tmp_path / "clean")["runs"]
    assert list(map(untimed, ours)) == list(map(untimed, clean))


def _stop_in_second_epoch(original: Any) -> Any:
    def stopping(recipe: Any, norm: str, seed: int, data: Any, checkpoint: Any, watch: Any) -> Any:
        def stop(record: dict[str, Any], step: int, loss: float) -> None:
            if len(record["epochs"]) == 1:
                raise KeyboardInterrupt

        return original(recipe, norm, seed, data, checkpoint, stop)

    stopping.original = original
    return stopping


def test_data_that_changed_under_a_comparison_are_refused(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(lab, "train", stopping := _stop_in_second_epoch(lab.train))
    assert cli.main(["compare", *SMALL, "--norm", "none", "--out", str(folder)]) == 130
    saved = results(folder)
    monkeypatch.setattr(lab, "train", stopping.original)
    assert cli.main(["compare", "--resume", str(folder)]) == 0
    saved = results(folder)
    saved["data"]["fingerprint"] = "0" * 16
    (folder / "results.json").write_text(json.dumps(saved))
    capsys.readouterr()
    assert cli.main(["compare", "--resume", str(folder)]) == 2
    assert "saw other data" in capsys.readouterr().err


def damaged(checkpoint: Path, rng: Any) -> bytes:
    """The file with a piece cut off, bits flipped, or other contents."""
    content = bytearray(checkpoint.read_bytes())
    kind = rng.integers(4)
    if kind == 0:
        return bytes(content[: rng.integers(len(content))])
    if kind == 1:
        for at in rng.integers(len(content), size=4):
            content[at] ^= 1 << rng.integers(8)
    elif kind == 2:
        return bytes(rng.integers(256, size=rng.integers(1, 4000), dtype=np.uint8))
    else:  # a file of the right kind with a part missing or replaced
        saved = mg.load(checkpoint)
        names = list(saved)
        junk = [None, 3, "x", [], {}, mg.ones(2), {"a": 1}, "[" * 9999, '{"status": "running"}']
        saved[names[rng.integers(len(names))]] = junk[rng.integers(len(junk))]
        file = checkpoint.with_name("other.npz")
        mg.save(saved, file)
        return file.read_bytes()
    return bytes(content)


def test_damaged_checkpoints_cost_one_run_and_no_more(tmp_path, blobs):
    """Whatever is in the file: the run ends with the right bits, or with the one error that says what to do."""
    whole = untimed(train(RECIPE, "batch", 0, blobs))
    original = half_done(tmp_path, blobs)
    good = original.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(80):
        original.write_bytes(good)
        original.write_bytes(damaged(original, rng))
        try:
            record = train(RECIPE, "batch", 0, blobs, original)
        except ValueError as error:
            assert "checkpoint.npz" in str(error) and "begins anew" in str(error), error
            refused += 1
        else:
            assert untimed(record) == whole
    assert refused > 40


def test_a_damaged_checkpoint_does_not_stop_a_comparison(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(lab, "train", stopping := _stop_in_second_epoch(lab.train))
    assert cli.main(["compare", *SMALL, "--norm", "none", "--out", str(folder)]) == 130
    monkeypatch.setattr(lab, "train", stopping.original)
    (folder / "checkpoint.npz").write_bytes(b"junk\x1b[2J")
    capsys.readouterr()
    assert cli.main(["compare", "--resume", str(folder)]) == 0
    assert "checkpoint.npz is damaged, or another version wrote it" in capsys.readouterr().out
    assert sorted(p.name for p in folder.iterdir()) == [
        "comparison-dark.png", "comparison.png", "report.html", "results.json",
    ]  # fmt: skip


# -- results.json from a stranger ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder_of_a_comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    arguments = ["--model", "mlp", "--depth", "1", "--width", "4", "--data", "blobs", "--epochs", "2"]
    assert cli.main(["compare", *arguments, "--norm", "none,batch,instance", "--out", str(folder)]) == 0
    return folder


JUNK: list[Any] = [
    None, True, 0, -1, 2, 10**6, 10**9, 2**63, 10**30, -(10**30), 0.5, -0.5, 1e300, float("nan"), float("inf"),
    "", "x", "\x1b[2J\x1b]0;mine\x07", "a\nReport: forged", "\ud800", "\u202eabc", "x" * 10000, [], {}, [[]],
    [1, 2], {"a": 1}, "none", "batch", "running", "diverged", "does not apply", "../../etc/passwd", "$\\frac$",
    "<script>alert(1)</script>", "\x00", "~nobody-of-this-name/x",
]  # fmt: skip


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(p for key, item in items for p in places(item, (*place, key)))]


def mutated(valid: dict[str, Any], rng: Any) -> bytes:
    value = json.loads(json.dumps(valid))
    if rng.integers(3) == 0:
        value["runs"] = value["runs"][: rng.integers(len(value["runs"]))]
    known = [place for place in places({k: v for k, v in value.items() if k != "summary"}) if place]
    place = known[rng.integers(len(known))]
    target = value
    for key in place[:-1]:
        target = target[key]
    junk = JUNK[rng.integers(len(JUNK))]
    kind = rng.integers(6)
    if kind <= 2:
        target[place[-1]] = junk
    elif kind == 3:
        del target[place[-1]]
    elif kind == 4 and isinstance(target, list):
        target.insert(place[-1], target[place[-1]])
    elif kind == 4:
        target[str(junk)] = junk
    else:
        for _ in range(40):
            junk = [junk] if rng.integers(2) else {"a": junk}
        target[place[-1]] = junk
    content = bytearray(json.dumps(value).encode())
    at = int(rng.integers(len(content)))
    if rng.integers(6) == 0:
        pieces = [b"[" * 100_000, b'{"a":' * 50_000, b"\xff", b"1" * 5000, b"\\ud800", b"1e999", b"\x00"]
        content[at:at] = pieces[rng.integers(len(pieces))]
    elif rng.integers(9) == 0:
        del content[at:]
    return bytes(content)


def resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        code = cli.main(["compare", "--resume", str(folder)])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def test_a_strangers_results_are_read_or_refused_in_one_line(folder_of_a_comparison, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lab.report, "write_report", lambda *arguments: None)  # (drawn in the next test; slow)
    valid = results(folder_of_a_comparison)
    rng = np.random.default_rng(1)
    codes = []
    for number in range(400):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        content = mutated(valid, rng)
        (folder / "results.json").write_bytes(content)
        code, out, err = resumed(folder, capsys)
        codes.append(code)
        assert code == 0 or (code == 2 and err.count("\n") == 1), (number, code, err)
        assert all(c.isprintable() or c == "\n" for c in out + err), (number, out, err)
        assert len(err) < 1000, number
        if code == 0:  # nothing else was made up
            assert out.count("Report: ") == 1, (number, out)
    assert 250 < codes.count(2) < 400


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("runs", 1, "epochs", 0, "test_accuracy"), "high", "runs[1]: epochs[0].test_accuracy: Expected `float`"),
        (("runs", 0, "epochs", 1, "test_accuracy"), 1.5, "runs[0]: epochs[1].test_accuracy: Expected `float` <= 1"),
        (("runs", 0, "seed"), 7, "runs[0]: the settings have no run with norm 'none' and seed 7"),
        (("runs", 1, "seed"), 1, "runs: norm batch with seed 1 stands there twice"),
        (("runs", 0, "step_losses"), [1.0], "runs[0]: step_losses: 1 losses"),
        (("runs", 0, "layers", 0), "$\\frac$", "runs[0]: layers[0]"),
        (("settings", "lr"), "fast", "settings: lr: Expected `float`, got `str`"),
        (("settings", "epochs"), 10**12, "settings: epochs must be at least 1 and at most 1,000,000"),
        (("settings", "seeds"), list(range(300_000)), "settings: seeds: 300,000 are too many; at most 10,000"),
        (("settings", "norms"), ["none", "batch"] * 100_000, "settings: norms: 200,000 are too many"),
        (("settings", "optimizer"), None, "settings: optimizer: Expected `str`"),
        (("settings", "warmup"), 3, "settings: warmup is unknown"),
    ],
)
def test_a_damaged_value_is_named_with_its_place(place, value, message, folder_of_a_comparison, tmp_path, capsys):
    saved = results(folder_of_a_comparison)
    target = saved
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    (tmp_path / "results.json").write_text(json.dumps(saved))
    code, _, err = resumed(tmp_path, capsys)
    assert code == 2 and message in err, err


def test_a_missing_setting_is_not_replaced_by_its_default(folder_of_a_comparison, tmp_path, capsys):
    saved = results(folder_of_a_comparison)
    del saved["settings"]["lr"]
    (tmp_path / "results.json").write_text(json.dumps(saved))
    code, _, err = resumed(tmp_path, capsys)
    assert code == 2 and "settings: lr is missing" in err


def test_results_of_the_previous_version_can_be_continued(folder_of_a_comparison, tmp_path, capsys):
    saved = results(folder_of_a_comparison)
    del saved["data"]
    for run in saved["runs"]:
        run.pop("chance", None)
    whole = saved["runs"]
    saved["runs"] = whole[:4]
    (tmp_path / "results.json").write_text(json.dumps(saved))
    assert resumed(tmp_path, capsys)[0] == 0
    again = results(tmp_path)["runs"]
    assert [run["epochs"] for run in again if "epochs" in run] == [run["epochs"] for run in whole if "epochs" in run]


def test_what_a_stranger_wrote_cannot_move_the_cursor_or_run_in_the_report(tmp_path, capsys):
    arguments = ["--model", "mlp", "--data", "moons", "--depth", "1", "--width", "4", "--epochs", "1", "--seeds", "1"]
    options = ["--batch-size", "1", "--norm", "none,batch", "--out", str(tmp_path)]
    assert cli.main(["compare", *arguments, *options]) == 0
    saved = results(tmp_path)
    evil = "\x1b[2J<script>alert(1)</script>\nReport: /forged\u202e\x9b31m"
    assert saved["runs"][1]["status"] == "does not apply"
    saved["runs"][1]["why"] = evil
    (tmp_path / "results.json").write_text(json.dumps(saved))
    code, out, err = resumed(tmp_path, capsys)
    assert code == 0 and err == ""
    assert r"batch does not apply: \x1b[2J<script>alert(1)</script>\nReport: /forged\u202e\x9b31m" in out
    assert all(c.isprintable() or c == "\n" for c in out)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert all(c.isprintable() or c == "\n" for c in page)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_results_that_are_no_file_do_not_hang(tmp_path, capsys):
    os.mkfifo(tmp_path / "results.json")
    code, _, err = resumed(tmp_path, capsys)
    assert code == 2 and "is not a file" in err


# -- what is said about it ----------------------------------------------------------------------------------------


def test_where_nothing_was_learned_no_norm_wins():
    runs = [
        _finished(n, seed, a) | {"chance": 0.103} for seed in (0, 1, 2) for n, a in (("none", 0.1), ("group", 0.12))
    ]
    rows = summary.summarize(runs, ["none", "group"], 0.9)
    assert summary.winner(rows) is None
    text = " ".join(summary.verdict(runs, rows))
    assert text.startswith("Nothing was learned: no test accuracy is clearly above chance (10.3 %")
    assert "ahead" not in text and "wins with" not in text


def test_networks_at_chance_are_named_beside_a_winner():
    runs = [
        _finished(n, seed, a) | {"chance": 0.103} for seed in (0, 1, 2) for n, a in (("none", 0.1), ("group", 0.9))
    ]
    text = " ".join(summary.verdict(runs, summary.summarize(runs, ["none", "group"], 0.9)))
    assert "group wins with 90.0 %" in text
    assert "Not clearly above chance (10.3 %, the share of the most frequent class): none." in text


def test_chance_is_the_share_of_the_most_frequent_class(blobs):
    labels = blobs.test.tensors[1].numpy()
    largest = max((labels == c).sum() for c in range(blobs.num_classes))
    assert train(RECIPE, "none", 0, blobs)["chance"] == largest / len(labels)


@pytest.mark.parametrize("sign", [1, -1])
def test_no_interval_goes_beyond_what_a_difference_can_be(sign):
    pairs = ((0.1, 0.9), (0.5, 0.5))
    runs = [
        _finished(n, seed, pair[i]) for seed, pair in enumerate(pairs) for i, n in enumerate(("none", "batch")[::sign])
    ]
    rows = {row["norm"]: row for row in summary.summarize(runs, ["none", "batch"], 0.9)}
    assert rows["batch"]["gain_interval"] > 1, "an ordinary interval would"
    low, high = rows["batch"]["gain_range"]
    assert (low, high) == (-1, 1)
    assert "(-100.0 … +100.0)" in summary.cells(rows["batch"])[2]
    for row in rows.values():
        assert 0 <= row["accuracy_interval"][0] <= row["accuracy_interval"][1] <= 1


def test_of_forty_norms_that_change_nothing_hardly_one_is_called_clear():
    """The chance that a report calls any norm clearly better or worse is 5 % at most, not near 1."""
    rng = np.random.default_rng(0)
    norms = ["none", *(f"n{i}" for i in range(40))]
    wrong = 0
    for _ in range(60):
        # a large test set, so that the sampling error is no help
        accuracies = rng.normal(0.7, 0.05, (3, 41))
        runs = [
            _finished(n, s, a) | {"test_samples": 10**7}
            for s in range(3)
            for n, a in zip(norms, accuracies[s], strict=True)
        ]
        text = " ".join(summary.verdict(runs, summary.summarize(runs, norms, 0.9)))
        wrong += "Clearly" in text
    assert wrong <= 8  # 60 reports, of which 3 may be wrong on average


def test_the_t_test_is_that_of_the_table():
    for freedom, t in enumerate(summary._T95, 1):
        assert summary.tail(t, freedom) == pytest.approx(0.05, rel=1e-3)
    assert summary.tail(0.0, 3) == pytest.approx(1) and summary.tail(float("inf"), 4) == 0


def _many(norms: Any, epochs: int = 3) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    runs = []
    for seed in (0, 1):
        for norm in norms:
            run = _finished(norm, seed, *sorted(rng.uniform(0.05, 0.95, epochs)))
            layers = ["linear1", "linear2", "linear3"]
            gradients = [[float(x) for x in rng.lognormal(0, 3, 3)] for _ in range(epochs)]
            runs.append(
                run | {"layers": layers, "gradient_norms": gradients, "step_losses": [1.0] * epochs, "parameters": 9}
            )
    return runs


@pytest.mark.parametrize("narrow", [False, True])
def test_of_many_norms_each_has_a_picture_large_enough_to_read(narrow, monkeypatch):
    """At least 60 pixels high and 80 wide on the screen (today's: curves 8 pixels high under the legend)."""
    from minigrad.viz import picture

    figures = []
    original = picture.Picture.encoded

    def spy(self: Any, *arguments: Any, **options: Any) -> bytes:
        figures.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(picture.Picture, "encoded", spy)
    settings = lab.Settings(model="mlp", norms=("all",), seeds=(0, 1))
    norms = [norm for norm in settings.norms if not models.NORMS[norm].cannot("mlp")]
    report.picture(settings, _many(norms), "light", narrow)
    (figure,) = figures
    screen = 358 if narrow else 1150  # the widths of a phone and of a laptop, less the page's margins
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == len(norms) > 20
    titles = {axes.get_title(loc="left").replace("\n", "") for axes in shown}
    assert titles == set(norms)
    scale = screen / figure.bbox.width
    for axes in shown:
        assert axes.bbox.height * scale >= 60 and axes.bbox.width * scale >= 80
        assert axes.title.get_fontsize() * figure.dpi / 72 * scale >= 9, "text of at least 9 pixels"
    assert not figure.legends


def test_the_page_of_many_norms_names_each_once_in_the_chart(tmp_path):
    settings = lab.Settings(model="mlp", norms=("all",), seeds=(0, 1))
    norms = [norm for norm in settings.norms if not models.NORMS[norm].cannot("mlp")]
    runs = _many(norms) + [
        {"norm": norm, "seed": seed, "status": "does not apply", "why": models.NORMS[norm].why_not}
        for norm in settings.norms
        if norm not in norms
        for seed in (0, 1)
    ]
    comparison = lab.Comparison(settings, tmp_path, runs)
    page = report.page(comparison, b"light", b"dark")
    rows = re.findall(r'<div class="row[^"]*"><span>(\w+)</span>.*?</div>', page)
    assert sorted(rows) == sorted(norms)
    for width in re.findall(r"left:([-\d.]+)%", page):
        assert 0 <= float(width) <= 100
    for left, width in re.findall(r"left:([-\d.]+)%;width:([-\d.]+)%", page):
        assert float(width) >= 0 and float(left) + float(width) <= 100.01
    best = summary.summarize(runs, list(norms), 0.9)
    assert f'<div class="row best"><span>{summary.winner(best)}</span>' in page


def test_library_errors_speak_of_fields_and_the_command_of_flags(capsys):
    """No message of the library names a flag; the command's names the flag, in place of the field."""
    cases: dict[str, Any] = {
        "model": "x", "data": "x", "norms": ("x",), "activation": "x", "optimizer": "x", "depth": 0, "width": -1,
        "batch_size": 0, "epochs": 0, "threads": 0, "lr": -1.0, "target": 2.0, "seeds": (), "data_dir": "x",
    }  # fmt: skip
    assert cases.keys() == {f.name for f in dataclasses.fields(lab.Settings)}
    for name, value in cases.items():
        with pytest.raises(ValueError) as error:
            lab.Settings(**{name: value})
        assert "--" not in str(error.value) and str(error.value).startswith(name), str(error.value)
        flag = "--norm" if name == "norms" else "--" + name.replace("_", "-")
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        with pytest.raises(SystemExit) as stop:
            cli.main(["compare", f"{flag}={text or '0'}"])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith(f"minigrad compare: {flag}")


def test_every_default_stands_in_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(lab.Settings):
        if field.default is not None:
            default = field.default
            shown = str(default) if not isinstance(default, tuple) else ",".join(map(str, default))
            shown = "3" if field.name == "seeds" else shown
            assert f"(default: {shown})" in text, field.name


# -- Ctrl-C at any moment -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_while_the_command_starts_is_one_line(tmp_path):
    """At twelve moments of the imports: 130, one line, no traceback, and nothing goes on."""
    root = Path(mg.__file__).parent.parent
    # A module that sends the signal when the n-th module is imported, so that the moment does not depend on speed.
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv[0] = 'minigrad'\n"
        "class Finder:\n"
        "    count = 0\n"
        "    def find_spec(self, *arguments):\n"
        "        Finder.count += 1\n"
        "        if Finder.count == int(os.environ['AT']):\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from minigrad.cli import main\n"
        "raise SystemExit(main())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, "compare", *SMALL, "--out", str(tmp_path / str(at))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root), "AT": str(at)},
        )
        for at in (8, 20, 60, 130, 200, 300, 420, 560)
    ]  # fmt: skip
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 130, err
        assert err in ("minigrad: interrupted\n", "minigrad compare: interrupted\n"), err
        assert out == ""


def test_a_ctrl_c_that_python_loses_is_not_lost(monkeypatch, capsys):
    """In a destructor KeyboardInterrupt is printed and dropped; the next step raises it again."""
    import signal as signals

    from minigrad import interrupt

    class Noisy:
        def __del__(self) -> None:
            signals.raise_signal(signals.SIGINT)

    before = signals.signal(signals.SIGINT, signals.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupt.kept():
            thing = Noisy()
            del thing
            interrupt.check()
            raise AssertionError("it went on")
        assert signals.getsignal(signals.SIGINT) is signals.default_int_handler
    finally:
        signals.signal(signals.SIGINT, before)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_that_left_an_exec_ends_with_130(tmp_path):
    """`python -m` would end such a process by the signal, although the exception was caught."""
    program = (
        "from minigrad import cli\n"
        "def run(*arguments): exec('raise KeyboardInterrupt')\n"
        "cli._norms = run\n"
        "raise SystemExit(cli.main(['norms']))"
    )
    root = Path(mg.__file__).parent.parent
    (tmp_path / "program.py").write_text(program)
    result = subprocess.run(
        [sys.executable, "-m", "program"], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (130, "minigrad norms: interrupted\n")


def test_a_program_that_imports_minigrad_keeps_its_ctrl_c():
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import minigrad; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    root = Path(mg.__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(root)})


def test_errors_of_the_data_speak_of_flags_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = tmp_path / "missing"
    assert cli.main(["compare", "--data", "mnist", "--data-dir", str(missing)]) == 1
    error = capsys.readouterr().err
    assert "leave out --data-dir" in error and "data_dir" not in error
