"""`Picture`: a matplotlib figure that shows itself in a notebook and is saved as a whole.

This file imports matplotlib. It is itself imported when the first picture is drawn, by `style.picture`.
"""

import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minigrad.files import write

FORMATS = (".png", ".svg", ".pdf")


class Picture(Figure):
    """A `matplotlib.figure.Figure` drawn without a display. It has all methods of a figure.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Conv2d(1, 4, 3), mg.nn.ReLU())
        >>> figure = mg.viz.filters(model)
        >>> figure.save("filters.png")  # doctest: +SKIP
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def encoded(self, format: str = "png", dpi: float | None = None) -> bytes:
        """The finished file: the same figure gives the same bytes, today and tomorrow."""
        file = io.BytesIO()
        metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with rc_context({"svg.hashsalt": "minigrad"}):  # without it the names inside an SVG are drawn by lot
            self.savefig(file, format=format, metadata=metadata[format], dpi=dpi or self.dpi)
        return file.getvalue()

    def save(self, path: str | Path) -> None:
        """Write a .png, .svg or .pdf, under a temporary name that is then changed: there is never half a picture.

        Raises:
            ValueError: another ending.
        """
        path = Path(path)
        if path.suffix.lower() not in FORMATS:
            raise ValueError(
                f"save({str(path)!r}): a picture can be {', '.join(FORMATS)}, not {path.suffix or 'bare'!r}"
            )
        write(path, self.encoded(path.suffix.lower()[1:]))

    def _repr_png_(self) -> bytes:
        return self.encoded()
