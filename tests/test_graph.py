"""`mg.viz.graph` and `minigrad graph`: what is in the drawings, looked at in their DOT, SVG, PNG and PDF."""

import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli, nn
from minigrad.autograd.function import Function
from minigrad.install import install_command
from minigrad.nn import functional as F
from minigrad.viz import render
from minigrad.viz.graphs import Graph, graph
from minigrad.viz.program import DIFFERENCE

pygraphviz = pytest.importorskip("pygraphviz")
SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    def __init__(self, n: int):
        self.norm, self.linear, self.act = nn.LayerNorm(n), nn.Linear(n, n), nn.GELU()

    def forward(self, x: Any) -> Any:
        return x + self.act(self.linear(self.norm(x)))


class Net(nn.Module):
    def __init__(self, n: int, blocks: int):
        self.stem, self.head = nn.Linear(4, n), nn.Linear(n, 3)
        self.blocks = nn.Sequential(*[Block(n) for _ in range(blocks)])

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(self.stem(x)))


def parse(g: Graph) -> Any:
    """The DOT as Graphviz itself understands it."""
    return pygraphviz.AGraph(string=g.source)


def edges(g: Graph, kind: str | None = None) -> set[tuple[str, str]]:
    """Arrows (from, to) as they are seen: those with dir=back point the other way."""
    found, drawn = set(), parse(g)
    for edge in drawn.edges():
        if kind is None or edge.attr["class"] == kind:
            start, end = (str(end) for end in edge)
            found.add((end, start) if edge.attr["dir"] == "back" else (start, end))
    return found


def boxes(g: Graph) -> dict[str, set[str]]:
    """Title → ids of the nodes inside, at any depth."""
    found, drawn = {}, parse(g)
    stack = list(drawn.subgraphs())
    while stack:
        box = stack.pop()
        found[box.graph_attr["label"]] = set(map(str, box.nodes()))
        stack += box.subgraphs()
    return found


def by_label(g: Graph, label: str) -> Any:
    (node,) = [node for node in g.nodes if node.label == label]
    return node


def svg_nodes(g: Graph) -> dict[str, tuple[str, str]]:
    """id → (class, text) of every node in the SVG."""
    root = ElementTree.fromstring(g.svg())
    return {
        element.get("id", ""): (
            element.get("class", ""),
            "\n".join(t.text or "" for t in element.iter(f"{SVG}text")).replace("\xa0", " "),
        )
        for element in root.iter(f"{SVG}g")
        if element.get("class", "").startswith("node")
    }


def mlp() -> tuple[nn.Module, Any, Any]:
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    return model, mg.randn(8, 3), mg.arange(8) % 2


# -- what is drawn ------------------------------------------------------------------------------------------------


def test_a_recorded_graph_shows_ops_leaves_and_arrows():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    w = mg.tensor([3.0, 4.0], requires_grad=True)
    g = graph((x * w + x).sum(), params={"x": x, "w": w})
    assert [(n.label, n.role) for n in g.nodes] == [
        ("x", "leaf"), ("w", "leaf"), ("Mul", "op"), ("Add", "op"), ("Sum", "output")
    ]  # fmt: skip
    assert edges(g) == {("n1", "n3"), ("n2", "n3"), ("n3", "n4"), ("n1", "n4"), ("n4", "n5")}
    assert by_label(g, "x").grad.tolist() == [4.0, 5.0]
    assert by_label(g, "w").grad.tolist() == [1.0, 2.0]
    kind, text = svg_nodes(g)["n1"]
    assert kind == "node leaf"
    assert "float32  2" in text and "[1., 2.]" in text and "∇ [4., 5.]" in text and "kept for Mul n3" in text


def test_looking_leaves_gradients_hooks_and_the_graph_alone():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.retain_grad()
    seen = []
    y.register_hook(lambda g: seen.append(g))
    loss = y.sum()
    graph(loss, view="both")
    assert x.grad is None and y.grad is None and not seen
    loss.backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 4.0] and len(seen) == 1


def test_gradients_in_the_drawing_are_those_of_backward():
    model, x, y = mlp()
    g = graph(lambda: F.cross_entropy(model(x), y))
    F.cross_entropy(model(x), y).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        node = by_label(g, name)
        assert node.role == "parameter"
        np.testing.assert_array_equal(node.grad, parameter.grad.numpy())


def test_every_value_of_a_watched_program_is_known():
    model, x, _ = mlp()
    g = graph(model, x)
    assert [n.op for n in g.nodes if n.op] == ["Linear", "BatchNorm", "ReLU", "Linear"]
    assert all(n.value is not None for n in g.nodes)
    np.testing.assert_array_equal(g.nodes[-1].value, model(x).detach().numpy())
    assert by_label(g, "input").role == "input"
    assert g.nodes[-1].role == "output"


def test_watching_is_over_when_the_program_is():
    from minigrad.autograd.function import Function

    before = Function.__call__, nn.Module.__call__
    graph(lambda x: x.exp(), mg.ones(2))
    graph(lambda x: x.reshape(7), mg.ones(2))
    assert (Function.__call__, nn.Module.__call__) == before


def test_running_statistics_stay_as_they_were():
    model, x, _ = mlp()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    graph(model, x, view="both")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_unused_ops_are_left_out_and_numbers_have_no_gaps():
    def program(x: Any) -> Any:
        (x.exp() + 1).log()
        return x * 2

    g = graph(program, mg.ones(3))
    assert [(n.id, n.label) for n in g.nodes] == [("n1", "x"), ("n2", "Mul")]
    assert g.nodes[1].details == {"input 1": "2"}


def test_ops_without_a_gradient_are_seen_by_watching():
    with mg.no_grad():
        g = graph(lambda x: x.exp().sum(), mg.ones(3))
    assert [n.label for n in g.nodes] == ["x", "Exp", "Sum"]
    assert "Nothing here requires a gradient" in g.program.note


def test_x_times_x_has_two_arrows():
    x = mg.tensor(3.0, requires_grad=True)
    drawn = parse(graph(x * x))
    ids = [edge.attr["id"] for edge in drawn.edges()]
    assert ids == ["n1-n2", "n1-n2-2"]


