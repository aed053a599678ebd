"""The one figure style: what the figures of all exercises share."""

DPI = 150
GREYS = ("0.0", "0.3", "0.45", "0.6", "0.72")  # lines that are told apart in print, with STYLES
STYLES = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))


def new_figure(width: float, height: float, dpi: int = DPI, layout="constrained", **more):
    """Return an empty matplotlib figure of this size in inches, without pyplot or a display."""
    from matplotlib.figure import Figure  # half a second to load

    return Figure((width, height), dpi=dpi, layout=layout, **more)
