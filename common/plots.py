"""What figures of several exercises share; nothing here knows a model or a file."""

import sys

import numpy as np

DPI = 150


def show(figures) -> None:
    """Open `figures` in windows until they are closed; without a display say so."""
    import matplotlib.pyplot as plt

    for backend in ("QtAgg", "TkAgg", "MacOSX"):
        try:
            plt.switch_backend(backend)
            break
        except (ImportError, RuntimeError):
            continue
    else:
        sys.stderr.write("no display here: open the file yourself\n")
        return
    for figure in figures:
        window = plt.figure(figsize=figure.get_size_inches())
        window.figimage(figure_pixels(figure), resize=True)
    plt.show()


def figure_pixels(figure) -> np.ndarray:
    """Return `figure` as an RGBA picture (h, w, 4) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
