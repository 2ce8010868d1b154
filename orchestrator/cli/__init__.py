"""The command line: one module per noun or verb, put together in ``main``."""
