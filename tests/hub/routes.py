"""The calls that huggingface_hub makes, and what the small Hub answers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml

from tests.hub.request import Refused, Reply, Request
from tests.hub.state import Repo, git_sha1


def whoami(request: Request) -> Any:
    account = request.account()
    if account is None:
        raise Refused(401, "Unauthorized")
    token = {"displayName": "test", "role": account.role}
    if account.role == "fineGrained":
        token["fineGrained"] = {"scoped": list(account.scoped), "global": []}  # type: ignore[assignment]
    orgs = [{"name": org, "roleInOrg": "write"} for org in account.orgs]
    return {"name": account.name, "type": "user", "orgs": orgs, "auth": {"accessToken": token}}


def create(request: Request) -> Any:
    asked, account = request.json, request.account()
    if account is None:
        raise Refused(401, "Unauthorized")
    name = f"{asked.get('organization') or account.name}/{asked['name']}"
    kind = f"{asked.get('type') or 'model'}s"
    if not account.may_write(name):
        raise Refused(403, "You don't have the rights to create a model under this namespace")
    url = f"{request.hub.url}/{name}"
    if (kind, name) in request.hub.repos:
        body = {"error": "You already created this model repo", "url": url}
        return Reply(409, json.dumps(body).encode())
    request.hub.add(name, {}, kind, private=asked.get("visibility") == "private")
    return {"url": url, "name": name}


def validate(request: Request) -> Any:
    found = re.match(r"---\n(.*?)\n---\n", request.json["content"], re.DOTALL)
    errors = []
    try:
        data = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError as error:
        data, errors = {}, [{"message": f"YAML: {error}"}]
    texts = ("library_name", "pipeline_tag", "license", "base_model", "base_model_relation")
    lists = ("tags", "datasets", "metrics")
    errors += [{"message": f'"{key}" must be a string'} for key in texts if not _is(data, key, str)]
    errors += [
        {"message": f'"{key}" must be an array'} for key in lists if not _is(data, key, list)
    ]
    for model in data.get("model-index", []):
        if not isinstance(model.get("name"), str):
            errors.append({"message": '"model-index[0].name" must be a string'})
        for result in model["results"]:
            if not all(isinstance(result["dataset"].get(key), str) for key in ("name", "type")):
                errors.append({"message": '"dataset.name" and "dataset.type" must be strings'})
    body = json.dumps({"errors": errors, "warnings": []}).encode()
    return Reply(400 if errors else 200, body)


def _is(data: dict[str, Any], key: str, kind: type) -> bool:
    return key not in data or isinstance(data[key], kind)


def auth_check(request: Request, kind: str, name: str, write: str | None) -> Any:
    request.repo(kind, name, write=bool(write))
    return {}


def preupload(request: Request, kind: str, name: str, _revision: str) -> Any:
    repo = request.repo(kind, name, write=True)
    answers = []
    for file in request.json["files"]:
        path = file["path"]
        is_lfs = repo.is_lfs(path)
        one = {"path": path, "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
        if path in repo.head:
            content = repo.head[path]
            one["oid"] = hashlib.sha256(content).hexdigest() if is_lfs else git_sha1(content)
        answers.append(one)
    return {"files": answers}


def batch(request: Request, kind: str, name: str) -> Any:
    request.repo(_kind(kind), name, write=True)
    hub, answers = request.hub, []
    for item in request.json["objects"]:
        answer = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in hub.stored:
            verify = f"{hub.url}/{kind or ''}{name}.git/info/lfs/verify"
            upload = {"href": f"{hub.storage_url}/store/{item['oid']}", "header": {}}
            answer["actions"] = {"upload": upload, "verify": {"href": verify, "header": {}}}
        answers.append(answer)
    return {"transfer": "xet" if hub.xet else "basic", "objects": answers}


def xet_token(request: Request, kind: str, name: str, _revision: str) -> Any:
    request.repo(kind, name, write=True)
    cas, end = request.hub.storage_url, int(time.time()) + 3600
    body = json.dumps({"casUrl": cas, "accessToken": "xet", "exp": end}).encode()
    names = ("Cas-Url", "Access-Token", "Token-Expiration")
    headers = {f"X-Xet-{n}": v for n, v in zip(names, (cas, "xet", str(end)), strict=True)}
    return Reply(200, body, headers)


def xet(request: Request, _path: str) -> Any:
    raise Refused(503, "the storage is down")


def verify(request: Request, kind: str, name: str) -> Any:
    request.repo(_kind(kind), name, write=True)
    if len(request.hub.stored.get(request.json["oid"], b"")) != request.json["size"]:
        raise Refused(404, "Object not found")
    return {}


def commit(request: Request, kind: str, name: str, _revision: str) -> Any:
    repo = request.repo(kind, name, write=True)
    files = dict(repo.head)
    for line in request.body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header":
            if value.get("parentCommit") not in (None, repo.order[-1]):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
        elif item["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif item["key"] == "lfsFile":
            files[value["path"]] = request.hub.stored[value["oid"]]
            repo.lfs.add(value["path"])
        elif item["key"] == "deletedFile":
            del files[value["path"]]
    sha = repo.commit(files)
    return {"commitUrl": f"{request.hub.url}/{name}/commit/{sha}", "commitOid": sha}


def info(request: Request, kind: str, name: str, revision: str | None) -> Any:
    repo = request.repo(kind, name)
    sha = _resolve(repo, unquote(revision or "main"))
    siblings = []
    for path, content in sorted(repo.commits[sha].items()):
        entry: dict[str, Any] = {"rfilename": path}
        if "blobs" in request.query:
            entry |= {"size": len(content), "blobId": git_sha1(content)}
            if repo.is_lfs(path):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
        siblings.append(entry)
    plain = {"id": name, "sha": sha, "private": repo.private, "gated": repo.gated}
    return plain | {"tags": [], "siblings": siblings}


def tree(request: Request, kind: str, name: str, revision: str, folder: str | None) -> Any:
    repo = request.repo(kind, name)
    files = repo.commits[_resolve(repo, unquote(revision))]
    prefix = f"{unquote(folder)}/" if folder else ""
    inside = {path: content for path, content in files.items() if path.startswith(prefix)}
    if prefix and not inside:
        raise Refused(404, "Entry not found", "EntryNotFound")
    recursive = request.query.get("recursive", "").lower() in ("1", "true")
    entries = [
        _entry(repo, p, c) for p, c in inside.items() if recursive or "/" not in p[len(prefix) :]
    ]
    folders = {p[: p.index("/", len(prefix))] for p in inside if "/" in p[len(prefix) :]}
    return entries + [
        {"type": "directory", "path": path, "size": 0, "oid": git_sha1(path.encode())}
        for path in sorted(folders)
    ]


def paths_info(request: Request, kind: str, name: str, revision: str) -> Any:
    repo = request.repo(kind, name)
    files = repo.commits[_resolve(repo, unquote(revision))]
    asked = parse_qs(request.body.decode()).get("paths", [])
    return [_entry(repo, path, files[path]) for path in asked if path in files]


def _entry(repo: Repo, path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
    entry["oid"] = git_sha1(content)
    if repo.is_lfs(path):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return entry


def resolve(request: Request, kind: str | None, name: str, revision: str, path: str) -> Any:
    repo = request.repo(_kind(kind), name)
    sha = _resolve(repo, unquote(revision))
    headers = {"X-Repo-Commit": sha}
    content = repo.commits[sha].get(unquote(path))
    if content is None:
        refusal = Refused(404, "Entry not found", "EntryNotFound")
        refusal.reply.headers |= headers
        raise refusal
    digest = hashlib.sha256(content).hexdigest()
    if not repo.is_lfs(unquote(path)):
        return _ranged(request, content, headers | {"ETag": f'"{git_sha1(content)}"'})
    linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{digest}"'}
    place = {"Location": f"{request.hub.storage_url}/store/{digest}"}
    return Reply(302, b"", headers | linked | place)


def _ranged(request: Request, content: bytes, headers: dict[str, str]) -> Reply:
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
    headers = headers | {"Accept-Ranges": "bytes"}
    if not asked:
        return Reply(200, content, headers)
    start = int(asked[1])
    stop = min(int(asked[2]) + 1 if asked[2] else len(content), len(content))
    if start >= len(content):
        return Reply(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return Reply(206, content[start:stop], headers | place)


def put(request: Request, oid: str) -> Any:
    if request.token:
        raise Refused(400, "a token was sent to the file storage")
    if hashlib.sha256(request.body).hexdigest() != oid:
        raise Refused(400, "the file is not what was announced")
    request.hub.stored[oid] = request.body
    return Reply(200, b"", {"ETag": f'"{oid}"'})


def fetch(request: Request, oid: str) -> Any:
    if request.token:
        raise Refused(400, "a token was sent to the file storage")
    return _ranged(request, request.hub.stored[oid], {"ETag": f'"{oid}"'})


def _kind(prefix: str | None) -> str:
    return (prefix or "models/").removesuffix("/")


def _resolve(repo: Repo, revision: str) -> str:
    sha = repo.resolve(revision)
    if sha is None:
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return sha


Route = tuple[str, str, str, Callable[..., Any]]
NAME = r"([^/]+/[^/.][^/]*?)"
KIND = r"(models|datasets)"
API: list[Route] = [
    ("GET", r"/api/whoami-v2", "whoami", whoami),
    ("POST", r"/api/repos/create", "create", create),
    ("POST", r"/api/validate-yaml", "validate", validate),
    ("GET", rf"/api/{KIND}/{NAME}/auth-check(/write)?", "auth-check", auth_check),
    ("POST", rf"/api/{KIND}/{NAME}/preupload/([^/]+)", "preupload", preupload),
    ("POST", rf"/(datasets/)?{NAME}\.git/info/lfs/objects/batch", "batch", batch),
    ("POST", rf"/(datasets/)?{NAME}\.git/info/lfs/verify", "verify", verify),
    ("POST", rf"/api/{KIND}/{NAME}/commit/([^/]+)", "commit", commit),
    ("GET", rf"/api/{KIND}/{NAME}(?:/revision/([^/]+))?", "info", info),
    ("GET", rf"/api/{KIND}/{NAME}/tree/([^/]+)(?:/(.+))?", "tree", tree),
    ("POST", rf"/api/{KIND}/{NAME}/paths-info/([^/]+)", "paths", paths_info),
    ("GET", rf"/api/{KIND}/{NAME}/xet-write-token/([^/]+)", "xet token", xet_token),
    ("GET", rf"/(datasets/)?{NAME}/resolve/([^/]+)/(.+)", "resolve", resolve),
]
STORAGE: list[Route] = [
    ("PUT", r"/store/([0-9a-f]{64})", "put", put),
    ("GET", r"/store/([0-9a-f]{64})", "fetch", fetch),
    ("GET", r"/(v[12]/.+)", "xet", xet),
    ("POST", r"/(v[12]/.+)", "xet", xet),
]