def test_several_outputs_have_rows_and_arrows_of_their_own():
    class Parts(mg.Function):
        def forward(self, x: Any) -> Any:
            return x[:1], x[1:]

        def backward(self, first: Any, rest: Any) -> Any:
            return mg.cat([mg.tensor(first), mg.tensor(rest)]).numpy()

    def program(x: Any) -> Any:
        first, rest = Parts()(x)
        return (first * rest).sum()

    g = graph(program, mg.tensor([2.0, 3.0, 5.0], requires_grad=True))
    assert [v.shape for v in g.nodes[1].outputs] == [(1,), (2,)]
    assert [v.grad.tolist() for v in g.nodes[1].outputs] == [[8.0], [2.0, 2.0]]
    assert "n2:o0 -> n3 " in g.source and "n2:o1 -> n3 " in g.source


def test_hooks_of_modules_do_not_run_backward():
    model, x, _ = mlp()
    seen = []
    model.register_full_backward_hook(lambda *_: seen.append(1))
    graph(model(x).sum(), params=model, view="both")
    assert not seen


def test_random_numbers_are_not_used_up():
    dropout, x = nn.Dropout(0.5), mg.ones(20)
    mg.manual_seed(3)
    g = graph(dropout, x)
    np.testing.assert_array_equal(dropout(x).numpy(), g.nodes[-1].value)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, TypeError])
def test_what_was_moved_comes_back_also_if_there_is_nothing_to_draw(stop: type[BaseException]):
    norm, x = nn.BatchNorm1d(3), mg.randn(4, 3)

    def loss() -> None:
        norm(x + mg.rand(3))
        if stop is KeyboardInterrupt:
            raise KeyboardInterrupt

    mg.manual_seed(3)
    with pytest.raises(stop):
        graph(loss)
    np.testing.assert_array_equal(norm.state_dict()["running_mean"].numpy(), np.zeros(3))
    after = mg.rand(5)
    mg.manual_seed(3)
    np.testing.assert_array_equal(after.numpy(), mg.rand(5).numpy())


def test_a_buffer_that_is_replaced_comes_back():
    class Counting(nn.Module):
        def __init__(self) -> None:
            self.register_buffer("calls", mg.tensor(0))

        def forward(self, x: Any) -> Any:
            self.calls = self.calls + 1
            return x * 2

    class Holder:
        model = Counting()

        def loss(self) -> Any:
            return self.model(mg.ones(2)).sum()

    holder = Holder()
    graph(holder.loss)
    assert holder.model.calls.item() == 0


# -- numbers ------------------------------------------------------------------------------------------------------


def test_big_tensors_are_summarized_and_small_ones_printed():
    x = mg.tensor(np.concatenate([np.zeros(50), np.arange(50.0)]), requires_grad=True)
    text = svg_nodes(graph((x * 1.0).sum(), params={"x": x}))["n1"][1]
    values = np.concatenate([np.zeros(50), np.arange(50.0)])
    assert f"mean {values.mean():.3g}, sd {values.std():.3g}, 0 … 49, 51 % zeros" in text
    small = mg.tensor([[1.5, -2.25], [3.0, 0.0]], requires_grad=True)
    text = svg_nodes(graph(small.sum(), params={"small": small}))["n1"][1]
    assert "[[ 1.5 , -2.25]," in text and "[ 3.  ,  0.  ]]" in text


def test_nan_and_infinity_stand_out_in_red():
    x = mg.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    g = graph(lambda: x.log().sum())
    kind, text = svg_nodes(g)["n2"]
    assert kind == "node op nan"
    assert "NaN: 1 of 3, infinite: 1 of 3" in text
    log = next(e for e in ElementTree.fromstring(g.svg()).iter(f"{SVG}g") if e.get("id") == "n2")
    assert "#b00000" in [e.get("fill") for e in log.iter(f"{SVG}polygon")]
    good = graph(lambda: (x * 2).sum())
    assert not any("nan" in kind for kind, _ in svg_nodes(good).values())


def test_a_nan_that_is_not_drawn_is_told_all_the_same():
    class Root(nn.Module):
        def forward(self, x: Any) -> Any:
            return (x.log().exp() * 0 + 1).relu()

    x = mg.tensor([-1.0, 4.0])
    closed = svg_nodes(graph(nn.Sequential(Root(), nn.Flatten(0)), x, depth=1))
    (found,) = [(kind, text) for kind, text in closed.values() if "Root" in text]
    assert found[0] == "node closed nan" and "NaN or infinity in Log n2, Exp n3, Mul n4" in found[1]

    def late(x: Any) -> Any:
        for _ in range(5):  # 3, 1.1, 0.09, −2.4, NaN, NaN
            x = x.log()
        return x.sum()

    g = graph(late, mg.tensor([3.0]), fold=True)
    assert "Log × 5" in boxes(g)
    assert "NaN or infinity in Log n5, Log n6" in "".join(text for _, text in svg_nodes(g).values())


def test_values_can_be_left_out():
    x = mg.tensor([1.25, 2.0], requires_grad=True)
    assert "1.25" in graph(x.exp().sum()).source
    assert "1.25" not in graph(x.exp().sum(), values=False).source


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.array(True), np.array([[1, 2]]), np.float64(3)], ids=repr)
def test_odd_tensors_are_drawn(array: Any):
    g = graph(lambda x: x.reshape(-1), mg.tensor(array))
    assert len(svg_nodes(g)) == 2


@pytest.mark.parametrize("name", ['<b>&"x"', "a\\nb", "γ → β", "</TABLE>", "x\x00y\ud800", "n1:o0", "graph"])
def test_any_name_can_be_drawn(name: str):
    x = mg.tensor([1.0], requires_grad=True)
    g = graph((x * 2).sum(), params={name: x})
    text = svg_nodes(g)["n1"][1].splitlines()[0]
    assert text == name.replace("\x00", "?").replace("\ud800", "?")


@pytest.mark.parametrize("name", ["<b>x</b>", "<ab>", "&lt;", "<", "a\\l", "{x|y}", 'a"b', "🦀"])
def test_any_name_can_stand_on_a_box(name: str):
    w = nn.Parameter(np.ones((2, 2)))
    g = graph((w @ w).exp() @ w, params={f"{name}.w": w}, values=False)
    titles = [
        "".join(box.itertext()).strip()
        for box in ElementTree.fromstring(g.svg()).iter(f"{SVG}g")
        if box.get("class", "").startswith("cluster")
    ]
    assert len(titles) == 1 and titles[0].endswith(name)


# -- modules ------------------------------------------------------------------------------------------------------


