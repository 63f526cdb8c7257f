"""A signer that is known by public keys, each with the time in which it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from safeload.core.errors import UsageError, VerificationFailed
from safeload.trust.bundle import Bundle
from safeload.trust.signers import Identity, refused, wrong_method


@dataclass(frozen=True, slots=True)
class DatedKey:
    """A public key (PEM, NIST P-256, P-384 or P-521), and the days (UTC) on which it may verify; both are included."""

    public_pem: bytes
    not_before: date | None = None
    not_after: date | None = None

    def counts(self, today: date) -> bool:
        return (self.not_before is None or self.not_before <= today) and (
            self.not_after is None or today <= self.not_after
        )


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Whoever holds the private half of one of these keys.

    A bundle signed by a key says nothing about when: the days of a key are those on which a signature may be
    *verified*. Raises `MalformedInput` for a key that is none, `UsageError` for no key at all.
    """

    name: str
    keys: tuple[DatedKey, ...]
    method: str = "key"

    def __post_init__(self) -> None:
        if not self.keys:
            raise UsageError("a signer was named without a key", remedy="KeySigner(name, (DatedKey(pem),))")
        from safeload.core.keys import read_public_key

        for key in self.keys:
            read_public_key(key.public_pem, self.name or "the key that was given")

    def verify(self, bundle: Bundle, *, now: datetime) -> Identity:
        """See `Signer.verify`. What the bundle says about the key is not looked at: each key is tried."""
        from safeload.core.keys import read_public_key

        if bundle.method != "key":
            raise wrong_method(bundle, self)
        data, today = bundle.envelope.signed_bytes(), now.astimezone(UTC).date()
        for dated in self.keys:
            key = read_public_key(dated.public_pem, self.name)
            if key.verifies(bundle.envelope.signature, data):
                fingerprint = key.fingerprint()
                if not dated.counts(today):
                    raise self._not_today(bundle, dated, fingerprint, today)
                curve = key.key.curve.name
                return Identity(
                    text=f"key:{fingerprint}",
                    method="key",
                    fingerprints=frozenset({fingerprint}),
                    details={"curve": curve},
                )
        raise refused(bundle, self, "the signature is not of its key" + ("s" if len(self.keys) > 1 else ""))

    def _not_today(self, bundle: Bundle, dated: DatedKey, fingerprint: str, today: date) -> VerificationFailed:
        limit = f"only until {dated.not_after}" if dated.not_after and today > dated.not_after else ""
        limit = limit or f"not before {dated.not_before}"
        return refused(bundle, self, f"the key {fingerprint[:12]}… counts {limit}, and today is {today}")
