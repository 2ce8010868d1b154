"""What goes wrong in a lab, told to a person."""


class LabError(Exception):
    """Something the lab cannot do; the text says what, and what to do about it."""
