"""From tokens to a tree, by Jinja's grammar with the extensions that transformers turns on.

Total: any text gives the statements that could be read and, where something is wrong, the first fault. Expressions
nest at most `expressions.DEEPEST` deep; statements wait on a list, so that their nesting costs no stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from safeload.formats.jinja.expressions import Broken, Expressions, made
from safeload.formats.jinja.lexer import Token, tokens
from safeload.formats.jinja.nodes import Expr, Fault, Stmt

LARGEST = 1 << 17
"""Characters of a template that is read; the longest we know has 20,000."""
MOST = 100_000
"""Tokens of a template that are read; the longest we know has 6,000."""
_DEEPEST = 100
"""Tags within each other. Jinja makes Python of them, which is indented no deeper."""
_BODIES = frozenset({"for", "if", "macro", "call", "filter", "block", "with", "generation", "autoescape"})
_LOADS = frozenset({"include", "import", "from", "extends"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A template: its statements, and why they are not all there is."""

    body: tuple[Stmt, ...]
    fault: Fault | None = None
    code: tuple[Token, ...] = ()
    """Every token but text, as far as any were read."""


def parse(template: str, most: int = MOST) -> Tree:
    """Read a template, but no more than so many tokens of it, and none of one that is too long."""
    stream = list(islice(tokens(template[:LARGEST], text=True), most + 1))
    code = tuple(token for token in stream if token.kind != "text")
    if len(template) > LARGEST:
        why = f"it has {len(template):,} characters, which is no template"
        return Tree(body=(), fault=Fault(why=why, offset=0), code=code)
    if len(stream) > most:
        why = f"it holds more than {most:,} words and signs of code, with the file's templates before it"
        return Tree(body=(), fault=Fault(why=why, offset=stream[-1].offset), code=code)
    top = Stmt(kind="template", offset=0, body=[], branches=[])
    parser = _Parser(stream, len(template))
    try:
        parser.statements(top)
    except Broken as broken:
        return Tree(body=tuple(top.body), fault=broken.fault, code=code)
    return Tree(body=tuple(top.body), code=code)


