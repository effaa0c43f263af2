"""The same rules and events through other engines (docs/agreement.md)."""
