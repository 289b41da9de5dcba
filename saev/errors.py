"""The one error that users are meant to read."""


class SaevError(Exception):
    """Something the user can put right: the message is one line that names the file or
    option, the value found, and what would be right. Entry points print it and exit 1."""
