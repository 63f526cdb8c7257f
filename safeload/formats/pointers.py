"""What any setting may point to, told by its shape: a place outside of the model, a repository, a command, a program.

`steering` has the settings that libraries are known to follow. Nobody knows them all, so here each value is looked at
by itself, and each key by the words it is made of. The kinds are: `file` (a loader joins it to the folder of the
model), `outside` (a path or an address that leads out of the model), `aside` (such a path in a file of training
settings, and to data), `repository`, `command`, `trust`, `callable`,
`component` (named for running code), `mention` (code, or a name that runs code) and `dependency`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from safeload.core.names import Location
from safeload.formats.base import Part, Reference, Text
from safeload.formats.settings import Setting, of_document, one_of, words_of
from safeload.formats.steering import steers
from safeload.later import Later

_SENTENCE = 20
_PROMPT = one_of(
    "prompt prompts instruction instructions system persona backstory goal description role message messages content "
    "greeting context template prefix suffix preamble rules guidelines text"
)
"""Words of keys for what a model or an agent is told."""
_MOST = 2_000
"""References of one kind in one file that are told; of the worst kinds, all are."""
_WORST = frozenset({"command", "callable"})
_SPECIAL = frozenset("/\\ .:|$(<>=@-\n")
"""What a value has that is more than a word."""

# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────
_UP = Later(
    r"(?:[^\s<>|\"'`$]{1,400}[/\\])?\.\.[/\\][^\s<>|\"'`]{1,400}|\.\.|[^\s<>|\"'`]{1,400}[/\\]\.\.", needs=("..",)
)
_HOST = Later(
    r"\\\\[\w.\-$]+\\\S+|(?:file|smb|rmi|ldaps?|gopher|jar|dict|jndi|ext)://?\S+", re.IGNORECASE, needs=("\\\\", ":/")
)
"""Another machine, or a file of this one, by address; `\\\\host\\share` sends a password's digest there."""
_LOOKUP = Later(r"\$\{.{0,80}(?:jndi|ldap|rmi|dns)\b.{0,8}://", re.IGNORECASE, needs=("${",))
_PRIVATE = Later(
    r"(?:/(?:etc|proc|sys|dev(?!/(?:null|stdin|stdout|stderr|shm)\b)|boot|root/\.(?!cache)\w*|var/run|run/secrets)(?:/|\Z)"
    r"|(?:~|/home/[^/\s]+|/Users/[^/\s]+|\$\{?HOME\}?)/\.(?!cache/|keras|torch|local/)\w"
    r"|[A-Za-z]:[\\/]+Windows\b).*",
    re.IGNORECASE,
    needs=("/", ":\\"),
)
"""Places of a machine that no model has business in. Caches and homes stand in every configuration."""
_LOADED = Later(
    r"https?://\S+\.(?:pkl|pickle|pt|pth|ckpt|bin|joblib|dill|npy|npz|so|dll|dylib|py|sh|js|mjs|ts|exe|whl|tar|gz|tgz|zip|jar|h5"
    r"|keras|pdparams|faiss|onnx|engine|mar|nemo)(?:[?#]\S*)?",
    re.IGNORECASE,
    needs=("://",),
)
_PLAIN = Later(r"(?:http|ftp)://(?!localhost|127\.|0\.0\.0\.0|\[::1?\])\S+", re.IGNORECASE, needs=("://",))
_SERVES = one_of(
    "base endpoint weights pretrained model checkpoint ckpt source path index mirror proxy lib api backbone"
)
"""Words of keys for where something is loaded from, without encryption."""
_PICKLED = Later(
    r"\.(?:pkl|pickle|joblib|dill|so|dll|dylib|pyd|py|sh|exe|pt|pth|ckpt|bin)\Z", re.IGNORECASE, needs=(".",)
)
_VAGUE = (("dir",), ("path",), ("file",), ("folder",), ("filename",))
_RUN_DATA = one_of(
    "train training val valid validation test eval dataset datasets data output out log logs logging save saved cache "
    "results result best last resume work tmp temp runs run wandb tensorboard images image labels annotations corpus "
    "root"
)
"""Words of keys for the folders of a training run."""
_PAGE = frozenset(
    {"homepage", "license", "documentation", "docs", "repository", "issues", "website", "paper", "schema"}
)
"""Words of keys whose addresses are for people."""

