"""The desktop agent: our events of the journal as notes in one user's session."""