def test_modules_are_nested_boxes():
    g = graph(Net(8, 2), mg.randn(5, 4))
    found = boxes(g)
    assert {"Net", "stem: Linear", "blocks: Sequential", "blocks.0: Block", "blocks.1.norm: LayerNorm"} <= set(found)
    inside = {n.id for n in g.nodes if n.scope[-1:] and n.scope[-1].name == "blocks.1.linear"}
    assert inside == found["blocks.1.linear: Linear"]
    assert inside < found["blocks.1: Block"] < found["Net"]
    assert by_label(g, "x").scope == ()
    gelu = next(n for n in g.nodes if n.op == "GELU")
    assert "blocks.0.act" in svg_nodes(g)[gelu.id][1]  # a module of one op is no box: its name is written on the op


@pytest.mark.parametrize(
    ("depth", "closed"),
    [(0, {"Net"}), (1, {"stem: Linear", "blocks: Sequential", "head: Linear"})],
)
def test_modules_are_closed_at_a_depth(depth: int, closed: set[str]):
    g = graph(Net(8, 2), mg.randn(5, 4), depth=depth)
    drawn = {text.splitlines()[0]: text for kind, text in svg_nodes(g).values() if kind == "node closed"}
    assert set(drawn) == closed
    total = sum(p.numel() for p in Net(8, 2).parameters())
    if depth == 0:
        assert f"{total:,} parameters" in drawn["Net"] and "float32  5 × 3" in drawn["Net"]
        assert len(edges(g)) == 1
    else:
        assert len(edges(g)) == 3


def test_repeated_blocks_are_drawn_once():
    g = graph(Net(8, 12), mg.randn(5, 4))
    found = boxes(g)
    title = "blocks.0 … blocks.11: Block × 12"
    assert title in found
    assert len(g.nodes) > 100 and len(parse(g).nodes()) < 20
    head = next(n for n in g.nodes if n.op == "Linear" and n.role == "output")
    last = next(n.id for n in g.nodes if n.op == "Add")  # the first Add stands for all
    assert (last, head.id) in edges(g)
    assert not any(start == end for start, end in edges(g))


def test_a_closed_block_that_repeats_tells_what_its_first_gives():
    g = graph(Net(8, 12), mg.randn(5, 4), depth=2)
    (text,) = [text for _, text in svg_nodes(g).values() if "Block × 12" in text]
    first = next(n for n in g.nodes if n.op == "Add")
    assert text.count("float32") == 1 and f"mean {first.value.mean():.3g}, sd" in text


def test_blocks_of_another_width_are_not_folded_in():
    model = nn.Sequential(*[Block(4) for _ in range(3)], nn.Linear(4, 6), *[Block(6) for _ in range(4)])
    g = graph(model, mg.randn(2, 4))
    assert {"0 … 2: Block × 3", "4 … 7: Block × 4"} <= set(boxes(g))
    (output,) = [id for id, (kind, _) in svg_nodes(g).items() if kind == "node output"]
    assert output in boxes(g)["4 … 7: Block × 4"]  # the first block, which stands for the last


def test_blocks_that_are_wired_differently_are_not_folded():
    blocks = [nn.Linear(4, 4) for _ in range(5)]

    def dense(x: Any) -> Any:  # each takes the sum of all before it
        outputs = [x]
        for block in blocks:
            outputs.append(block(sum(outputs[1:], outputs[0])))
        return outputs[-1]

    g = graph(dense, mg.randn(2, 4), fold=True)
    assert not any("×" in title and "Linear" in title for title in boxes(g))


def test_fold_false_draws_everything():
    g = graph(Net(8, 12), mg.randn(5, 4), fold=False)
    assert set(parse(g).nodes()) == {n.id for n in g.nodes}


def test_repetition_without_modules_is_found():
    x = start = mg.ones(3, requires_grad=True)
    for _ in range(100):
        x = (x * 0.9).tanh()
    g = graph(x.sum(), params={"start": start})
    assert any(title == "(Mul, Tanh) × 100" for title in boxes(g)), list(boxes(g))
    assert edges(g) == {("n1", "n2"), ("n2", "n3"), ("n3", "n202")}


def test_a_module_called_many_times_shares_its_parameters():
    cell = nn.Linear(4, 4)

    def unrolled(x: Any) -> Any:
        for _ in range(6):
            x = cell(x).tanh()
        return x

    g = graph(unrolled, mg.randn(2, 4), fold=False)
    assert sum(n.label == "weight" for n in g.nodes) == 1
    assert [n.scope[-1].call for n in g.nodes if n.op == "Linear"] == [1, 2, 3, 4, 5, 6]
    assert len(parse(graph(unrolled, mg.randn(2, 4), fold=True)).nodes()) <= 6


def test_of_a_recorded_graph_modules_are_known_by_their_parameters():
    model = Net(8, 2)
    watched, recorded = graph(model, x := mg.randn(5, 4)), graph(model(x).sum(), params=model)
    place = {n.op + str(i): n.scope for i, n in enumerate(n for n in watched.nodes if n.op and n.op != "GELU")}
    found = {n.op + str(i): n.scope for i, n in enumerate(n for n in recorded.nodes if n.op and n.op != "GELU")}
    same = [key for key in place if [s.name for s in place[key]] == [s.name for s in found[key]]]
    assert set(place) - set(same) <= {"Add6"}  # the end of the last block cannot be told from what follows it
    assert {"Net", "stem: Linear", "blocks: Sequential", "blocks.0: Block"} <= set(boxes(recorded))


@pytest.mark.parametrize("form", ["module", "pairs", "dictionary"])
def test_params_in_three_forms(form: str):
    model, x, _ = mlp()
    params = {"module": model, "pairs": model.named_parameters(), "dictionary": dict(model.named_parameters())}[form]
    g = graph(model(x).sum(), params=params)
    assert {"0.weight", "0.bias", "1.weight", "3.bias"} <= {n.label for n in g.nodes if n.role == "parameter"}
    assert any(title.startswith("3") for title in boxes(g))


# -- views --------------------------------------------------------------------------------------------------------


def fork() -> Any:
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    b = a * 2
    return graph((b * b + b).sum(), params={"a": a}, view="both")


def test_both_passes_are_linked_by_what_is_kept():
    g = fork()
    assert edges(g, "kept") == {("n1", "b2"), ("n2", "b3")}
    drawn = parse(g)
    assert all((e.attr["style"] == "dotted") == (e.attr["class"] == "kept") for e in drawn.edges())
    assert {"forward pass", "backward pass"} <= set(boxes(g))
    assert edges(g, "gradient") == {
        ("n5", "seed"), ("seed", "b5"), ("b5", "b4"), ("b4", "b3"), ("b4", "s2"), ("b3", "s2"), ("s2", "b2"),
        ("b2", "d1"),
    }  # fmt: skip


