"""What a small Hub holds: accounts, repositories with their commits, stored files, and faults."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

LFS_SUFFIXES = (".safetensors", ".parquet", ".bin")


@dataclass(frozen=True)
class Account:
    """Whose a token is, and what it may do: ``read``, ``write`` or ``fineGrained``."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()
    scoped: tuple[dict[str, object], ...] = ()

    def may_write(self, repo_id: str) -> bool:
        owner = repo_id.partition("/")[0]
        if self.role == "fineGrained":
            names = (scope["entity"]["name"] for scope in self.scoped)  # type: ignore[index]
            return owner in names or repo_id in names
        return self.role == "write" and owner in (self.name, *self.orgs)


@dataclass
class Repo:
    """A repository: every commit's files, and the one that ``main`` names."""

    kind: str
    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    lfs: set[str] = field(default_factory=set)

    def commit(self, files: dict[str, bytes]) -> str:
        text = repr((self.kind, self.name, len(self.order), sorted(files)))
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = dict(files)
        self.order.append(sha)
        return sha

    def resolve(self, revision: str) -> str | None:
        """Return the commit that a revision names; short ones and tags there are none."""
        if revision in ("main", "HEAD"):
            return self.order[-1]
        return revision if revision in self.commits else None

    @property
    def head(self) -> dict[str, bytes]:
        return self.commits[self.order[-1]]

    def is_lfs(self, path: str) -> bool:
        return path in self.lfs or path.endswith(LFS_SUFFIXES)


@dataclass
class Fault:
    """What goes wrong with a call, and how often.

    Args:
        call: ``whoami``, ``create``, ``auth-check``, ``validate``, ``preupload``, ``batch``,
            ``put``, ``verify``, ``commit``, ``info``, ``tree``, ``resolve`` or ``fetch``.
        status: Answered instead; 0 for none.
        cut: ``before`` or ``after`` the effect, the connection is cut; or not at all.
        delay_s: Before anything else.
        times: How often.
        headers: Of the answer.
        message: Of the answer.
        skip: So many calls go well first.
    """

    call: str
    status: int = 0
    cut: str = ""
    delay_s: float = 0.0
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "a fault on demand"
    skip: int = 0


class State:
    """Everything a small Hub holds; tests read and change it."""

    def __init__(self) -> None:
        self.url = self.storage_url = ""
        self.accounts: dict[str, Account] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.paths: list[str] = []
        self.sent = 0
        self.xet = False  # whether large files go by Xet, whose storage is down

    def add(
        self, name: str, files: dict[str, bytes], kind: str = "models", **options: bool
    ) -> Repo:
        """Make a repository with a first commit of files."""
        repo = Repo(kind, name, **options)
        repo.commit({".gitattributes": b"*.safetensors filter=lfs\n", **files})
        self.repos[kind, name] = repo
        for path, content in files.items():
            if repo.is_lfs(path):
                self.stored[hashlib.sha256(content).hexdigest()] = content
        return repo

    def take_fault(self, call: str) -> Fault | None:
        """Return the fault that is due, counting it down."""
        for fault in self.faults:
            if fault.call == call and fault.times:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


def git_sha1(content: bytes) -> str:
    """Return the id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
