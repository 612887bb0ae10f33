"""What is probably not meant in policies about files and hosts. None of it keeps rules from being compiled."""

from collections.abc import Iterator, Sequence

from cedarpy import pst

from gateway.core.kernel.actions import KernelPolicy
from gateway.core.kernel.hosts import is_single, known_host
from gateway.core.kernel.pattern import Pattern, like, literal
from gateway.core.kernel.report import Lint
from gateway.core.kernel.rules import MAX_PATH
from gateway.core.kernel.system_calls import KNOWN
from gateway.core.policy.source import did_you_mean
from gateway.core.policy.syntax import conditions, scope_tests, walk

LINKS = {
    "/bin": "/usr/bin", "/sbin": "/usr/sbin", "/lib": "/usr/lib", "/lib32": "/usr/lib32", "/lib64": "/usr/lib64",
    "/libx32": "/usr/libx32", "/var/run": "/run", "/var/lock": "/run/lock", "/var/spool/mail": "/var/mail",
    "/etc/mtab": "/proc/<pid>/mounts", "/etc/os-release": "/usr/lib/os-release", "/dev/fd": "/proc/<pid>/fd",
    "/dev/stdin": "/proc/<pid>/fd/0", "/dev/stdout": "/proc/<pid>/fd/1", "/dev/stderr": "/proc/<pid>/fd/2",
    "/proc/self": "/proc/<pid>", "/proc/thread-self": "/proc/<pid>/task/<tid>", "/proc/mounts": "/proc/<pid>/mounts",
    "/proc/net": "/proc/<pid>/net",
}  # fmt: skip
"""Symbolic links that most systems have. The kernel sees the path that they lead to."""


def lints(policies: Sequence[KernelPolicy]) -> tuple[Lint, ...]:
    """All lints of the policies' texts, by place."""
    return tuple(sorted({lint for policy in policies for lint in _of(policy)}))


def place_of_text(policy: KernelPolicy, text: str) -> int:
    """The line where the string stands, or the policy's first."""
    return policy.statement.line_of(text)


def inexact(policy: KernelPolicy, host: str) -> Lint:
    """A rule of the policy names a host, which an address alone can't be told by."""
    message = (
        f'"{host}" is a name: the kernel sees addresses, which others may share and which may change; '
        "exact is only what goes through the gateway"
    )
    return Lint(policy.statement.path, place_of_text(policy, host), policy.id, message)


def _of(policy: KernelPolicy) -> Iterator[Lint]:
    def said(text: str, message: str) -> Lint:
        return Lint(policy.statement.path, place_of_text(policy, text), policy.id, message)

    for test in (*scope_tests(policy.tree), *conditions(policy.tree)):
        for expr in walk(test):
            for pattern in _paths(expr):
                for message in _path(pattern, permits=policy.effect == "permit"):
                    yield said(pattern.text(), f'"{pattern.text()}" {message}')
            for host in _compared(expr, "host"):
                for message in _host(host):
                    yield said(host, f'"{host}" {message}')
            for name in _called(expr):
                if name not in KNOWN:
                    yield said(name, f'"{name}" is no system call that is known here{did_you_mean(name, KNOWN)}')


def _paths(expr: pst.Expr) -> Iterator[Pattern]:
    match expr:
        case pst.Like(base=pst.GetAttr(base=pst.Var(name="resource"), attr="path"), pattern=pattern):
            yield like(pattern)
        case pst.EntityLit(value=uid) if str(uid.type) in ("FilePath", "Executable", "Library"):
            yield literal(uid.id)
    yield from map(literal, _compared(expr, "path"))


def _called(expr: pst.Expr) -> Iterator[str]:
    if isinstance(expr, pst.EntityLit) and str(expr.value.type) == "SystemCall":
        yield expr.value.id
    yield from _compared(expr, "name")


def _compared(expr: pst.Expr, attr: str) -> Iterator[str]:
    """The texts that ``resource.<attr>`` is compared with."""
    match expr:
        case pst.BinaryOp(op="eq" | "not_eq", left=left, right=right):
            sides = [(left, right), (right, left)]
        case pst.BinaryOp(op="contains", left=pst.Set(elements=elements), right=right):
            sides = [(right, each) for each in elements]
        case _:
            return
    for one, other in sides:
        match one, other:
            case pst.GetAttr(base=pst.Var(name="resource"), attr=named), pst.StringLit(value=text) if named == attr:
                yield text


def _path(pattern: Pattern, *, permits: bool) -> Iterator[str]:
    text = pattern.text()
    beginning = pattern.parts[0].decode()
    if not text.startswith("/"):
        if text.startswith("*"):
            yield "begins with `*`, so it matches in every directory; begin with the directory that is meant"
        else:
            yield "doesn't begin with `/`, so it matches no path: the kernel sees absolute paths only"
        return
    dots = [part for part in text.split("/")[1:] if part in ("", ".", "..")]
    directory = pattern.literal is None and text.endswith("/")
    if dots and text != "/" and not (dots == [""] and directory):
        yield "has `//`, `.`, `..` or a `/` at its end, so it matches no path: the kernel sees paths without them"
    if len(text.encode()) > MAX_PATH:
        yield f"is longer than {MAX_PATH} bytes, so it matches no path"
    yield from _linked(beginning)
    if permits:
        yield from _siblings(pattern)


def _linked(beginning: str) -> Iterator[str]:
    for link, target in LINKS.items():
        if beginning == link or beginning.startswith(f"{link}/"):
            rest = beginning.removeprefix(link)
            yield f"lies behind the symbolic link {link} on most systems; the kernel sees {target}{rest}"


def _siblings(pattern: Pattern) -> Iterator[str]:
    first, *others = (part.decode() for part in pattern.parts)
    if not others:
        return
    if not first.endswith("/"):
        name = f"{first}evil"
        yield f"matches siblings too: {name}{others[-1]}, and {name}/…{others[-1]}; let a `/` stand before the `*`"
    if others != [""]:
        yield "has a `*` before its end, and `*` matches `/` too: any directories may lie between"


def _host(text: str) -> Iterator[str]:
    host = known_host(text)
    if host is None:
        yield "is neither a name nor an address, so it matches no connection"
    elif not is_single(host):
        yield f"is a network, and a connection has an address: register a destination with host {host.text}, in a set"
    elif host.text != text:
        yield f'matches no connection as it is written; write "{host.text}"'
