"""The guest's expected failures, each with a reason of the contract."""


class GuestFailure(Exception):  # noqa: N818 - a finding about the document, not an error of ours
    """The document cannot be flattened; `reason` is one of `sandbox.contract.GUEST_REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
