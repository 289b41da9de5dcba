"""The one error that users are meant to read."""

import re

# What would break a line or steer a terminal; lone surrogates, which no terminal can be sent, stand for
# the bytes of a file name that are not UTF-8.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class SaevError(Exception):
    """Something the user can put right: the message is one line that names the file or
    option, the value found, and what would be right. Entry points print it and exit 1.

    Files and classes may be called anything, so control characters are shown escaped: a newline as `\\n`.
    """

    def __str__(self) -> str:
        return _CONTROL.sub(lambda found: repr(found.group())[1:-1], super().__str__())


def first_line(error: BaseException) -> str:
    """The first line of another library's message that says something, else the name of the error's type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
