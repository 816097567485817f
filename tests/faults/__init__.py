"""Deploys under fire: many at once, killed, cut off."""
