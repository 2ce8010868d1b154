"""Other people's rules, faithful to their published defaults, to be compared with on the same simulator."""
