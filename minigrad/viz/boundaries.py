"""Decision boundaries of a network over a plane of two features, at one moment and during training."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.autograd import Tensor, no_grad
from minigrad.autograd.tensor import raw
from minigrad.extras import require
from minigrad.files import write
from minigrad.nn.module import Module
from minigrad.viz import style

if TYPE_CHECKING:
    from minigrad.viz.picture import Picture


def decision_boundary(
    models: "Module | Mapping[str, Module]", x: Any, y: Any, *, points: int = 200, theme: str = "light"
) -> "Picture":
    """Draw which class a network gives to each place of a plane, and the data on top.

    A place has the colour of the class with the largest score, the paler the less probable it is (softmax of the
    scores); lines divide the classes. The networks run in evaluation mode, without recording, and get their training
    flags back.

    Args:
        models: a network of two features, or several by name, for one panel each. It returns scores (N, C), or
            one score per sample, (N,) or (N, 1), that is positive for class 1.
        x: the data, (N, 2).
        y: their classes, (N,), integers.
        points: the grid has points × points places.
        theme: "light" or "dark".

    Raises:
        ValueError: x is not (N, 2), y does not fit, or a network returns something else than scores.

    Example:
        >>> import minigrad as mg
        >>> (x, y), _ = (part.tensors for part in mg.data.load("moons", n_samples=50))
        >>> model = mg.nn.Sequential(mg.nn.Linear(2, 8), mg.nn.ReLU(), mg.nn.Linear(8, 2))
        >>> figure = mg.viz.decision_boundary(model, x, y, points=50)
    """
    movie = BoundaryMovie(models, x, y, points=points, theme=theme)
    movie.snap()
    return movie.picture()


class BoundaryMovie:
    """Decision boundaries through training: take a snapshot now and then, and save all of them as a GIF.

    Args:
        models, x, y, theme: see `decision_boundary`.
        points: the grid has points × points places.

    Attributes:
        x_axis, y_axis: the places of the grid along the two features.
        frames: a dictionary per snapshot, from the network's name to its classes' probabilities, an array
            (points, points, C) whose first axis is the second feature, as in a picture.
        accuracies: a dictionary per snapshot, from the network's name to the share of the data that it gets right.
        titles: what `snap` was told.

    Example:
        >>> import minigrad as mg
        >>> (x, y), _ = (part.tensors for part in mg.data.load("moons", n_samples=50))
        >>> model = mg.nn.Sequential(mg.nn.Linear(2, 8), mg.nn.ReLU(), mg.nn.Linear(8, 2))
        >>> optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
        >>> movie = mg.viz.BoundaryMovie(model, x, y, points=40)
        >>> for step in range(20):
        ...     if step % 5 == 0:
        ...         movie.snap(f"step {step}")
        ...     optimizer.zero_grad()
        ...     mg.nn.functional.cross_entropy(model(x), y).backward()
        ...     optimizer.step()
        >>> movie.save("moons.gif", fps=5)  # doctest: +SKIP
        >>> len(movie.frames)
        4
    """

    def __init__(
        self, models: "Module | Mapping[str, Module]", x: Any, y: Any, *, points: int = 120, theme: str = "light"
    ):
        style.check_theme(theme)
        who = "decision boundary"
        self.models = {"": models} if isinstance(models, Module) else dict(models)
        if not self.models or not all(isinstance(model, Module) for model in self.models.values()):
            raise ValueError(f"{who}: models must be a Module, or a dictionary from names to Modules")
        self.x, self.y = np.asarray(raw(x)), np.asarray(raw(y))
        if self.x.ndim != 2 or self.x.shape[1] != 2 or not len(self.x):
            raise ValueError(
                f"{who}: x must be (N, 2), points in a plane, got shape {self.x.shape}; if the data have more "
                "features, choose two and train on them"
            )
        if self.y.shape != (len(self.x),) or self.y.dtype.kind not in "iub":
            raise ValueError(
                f"{who}: y must hold one class number per sample, shape ({len(self.x)},), got "
                f"{self.y.dtype}{list(self.y.shape)}"
            )
        if not np.isfinite(self.x).all():
            raise ValueError(f"{who}: x holds NaN or infinity")
        self.y = self.y.astype(np.int64)  # truth values are classes 0 and 1
        if self.y.min() < 0:
            raise ValueError(f"{who}: y holds {self.y.min()}; classes are numbered from 0")
        if points < 2:
            raise ValueError(f"{who}: points={points} must be at least 2")
        self.theme = theme
        low, high = self.x.min(0), self.x.max(0)
        margin = 0.12 * np.maximum(high - low, 1e-6)
        self.x_axis, self.y_axis = (
            np.linspace(a - m, b + m, points) for a, b, m in zip(low, high, margin, strict=True)
        )
        self.frames: list[dict[str, Any]] = []
        self.accuracies: list[dict[str, float]] = []
        self.titles: list[str] = []

    def snap(self, title: str = "") -> None:
        """Keep what the networks decide now, under a title such as "epoch 3"."""
        plane = np.stack(np.meshgrid(self.x_axis, self.y_axis), axis=-1).reshape(-1, 2)
        n = len(self.x_axis)
        frame = {name: _probabilities(model, plane).reshape(n, n, -1) for name, model in self.models.items()}
        self.frames.append(frame)
        right = {}
        for name, model in self.models.items():
            probabilities = _probabilities(model, self.x)
            if self.y.max() >= probabilities.shape[1]:
                raise ValueError(
                    f"decision boundary: y holds class {self.y.max()}, and the model tells {probabilities.shape[1]} "
                    "classes apart, from 0 on"
                )
            right[name] = probabilities.argmax(-1) == self.y
        self.accuracies.append({name: float(r.mean()) for name, r in right.items()})
        self.titles.append(title)

    def picture(self, index: int = -1) -> "Picture":
        """One snapshot; the last if no index is given."""
        if not self.frames:
            raise ValueError("BoundaryMovie: there is no snapshot yet; call snap() now and then while training")
        columns = min(3, len(self.models))
        rows = -(-len(self.models) // columns)
        figure = style.picture(3.9 * columns, 3.6 * rows + 0.35 * bool(self.titles[index]), self.theme)
        every = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
        for axes, name in zip(every, self.models, strict=False):
            self._draw(axes, name, self.frames[index][name], self.accuracies[index][name])
        for axes in every[len(self.models) :]:
            axes.set_visible(False)
        if self.titles[index]:
            figure.suptitle(style.written(self.titles[index]), color=style.INK[self.theme], fontsize=12)
        return figure

    def save(self, path: str | Path, fps: float = 8, hold: float = 2.0, dpi: int = 80, colours: int = 128) -> None:
        """Write all snapshots as an animated .gif, under a temporary name that is then changed.

        Args:
            path: it ends in .gif.
            fps, hold, dpi, colours: see `encoded`.

        Raises:
            ValueError: another ending, no snapshot, or `fps` is not positive.
        """
        path = Path(path)
        if path.suffix.lower() != ".gif":
            raise ValueError(f"save({str(path)!r}): an animation is a .gif; for one picture, picture().save(...)")
        write(path, self.encoded(fps, hold, dpi, colours))

    def encoded(self, fps: float = 8, hold: float = 2.0, dpi: float = 80, colours: int = 128) -> bytes:
        """The finished animation, as the bytes of a GIF. A notebook shows a movie in this way.

        Args:
            fps: snapshots per second.
            hold: for how many seconds the last one stays before the animation begins again.
            dpi: pixels per inch; a panel is 3.9 inches wide.
            colours: the number of colours in the file, at most 256; fewer make it smaller.

        Raises:
            ValueError: no snapshot, or `fps` is not positive.
        """
        if not fps > 0:
            raise ValueError(f"BoundaryMovie: fps={fps} must be positive")
        image = require("PIL.Image", extra="viz", what="an animation", package="pillow")
        if not self.frames:
            raise ValueError("BoundaryMovie: there is no snapshot yet; call snap() now and then while training")
        pictures = [
            image.open(io.BytesIO(self.picture(i).encoded(dpi=dpi))).convert("RGB") for i in range(len(self.frames))
        ]
        # All frames share one palette, so that nothing flickers. It is made for some of them, side by side: the first
        # are the palest and the last the most colourful.
        some = [pictures[i] for i in np.unique(np.linspace(0, len(pictures) - 1, 6).round().astype(int))]
        width, height = some[0].size
        strip = image.new("RGB", (width * len(some), height))
        for i, one in enumerate(some):
            strip.paste(one, (i * width, 0))
        palette = strip.quantize(colours)
        frames = [one.quantize(palette=palette, dither=image.Dither.NONE) for one in pictures]
        times = [round(1000 / fps)] * (len(frames) - 1) + [round(1000 * max(hold, 1 / fps))]
        file = io.BytesIO()
        frames[0].save(
            file, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True
        )
        return file.getvalue()

    def _repr_html_(self) -> str | None:
        if not self.frames:
            return None
        data = base64.b64encode(self.encoded()).decode()
        return f'<img alt="decision boundaries, {len(self.frames)} snapshots" src="data:image/gif;base64,{data}">'

    def _draw(self, axes: Any, name: str, probabilities: Any, accuracy: float) -> None:
        from matplotlib.colors import to_rgb

        count = max(probabilities.shape[-1], int(self.y.max()) + 1)
        palette = np.array([to_rgb(c) for c in (style.CLASSES[self.theme] * (1 + count // 8))[:count]])
        paper = np.array(to_rgb(style.PAPER[self.theme]))
        style.dress(axes, self.theme, grid=False)
        # From paper where the classes are equally probable to 45 % of the colour where one is certain.
        chosen, best = probabilities.argmax(-1), probabilities.max(-1)
        sure = (best - 1 / probabilities.shape[-1]) / (1 - 1 / probabilities.shape[-1])
        strength = (0.08 + 0.37 * sure)[..., None]
        half = [(axis[1] - axis[0]) / 2 for axis in (self.x_axis, self.y_axis)]
        ends = [(axis[0] - h, axis[-1] + h) for axis, h in zip((self.x_axis, self.y_axis), half, strict=True)]
        axes.imshow(
            paper + strength * (palette[chosen] - paper), origin="lower", extent=(*ends[0], *ends[1]), aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        for k in range(probabilities.shape[-1]):
            margin = probabilities[..., k] - np.delete(probabilities, k, -1).max(-1)
            if margin.min() < 0 < margin.max():
                axes.contour(
                    self.x_axis, self.y_axis, margin, levels=[0], colors=style.INK[self.theme], linewidths=1.3
                )
        for k in np.unique(self.y):
            mine = self.x[self.y == k]
            axes.scatter(
                mine[:, 0], mine[:, 1], s=9, color=palette[k], edgecolors=style.PAPER[self.theme], linewidths=0.3
            )
        title = f"{style.written(name)}{': ' if name else ''}{100 * accuracy:.0f} % right"
        axes.set_title(title, color=style.INK[self.theme], fontsize=11, loc="left")
        axes.set_xlim(*ends[0])
        axes.set_ylim(*ends[1])


@no_grad()
def _probabilities(model: Module, points: Any) -> Any:
    """The probabilities of the classes (N, C) in evaluation mode, in float64."""
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    training = {module: module.training for module in model.modules()}
    try:
        for module in training:
            module.training = False
        result = model(Tensor(points.astype(dtype)))
    finally:
        for module, mode in training.items():
            module.training = mode
    scores = np.asarray(raw(result))
    if scores.shape in ((len(points),), (len(points), 1)):  # one score: the log odds of class 1
        scores = np.stack([np.zeros(len(points)), scores.reshape(-1)], axis=1)
    if scores.ndim != 2 or len(scores) != len(points) or scores.dtype.kind != "f":
        raise ValueError(
            f"decision boundary: for {len(points)} points the model must return scores ({len(points)}, classes) or "
            f"({len(points)},), and returned shape {scores.shape}"
        )
    scores = scores.astype(np.float64)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
