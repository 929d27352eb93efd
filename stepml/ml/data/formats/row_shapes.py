"""Shapes of rows: images, or features without a shape."""

from __future__ import annotations

from collections.abc import Sequence


def image_shape(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a row of these sizes if it is an image; otherwise an empty one."""
    return tuple(sizes) if len(sizes) in (2, 3) else ()


def shape_note(row_shape: Sequence[int]) -> str:
    """Return the shape of images for messages, such as " (3 × 32 × 32)"; nothing for other rows."""
    return f" ({' × '.join(map(str, row_shape))})" if row_shape else ""
