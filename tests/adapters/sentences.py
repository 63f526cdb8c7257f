"""Builders of tiny sentence-transformers models, made and saved by the library itself, and what is done to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.models import Dense, Normalize, Pooling, Router, StaticEmbedding, Transformer
from sentence_transformers.sparse_encoder.models import MLMTransformer, SpladePooling
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertForMaskedLM, BertForSequenceClassification, PreTrainedModel

from tests.adapters import repos

TEXTS = ["w1 w2 w3", "w7"]


def _backbone(folder: Path) -> Transformer:
    return Transformer(str(repos.build_safetensors(folder)))


def build_sentences(directory: Path) -> Path:
    """Transformer, pooling, a dense layer with weights in a folder of its own, and normalisation."""
    transformer = _backbone(directory.with_name("backbone"))
    torch.manual_seed(1)
    dense = Dense(16, 8, activation_function=torch.nn.GELU())
    modules = [transformer, Pooling(16), dense, Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(directory))
    return directory


def build_router(directory: Path) -> Path:
    """Two ways through a model, each with folders within the router's."""
    torch.manual_seed(2)
    query = [_backbone(directory.with_name("query")), Pooling(16)]
    document = [_backbone(directory.with_name("document")), Pooling(16), Dense(16, 16)]
    router = Router.for_query_document(query_modules=query, document_modules=document)
    SentenceTransformer(modules=[router, Normalize()], device="cpu").save(str(directory))
    return directory


def build_static(directory: Path) -> Path:
    """A table of words, whose weights and tokenizer are not a transformers model's."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(repos.WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    torch.manual_seed(3)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(directory))
    return directory


def build_sparse(directory: Path) -> Path:
    torch.manual_seed(4)
    folder = directory.with_name("mlm")
    BertForMaskedLM(repos.bert_config()).save_pretrained(repos.write_tokenizer(folder))
    SparseEncoder(modules=[MLMTransformer(str(folder)), SpladePooling()], device="cpu").save(str(directory))
    return directory


def build_reranker(directory: Path) -> Path:
    """A cross encoder, which is a plain model of transformers with one more entry in its config."""
    torch.manual_seed(5)
    model = BertForSequenceClassification(repos.bert_config(num_labels=1))
    model.save_pretrained(repos.write_tokenizer(directory))
    repos.rewrite(
        directory / "config.json", sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}
    )
    return directory


BUILDERS: dict[str, tuple[Callable[[Path], Path], type]] = {
    "sentences": (build_sentences, SentenceTransformer),
    "router": (build_router, SentenceTransformer),
    "static": (build_static, SentenceTransformer),
    "sparse": (build_sparse, SparseEncoder),
    "reranker": (build_reranker, CrossEncoder),
}


def pickle_weights(directory: Path) -> Path:
    """Turn every `model.safetensors` into the `pytorch_model.bin` that old versions wrote."""
    for path in directory.rglob("model.safetensors"):
        torch.save(load_file(path), path.with_name("pytorch_model.bin"))
        path.unlink()
    return directory


def backbone(model: Any) -> PreTrainedModel:
    """The model of transformers in the first module."""
    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def outputs(model: Any) -> Any:
    """What a model of any kind makes of the texts."""
    if isinstance(model, CrossEncoder):
        return torch.tensor(model.predict([TEXTS]))
    found = model.encode(TEXTS, convert_to_tensor=True)
    return found.to_dense() if found.is_sparse else found
