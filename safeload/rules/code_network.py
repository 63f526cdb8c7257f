"""The code opens connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.frozen import replace
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import NETWORK, is_stdlib
from safeload.rules.code_use import by_line, catalogued, checking, example, reaches, words

_NAMES = words(
    """
    socket ssl http urllib.request urllib.urlopen urllib2 urllib3 requests httpx aiohttp ftplib smtplib poplib
    imaplib nntplib telnetlib xmlrpc socketserver paramiko websocket websockets grpc boto3 botocore pycurl zmq
    asyncio.open_connection asyncio.start_server asyncio.open_unix_connection huggingface_hub.hf_hub_download
    huggingface_hub.snapshot_download huggingface_hub.HfApi huggingface_hub.HfFileSystem
    huggingface_hub.InferenceClient torch.hub.load torch.hub.load_state_dict_from_url
    torch.hub.download_url_to_file torch.distributed.rpc wandb mlflow comet_ml webbrowser dns fsspec evaluate
    logging.config.listen logging.handlers sklearn.datasets.fetch_openml
    """
)
_METHODS = words(
    """
    sendall urlopen urlretrieve create_connection hf_hub_download snapshot_download cached_file cached_files cached_path
    load_state_dict_from_url download_url_to_file try_to_load_from_cache get_session hf_raise_for_status load_dataset
    """
)


def _chosen(use: Use) -> bool:
    if use.name.startswith(_HUB):
        return reaches(use, _NAMES, _METHODS)
    return reaches(use, _NAMES, _METHODS) or catalogued(use, NETWORK) or _addressed(use)


_HUB = ("huggingface_hub.", "transformers.utils.hub.")
"""Packages that do much else; their ways out are named one by one."""


def _addressed(use: Use) -> bool:
    """A call that is handed an address: many functions open one as if it were a file."""
    given = (*use.arguments, *use.keywords.values())
    asks = is_stdlib(use.name) or use.name.rpartition(".")[2] in _OF_TEXTS
    return use.kind is Kind.CALL and not asks and any(map(_address, given))


_OF_TEXTS = frozenset(dir(str))


def _address(value: object) -> bool:
    return isinstance(value, str) and value.lstrip().lower().startswith(
        ("http://", "https://", "ftp://", "hf://", "s3://")
    )


_loud = checking(_chosen, "opens connections")


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    yield from _loud(rule, part, context)
    if isinstance(part, Facts):
        loads = (use for use in part.uses if use.kind is Kind.CALL and use.name.endswith(".from_pretrained"))
        named = (use for use in loads if not use.name.startswith(("?", "builtins.super")))
        yield from by_line(replace(rule, severity=Severity.LOW), part, named, "loads another model or a part of one")


def _bad() -> Iterable[Part]:
    yield example('import socket\ns = socket.create_connection(("example.org", 80))\n')
    yield example('def f():\n    import requests as r\n    return r.get("https://example.org").text\n')


def _good() -> Iterable[Part]:
    yield example('from urllib.parse import urlparse\nhost = urlparse("https://example.org").netloc\n')


RULE = Rule(
    id="code-network",
    title="the code opens connections",
    why=(
        "Code that talks to the network can fetch what nobody audited and send away what it finds. Downloads "
        "through the hub's own client count as well: what they fetch is outside of this approval."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-829",
        "AML.T0011.000",
    ),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
