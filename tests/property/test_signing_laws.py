"""Laws of signatures: what was signed verifies, and nothing else does; any bytes end in a report or our error."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.trust.bundle import read_bundle
from safeload.trust.manifest import read_manifest
from tests.trust.signing import FILES, authority, by_certificate, check, key, oms, resource, signed, signer, statement

NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8).map("file{}".format)
MODELS = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=20), min_size=1, max_size=6
)
BUNDLE = signed(statement())
BY_CERTIFICATE = signed(statement(), chain=[authority().leaf()])


def _could_lie(files: dict[str, bytes]) -> bool:
    return not any(path.startswith(f"{other}/") for path in files for other in files)


@given(MODELS.filter(_could_lie))
def test_what_was_signed_verifies(files: dict[str, bytes]) -> None:
    """Any files under any names, and all of them are covered."""
    (found,) = check(signed(statement(files)), files).verified
    assert found.covers == frozenset(files)


@given(MODELS.filter(_could_lie), st.data())
def test_any_change_to_the_files_fails(files: dict[str, bytes], data: st.DataObject) -> None:
    """One byte in a file, one letter in a name, one file more or less: nothing verifies, and the file is named."""
    bundle = signed(statement(files))
    path = data.draw(st.sampled_from(sorted(files)))
    kind = data.draw(st.sampled_from(["byte", "longer", "name", "less", "more"]))
    other = dict(files)
    content = other.pop(path)
    if kind == "byte" and content:
        at = data.draw(st.integers(0, len(content) - 1))
        other[path] = content[:at] + bytes((content[at] ^ data.draw(st.integers(1, 255)),)) + content[at + 1 :]
    elif kind in ("byte", "longer"):
        other[path] = content + b"\0"
    elif kind == "name":
        other[path + "x"] = content
    elif kind == "more":
        other |= {path: content, "added.py": b""}
    report = check(bundle, other)
    assert report.verified == () and report.mismatches
    assert check(bundle, files).verified


def _bound(bundle: bytes) -> list[tuple[str | int, ...]]:
    """Where in a bundle the parts stand that the signature binds."""
    parts: list[tuple[str | int, ...]] = [("dsseEnvelope", "payload"), ("dsseEnvelope", "signatures", 0, "sig")]
    if b"x509CertificateChain" in bundle:
        parts.append(("verificationMaterial", "x509CertificateChain", "certificates", 0, "rawBytes"))
    return parts


@given(st.sampled_from([BUNDLE, BY_CERTIFICATE]), st.data())
def test_any_change_to_what_is_signed_fails(bundle: bytes, data: st.DataObject) -> None:
    """One character of the payload, the signature or the leaf: nothing verifies."""
    document = json.loads(bundle)
    *way, last = data.draw(st.sampled_from(_bound(bundle)))
    place: Any = document
    for step in way:
        place = place[step]
    text = place[last]
    at = data.draw(st.integers(0, len(text.rstrip("=")) - 2))
    letter = data.draw(st.sampled_from("ABCDwxyz0189+/").filter(lambda letter: letter != text[at]))
    place[last] = text[:at] + letter + text[at + 1 :]
    signers = [signer(), by_certificate()]
    assert check(json.dumps(document).encode(), signers=signers).verified == ()
    assert check(bundle, signers=signers).verified


@given(st.sampled_from([BUNDLE, BY_CERTIFICATE]), st.data())
def test_any_byte_of_a_bundle_may_change_without_harm(bundle: bytes, data: st.DataObject) -> None:
    """Whatever byte is another, the report is the same or a failure: never other files, never another signer."""
    at = data.draw(st.integers(0, len(bundle) - 1))
    broken = bundle[:at] + bytes((data.draw(st.integers(0, 255)),)) + bundle[at + 1 :]
    report = check(broken, signers=[signer(), by_certificate()])
    before = check(bundle, signers=[signer(), by_certificate()])
    for one in report.verified:
        assert (one.identity, one.covers, one.root) == (
            before.verified[0].identity,
            before.verified[0].covers,
            before.verified[0].root,
        )
    assert len(report.verified) + len(report.failures) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "_type",
                    "subject",
                    "predicate",
                    "predicateType",
                    "resources",
                    "serialization",
                    "method",
                    "hash_type",
                    "name",
                    "digest",
                    "sha256",
                    "algorithm",
                    "ignore_paths",
                    "mediaType",
                    "verificationMaterial",
                    "publicKey",
                    "x509CertificateChain",
                    "certificates",
                    "rawBytes",
                    "dsseEnvelope",
                    "payload",
                    "payloadType",
                    "signatures",
                    "sig",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_bundle_or_our_error(data: bytes) -> None:
    """Reading a bundle is total, and so is verifying one."""
    try:
        read_bundle(data, "model.sig")
    except MalformedInput as error:
        assert error.why and str(error.where).startswith("model.sig")
    assert check(data).verified == ()


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = _replaced(value[path[0]], path[1:], new)
    return made


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, inner in items for place in _places(inner, (*path, step)))]


STATEMENT = json.loads(statement())
BUNDLE_DATA = json.loads(BY_CERTIFICATE)


@given(st.sampled_from(_places(STATEMENT)), JSON)
def test_any_statement_is_read_or_refused(place: tuple[Any, ...], value: Any) -> None:
    """A good statement with anything in any place gives a manifest or our error with its place."""
    data = json.dumps(_replaced(STATEMENT, place, value)).encode()
    try:
        manifest = read_manifest(data, Location("model.sig"))
    except MalformedInput as error:
        assert str(error.where).startswith("model.sig")
    else:
        assert manifest.digests and all(not path.startswith(("/", "..")) for path in manifest.paths)


@given(st.sampled_from(_places(BUNDLE_DATA)), JSON)
def test_any_bundle_is_judged(place: tuple[Any, ...], value: Any) -> None:
    """A good bundle with anything in any place is a report: it holds as before, or it fails."""
    data = json.dumps(_replaced(BUNDLE_DATA, place, value)).encode()
    report = check(data, signers=[signer(), by_certificate()])
    assert all(one.covers == frozenset(FILES) for one in report.verified)
    assert len(report.verified) + len(report.failures) == 1


@given(st.binary(max_size=300), st.booleans())
def test_any_certificate_is_judged(data: bytes, mutated: bool) -> None:
    """Bytes for a leaf, wild or nearly right, end in a failure with a reason."""
    leaf = authority().leaf(key())
    at = sum(data) % len(leaf)
    wild = leaf[:at] + data[:3] + leaf[at + len(data[:3]) :] if mutated else data
    report = check(signed(statement(), chain=[wild]), signers=[by_certificate()])
    assert report.verified == () or wild == leaf
    assert all(failure.why for failure in report.failures)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6), st.binary(max_size=9))
def test_pieces_verify_only_if_they_are_the_whole_file(ranges: list[tuple[int, int]], data: bytes) -> None:
    """Whatever pieces a statement lists, a file verifies only if they tell all of it, in order."""
    payload = oms([resource(f"a:{start}:{end}", data[start:end]) for start, end in ranges], method="shards")
    whole = [start for start, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    whole = whole and all(start < end for start, end in ranges) and ranges[-1][1] == len(data)
    assert bool(check(signed(payload), {"a": data}).verified) == whole
