"""The exit codes, and the exception that ends a command with one clear line on standard error."""

YES, NO, USAGE, NO_ANSWER, MISSING = range(5)


class Failure(Exception):
    """The command cannot do what was asked; `str` is the line for standard error, `code` the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