# ── repositories ─────────────────────────────────────────────────────────────────────────────────────────────
_REPOSITORY = Later(
    r"(?!(?:text|image|audio|video|application|multipart|font|model)/)[A-Za-z0-9][\w.\-]{0,95}/[\w.\-]{1,95}",
    needs=("/",),
)
_PART = Later(
    r"(?:.*_)?(?:backbone|tower|vocoder(?:_\w+)?|(?:draft|assistant|teacher|reward|speculative|reference)_model(?:_\w+)?"
    r"|\w+_encoder(?:_(?:name|path|model|repo)\w*)?|(?:index|passages|plugin|extension)_path|\w*repo(?:sitory)?(?:_id)?"
    r"|speculative_config_model|\w+_name_or_path|hf_(?:model|tokenizer)_name|\w+_(?:model|tokenizer)_(?:name|id|path))"
)
"""Keys for a part of a model that lies elsewhere. What a model calls itself is none."""
_OWN = Later(
    r"_?(?:model_|tokenizer_|base_model_)?name_or_path|hub_model_id|push_to_hub\w*|(?:hub|wandb|git|code|source)_repo(?:_id|sitory)?|repo(?:sitory)?(?:_url)?|tokenizer_name"
)
_WITHIN = frozenset({"model", "name", "path", "repo", "id", "repo_id", "pretrained"})
"""Keys that say nothing without the one above them."""
_FILE = Later(r"\.(?:json|txt|model|bin|safetensors|py|yaml|yml|onnx|pt|pth|gguf|csv|npy|md|jinja|xml)\Z", needs=(".",))

# ── what runs ────────────────────────────────────────────────────────────────────────────────────────────────
_PLUGIN = one_of(
    "plugin plugins middleware middlewares callback callbacks hook hooks handler handlers imports extension extensions "
    "entrypoint factory func function functions funcs loader parser cls callable constructor executor reward rewards "
    "strategy processor processors class user_dir"
)
_KERAS = Later(r"(?:tf_)?keras(?:_\w+)?(?:\.\w+)*")
_PROGRAM = one_of("script interpreter executable startup handler plugin wrapper")
_DOTTED = Later(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?:[.:][A-Za-z_]\w*)?|[A-Za-z_][\w.]*:[A-Za-z_]\w*", needs=(".", ":"))
_PLAINLY = Later(
    r"logging\.(?:handlers\.)?[A-Z]\w*|org\.apache\.spark\..*|torch\.(?:float|int|uint|bfloat|complex)\w*|(?:torch\.)?(?:nn|optim)\.\w+"
)
_SCRIPT = Later(r"[^\s:]{1,200}\.(?:pyw?|pyc|sh|bash|bat|cmd|ps1|js|mjs|lua|rb|pl|exe|jar|wasm)(?::\w+)?", needs=(".",))
_NAMES = one_of("type class class_type class_name tool tools _type kind node component chain provider executor")
_NAME = Later(r"[\w.\-]{3,120}")
_LANGUAGE = one_of("python py code shell bash script js javascript lua terminal command cmd powershell pal")
_DOES = one_of("eval exec execute executor execution run runner repl tool node chain interpreter process")
_CLASSES = one_of("type class provider component_type operator module module_name module_path import_path import_name")
_CLASS = Later(r"[a-z_]\w*(?:\.\w+)*\.[A-Z]\w*")
"""A class by its import path."""
_SERVED = one_of("service app application entry entrypoint import_path predict factory wsgi asgi")
_HOLD = one_of("value content default source body")
_CODE_KEYS = one_of("code python script source function func lambda expr expression formula eval body snippet")
_SOURCE = Later(
    r"(?:^|[;\n])\s{0,40}(?:import [A-Za-z_][\w.]*|from [\w.]{1,80} import )[^;\n]{0,200}(?:[;\n]|\Z)"
    r"|(?:^|[;\n=(])\s{0,40}lambda\b[^:\n]{0,80}:|(?:^|\n)\s{0,40}def \w{1,80}\s{0,8}\("
    r"|\brequire\s{0,4}\(\s{0,4}['\"]|\bchild_process\b|\bfunction\s{0,4}\([^)]{0,80}\)\s{0,4}\{|\)\s{0,4}=>"
    r"|\b(?:eval|exec|compile|__import__|getattr)\s{0,4}\(|\b(?:os|subprocess|socket|shutil)\.\w{1,40}\s{0,4}\("
)
_DIRECT = Later(
    r"(?:[\w.\-]{1,80}(?:\[[\w,.\- ]{1,80}\])?\s{0,4}@\s{0,4})(?:git\+|hg\+)?(?:https?|ssh|file)://\S{1,400}|(?:git|hg|svn)\+\w{1,8}://\S{1,400}",
    needs=("://",),
)
_FLAG = Later(r"(?:^|\s)--trust-remote-code\b", needs=("--trust",))
_INDEX = one_of("source sources index indexes registry registries repository repositories channels channel")
"""Words of keys, or of those above them, for where packages come from."""
_SERIALISED = Later(r"langchain\w*(?: [A-Za-z_]\w*){1,12}", needs=("langchain",))
"""How LangChain writes a class whose constructor is called when the object is loaded again."""
_ON = ("true", "yes", "on", "1")
_SOME_COMMAND = one_of("command commands cmd cmds entrypoint cmdline execstart")
_TELLING = _PLUGIN | _PROGRAM | _CODE_KEYS | _SOME_COMMAND | one_of("run shell install tools args arguments")
_TRUST = frozenset(
    {("trust", "remote", "code"), ("allow", "all", "kernels"), ("allow", "dangerous", "deserialization")}
)


