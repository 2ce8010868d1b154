"""Simulated fog devices and a local broker: try everything without owning a Pi."""
