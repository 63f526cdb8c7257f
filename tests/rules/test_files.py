"""Containers, stand-ins, programs, configurations and templates: what each makes of a file."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.finding import Finding, Status
from safeload.core.names import Location
from safeload.engine.allowlists import default_allowlist
from safeload.formats.base import Code, Irregularity, Opaque, Part, Reference, Template
from safeload.formats.jinja.lexer import tokens
from safeload.rules import judge
from safeload.rules.base import Context
from tests.rules.streams import findings, rules, status, stream

HERE = Location("file")


def worst(*parts: Part) -> Status:
    return max((finding.status for finding in findings(*parts)), default=Status.SAFE)


def template(text: str) -> list[Finding]:
    return list(findings(Template(location=HERE, text=text)))


# ── unreadable ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [b"\x80", b"\x80\x04]", b"", b"(", b"\x80\x09N.", b"cos\n", b"\x8c\xff.", b"R."])
def test_a_stream_that_does_not_end_is_never_safe(data: bytes) -> None:
    """Whatever breaks a stream makes the file undecided, or worse."""
    assert status(data) >= Status.UNDECIDED


def test_a_payload_before_the_break_is_still_dangerous() -> None:
    """Undecided never outweighs what was seen before the fault."""
    assert status(b"\x80\x04cos\nsystem\nX\x01\x00\x00\x00x\x85R\xff") is Status.DANGEROUS


def test_a_file_without_parts_is_undecided() -> None:
    """Silence of all readers is not a clean bill."""
    (finding,) = judge((), Context(allowlist=default_allowlist()), location=HERE)
    assert finding.status is Status.UNDECIDED
    (finding,) = judge((), Context(allowlist=default_allowlist()))
    assert finding.status is Status.UNDECIDED


def test_a_readers_error_is_a_finding_once() -> None:
    """The error that ended a reading becomes a finding with its place and remedy, and is not said twice."""
    error = MalformedInput("it broke", where=HERE.at(7), why="because", remedy="do this")
    (finding,) = judge((), Context(allowlist=default_allowlist()), fault=error)
    assert (finding.location, finding.remedy) == (HERE.at(7), "do this")
    part = stream(b"\x80\x04]")
    assert len(judge([part], Context(allowlist=default_allowlist()), fault=part.reading.fault)) == 1
    limit = LimitExceeded("members", allowed=1, wanted=2, where="elsewhere")
    (finding,) = judge((), Context(allowlist=default_allowlist()), fault=limit, location=HERE)
    assert "Limits(members=2)" in finding.remedy


# ── containers ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "two", "expected"),
    [
        ("zip-duplicate-name", True, Status.DANGEROUS),
        ("json-duplicate-key", True, Status.DANGEROUS),
        ("zip-traversal-name", False, Status.DANGEROUS),
        ("tar-symlink", False, Status.DANGEROUS),
        ("zip-checksum", False, Status.UNDECIDED),
        ("zip-encrypted", False, Status.UNDECIDED),
        ("nested-too-deep", False, Status.UNDECIDED),
        ("trailing-data", False, Status.UNVERIFIED),
        ("name-disagrees", False, Status.UNVERIFIED),
        ("polyglot", True, Status.DANGEROUS),
        ("nobody-thought-of-this", False, Status.UNVERIFIED),
        ("nobody-thought-of-this", True, Status.DANGEROUS),
    ],
)
def test_an_irregularity_is_never_ignored(kind: str, two: bool, expected: Status) -> None:
    """Each kind counts, also one that nobody thought of; where two readers differ the file is dangerous."""
    assert worst(Irregularity(location=HERE, kind=kind, detail="x", two_readings=two)) is expected


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("git-lfs-pointer", Status.UNDECIDED),
        ("html-page", Status.UNDECIDED),
        ("empty", Status.UNDECIDED),
        ("zeros", Status.UNDECIDED),
        ("torchscript", Status.UNDECIDED),
        ("pt2", Status.UNDECIDED),
        ("unknown", Status.UNDECIDED),
        ("hdf5", Status.UNDECIDED),
        ("nobody-thought-of-this", Status.UNDECIDED),
        ("image", Status.SAFE),
        ("sentencepiece", Status.SAFE),
    ],
)
def test_what_nobody_reads_is_undecided(what: str, expected: Status) -> None:
    """Only content that no loader executes is safe unread."""
    assert worst(Opaque(location=HERE, what=what)) is expected


def test_stand_ins_say_what_to_do() -> None:
    """A pointer asks for `git lfs pull`; no stand-in is called an unknown format as well."""
    (finding,) = findings(Opaque(location=HERE, what="git-lfs-pointer"))
    assert finding.rule == "not-the-file"
    assert "git lfs pull" in finding.remedy


def test_code_is_never_safe() -> None:
    """Source is unverified, code that nobody reads is undecided, in every language there is."""
    assert worst(Code(location=HERE, language="python")) is Status.UNVERIFIED
    assert worst(Code(location=HERE, language="cobol")) is Status.UNVERIFIED
    assert worst(Code(location=HERE, language="native")) is Status.UNDECIDED
    assert worst(Code(location=HERE, language="bytecode")) is Status.UNDECIDED


def test_more_pickles_in_a_row_are_said_once() -> None:
    """Pickles after the first are counted in one note; what they do is judged like the first."""
    parts = (stream(b"N."), stream(b"N.", "trailing"), stream(b"N.", "trailing"))
    (finding,) = findings(*parts)
    assert (finding.rule, finding.status) == ("pickle-trailing", Status.SAFE)
    assert worst(stream(b"N."), stream(b"cos\nsystem\n(tR.", "trailing")) is Status.DANGEROUS
    assert worst(stream(b"N."), stream(b"cos\nsystem\n(tR.", "nested")) is Status.DANGEROUS


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00\x8c\x04name\x94.", Status.DANGEROUS),
        (b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00]\x94.", Status.DANGEROUS),
        (b"\x80\x03ccollections\nOrderedDict\n]R.", Status.DANGEROUS),
        (b"I 1\n.", Status.DANGEROUS),
        (b"\x80\x02\x80\x03].", Status.UNVERIFIED),
        (b"\x80\x02]].", Status.UNVERIFIED),
    ],
    ids=["frame-crossed", "frame-past-end", "arguments", "number", "protocol-again", "leftover"],
)
def test_bytes_that_readers_disagree_about_count(data: bytes, expected: Status) -> None:
    """Where C and Python pickle part ways the file is dangerous; where only no pickler writes it, unverified."""
    assert "pickle-two-readings" in rules(data)
    assert status(data) is expected


WHOLE = {"a": [1, 23, "x" * 40], "b": b"y" * 40, "c": {1.5, None}, "d": OrderedDict(e=-1)}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_broken_download_is_undecided_wherever_it_stops(protocol: int) -> None:
    """A pickle that stops early is damaged, not dangerous: also within a frame, a number or a name."""
    data = pickle.dumps(WHOLE, protocol)
    for size in range(3, len(data)):
        assert status(data[:size]) is Status.UNDECIDED, size


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n\x8c\x04true\x85R",
        b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00]\x94.",  # it has an end: Python returns its value
        b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00\xff",  # … and this stops where bytes are left
        b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00\x8c\x04na",  # crosses its frame, and is cut
        b"cos\nsystem\n(S'true'\ntRI",
        b"I1 \nI",
        b"cos\nsystemx",
        b"cnobody.knows\n__builtins__x",
        b"csubprocess\nPopenx",
    ],
)
def test_what_is_cut_off_hides_nothing_before_it(data: bytes) -> None:
    """What a pickle would do before it stops, and what no interruption explains, is as dangerous as ever."""
    assert status(data) is Status.DANGEROUS


# ── configurations ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("shard", "../x.safetensors", Status.DANGEROUS),
        ("shard", "/etc/passwd", Status.DANGEROUS),
        ("shard", "a/../../x", Status.DANGEROUS),
        ("shard", "a\\..\\x", Status.DANGEROUS),
        ("shard", "C:\\x", Status.DANGEROUS),
        ("weights", "https://example.org/x", Status.DANGEROUS),
        ("config", "~/config.json", Status.DANGEROUS),
        ("shard", "model-00001-of-00002.safetensors", Status.SAFE),
        ("weights", "other.safetensors", Status.SAFE),
        ("code", "modeling.Model", Status.UNVERIFIED),
        ("code", "org/name--modeling.Model", Status.UNVERIFIED),
        ("kernel", "org/kernel", Status.UNVERIFIED),
        ("kernel", "on", Status.UNVERIFIED),
        ("module", "my.package.Layer", Status.UNVERIFIED),
        ("module", "subprocess.Popen", Status.DANGEROUS),
        ("module", "sentence_transformers.models.Pooling", Status.SAFE),
        ("module", "sentence_transformers_evil.Pooling", Status.UNVERIFIED),
        ("module", "BertModel", Status.SAFE),
        ("callable", "torch.get_num_threads", Status.UNVERIFIED),
        ("callable", "torch.nn.modules.activation.Tanh", Status.SAFE),
        ("callable", "os.system", Status.DANGEROUS),
        ("repository", "org/name", Status.UNVERIFIED),
        ("quantization", "gptq", Status.SAFE),
        ("quantization", "mine", Status.UNVERIFIED),
        ("base-model", "org/base", Status.SAFE),
    ],
)
def test_a_reference_is_judged_by_where_it_leads(kind: str, target: str, expected: Status) -> None:
    """Outside of the model is dangerous, code and repositories are unverified, files of the model are fine."""
    assert worst(Reference(location=HERE, kind=kind, target=target)) is expected


# ── templates ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
        "{{ ''['\\137\\137class\\137\\137'] }}",
        "{{ ''['__cla' ~ 'ss__'] }}",
        "{{ ''[['__cla','ss__']|join] }}",
        "{{ x|attr('foo') }}",
        "{{ x | attr(messages[0]) }}",
        "{% set a = cycler.__init__.__globals__ %}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ messages|map(attribute='__class__')|list }}",
        "{{ x.gi_frame.f_globals }}",
        "{% raw %}{# {% endraw %}{{ x.__globals__ }}",
        "{{ '}}' ~ x.__class__ }}",
        "{{ {'a': {'b': x}}.__class__ }}",
        "{#- {{ -#}{{ x.__dict__ }}",
        "{{- x.__class__ -}}",
        "{{ x.__class__",
        "{# never closed {{ x.__class__ }}",
    ],
)
def test_templates_that_escape_are_found(text: str) -> None:
    """Every way to spell an attribute that leads out of a template is dangerous."""
    assert {"template-escape"} == {finding.rule for finding in template(text) if finding.status is Status.DANGEROUS}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text with __class__ and {single} braces",
        "{# a comment about __class__ #}{{ x }}",
        "{% raw %}{{ x.__class__ }}{% endraw %}",
        "{{ '<__media__>' }}{{ messages[0]['content'] }}{{ loop.index0 }}",
        "{%- set ns = namespace(a=true) %}{% for m in messages[::-1] %}{% set ns.a = false %}{% endfor %}",
        "{% if add_generation_prompt is defined and not x %}{{ '<|assistant|>\\n' }}{% endif %}{{ '_' * 40 }}",
        "{% macro render(x, depth=0) %}{{ x | tojson(indent=4) }}{% endmacro %}{{ render({'a': {'b': 1}}) }}",
        "{{ content.split('</think>')[-1].lstrip('\\n') }}{{ strftime_now('%Y-%m-%d') }}{{ raise_exception('no') }}",
        "{% for i in range(0, messages|length, 2) %}{{ i }}{% endfor %}{{ x['attr'] }}{{ x.attr }}",
        "{% generation %}{{ m.content }}{% endgeneration %}",
    ],
)
def test_templates_that_talk_to_models_are_clean(text: str) -> None:
    """What real chat templates do gives no finding at all."""
    assert template(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        "{%- for a in range(1, 99_999_999) -%}x{%- endfor -%}",
        "{{ 'x' * 1000000000 }}",
        "{{ 'x' * (10 ** 9) }}",
        "{{ 'x' * 0xFFFFFFF }}",
        "{{ range(2 ** 9999999)|list }}",
    ],
)
def test_templates_that_loop_are_found(text: str) -> None:
    """Repetitions that no conversation needs leave the template unverified."""
    assert {"template-loop"} == {finding.rule for finding in template(text)}


@pytest.mark.parametrize(
    "text", ["'\\" * 50_000, "{{'" + "\\'" * 50_000, "{{" * 50_000, "{{ " + "(" * 100_000, "{%" + " " * 100_000]
)
def test_hostile_templates_take_linear_time(text: str) -> None:
    """A template made to be slow to read is read in well under a second, and its tokens are bounded by its length."""
    assert sum(1 for _ in tokens(text)) <= 2 * len(text)
    template(text)


def test_very_many_findings_are_counted() -> None:
    """A hundred findings of a rule are listed; the rest are one more, as bad as the worst of them."""
    parts = [Reference(location=HERE, kind="code", target=f"m{i}.C") for i in range(5_000)]
    found = findings(*parts)
    assert len(found) == 101
    assert "4,900 more" in found[-1].message