class _Parser(Expressions):
    def statements(self, top: Stmt) -> None:
        """Every statement. `waiting` holds the tags that are not closed yet, each with the body being filled."""
        waiting: list[tuple[Stmt, list[Stmt]]] = [(top, top.body)]
        while self.token.kind != "eof":
            token = self.take()
            body = waiting[-1][1]
            if token.kind == "text":
                body.append(_stmt("text", token.offset, value=token.text))
            elif token.kind == "begin" and token.text == "{{":
                body.append(_stmt("output", token.offset, exprs=(self.several(),)))
                if self.take().kind != "end":
                    raise Broken("more stands here than one expression", token.offset)
            elif token.kind == "begin" and token.text == "{%":
                self.tag(token.offset, waiting)
            else:
                raise Broken("a comment or a tag never ends", token.offset)
        if len(waiting) > 1:
            raise Broken(f"{waiting[-1][0].kind!r} is never closed", waiting[-1][0].offset)

    def tag(self, offset: int, waiting: list[tuple[Stmt, list[Stmt]]]) -> None:
        word = self.name()
        open_tag = waiting[-1][0]
        if word.startswith("end"):
            if word != f"end{open_tag.kind}":
                raise Broken(f"{word!r} closes nothing", offset)
            if self.token.kind == "name" and word in ("endblock",):
                self.at += 1
            waiting.pop()
        elif word in ("elif", "else"):
            self.otherwise(word, offset, waiting)
        else:
            statement = _stmt(word, offset)
            self.fill(statement)
            waiting[-1][1].append(statement)
            if word in _BODIES or (word == "set" and statement.value == "block"):
                first = statement.branches[0][1] if word == "if" else statement.body
                if len(waiting) > _DEEPEST:
                    raise Broken(f"tags stand within each other more than {_DEEPEST} deep", offset)
                waiting.append((statement, first))
        self.close()

    def otherwise(self, word: str, offset: int, waiting: list[tuple[Stmt, list[Stmt]]]) -> None:
        open_tag = waiting[-1][0]
        done = bool(open_tag.branches) and open_tag.branches[-1][0] is None
        if open_tag.kind not in ("if", "for") or done or (word == "elif" and open_tag.kind == "for"):
            raise Broken(f"{word!r} belongs to nothing", offset)
        condition = self.several() if word == "elif" else None
        open_tag.branches.append((condition, []))
        waiting[-1] = (open_tag, open_tag.branches[-1][1])

    def fill(self, statement: Stmt) -> None:
        """Read what stands in a tag after its name."""
        word = statement.kind
        if word in _READERS:
            _READERS[word](self, statement)
        elif word in _LOADS:
            self.loads(statement)
        elif word not in ("generation", "break", "continue"):
            raise Broken(f"there is no tag {word[:40]!r}", statement.offset)

    def tag_if(self, statement: Stmt) -> None:
        statement.branches.append((self.several(), []))

    def tag_for(self, statement: Stmt) -> None:
        statement.targets = self.targets()
        self.expect("in", "name")
        looped = [self.several(conditional=False)]
        if self.accept("if", "name"):
            looped.append(self.expression())
        statement.exprs, statement.value = tuple(looped), self.accept("recursive", "name")

    def tag_set(self, statement: Stmt) -> None:
        statement.targets = self.targets()
        if self.accept("="):
            statement.exprs = (self.several(),)
        else:
            statement.value = "block"
            statement.exprs = self.filters()

    def tag_filter(self, statement: Stmt) -> None:
        self.at -= 1  # the filter's own name follows, as if after a bar
        statement.exprs = self.filters(first=True)

    def filters(self, *, first: bool = False) -> tuple[Expr, ...]:
        """The filters of a block, applied to what it renders."""
        value = Expr(kind="name", offset=self.token.offset, value="(block)")
        self.at += first
        while first or self.sees("|"):
            self.at += not first
            first = False
            value = self.filter(value)
        return (value,) if value.kind == "filter" else ()

    def tag_macro(self, statement: Stmt) -> None:
        statement.value = self.name()
        statement.targets, statement.exprs = self.signature()

    def tag_call(self, statement: Stmt) -> None:
        if self.sees("("):
            statement.targets, defaults = self.signature()
            statement.exprs = (self.expression(), *defaults)
        else:
            statement.exprs = (self.expression(),)

    def signature(self) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
        self.expect("(")
        targets: list[Expr] = []
        defaults: list[Expr] = []
        while not self.accept(")"):
            if targets:
                self.expect(",")
                if self.accept(")"):
                    break
            offset = self.token.offset
            targets.append(Expr(kind="name", offset=offset, value=self.name()))
            if self.accept("="):
                value = self.expression()
                defaults.append(made("const-for", offset, (value,), value=targets[-1].value))
        return tuple(targets), tuple(defaults)

    def tag_block(self, statement: Stmt) -> None:
        statement.value = self.name()
        while self.token.kind == "name" and self.token.text in ("scoped", "required"):
            self.at += 1

    def tag_with(self, statement: Stmt) -> None:
        targets: list[Expr] = []
        values: list[Expr] = []
        while self.token.kind != "end":
            if targets:
                self.expect(",")
            targets += self.targets(one=True)
            self.expect("=")
            values.append(self.expression())
        statement.targets, statement.exprs = tuple(targets), tuple(values)

    def tag_do(self, statement: Stmt) -> None:
        statement.exprs = (self.several(),)

    def tag_autoescape(self, statement: Stmt) -> None:
        statement.exprs = (self.expression(),)

    def loads(self, statement: Stmt) -> None:
        """`include`, `import`, `from`, `extends`: the template; whatever else they say decides nothing."""
        statement.exprs = (self.expression(),)
        while self.token.kind not in ("end", "eof", "begin", "text"):
            self.at += 1

    def targets(self, *, one: bool = False) -> tuple[Expr, ...]:
        """Names to assign to, attributes of namespaces among them; nested ones are flattened."""
        found: list[Expr] = []
        level = 0
        while True:
            if self.accept("("):
                level += 1
                continue
            token = self.token
            target = Expr(kind="name", offset=token.offset, value=self.name())
            while self.accept("."):
                target = made("attr", token.offset, (target,), value=self.name())
            found.append(target)
            while level and self.accept(")"):
                level -= 1
            if one or not self.accept(","):
                break
            if (self.token.kind, self.token.text) in (("operator", "="), ("name", "in")):
                break
            while level and self.accept(")"):
                level -= 1
        return tuple(found)


_READERS: Mapping[str, Callable[[_Parser, Stmt], None]] = {
    "if": _Parser.tag_if,
    "for": _Parser.tag_for,
    "set": _Parser.tag_set,
    "filter": _Parser.tag_filter,
    "macro": _Parser.tag_macro,
    "call": _Parser.tag_call,
    "block": _Parser.tag_block,
    "with": _Parser.tag_with,
    "do": _Parser.tag_do,
    "autoescape": _Parser.tag_autoescape,
}
"""How each tag that says more than its name is read."""


def _stmt(kind: str, offset: int, *, value: object = None, exprs: tuple[Expr, ...] = ()) -> Stmt:
    return Stmt(kind=kind, offset=offset, value=value, exprs=exprs, body=[], branches=[])
