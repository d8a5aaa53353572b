"""Model adapters: one per framework. They gather evidence and know no method."""
