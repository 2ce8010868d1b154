"""What if: the live loop's own code on simulated consumers, devices and time."""
