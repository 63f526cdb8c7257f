"""Expressions of a template, by Jinja's grammar: operators by climbing, so that only nesting costs stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from safeload.formats.jinja.lexer import Token
from safeload.formats.jinja.nodes import Expr, Fault

DEEPEST = 50
_HIGHEST = 64
"""Of a tree of expressions: what reads it may recurse."""
_BINARY = {
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">=", "in", "not in"), 40),
    **dict.fromkeys(("+", "-"), 50),
    "~": 60,
    **dict.fromkeys(("*", "/", "//", "%"), 70),
    "**": 90,
}
_FLAT = frozenset({"~", "+", "and", "or", "*"})
"""Operators whose chains are one node, because they may be long."""
_AND, _OR, _NOT, _SIGN = 20, 10, 30, 80
_NAMED_CONSTANTS = {
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("none", "None"), None),
}
_BEGINS = frozenset({("operator", "["), ("operator", "{")})
_FOLLOWS = frozenset({".", "[", "(", "|", "is"})
"""What may follow a value and belongs to it."""
_AFTER_TEST = frozenset({"else", "or", "and"})


class Broken(Exception):
    """Never leaves `parser.parse`: it becomes the fault of the tree."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.fault = Fault(why=why, offset=offset)


class Expressions:
    """Reads expressions from a list of tokens. What is wrong is raised as `Broken`."""

    def __init__(self, stream: Sequence[Token], end: int) -> None:
        self.stream, self.at, self.end = stream, 0, Token("eof", "", end)
        self.nesting = 0

    # --- tokens ---

    @property
    def token(self) -> Token:
        try:
            return self.stream[self.at]
        except IndexError:
            return self.end

    def take(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def sees(self, text: str, kind: str = "operator") -> bool:
        token = self.token
        return token.text == text and token.kind == kind

    def accept(self, text: str, kind: str = "operator") -> bool:
        found = self.sees(text, kind)
        self.at += found
        return found

    def expect(self, text: str, kind: str = "operator") -> None:
        if not self.accept(text, kind):
            self.broken(f"{text!r} is missing")

    def broken(self, why: str) -> NoReturn:
        raise Broken(why, self.token.offset)

    def name(self) -> str:
        if self.token.kind != "name":
            self.broken("a name is missing")
        return self.take().text

    def close(self) -> None:
        self.accept(":")  # Jinja lets a tag end like a statement of Python
        if self.token.kind != "end":
            self.broken("more stands here than belongs to this tag")
        self.at += 1

    # --- expressions ---

    def several(self, *, conditional: bool = True) -> Expr:
        """An expression, or several with commas between them."""
        first = self.expression(conditional=conditional)
        if not self.sees(","):
            return first
        items = [first]
        while self.accept(","):
            if (
                self.token.kind == "end"
                or (self.token.kind == "operator" and self.token.text in ")=")
                or self.sees("in", "name")
            ):
                break
            items.append(self.expression(conditional=conditional))
        return made("tuple", first.offset, tuple(items))

    def expression(self, *, conditional: bool = True) -> Expr:
        self.nesting += 1
        if self.nesting > DEEPEST:
            self.broken(f"it nests more than {DEEPEST} deep")
        value = self.operation(0)
        if conditional:
            while self.accept("if", "name"):
                condition = self.operation(0)
                other = self.expression() if self.accept("else", "name") else _none(value.offset)
                value = made("cond", value.offset, (condition, value, other))
        self.nesting -= 1
        return value

    def operator(self) -> tuple[str, int, int]:
        """The operator at hand, its binding, and how many tokens it is; the binding of anything else is 0."""
        token = self.token
        if token.kind == "operator":
            return token.text, _BINARY.get(token.text, 0), 1
        if token.kind == "name":
            if token.text in ("and", "or"):
                return token.text, _AND if token.text == "and" else _OR, 1
            if token.text == "in":
                return "in", _BINARY["in"], 1
            after = self.stream[self.at + 1] if self.at + 1 < len(self.stream) else self.end
            if token.text == "not" and (after.kind, after.text) == ("name", "in"):
                return "not in", _BINARY["not in"], 2
        return "", 0, 0

    def operation(self, least: int) -> Expr:
        """Operators that bind tighter than `least`, by climbing."""
        left = self.prefix(least)
        while True:
            text, binding, width = self.operator()
            if not binding or binding <= least:
                return left
            self.at += width
            operands = [left, self.deeper(binding)]
            while text in _FLAT and self.operator()[0] == text:
                self.at += width
                operands.append(self.deeper(binding))
            left = made("binary", left.offset, tuple(operands), value=text)

    def deeper(self, binding: int) -> Expr:
        self.nesting += 1
        if self.nesting > DEEPEST:
            self.broken(f"it nests more than {DEEPEST} deep")
        value = self.operation(binding)
        self.nesting -= 1
        return value

    def prefix(self, least: int) -> Expr:
        token = self.token
        # Behind an operator that binds tighter, `not` is a name, as in Jinja.
        if least <= _NOT and self.accept("not", "name"):
            return made("unary", token.offset, (self.deeper(_NOT),), value="not")
        if token.kind == "operator" and token.text in "+-" and token.text:
            self.at += 1
            # As in Jinja, a sign binds tighter than `**`, and filters apply to what it gives.
            return self.postfix(made("unary", token.offset, (self.deeper(_SIGN + 15),), value=token.text), signed=True)
        return self.postfix(self.primary())

    def primary(self) -> Expr:
        token = self.take()
        if token.kind == "name":
            if token.text in _NAMED_CONSTANTS:
                return Expr(kind="const", offset=token.offset, value=_NAMED_CONSTANTS[token.text])
            return Expr(kind="name", offset=token.offset, value=token.text)
        if token.kind == "string":
            pieces = [token.text]
            while self.token.kind == "string":
                pieces.append(self.take().text)
            return Expr(kind="const", offset=token.offset, value="".join(pieces))
        if token.kind == "number":
            return Expr(kind="const", offset=token.offset, value=number(token.text))
        if token.kind == "operator" and token.text == "(":
            if self.accept(")"):
                return Expr(kind="tuple", offset=token.offset)
            inner = self.several()
            self.expect(")")
            return inner
        if token.kind == "operator" and token.text == "[":
            return made("list", token.offset, self.items("]"))
        if token.kind == "operator" and token.text == "{":
            return made("dict", token.offset, self.items("}", pairs=True))
        self.at -= 1
        self.broken("an expression is missing")

    def items(self, end: str, *, pairs: bool = False) -> tuple[Expr, ...]:
        found: list[Expr] = []
        while not self.accept(end):
            if found:
                self.expect(",")
                if self.accept(end):
                    break
            found.append(self.expression())
            if pairs:
                self.expect(":")
                found.append(self.expression())
        return tuple(found)

    def postfix(self, value: Expr, *, signed: bool = False) -> Expr:
        """Attributes, subscripts, calls, filters and tests, in any number."""
        while True:
            token = self.token
            if token.text not in _FOLLOWS:
                return value
            if not signed and self.accept("."):
                inner = self.take()
                if inner.kind not in ("name", "number"):
                    self.broken("a name is missing")
                value = made("attr", inner.offset, (value,), value=inner.text)
            elif not signed and self.accept("["):
                value = made("item", token.offset, (value, self.subscript()))
            elif not signed and self.sees("("):
                value = self.call(value)
            elif self.accept("|"):
                value = self.filter(value)
            elif self.accept("is", "name"):
                value = self.test(value)
            else:
                return value

    def subscript(self) -> Expr:
        offset = self.token.offset
        items: list[Expr] = []
        while not self.accept("]"):
            if items:
                self.expect(",")
            items.append(self.one_subscript())
        return items[0] if len(items) == 1 else made("tuple", offset, tuple(items))

    def one_subscript(self) -> Expr:
        offset = self.token.offset
        bounds: list[Expr] = []
        colons = 0
        while colons < 3:
            empty = self.sees(":") or self.sees("]") or self.sees(",")
            bounds.append(_none(offset) if empty else self.expression())
            if not self.accept(":"):
                break
            colons += 1
        if not colons:
            return bounds[0]
        bounds += [_none(offset)] * (3 - len(bounds))
        return made("slice", offset, tuple(bounds[:3]))

    def call(self, callee: Expr) -> Expr:
        offset = self.token.offset
        arguments, named = self.arguments()
        return made("call", offset, (callee, *arguments), named=named)

    def arguments(self) -> tuple[tuple[Expr, ...], tuple[tuple[str, Expr], ...]]:
        self.expect("(")
        found: list[Expr] = []
        named: list[tuple[str, Expr]] = []
        while not self.accept(")"):
            if found or named:
                self.expect(",")
                if self.accept(")"):
                    break
            token = self.token
            after = self.stream[self.at + 1] if self.at + 1 < len(self.stream) else self.end
            if self.accept("*") or self.accept("**"):
                found.append(made("rest", token.offset, (self.expression(),)))
            elif token.kind == "name" and (after.kind, after.text) == ("operator", "="):
                self.at += 2
                named.append((token.text, self.expression()))
            else:
                found.append(self.expression())
        return tuple(found), tuple(named)

    def filter(self, value: Expr) -> Expr:
        offset, name = self.token.offset, self.dotted()
        arguments, named = self.arguments() if self.sees("(") else ((), ())
        return made("filter", offset, (value, *arguments), value=name, named=named)

    def test(self, value: Expr) -> Expr:
        negated = self.accept("not", "name")
        offset, name = self.token.offset, self.dotted()
        arguments: tuple[Expr, ...] = ()
        named: tuple[tuple[str, Expr], ...] = ()
        token = self.token
        if self.sees("("):
            arguments, named = self.arguments()
        elif self.sees("is", "name"):
            self.broken("a test cannot follow a test")
        elif token.kind in ("string", "number") or (token.kind, token.text) in _BEGINS or self.names_argument():
            arguments = (self.bare(),)
        found = made("test", offset, (value, *arguments), value=name, named=named)
        return made("unary", offset, (found,), value="not") if negated else found

    def names_argument(self) -> bool:
        return self.token.kind == "name" and self.token.text not in _AFTER_TEST

    def bare(self) -> Expr:
        """The argument of a test without parentheses: a primary with its attributes, and no filter."""
        value = self.primary()
        while self.sees(".") or self.sees("[") or self.sees("("):
            if self.accept("."):
                value = made("attr", self.token.offset, (value,), value=self.take().text)
            elif self.accept("["):
                value = made("item", self.token.offset, (value, self.subscript()))
            else:
                value = self.call(value)
        return value

    def dotted(self) -> str:
        name = self.name()
        while self.accept("."):
            name += f".{self.name()}"
        return name


def made(
    kind: str,
    offset: int,
    of: tuple[Expr, ...],
    *,
    value: object = None,
    named: tuple[tuple[str, Expr], ...] = (),
) -> Expr:
    depth = 1 + max((item.depth for item in (*of, *(value for _, value in named))), default=0)
    if depth > _HIGHEST:
        raise Broken(f"an expression nests more than {_HIGHEST} deep", offset)
    return Expr(kind=kind, offset=offset, value=value, of=of, named=named, depth=depth)


def _none(offset: int) -> Expr:
    return Expr(kind="const", offset=offset)


_LONGEST_NUMBER = 40


def number(text: str) -> int | float:
    """What a number literal stands for; one too long to be meant is taken for a very large one."""
    text = text.replace("_", "").lower()
    if len(text) > _LONGEST_NUMBER:
        return 10**18
    if text[:2] in ("0x", "0o", "0b"):
        return int(text, 0) if len(text) > 2 else 0
    return float(text) if "." in text or "e" in text else int(text)
