"""Everything that a document can touch, and the one door to it: `sandbox.client`."""
