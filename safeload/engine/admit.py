"""Admission: from a reference to a directory that a loader may read.

1. Resolve the reference once, and open each file once; everything later goes through those descriptors.
2. Work out what the load reads; read and judge that, and every other file that lies in a local model.
3. Digest what is used; gather the evidence; let the policy decide. A denial ends here, with every reason.
4. Convert pickled weights from that same reading, rewrite configs, and keep the result in the store.
5. Compare every descriptor with what it was when opened, and hand the directory over.

A model that was admitted before, and whose every file is unchanged and writable by nobody else, skips from 1 to the
policy: the record of what was found is part of the store.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from safeload.core.digest import sha256
from safeload.core.errors import MalformedInput, SafeloadError, SourceError, UsageError
from safeload.core.evidence import Evidence
from safeload.core.finding import FileReport, Report, Status
from safeload.core.names import Location, escape
from safeload.core.policy import Verdict
from safeload.engine import enforce
from safeload.engine.admission import base_model, build, publish, recall, select
from safeload.engine.admission.admitted import Admission
from safeload.engine.admission.handover import Resources, hand_over, pinned_path
from safeload.engine.admission.plan import Plan, make_plan
from safeload.engine.admission.record import AdmittedFile, LeftOut, Record, to_json
from safeload.engine.approved import ApprovedCode, approve
from safeload.engine.audit import approval
from safeload.engine.held import Held
from safeload.engine.identity import locked_revision
from safeload.engine.options import Options
from safeload.engine.reach import reach, reach_program
from safeload.engine.request import Request
from safeload.sources.base import Snapshot
from safeload.sources.digest_memo import digest_all
from safeload.sources.entry import Entry
from safeload.sources.failures import os_failure
from safeload.sources.pinned import PinnedFile
from safeload.sources.program import split
from safeload.sources.store import Stage, Store
from safeload.trust.approvals import Answer

_DEEPEST_BASE = 3
"""How many adapters may stand on each other."""

_REASONS = {
    Status.DANGEROUS: "it is dangerous and this load does not need it",
    Status.UNDECIDED: "it could not be read and this load does not need it",
}


def admit(
    reference: str | os.PathLike[str],
    *,
    request: Request | None = None,
    options: Options | None = None,
    into: str | os.PathLike[str] | None = None,
    link: bool = False,
) -> Admission:
    """Admit a model: verify, read, judge, convert, and write a directory that any loader may read.

    Promised: nothing of the model runs; what the directory holds is what was judged; it appears whole or not at
    all. Not promised: that the weights do what their author says.

    Args:
        reference: a directory, a file, or a hub id (`org/name`, `hf://org/name`).
        request: what the load needs; everything, if absent.
        options: safeload's own options.
        into: write the directory there, to outlive this process. It must not exist, or be empty.
        link: with `into`, point at the original weights instead of copying them. Who changes those afterwards
            changes the model.

    Raises:
        PolicyDenied: the policy refused; lists every refused item.
        SourceError: the model could not be found or fetched.
        MalformedInput: a file that the load needs cannot be read, or is not what it claims.
        VerificationFailed: a digest differs, or a file changed meanwhile.
        UsageError: arguments contradict each other.
    """
    request, options = request or Request(), options or Options()
    if link and into is None:
        raise UsageError("link=True needs a directory", why="it is about what stands in `into`", remedy="into=DIR")
    place = publish.Place.at(into) if into is not None else None
    if place is not None:
        publish.require_free(place.target)
    return _Job(Store(options.store), request, options, place, link).run(os.fspath(reference), depth=0)


@dataclass(frozen=True, slots=True)
class _Job:
    store: Store
    request: Request
    options: Options
    place: publish.Place | None
    link: bool
    known: enforce.Guard | None = None
    """What locks and policy files say of the model at hand."""
    based_on: Request | None = None
    """What the base model is asked for by, where the adapter was asked for by other words (`adapter_kwargs`)."""

    @property
    def guard(self) -> enforce.Guard:
        assert self.known is not None
        return self.known

    def run(self, reference: str, *, depth: int) -> Admission:
        if self.request.adapter:
            job = dataclasses.replace(self, request=self.request.of_adapter(), based_on=self.request.of_model())
            snapshot = job._resolve(reference, subfolder="")
            if posixpath.join(job.request.subfolder, select.ADAPTER_CONFIG) in snapshot.listing:
                return job._admit(snapshot, depth)
            return dataclasses.replace(self, request=self.request.of_model()).run(reference, depth=depth)
        return self._admit(self._resolve(reference, subfolder=self.request.subfolder), depth)

    def _resolve(self, reference: str, *, subfolder: str) -> Snapshot:
        locked = locked_revision(split(reference)[0], self.request.revision, self.options)
        try:
            return self._resolved(reference, subfolder, locked or self.request.revision)
        except SourceError as error:
            if locked is not None:
                error.add_note(
                    f"the lock names the commit {locked}; if the hub no longer has it, its publisher deleted or "
                    "rewrote the model, or somebody else registered its name"
                )
            raise

    def _resolved(self, reference: str, subfolder: str, revision: str | None) -> Snapshot:
        if self.request.purpose == "code":
            return reach_program(reference, self.request.access, revision=revision, limits=self.options.limits)[0]
        return reach(reference, self.request.access, revision=revision, subfolder=subfolder, limits=self.options.limits)

    def _admit(self, snapshot: Snapshot, depth: int) -> Admission:
        guard = enforce.guard_for(snapshot, self.options, asked=_asked(snapshot.reference, self.request.revision))
        return dataclasses.replace(self, known=guard)._guarded(guard.restricted(), depth)

    def _guarded(self, snapshot: Snapshot, depth: int) -> Admission:
        with Held(snapshot, self.options.limits, self.store.memo) as held:
            key = recall.key_of(snapshot, self.request, self.options, hides=self.guard.hides)
            entry, record = recall.recall(self.store, key, held) or self._fresh(held, key)
            resources = Resources()
            resources.add(entry.close)
            try:
                # Also for what is recalled: who may publish what, and what is revoked, is asked every time.
                verdict, found, code = self._decide(held, record)
                return self._deliver(snapshot, held, entry, record, verdict, found, code, resources, depth)
            except BaseException:
                resources.close()
                raise

    # ── 2 to 4 ──────────────────────────────────────────────────────────────────────────────────────────────

    def _fresh(self, held: Held, key: str) -> tuple[Entry, Record]:
        """Read the model, and keep in the store what came of it."""
        with ThreadPoolExecutor(1) as hashing:
            self._hash_early(held, hashing)
            return self._read(held, key, hashing)

    def _hash_early(self, held: Held, hashing: ThreadPoolExecutor) -> None:
        """Begin with the one digest that takes longer than all else there is to do, if it can be told by its name.

        The memo keeps it; what goes wrong goes wrong again when the digest is asked for.
        """
        names = select.under(self.request.subfolder, held.snapshot.listing)
        entry = select.weights_entry(names, {}, self.request) if self.request.wants_weights else None
        if held.snapshot.kind == "directory" and entry in names and entry.endswith(".safetensors"):
            file = held.open(names[entry])
            if file.exclusive and held.settled:
                hashing.submit(file.sha256, self.store.memo)

    def _read(self, held: Held, key: str, hashing: ThreadPoolExecutor) -> tuple[Entry, Record]:
        snapshot = held.snapshot
        try:
            plan = make_plan(held, self.request)
        except MalformedInput:
            # What was read so far may explain the fault better than the fault does.
            if self._judges_findings_alone:
                self._decide(held, self._record(held, _all_inspected(held), {}))
            raise
        used = plan.used()
        for path in sorted(used):
            held.inspect(path)
        if snapshot.kind != "hub" and self.request.purpose != "code":
            _look_at_the_rest(held, used)
        if self._judges_findings_alone:
            self._decide(held, self._record(held, plan, {}))
        build.refuse_oversized(held, plan)
        built, record = self._build(held, plan, hashing)
        return self._keep(held, key, plan, built, record)

    @property
    def _judges_findings_alone(self) -> bool:
        """Whether the verdict cannot depend on digests, so that a denial need not wait for them."""
        return self.guard.judges_findings_alone

    def _build(self, held: Held, plan: Plan, hashing: ThreadPoolExecutor) -> tuple[build.Built, Record]:
        """Digest and convert what the load uses. Nothing is converted before the verdict."""
        files = [held.open(path) for path in sorted(plan.used())]
        digesting = hashing.submit(digest_all, files, self.store.memo)
        if self._judges_findings_alone:
            # The verdict is in; hashing and converting read the same descriptors, and need not wait for each other.
            built = build.build_weights(held, plan, self.store)
            record = self._record(held, plan, digests := digesting.result())
        else:
            record = self._record(held, plan, digests := digesting.result())
            self._decide(held, record)
            built = build.build_weights(held, plan, self.store)
        build.list_weights(plan, built, digests)
        return built, record

    def _keep(self, held: Held, key: str, plan: Plan, built: build.Built, record: Record) -> tuple[Entry, Record]:
        """Put what was made into the store, unless another process has done so meanwhile."""
        own = sha256(f"{key} {sorted(record.digests.items())} {sorted(record.inputs.items())}".encode())
        # Only what may be recalled is filed under the key. An older admission that is still in use keeps its name.
        free = held.settled and self.store.remove("admitted", key)
        for name in (key, own, own) if free else (own, own):
            with self.store.staging("admitted", name) as stage:
                if stage.entry is None:
                    return self._stage(stage, held, plan, built, record)
                made = recall.record_of(stage.entry)
                if made is not None and (made.inputs, made.listing) == (record.inputs, record.listing):
                    return stage.entry, made
                stage.entry.close()
            self.store.remove("admitted", name)
        raise SourceError(
            f"{escape(held.snapshot.reference)} was not admitted",
            where=Location(self.store.entry_path("admitted", own)),
            why="another process uses an entry of that name that is not the same",
            remedy="end the other process, then: safeload cache prune",
        )

    def _stage(self, stage: Stage, held: Held, plan: Plan, built: build.Built, record: Record) -> tuple[Entry, Record]:
        try:
            code = bool(plan.code) and self._runs_code
            # A directory for any loader: nobody of ours is there when it follows a pointer.
            late = self.request.purpose != "everything"
            build.build_small(held, plan, built, stage.path, code=code, late=late)
            record = dataclasses.replace(
                record,
                files=tuple(built.files),
                left_out=(*_left_out(record.report), *built.left_out),
                attention_removed=built.attention_removed,
            )
            build.write_account(stage.path, held.snapshot, record)
        except OSError as error:
            raise os_failure(error, "the store could not be written", path=self.store.root) from error
        held.verify_unchanged(plan.used())
        return stage.publish(about=to_json(record)), record

    def _record(self, held: Held, plan: Plan, digests: dict[str, str]) -> Record:
        """What is known before anything was made."""
        return Record(
            inputs=dict(held.identities),
            listing=tuple(sorted(held.snapshot.listing)),
            files=tuple(
                AdmittedFile(path=path, source=path, sha256=digest, how="copy") for path, digest in digests.items()
            ),
            left_out=(),
            report=Report(
                target=held.snapshot.reference,
                files=tuple(self._file_report(held, plan, path, digests) for path in sorted(held.inspected)),
            ),
            code=plan.code,
            base=plan.base,
        )

    def _file_report(self, held: Held, plan: Plan, path: str, digests: dict[str, str]) -> FileReport:
        inspected = held.inspected[path]
        used = path in plan.used()
        if self.options.unsafe_convert_dangerous and inspected.report.status is Status.DANGEROUS:
            # The loader reads our conversion of the tensors, never this file. Of a config it would read all the rest.
            weights = path in plan.weights.values() or path in plan.side.values()
            used = used and not (weights and build.is_converted(inspected))
        return dataclasses.replace(inspected.report, used=used, sha256=digests.get(path))

    @property
    def _runs_code(self) -> bool:
        """Whether the caller asks for code of the model, beyond what cannot do without."""
        return self.request.trust_remote_code is True

    def _decide(self, held: Held, record: Record) -> tuple[Verdict, enforce.Found, ApprovedCode | None]:
        snapshot, policy = held.snapshot, self.guard.policy
        # Also for what is recalled: the code is read now, and it is these bytes that run.
        code = approval.look(held, record.code, self.guard, self.request) if record.code else None
        digests = record.read | (code.digests if code else {})
        found = self.guard.find(digests, lambda: digest_all(_all_open(held), self.store.memo), held)
        evidence = found.into(
            Evidence(
                reference=snapshot.reference,
                revision=snapshot.revision,
                report=record.report,
                digests=digests,
                code=record.code,
            )
        )
        answer = approval.judged(self.guard, code.closure, found.signatures) if code else Answer()
        if code:
            evidence, policy = code.into(evidence, answer), code.beside(policy, answer)
        verdict = policy.decide(evidence)
        if not isinstance(verdict, Verdict):
            raise UsageError(
                f"loading {escape(snapshot.reference)!r} was not decided",
                why=f"decide() of {type(policy).__name__} gave a {type(verdict).__name__}, not a Verdict",
                remedy="return a safeload Verdict from it",
            )
        verdict.enforce(evidence)
        return verdict, found, self._approved(code, answer, snapshot)

    def _approved(self, code: approval.CodeLook | None, answer: Answer, snapshot: Snapshot) -> ApprovedCode | None:
        """The code, ready to run, if it was asked for and approved: that a policy allows the load is not enough."""
        if code is None or not answer.approvals or not self._runs_code:
            return None
        return approve(
            code.closure,
            answer.approvals[0].closure,
            reference=snapshot.reference,
            store=self.store,
            subfolder=self.request.subfolder,
            capabilities=self.guard.capabilities,
        )

    # ── 5 ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _deliver(
        self,
        snapshot: Snapshot,
        held: Held,
        entry: Entry,
        record: Record,
        verdict: Verdict,
        found: enforce.Found,
        code: ApprovedCode | None,
        resources: Resources,
        depth: int,
    ) -> Admission:
        own = publish.code_of(code, self.request) if self.place and record.code and self._runs_code else {}
        said = base_model.require_model(record.base, snapshot, self.options.limits) if record.base is not None else ()
        base_place = self.place.for_base() if self.place is not None else None
        base = self._base(record, depth, base_place, resources)
        if self.place is not None:
            written = base_place.target if base_place is not None and base is not None else None
            publish.publish(self.place, self.store, entry, record, held, link=self.link, base=written, code=own)
            path = self.place.home
        else:
            path = self._view(held, entry, record, resources)
            if base is not None:
                publish.point_adapter(path, base.path)
        return Admission(
            path=Path(path),
            reference=snapshot.reference,
            revision=snapshot.revision,
            report=record.report,
            verdict=verdict,
            files=record.files,
            left_out=record.left_out,
            notes=(*snapshot.notes, *said, *self.store.notes, *enforce.warnings(verdict)),
            lock=found.lock,
            signatures=found.signatures,
            attention_removed=record.attention_removed,
            base=base,
            code=code,
            needs_code=bool(record.code),
            resources=resources,
        )

    def _view(self, held: Held, entry: Entry, record: Record, resources: Resources) -> str:
        def pinned(file: AdmittedFile) -> str:
            held.open(file.source)
            return pinned_path(self.store, held.release(file.source), file.sha256, self.guard.integrity, resources)

        return hand_over(self.store, entry, record.files, pinned, resources)

    def _base(self, record: Record, depth: int, place: publish.Place | None, resources: Resources) -> Admission | None:
        """Admit the base model of an adapter by the same policy."""
        if record.base is None:
            return None
        if depth >= _DEEPEST_BASE:
            raise MalformedInput(
                "an adapter stands on an adapter, too many times",
                where=Location(select.ADAPTER_CONFIG, path="base_model_name_or_path"),
                why=f"more than {_DEEPEST_BASE} deep",
            )
        request = self.based_on or self.request.of_base()
        job = _Job(self.store, request, self.options, place, self.link)
        try:
            base = job.run(record.base, depth=depth + 1)
        except SafeloadError as error:
            error.add_note(f"while admitting {escape(record.base)!r}, the base model of the adapter")
            raise
        resources.add(base.close)
        return base


def _asked(reference: str, revision: str | None) -> str | None:
    """The revision in the caller's words: that of `hf://org/name@revision`, or the argument."""
    return (reference.partition("@")[2] or revision) if reference.startswith("hf://") else revision


def _all_open(held: Held) -> list[PinnedFile]:
    """Every file of the model, open."""
    held.snapshot.fetch(held.snapshot.listing)
    return [held.open(path) for path in held.snapshot.listing]


def _all_inspected(held: Held) -> Plan:
    """A plan that uses whatever was read so far: for the verdict on a model that cannot be planned."""
    return Plan(small={path: path for path in held.inspected})


def _look_at_the_rest(held: Held, used: set[str]) -> None:
    """Read and judge what the load does not use, so that the report is about the whole model."""
    for path in sorted(set(held.snapshot.listing) - used):
        try:
            held.inspect(path)
        except SafeloadError as error:
            held.note_unreadable(path, error)
        held.let_go(path)


def _left_out(report: Report) -> Iterable[LeftOut]:
    for file in report.files:
        if not file.used:
            yield LeftOut(path=file.path, reason=_REASONS.get(file.status, "this load does not read it"))
