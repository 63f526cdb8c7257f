"""A writer of protocol buffers, and of the models that consist of them. Its own, so that tests need no framework."""

from __future__ import annotations

from collections.abc import Iterable


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def put(number: int, value: int | bytes | str) -> bytes:
    """One field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


# ── TensorFlow ──────────────────────────────────────────────────────────────────────────────────────────────────


def attr(key: str, value: bytes) -> bytes:
    return put(5, put(1, key) + put(2, value))


def node(op: str, name: str = "n", inputs: Iterable[str] = (), *attrs: bytes) -> bytes:
    return put(1, name) + put(2, op) + b"".join(put(3, one) for one in inputs) + b"".join(attrs)


def constant(name: str, *texts: str) -> bytes:
    """A constant of texts."""
    tensor = put(1, 7) + b"".join(put(8, text) for text in texts)
    return node("Const", name, (), attr("dtype", put(6, 7)), attr("value", put(8, tensor)))


def calls(name: str, function: str, inputs: Iterable[str] = ()) -> bytes:
    return node("PartitionedCall", name, inputs, attr("f", put(10, put(1, function))))


def function(name: str, nodes: Iterable[bytes], parameters: Iterable[str] = ()) -> bytes:
    signature = put(1, name) + b"".join(put(2, put(1, one) + put(3, 7)) for one in parameters)
    return put(1, signature) + b"".join(put(3, one) for one in nodes)


def graph(nodes: Iterable[bytes], functions: Iterable[bytes] = ()) -> bytes:
    library = b"".join(put(1, one) for one in functions)
    return b"".join(put(1, one) for one in nodes) + (put(2, library) if library else b"") + put(4, put(1, 1))


def meta_graph(graph_def: bytes, *extra: bytes) -> bytes:
    return put(1, put(4, "serve") + put(5, "2.15.0")) + put(2, graph_def) + b"".join(extra)


def saved_model(graph_def: bytes, *extra: bytes) -> bytes:
    return put(1, 1) + put(2, meta_graph(graph_def, *extra))


# ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────────────────


def onnx_node(op: str, domain: str = "", *attributes: bytes) -> bytes:
    return put(1, "x") + put(2, "y") + put(4, op) + b"".join(put(5, one) for one in attributes) + put(7, domain)


def onnx_tensor(location: str | None = None, **more: str) -> bytes:
    entries = {} if location is None else {"location": location}
    external = b"".join(put(13, put(1, key) + put(2, value)) for key, value in {**entries, **more}.items())
    raw = put(9, b"\0\0\0\0") if location is None else b""
    return put(1, 1) + put(2, 1) + put(8, "w") + raw + external + (put(14, 1) if external else b"")


def onnx_graph(nodes: Iterable[bytes], tensors: Iterable[bytes] = ()) -> bytes:
    return b"".join(put(1, one) for one in nodes) + put(2, "g") + b"".join(put(5, one) for one in tensors)


def onnx(graph_proto: bytes, *extra: bytes) -> bytes:
    head = put(1, 8) + put(2, "pytorch") + put(3, "2.4.0")
    return head + put(7, graph_proto) + put(8, put(1, "") + put(2, 17)) + b"".join(extra)
