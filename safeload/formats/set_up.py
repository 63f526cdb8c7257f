"""Files by which some program sets itself up, told by their names: where it lies is enough for it to be read.

No loader of models opens them. But shells, editors, agents, installers and version control read theirs as soon as they
work in the folder, and every one of them can be told there to run or to fetch something. A file that begins with a dot
is such a file, whatever the program, unless it is known to say only what to leave out.
"""

from __future__ import annotations

import re

from safeload.formats.settings import one_of

_HARMLESS = re.compile(
    r"\.(?:\w*ignore|gitattributes|gitkeep|keep|nojekyll|editorconfig|mailmap|git-blame-ignore-revs|python-version|nvmrc"
    r"|flake8|isort\.cfg|pylintrc|coveragerc|pep8|style\.yapf|clang-format|clang-tidy|yamllint(?:\.ya?ml)?|codespellrc"
    r"|prettierrc(?:\.\w+)?|markdownlint(?:\.\w+)?|cspell\.json|zattrs|zgroup|zarray|zmetadata|metadata|ds_store|locks?"
    r"|[\w.-]*(?:example|sample|template)|huggingface|hydra|cache|part-\w.*|_success.*|_.*|\w+\.crc|\w+\.sw[a-p]|done"
    r"|complete|success|version|lock|initialized|msc|mdl|mv|readthedocs\.ya?ml|gitlab-ci\.ya?ml|travis\.ya?ml"
    r"|pre-commit-config\.ya?ml|pre-commit-hooks\.ya?ml|\d+|codecov\.ya?ml|safetensors|index|ipynb_checkpoints)",
    re.IGNORECASE,
)
"""Names with a dot that set nothing up, or whose commands are told one by one."""
_SETTINGS = re.compile(
    r"(?:pip\.(?:conf|ini)|uv\.toml|netrc|_netrc|crontab|procfile|jupyter_\w*config\.json|extra_model_paths\.ya?ml|condarc"
    r"|pip_conf|distutils\.cfg|pydistutils\.cfg|nuget\.config|sshd?_config|authorized_keys|hosts|sudoers|ld\.so\.preload"
    r"|build(?:\.bazel)?|workspace(?:\.bazel)?|config\.properties|cmd_flags\.txt|autorun\.inf|desktop\.ini"
    r"|[\w.@-]+\.(?:timer|socket|path|mount|automount|target|network|plist|jnlp|tf|hcl|nix|bzl|scm|gdb|lldb|rc|lnk"
    r"|code-workspace|sublime-project|iml|xcconfig|vbproj|csproj|vcxproj|gradle|pom|rdp|library-ms|searchconnector-ms))",
    re.IGNORECASE,
)
_FOLDERS = one_of(
    ".vscode .idea .claude .cursor .windsurf .devcontainer .husky .ssh .aws .kube .docker .cargo .config .vim .emacs.d "
    ".circleci .codex .gemini .continue .aider .zed .vs .ipython .jupyter .bundle .yarn .direnv .mvn"
)
"""Folders of programs: all in them is theirs."""
_INSTRUCTIONS = re.compile(
    r"(?:agents?|claude|gemini|skill|codex|copilot-instructions|conventions|grok|qwen|warp)(?:\.local)?\.md"
    r"|\.(?:cursor|windsurf|cline|roo|goose|augment|trae|continue)(?:rules|hints|-rules)(?:-\w+)?|[\w.-]+\.(?:mdc|prompty)"
    r"|[\w.-]+\.(?:prompt|instructions|chatmode|agent)\.md|llms(?:-full)?\.txt",
    re.IGNORECASE,
)
"""Files that agents take for orders of their user, wherever they find them."""
_DRIVER = re.compile(
    r"(?m)^[^#\n]*\s(?:filter|diff|merge)=(?!lfs\b|text\b|binary\b|union\b|python\b|jupyternotebook\b|ours\b)\w"
)


def sets_up(path: str, head: bytes) -> str:
    """What a file is to a program that works in its folder: `settings`, `instructions`; "" if it is nothing of that."""
    folders, _, name = path.rpartition("/")
    if not head.strip():
        return ""
    if _INSTRUCTIONS.fullmatch(name):
        return "instructions"
    if "/." in f"/{folders}" and not _FOLDERS.isdisjoint(folders.split("/")):
        return "settings"
    if name.startswith("."):
        if name.lower() == ".gitattributes":
            return "settings" if _DRIVER.search(head.decode("utf-8", "replace")) else ""
        return "" if _HARMLESS.fullmatch(name) else "settings"
    return "settings" if _SETTINGS.fullmatch(name) else ""
