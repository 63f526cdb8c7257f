"""How much foreign bytes may ask for."""

from __future__ import annotations

from safeload.core.frozen import Frozen


class Limits(Frozen):
    """Bounds on one reading. Exceeding any of them raises `LimitExceeded` naming the field.

    Memory stays proportional to the bytes that were read, whatever the limits are; they bound time and the
    factor. The defaults admit every checkpoint we know of.
    """

    opcodes: int = 50_000_000
    """Pickle opcodes in one stream."""
    nodes: int = 20_000_000
    """Objects that one pickle stream may build, and leaves of one walk over them."""
    memo: int = 20_000_000
    """Highest memo index that a pickle stream may choose."""
    depth: int = 10_000
    """Nesting of containers and calls as a pickle builds it, of JSON, and of marks on a pickle's stack."""
    argument_bytes: int = 1 << 34
    """Bytes of one byte string in a pickle. Long ones are referenced in place, never copied."""
    number_bytes: int = 1_700
    """Bytes of one arbitrarily long integer. Python refuses to print longer ones, because that takes quadratic time."""
    streams: int = 10_000
    """Pickles following each other in one file, and pickles in one archive."""
    text_bytes: int = 1 << 28
    """Bytes of one template or source file that is read whole, and of one text in a pickle."""
    json_bytes: int = 1 << 26
    """Bytes of one JSON document, which may cost twenty times as much memory. Large tokenizers have 35 MB."""
    members: int = 100_000
    """Members of one archive."""
    expansion: int = 1_000
    """How many times larger than its compressed form a member may become."""
    tensors: int = 1_000_000
    """Tensors in one file."""
