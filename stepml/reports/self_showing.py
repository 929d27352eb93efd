"""Figures of matplotlib that a notebook shows as the value of a cell."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

PIXELS = 2  # of a picture, to one of a screen without high resolution


class Plot(Figure):
    """A figure that needs no ``pyplot``: neither a window nor a notebook has to be prepared."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=PIXELS * self.dpi)
        width, height = self.get_size_inches() * self.dpi
        return picture.getvalue(), {"width": round(width), "height": round(height)}
