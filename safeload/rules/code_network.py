"""The code opens connections."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Use
from safeload.rules.base import Rule
from safeload.rules.code_use import checking, example, reaches, words

_NAMES = words(
    """
    socket ssl http urllib.request urllib.urlopen urllib2 urllib3 requests httpx aiohttp ftplib smtplib poplib
    imaplib nntplib telnetlib xmlrpc socketserver paramiko websocket websockets grpc boto3 botocore pycurl zmq
    asyncio.open_connection asyncio.start_server asyncio.open_unix_connection huggingface_hub.hf_hub_download
    huggingface_hub.snapshot_download huggingface_hub.HfApi huggingface_hub.HfFileSystem
    huggingface_hub.InferenceClient torch.hub.load torch.hub.load_state_dict_from_url
    torch.hub.download_url_to_file torch.distributed.rpc wandb mlflow comet_ml webbrowser dns
    """
)
_METHODS = words(
    """
    sendall urlopen create_connection
    """
)


def _chosen(use: Use) -> bool:
    return reaches(use, _NAMES, _METHODS)


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
    check=checking(_chosen, "opens connections"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