def of_json(data: Any, location: Location) -> Iterator[Part]:
    """What the settings of a JSON document point to."""
    yield from _found(of_document(data, _speaks), location, loader=_loader(data))


def of_settings(settings: Iterable[Setting], location: Location, *, lines: bool = True) -> Iterator[Part]:
    """What settings point to; with `lines`, of a file that was read by its lines."""
    yield from _found(settings, location, lines=lines)


def _speaks(key: str) -> bool:
    """Whether a key is for something that runs, so that every text below it is looked at."""
    return not _TELLING.isdisjoint(words_of(key))


def _loader(data: Any) -> bool:
    """Whether a document is one that loaders of models follow, rather than notes of a training run."""
    keys = (
        "model_type",
        "architectures",
        "speculative_config",
        "model_cfg",
        "_class_name",
        "peft_type",
        "tokenizer_class",
        "architecture",
        "modelspec",
    )
    return isinstance(data, dict) and any(key in data for key in (*keys, "index_name", "processor_class"))


def _found(
    settings: Iterable[Setting], location: Location, *, loader: bool = False, lines: bool = False
) -> Iterator[Part]:
    told: set[tuple[str, str]] = set()
    counts: dict[str, int] = {}
    commands: list[str] = []
    for setting in settings:
        if len(setting.value) > _SENTENCE and _PROMPT & set(words_of(setting.key)):
            where = Location(location.file, location.member, setting.offset, setting.path)
            yield Text(location=where, text=setting.value, role="prompt")
        for kind, target in _kinds(setting, loader):
            if kind == "command":
                if any(target in known for known in commands[-20:]):
                    continue  # a part of one that was told
                commands.append(target)
            counts[kind] = counts.get(kind, 0) + 1
            if (kind, target) not in told and (counts[kind] <= _MOST or kind in _WORST):
                told.add((kind, target))
                data = not (_PICKLED.search(target) or _PLUGIN & {setting.key, *words_of(setting.key)})
                if lines and kind == "outside" and data and _UP.fullmatch(target):
                    kind = "aside"
                where = Location(location.file, location.member, setting.offset, setting.path)
                yield Reference(location=where, kind=kind, target=target)


def _kinds(setting: Setting, loader: bool) -> Iterator[tuple[str, str]]:
    value, words = setting.value, words_of(setting.key)
    if _SPECIAL.isdisjoint(value):
        if words[-3:] in _TRUST and value.lower() in _ON:
            yield "trust", "on"
        elif words and (words[-1] in _SOME_COMMAND or setting.key == "()" or setting.key.lower() in _NAMES):
            yield from _runs(setting, value, words)
        return
    if words[-3:] in _TRUST or _FLAG.search(value):
        if value.lower() in _ON or words[-3:] not in _TRUST:
            yield "trust", "on"
    elif steers(setting.key) or setting.above == "weight_map":
        pass  # told with what it is for
    elif place := _place(value, words if words not in _VAGUE else (*words_of(setting.above), *words)):
        yield "outside", place
    elif loader and (target := _elsewhere(setting)):
        yield "repository", target
    if _DIRECT.fullmatch(value):
        yield "dependency", value
    elif value.startswith(("http://", "https://")) and words[-1:] in (("url",), ("registry",), ("links",), ("name",)):
        if _INDEX & {*words, *words_of(setting.above)} and not loader:
            yield "dependency", value
    elif setting.key == "id" and _SERIALISED.fullmatch(value):
        yield "module", value.replace(" ", ".")
    yield from _runs(setting, value, words)


