"""The trusted part: bytes and values in, values or one of our errors out.

Rules every module here follows (and `tests/architecture` checks):

1. It performs no input or output, reads no clock and no environment.
2. It imports only the standard library (`keys` also `cryptography`), and nothing by name.
3. It never looks up an attribute whose name came from foreign bytes.
4. A function that takes foreign bytes is total: a value, or a `SafeloadError` with a place in it.
"""
