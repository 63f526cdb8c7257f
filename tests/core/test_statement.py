"""Statements have the forms that in-toto and SLSA define, and equal ones have equal bytes."""

from __future__ import annotations

import json

from safeload.core.statement import PROVENANCE, STATEMENT, Resource, Statement, provenance

OUT = Resource(name="model.safetensors", sha256="a" * 64)
SOURCE = Resource(name="pytorch_model.bin", sha256="b" * 64, uri="pkg:huggingface/acme/demo@c0ffee#pytorch_model.bin")


def _statement(**parameters: object) -> Statement:
    return provenance(
        [OUT],
        [SOURCE],
        build_type="https://example.org/convert/v1",
        builder="https://example.org/safeload",
        version="1.0",
        parameters=parameters,
    )


def test_a_provenance_statement_has_its_standard_form() -> None:
    """Subjects, inputs with digests and origin, builder, version and parameters stand where the standards put them."""
    data = json.loads(_statement(shared="keep").dump())
    assert data["_type"] == STATEMENT == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == PROVENANCE == "https://slsa.dev/provenance/v1"
    assert data["subject"] == [{"name": "model.safetensors", "digest": {"sha256": "a" * 64}}]
    definition = data["predicate"]["buildDefinition"]
    assert definition["buildType"] == "https://example.org/convert/v1"
    assert definition["externalParameters"] == {"shared": "keep"}
    assert definition["resolvedDependencies"] == [
        {"name": SOURCE.name, "uri": SOURCE.uri, "digest": {"sha256": "b" * 64}}
    ]
    assert data["predicate"]["runDetails"]["builder"] == {
        "id": "https://example.org/safeload",
        "version": {"safeload": "1.0"},
    }


def test_an_unknown_origin_is_left_out() -> None:
    """A file whose origin nobody knows has no empty URI."""
    assert "uri" not in OUT.data()


def test_equal_statements_have_equal_bytes() -> None:
    """The order in which parameters were given does not show."""
    assert _statement(a=1, b=2).dump() == _statement(b=2, a=1).dump()
