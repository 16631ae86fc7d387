"""Text of unknown origin, such as names of files and classes, on its way to a terminal."""


def printable(text: str) -> str:
    """The text on one line, without what would steer a terminal or can't be encoded.

    Examples
    --------
    >>> print(printable("a\\x1b[2J \\udcff\\nb"))
    a\\x1b[2J \\udcff\\nb
    """
    shown = (c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return "".join(shown)
