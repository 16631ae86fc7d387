"""How much memory compressed data may claim."""

import gzip
from typing import BinaryIO

# DEFLATE cannot shrink data more than this: a file that promises more than its size allows is refused unread.
LARGEST_COMPRESSION = 1032


def read_at_most(file: "BinaryIO | gzip.GzipFile", size: int) -> bytearray:
    """Up to `size` bytes, taking memory only for what is really there."""
    content = bytearray()
    while len(content) < size and (part := file.read(min(1 << 20, size - len(content)))):
        content += part
    return content
