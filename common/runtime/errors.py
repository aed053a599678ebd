"""The one error that a script turns into a line of text."""


class InputError(ValueError):
    """A mistake of the user: what is wrong, where, and what to do, in one line."""
