"""Figures of matplotlib as pixels."""

import numpy as np


def as_pixels(figures, close=True):
    """A figure ``(3, H, W)`` or several ``(N, 3, H, W)`` as bytes.

    Args:
        close: the figures are closed afterwards.
    """
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def rendered(figure):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        colours = np.asarray(canvas.buffer_rgba())[..., :3].transpose(2, 0, 1)
        if close:
            plt.close(figure)
        return colours

    if isinstance(figures, (list, tuple)):
        return np.stack([rendered(figure) for figure in figures])
    return rendered(figures)
