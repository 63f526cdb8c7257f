"""sentence-transformers: its models load when they are made."""

from __future__ import annotations

from safeload.guarding.doors import Library, Makers

LIBRARY = Library(
    name="sentence_transformers",
    doors=(
        Makers(
            homes=(
                "sentence_transformers.sentence_transformer.model:SentenceTransformer",
                "sentence_transformers.cross_encoder.model:CrossEncoder",
                "sentence_transformers.sparse_encoder.model:SparseEncoder",
                "sentence_transformers.multi_vector_encoder.model:MultiVectorEncoder",
                "sentence_transformers.SentenceTransformer:SentenceTransformer",
                "sentence_transformers.cross_encoder.CrossEncoder:CrossEncoder",
                "sentence_transformers.sparse_encoder.SparseEncoder:SparseEncoder",
            ),
            ours="safeload.sentence_transformers",
        ),
    ),
)