def test_gradients_meet_in_a_sum():
    nodes = {n.id: n for n in fork().nodes}
    assert [source[0] for source in nodes["s2"].inputs] == ["b4", "b3", "b3"]
    parts = [nodes[id].outputs[i].array for id, i in nodes["s2"].inputs]
    np.testing.assert_array_equal(sum(parts), nodes["s2"].value)
    assert nodes["d1"].value.tolist() == [10.0, 18.0]  # ∂(4a² + 2a)/∂a
    assert nodes["d1"].label == "∇ a" and nodes["b3"].twin == "n3"


def test_a_backward_pass_alone_goes_down():
    model, x, y = mlp()
    g = graph(lambda: F.cross_entropy(model(x), y), view="backward")
    assert "dir=back" not in g.source and {n.id[0] for n in g.nodes} == {"s", "b", "d"}
    results = {n.label: n.value for n in g.nodes if n.role == "gradient"}
    F.cross_entropy(model(x), y).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_array_equal(results[f"∇ {name}"], parameter.grad.numpy())


def test_a_double_backward_shows_the_ops_of_the_rules():
    model, x, y = mlp()
    g = graph(lambda: F.cross_entropy(model(x), y), view="double")
    backward = [n for n in g.nodes if n.role == "backward"]
    assert {"MatMul", "BatchNormBackward", "CrossEntropyBackward"} <= {n.op for n in backward}
    assert "derivative of BatchNorm (n7)" in boxes(g)
    norm = next(n for n in backward if n.op == "BatchNormBackward")
    assert norm.twin == "n7"
    assert [s and s[0] for s in norm.inputs][1:] == ["n4", "n5", "n6"]  # the forward pass's tensors themselves
    assert {n.label for n in g.nodes if n.role == "gradient"} == {f"∇ {name}" for name, _ in model.named_parameters()}


def test_a_recorded_gradient_is_a_graph_like_any_other():
    x = mg.tensor(3.0, requires_grad=True)
    (slope,) = mg.grad(x**3, x, create_graph=True)
    g = graph(slope, params={"x": x})
    assert by_label(g, "x").grad == 18.0


def test_expand_puts_the_composed_form_beside_the_fused_op():
    model, x, y = mlp()
    g = graph(lambda: F.cross_entropy(model(x), y), expand=True)
    found = boxes(g)  # of boxes with the same title, the last
    assert [n.label for n in g.nodes if n.label.endswith("(fused)")] == [
        "Linear (fused)", "BatchNorm (fused)", "Linear (fused)", "CrossEntropy (fused)",
    ]  # fmt: skip
    small = [n for n in g.nodes if n.id.startswith("n7c")]
    assert {"Mean", "Sub", "Sqrt", "Div", "Reshape"} <= {n.op for n in small}
    assert found["BatchNorm, fused and composed"] == {n.id for n in small} | {"n7"}
    assert ("n4", "n7") in edges(g) and ("n4", "n7c1") in edges(g)  # the same input
    difference = float(small[-1].details["differs by at most"])
    assert difference < 1e-5
    np.testing.assert_allclose(small[-1].value, next(n for n in g.nodes if n.id == "n7").value, atol=1e-5)


SEQUENCE, ROWS, IMAGE = (5, 2, 4), (2, 4), (1, 2, 6, 6)
FUSED: dict[str, tuple[Any, tuple[int, ...], set[str]]] = {
    # The drawn computation, the shape of its input, and small ops that the composed form must consist of.
    "LSTM": (nn.LSTM(4, 3), SEQUENCE, {"Sigmoid", "Tanh", "MatMul"}),
    "LSTM, two layers, both ways": (nn.LSTM(4, 3, 2, bidirectional=True), SEQUENCE, {"Sigmoid", "Tanh", "MatMul"}),
    "LSTM with layer norm": (nn.LSTM(4, 3, norm=nn.LayerNorm), SEQUENCE, {"Sigmoid", "Sqrt"}),
    "GRU": (nn.GRU(4, 3), SEQUENCE, {"Sigmoid", "Tanh", "MatMul"}),
    "RNN": (nn.RNN(4, 3), SEQUENCE, {"Tanh", "MatMul"}),
    "RNN with ReLU": (nn.RNN(4, 3, nonlinearity="relu"), SEQUENCE, {"ReLU", "MatMul"}),
    "LSTMCell": (nn.LSTMCell(4, 3), ROWS, {"Sigmoid", "Tanh", "MatMul"}),
    "GRUCell": (nn.GRUCell(4, 3), ROWS, {"Sigmoid", "Tanh"}),
    "Linear": (nn.Linear(4, 3), ROWS, {"MatMul", "Add"}),
    "Conv2d in groups": (nn.Conv2d(2, 4, 3, padding=1, groups=2), IMAGE, {"MatMul", "Add"}),
    "ConvTranspose2d": (nn.ConvTranspose2d(2, 4, 3, stride=2), IMAGE, {"MatMul", "Add"}),
    "softmax": (nn.Softmax(1), ROWS, {"Exp", "Sum", "Div"}),
    "log_softmax": (nn.LogSoftmax(1), ROWS, {"Exp", "Sum", "Log"}),
    "cross_entropy": (lambda x: F.cross_entropy(x, mg.tensor([1, 0])), ROWS, {"Exp", "Sum", "Log"}),
    "mean_only_batch_norm": (lambda x: F.mean_only_batch_norm(x, training=True), ROWS, {"Sub"}),
    "adaptive_instance_norm": (lambda x: F.adaptive_instance_norm(x, 2 * x), IMAGE, {"Sqrt", "Div"}),
    "divisive_norm": (lambda x: F.divisive_norm(x, 3), IMAGE, {"Sub", "Div"}),
    "TransformerEncoderLayer": (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), SEQUENCE, {"Exp", "Sqrt"}),
}


@pytest.mark.parametrize("name", FUSED)
def test_expand_opens_every_fused_op(name: str):
    computation, shape, expected = FUSED[name]
    g = graph(computation, mg.randn(*shape), expand=True)
    assert g.error is None
    small = {node.op for node in g.nodes if any(scope.name == "composed form" for scope in node.scope)}
    assert expected <= small, small
    closed = [n.label for n in g.nodes if hasattr(n.function, "composed") and not n.label.endswith("(fused)")]
    assert not closed
    opened = sum(node.label.endswith("(fused)") for node in g.nodes)
    off = [float(node.details[DIFFERENCE]) for node in g.nodes if DIFFERENCE in node.details]
    assert len(off) >= opened and max(off) < 1e-5


