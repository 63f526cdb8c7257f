"""Statements have the forms that in-toto and SLSA define, and equal ones have equal bytes."""

from __future__ import annotations

import json

from safeload.engine.convert.conversion import ConvertedFile
from safeload.engine.convert.provenance import BUILD_TYPE, BUILDER, statement
from safeload.trust.statement import PROVENANCE, STATEMENT, Resource, Statement

OUT = ConvertedFile(path="model.safetensors", size=8, sha256="a" * 64)
ORIGIN = "pkg:huggingface/acme/demo@c0ffee"


def _statement(origin: str = ORIGIN, **parameters: object) -> Statement:
    return statement(origin, {"pytorch_model.bin": "b" * 64}, [OUT], parameters)


def test_a_provenance_statement_has_its_standard_form() -> None:
    """Subjects, inputs with digests and origin, builder, version and parameters stand where the standards put them."""
    data = json.loads(_statement(shared="keep").dump())
    assert data["_type"] == STATEMENT == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == PROVENANCE == "https://slsa.dev/provenance/v1"
    assert data["subject"] == [{"name": "model.safetensors", "digest": {"sha256": "a" * 64}}]
    definition = data["predicate"]["buildDefinition"]
    assert definition["buildType"] == BUILD_TYPE and definition["externalParameters"] == {"shared": "keep"}
    assert definition["resolvedDependencies"] == [
        {"name": "pytorch_model.bin", "uri": f"{ORIGIN}#pytorch_model.bin", "digest": {"sha256": "b" * 64}}
    ]
    assert data["predicate"]["runDetails"]["builder"]["id"] == BUILDER


def test_an_unknown_origin_is_left_out() -> None:
    """A file whose origin nobody knows has no empty URI."""
    assert b'"uri"' not in _statement(origin="").dump()
    assert "uri" not in Resource(name="x", sha256="a" * 64).data()


def test_equal_statements_have_equal_bytes() -> None:
    """The order in which parameters were given does not show."""
    assert _statement(a=1, b=2).dump() == _statement(b=2, a=1).dump()
