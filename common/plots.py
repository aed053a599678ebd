"""The one figure style: what the figures of all exercises share.

A figure that the report prints has the size at which it is printed, and letters of 7 points.
"""

DPI = 150
FONT = 7.0  # points


def new_figure(width: float, height: float, dpi: int = DPI, layout="constrained", **more):
    """Return an empty matplotlib figure of this size in inches, without pyplot or a display."""
    from matplotlib.figure import Figure  # half a second to load

    return Figure((width, height), dpi=dpi, layout=layout, **more)


def print_size(figure, points: float = FONT):
    """Set all text of a figure, legends included, in the size of print; return the figure."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontsize(points)
    return figure