def _place(value: str, words: tuple[str, ...]) -> str:
    """Where a value leads out of the model; "" if it does not."""
    if _RUN_DATA & set(words) or (words[-1:] == ("path",) and "dataset" in value):
        return value if _HOST.fullmatch(value) or (_UP.fullmatch(value) and _PICKLED.search(value)) else ""
    if not any(word.isalpha() for word in words) or (value == ".." and not _FOLLOWED & set(words)):
        return ""  # a token, or a label, of a vocabulary
    if _UP.fullmatch(value) or _HOST.fullmatch(value) or _LOOKUP.search(value):
        return value
    if _PRIVATE.fullmatch(value) and " " not in value.strip():
        return value
    if _LOADED.fullmatch(value) and not _PAGE & set(words):
        return value
    return value if _PLAIN.fullmatch(value) and _SERVES & set(words) else ""


def outside(key: str, value: str) -> bool:
    """Whether whoever follows a setting of this name reads something outside of the model: for what is handed over."""
    if key in _ITSELF or not any(mark in value for mark in "/\\.:"):
        return False
    if not (words := words_of(key)):
        return False
    if words[-1] in _PATHS and key != "file" and _AWAY.match(value):
        return True
    if _FOLLOWED & set(words) and (_UP.fullmatch(value) or _HOST.fullmatch(value)):
        return True
    return bool(_elsewhere(Setting(key, value)))


_ITSELF = frozenset({"_name_or_path", "name_or_path", "model_name_or_path", "base_model_name_or_path"})
"""What a model calls itself, and what it was made from; both are dealt with where they are followed."""
_PATHS = frozenset({"path", "paths", "file", "files", "dir", "folder", "uri", "checkpoint", "ckpt", "weights"})
_FOLLOWED = _PATHS | one_of(
    "url model models repo repository index vocab vocabulary merges source sources config template library lib plugin "
    "location filename folder adapter adapters tokenizer processor encoder decoder backbone data dataset init root "
    "base include import artifact code module script weight pretrained cache"
)
"""Words of keys for what is looked for in files."""
_AWAY = Later(r"[/~\\]|[A-Za-z]:[/\\]|[a-z][a-z0-9+.\-]{1,20}://", re.IGNORECASE)


def _elsewhere(setting: Setting) -> str:
    """The repository, address or folder that a part of a model comes from; "" if none."""
    key = setting.key.lower().replace("-", "_")
    if key in _WITHIN and setting.above:
        key = f"{setting.above.lower().replace('-', '_')}_{key}"
        key = f"{key}_model" if "_model" not in key and key.split("_")[0] in ("speculative", "draft") else key
    if key == "dataset" and _REPOSITORY.fullmatch(setting.value) and "quant" not in setting.above:
        return setting.value
    if not _PART.fullmatch(key) or _OWN.fullmatch(key) or _FILE.search(setting.value):
        return ""
    value = setting.value
    away = value.startswith(("/", "~", "hf:", "hf_hub:", "hf-hub:", "s3:", "gs:", "http:", "https:", "local-dir:"))
    return value if away or _REPOSITORY.fullmatch(value) else ""


def _runs(setting: Setting, value: str, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from safeload.formats.command_lines import is_command

    key = setting.key.lower().replace("-", "_")
    if is_command(value, words):
        yield "command", value
        return
    if key == "()":
        yield "callable", value
    elif (
        not steers(setting.key)
        and (_PLUGIN & set(words) or key in _PLUGIN)
        and not _PLAINLY.fullmatch(value)
        and not _FILE.search(value)
    ):
        if _DOTTED.fullmatch(value):
            yield "plugin", value.replace(":", ".")
        elif _SCRIPT.fullmatch(value):
            yield "component", value
    elif _PROGRAM & set(words) and _SCRIPT.fullmatch(value):
        yield "component", value
    named = _DOTTED if key.startswith(("module", "import_")) else _CLASS
    deep = key == "name" and value.count(".") > 1
    imported = (key in _CLASSES or deep) and named.fullmatch(value) and not _PLAINLY.fullmatch(value)
    imported = imported and not (key == "module" and _KERAS.fullmatch(value))  # judged with the class beside it
    if imported or (key in _SERVED and ":" in value and _DOTTED.fullmatch(value)):
        yield "plugin", value.replace(":", ".")
    if key in _NAMES and _NAME.fullmatch(value):
        called = set(words_of(value.replace(".", "_")))
        if _LANGUAGE & called and _DOES & called:
            yield "component", value
    if _CODE_KEYS & {*words, *(words_of(setting.above) if key in _HOLD else ())} and _SOURCE.search(value):
        yield "mention", value
