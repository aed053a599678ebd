"""The one figure style: what the figures of all exercises share."""

DPI = 150
GREYS = ("0.0", "0.3", "0.45", "0.6", "0.72")  # lines that are told apart in print, with STYLES
STYLES = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))