class Residual(nn.Module):
    def __init__(self):
        self.conv, self.norm, self.again = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x: Any) -> Any:
        return F.relu(x + self.again(F.relu(self.norm(self.conv(x)))))


class Causal(nn.Module):
    """Attention with a mask that every block makes for itself, dropout, and data that are used twice."""

    def __init__(self):
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(self.norm(x)).split(8, dim=2)
        weights = (q @ k.transpose(-2, -1)).masked_fill(mg.tril(mg.ones(5, 5)) == 0, float("-inf"))
        return x + F.dropout(self.out(F.softmax(weights, dim=-1) @ v), 0.1)


def encoder_layer(**options: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)


REPEATED = {
    "TransformerEncoderLayer": (encoder_layer, (2, 5, 8)),
    "TransformerEncoderLayer, norm first": (lambda: encoder_layer(norm_first=True, dropout=0.0), (2, 5, 8)),
    "a residual block": (Residual, (2, 3, 6, 6)),
    "causal attention": (Causal, (2, 5, 8)),
    "Block": (lambda: Block(8), (2, 8)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1), nn.Tanh()), (2, 8)),
}


@pytest.mark.parametrize("whole", [nn.Sequential, lambda *blocks: nn.Sequential(nn.Identity(), *blocks, nn.ReLU())])
@pytest.mark.parametrize("watched", ["module", "loss of data at hand", "loss of data elsewhere"])
@pytest.mark.parametrize("name", REPEATED)
def test_twelve_equal_blocks_are_one_box(name: str, watched: str, whole: Any):
    make, shape = REPEATED[name]
    model, x = whole(*[make() for _ in range(12)]), mg.randn(*shape)
    data = [x]
    g = {
        "module": lambda: graph(model, x),
        "loss of data at hand": lambda: graph(lambda: model(x).sum()),
        "loss of data elsewhere": lambda: graph(lambda: model(data[0]).sum()),
    }[watched]()
    (title,) = [title for title in boxes(g) if title.endswith("× 12")]
    inside = boxes(g)[title]
    drawn = set(g.layout.shown.values())
    assert len(drawn) <= len(inside) + 5
    closed = graph(lambda: model(data[0]).sum(), depth=1)
    assert f"<B>{title}</B>" in closed.source and len(set(closed.layout.shown.values())) <= 6


def test_expanded_blocks_are_folded_too():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(12)])
    g = graph(model, mg.randn(2, 4), expand=True)
    inside = boxes(g)["0 … 11: Sequential × 12"]
    assert {g.program[id].op for id in inside if id in g.program._by_id} >= {"LayerNorm"} and len(inside) > 10
    assert "composed form" in boxes(g) and "differs by at most" in g.source


@pytest.mark.parametrize("view", ["forward", "both", "double"])
def test_expand_of_a_recorded_graph(view: str):
    model, x, y = mlp()
    assert "composed form" in boxes(graph(F.cross_entropy(model(x), y), params=model, view=view, expand=True))


def test_composed_form_itself():
    model, x, y = mlp()
    with mg.composed():
        g = graph(lambda: F.cross_entropy(model(x), y))
    assert {"Mean", "Sqrt", "Div"} <= {n.op for n in g.nodes} and "BatchNorm" not in {n.op for n in g.nodes}


def test_after_a_backward_pass_that_freed_it_the_structure_remains():
    model, x, y = mlp()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    g = graph(loss, params=model, view="forward")
    assert "freed" in g.program.note and "retain_graph=True" in g.source
    np.testing.assert_array_equal(
        by_label(g, "0.weight").grad, dict(model.named_parameters())["0.weight"].grad.numpy()
    )


# -- where it fails -----------------------------------------------------------------------------------------------


def test_a_layer_that_does_not_fit_is_marked():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2), nn.ReLU())
    g = graph(model, mg.randn(8, 3))
    assert isinstance(g.error, ValueError)
    culprit = g.nodes[-1]
    assert culprit.role == "error" and culprit.label == "Linear" and culprit.scope[-1].name == "2"
    shapes = [n.outputs[0].shape for n in g.nodes if any(s and s[0] == n.id for s in culprit.inputs)]
    assert shapes == [(8, 4), (2, 5), (2,)]
    kind, text = svg_nodes(g)[culprit.id]
    assert kind == "node error" and "(8, 4)" in text and "(2, 5)" in text


@pytest.mark.parametrize(
    ("program", "label"),
    [
        (lambda x: x.exp() @ mg.ones(7, 7), "matmul"),
        (lambda x: F.batch_norm(x.exp(), weight=mg.ones(7), training=True), "batch_norm"),
        (lambda x: F.linear(x.exp(), mg.ones(2, 9)), "linear"),
    ],
)
def test_an_op_that_does_not_fit_is_marked(program: Any, label: str):
    g = graph(program, mg.ones(4, 3))
    assert g.error is not None
    assert next(n.op for n in g.nodes if n.op) == "Exp"
    assert g.nodes[-1].role == "error" and g.nodes[-1].label == label
    assert (g.nodes[-1].inputs[0] or ("",))[0] == next(n.id for n in g.nodes if n.op == "Exp")


def test_the_culprit_is_the_function_and_not_its_decorator():
    x = mg.ones(2)
    g = graph(lambda x: mg.cat([x, x.reshape(2, 1)]), x)
    culprit = g.nodes[-1]
    assert culprit.label == "cat" and culprit.role == "error"
    assert [g.program[id].label for id, _ in filter(None, culprit.inputs)] == ["x", "Reshape"]


def test_a_wrong_backward_rule_does_not_hide_the_forward_pass():
    class Twice(Function):
        def forward(self, x: Any) -> Any:
            return 2 * x

        def backward(self, g: Any) -> Any:
            raise RuntimeError("I have no rule")

    x = mg.tensor([1.0], requires_grad=True)
    for g in (graph(lambda: Twice()(x).sum()), graph(Twice()(x).sum())):
        assert [node.op for node in g.nodes] == ["", "Twice", "Sum"]
        assert "The backward pass failed: RuntimeError: I have no rule" in g.source
    with pytest.raises(RuntimeError, match="no rule"):
        graph(lambda: Twice()(x).sum(), view="both")


