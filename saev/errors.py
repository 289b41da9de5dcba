"""The one error that users are meant to read."""


class SaevError(Exception):
    """Something the user can put right: the message is one line that names the file or
    option, the value found, and what would be right. Entry points print it and exit 1."""


def first_line(error: BaseException) -> str:
    """The first line of another library's message that says something, else the name of the error's type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
