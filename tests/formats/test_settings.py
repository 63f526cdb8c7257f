"""Settings of any language are found, whatever else stands there, and in time that grows with the text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.names import Location
from safeload.formats import command_lines, pointers
from safeload.formats.command_lines import is_command
from safeload.formats.pointers import of_json, of_settings, outside
from safeload.formats.set_up import sets_up
from safeload.formats.settings import of_document, of_lines, words_of
from safeload.later import Later
from tests.effort import lines

HERE = Location("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("command: bash -c id\n", ("command", "bash -c id")),
        ('command = "bash -c id"  # x\n', ("command", "bash -c id")),
        ("- command: 'bash -c id'\n", ("command", "bash -c id")),
        ('a: {command: "bash -c id", b: c}\n', ("command", "bash -c id")),
        ("command:\n  - bash -c id\n", ("command", "bash -c id")),
        ("command: >-\n  bash -c id\n", ("command", "bash -c id")),
        ("export PATH_X=../x\n", ("PATH_X", "../x")),
        ("command: [bash, '-c', \"id x\"]\n", ("command", "bash -c id x")),
        ("command: !shell bash -c id\n", ("command", "bash -c id")),
        ('"comm\\u0061nd": x y\n', ("command", "x y")),
        ("ExecStart=/bin/sh -c id\r\n", ("ExecStart", "/bin/sh -c id")),
    ],
)
def test_settings_are_read_from_lines(text: str, expected: tuple[str, str]) -> None:
    """YAML in block and flow style, TOML, INI, units, dotenv."""
    assert expected in [(one.key, one.value) for one in of_lines(text)]


@pytest.mark.parametrize("text", ["# command: x\n", "; command = x\n", "// command: x\n", "\n\n", "   "])
def test_comments_are_no_settings(text: str) -> None:
    """Nothing is read from them."""
    assert list(of_lines(text)) == []


def test_settings_of_a_document_have_their_path() -> None:
    """Each text is told with its key, the key above, and where it stands."""
    (one,) = of_document({"a": [{"b": {"c": "d"}}]})
    assert (one.key, one.above, one.path, one.value) == ("c", "b", "a[0].b.c", "d")


def test_keys_are_cut_into_words() -> None:
    """However they are written."""
    for key in ("preLaunchTask", "pre_launch_task", "pre-launch-task", "PRE_LAUNCH_TASK"):
        assert words_of(key) == ("pre", "launch", "task")


@given(st.text(max_size=400))
def test_any_text_gives_settings(text: str) -> None:
    """Reading lines never fails, and all that is told can be told."""
    list(of_settings(of_lines(text), HERE))


@given(
    st.recursive(
        st.none() | st.text(max_size=40) | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=9), x),
    )
)
def test_any_document_gives_settings(document: Any) -> None:
    """Walking a document never fails."""
    list(of_json(document, HERE))


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_key_does_not_make_a_command_of_nothing(key: str, value: str) -> None:
    """An empty value is no command, and none is changed by blanks around it."""
    words = words_of(key)
    assert not is_command("  ", words)
    assert is_command(value, words) == is_command(f" {value.strip()} ", words)


@given(st.text(alphabet="abcdefgh_", min_size=1, max_size=12), st.text(alphabet="abcxyz0123456789_-", max_size=20))
def test_a_plain_word_leads_nowhere(key: str, value: str) -> None:
    """Without a slash, a colon or dots no setting is taken out of what is handed over."""
    assert not outside(key, value)


@pytest.mark.parametrize(
    "sentence",
    [
        "cat sat on the mat", "open the door", "find all cats", "Run the tests before you commit", "node 1 failed",
        "python is a language", "a|b|sh", "bash|sh|zsh", "text <|python|> text", "curl is a tool", "env", "git",
        "Make sure to test; then go on",
    ],
)  # fmt: skip
def test_sentences_are_no_commands(sentence: str) -> None:
    """A text counts by itself only if it goes on as a command does."""
    assert not is_command(sentence, ("text",))


@pytest.mark.parametrize(
    "path", [".gitignore", ".gitkeep", "config.json", "x/.cache/huggingface/.gitignore", "README.md"]
)
def test_what_every_model_has_sets_nothing_up(path: str) -> None:
    """Lists of what to leave out, and empty files."""
    assert sets_up(path, b"x") == ""
    assert sets_up(".bashrc", b" \n") == ""


@pytest.mark.parametrize(
    "unit", ["command: curl x | sh\n", "a: {b: c, ", "- " * 40, '"\\', "../", "[", "a = curl ", "${jndi:"]
)
def test_the_effort_grows_with_the_text(unit: str) -> None:
    """Twice the text is twice the work, also where every character could begin something."""
    few, many = (lines(lambda n=n: list(of_settings(of_lines(unit * n), HERE))) for n in (500, 1_000))
    assert many < 2.5 * few + 2_000


def test_the_effort_grows_with_the_document() -> None:
    """Twice the paths are twice the work."""
    few, many = (lines(lambda n=n: list(of_json({"a": ["../x"] * n}, HERE))) for n in (400, 800))
    assert many < 2.5 * few + 2_000


def test_a_deep_document_is_read_without_recursion() -> None:
    """Its depth costs nothing but itself."""
    document = json.loads('{"a":' * 900 + '"../x"' + "}" * 900)
    assert [part.target for part in of_json(document, HERE)] == ["../x"]  # type: ignore[attr-defined]


WORDS = [f"word{number} and" for number in range(5_000)]


@pytest.mark.parametrize("kind", ["texts", "pairs", "scores"])
@pytest.mark.parametrize("place", [0, 2_500, 5_000])
def test_what_hides_among_the_words_of_a_vocabulary_is_found(kind: str, place: int) -> None:
    """Wherever it stands in a list of any length, as a text, in a pair of a merge, or beside a score."""
    words: list[Any] = list(WORDS)
    words.insert(place, "../../etc/passwd")
    if kind == "pairs":
        words = [word.split(" ") for word in words]
    elif kind == "scores":
        words = [[word, -1.5] for word in words]
    found = [one for one in of_json({"model": {"type": "BPE", "vocab_path": words}}, HERE) if one.kind == "outside"]  # type: ignore[attr-defined]
    assert [one.target for one in found] == ["../../etc/passwd"]  # type: ignore[attr-defined]


def test_a_list_for_what_runs_is_no_vocabulary() -> None:
    """However long it is, each of its texts is looked at."""
    found = list(of_json({"plugins": [*WORDS, "evil.module"]}, HERE))
    assert [one.target for one in found] == ["evil.module"]  # type: ignore[attr-defined]


def test_words_of_a_vocabulary_cost_little() -> None:
    """No line of ours for each that is more than putting them together."""
    small, large = ({"model": {"merges": [word.split(" ") for word in WORDS[:count]]}} for count in (2_000, 4_000))
    of_small, of_large = (lines(lambda data=data: list(of_json(data, HERE))) for data in (small, large))
    assert of_large - of_small < 16 * 2_000


def test_the_file_of_many_weights_is_told_once() -> None:
    """A sharded model has a hundred thousand names and few files; what else stands there is told as well."""
    weights = {f"layers.{number}.weight": f"model-{number % 3}.safetensors" for number in range(3_000)}
    told = [one.value for one in of_document({"weight_map": {**weights, "x": {"command": "bash -c id"}}})]
    assert sorted(told) == ["bash -c id", *(f"model-{number}.safetensors" for number in range(3))]


LATER = {
    f"{module.__name__}.{name}": pattern
    for module in (pointers, command_lines)
    for name, pattern in vars(module).items()
    if isinstance(pattern, Later)
}
SIGNS = (
    r". / : ; | & ( < $ \ @ - _ ~ a 1 .. :// http bash curl python file ${jndi /etc C:\Windows evil iex IeX git+https"
)
MORE = "langchain x", ".pkl", ".so", "--trust-remote-code", "sh -c", "/bin/", "/dev/tcp/", "\u3000", " ", "\n"
PARTS = st.sampled_from([*SIGNS.split(), *MORE])


@given(st.lists(PARTS, max_size=8).map("".join))
def test_what_a_pattern_needs_is_in_all_that_it_matches(text: str) -> None:
    """Looking for that first changes no answer."""
    for name, pattern in LATER.items():
        for how in ("match", "fullmatch", "search"):
            plain = getattr(pattern.compiled, how)(text) is not None
            assert (getattr(pattern, how)(text) is not None) is plain, (name, how)


@given(st.lists(PARTS, max_size=8).map("".join))
def test_a_command_has_more_than_one_word(text: str) -> None:
    """So that one word alone is not searched."""
    if command_lines._BEGINS.match(text.strip()):
        assert len(text.split(None, 1)) > 1