def test_a_fault_of_the_program_itself_is_shown_too():
    def program(x: Any) -> Any:
        x.exp()
        raise KeyError("nothing")

    g = graph(program, mg.ones(2))
    assert isinstance(g.error, KeyError) and g.nodes[-1].role == "error"


# -- files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_dot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which Graphviz is not installed."""
    monkeypatch.setenv("PATH", str(tmp_path))


def drawing() -> Graph:
    model, x, y = mlp()
    return graph(lambda: F.cross_entropy(model(x), y), title="γ & β")


def test_svg_without_dot(without_dot: None, tmp_path: Path):
    g = drawing()
    g.save(tmp_path / "g.svg")
    root = ElementTree.parse(tmp_path / "g.svg").getroot()
    assert root.tag == f"{SVG}svg"
    classes = [e.get("class", "") for e in root.iter(f"{SVG}g")]
    assert sum(c.startswith("node") for c in classes) == len(g.nodes)
    assert sum(c.startswith("edge") for c in classes) == len(parse(g).edges())
    assert sum(c.startswith("cluster") for c in classes) == len(boxes(g))
    assert "γ & β" in [t.text for t in root.iter(f"{SVG}text")]
    assert "prefers-color-scheme: dark" in (tmp_path / "g.svg").read_text()


def test_png_without_dot(without_dot: None, tmp_path: Path):
    image = pytest.importorskip("PIL.Image")
    g = drawing()
    g.save(tmp_path / "g.png")
    picture = image.open(tmp_path / "g.png").convert("RGB")
    assert picture.width > 600 and picture.height > 600
    colours = {"#{:02X}{:02X}{:02X}".format(*c) for _, c in picture.getcolors(1 << 24)}
    # Fills of parameter, input, op and output; paper; ink.
    assert {"#CFE6F7", "#D5EFE3", "#EEF1F4", "#FFE3C2", "#FFFFFF"} <= colours
    assert any(int(c[1:3], 16) < 60 for c in colours), "no dark pixel: there is no text"


def test_pdf_without_dot(without_dot: None, tmp_path: Path):
    g = drawing()
    g.save(tmp_path / "g.pdf")
    content = (tmp_path / "g.pdf").read_bytes()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    dates = re.findall(rb"Date \(D:(\d+)", content)
    assert set(dates) <= {b"19700101000000"}, "the same program would give other bytes tomorrow"
    streams = []
    for match in re.finditer(rb"stream\r?\n", content):
        try:
            streams.append(zlib.decompressobj().decompress(content[match.end() :]))
        except zlib.error:
            continue
    page = max((s for s in streams if b" re" in s or b" l" in s or b" c" in s), key=len)
    texts = len(re.findall(rb"T[jJ]", page))
    assert texts > 3 * len(g.nodes), "text is missing"
    sizes = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", b"".join([content, *streams]))
    assert sizes is not None and float(sizes[1]) > 300 and float(sizes[2]) > 300


def test_drawing_needs_no_temporary_file():
    """As in a container where no folder can be written."""
    seal = "import tempfile\n\ndef none(*a, **k):\n    raise FileNotFoundError\n\ntempfile.TemporaryFile = none\n"
    seal += "tempfile.mkstemp = tempfile.gettempdir = none\n"
    command = [sys.executable, "-c", seal + render._PROGRAM, "svg"]
    drawn = subprocess.run(
        command, input='digraph { a [label="σ²"]; a -> b }'.encode(), capture_output=True, check=True
    )
    assert "σ²" in drawn.stdout.decode() and "</svg>" in drawn.stdout.decode()


