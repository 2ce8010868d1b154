"""Contenders, cases and the track on which they are timed, for ``parallel_consumption.py``."""
