"""The database as a place: identity, guard, journal, locks, connections."""