def test_dot_needs_nothing(monkeypatch: pytest.MonkeyPatch, without_dot: None, tmp_path: Path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    g = drawing()
    g.save(tmp_path / "g.dot")
    assert (tmp_path / "g.dot").read_text() == g.source
    for ending in ("svg", "png", "pdf"):
        with pytest.raises(ImportError, match=r"-m pip .*install .*\[viz\].*\.source"):
            g.save(tmp_path / f"g.{ending}")
        assert not (tmp_path / f"g.{ending}").exists()
    assert set(g._repr_mimebundle_()) == {"text/plain"}


def test_the_program_dot_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    program = tmp_path / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.read()\nprint('drawn by', sys.argv[1:])\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert render.render("digraph {}", "pdf") == b"drawn by ['-Tpdf']\n"


def test_what_graphviz_says_is_passed_on(without_dot: None):
    with pytest.raises(RuntimeError, match="could not draw"):
        render.render("digraph { a -> ", "svg")


def test_save_leaves_no_half_file(tmp_path: Path):
    g = drawing()
    (tmp_path / "g.svg").write_text("old")
    g.source = "digraph { a -> "
    with pytest.raises(RuntimeError):
        g.save(tmp_path / "g.svg")
    assert (tmp_path / "g.svg").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_where_it_cannot_be_written_the_error_names_the_file(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path, error in (
        (tmp_path / "nowhere" / "g.dot", FileNotFoundError),
        (tmp_path / "file" / "g.dot", NotADirectoryError),
    ):
        with pytest.raises(error) as told:
            drawing().save(path)
        assert told.value.filename == str(path)


@pytest.mark.parametrize("name", ["g.jpg", "g", "g.svgz"])
def test_other_endings_are_refused(name: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, \.dot"):
        drawing().save(tmp_path / name)


def test_it_shows_itself_in_a_notebook():
    bundle = drawing()._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")


def test_where_graphviz_fails_a_notebook_shows_the_reason():
    g = drawing()
    g.source = "digraph { a -> "
    assert "could not draw" in g._repr_mimebundle_()["text/plain"]


def test_prefixed_ids_let_two_drawings_stand_in_one_page():
    g = drawing()
    ids = re.findall(r'\bid="([^"]*)"', g.svg("left-"))
    assert ids and all(id.startswith("left-") for id in ids)
    assert set(svg_nodes(g)) <= {id.removeprefix("left-") for id in ids}


PROGRAM = """
import minigrad as mg
from minigrad import nn
mg.manual_seed(0)
model = nn.Sequential(*[nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()) for _ in range(4)])
x = mg.randn(5, 6)
for view in ("forward", "backward", "both", "double"):
    print(mg.viz.graph(lambda: model(x).sum(), view=view, expand=view == "forward").source)
print(mg.viz.graph(model(x).sum(), params=model).source)
"""


def test_the_same_program_gives_the_same_bytes():
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=200).stdout
        for _ in range(2)
    ]
    assert len(runs[0]) > 5000 and runs[0] == runs[1]
    assert drawing().source == drawing().source
    assert drawing().svg() == drawing().svg()


# -- size ---------------------------------------------------------------------------------------------------------


def test_five_thousand_nodes_within_a_second():
    random = np.random.default_rng(0)
    w = mg.tensor([1.0], requires_grad=True)
    x = [w, w * 2]
    for kind in random.integers(4, size=5000):
        a, b = x[-1], x[-int(random.integers(1, min(8, len(x)) + 1))]
        x.append([mg.mul, mg.add, mg.sub, lambda a, b: a.tanh()][kind](a, b))
    times, g = [], graph(x[-1].sum())
    for _ in range(3):
        start = time.perf_counter()
        g = graph(x[-1].sum())
        times.append(time.perf_counter() - start)
    assert len(g.nodes) > 5000
    assert min(times) < 1
    drawn = parse(g)
    assert len(drawn.nodes()) < 50
    assert sum(int(n) for n in re.findall(r">([\d,]+) ops?[,<]", g.source)) + 20 > 5000  # the boxes tell of all ops


def test_a_chain_of_a_hundred_thousand_ops():
    x = mg.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    g = graph(y.sum(), params={"x": x}, view="both")
    assert by_label(g, "x").outputs[0].parts
    assert len(parse(g).nodes()) < 20
    assert any(title == "Mul × 100,000" for title in boxes(g))


def test_modules_nested_hundreds_deep():
    sys_limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # for the calls of the modules themselves
    try:
        model: nn.Module = nn.Linear(2, 2)
        for _ in range(400):
            model = nn.Sequential(model, nn.ReLU())
        x = mg.ones(1, 2)
        from minigrad.viz import watching

        program = watching.record(model, x)
    finally:
        sys.setrecursionlimit(sys_limit)
    from minigrad.viz import dot, folding

    layout = folding.arrange(program.nodes)
    source = dot.source(program, program.nodes, layout, "", True, "TB")
    assert 0 < len(pygraphviz.AGraph(string=source).nodes()) <= 120


# -- errors -------------------------------------------------------------------------------------------------------


def test_bad_arguments_are_explained():
    x = mg.tensor([1.0], requires_grad=True)
    for options, message in [
        ({"view": "sideways"}, "forward, backward, both, double"),
        ({"direction": "up"}, "TB, LR"),
        ({"limit": 0}, "at least 1"),
        ({"depth": -1}, "at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            graph(x.exp(), **options)
    with pytest.raises(TypeError, match="params"):
        graph(x.exp(), params=[x])
    with pytest.raises(TypeError, match="params"):
        graph(x.exp(), params=3)
    with pytest.raises(ValueError, match=r"mg.viz.graph\(model, x\)"):
        graph(mg.ones(2))
    with pytest.raises(TypeError, match="must return a tensor"):
        graph(lambda: 3)
    with pytest.raises(ValueError, match="gradient has shape"):
        graph(x.exp(), gradient=mg.ones(3))


def test_without_the_graphviz_package_the_error_comes_before_any_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    ran = []
    with pytest.raises(ImportError, match=re.escape(install_command("viz"))):
        graph(lambda: ran.append(1))
    assert not ran


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_draws_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "cnn.svg"
    assert (
        cli.main(["graph", "--model", "cnn", "--norm", "batch", "--width", "4", "--batch-size", "2", "-o", str(out)])
        == 0
    )
    text = out.read_text()
    for title in ("1: BatchNorm2d", "4: Conv2d", "CNN with batch norm"):
        assert title in text
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--view", "both"], ["--view", "double"], ["--expand"], ["--depth", "1"]])
def test_the_command_has_views(options: list[str], tmp_path: Path):
    small = ["--model", "mlp", "--layers", "1", "--width", "4", "--batch-size", "4", "--norm", "layer"]
    assert cli.main(["graph", *small, *options, "-o", str(tmp_path / "g.dot")]) == 0
    drawn = pygraphviz.AGraph(string=(tmp_path / "g.dot").read_text())
    text = drawn.to_string()
    expected = {"both": "LayerNorm n8 backward", "double": "LayerNormBackward", "--expand": "composed form"}
    assert expected.get(options[-1], "2: LayerNorm") in text


SCRIPT = """
import minigrad as mg
w = mg.tensor([2.0, 3.0], requires_grad=True)
def make_loss():
    return (w * w).sum()
loss = w.exp().sum()
def broken():
    return w.reshape(7)
number = 3
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "my_script.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize(("name", "op"), [("make_loss", "Mul"), ("loss", "Exp")])
def test_the_command_draws_a_program(
    name: str, op: str, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["graph", f"my_script.py:{name}", "--format", "dot"]) == 0
    text = (tmp_path / f"{name}.dot").read_text()
    assert f"<B>{op}</B>" in text and ("<B>w</B>" in text) == (name == "make_loss")


MODULES = """
import minigrad as mg
from minigrad import nn
mlp = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
double = nn.Linear(3, 2).double()
cnn = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 3))
flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
conv1d = nn.Conv1d(3, 4, 5)
lstm = nn.LSTM(5, 3)
gru = nn.GRU(5, 3, batch_first=True)
cell = nn.LSTMCell(5, 3)
attention = nn.MultiheadAttention(8, 2)
encoder = nn.TransformerEncoderLayer(8, 2, 16)
embedding = nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 3))
norm = nn.LayerNorm((3, 4))
norm2d = nn.BatchNorm2d(3)
groups = nn.GroupNorm(2, 4)
relu = nn.ReLU()
class Net(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.layer = nn.Linear(n, 2)
    def forward(self, x, y=None):
        return self.layer(x)
class Two(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, 2)
    def forward(self, x, y):
        return self.layer(x) + self.layer(y)
two = Two(3)
def make():
    return nn.Linear(4, 2)
def square(x):
    return (x * x).sum()
def loss(scores, target):
    return nn.functional.cross_entropy(scores, target)
def nothing_needed():
    return mlp(mg.ones(1, 64))
tensor = mg.ones(2, requires_grad=True).exp()
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "modules.py").write_text(MODULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("mlp", [], "float32  2 × 64"),
        ("double", [], "float64  2 × 3"),
        ("cnn", [], "float32  2 × 1 × 28 × 28"),
        ("flat", [], "float32  2 × 64"),
        ("conv1d", [], "float32  2 × 3 × 8"),
        ("lstm", [], "float32  8 × 2 × 5"),
        ("gru", [], "float32  2 × 8 × 5"),
        ("cell", [], "float32  2 × 5"),
        ("attention", [], "float32  2 × 8 × 8"),
        ("encoder", [], "float32  2 × 8 × 8"),
        ("embedding", [], "float32  2 × 8 × 3"),
        ("norm", [], "float32  2 × 3 × 4"),
        ("norm2d", [], "float32  2 × 3 × 8 × 8"),
        ("groups", [], "float32  2 × 4"),
        ("Net", [], "float32  2 × 3"),
        ("two", [], "float32  2 × 3"),
        ("make", [], "float32  2 × 4"),
        ("mlp", ["4,64"], "float32  4 × 64"),
        ("relu", ["4x64"], "float32  4 × 64"),
        ("double", ["7,3"], "float64  7 × 3"),
        ("embedding", ["3,5"], "float32  3 × 5 × 3"),
        ("embedding", ["int:3,5"], "float32  3 × 5 × 3"),
        ("make", ["5,4"], "float32  5 × 4"),
        ("square", ["2,3"], "float32  2 × 3"),
        ("loss", ["6,3", "int:6"], "float32  6 × 3"),
        ("two", ["1,3", "5,3"], "float32  5 × 3"),
    ],
)
def test_the_command_draws_a_module(name: str, given: list[str], expected: str, modules: Path):
    options = [word for shape in given for word in ("--input", shape)]
    assert cli.main(["graph", f"modules.py:{name}", "-o", "g.dot", *options]) == 0
    text = (modules / "g.dot").read_text()
    assert f">{expected}<" in text and ("class=input" in text or name == "embedding")  # an index is an option
    if name == "two":
        assert text.count("class=input") == 2
    assert cli.main(["graph", f"modules.py:{name}", "-o", "again.dot", *options]) == 0
    assert (modules / "again.dot").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relu"], "modules.py:relu: this Module needs 1 input; give the shape of each input, such as --input 4,64"),
        (["square"], "this function takes x; give the shape of each input, such as --input"),
        (["Two"], "this class needs n; make a module of it in the file"),
        (["two", "--input", "1,3"], "number of inputs given by --input: 1; it needs 2: x, y"),
        (["nothing_needed", "--input", "1,3"], "this function takes no --input"),
        (["tensor", "--input", "1,3"], "this is a tensor; leave out --input"),
        (["mlp", "--input", "flaot:3"], "did you mean 'float'?"),
        (["mlp", "--input", "a,b"], "'a,b' is not a shape"),
        (["mlp", "--input", "3,-1"], "the shape (3, -1) has a negative length"),
    ],
)
def test_the_command_asks_for_the_input_that_it_needs(
    arguments: list[str], message: str, modules: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stop:
        cli.main(["graph", f"modules.py:{arguments[0]}", *arguments[1:], "-o", "g.dot"])
    assert stop.value.code == 2 and not (modules / "g.dot").exists()
    assert message in capsys.readouterr().err


def test_the_command_says_which_network_takes_no_input(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["graph", "--input", "4,64"])
    assert "--input is for a program of your own" in capsys.readouterr().err


def test_a_guess_changes_nothing(modules: Path):
    from minigrad.viz import inputs

    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(2 * 14 * 14, 3))
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    (x,) = inputs.guessed(model, "test")
    assert x.shape == (2, 1, 16, 16)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


