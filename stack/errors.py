"""The one error that ends a command of the stack with a message and without a traceback."""


class StackError(Exception):
    """What went wrong, with what, and what to do next."""