@pytest.mark.parametrize(("out", "written"), [(".", "cnn-batch.svg"), ("folder.d", "folder.d/cnn-batch.svg")])
def test_the_command_writes_into_a_folder(out: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.d").mkdir()
    assert cli.main(["graph", "--depth", "0", "-o", out]) == 0
    assert (tmp_path / written).read_text().startswith("<svg") or "<svg" in (tmp_path / written).read_text()


def test_the_command_draws_what_failed(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["graph", f"{script}:broken", "-o", str(tmp_path / "broken.svg")]) == 1
    assert "here it failed" in (tmp_path / "broken.svg").read_text()
    assert "the computation failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nraise ValueError('of mine')", "random.py, line 2: ValueError: of mine"),
        ("a = (\n", "random.py: SyntaxError"),
        ("import nowhere.to_be_found", "random.py, line 1: ModuleNotFoundError"),
        ("def f():\n    raise KeyError('k')", "the computation failed: KeyError: 'k'"),
        ("def f():\n    raise KeyboardInterrupt", "minigrad graph: interrupted"),
    ],
)
def test_the_command_tells_what_is_wrong_with_the_script(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "random", sys.modules["random"])
    (tmp_path / "random.py").write_text(text)
    code = cli.main(["graph", f"{tmp_path / 'random.py'}:f", "-o", str(tmp_path / "g.dot")])
    error = capsys.readouterr().err
    assert code == (130 if "interrupted" in message else 1) and message in error, error
    assert hasattr(sys.modules["random"], "Random")  # the script did not take the place of the module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--norm", "bacth"], "did you mean 'batch'"),
        (["--view", "bth"], "did you mean 'both'"),
        (["-o", "x.jpg"], ".svg, .png, .pdf, .dot"),
        (["--format", "png", "-o", "x.svg"], "leave out one of them"),
        (["--depth", "-1"], "at least 0"),
        (["--norm", "instance", "--model", "mlp"], "--norm instance"),
        (["nowhere.py:f"], "there is no file"),
        (["SCRIPT"], "my_script.py:make_loss"),
        (["SCRIPT:make_los"], "did you mean 'make_loss'"),
        (["SCRIPT:number"], "this is of type int; name a Module, a tensor, or a function"),
        (["-o", "x.html"], ".svg, .png, .pdf, .dot"),
        (["-o", "x.svg.gz"], ".svg, .png, .pdf, .dot"),
        (["SCRIPT:make_loss", "--model", "cnn"], "not for a program of your own"),
    ],
)
def test_the_command_explains_misuse(
    arguments: list[str], message: str, script: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stop:
        cli.main(["graph", *[a.replace("SCRIPT", str(script)) for a in arguments]])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error, error


def test_the_command_finds_out_first_whether_it_can_draw(
    script: Path, monkeypatch: pytest.MonkeyPatch, without_dot: None, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("minigrad.viz.render.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("minigrad.lab.draw.load", lambda target: pytest.fail("it began to work"))
    assert cli.main(["graph", f"{script}:make_loss", "-o", "x.png"]) == 1
    error = capsys.readouterr().err
    assert "pip" in error and "[viz]" in error
    assert not Path("x.png").exists()
